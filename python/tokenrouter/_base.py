"""What the sync and the async client share: settings, requests, retries."""

from __future__ import annotations

import enum
import os
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
from pydantic import BaseModel

from ._errors import TokenrouterError, error_of

ENVIRONMENTS = {"production": "https://api.tokenrouter.io", "local": "http://127.0.0.1:8000"}
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
LONGEST_WAIT = 30.0


class Mode(enum.Enum):
    """What a call gives: the parsed answer, the HTTP response, or the HTTP response before its body is read."""

    PARSED = "parsed"
    RAW = "raw"
    STREAMED = "streamed"


class NotGiven:
    """A field that was not given, which is not the same as None."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if not isinstance(value, NotGiven)}


@dataclass(frozen=True)
class Settings:
    api_key: str = field(repr=False)
    base_url: str
    timeout: float | httpx.Timeout | None
    max_retries: int
    default_headers: Mapping[str, str]
    default_query: Mapping[str, Any]

    @staticmethod
    def make(
        api_key: str | None,
        environment: str | None,
        base_url: str | None,
        timeout: float | httpx.Timeout | None,
        max_retries: int,
        default_headers: Mapping[str, str] | None,
        default_query: Mapping[str, Any] | None,
    ) -> Settings:
        key = (api_key or os.environ.get("TOKENROUTER_API_KEY") or "").strip()
        if not key:
            raise TokenrouterError("an API key is needed: pass api_key, or set TOKENROUTER_API_KEY")
        if not key.isascii() or not key.isprintable():
            raise TokenrouterError("the API key holds characters that no key has")
        if environment is not None and environment not in ENVIRONMENTS:
            raise TokenrouterError(f"environment must be 'production' or 'local', not {environment!r}")
        url = base_url or os.environ.get("TOKENROUTER_BASE_URL") or ENVIRONMENTS[environment or "production"]
        url = url.rstrip("/").removesuffix("/v1")
        try:
            valid = httpx.URL(url).scheme in ("http", "https") and httpx.URL(url).host
        except httpx.InvalidURL:
            valid = False
        if not valid:
            raise TokenrouterError(f"base_url must be an http:// or https:// address, not {url!r}")
        return Settings(key, url, timeout, max_retries, dict(default_headers or {}), dict(default_query or {}))

    def changed(self, **changes: Any) -> Settings:
        return replace(self, **given(changes))


@dataclass
class Call:
    """One logical request, however often it is tried."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict[str, Any])
    stream: bool = False
    extra_headers: Mapping[str, str] | None = None
    extra_query: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] | None = None
    timeout: float | httpx.Timeout | None | NotGiven = NOT_GIVEN

    def request(self, client: httpx.Client | httpx.AsyncClient, settings: Settings) -> httpx.Request:
        from . import __version__

        headers = {
            "authorization": f"Bearer {settings.api_key}",
            "user-agent": f"tokenrouter-python/{__version__}",
            "accept": "text/event-stream" if self.stream else "application/json",
        }
        if self.method == "POST":
            headers["idempotency-key"] = str(uuid.uuid4())
        headers.update(settings.default_headers)
        headers.update(self.extra_headers or {})
        body = self.body
        if self.extra_body:
            body = {**(body or {}), **self.extra_body}
        query = {**settings.default_query, **self.query, **(self.extra_query or {})}
        timeout = settings.timeout if isinstance(self.timeout, NotGiven) else self.timeout
        return client.build_request(
            self.method,
            settings.base_url + self.path,
            headers=headers,
            json=plain(body),
            params=query or None,
            timeout=timeout,
        )


def plain(value: Any) -> Any:
    """The value with what the API gave, such as `first.output`, as it came."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in cast("list[Any]", value)]
    return value


def wait_before(attempt: int, response: httpx.Response | None) -> float:
    """Seconds until the next try: what the API asks for, else 0.5, 1, 2 … and some chance."""
    if response is not None:
        try:
            asked = float(response.headers["retry-after"])
            if 0 <= asked:
                return min(asked, LONGEST_WAIT)
        except (KeyError, ValueError):
            pass
    return min(0.5 * float(2**attempt), 8.0) * (1 - 0.25 * random.random())


def raise_for(response: httpx.Response) -> None:
    """Raises the error of a response that has been read."""
    if response.is_success:
        return
    try:
        body: object = response.json()
    except ValueError:
        body = None
    raise error_of(response.status_code, body, response.headers)
