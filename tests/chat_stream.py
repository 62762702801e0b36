"""Streams of Chat Completions as a test reads them: chunks of the official type, and how they must end."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx
from openai.types.chat import ChatCompletionChunk


class Streamed(NamedTuple):
    """A whole stream: what its deltas come to, and its chunks."""

    message: dict[str, Any]
    finish_reason: str | None
    usage: dict[str, Any] | None
    chunks: list[dict[str, Any]]
    error: dict[str, Any] | None


def data_lines(client: httpx.Client, **body: Any) -> list[str]:
    with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines), lines
    return [line[6:] for line in lines]


def streamed(client: httpx.Client, **body: Any) -> Streamed:
    """Reads a stream, holds each chunk against OpenAI's own type, and joins the deltas."""
    lines = data_lines(client, **body)
    error = None
    if lines[-1] == "[DONE]":
        lines.pop()
    else:
        error = json.loads(lines.pop())["error"]
    chunks = []
    for line in lines:
        chunk = json.loads(line)
        chunks.append(chunk)
        # The package has no type for a call of a custom tool in a chunk.
        if '"custom":{' not in line:
            ChatCompletionChunk.model_validate_json(line, strict=True)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    usage = None
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    finish_reason = None
    for chunk in chunks:
        if chunk.get("usage"):
            assert chunk is chunks[-1] and chunk["choices"] == []
            usage = chunk["usage"]
            continue
        [choice] = chunk["choices"]
        assert finish_reason is None, "nothing follows the finish"
        finish_reason = choice["finish_reason"]
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                for call in value:
                    if call["index"] == len(calls):
                        assert call["id"] and call[call["type"]]["name"], "id and name come first"
                        calls.append(dict(call))
                    else:
                        begun = calls[call["index"]]
                        kind, field = ("custom", "input") if begun["type"] == "custom" else ("function", "arguments")
                        assert set(call) == {"index", kind} and set(call[kind]) == {field}
                        begun[kind] = begun[kind] | {field: begun[kind][field] + call[kind][field]}
            elif name == "function_call":
                known = message.setdefault("function_call", {"arguments": ""})
                known["arguments"] += value.pop("arguments")
                known.update(value)
            elif name == "annotations":
                message.setdefault(name, []).extend(value)
            elif value is not None and name != "role":
                message[name] = message.get(name, "") + value
    if calls:
        message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    return Streamed(message, finish_reason, usage, chunks, error)
