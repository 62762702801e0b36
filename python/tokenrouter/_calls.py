"""The requests behind each method, one function each, for the sync and the async client alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import EllipsisType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from ._base import Call, given
from ._errors import APIResponseValidationError
from ._models import Model

M = TypeVar("M", bound=BaseModel)

_OPTIONS = ("extra_headers", "extra_query", "extra_body", "timeout")


def parser(model: type[M]) -> Callable[[httpx.Response], M]:
    def parse(response: httpx.Response) -> M:
        try:
            parsed = model.model_validate(response.json())
        except ValueError as error:
            raise APIResponseValidationError(
                "what answered is not TokenRouter's API: is base_url right?",
                status=response.status_code,
                headers=response.headers,
            ) from error
        if isinstance(parsed, Model):
            parsed._request_id = response.headers.get("x-request-id")  # pyright: ignore[reportPrivateUsage]
        return parsed

    return parse


def call(method: str, path: str, fields: Mapping[str, Any] | None = None, *, query: bool = False) -> Call:
    """A call, its options taken out of the fields."""
    fields = given(fields or {})
    options = {name: fields.pop(name) for name in _OPTIONS if name in fields}
    if query:
        return Call(method, path, query=fields, **options)
    return Call(method, path, body=fields if method in ("POST", "PATCH") else None, **options)


def create_response(placeholder: EllipsisType | None, fields: Mapping[str, Any]) -> Call:
    """`...` in the place of the arguments, as examples write it, is no arguments: the API says what is
    missing."""
    if placeholder is not None and placeholder is not ...:
        raise TypeError("responses.create takes keyword arguments only")
    made = call("POST", "/v1/responses", fields)
    made.stream = bool((made.body or {}).get("stream"))
    return made


def model_path(model: str) -> str:
    if not model:
        raise ValueError("a model's name is needed")
    return f"/v1/models/{quote(model, safe='/:@')}"


def request_path(request_id: str) -> str:
    if not request_id:
        raise ValueError("the id of a request is needed")
    return f"/v1/requests/{quote(request_id, safe='')}"


def rule_path(kind: str, rule_id: int | None = None) -> str:
    return f"/v1/{kind}" if rule_id is None else f"/v1/{kind}/{int(rule_id)}"


def conversation_path(conversation_id: str, *rest: str) -> str:
    if not conversation_id or not all(rest):
        raise ValueError("the id of a conversation or an item is needed")
    return "/".join(["/v1/conversations", *(quote(part, safe="") for part in (conversation_id, *rest))])


def response_path(response_id: str | None, rest: str = "") -> str:
    if not response_id or not all(c.isalnum() or c in "_-" for c in response_id):
        raise ValueError(f"not the id of a response: {response_id!r}")
    return f"/v1/responses/{response_id}{rest}"
