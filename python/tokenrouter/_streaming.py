"""A streamed response, as chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

from ._errors import APIConnectionError, APITimeoutError, error_of
from ._models import Response
from ._sse import SSEDecoder

_EVENTS = {
    "response.created": "metadata",
    "response.output_text.delta": "content.delta",
    "response.refusal.delta": "content.delta",
    "response.reasoning.delta": "reasoning.delta",
    "response.reasoning_text.delta": "reasoning.delta",
    "response.reasoning_summary_text.delta": "reasoning.delta",
    "response.function_call_arguments.delta": "tool_call.delta",
    "response.custom_tool_call_input.delta": "tool_call.delta",
    "response.completed": "message.end",
    "response.incomplete": "message.end",
}


class Delta(str):
    """The text of a delta; `.text` is the same."""

    __slots__ = ()

    @property
    def text(self) -> str:
        return str(self)


class ResponseStreamEvent(BaseModel):
    """A chunk: the event's fields as they came, `event` in TokenRouter's words, `delta` its text."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    type: str
    event: str
    sequence_number: int | None = None
    delta: Any = Delta()
    response: Response | None = None


def parse_event(data: str) -> ResponseStreamEvent | None:
    """The chunk for the data of an event; None for the end. A failure is raised."""
    if data == "[DONE]":
        return None
    fields: dict[str, Any] = json.loads(data)
    kind = str(fields.get("type", ""))
    if kind == "response.failed":
        raise error_of(None, {"error": fields.get("response", {}).get("error") or {}})
    if kind == "error":
        raise error_of(None, fields)
    event = _EVENTS.get(kind, kind)
    if kind == "response.output_item.added" and fields.get("item", {}).get("type") == "message":
        event = "message.start"
    delta = fields.get("delta")
    fields["delta"] = Delta(delta if isinstance(delta, str) else "")
    fields["event"] = event
    return ResponseStreamEvent.model_validate(fields)


class _State:
    def __init__(self) -> None:
        self.final: Response | None = None
        self.decoder = SSEDecoder()

    def chunks(self, piece: bytes) -> Iterator[ResponseStreamEvent]:
        for data in self.decoder.feed(piece):
            chunk = parse_event(data)
            if chunk is None:
                continue
            if chunk.event == "message.end":
                self.final = chunk.response
            yield chunk

    def finish(self) -> Response:
        if self.final is None:
            raise APIConnectionError("the stream ended before the response did")
        return self.final


def connection_error(error: httpx.HTTPError) -> APIConnectionError:
    if isinstance(error, httpx.TimeoutException):
        return APITimeoutError("the API did not answer in time")
    return APIConnectionError(f"the connection to the API failed: {type(error).__name__}")


class Stream:
    """Iterate over it for the chunks, once. Closing it tells the gateway to stop."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._state = _State()
        self._chunks = self._iterate()

    def _iterate(self) -> Iterator[ResponseStreamEvent]:
        try:
            for piece in self.response.iter_bytes():
                yield from self._state.chunks(piece)
            self._state.finish()
        except httpx.HTTPError as error:
            raise connection_error(error) from error
        finally:
            self.response.close()

    def __iter__(self) -> Iterator[ResponseStreamEvent]:
        return self._chunks

    def __next__(self) -> ResponseStreamEvent:
        return next(self._chunks)

    def get_final_response(self) -> Response:
        """Reads to the end; the whole response."""
        for _ in self._chunks:
            pass
        return self._state.finish()

    def close(self) -> None:
        self.response.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStream:
    """Like `Stream`, with `async for`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._state = _State()
        self._chunks = self._iterate()

    async def _iterate(self) -> AsyncIterator[ResponseStreamEvent]:
        try:
            async for piece in self.response.aiter_bytes():
                for chunk in self._state.chunks(piece):
                    yield chunk
            self._state.finish()
        except httpx.HTTPError as error:
            raise connection_error(error) from error
        finally:
            await self.response.aclose()

    def __aiter__(self) -> AsyncIterator[ResponseStreamEvent]:
        return self._chunks

    async def __anext__(self) -> ResponseStreamEvent:
        return await self._chunks.__anext__()

    async def get_final_response(self) -> Response:
        """Reads to the end; the whole response."""
        async for _ in self._chunks:
            pass
        return self._state.finish()

    async def close(self) -> None:
        await self.response.aclose()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
