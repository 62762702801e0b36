"""Providers at their worst: what the caller sees, how often each was asked, and that every request is recorded."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

MODELS = {
    "openai": "openai/gpt-4o",
    "mistral": "mistral/mistral-large-latest",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
}


@pytest.fixture
def client(faulty: tuple[httpx.Client, gp.Simulator]) -> httpx.Client:
    return faulty[0]


@pytest.fixture
def simulator(faulty: tuple[httpx.Client, gp.Simulator]) -> gp.Simulator:
    return faulty[1]


@pytest.fixture(autouse=True)
def everything_is_recorded(standalone: tuple[gp.Gateway, gp.Simulator], client: httpx.Client) -> Iterator[None]:
    """Each request that a test made is in the ledger, once."""
    ids: list[str] = []

    def note(response: httpx.Response) -> None:
        if response.request.url.path in ("/v1/responses", "/v1/chat/completions", "/v1/messages"):
            ids.append(response.headers["x-request-id"])

    client.event_hooks = {"response": [note]}
    yield
    client.event_hooks = {}

    def recorded() -> list[str]:
        with sqlite3.connect(f"file:{standalone[0].database}?mode=ro", uri=True) as connection:
            rows = connection.execute("SELECT request_id FROM ledger").fetchall()
        return sorted(row[0] for row in rows if row[0] in set(ids))

    gp.until(lambda: recorded() == sorted(ids), "the ledger's entries", timeout=5)


def stream(client: httpx.Client, model: str) -> httpx.Response:
    return client.post("/v1/responses", json={"model": model, "input": "Hello", "stream": True})


def last_event(answer: httpx.Response) -> str:
    events: list[str] = re.findall(r"^event: (\S+)", answer.text, re.MULTILINE)
    return events[-1]


def whole(client: httpx.Client, model: str) -> str:
    """The text of an answer in which nothing goes wrong."""
    answer = stream(client, model)
    assert last_event(answer) == "response.completed"
    return text(answer)


def text(answer: httpx.Response) -> str:
    deltas = (json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith('data: {"type":"response.output_text.delta"'))
    return "".join(delta["delta"] for delta in deltas)


# Between the first byte and the last one of any of the four dialects' streams, and denser at the start; `make chaos`
# takes every byte.
CUTS = range(1, 6_000) if os.environ.get("CHAOS_EVERY_BYTE") else [*range(1, 200, 23), *range(200, 3_000, 139)]


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_stream_that_is_cut_at_any_byte_is_whole_or_failed(
    client: httpx.Client, simulator: gp.Simulator, model: str
) -> None:
    right = whole(client, model)
    seen = set()
    for cut in CUTS:
        simulator.forget()
        simulator.fault(count=2, cut_after_bytes=cut)
        answer = stream(client, model)
        assert 1 <= len(simulator.requests()) <= 2
        if answer.status_code != 200:
            assert answer.status_code == 502, (cut, answer.text)
            seen.add("refused")
            continue
        end = last_event(answer)
        assert end in ("response.completed", "response.failed"), (cut, end)
        assert right.startswith(text(answer)), "what was said is the beginning of what was to be said"
        if end == "response.completed":
            assert text(answer) == right, f"cut after {cut} bytes, it looked whole"
        seen.add(end)
        if end == "response.completed" and len(simulator.requests()) == 1:
            break  # The cut lies behind the end of the stream.
    assert {"refused", "response.failed"} <= seen


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "calls"),
    [
        ({"status": 500}, 502, 1),
        ({"status": 503}, 503, 1),
        ({"status": 429, "retry_after": 7}, 429, 1),
        ({"status": 401}, 502, 1),
        ({"status": 400}, 400, 1),
        ({"garbage": True}, 502, 1),
        ({"reset": True}, 502, 2),
        ({"hang": True}, 504, 1),
        ({"status": 200, "body": "\x00\xff" * 100}, 502, 1),
        ({"status": 200, "body": "data: {\n\ndata: [\n\n"}, 502, 1),
        ({"status": 200, "body": ""}, 502, 1),
        ({"status": 302}, 502, 1),
    ],
    ids=lambda value: json.dumps(value)[:30],
)
@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_one_provider_at_its_worst_is_asked_so_often(
    client: httpx.Client, simulator: gp.Simulator, model: str, fault: dict[str, Any], status: int, calls: int, streamed: bool
) -> None:
    simulator.fault(count=None, **fault)
    answer = client.post("/v1/responses", json={"model": model, "input": "Hello", "stream": streamed})
    assert answer.status_code == status, answer.text
    assert len(simulator.requests()) == calls
    if status == 429:
        assert answer.headers["retry-after"] == "7"


def test_when_all_are_down_no_request_is_asked_more_often_than_the_settings_say(
    client: httpx.Client, simulator: gp.Simulator
) -> None:
    simulator.fault(count=None, status=500)
    for number in range(1, 6):
        assert client.post("/v1/responses", json={"model": "auto", "input": "Hello"}).status_code == 502
        assert len(simulator.requests()) == 3 * number


@pytest.fixture
def half_open() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_half_open_socket_is_left_for_the_next_target(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway], simulator: gp.Simulator, half_open: str, streamed: bool
) -> None:
    config = tmp_path / "half.toml"
    settings = "[upstream]\nfirst_event_timeout_ms = 300\n" + gp.provider_settings("openai", "openai", half_open)
    config.write_text(settings + gp.provider_settings("mistral", "mistral", f"{simulator.url}/mistral/v1"))
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    with gateway.http() as own:
        rule = {"name": "r", "action_json": {"set_model": MODELS["openai"], "fallbacks": [MODELS["mistral"]]}}
        assert own.post("/v1/routing-rules", json=rule).status_code == 201
        answer = own.post("/v1/responses", json={"input": "Hello", "stream": streamed})
        assert answer.status_code == 200 and answer.headers["x-tokenrouter-provider"] == "mistral"
