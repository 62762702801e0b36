"""With `server.admin_listen` what manages a workspace is answered at that address, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gateway_process as gp
import httpx

DOCUMENT = json.loads((gp.ROOT / "docs" / "reference" / "openapi.json").read_text())
LIVING = {"/healthz", "/readyz"}


def test_each_operation_is_at_its_own_address_alone(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__ADMIN_LISTEN": "127.0.0.1:0"})
    admin_url = gateway.process.wait_for(r"managing on (http://127\.0\.0\.1:\d+)")
    headers = {"Authorization": f"Bearer {gateway.key}"}

    def ask(url: str, method: str, path: str, body: object = None) -> httpx.Response:
        return httpx.request(method, url + path, headers=headers, json=body, trust_env=False)

    for path, methods in DOCUMENT["paths"].items():
        for method, described in methods.items():
            # There is nothing of that id, which is another 404 than that of a path which is not there.
            there = path.replace("{id}", "999").replace("{item_id}", "none")
            home = gateway.url if described["x-access"] == "caller" else admin_url
            elsewhere = admin_url if home == gateway.url else gateway.url
            answer = ask(home, method, there)
            assert answer.status_code != 404 or "such path" not in answer.text, there
            answer = ask(elsewhere, method, there)
            if path in LIVING:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 404 and "such path" in answer.json()["error"]["message"], there
    assert ask(gateway.url, "POST", "/v1/responses", {"model": "gpt-4o-mini", "input": "Hi"}).status_code == 200
    outcomes = [entry["outcome"] for entry in ask(admin_url, "GET", "/v1/requests").json()["data"]]
    assert outcomes == ["completed"]
    assert gateway.stop() == 0


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    environment = {"TOKENROUTER_SERVER__ADMIN_LISTEN": "8001"}
    ended = gp.run("serve", "--database", f"sqlite:{tmp_path}/t.db", environment=environment)
    assert ended.returncode == 2 and "server.admin_listen" in ended.stderr
