"""Streams of the Responses API as a test reads them: events, and the order that they must keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

Event = dict[str, Any]
LAST = {"response.completed", "response.incomplete", "response.failed"}


def events(client: httpx.Client, path: str = "/v1/responses", **body: Any) -> list[Event]:
    """Every event of a streamed answer; the stream must have ended by itself."""
    with client.stream("POST", path, json={**body, "stream": True}) as answer:
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(read(answer))


def read(answer: httpx.Response) -> Iterator[Event]:
    """The events as they come; each one's SSE name must be the type in its data."""
    name: str | None = None
    data: list[str] = []
    for line in answer.iter_lines():
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].lstrip(" "))
        elif not line and data:
            text = "\n".join(data)
            if text != "[DONE]":
                event = json.loads(text)
                assert name is None or name == event["type"]
                yield event
            name, data = None, []


def text_of(response: dict[str, Any]) -> str:
    """`output_text`: the text of the message items."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")


def streamed_text(stream: list[Event]) -> str:
    return "".join(event["delta"] for event in stream if event["type"] == "response.output_text.delta")


class Text:
    """A text that comes in deltas: of a content part, a summary part, or a call's arguments."""

    def __init__(self) -> None:
        self.deltas = ""
        self.done: str | None = None


def check_order(stream: list[Event]) -> dict[str, Any]:
    """Holds a whole stream against the order that Open Responses describes; gives the final response."""
    assert [event["sequence_number"] for event in stream] == list(range(len(stream)))
    kinds = [event["type"] for event in stream]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in LAST and not LAST & set(kinds[:-1])
    final: dict[str, Any] = stream[-1]["response"]
    assert {event["response"]["id"] for event in stream if "response" in event} == {final["id"]}

    items: dict[str, Event] = {}
    open_items: set[str] = set()
    open_parts: set[tuple[Any, ...]] = set()
    texts: dict[tuple[Any, ...], Text] = {}
    done_items: dict[int, Any] = {}
    for event in stream[2:-1]:
        kind = event["type"]
        if kind == "response.output_item.added":
            item = event["item"]
            assert item["id"] not in items, "an item is added once"
            assert event["output_index"] == len(items), "items are added in the order of the output"
            items[item["id"]] = event
            open_items.add(item["id"])
            continue
        if kind == "response.output_item.done":
            item = event["item"]
            assert item["id"] in open_items
            assert items[item["id"]]["output_index"] == event["output_index"]
            open_items.remove(item["id"])
            assert not [part for part in open_parts if part[0] == item["id"]], "parts are done before their item"
            done_items[event["output_index"]] = item
            continue
        item_id = event["item_id"]
        assert item_id in open_items, f"{kind} belongs to an open item"
        assert items[item_id]["output_index"] == event["output_index"]
        where = (
            item_id,
            "summary" if "summary" in kind else "content",
            event.get("content_index", event.get("summary_index")),
        )
        if kind.endswith("_part.added"):
            assert where not in open_parts
            open_parts.add(where)
        elif kind.endswith("_part.done"):
            open_parts.remove(where)
            said = event["part"].get("text", event["part"].get("refusal"))
            assert said == texts.setdefault(where, Text()).deltas
        elif kind.endswith(".delta"):
            assert where in open_parts or "arguments" in kind or "custom_tool_call" in kind, f"{kind} belongs to an open part"
            texts.setdefault(where, Text()).deltas += event["delta"]
        elif kind.endswith(".done"):
            text = texts.setdefault(where, Text())
            assert text.done is None
            text.done = next(event[name] for name in ("text", "refusal", "arguments", "input") if name in event)
            assert text.done == text.deltas
    assert not open_items and not open_parts, "everything that was added is done"
    assert [done_items[index] for index in sorted(done_items)] == final["output"]
    for (item_id, kind, index), text in texts.items():
        item = next(item for item in final["output"] if item["id"] == item_id)
        if item["type"] == "function_call":
            assert text.done == item["arguments"]
        elif item["type"] == "custom_tool_call":
            assert text.done == item["input"]
        else:
            part = item[kind][index]
            assert text.deltas == part.get("text", part.get("refusal"))
    return final
