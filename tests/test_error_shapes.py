"""The same mistakes on every surface, each told in the shape of that surface's own API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gateway_process as gp
import httpx
import pytest

SAID = [{"role": "user", "content": "Hello"}]
MODEL = "openai/gpt-4o"
# Path, and a body that is right.
OPENAI: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": MODEL, "input": "Hello"},
    "/v1/responses/input_tokens": {"model": MODEL, "input": "Hello"},
    "/v1/chat/completions": {"model": MODEL, "messages": SAID},
    "/v1/embeddings": {"model": "openai/text-embedding-3-small", "input": "Hello"},
}
ANTHROPIC: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": MODEL, "max_tokens": 10, "messages": SAID},
    "/v1/messages/count_tokens": {"model": MODEL, "messages": SAID},
}
SURFACES = OPENAI | ANTHROPIC
Ask = Callable[[httpx.Client, str, dict[str, Any]], httpx.Response]


def no_json(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, content=b"{", headers={"content-type": "application/json"})


def no_object(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json=[body])


def wrong_type(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json=body | {"model": 7})


def nothing_said(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json={"model": body["model"]})


def no_such_model(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json=body | {"model": "no-such-model"})


def no_such_key(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json=body, headers={"authorization": "Bearer tr_wrong"})


def too_long(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, content=b" " * 21_000_000, headers={"content-type": "application/json"})


def wrong_method(api: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.put(path, json=body)


# Status; OpenAI's code, and the field that is named in each surface's words; Anthropic's type.
MISTAKES: list[tuple[Ask, int, str, str | None, str]] = [
    (no_json, 400, "invalid_json", None, "invalid_request_error"),
    (no_object, 400, "invalid_parameter", None, "invalid_request_error"),
    (wrong_type, 400, "invalid_parameter", "model", "invalid_request_error"),
    (nothing_said, 400, "invalid_parameter", "input", "invalid_request_error"),
    (no_such_model, 404, "model_not_found", "model", "not_found_error"),
    (no_such_key, 401, "invalid_api_key", None, "authentication_error"),
    (too_long, 413, "payload_too_large", None, "request_too_large"),
    (wrong_method, 405, "method_not_allowed", None, "invalid_request_error"),
]
# A count looks for no model.
COUNTS = {"/v1/responses/input_tokens", "/v1/messages/count_tokens"}


@pytest.fixture(scope="module")
def caller(gateway: gp.Gateway) -> Any:
    with gateway.http(gateway.new_workspace()) as client:
        yield client


CASES = [
    pytest.param(path, mistake, id=f"{path}-{mistake[0].__name__}")
    for path in SURFACES
    for mistake in MISTAKES
    if mistake[0] is not no_such_model or path not in COUNTS
]


@pytest.mark.parametrize(("path", "mistake"), CASES)
def test_a_mistake_is_told_as_the_surfaces_own_api_tells_it(
    caller: httpx.Client, path: str, mistake: tuple[Ask, int, str, str | None, str]
) -> None:
    ask, status, code, param, word = mistake
    answer = ask(caller, path, SURFACES[path])
    body = answer.json()
    assert answer.status_code == status, answer.text
    error = body["error"]
    assert error["message"]
    if path in ANTHROPIC:
        assert (body["type"], error["type"]) == ("error", word)
        assert body["request_id"] == answer.headers["request-id"]
    else:
        assert set(body) == {"error"} and (error["code"], bool(error["type"])) == (code, True)
        messages = {"input": "messages"} if path == "/v1/chat/completions" else {}
        assert param is None or error["param"] == messages.get(param, param)
        assert error["request_id"] == answer.headers["x-request-id"]
