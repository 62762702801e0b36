"""Secrets and prompts that are easy to find, sent through a gateway that logs all it can, with every kind of trouble:
they are in no file, log, metric or error of it.
"""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx

Start = Callable[..., gp.Gateway]


def canary(kind: str) -> str:
    return f"canary{kind}{secrets.token_hex(12)}"


def forms(secret: str) -> list[bytes]:
    """As it is, and as a careless program might have written it."""
    plain = secret.encode()
    encoded = [base64.b64encode(b" " * shift + plain)[4:-4] for shift in range(3)]
    return [plain, plain.hex().encode(), plain.upper(), *encoded]


def settings(simulator: gp.Simulator, folder: Path) -> Path:
    config = folder / "tokenrouter.toml"
    providers = [
        gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1"),
        gp.provider_settings("anthropic", "anthropic", f"{simulator.url}/anthropic"),
    ]
    config.write_text(
        "[upstream]\nfirst_event_timeout_ms = 500\nbetween_events_timeout_ms = 500\nbreaker_min_requests = 10000\n"
        "refused_provider_ms = 0\nretry_budget_floor = 10000\n" + "".join(providers)
    )
    return config


def bodies(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """A prompt on every surface, in text, images, files, tools and their results; nothing is to be stored."""
    user = {"role": "user", "content": prompt}
    file = base64.b64encode(f"file of {prompt}".encode()).decode()
    tool = {"type": "function", "name": "t", "description": prompt, "parameters": {"type": "object", "title": prompt}}
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": file}]},
        {"type": "function_call", "call_id": "c1", "name": "t", "arguments": json.dumps({"a": prompt})},
        {"type": "function_call_output", "call_id": "c1", "output": prompt},
    ]
    responses: list[dict[str, Any]] = [
        {"input": prompt},
        {"input": prompt, "stream": True},
        {"input": [*items, user], "tools": [tool], "instructions": prompt},
        {"input": prompt, "text": {"format": {"type": "json_schema", "name": "s", "schema": {"title": prompt}}}},
        {"input": prompt, "model": "anthropic/claude-haiku-4-5"},
        {"input": prompt, "model": "auto", "router_strict": True, "top_k": prompt},
    ]
    return [
        *(("/v1/responses", {"model": "openai/gpt-4o-mini", "store": False} | body) for body in responses),
        ("/v1/route", {"model": "auto", "input": prompt}),
        ("/v1/chat/completions", {"model": "openai/gpt-4o-mini", "messages": [user]}),
        ("/v1/chat/completions", {"model": "openai/gpt-4o-mini", "messages": [user], "stream": True}),
        ("/v1/messages", {"model": "anthropic/claude-haiku-4-5", "max_tokens": 20, "messages": [user]}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": prompt}),
        # Wrong in a field, each in another way.
        ("/v1/responses", {"model": "nothing/such", "input": prompt}),
        ("/v1/responses", {"model": "auto", "input": [{"role": prompt, "content": prompt}]}),
        ("/v1/responses", {"model": "auto", "input": prompt, "temperature": prompt, "store": False}),
        ("/v1/responses", {"model": "auto", "input": prompt, "previous_response_id": "resp_none"}),
    ]


def test_no_secret_and_no_prompt_is_anywhere(start_gateway: Start, tmp_path: Path) -> None:
    simulator = gp.start_simulator()
    prompt, master = canary("prompt"), secrets.token_hex(32)
    keys = {kind: f"sk-{canary(kind)}" for kind in ("gateways", "own", "unused", "refused")}
    environment = {
        "SIMULATED_KEY": keys["gateways"],
        "TOKENROUTER_BOOTSTRAP_KEY": f"tr_{canary('bootstrap')}",
        "TOKENROUTER_VAULT__MASTER_KEYS": "1=env:MASTER",
        "MASTER": master,
        "TOKENROUTER_LOG__LEVEL": "trace",
        "TOKENROUTER_LOG__FORMAT": "json",
    }
    gateway = start_gateway(simulate=False, config=settings(simulator, tmp_path), environment=environment)
    errors: list[str] = []

    def send(api: httpx.Client, method: str, path: str, **how: Any) -> httpx.Response | None:
        try:
            answer = api.request(method, path, **how)
        except httpx.HTTPError:
            return None
        if answer.status_code >= 400 or b"response.failed" in answer.content:
            errors.append(answer.text + str(answer.headers))
        return answer

    def ask_everything(api: httpx.Client) -> None:
        for path, body in bodies(prompt):
            send(api, "POST", path, json=body)

    with gateway.http() as api:
        made = api.post("/v1/api-keys", json={"name": "ci", "models": ["visible-model-*"]}).json()["data"]["key"]
        ask_everything(api)
        # With a key of its own, which the provider repeats in all that it says of trouble.
        for key in (keys["own"], keys["own"]):
            answer = api.post("/v1/provider-keys", json={"provider": "openai", "key": key})
            assert answer.status_code == 201, answer.text
        ask_everything(api)
        said = {"error": {"message": f"no such key: {keys['own']}", "type": keys["own"], "code": keys["own"]}}
        for fault in (
            *({"status": status, "body": json.dumps(said)} for status in (400, 401, 403, 404, 422, 429, 500, 503)),
            *({name: True} for name in ("garbage", "hang", "reset")),
            {"cut_after_bytes": 60},
            {"error_event": True},
        ):
            for path, body in bodies(prompt)[:2]:
                simulator.fault(count=4, **fault)
                send(api, "POST", path, json=body)
                simulator.forget()
        # A firewall that masks, warns and blocks.
        for action in ("warn", "mask", "block"):
            rule = {"name": action, "scope": "prompt", "type": "regex", "pattern": "canary[a-z]+", "action": action}
            made_rule = api.post("/v1/firewall-rules", json=rule).json()["data"]
            ask_everything(api)
            api.delete(f"/v1/firewall-rules/{made_rule['id']}")
        # Where a key should not be, and bodies that are none.
        for how in (
            {"json": {"provider": keys["unused"], "key": keys["unused"]}},
            {"json": {"provider": "openai", "key": f"{keys['unused']} x"}},
            {"json": {"provider": "openai", "key": {"key": keys["unused"]}}},
            {"json": {"provider": "openai", "weight": keys["unused"], "key": [keys["unused"]]}},
            {"content": f'{{"key": "{keys["unused"]}", "provider"'},
        ):
            send(api, "POST", "/v1/provider-keys", **how)
        send(api, "POST", "/v1/responses", content=f'{{"input": "{prompt}')
        for header in ({"Authorization": f"Bearer {keys['refused']}"}, {"Authorization": f"Basic {keys['refused']}"}):
            send(api, "GET", "/v1/models", headers=header)
        send(api, "GET", "/v1/models", headers={"x-api-key": keys["refused"], "Authorization": ""})
        # While records wait in the spool.
        with closing(sqlite3.connect(gateway.database, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN EXCLUSIVE")
            ask_everything(api)
            send(api, "POST", "/v1/provider-keys", json={"provider": "openai", "key": keys["unused"]})
            spool = gateway.database.with_name(gateway.database.name + ".spool").read_bytes()
            other.execute("ROLLBACK")
        metrics = api.get("/metrics").text
        log = api.get("/v1/requests?limit=1000").text
        listed = api.get("/v1/provider-keys").text + api.get("/v1/api-keys").text
        on_disk = b"".join(path.read_bytes() for path in gateway.database.parent.glob("tokenrouter.db*"))
    assert gateway.stop() == 0
    on_disk += b"".join(path.read_bytes() for path in gateway.database.parent.glob("tokenrouter.db*"))
    told = (gateway.process.stderr + gateway.process.stdout).encode()
    assert simulator.process is not None
    simulator.process.stop()

    places = {
        "files": on_disk,
        "spool": spool,
        "log": told,
        "metrics": metrics.encode(),
        "request log": log.encode(),
        "lists": listed.encode(),
    }
    # What is searched is what there was.
    assert b"visible-model-" in on_disk and b"req_" in spool and b"tokenrouter_requests_total" in places["metrics"]
    assert b"an attempt failed" in told and b"the database can be written to again" in told
    assert len(errors) > 30 and b"panicked" not in told
    never = [*keys.values(), made, environment["TOKENROUTER_BOOTSTRAP_KEY"], master]
    for place, content in places.items():
        for secret in (*never, prompt):
            for form in forms(secret):
                assert form not in content, f"{secret} is in {place}: …{content[max(0, content.find(form) - 200):][:400]!r}"
    for error in errors:
        for secret in never:
            assert secret not in error, error
