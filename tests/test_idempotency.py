"""`Idempotency-Key`: what is sent twice is done once."""

from __future__ import annotations

import concurrent.futures
import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

ASK: dict[str, Any] = {"model": "openai/gpt-4o", "input": "Hello"}


@pytest.fixture
def own(start_gateway: Callable[..., gp.Gateway]) -> tuple[gp.Gateway, gp.Simulator]:
    gateway = start_gateway()
    return gateway, gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))


def post(client: httpx.Client, key: str, within_ms: int | None = None, **body: Any) -> httpx.Response:
    headers = {"idempotency-key": key} | ({} if within_ms is None else {"x-request-timeout-ms": str(within_ms)})
    return client.post("/v1/responses", json=ASK | body, headers=headers)


def in_a_thread(gateway: gp.Gateway, answers: list[httpx.Response], **call: Any) -> threading.Thread:
    def run() -> None:
        with gateway.http() as client:
            answers.append(post(client, "k", **call))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_second_call_gets_the_first_ones_answer(
    own: tuple[gp.Gateway, gp.Simulator], stream: bool, store: bool
) -> None:
    gateway, simulator = own
    with gateway.http() as client:
        first = post(client, "once", stream=stream, store=store)
        again = post(client, "once", stream=stream, store=store)
        assert first.status_code == again.status_code == 200
        assert first.content == again.content
        for header in ("content-type", "x-tokenrouter-provider", "x-tokenrouter-model"):
            assert first.headers[header] == again.headers[header]
        assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
        assert len(simulator.requests()) == 1
        other = post(client, "twice", stream=stream, store=store)
        assert other.content != first.content and len(simulator.requests()) == 2


def test_a_key_for_another_request_is_a_conflict(api: httpx.Client) -> None:
    assert post(api, "k").status_code == 200
    for change in ({"input": "Goodbye"}, {"stream": True}):
        answer = post(api, "k", **change)
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "conflict"


def test_a_key_is_its_workspaces_own(api: httpx.Client, other_api: httpx.Client) -> None:
    assert post(api, "k").json()["id"] != post(other_api, "k").json()["id"]


def test_a_key_is_its_api_keys_own(gateway: gp.Gateway, api: httpx.Client) -> None:
    first = post(api, "k").json()
    made = api.post("/v1/api-keys", json={"name": "other", "models": ["gpt-4o-mini"]}).json()["data"]
    with gateway.http(made["key"]) as other:
        assert post(other, "k").status_code == 403, "what the API key may not use came from another one's answer"
    made = api.post("/v1/api-keys", json={"name": "third"}).json()["data"]
    with gateway.http(made["key"]) as third:
        answer = post(third, "k")
    assert answer.status_code == 200 and answer.json()["id"] != first["id"]
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(api: httpx.Client, key: str) -> None:
    answer = post(api, key)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "idempotency-key"


@pytest.mark.parametrize("stream", [False, True])
def test_calls_at_once_are_one(own: tuple[gp.Gateway, gp.Simulator], stream: bool) -> None:
    gateway, simulator = own
    simulator.fault(count=1, delay_ms=300)
    answers: list[httpx.Response] = []

    def call() -> None:
        with gateway.http() as client:
            answers.append(post(client, "k", stream=stream))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1 and len(answers) == 8
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_comes_back_is_not_billed_twice(own: tuple[gp.Gateway, gp.Simulator], stream: bool) -> None:
    gateway, simulator = own
    simulator.fault(count=1, delay_ms=1_000)
    with gateway.http(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        post(hasty, "k", stream=stream)
    with gateway.http() as client:
        answer = post(client, "k", stream=stream)
        assert answer.status_code == 200 and "simulat" in answer.text
    assert [request["end"] for request in simulator.requests()] == ["given"]


def test_what_failed_may_be_tried_again(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(provider="openai", count=1, status=500)
    with gateway.http() as client:
        assert post(client, "k").status_code == 502
        assert post(client, "k").status_code == 200


def test_a_stream_that_failed_is_not_kept(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(provider="openai", count=1, cut_after_bytes=3_000)
    with gateway.http() as client:
        first = post(client, "k", stream=True)
        assert first.status_code == 200 and "response.failed" in first.text, "the fault has lost its point"
        again = post(client, "k", stream=True)
        assert "response.completed" in again.text and "idempotent-replayed" not in again.headers


def test_a_stop_waits_for_what_nobody_waits_for(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(count=1, delay_ms=1_000)
    with gateway.http(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        post(hasty, "k")
    assert gateway.stop() == 0
    with sqlite3.connect(gateway.database) as database:
        assert database.execute("SELECT outcome FROM ledger").fetchall() == [("completed",)]


def test_a_stream_that_its_caller_left_is_cancelled_and_its_key_is_free(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(count=1, drip_ms=200)
    headers = {"idempotency-key": "k"}
    with gateway.http() as client:
        with client.stream("POST", "/v1/responses", json=ASK | {"stream": True}, headers=headers) as answer:
            next(answer.iter_lines())
        gp.until(lambda: [r["end"] for r in simulator.requests()] == ["left"], "the cancelling")
        assert "response.completed" in post(client, "k", stream=True).text


def test_a_background_stream_that_its_reader_left_goes_on_and_is_the_answer(
    own: tuple[gp.Gateway, gp.Simulator],
) -> None:
    gateway, simulator = own
    simulator.fault(count=1, drip_ms=50)
    body = {"background": True, "stream": True}
    with gateway.http() as client:
        headers = {"idempotency-key": "k"}
        with client.stream("POST", "/v1/responses", json=ASK | body, headers=headers) as answer:
            assert "idempotent-replayed" not in answer.headers
            first = next(answer.iter_lines())
        again = post(client, "k", **body)
        assert again.text.startswith(first) and "response.completed" in again.text
        assert again.headers["idempotent-replayed"] == "true"
        assert post(client, "k", **body).content == again.content
    assert [request["end"] for request in simulator.requests()] == ["given"]


def test_each_call_waits_as_long_as_its_own_time_allows(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(count=1, delay_ms=1_500)
    hasty: list[httpx.Response] = []
    patient: list[httpx.Response] = []
    first = in_a_thread(gateway, hasty, within_ms=300)
    gp.until(lambda: len(simulator.requests()) == 1, "the first call")
    second = in_a_thread(gateway, patient)
    with gateway.http() as client:
        third = post(client, "k", within_ms=200)
    first.join()
    second.join()
    for late in (hasty[0], third):
        assert late.status_code == 504 and late.json()["error"]["code"] == "upstream_timeout"
        assert late.json()["error"]["request_id"] == late.headers["x-request-id"]
        assert late.elapsed.total_seconds() < 1.2
    assert patient[0].status_code == 200
    assert len({answer.headers["x-request-id"] for answer in (hasty[0], third, patient[0])}) == 3
    assert len(simulator.requests()) == 1


def test_a_stream_ends_with_the_time_of_who_reads_it(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(count=1, drip_ms=100)
    with gateway.http() as client:
        answer = post(client, "k", within_ms=500, stream=True)
        assert "response.failed" in answer.text and "upstream_timeout" in answer.text
        assert "response.completed" in post(client, "k", stream=True).text


def test_work_that_goes_on_without_its_caller_holds_its_place(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path
) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text("[server]\nmax_in_flight = 1\nmax_waiting = 0\n")
    gateway = start_gateway(config=config)
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, delay_ms=1_500)
    with gateway.http(timeout=0.3) as hasty, pytest.raises(httpx.ReadTimeout):
        post(hasty, "k")
    with gateway.http() as client:
        answer = client.get("/v1/models")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        gp.until(lambda: client.get("/v1/models").status_code == 200, "the place given back")
        assert post(client, "k").headers["idempotent-replayed"] == "true"


def test_a_stream_read_to_its_end_gives_its_place_back(start_gateway: Callable[..., gp.Gateway], tmp_path: Path) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text("[server]\nmax_in_flight = 1\nmax_waiting = 1\n")
    gateway = start_gateway(config=config)
    with gateway.http() as client:
        for number in range(3):
            answer = post(client, f"k{number}", stream=True)
            assert answer.status_code == 200 and "response.completed" in answer.text


def test_a_stream_that_nobody_takes_is_recorded_when_the_gateway_stops(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path
) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text("[server]\ndrain_timeout_ms = 800\n")
    gateway = start_gateway(config=config)
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, delay_ms=500, drip_ms=100)
    with gateway.http(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        post(hasty, "k", stream=True)
    assert gateway.stop() == 0
    with sqlite3.connect(gateway.database) as database:
        assert database.execute("SELECT outcome, error_code FROM ledger").fetchall() == [
            ("failed", "service_unavailable")
        ]


def test_the_sdks_retries_are_one_request(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    from tokenrouter import Tokenrouter

    gateway, simulator = own
    mark = secrets.token_hex(8)
    simulator.fault(count=1, delay_ms=1_500)
    with Tokenrouter(api_key=gateway.key, base_url=gateway.url, timeout=1.0, max_retries=3) as client:
        assert client.responses.create(model="openai/gpt-4o", input=mark).output_text
    assert len(simulator.requests(mark)) == 1


def test_who_waited_for_a_stream_that_another_took_and_left_may_try_again(own: tuple[gp.Gateway, gp.Simulator]) -> None:
    gateway, simulator = own
    simulator.fault(count=12, delay_ms=300, drip_ms=100)

    def begin(number: int) -> tuple[int, str | None]:
        """Leaves with the first line."""
        headers = {"idempotency-key": f"k{number // 2}"}
        with (
            gateway.http() as client,
            client.stream("POST", "/v1/responses", json=ASK | {"stream": True}, headers=headers) as answer,
        ):
            next(answer.iter_lines())
            return answer.status_code, answer.headers.get("retry-after")

    # Who of two takes it is chance: of six pairs, some are taken by the second.
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = set(pool.map(begin, range(12)))
    assert answers <= {(200, None), (503, "1")}
