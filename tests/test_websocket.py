"""/v1/responses over WebSocket: the official client's `connect`, and a plain client for what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from errors import check_envelope
from open_responses import check, check_event
from response_stream import LAST, check_order, events, text_of
from test_schema import CALL_WEATHER, WEATHER
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]


def socket(gateway: gp.Gateway, key: str, **options: Any) -> ClientConnection:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = gateway.url.replace("http://", "ws://") + "/v1/responses"
    return connect(url, additional_headers=headers, proxy=None, **options)


def ask(ws: ClientConnection, **body: Any) -> None:
    ws.send(json.dumps({"type": "response.create"} | body))


def receive(ws: ClientConnection) -> dict[str, Any]:
    message = ws.recv(timeout=30)
    assert isinstance(message, str), "events are text messages"
    event: dict[str, Any] = json.loads(message)
    return event


def answer(ws: ClientConnection) -> list[dict[str, Any]]:
    """The events of one response."""
    stream = [receive(ws)]
    while stream[-1]["type"] not in LAST | {"error"}:
        stream.append(receive(ws))
    return stream


def error(ws: ClientConnection, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    event = receive(ws)
    check("WebSocketErrorEvent", event)
    assert (event["type"], event["status"], event["error"]["code"]) == ("error", status, code), event
    check_envelope(event["error"])
    assert param is None or event["error"]["param"] == param, event
    return event


@pytest.mark.parametrize("model", MODELS)
def test_the_official_client_talks_turn_by_turn(gateway: gp.Gateway, workspace: str, model: str) -> None:
    with (
        openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1") as client,
        client.responses.connect() as connection,
    ):
        previous: Any = openai.omit
        for turn in range(3):
            connection.response.create(model=model, input=f"turn {turn}", previous_response_id=previous)
            for event in connection:
                if event.type == "response.completed":
                    assert event.response.output_text
                    previous = event.response.id
                    break
        assert client.responses.retrieve(previous).status == "completed"


def test_the_async_client_talks_as_well(gateway: gp.Gateway, workspace: str) -> None:
    async def talk() -> None:
        async with openai.AsyncOpenAI(api_key=workspace, base_url=f"{gateway.url}/v1") as client:
            async with client.responses.connect() as connection:
                await connection.response.create(model=MODELS[1], input="Tell me of the sea")
                text = ""
                async for event in connection:
                    if event.type == "response.output_text.delta":
                        text += event.delta
                    if event.type == "response.completed":
                        assert event.response.output_text == text != ""
                        break

    asyncio.run(talk())


@pytest.mark.parametrize("model", MODELS)
def test_the_events_are_those_of_a_stream(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, model: str
) -> None:
    with socket(gateway, workspace) as ws:
        ask(ws, model=model, input="Tell me of the sea")
        stream = answer(ws)
    for event in stream:
        check_event(event)
    final = check_order(stream)
    assert api.get(f"/v1/responses/{final['id']}").json() == final
    same = events(api, model=model, input="Tell me of the sea")
    assert [event["type"] for event in same] == [event["type"] for event in stream]
    assert text_of(same[-1]["response"]) == text_of(final)


def test_what_is_asked_meanwhile_waits_its_turn(gateway: gp.Gateway, workspace: str) -> None:
    with socket(gateway, workspace) as ws:
        for number in range(5):
            ask(ws, model=MODELS[number % 2], input=f"say exactly: answer {number}", stream_id=f"lane {number}")
        for number in range(5):
            stream = answer(ws)
            assert {event.pop("stream_id") for event in stream} == {f"lane {number}"}
            assert text_of(check_order(stream)) == f"answer {number}"


BAD: list[tuple[str, int, str, str | None]] = [
    ("not JSON", 400, "invalid_json", None),
    ("[]", 400, "invalid_parameter", None),
    ("{}", 400, "invalid_parameter", "type"),
    ('{"type": 7}', 400, "invalid_parameter", "type"),
    ('{"type": "response.steer", "input": "x", "previous_response_id": "r"}', 400, "invalid_parameter", "type"),
    ('{"type": "response.create"}', 400, "invalid_parameter", "input"),
    ('{"type": "response.create", "input": "x", "model": "no-such"}', 404, "model_not_found", "model"),
    ('{"type": "response.create", "input": "x", "stream": true}', 400, "invalid_parameter", "stream"),
    ('{"type": "response.create", "input": "x", "stream_options": {}}', 400, "invalid_parameter", "stream_options"),
    ('{"type": "response.create", "input": "x", "background": true}', 400, "invalid_parameter", "background"),
    ('{"type": "response.create", "input": "x", "generate": 7}', 400, "invalid_parameter", "generate"),
    ('{"type": "response.create", "input": "x", "stream_id": 1}', 400, "invalid_parameter", "stream_id"),
    (json.dumps({"type": "response.create", "input": "x", "stream_id": "x" * 257}), 400, "invalid_parameter", "stream_id"),
    (
        '{"type": "response.create", "input": "x", "previous_response_id": "resp_no"}',
        400,
        "previous_response_not_found",
        "previous_response_id",
    ),
    ('{"type": "response.create", "input": "x", "conversation": "conv_no"}', 404, "not_found", "conversation"),
]


@pytest.mark.parametrize(("message", "status", "code", "param"), BAD)
def test_a_mistake_is_an_error_event_and_the_connection_goes_on(
    gateway: gp.Gateway, workspace: str, message: str, status: int, code: str, param: str | None
) -> None:
    with socket(gateway, workspace) as ws:
        ws.send(message)
        error(ws, status, code, param)
        ask(ws, model=MODELS[0], input="say exactly: still here")
        assert text_of(check_order(answer(ws))) == "still here"


def whole(connection: Any) -> Any:
    """The response that the official client is given next."""
    for event in connection:
        assert event.type != "error", event
        if event.type == "response.completed":
            return event.response
    raise AssertionError("the connection ended")


def test_a_request_that_generates_nothing_can_be_gone_on_from(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    with (
        openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1") as client,
        client.responses.connect() as connection,
    ):
        connection.response.create(model=MODELS[1], input=f"The word is {mark}.", generate=False)
        warm = whole(connection)
        assert (warm.output, warm.usage, warm.status) == ([], None, "completed")
        assert simulator.requests(mark) == [], "no provider is asked"
        connection.response.create(model=MODELS[1], input="And now?", previous_response_id=warm.id)
        answer = whole(connection)
        assert f"The word is {mark}." in answer.output_text
    assert api.get(f"/v1/responses/{warm.id}").json()["output"] == []
    logged = api.get("/v1/requests").json()["data"]
    assert [(entry["outcome"], entry["output_tokens"] > 0) for entry in logged] == [("completed", True), ("completed", False)]


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_stored_is_gone_on_from_on_its_own_connection_alone(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, model: str, mark: str
) -> None:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1") as client, socket(gateway, workspace) as other:
        with client.responses.connect() as connection:
            connection.response.create(model=model, store=False, input=f"The word is {mark}.", generate=False)
            ids = [whole(connection).id]
            for turn in range(3):
                connection.response.create(
                    model=model, store=False, input=f"turn {turn}", previous_response_id=ids[-1]
                )
                response = whole(connection)
                assert f"The word is {mark}." in response.output_text and f"turn {turn}" in response.output_text
                ids.append(response.id)
            ask(other, model=model, input="x", previous_response_id=ids[-1])
            error(other, 400, "previous_response_not_found", "previous_response_id")
            # Only the last turn is kept; and one that is stored can be gone on from as well, here.
            connection.response.create(model=model, input="last", previous_response_id=ids[-1])
            stored = whole(connection)
            assert f"The word is {mark}." in stored.output_text
            connection.response.create(model=model, store=False, input="x", previous_response_id=stored.id)
            assert f"The word is {mark}." in whole(connection).output_text
            connection.response.create(model=model, store=False, input="x", previous_response_id=ids[0])
            assert next(iter(connection)).error.code == "previous_response_not_found"  # type: ignore[union-attr]
    assert all(api.get(f"/v1/responses/{response}").status_code == 404 for response in ids)
    answer = api.post("/v1/responses", json={"model": model, "input": "x", "previous_response_id": ids[-1]})
    assert answer.json()["error"]["code"] == "previous_response_not_found"
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as database:
        [[kept]] = database.execute("SELECT count(*) FROM responses WHERE input LIKE ?", (f"%The word is {mark}%",))
    assert kept == 0, "nothing of it is written"


def test_a_stored_response_after_one_that_is_not_says_where_it_can_be_gone_on_from(
    gateway: gp.Gateway, workspace: str
) -> None:
    with socket(gateway, workspace) as ws:
        previous = None
        for store, warns in ((True, False), (False, False), (True, True)):
            ask(ws, model=MODELS[0], store=store, input="Hello", previous_response_id=previous)
            response = check_order(answer(ws))
            told = [warning["message"] for warning in response["tokenrouter"]["warnings"]]
            assert any("not stored" in message for message in told) == warns, told
            previous = response["id"]


def test_a_tools_result_goes_back_by_the_id_of_a_response_that_is_not_stored(gateway: gp.Gateway, workspace: str) -> None:
    with socket(gateway, workspace) as ws:
        ask(ws, model=MODELS[1], store=False, input=CALL_WEATHER, tools=[WEATHER])
        first = check_order(answer(ws))
        [call] = [item for item in first["output"] if item["type"] == "function_call"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}
        ask(ws, model=MODELS[0], store=False, input=[result], previous_response_id=first["id"], tools=[WEATHER])
        assert "18 degrees" in text_of(check_order(answer(ws)))


def test_each_lane_keeps_its_last_turn(gateway: gp.Gateway, workspace: str) -> None:
    with socket(gateway, workspace) as ws:
        ids = {}
        for lane in ("a", "b"):
            ask(ws, model=MODELS[0], store=False, input=f"I am lane {lane}", stream_id=lane)
            stream = answer(ws)
            ids[lane] = stream[-1]["response"]["id"]
        for lane in ("a", "b"):
            ask(ws, model=MODELS[0], store=False, input="x", stream_id=lane, previous_response_id=ids[lane])
            assert f"I am lane {lane}" in text_of(answer(ws)[-1]["response"])


@pytest.mark.parametrize(
    "mistake", [{"input": "promptxyzzy"}, {"input": "x", "temperature": 7}, {"input": "say exactly: answerxyzzy"}]
)
def test_a_turn_that_could_not_be_gone_on_from_is_forgotten(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, mistake: dict[str, Any]
) -> None:
    for scope, pattern in (("prompt", "promptxyzzy"), ("response", "answerxyzzy")):
        rule = {"name": "No", "scope": scope, "type": "substring", "pattern": pattern, "action": "block"}
        assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    with socket(gateway, workspace) as ws:
        ask(ws, model=MODELS[0], store=False, input="Hello")
        first = check_order(answer(ws))["id"]
        ask(ws, model=MODELS[0], store=False, previous_response_id=first, **mistake)
        assert answer(ws)[-1]["type"] in ("error", "response.failed")
        ask(ws, model=MODELS[0], store=False, input="again", previous_response_id=first)
        error(ws, 400, "previous_response_not_found", "previous_response_id")


def test_no_more_are_open_than_there_may_be(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__MAX_WEBSOCKETS": "2"})

    def open_now() -> str:
        text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
        return next(line.split()[1] for line in text.splitlines() if line.startswith("tokenrouter_websockets_open "))

    with socket(gateway, gateway.key), socket(gateway, gateway.key):
        with pytest.raises(InvalidStatus) as refused:
            socket(gateway, gateway.key)
        assert refused.value.response.status_code == 503 and refused.value.response.headers["retry-after"]
        assert open_now() == "2"
    gp.until(lambda: open_now() == "0", "the end of both")
    with socket(gateway, gateway.key) as ws:
        ask(ws, model=MODELS[0], input="say exactly: room again")
        assert text_of(check_order(answer(ws))) == "room again"


def test_a_connection_ends_when_it_has_been_open_long_enough(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__WEBSOCKET_MAX_AGE_MS": "300"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, drip_ms=200)
    with socket(gateway, gateway.key) as ws:
        ask(ws, model=MODELS[0], input="say exactly: one two three four")
        assert text_of(check_order(answer(ws))) == "one two three four", "what runs ends first"
        error(ws, 400, "websocket_connection_limit_reached")
        assert closed(ws) == 1000


def test_a_silence_is_broken_by_pings(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__HEARTBEAT_MS": "20"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    with socket(gateway, gateway.key, ping_interval=None) as ws:
        pings: list[int] = []
        take_in = ws.protocol.recv_frame

        def counting(frame: Any) -> None:
            pings.extend([1] * (frame.opcode.name == "PING"))
            take_in(frame)

        ws.protocol.recv_frame = counting  # type: ignore[method-assign]
        gp.until(lambda: len(pings) >= 2, "pings while nothing is asked")
        simulator.fault(count=1, drip_ms=100)
        before = len(pings)
        ask(ws, model=MODELS[0], input="say exactly: one two three")
        assert text_of(check_order(answer(ws))) == "one two three"
        assert len(pings) > before + 2, "and while an answer is waited for"


def test_the_firewall_is_the_same(gateway: gp.Gateway, workspace: str, api: httpx.Client) -> None:
    for scope in ("prompt", "response"):
        rule = {"name": "No", "scope": scope, "type": "substring", "pattern": f"{scope}xyzzy", "action": "block"}
        assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    with socket(gateway, workspace) as ws:
        ask(ws, model=MODELS[0], input="promptxyzzy")
        error(ws, 422, "firewall_blocked")
        ask(ws, model=MODELS[0], input="say exactly: the word is RESPONSEXYZZY indeed")
        stream = answer(ws)
        assert stream[-1]["type"] == "response.failed"
        assert stream[-1]["response"]["error"]["code"] == "firewall_blocked"
        assert "xyzzy" not in "".join(event.get("delta", "") for event in stream).lower()


@pytest.mark.parametrize("key", ["", "tr_wrong"])
def test_the_handshake_wants_a_key(gateway: gp.Gateway, key: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        socket(gateway, key)
    assert refused.value.response.status_code == 401


def test_a_get_that_is_no_handshake_is_refused(api: httpx.Client) -> None:
    assert api.get("/v1/responses").status_code == 405


def closed(ws: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as end:
        while True:
            ws.recv(timeout=30)
    assert end.value.rcvd is not None
    return end.value.rcvd.code


def test_binary_messages_are_refused(gateway: gp.Gateway, workspace: str) -> None:
    with socket(gateway, workspace) as ws:
        ws.send(b'{"type": "response.create"}')
        error(ws, 400, "invalid_parameter")
        assert closed(ws) == 1003


def test_a_message_that_is_too_long_is_refused(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__MAX_BODY_BYTES": "10000"})
    with socket(gateway, gateway.key) as ws:
        ask(ws, model=MODELS[0], input="x" * 20_000)
        error(ws, 413, "payload_too_large")
        assert closed(ws) == 1009


def test_too_many_that_wait_are_refused(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, hang=True)
    with socket(gateway, gateway.key) as ws:
        # The end may come before all are sent.
        with contextlib.suppress(ConnectionClosed):
            for _ in range(30):
                ask(ws, model=MODELS[0], input="Hello")
        error(ws, 429, "rate_limit_exceeded")
        assert closed(ws) == 1013


def test_no_more_bytes_wait_than_one_message_may_have(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__MAX_BODY_BYTES": "10000"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    with socket(gateway, gateway.key) as ws:
        for number in range(4):
            ask(ws, model=MODELS[0], input=f"say exactly: {number}", metadata={"x": "x" * 500})
        assert [text_of(check_order(answer(ws))) for _ in range(4)] == ["0", "1", "2", "3"]
        simulator.fault(count=1, hang=True)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5):
                ask(ws, model=MODELS[0], input="x" * 4_000)
        error(ws, 429, "rate_limit_exceeded")
        assert closed(ws) == 1013


def test_a_caller_that_leaves_cancels(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))

    def outcomes() -> list[str]:
        with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
            return [row[0] for row in connection.execute("SELECT outcome FROM ledger ORDER BY id")]

    # In the middle of an answer, and before its beginning.
    for number, fault in enumerate(({"drip_ms": 50}, {"hang": True}), 1):
        simulator.fault(count=1, **fault)
        with socket(gateway, gateway.key) as ws:
            ask(ws, model=MODELS[1], input=f"Tell me of the sea, at length {number}")
            if "drip_ms" in fault:
                assert receive(ws)["type"] == "response.created"
            else:
                gp.until(lambda: bool(simulator.requests("at length 2")), "the provider's being asked")
        gp.until(lambda: len(outcomes()) == number, "the ledger's entry")
    assert outcomes() == ["cancelled", "cancelled"]


def test_a_key_that_is_revoked_counts_no_longer(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    made = gp.run("keys", "create", "--name", "short", "--database", f"sqlite:{gateway.database}")
    assert made.returncode == 0, made.stderr
    number = made.stderr.split()[1]
    with socket(gateway, made.stdout.strip()) as ws:
        ask(ws, model=MODELS[0], input="Hello")
        check_order(answer(ws))
        revoked = gp.run("keys", "revoke", number, "--database", f"sqlite:{gateway.database}")
        assert revoked.returncode == 0, revoked.stderr

        def refused() -> bool:
            ask(ws, model=MODELS[0], input="Hello")
            return answer(ws)[-1]["type"] == "error"

        gp.until(refused, "the key's being refused")
        assert closed(ws) == 1008


def test_a_stop_lets_the_answer_finish_and_closes(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, drip_ms=20)
    with socket(gateway, gateway.key) as idle, socket(gateway, gateway.key) as ws:
        ask(ws, model=MODELS[0], input="Tell me of the sea, at length")
        stream = [receive(ws)]
        gateway.process.terminate()
        assert closed(idle) == 1001
        stream += answer(ws)
        assert text_of(check_order(stream)) and closed(ws) == 1001
    assert gateway.process.wait(10) == 0, gateway.process.stderr


def test_an_answer_that_the_drain_limit_cuts_is_told_so_and_recorded(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway(environment={"TOKENROUTER_SERVER__DRAIN_TIMEOUT_MS": "200"})
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(count=1, drip_ms=500)
    with socket(gateway, gateway.key) as ws:
        ask(ws, model=MODELS[0], input="Tell me of the sea, at length")
        receive(ws)
        gateway.process.terminate()
        last = answer(ws)[-1]
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "service_unavailable")
        assert closed(ws) == 1001
    assert gateway.process.wait(10) == 0, gateway.process.stderr
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as database:
        recorded = database.execute("SELECT outcome, http_status, error_code FROM ledger").fetchall()
    assert recorded == [("failed", 503, "service_unavailable")]
