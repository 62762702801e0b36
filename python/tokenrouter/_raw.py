"""Responses as they came: `with_raw_response` and `with_streaming_response`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

import httpx

T = TypeVar("T")


class _Head(Generic[T]):
    def __init__(self, response: httpx.Response, parse: Callable[[httpx.Response], T]) -> None:
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
        value: str | None = self.http_response.headers.get("x-request-id")
        return value


class RawResponse(_Head[T]):
    """The HTTP response; `parse()` gives what the call would have given."""

    def text(self) -> str:
        return self.http_response.text

    def json(self) -> Any:
        return self.http_response.json()

    def parse(self) -> T:
        return self._parse(self.http_response)


class StreamedResponse(_Head[T]):
    """The HTTP response, its body not yet read."""

    def read(self) -> bytes:
        return self.http_response.read()

    def text(self) -> str:
        self.read()
        return self.http_response.text

    def json(self) -> Any:
        self.read()
        return self.http_response.json()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self.http_response.iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        return self.http_response.iter_text(chunk_size)

    def iter_lines(self) -> Iterator[str]:
        return self.http_response.iter_lines()

    def parse(self) -> T:
        """What the call would have given; reads the body, unless that is a stream itself."""
        if "text/event-stream" not in self.headers.get("content-type", ""):
            self.read()
        return self._parse(self.http_response)

    def close(self) -> None:
        self.http_response.close()


class AsyncStreamedResponse(_Head[T]):
    """The HTTP response, its body not yet read."""

    async def read(self) -> bytes:
        return await self.http_response.aread()

    async def text(self) -> str:
        await self.read()
        return self.http_response.text

    async def json(self) -> Any:
        await self.read()
        return self.http_response.json()

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        return self.http_response.aiter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        return self.http_response.aiter_text(chunk_size)

    def iter_lines(self) -> AsyncIterator[str]:
        return self.http_response.aiter_lines()

    async def parse(self) -> T:
        """What the call would have given; reads the body, unless that is a stream itself."""
        if "text/event-stream" not in self.headers.get("content-type", ""):
            await self.read()
        return self._parse(self.http_response)

    async def close(self) -> None:
        await self.http_response.aclose()


class ResponseManager:
    """`with client.responses.with_streaming_response.create(...) as response:` sends on entry, closes on exit."""

    def __init__(self, send: Callable[[], StreamedResponse[Any]]) -> None:
        self._send = send
        self._response: StreamedResponse[Any] | None = None

    def __enter__(self) -> StreamedResponse[Any]:
        self._response = self._send()
        return self._response

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()


class AsyncResponseManager:
    """Like `ResponseManager`, with `async with`."""

    def __init__(self, send: Callable[[], Awaitable[AsyncStreamedResponse[Any]]]) -> None:
        self._send = send
        self._response: AsyncStreamedResponse[Any] | None = None

    async def __aenter__(self) -> AsyncStreamedResponse[Any]:
        self._response = await self._send()
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            await self._response.close()


class Managed:
    """A resource whose methods give managers instead of sending."""

    def __init__(self, resource: object, manager: Callable[[Callable[[], Any]], Any]) -> None:
        self._resource = resource
        self._manager = manager

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._resource, name)

        def call(*arguments: Any, **fields: Any) -> Any:
            return self._manager(lambda: method(*arguments, **fields))

        return call
