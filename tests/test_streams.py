"""Streams that are silent, that nobody reads, and that their caller leaves."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gateway_process as gp
import httpx
import pytest

MODELS = ["openai/gpt-4o", "mistral/mistral-large-latest", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"]
SURFACES = {
    "/v1/responses": {"input": "Hello"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64},
}


@pytest.fixture
def quick(start_gateway: Callable[..., gp.Gateway]) -> tuple[gp.Gateway, gp.Simulator]:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__HEARTBEAT_MS": "50"})
    return gateway, gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))


@pytest.mark.parametrize("path", SURFACES)
def test_a_silent_stream_gives_signs_of_life(quick: tuple[gp.Gateway, gp.Simulator], path: str) -> None:
    gateway, simulator = quick
    simulator.fault(provider="openai", count=1, drip_ms=200)
    with gateway.http() as client:
        answer = client.post(path, json={"model": MODELS[0], "stream": True} | SURFACES[path])
    sign = 'event: ping\ndata: {"type": "ping"}' if path == "/v1/messages" else ": keep-alive"
    pieces = answer.text.strip().split("\n\n")
    assert pieces.count(sign) >= 3
    assert not pieces[0].startswith(sign) and pieces[-1] != sign
    # What remains is whole: no sign fell into an event.
    for piece in pieces:
        data = [line[6:] for line in piece.split("\n") if line.startswith("data: ")]
        assert piece == sign or data == ["[DONE]"] or json.loads("".join(data))


def test_a_stream_that_is_not_silent_gives_none(gateway: gp.Gateway, workspace: str) -> None:
    with gateway.http(workspace) as client:
        answer = client.post("/v1/responses", json={"model": MODELS[0], "stream": True, "input": "Hello"})
    assert "response.completed" in answer.text and "keep-alive" not in answer.text


def outcomes(database: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT outcome, input_tokens FROM ledger").fetchall()


@pytest.mark.parametrize("stage", ["before the first byte", "in mid-stream"])
@pytest.mark.parametrize("model", MODELS)
def test_a_caller_who_leaves_stops_the_provider_and_is_counted(
    quick: tuple[gp.Gateway, gp.Simulator], model: str, stage: str
) -> None:
    gateway, simulator = quick
    fault: dict[str, Any] = {"hang": True} if stage == "before the first byte" else {"drip_ms": 100}
    simulator.fault(count=1, **fault)
    body = {"model": model, "stream": True, "input": "Tell me a story"}
    with gateway.http(timeout=1.0) as client:
        if "hang" in fault:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/responses", json=body)
        else:
            with client.stream("POST", "/v1/responses", json=body) as answer:
                next(answer.iter_lines())
    gp.until(lambda: [r["end"] for r in simulator.requests()] == ["left"], "the provider's hearing of it", timeout=3)
    gp.until(lambda: len(outcomes(gateway.database)) == 1, "the ledger's entry", timeout=3)
    [(outcome, tokens)] = outcomes(gateway.database)
    assert outcome == "cancelled"
    # Only Anthropic tells the prompt's tokens at the start; the others' are estimated.
    assert tokens > 0


def resident_bytes(gateway: gp.Gateway) -> int:
    status = Path(f"/proc/{gateway.process.child.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def test_a_reader_that_stops_does_not_make_the_gateway_grow(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway]
) -> None:
    simulator = gp.start_simulator()
    config = tmp_path / "one.toml"
    provider = gp.provider_settings("mistral", "mistral", f"{simulator.url}/mistral/v1")
    config.write_text("[upstream]\nmax_answer_bytes = 1_000_000_000\n" + provider)
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    chunk = json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": 0, "delta": {"content": "x" * 16_384}, "finish_reason": None}]})  # fmt: skip
    simulator.fault(provider="mistral", count=1, status=200, body=f"data: {chunk}\n\n" * 10_000)
    address = urlsplit(gateway.url)
    body = json.dumps({"model": "mistral/mistral-large-latest", "stream": True, "input": "Hello"})
    head = f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    before = resident_bytes(gateway)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.connect((address.hostname, address.port))
        connection.sendall((head + body).encode())
        assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
        sizes: list[int] = []

        def settled() -> bool:
            sizes.append(resident_bytes(gateway))
            return len(sizes) > 200 and sizes[-1] == sizes[-100]

        gp.until(settled, "the gateway's rest")
    assert simulator.process is not None
    simulator.process.kill()
    # 160 megabytes are on offer, and each would be kept more than once. What is taken is what the buffers of
    # the two connections hold.
    assert max(sizes) - before < 64 * 1024 * 1024, f"it grew by {max(sizes) - before} bytes"
