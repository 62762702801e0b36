"""Killed or stopped in the middle of traffic: what a caller saw complete is kept."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_envelope, check_error
from response_stream import LAST, events, read

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]
CALLERS = 8
ENOUGH = 200


class Traffic:
    """Callers that ask, plain and streamed in turn, until the gateway is gone, and note what they saw complete."""

    def __init__(self, gateway: gp.Gateway) -> None:
        self.seen: dict[str, str] = {}
        self.failures: list[str] = []
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._call, args=(gateway, number)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self, gateway: gp.Gateway, number: int) -> None:
        with gateway.http() as client:
            for turn in range(100_000):
                try:
                    self._ask(client, MODELS[(number + turn) % 2], f"Hello {number} {turn}", bool(turn % 2))
                except (httpx.TransportError, json.JSONDecodeError):
                    return
                except AssertionError as error:
                    with self._changed:
                        self.failures.append(str(error))
                    return

    def _ask(self, client: httpx.Client, model: str, text: str, stream: bool) -> None:
        body = {"model": model, "input": text, "stream": stream}
        if not stream:
            answer = client.post("/v1/responses", json=body)
            assert answer.status_code == 200, answer.text
            self._saw(answer.json())
            return
        with client.stream("POST", "/v1/responses", json=body) as answer:
            assert answer.status_code == 200
            for event in read(answer):
                if event["type"] in LAST:
                    assert event["type"] == "response.completed"
                    self._saw(event["response"])

    def _saw(self, response: dict[str, Any]) -> None:
        with self._changed:
            self.seen[response["id"]] = response["tokenrouter"]["request_id"]
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count or self.failures, timeout=60)
        assert not self.failures, self.failures[:3]

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"


def ledger(database: Path) -> Counter[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return Counter(row[0] for row in connection.execute("SELECT request_id FROM ledger"))


def test_a_kill_in_the_middle_of_traffic_loses_nothing_that_a_caller_saw_complete(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway]
) -> None:
    database = tmp_path / "tokenrouter.db"
    seen: dict[str, str] = {}
    key: dict[str, str] = {}
    for round_ in range(3):
        gateway = start_gateway(database=database, environment=key)
        key = {"TOKENROUTER_BOOTSTRAP_KEY": gateway.key}
        traffic = Traffic(gateway)
        traffic.wait_for(ENOUGH)
        gateway.process.kill()
        traffic.join()
        assert not traffic.failures, traffic.failures[:3]
        seen |= traffic.seen
        assert len(seen) >= ENOUGH * (round_ + 1)
    gateway = start_gateway(database=database, environment=key)
    recorded = ledger(database)
    assert {request_id: recorded[request_id] for request_id in seen.values()} == dict.fromkeys(seen.values(), 1)
    with gateway.http() as client:
        for response_id in seen:
            answer = client.get(f"/v1/responses/{response_id}")
            assert answer.status_code == 200 and answer.json()["status"] == "completed", answer.text
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_stop_lets_a_slow_stream_finish_and_takes_nothing_new(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(provider="openai", count=1, drip_ms=20)
    host, port = gateway.url.removeprefix("http://").split(":")
    kinds: list[str] = []
    body = {"model": MODELS[0], "input": "Tell me of the sea, at length", "stream": True}
    with gateway.http() as client, client.stream("POST", "/v1/responses", json=body) as answer:
        assert answer.status_code == 200
        for event in read(answer):
            kinds.append(event["type"])
            if event["type"] == "response.output_text.delta" and kinds.count(event["type"]) == 1:
                gateway.process.terminate()
                gp.until(lambda: refuses(host, int(port)), "refusing new connections")
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") > 1
    assert gateway.process.wait() == 0, gateway.process.stderr


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # It was in the queue of the socket that was just closed.
        return False
    return False


def test_readiness_goes_before_connections_are_refused(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__STOP_DELAY_MS": "1500"})
    host, port = gateway.url.removeprefix("http://").split(":")

    def readiness() -> tuple[int, str]:
        with gateway.http() as client:
            answer = client.get("/readyz")
        return answer.status_code, answer.json()["status"]

    assert readiness() == (200, "ready")
    gateway.process.terminate()
    gp.until(lambda: readiness() == (503, "stopping"), "its being unready")
    with gateway.http() as client:
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/responses", json={"model": MODELS[0], "input": "Hi"}).status_code == 200
    gp.until(lambda: refuses(host, int(port)), "refusing new connections")
    assert gateway.process.wait() == 0, gateway.process.stderr


def test_a_second_signal_ends_the_delay_at_once(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__STOP_DELAY_MS": "60000"})
    gateway.process.terminate()
    with gateway.http() as client:
        gp.until(lambda: client.get("/readyz").status_code == 503, "its being unready")
    gateway.process.terminate()
    assert gateway.process.wait(10) == 0, gateway.process.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_a_stop_without_traffic_is_quick_and_clean(start_gateway: Callable[..., gp.Gateway], times: int) -> None:
    gateway = start_gateway()
    with gateway.http() as client:
        assert client.get("/v1/models").status_code == 200
        for _ in range(times):
            gateway.process.terminate()
        # The client's idle connection is still open: it must not hold the gateway up.
        code = gateway.process.wait(10)
    assert code == 0 or (times == 2 and code < 128), gateway.process.stderr


def test_rules_and_keys_survive_a_restart(tmp_path: Path, start_gateway: Callable[..., gp.Gateway]) -> None:
    database = tmp_path / "tokenrouter.db"
    first = start_gateway(database=database)
    rule = {"name": "No tea", "scope": "prompt", "type": "substring", "pattern": "tea", "action": "block"}
    with first.http() as client:
        made = client.post("/v1/firewall-rules", json=rule).json()
        other_key = first.new_workspace()
    assert first.stop() == 0
    second = start_gateway(database=database, environment={"TOKENROUTER_BOOTSTRAP_KEY": first.key})
    with second.http(first.key) as client, second.http(other_key) as other:
        assert client.get("/v1/firewall-rules").json() == {"data": [made["data"]]}
        assert client.post("/v1/responses", json={"model": "auto", "input": "tea"}).status_code == 422
        assert other.post("/v1/responses", json={"model": "auto", "input": "tea"}).status_code == 200


def start_slow(start_gateway: Callable[..., gp.Gateway], **settings: str) -> tuple[gp.Gateway, gp.Simulator]:
    """A gateway whose next stream from OpenAI takes half a second an event."""
    gateway = start_gateway(environment={f"TOKENROUTER_SERVER__{name}": value for name, value in settings.items()})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(provider="openai", count=1, drip_ms=500)
    return gateway, simulator


def check_cut(gateway: gp.Gateway, *request_ids: str) -> None:
    """The gateway has ended cleanly, and each of the requests is in its ledger, as failed."""
    assert gateway.process.wait(10) == 0, gateway.process.stderr
    for trouble in ("could not be recorded", "not in the ledger", "WAL", "panicked"):
        assert trouble not in gateway.process.stderr
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
        recorded = connection.execute("SELECT request_id, outcome, http_status, error_code FROM ledger").fetchall()
    assert sorted(recorded) == sorted((id_, "failed", 503, "service_unavailable") for id_ in request_ids)


def test_what_the_drain_limit_cuts_is_told_so_and_is_in_the_ledger(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway, simulator = start_slow(start_gateway, DRAIN_TIMEOUT_MS="200")
    simulator.fault(provider="anthropic", count=1, delay_ms=60_000)
    simulator.fault(provider="mistral", count=1, delay_ms=60_000)
    answers: list[httpx.Response] = []

    def ask(path: str, body: dict[str, Any]) -> None:
        with gateway.http() as client:
            answers.append(client.post(path, json=body))

    callers = [
        threading.Thread(target=ask, args=("/v1/responses", {"model": MODELS[1], "input": "Hello"})),
        threading.Thread(target=ask, args=("/v1/embeddings", {"model": "mistral/mistral-embed", "input": "Hello"})),
    ]
    for caller in callers:
        caller.start()
    gp.until(lambda: len(simulator.requests()) == 2, "asking the providers")
    body = {"model": MODELS[0], "input": "Tell me of the sea, at length", "stream": True}
    with gateway.http() as client, client.stream("POST", "/v1/responses", json=body) as answer:
        stream = read(answer)
        last = next(stream)
        gateway.process.terminate()
        for last in stream:
            pass
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    check_envelope(last["response"]["error"])
    assert last["response"]["error"]["code"] == "service_unavailable"
    for caller in callers:
        caller.join(10)
    for plain in answers:
        check_error(plain, 503, "internal_error", "service_unavailable")
    assert len(answers) == 2
    check_cut(gateway, answer.headers["x-request-id"], *(plain.headers["x-request-id"] for plain in answers))


def test_a_second_signal_ends_the_drain_at_once(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway, _ = start_slow(start_gateway)
    host, port = gateway.url.removeprefix("http://").split(":")
    body = {"model": MODELS[0], "input": "Tell me of the sea, at length", "stream": True}
    with gateway.http() as client, client.stream("POST", "/v1/responses", json=body) as answer:
        stream = read(answer)
        last = next(stream)
        gateway.process.terminate()
        gp.until(lambda: refuses(host, int(port)), "refusing new connections")
        gateway.process.child.send_signal(signal.SIGINT)
        for last in stream:
            pass
    assert last["type"] == "response.failed"
    check_cut(gateway, answer.headers["x-request-id"])


def silent(gateway: gp.Gateway) -> list[socket.socket]:
    """Connections that send nothing, or half of a head."""
    host, port = gateway.url.removeprefix("http://").split(":")
    open_ = [socket.create_connection((host, int(port)), timeout=10) for _ in range(3)]
    open_[1].sendall(b"POST /v1/respo")
    open_[2].sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorizat")
    return open_


def test_a_connection_without_a_whole_request_does_not_hold_the_stop_up(
    start_gateway: Callable[..., gp.Gateway],
) -> None:
    gateway = start_gateway()
    open_ = silent(gateway)
    with gateway.http() as client:
        assert client.get("/v1/models").status_code == 200
        gateway.process.terminate()
        # The limit of the drain is half a minute.
        assert gateway.process.wait(10) == 0, gateway.process.stderr
    assert "still running" not in gateway.process.stderr
    for one in open_:
        one.close()


def test_a_connection_without_a_request_is_closed_when_its_time_is_over(
    start_gateway: Callable[..., gp.Gateway],
) -> None:
    gateway, _ = start_slow(start_gateway, HEADER_TIMEOUT_MS="300")
    kept = gateway.http()
    assert kept.get("/v1/models").status_code == 200
    for one in silent(gateway):
        assert one.recv(1) == b"", "it is closed, and nothing is said"
        one.close()
    # The time of an answer does not count.
    stream = events(kept, model=MODELS[0], input="Hello")
    assert stream[-1]["type"] == "response.completed"
    kept.close()


def test_the_write_ahead_log_is_empty_after_a_stop(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    # While another process has the file open, the log stays beside it.
    other = sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)
    with gateway.http() as client:
        assert client.post("/v1/responses", json={"input": "Hello"}).status_code == 200
    other.execute("SELECT count(*) FROM ledger").fetchall()
    assert gateway.stop() == 0
    assert Path(f"{gateway.database}-wal").stat().st_size == 0
    assert "WARN" not in gateway.process.stderr and "ragma" not in gateway.process.stderr
    other.close()
