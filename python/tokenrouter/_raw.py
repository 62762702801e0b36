"""Responses as they came: `client.responses.with_raw_response`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx


class RawResponse:
    """The HTTP response; `parse()` gives what the call would have given."""

    def __init__(self, response: httpx.Response, parse: Callable[[httpx.Response], Any]) -> None:
        self.http_response = response
        self._parse = parse

    @property
    def headers(self) -> httpx.Headers:
        return self.http_response.headers

    @property
    def status_code(self) -> int:
        return self.http_response.status_code

    @property
    def request_id(self) -> str | None:
        return self.http_response.headers.get("x-request-id")

    def text(self) -> str:
        return self.http_response.text

    def json(self) -> Any:
        return self.http_response.json()

    def parse(self) -> Any:
        return self._parse(self.http_response)
