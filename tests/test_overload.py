"""More than the gateway takes at once, and larger than it takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

ASK: dict[str, Any] = {"model": "openai/gpt-4o", "input": "Hello"}


@pytest.fixture
def small(start_gateway: Callable[..., gp.Gateway]) -> tuple[gp.Gateway, gp.Simulator]:
    """A gateway for two requests at once, of which one more may wait."""
    environment = {"TOKENROUTER_SERVER__MAX_IN_FLIGHT": "2", "TOKENROUTER_SERVER__MAX_WAITING": "1"}
    gateway = start_gateway(environment=environment)
    return gateway, gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))


def test_streams_hold_their_places_until_they_end(small: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = small
    simulator.fault(count=2, drip_ms=200)
    with gateway.http() as client:
        with ExitStack() as streams:
            for _ in range(2):
                answer = streams.enter_context(client.stream("POST", "/v1/responses", json=ASK | {"stream": True}))
                assert answer.status_code == 200
            shed = client.post("/v1/responses", json=ASK)
            assert shed.status_code == 503 and shed.headers["retry-after"] == "1"
            assert shed.json()["error"]["code"] == "service_unavailable" and shed.headers["x-request-id"]
            assert client.post("/v1/messages", json={}).json()["type"] == "error"
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 200
        # The callers have left, and their places are free.
        for _ in range(5):
            assert client.post("/v1/responses", json=ASK).status_code == 200


def test_one_that_waits_gets_the_place_that_comes_free(small: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = small
    simulator.fault(count=2, delay_ms=500)
    statuses: list[int] = []

    def call() -> None:
        with gateway.http() as client:
            statuses.append(client.post("/v1/responses", json=ASK).status_code)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 3


def test_no_place_is_lost_however_requests_end(small: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = small
    with gateway.http(timeout=5) as client:
        for fault in ({"status": 500}, {"reset": True}, {"cut_after_bytes": 700}, {"garbage": True}):
            for stream in (False, True):
                simulator.fault(count=1, **fault)
                client.post("/v1/responses", json=ASK | {"stream": stream})
        for wrong in (b"", b"{", b"[]"):
            client.post("/v1/responses", content=wrong)
        client.get("/v1/nothing")
        simulator.forget()
        with ExitStack() as streams:
            simulator.fault(count=2, drip_ms=50)
            for _ in range(2):
                answer = streams.enter_context(client.stream("POST", "/v1/responses", json=ASK | {"stream": True}))
                assert answer.status_code == 200


def test_json_that_is_too_deep_is_refused(api: httpx.Client) -> None:
    for depth in (1_000, 100_000):
        body = b'{"model": "auto", "input": ' + b"[" * depth + b"]" * depth + b"}"
        for path in ("/v1/responses", "/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1/routing-rules"):
            answer = api.post(path, content=body)
            assert answer.status_code == 400, (path, answer.text)


def test_headers_that_are_too_many_or_too_long_are_refused(api: httpx.Client) -> None:
    for headers in ({"x-long": "x" * 1_000_000}, {f"x-{number}": "x" for number in range(500)}):
        try:
            answer = api.post("/v1/responses", json=ASK, headers=headers)
        except httpx.TransportError:
            continue
        assert answer.status_code == 431
    assert api.post("/v1/responses", json=ASK).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_too_long_is_one_that_failed(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway], stream: bool
) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_UPSTREAM__MAX_ANSWER_BYTES": "100000"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    chunk = json.dumps({"type": "response.output_text.delta", "delta": "x" * 1_000})
    body = f"data: {chunk}\n\n" * 1_000 if stream else " " * 1_000_000
    simulator.fault(provider="openai", count=None, status=200, body=body)
    with gateway.http() as client:
        answer = client.post("/v1/responses", json=ASK | {"stream": stream})
    assert "response.completed" not in answer.text and "upstream_error" in answer.text
    assert len(answer.content) < 1_000_000


def test_an_event_without_an_end_is_given_up(faulty: tuple[httpx.Client, gp.Simulator]) -> None:
    client, simulator = faulty
    simulator.fault(provider="openai", count=1, status=200, body="data: " + "x" * (17 * 1024 * 1024))
    answer = client.post("/v1/responses", json=ASK | {"stream": True})
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_error"
