"""The error envelope of the contract (§7), complete wherever an error is told."""

from __future__ import annotations

from typing import Any

import httpx

FIELDS = {"type", "code", "message", "param", "provider", "http_status", "request_id"}
# What must never leave: the simulator's host, the provider's key, paths of the source, Rust's words.
LEAKS = ("127.0.0.1", "sk-simulated", ".rs:", "panicked", "/work/", "SIMULATED_KEY", "sqlite")


def check_error(answer: httpx.Response, status: int, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """Holds an answer against the row of the contract's table; gives the object under `error`."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    check_envelope(error)
    assert (error["type"], error["code"], error["http_status"]) == (kind, code, status), error
    assert error["request_id"] == answer.headers["x-request-id"]
    if param is not None:
        assert error["param"] == param, error
    if status == 429:
        assert int(answer.headers["retry-after"]) >= 0
    return error


def check_envelope(error: dict[str, Any]) -> None:
    assert set(error) >= FIELDS, error
    assert set(error) - FIELDS <= {"errors"}, error
    assert error["message"] and error["request_id"], error
    text = str(error)
    for leak in LEAKS:
        assert leak not in text, error
