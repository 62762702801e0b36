"""Prompts and answers are kept beside the request log where a workspace asks for it, as the firewall left them, and for
as long as it says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error


def capture_of(api: httpx.Client, answer: httpx.Response) -> Any:
    found = api.get(f"/v1/requests/{answer.headers['x-request-id']}")
    assert found.status_code == 200, found.text
    return found.json()["capture"]


def ask(api: httpx.Client, text: str, **fields: Any) -> httpx.Response:
    return api.post("/v1/responses", json={"model": "gpt-4o-mini", "input": text, "store": False} | fields)


def turn_on(api: httpx.Client, days: int = 7) -> None:
    assert api.patch("/v1/capture", json={"days": days}).json() == {"data": {"is_enabled": True, "days": days}}


def test_nothing_is_captured_unless_the_workspace_asks_for_it(
    gateway: gp.Gateway, api: httpx.Client, other_api: httpx.Client, mark: str
) -> None:
    assert api.get("/v1/capture").json() == {"data": {"is_enabled": False, "days": None}}
    assert capture_of(api, ask(api, mark)) is None
    turn_on(api)
    assert capture_of(other_api, ask(other_api, mark)) is None
    with closing(sqlite3.connect(gateway.database)) as database:
        assert not [row for row in database.execute("SELECT input FROM captures") if mark in str(row)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "@", "instructions": "Be brief."}),
        ("/v1/responses", {"input": "@", "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "@"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "@"}], "stream": True}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "@"}], "max_tokens": 50}),
    ],
)
def test_prompt_and_answer_are_kept_on_every_surface(
    api: httpx.Client, mark: str, path: str, body: dict[str, Any]
) -> None:
    turn_on(api)
    sent = json.loads(json.dumps({"model": "gpt-4o-mini"} | body).replace("@", f"Say {mark}"))
    answer = api.post(path, json=sent)
    assert answer.status_code == 200, answer.text
    kept = capture_of(api, answer)
    assert mark in str(kept["input"]["input"])
    assert kept["input"]["instructions"] == body.get("instructions")
    assert kept["output"]["status"] == "completed" and kept["output"]["output"]


def test_it_is_kept_as_the_firewall_left_it_and_what_was_blocked_is_not(api: httpx.Client, mark: str) -> None:
    turn_on(api)
    rule = {"name": "r", "scope": "prompt", "type": "substring", "pattern": mark, "action": "mask"}
    made = api.post("/v1/firewall-rules", json=rule).json()["data"]["id"]
    kept = capture_of(api, ask(api, f"The word is {mark}."))
    assert mark not in str(kept) and "[redacted]" in str(kept["input"])
    api.patch(f"/v1/firewall-rules/{made}", json={"action": "block"})
    blocked = ask(api, f"The word is {mark}.")
    check_error(blocked, 422, "firewall_error", "firewall_blocked")
    assert capture_of(api, blocked) is None


def test_what_is_older_than_the_workspace_keeps_it_goes_and_all_of_it_when_it_is_turned_off(
    gateway: gp.Gateway, api: httpx.Client, mark: str
) -> None:
    turn_on(api)
    old, new = ask(api, f"{mark} old"), ask(api, f"{mark} new")
    with closing(sqlite3.connect(gateway.database, timeout=10)) as database, database:
        database.execute(
            "UPDATE captures SET created_at_ms = created_at_ms - 2 * 86400000 WHERE request_id = ?",
            [old.headers["x-request-id"]],
        )
    turn_on(api, 3)
    assert capture_of(api, old) is not None
    turn_on(api, 1)
    assert capture_of(api, old) is None and capture_of(api, new) is not None
    assert api.delete("/v1/capture").json() == {"success": True}
    assert capture_of(api, new) is None
    assert capture_of(api, ask(api, mark)) is None


def test_it_is_deleted_in_time_by_a_gateway_that_nobody_asks(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        turn_on(api, 1)
        answer = ask(api, "Hi")
        assert capture_of(api, answer) is not None
    assert gateway.stop() == 0
    with closing(sqlite3.connect(gateway.database)) as database, database:
        database.execute("UPDATE captures SET created_at_ms = created_at_ms - 2 * 86400000")
    again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})

    def left() -> int:
        with closing(sqlite3.connect(again.database)) as database:
            return int(database.execute("SELECT count(*) FROM captures").fetchone()[0])

    gp.until(lambda: left() == 0, "the deletion")


def test_a_request_whose_caller_left_keeps_its_prompt(api: httpx.Client, mark: str) -> None:
    turn_on(api)
    with api.stream(
        "POST", "/v1/responses", json={"model": "gpt-4o-mini", "input": f"{mark} long", "stream": True, "store": False}
    ) as answer:
        next(answer.iter_bytes(64))
        request_id = answer.headers["x-request-id"]
    gp.until(lambda: api.get(f"/v1/requests/{request_id}").status_code == 200, "its record")
    kept = api.get(f"/v1/requests/{request_id}").json()["capture"]
    assert mark in str(kept["input"])


@pytest.mark.parametrize("body", [{}, {"days": 0}, {"days": 366}, {"days": "7"}, {"days": 7, "more": 1}])
def test_days_that_are_none_are_refused(api: httpx.Client, body: dict[str, Any]) -> None:
    check_error(api.patch("/v1/capture", json=body), 422, "validation_error", "validation_failed")
    assert api.get("/v1/capture").json()["data"]["is_enabled"] is False
