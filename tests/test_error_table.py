"""The rows of the contract's table of errors that are not a mistake in the body, on every surface, plain and streamed:
each is an error before the first byte, in the shape of that surface's own API. Mistakes are in test_error_shapes.py."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_envelope

SAID = [{"role": "user", "content": "Tell me of the sea"}]
SURFACES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "openai/gpt-4o", "input": "Tell me of the sea"},
    "/v1/chat/completions": {"model": "openai/gpt-4o", "messages": SAID},
    "/v1/messages": {"model": "openai/gpt-4o", "max_tokens": 50, "messages": SAID},
    "/v1/embeddings": {"model": "openai/text-embedding-3-small", "input": "Tell me of the sea"},
}
WORDS = {403: "permission_error", 422: "invalid_request_error", 429: "rate_limit_error", 502: "api_error",
         503: "overloaded_error", 504: "timeout_error"}  # fmt: skip
WAYS = [
    pytest.param(path, stream, id=f"{path}-{'stream' if stream else 'plain'}")
    for path in SURFACES
    for stream in (False, True)
    if not (stream and path == "/v1/embeddings")
]


class Asked:
    """A workspace of the test's own at a gateway whose providers do as they are told."""

    def __init__(self, standalone: tuple[gp.Gateway, gp.Simulator], path: str, stream: bool) -> None:
        self.gateway, self.simulator = standalone
        self.path, self.stream = path, stream
        self.owner = self.gateway.new_workspace()

    def manage(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.gateway.http(self.owner) as api:
            answer = api.post(path, json=body)
            assert answer.status_code == 201, answer.text
            return dict(answer.json()["data"])

    def key(self, **fields: Any) -> str:
        return str(self.manage("/v1/api-keys", {"name": secrets.token_hex(4)} | fields)["key"])

    def ask(self, key: str = "", headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = SURFACES[self.path] | ({"stream": True} if self.stream else {}) | fields
        with self.gateway.http(key or self.owner) as api:
            return api.post(self.path, json=body, headers=headers)


def not_allowed(asked: Asked) -> httpx.Response:
    return asked.ask(asked.key(models=["anthropic/claude-haiku-*"]))


def blocked(asked: Asked) -> httpx.Response:
    rule = {"name": "sea", "scope": "prompt", "type": "substring", "pattern": "sea", "action": "block"}
    asked.manage("/v1/firewall-rules", rule)
    return asked.ask()


def in_conflict(asked: Asked) -> httpx.Response:
    action = {"set_provider": "anthropic", "set_model": "gpt-4o"}
    asked.manage("/v1/routing-rules", {"name": "r", "match_json": {}, "action_json": action})
    return asked.ask()


def without_a_key(asked: Asked) -> httpx.Response:
    return asked.ask(model="groq/openai/gpt-oss-20b")


def too_often(asked: Asked) -> httpx.Response:
    key = asked.key(requests_per_minute=1)
    assert asked.ask(key).status_code == 200
    return asked.ask(key)


def past_the_quota(asked: Asked) -> httpx.Response:
    return asked.ask(asked.key(monthly_tokens=1))


def past_the_budget(asked: Asked) -> httpx.Response:
    # It has room for a few characters.
    long = "sea " * 2_000
    fields = {"input": long} if "input" in SURFACES[asked.path] else {"messages": [{"role": "user", "content": long}]}
    return asked.ask(asked.key(monthly_budget_usd=0.000001), **fields)


def failing(**fault: Any) -> Callable[[Asked], httpx.Response]:
    def ask(asked: Asked) -> httpx.Response:
        asked.simulator.fault(provider="openai", count=20, **fault)
        return asked.ask(headers={"x-request-timeout-ms": "300"} if "hang" in fault else None)

    return ask


# How it comes about; status, type, code, and the provider that is named.
ROWS: dict[str, tuple[Callable[[Asked], httpx.Response], int, str, str, str | None]] = {
    "not_allowed": (not_allowed, 403, "authorization_error", "model_not_allowed", None),
    "blocked": (blocked, 422, "firewall_error", "firewall_blocked", None),
    "in_conflict": (in_conflict, 422, "routing_error", "routing_conflict", None),
    "without_a_key": (without_a_key, 422, "routing_error", "provider_key_missing", "groq"),
    "too_often": (too_often, 429, "rate_limit_error", "rate_limit_exceeded", None),
    "past_the_quota": (past_the_quota, 429, "rate_limit_error", "monthly_quota_exceeded", None),
    "past_the_budget": (past_the_budget, 429, "rate_limit_error", "budget_exceeded", None),
    "limited": (failing(status=429, retry_after=7), 429, "rate_limit_error", "rate_limit_exceeded", "openai"),
    "broken": (failing(status=500), 502, "provider_error", "upstream_error", "openai"),
    "garbage": (failing(garbage=True), 502, "provider_error", "upstream_error", "openai"),
    "overloaded": (failing(status=503), 503, "provider_error", "provider_unavailable", "openai"),
    "silent": (failing(hang=True), 504, "provider_error", "upstream_timeout", "openai"),
}
# Embeddings have no routing rules, and no price in the catalog.
CASES = [
    pytest.param(*way.values, row, id=f"{way.id}-{row}")
    for way in WAYS
    for row in ROWS
    if not (way.values[0] == "/v1/embeddings" and row in ("in_conflict", "without_a_key", "past_the_budget"))
]


@pytest.mark.parametrize(("path", "stream", "row"), CASES)
def test_a_row_of_the_table_is_told_as_the_surfaces_own_api_tells_it(
    standalone: tuple[gp.Gateway, gp.Simulator], path: str, stream: bool, row: str
) -> None:
    make, status, kind, code, provider = ROWS[row]
    standalone[1].forget()
    try:
        answer = make(Asked(standalone, path, stream))
    finally:
        standalone[1].forget()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    error = body["error"]
    check_envelope(error)
    assert (error["code"], error["http_status"]) == (code, status)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["provider"] == provider
    assert (status == 429) <= (int(answer.headers.get("retry-after", -1)) >= 0)
    if path == "/v1/messages":
        assert (body["type"], error["type"]) == ("error", WORDS[status])
    else:
        assert (set(body), error["type"]) == ({"error"}, kind)
