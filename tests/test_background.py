"""Responses in the background: polled, cancelled, listened to, and never left hanging."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from errors import check_envelope, check_error
from open_responses import check_event, check_response
from response_stream import read, streamed_text, text_of

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]
SLOW = {"drip_ms": 20, "count": 1}
LONG = "Tell me of the sea, at length: " + "waves and foam and salt and wind " * 10


def start(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/responses", json={"model": MODELS[0], "input": "Hello", "background": True} | body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    check_response(response)
    assert (response["status"], response["background"], response["output"]) == ("queued", True, [])
    return response


def get(api: httpx.Client, response_id: str) -> dict[str, Any]:
    answer = api.get(f"/v1/responses/{response_id}")
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    check_response(response)
    return response


def ended(api: httpx.Client, response_id: str) -> dict[str, Any]:
    gp.until(lambda: get(api, response_id)["status"] not in ("queued", "in_progress"), "the response's end")
    return get(api, response_id)


def ledger(database: Path, response_id: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        wanted = "SELECT outcome, http_status, error_code, output_tokens, key_id FROM ledger WHERE response_id = ?"
        return connection.execute(wanted, [response_id]).fetchall()


@pytest.fixture
def slow(start_gateway: Callable[..., gp.Gateway]) -> Iterator[tuple[gp.Gateway, httpx.Client, gp.Simulator]]:
    """A gateway of the test's own, whose simulator can be slowed."""
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    with gateway.http() as api:
        yield gateway, api, simulator


@pytest.mark.parametrize("model", MODELS)
def test_it_is_queued_then_in_progress_then_completed(faulty: tuple[httpx.Client, gp.Simulator], model: str) -> None:
    api, simulator = faulty
    simulator.fault(**SLOW)
    response = start(api, model=model, input=LONG)
    gp.until(lambda: get(api, response["id"])["status"] == "in_progress", "its being in progress")
    final = ended(api, response["id"])
    assert final["status"] == "completed" and "waves and foam" in text_of(final)
    assert final["usage"]["output_tokens"] > 0 and final["tokenrouter"]["provider"] == model.split("/")[0]
    assert final["created_at"] == response["created_at"] and final["background"] is True
    plain = api.post("/v1/responses", json={"model": model, "input": LONG}).json()
    assert text_of(final) == text_of(plain) and final["usage"] == plain["usage"]
    go_on = api.post(
        "/v1/responses", json={"model": MODELS[0], "input": "Go on", "previous_response_id": final["id"]}
    )
    assert go_on.status_code == 200, go_on.text


def test_the_official_client_polls_and_cancels(slow: tuple[gp.Gateway, httpx.Client, gp.Simulator]) -> None:
    gateway, _, simulator = slow
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        response = client.responses.create(model=MODELS[0], input="Hello", background=True)
        while response.status in ("queued", "in_progress"):
            response = client.responses.retrieve(response.id)
        assert response.status == "completed" and response.output_text
        simulator.fault(**SLOW)
        response = client.responses.create(model=MODELS[0], input=LONG, background=True)
        cancelled = client.responses.cancel(response.id)
        assert cancelled.id == response.id and cancelled.status == "cancelled"


def test_a_cancelled_response_drops_the_call_and_is_counted(
    slow: tuple[gp.Gateway, httpx.Client, gp.Simulator],
) -> None:
    gateway, api, simulator = slow
    # Anthropic tells its input tokens at the beginning.
    simulator.fault(**SLOW)
    response = start(api, model=MODELS[1], input=LONG, stream=False)
    gp.until(lambda: get(api, response["id"])["status"] == "in_progress", "its being in progress")
    path = f"/v1/responses/{response['id']}/cancel"
    first = api.post(path)
    assert first.status_code == 200, first.text
    check_response(first.json())
    assert first.json()["status"] == "cancelled" and first.json()["completed_at"] is None
    for answer in (api.post(path), api.get(f"/v1/responses/{response['id']}")):
        assert (answer.status_code, answer.json()) == (200, first.json())
    rows = ledger(gateway.database, response["id"])
    assert [row[:3] for row in rows] == [("cancelled", 200, None)]
    # Its place is free, and nothing of it comes after.
    assert text_of(first.json()) in LONG or text_of(first.json()) == ""


def test_what_was_said_before_a_cancel_is_kept(slow: tuple[gp.Gateway, httpx.Client, gp.Simulator]) -> None:
    gateway, api, simulator = slow
    simulator.fault(**SLOW)
    body = {"model": MODELS[1], "input": LONG, "background": True, "stream": True}
    stream = []
    with api.stream("POST", "/v1/responses", json=body) as answer:
        for event in read(answer):
            stream.append(event)
            if event["type"] == "response.output_text.delta" and len(stream) < 20:
                with gateway.http() as other:
                    cancelled = other.post(f"/v1/responses/{stream[0]['response']['id']}/cancel").json()
    assert stream[-1]["type"] == "response.incomplete" and stream[-1]["response"] == cancelled
    assert cancelled["status"] == "cancelled" and text_of(cancelled) == streamed_text(stream) != ""
    assert cancelled["usage"]["input_tokens"] > 0
    (row,) = ledger(gateway.database, cancelled["id"])
    assert row[0] == "cancelled"


def test_a_finished_response_stays_as_it_is_when_cancelled(api: httpx.Client) -> None:
    final = ended(api, start(api)["id"])
    again = api.post(f"/v1/responses/{final['id']}/cancel")
    assert (again.status_code, again.json()) == (200, final)


def test_it_cannot_be_had_without_being_stored(api: httpx.Client) -> None:
    body = {"model": MODELS[0], "input": "Hello", "background": True, "store": False}
    check_error(
        api.post("/v1/responses", json=body), 400, "invalid_request_error", "invalid_parameter", "background"
    )


def test_what_is_known_at_once_is_told_at_once(api: httpx.Client) -> None:
    body = {"input": "Hello", "background": True}
    check_error(
        api.post("/v1/responses", json=body | {"model": "no-such-model"}), 404, "not_found_error", "model_not_found"
    )
    rule = {"name": "No", "scope": "prompt", "type": "substring", "pattern": "hello", "action": "block"}
    assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    check_error(api.post("/v1/responses", json=body | {"model": MODELS[0]}), 422, "firewall_error", "firewall_blocked")


@pytest.mark.parametrize(("fault", "code"), [({"status": 400}, "invalid_parameter"), ({"garbage": True}, None)])
def test_a_provider_that_fails_makes_a_failed_response(
    faulty: tuple[httpx.Client, gp.Simulator], fault: dict[str, Any], code: str | None
) -> None:
    api, simulator = faulty
    simulator.fault(**fault, count=50)
    final = ended(api, start(api)["id"])
    assert final["status"] == "failed" and final["output"] == []
    check_envelope(final["error"])
    assert code is None or final["error"]["code"] == code


def test_the_firewall_reads_the_answer(api: httpx.Client) -> None:
    rule = {"name": "No", "scope": "response", "type": "substring", "pattern": "xyzzy", "action": "block"}
    assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    final = ended(api, start(api, input="say exactly: the word is xyzzy")["id"])
    assert final["status"] == "failed" and final["error"]["code"] == "firewall_blocked"
    assert "xyzzy" not in json.dumps(final["output"])


def test_a_stream_goes_on_when_its_caller_leaves_and_can_be_taken_up_again(
    slow: tuple[gp.Gateway, httpx.Client, gp.Simulator],
) -> None:
    gateway, api, simulator = slow
    simulator.fault(**SLOW)
    body = {"model": MODELS[0], "input": LONG, "background": True, "stream": True}
    stream = []
    with gateway.http() as leaver, leaver.stream("POST", "/v1/responses", json=body) as answer:
        for event in read(answer):
            stream.append(event)
            if event["type"] == "response.output_text.delta":
                break
    assert [event["type"] for event in stream[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert [event.get("response", {}).get("status") for event in stream[:3]] == ["queued", "queued", "in_progress"]
    response_id = stream[0]["response"]["id"]
    after = stream[-1]["sequence_number"]
    path = f"/v1/responses/{response_id}"
    with api.stream("GET", path, params={"stream": "true", "starting_after": after}) as answer:
        stream += read(answer)
    assert [event["sequence_number"] for event in stream] == list(range(len(stream)))
    for event in stream:
        check_event(event)
    final = stream[-1]["response"]
    assert stream[-1]["type"] == "response.completed" and text_of(final) == streamed_text(stream)
    assert get(api, response_id) == final
    # From the beginning, once more, and by the official client.
    with api.stream("GET", path, params={"stream": "true"}) as answer:
        assert list(read(answer)) == stream
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        again = client.responses.retrieve(response_id, stream=True, starting_after=after)
        assert [event.sequence_number for event in again] == list(range(after + 1, len(stream)))


def test_events_that_are_not_kept_are_not_pretended(api: httpx.Client) -> None:
    made = api.post("/v1/responses", json={"model": MODELS[0], "input": "Hello"}).json()
    for number in ("3", "x", "-1"):
        answer = api.get(f"/v1/responses/{made['id']}", params={"stream": "true", "starting_after": number})
        check_error(answer, 400, "invalid_request_error", "invalid_parameter", "starting_after")


def test_what_is_not_finished_cannot_be_gone_on_from(slow: tuple[gp.Gateway, httpx.Client, gp.Simulator]) -> None:
    _, api, simulator = slow
    simulator.fault(**SLOW)
    response = start(api, input=LONG)
    body = {"model": MODELS[0], "input": "Go on", "previous_response_id": response["id"]}
    check_error(
        api.post("/v1/responses", json=body), 400, "invalid_request_error", "invalid_parameter", "previous_response_id"
    )


def test_a_deleted_response_is_stopped_and_does_not_come_back(
    slow: tuple[gp.Gateway, httpx.Client, gp.Simulator],
) -> None:
    _, api, simulator = slow
    simulator.fault(**SLOW)
    response = start(api, input=LONG)
    assert api.delete(f"/v1/responses/{response['id']}").status_code == 200
    check_error(api.get(f"/v1/responses/{response['id']}"), 404, "not_found_error", "not_found")


def test_another_workspace_neither_sees_nor_stops_it(api: httpx.Client, other_api: httpx.Client) -> None:
    path = f"/v1/responses/{start(api)['id']}"
    for answer in (
        other_api.get(path),
        other_api.get(path, params={"stream": "true"}),
        other_api.post(f"{path}/cancel"),
        other_api.delete(path),
    ):
        check_error(answer, 404, "not_found_error", "not_found")
    assert ended(api, path.rsplit("/", 1)[1])["status"] == "completed"


def test_a_conversation_gets_its_turn_and_waits_for_it(slow: tuple[gp.Gateway, httpx.Client, gp.Simulator]) -> None:
    _, api, simulator = slow
    conversation = api.post("/v1/conversations", json={}).json()["id"]
    simulator.fault(**SLOW)
    response = start(api, input=LONG, conversation=conversation)
    assert response["conversation"] == {"id": conversation}
    body = {"model": MODELS[0], "input": "Hello", "conversation": conversation}
    check_error(api.post("/v1/responses", json=body), 409, "conflict_error", "conflict", "conversation")
    final = ended(api, response["id"])
    listed = api.get(f"/v1/conversations/{conversation}/items", params={"order": "asc"}).json()["data"]
    assert [item["role"] for item in listed] == ["user", "assistant"] and listed[1] == final["output"][0]
    assert api.post("/v1/responses", json=body).status_code == 200


def test_there_is_a_most_at_once(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__MAX_BACKGROUND_RESPONSES": "2"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(drip_ms=20, count=2)
    with gateway.http() as api:
        running = [start(api, input=LONG)["id"] for _ in range(2)]
        body = {"model": MODELS[0], "input": "Hello", "background": True}
        error = check_error(api.post("/v1/responses", json=body), 429, "rate_limit_error", "rate_limit_exceeded")
        assert "2 responses" in error["message"]
        # Others are not concerned.
        assert api.post("/v1/responses", json=body | {"background": False}).status_code == 200
        assert api.post(f"/v1/responses/{running[0]}/cancel").json()["status"] == "cancelled"
        gp.until(lambda: api.post("/v1/responses", json=body).status_code == 200, "a place's being free")


def test_what_a_killed_gateway_left_is_failed_at_the_next_start(start_gateway: Callable[..., gp.Gateway]) -> None:
    first = start_gateway()
    simulator = gp.Simulator(first.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(**SLOW)
    with first.http() as api:
        done = ended(api, start(api, model=MODELS[1], input="say exactly: done")["id"])
        simulator.fault(**SLOW)
        left = start(api, input=LONG)
        gp.until(lambda: get(api, left["id"])["status"] == "in_progress", "its being in progress")
        first.process.kill()
    second = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": first.key})
    with second.http(first.key) as api:
        final = get(api, left["id"])
        assert final["status"] == "failed" and final["error"]["code"] == "service_unavailable"
        check_envelope(final["error"])
        assert get(api, done["id"]) == done
        assert api.post(f"/v1/responses/{left['id']}/cancel").json() == final
        [entry] = [entry for entry in api.get("/v1/requests").json()["data"] if entry["response_id"] == left["id"]]
        used = api.get("/v1/workspace").json()["data"]["this_month"]
        sums = api.get("/v1/usage").json()["total"]
    (row,) = ledger(second.database, left["id"])
    (other,) = ledger(second.database, done["id"])
    assert row[:3] == ("failed", 503, "service_unavailable") and row[4] == other[4]
    # What it used is gone with the gateway: it is what was expected, and counts as what was reserved.
    assert entry["usage_estimated"] and entry["provider"] and entry["model"] == left["model"]
    assert entry["input_tokens"] > 0 and entry["output_tokens"] > 0 and entry["cost_nano_usd"] > 0
    assert used["used_tokens"] > sums["input_tokens"] + sums["output_tokens"]
    assert used["used_usd"] > sums["cost_usd"] and used["reserved_tokens"] == 0


def test_a_stop_waits_for_the_background(slow: tuple[gp.Gateway, httpx.Client, gp.Simulator]) -> None:
    gateway, api, simulator = slow
    simulator.fault(**SLOW)
    response = start(api, input=LONG)
    assert gateway.stop() == 0
    assert stored(gateway.database, response["id"])["status"] == "completed"


def test_a_stop_marks_what_takes_too_long(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__DRAIN_TIMEOUT_MS": "100"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, drip_ms=1000)
    with gateway.http() as api:
        response = start(api, input=LONG)
        gp.until(lambda: get(api, response["id"])["status"] == "in_progress", "its being in progress")
    assert gateway.stop() == 0
    final = stored(gateway.database, response["id"])
    assert final["status"] == "failed" and final["error"]["code"] == "service_unavailable"
    (row,) = ledger(gateway.database, response["id"])
    assert row[:3] == ("failed", 503, "service_unavailable")


def stored(database: Path, response_id: str) -> dict[str, Any]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (body,) = connection.execute("SELECT body FROM responses WHERE id = ?", [response_id]).fetchone()
    response: dict[str, Any] = json.loads(body)
    return response
