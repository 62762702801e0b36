"""Callers that read slowly get all of their answer; one that reads nothing is taken to have left."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gateway_process as gp
import pytest
from h2.settings import SettingCodes
from http2 import Http2

ASK: dict[str, Any] = {"model": "openai/gpt-4o", "input": "Hello"}
LONG = "word " * 200_000
# HTTP/2's code for a stream that is not wanted any more.
CANCEL = 8


class LongWindedProvider(ThreadingHTTPServer):
    """Speaks as OpenAI's Responses: plain answers are long, streams never stop by themselves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), LongWinded)
        # One for each stream whose reader has left.
        self.left: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class LongWinded(BaseHTTPRequestHandler):
    server: LongWindedProvider

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        part = {"type": "output_text", "text": LONG, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": 1, "output_tokens": 200_000, "total_tokens": 200_001}
        whole = {"id": "resp_1", "model": "gpt-4o", "status": "completed", "output": [item], "usage": usage}
        body = json.dumps(whole).encode()
        self.send_response(200)
        if not asked.get("stream"):
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        delta = {"output_index": 0, "item_id": "msg_1", "content_index": 0, "delta": "word " * 2_000}
        try:
            self.say("response.created", response={"id": "resp_1", "model": "gpt-4o", "status": "in_progress"})
            self.say("response.output_item.added", output_index=0, item=item | {"content": []})
            while True:
                self.say("response.output_text.delta", **delta)
        except OSError:
            self.server.left.put(None)

    def say(self, kind: str, **fields: Any) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[LongWindedProvider]:
    running = LongWindedProvider()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def gateway(
    start_gateway: Callable[..., gp.Gateway], provider: LongWindedProvider, tmp_path: Path
) -> gp.Gateway:
    """Waits half a second for whoever takes no byte, and less for a next request."""
    settings = "[server]\nwrite_timeout_ms = 500\nheader_timeout_ms = 200\n"
    config = tmp_path / "tokenrouter.toml"
    url = f"http://127.0.0.1:{provider.server_port}/v1"
    config.write_text(settings + gp.provider_settings("openai", "openai", url))
    return start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})


def records(gateway: gp.Gateway, count: int) -> list[dict[str, Any]]:
    """Once there are so many, the newest first."""
    with gateway.http() as client:
        gp.until(lambda: len(client.get("/v1/requests").json()["data"]) == count, "the records")
        return list(client.get("/v1/requests").json()["data"])


def ask_over_http1(gateway: gp.Gateway, body: dict[str, Any]) -> socket.socket:
    host, port = gateway.url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    caller.connect((host, int(port)))
    sent = json.dumps(body)
    head = f"POST /v1/responses HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {gateway.key}\r\n"
    caller.sendall(f"{head}content-length: {len(sent)}\r\n\r\n{sent}".encode())
    return caller


def test_a_caller_that_takes_nothing_more_is_taken_to_have_left(
    gateway: gp.Gateway, provider: LongWindedProvider
) -> None:
    with ask_over_http1(gateway, ASK | {"stream": True}) as caller:
        # A slow reader is no such caller, however long it takes.
        for _ in range(25):
            assert caller.recv(4_000)
            time.sleep(0.05)
        assert provider.left.empty()
        provider.left.get(timeout=15)
    [entry] = records(gateway, 1)
    assert entry["outcome"] == "cancelled" and entry["usage_estimated"] and entry["output_tokens"] > 10_000


def test_over_http2_only_the_stream_that_nobody_reads_ends(
    gateway: gp.Gateway, provider: LongWindedProvider
) -> None:
    with Http2(gateway) as caller:
        body = json.dumps(ASK | {"stream": True}).encode()
        unread, slow = caller.ask("POST", "/v1/responses", body), caller.ask("POST", "/v1/responses", body)
        end = time.monotonic() + 15
        while caller.answers[unread].reset_by is None:
            assert caller.is_open and time.monotonic() < end, "the stream that nobody reads goes on"
            caller.listen(0.05)
            caller.read(slow, 4_000)
        assert caller.answers[unread].reset_by == CANCEL
        provider.left.get(timeout=15)
        # The other one, and what is asked now, go on beside it.
        before = len(caller.answers[slow].body)
        for _ in range(20):
            caller.listen(0.05)
            caller.read(slow, 20_000)
        assert caller.answers[slow].reset_by is None and len(caller.answers[slow].body) > before + 40_000
        assert caller.until_over(caller.ask("GET", "/v1/models")).status == 200
        assert provider.left.empty()
    for entry in records(gateway, 2):
        assert entry["outcome"] == "cancelled" and entry["usage_estimated"] and entry["output_tokens"] > 1_000


def test_over_http2_a_plain_answer_that_nobody_reads_ends_alone(gateway: gp.Gateway) -> None:
    with Http2(gateway) as caller:
        unread = caller.ask("POST", "/v1/responses", json.dumps(ASK).encode())
        assert caller.until_over(unread, read=False).reset_by == CANCEL
        assert caller.until_over(caller.ask("GET", "/v1/models")).status == 200
    [entry] = records(gateway, 1)
    assert entry["outcome"] == "completed"


def test_a_slow_reader_gets_all_of_a_plain_answer(gateway: gp.Gateway) -> None:
    """It takes many times as long as a connection may be idle."""
    with ask_over_http1(gateway, ASK) as caller:
        received = b""
        while not received.endswith(b"}"):
            more = caller.recv(16_384)
            assert more, f"cut after {len(received)} bytes"
            received += more
            time.sleep(0.006)
    assert json.loads(received.partition(b"\r\n\r\n")[2])["output"][0]["content"][0]["text"] == LONG


def test_over_http2_a_slow_reader_gets_all_of_a_plain_answer(gateway: gp.Gateway) -> None:
    with Http2(gateway) as caller:
        stream = caller.ask("POST", "/v1/responses", json.dumps(ASK).encode())
        answer = caller.answers[stream]
        while not answer.ended:
            caller.listen(0.05)
            assert caller.is_open and answer.reset_by is None, f"cut after {len(answer.body)} bytes"
            caller.read(stream, 20_000)
    assert json.loads(answer.body)["output"][0]["content"][0]["text"] == LONG


def test_over_http2_a_caller_that_hears_nothing_does_not_hold_a_stop_up(
    start_gateway: Callable[..., gp.Gateway],
) -> None:
    gateway = start_gateway()
    with Http2(gateway) as caller:
        assert caller.until_over(caller.ask("GET", "/v1/models")).status == 200
        begun = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - begun < 10, "it waited for as long as requests may take"


def test_what_nobody_reads_holds_its_place_until_it_ends(
    start_gateway: Callable[..., gp.Gateway], provider: LongWindedProvider, tmp_path: Path
) -> None:
    config = tmp_path / "one.toml"
    url = f"http://127.0.0.1:{provider.server_port}/v1"
    settings = "[server]\nwrite_timeout_ms = 500\nmax_in_flight = 1\nmax_waiting = 0\n"
    config.write_text(settings + gp.provider_settings("openai", "openai", url))
    database = tmp_path / "one.db"
    gateway = start_gateway(
        simulate=False, config=config, database=database, environment={"SIMULATED_KEY": gp.SIMULATED_KEY}
    )
    with ask_over_http1(gateway, ASK) as caller, gateway.http() as client:
        assert caller.recv(12) == b"HTTP/1.1 200"
        assert client.get("/v1/models").status_code == 503
        gp.until(lambda: client.get("/v1/models").status_code == 200, "the end of who reads nothing")


def test_metrics_that_nobody_reads_are_few(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    with Http2(gateway) as caller:
        caller.http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
        streams = [caller.ask("GET", "/metrics") for _ in range(40)]
        end = time.monotonic() + 15
        while not all(caller.answers[stream].status for stream in streams):
            assert caller.is_open and time.monotonic() < end, "not all are answered"
            caller.listen(0.05)
        statuses = [caller.answers[stream].status for stream in streams]
        assert (statuses.count(200), statuses.count(503)) == (16, 24)
        assert caller.until_over(caller.ask("GET", "/healthz")).status == 200
        for stream in streams:
            caller.until_over(stream)
        assert caller.until_over(caller.ask("GET", "/metrics")).status == 200


def test_a_provider_that_is_quicker_than_its_reader_is_held_to_the_total_time(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path
) -> None:
    simulator = gp.start_simulator()
    try:
        config = tmp_path / "tokenrouter.toml"
        provider = gp.provider_settings("openai", "openai", f"{simulator.url}/openai/v1")
        config.write_text("[upstream]\ntotal_timeout_ms = 1500\n" + provider)
        gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
        place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
        delta = {"type": "response.output_text.delta", "delta": "word " * 1000, **place}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "r", "model": "gpt-4o", "status": "in_progress"}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            *[delta] * 1200,
        ]
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        simulator.fault(provider="openai", count=1, status=200, body=body)
        with Http2(gateway) as caller:
            stream = caller.ask("POST", "/v1/responses", json.dumps(ASK | {"stream": True}).encode())
            # Six megabytes are there at once. Of them, 60 kB a second are taken until the time is over.
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                caller.listen(0.05)
                caller.read(stream, 3_000)
            answer = caller.until_over(stream)
        assert b'"upstream_timeout"' in answer.body
        assert len(answer.body) < 3_000_000, "all of it went out"
    finally:
        simulator.process.kill()
