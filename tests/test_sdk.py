"""The SDK's own behaviour, the same in both worlds: settings, retries, errors, raw responses, streams."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import gateway_process as gp
import httpx
import pytest
import tokenrouter
from tokenrouter._base import wait_before
from tokenrouter._sse import SSEDecoder

KEY = "tr_never_to_be_seen"
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": []}


class World:
    """Runs the same calls with the sync or the async client, over a transport of the test's own or for real."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.loop = asyncio.Runner()

    def client(self, handler: Callable[[httpx.Request], httpx.Response] | None = None, **options: Any) -> Any:
        options = {"api_key": KEY, "base_url": "http://test.invalid"} | options
        kind: Any = tokenrouter.AsyncTokenrouter if self.asynchronous else tokenrouter.Tokenrouter
        if handler is not None:
            transport = httpx.MockTransport(handler)
            http: Any = httpx.AsyncClient if self.asynchronous else httpx.Client
            options["http_client"] = http(transport=transport)
        return kind(**options)

    def run(self, call: Callable[[], Any]) -> Any:
        """What the call gives; of a stream, its chunks."""

        async def wait() -> Any:
            value = call()
            if inspect.isawaitable(value):
                value = await value
            if isinstance(value, tokenrouter.AsyncStream):
                return [chunk async for chunk in value]
            return list(value) if isinstance(value, tokenrouter.Stream) else value

        return self.loop.run(wait())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.loop.close()


def sse(*events: dict[str, Any]) -> bytes:
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return (text + "data: [DONE]\n\n").encode()


# Settings.


def test_the_key_and_the_address_come_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENROUTER_API_KEY", "tr_from_the_environment")
    monkeypatch.setenv("TOKENROUTER_BASE_URL", "http://elsewhere.invalid/v1/")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=RESPONSE)

    client = world.client(answer, api_key=None, base_url=None)
    world.run(lambda: client.responses.create(input="Hello"))
    assert str(seen[0].url) == "http://elsewhere.invalid/v1/responses"
    assert seen[0].headers["authorization"] == "Bearer tr_from_the_environment"
    assert json.loads(seen[0].content) == {"input": "Hello"}


@pytest.mark.parametrize("url", ["http://h.invalid", "http://h.invalid/", "http://h.invalid/v1", "http://h.invalid/v1/"])
def test_the_address_may_end_with_v1_or_not(world: World, url: str) -> None:
    assert world.client(base_url=url).base_url == "http://h.invalid"


@pytest.mark.parametrize(
    ("environment", "url"), [("production", "https://api.tokenrouter.io"), ("local", "http://127.0.0.1:8000")]
)
def test_an_environment_stands_for_an_address(
    world: World, monkeypatch: pytest.MonkeyPatch, environment: str, url: str
) -> None:
    monkeypatch.delenv("TOKENROUTER_BASE_URL", raising=False)
    assert world.client(base_url=None, environment=environment).base_url == url


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": None},
        {"api_key": "tr_ключ"},
        {"environment": "staging"},
        {"base_url": "example.com"},
        {"base_url": "http://h:port"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.delenv("TOKENROUTER_API_KEY", raising=False)
    with pytest.raises(tokenrouter.TokenrouterError):
        world.client(**options)


def test_the_key_is_in_no_repr(world: World) -> None:
    client = world.client()
    assert KEY not in repr(client) + repr(vars(client)) + repr(client.responses)


def test_the_names_may_be_written_with_a_capital_r() -> None:
    assert tokenrouter.TokenRouter is tokenrouter.Tokenrouter
    assert tokenrouter.AsyncTokenRouter is tokenrouter.AsyncTokenrouter


def test_options_of_a_call_reach_the_request(world: World) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=RESPONSE)

    client = world.client(answer, default_headers={"x-team": "red", "x-both": "default"}, default_query={"a": "1"})
    world.run(
        lambda: client.responses.create(
            input="Hello",
            store=None,
            extra_headers={"x-both": "call"},
            extra_query={"b": "2"},
            extra_body={"a_field_of_next_year": True},
            timeout=3.5,
        )
    )
    [request] = seen
    assert (request.headers["x-team"], request.headers["x-both"]) == ("red", "call")
    assert dict(request.url.params) == {"a": "1", "b": "2"}
    assert json.loads(request.content) == {"input": "Hello", "store": None, "a_field_of_next_year": True}
    assert request.extensions["timeout"]["read"] == 3.5
    assert request.headers["user-agent"] == f"tokenrouter-python/{tokenrouter.__version__}"


def test_every_method_takes_the_options(world: World) -> None:
    seen: list[httpx.Request] = []
    rule = {"id": 7, "name": "n", "priority": 0, "is_enabled": True}
    routing = rule | {"match_json": {}, "action_json": {}}
    firewall = rule | {"scope": "prompt", "type": "substring", "pattern": "p", "action": "warn"}

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        path = request.url.path
        key = {"id": 7, "name": "n", "provider": "openai", "ok": True, "outcome": "ok"}
        data: Any = (
            routing if "routing" in path else firewall if "firewall" in path else key if "-keys" in path else []
        )
        if path == "/v1/capture":
            data = {"is_enabled": True, "days": 7}
        if path == "/v1/workspace":
            data = {"id": 1, "name": "default"}
        if path.endswith(("-rules", "-keys")) and request.method == "GET":
            data = [data]
        return httpx.Response(200, json=RESPONSE | {"data": data, "success": True, "group_by": "day", "total": {}})

    client = world.client(answer)
    options: dict[str, Any] = {"extra_headers": {"x-mine": "yes"}, "timeout": 2.0}
    responses, models = client.responses, client.models
    calls = [
        lambda: responses.create(input="a", **options),
        lambda: responses.retrieve("resp_1", **options),
        lambda: responses.replay("resp_1", **options),
        lambda: responses.delete("resp_1", **options),
        lambda: responses.cancel("resp_1", **options),
        lambda: responses.input_items.list("resp_1", limit=5, **options),
        lambda: models.list(**options),
        lambda: models.retrieve("groq/openai/gpt-oss-20b", **options),
        lambda: client.route(input="a", **options),
        lambda: client.routing_rules.create(name="n", action_json={}, **options),
        lambda: client.routing_rules.list(**options),
        lambda: client.routing_rules.retrieve(7, **options),
        lambda: client.routing_rules.update(7, priority=1, **options),
        lambda: client.routing_rules.delete(7, **options),
        lambda: client.firewall_rules.create(
            name="n", scope="prompt", type="substring", pattern="p", action="warn", **options
        ),
        lambda: client.firewall_rules.list(**options),
        lambda: client.firewall_rules.retrieve(7, **options),
        lambda: client.firewall_rules.update(7, replacement=None, **options),
        lambda: client.firewall_rules.delete(7, **options),
        lambda: client.api_keys.create(name="n", **options),
        lambda: client.api_keys.list(**options),
        lambda: client.api_keys.delete(7, **options),
        lambda: client.provider_keys.create(provider="openai", key="sk-1", **options),
        lambda: client.provider_keys.list(**options),
        lambda: client.provider_keys.retrieve(7, **options),
        lambda: client.provider_keys.update(7, weight=2, **options),
        lambda: client.provider_keys.delete(7, **options),
        lambda: client.provider_keys.test(7, **options),
        lambda: client.requests.list(limit=5, **options),
        lambda: client.requests.retrieve("req_1", **options),
        lambda: client.usage.retrieve(group_by="key", **options),
        lambda: client.workspace.retrieve(**options),
        lambda: client.workspace.update(max_in_flight=None, **options),
        lambda: client.capture.retrieve(**options),
        lambda: client.capture.update(days=7, **options),
        lambda: client.capture.delete(**options),
    ]
    for call in calls:
        world.run(call)
    assert [(r.headers["x-mine"], r.extensions["timeout"]["read"]) for r in seen] == [("yes", 2.0)] * len(calls)
    for request in seen:
        assert b"timeout" not in request.content and b"extra_headers" not in request.content


def test_with_options_changes_a_copy(world: World) -> None:
    client = world.client(max_retries=5)
    other = client.with_options(timeout=1.0, max_retries=0)
    assert (other.timeout, other.max_retries) == (1.0, 0)
    assert (client.timeout, client.max_retries) == (60.0, 5)


def test_what_the_api_gave_can_be_sent_back(world: World, real: Any) -> None:
    weather: Any = {
        "type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }  # fmt: skip
    said: list[Any] = [{"role": "user", "content": "Please call get_weather for Paris"}]
    first = world.run(lambda: real.responses.create(model="openai/gpt-4o", input=said, tools=[weather]))
    [call] = [item for item in first.output if item.type == "function_call"]
    said += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}]
    second = world.run(lambda: real.responses.create(model="openai/gpt-4o", input=said, tools=[weather]))
    assert "18 degrees" in second.output_text


@pytest.mark.parametrize("response_id", ["", "a/b", "..", "resp 1", "?x", None])
def test_an_id_that_could_be_another_path_is_refused(world: World, response_id: Any) -> None:
    client = world.client(lambda _: httpx.Response(200, json=RESPONSE))
    with pytest.raises(ValueError, match="id"):
        world.run(lambda: client.responses.retrieve(response_id))


# Retries.


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_the_same_idempotency_key(world: World, status: int) -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            return httpx.Response(status, headers={"retry-after": "0"})
        return httpx.Response(200, json=RESPONSE)

    client = world.client(answer)
    assert world.run(lambda: client.responses.create(input="Hello")).id == "resp_1"
    assert len(keys) == 3 and len(set(keys)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_what_will_not_pass_is_not_tried_again(world: World, status: int) -> None:
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return httpx.Response(status, json={"error": {"message": "no", "type": "t", "code": "c"}})

    client = world.client(answer)
    with pytest.raises(tokenrouter.APIError) as caught:
        world.run(lambda: client.responses.create(input="Hello"))
    assert count == 1 and caught.value.status == status


def test_a_broken_connection_is_tried_again_and_then_told(world: World) -> None:
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise httpx.ConnectError("refused")

    client = world.client(answer, max_retries=1)
    with pytest.raises(tokenrouter.APIConnectionError) as caught:
        world.run(lambda: client.responses.create(input="Hello"))
    assert count == 2 and caught.value.status is None


def test_a_timeout_is_an_error_of_its_own(world: World) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    client = world.client(answer, max_retries=0)
    with pytest.raises(tokenrouter.APITimeoutError):
        world.run(lambda: client.responses.create(input="Hello"))


def test_the_wait_is_what_the_api_asks_for_or_grows() -> None:
    asked = httpx.Response(429, headers={"retry-after": "7"})
    assert wait_before(0, asked) == 7
    assert wait_before(0, httpx.Response(429, headers={"retry-after": "3600"})) == 30
    for absurd in ("-1", "soon"):
        assert 0.3 < wait_before(0, httpx.Response(429, headers={"retry-after": absurd})) <= 0.5
    assert [0.75 * 2**n <= 2 * wait_before(n, None) <= 2**n for n in range(4)] == [True] * 4
    assert wait_before(100, None) <= 8


# Errors.


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, tokenrouter.BadRequestError),
        (401, tokenrouter.AuthenticationError),
        (403, tokenrouter.PermissionDeniedError),
        (404, tokenrouter.NotFoundError),
        (409, tokenrouter.ConflictError),
        (413, tokenrouter.PayloadTooLargeError),
        (422, tokenrouter.UnprocessableEntityError),
        (429, tokenrouter.RateLimitError),
        (502, tokenrouter.InternalServerError),
    ],
)
def test_an_error_has_a_class_by_its_status_and_every_field(
    world: World, status: int, kind: type[tokenrouter.APIError]
) -> None:
    error = {
        "type": "some_error", "code": "some_code", "message": "What went wrong", "param": "input", "provider": "openai",
        "http_status": status, "request_id": "req_1", "errors": {"input": ["no"]},
    }  # fmt: skip
    headers = {"retry-after": "0", "x-request-id": "req_1"}
    client = world.client(lambda _: httpx.Response(status, json={"error": error}, headers=headers), max_retries=0)
    with pytest.raises(kind) as caught:
        world.run(lambda: client.responses.create(input="Hello"))
    raised = caught.value
    assert (raised.status, raised.type, raised.code, raised.message) == (status, "some_error", "some_code", error["message"])
    assert (raised.param, raised.provider, raised.request_id) == ("input", "openai", "req_1")
    assert raised.errors == {"input": ["no"]} and raised.body == error
    assert "What went wrong" in str(raised)
    if isinstance(raised, tokenrouter.RateLimitError):
        assert raised.retry_after == 0


def test_an_error_that_is_not_json_is_an_error_all_the_same(world: World) -> None:
    client = world.client(lambda _: httpx.Response(502, text="<html>Bad gateway</html>"), max_retries=0)
    with pytest.raises(tokenrouter.InternalServerError) as caught:
        world.run(lambda: client.responses.create(input="Hello"))
    assert "502" in str(caught.value)


def test_an_answer_that_is_not_json_is_an_error_of_the_sdks(world: World) -> None:
    client = world.client(lambda _: httpx.Response(200, text="<html>a captive portal</html>"), max_retries=0)
    with pytest.raises(tokenrouter.APIResponseValidationError):
        world.run(lambda: client.responses.create(input="Hello"))


def test_an_error_survives_pickling() -> None:
    error = tokenrouter.NotFoundError("gone", status=404, body={"code": "not_found"})
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.status, copy.code, str(copy)) == (tokenrouter.NotFoundError, 404, "not_found", str(error))


# Raw and streaming responses.


@pytest.fixture
def real(world: World, gateway: gp.Gateway, workspace: str) -> Iterator[Any]:
    client = world.client(api_key=workspace, base_url=gateway.url)
    yield client
    world.run(client.close)


def test_a_raw_response_has_headers_and_is_parsed(world: World, real: Any) -> None:
    raw = world.run(lambda: real.responses.with_raw_response.create(model="openai/gpt-4o", input="Hello"))
    assert raw.status_code == 200 and raw.headers["x-tokenrouter-provider"] == "openai"
    assert raw.request_id == raw.headers["x-request-id"] == raw.json()["tokenrouter"]["request_id"]
    assert raw.parse().output_text == json.loads(raw.text())["output"][0]["content"][0]["text"]


def test_a_response_is_streamed_as_it_comes(world: World, real: Any) -> None:
    body = {"model": "openai/gpt-4o", "input": "Hello", "stream": True}
    if not world.asynchronous:
        with real.responses.with_streaming_response.create(**body) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = list(response.iter_lines())
        with real.responses.with_streaming_response.create(model="openai/gpt-4o", input="Hello") as response:
            assert response.parse().status == "completed"
    else:

        async def read() -> list[str]:
            async with real.responses.with_streaming_response.create(**body) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                lines = [line async for line in response.iter_lines()]
            async with real.responses.with_streaming_response.create(model="openai/gpt-4o", input="Hi") as response:
                assert (await response.parse()).status == "completed"
            return lines

        lines = world.loop.run(read())
    assert lines[0] == "event: response.created" and "data: [DONE]" in lines


def test_a_raw_stream_is_parsed_into_chunks(world: World, real: Any) -> None:
    async def read() -> list[str]:
        call = real.responses.with_raw_response.create(model="openai/gpt-4o", input="Hello", stream=True)
        raw = await call if world.asynchronous else call
        stream = raw.parse()
        if world.asynchronous:
            return [chunk.event async for chunk in stream]
        return [chunk.event for chunk in stream]

    events = world.loop.run(read())
    assert events[0] == "metadata" and events[-1] == "message.end"


# Streams.


def test_a_stream_speaks_in_the_routers_words(world: World, real: Any) -> None:
    chunks = world.run(lambda: real.responses.create(model="openai/o3", input="Hello there", stream=True))
    kinds = [chunk.event for chunk in chunks]
    for word in ("metadata", "message.start", "reasoning.delta", "content.delta", "message.end"):
        assert word in kinds
    text = "".join(chunk.delta.text for chunk in chunks if chunk.event == "content.delta")
    assert text == "".join(chunk.delta for chunk in chunks if chunk.type == "response.output_text.delta")
    assert text == chunks[-1].response.output_text != ""
    assert chunks[-1].response.tokenrouter.provider == "openai"
    weather = {
        "type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }  # fmt: skip
    chunks = world.run(
        lambda: real.responses.create(
            model="openai/gpt-4o", input="Please call get_weather for Paris", tools=[weather], stream=True
        )
    )
    arguments = "".join(chunk.delta.text for chunk in chunks if chunk.event == "tool_call.delta")
    assert json.loads(arguments) == {"city": "Paris"}


def test_a_stored_response_is_replayed_as_chunks(world: World, real: Any) -> None:
    made = world.run(lambda: real.responses.create(model="openai/gpt-4o", input="Keep this"))
    chunks = world.run(lambda: real.responses.replay(made.id, stream=True))
    assert "".join(chunk.delta.text for chunk in chunks if chunk.event == "content.delta") == made.output_text
    assert world.run(lambda: real.responses.replay(made.id)).output_text == made.output_text


def test_a_stream_that_fails_raises_what_went_wrong(world: World, real: Any) -> None:
    world.run(
        lambda: real.firewall_rules.create(
            name="No numbers", scope="response", type="regex", pattern=r"\d{3}-\d{2}", action="block"
        )
    )
    with pytest.raises(tokenrouter.FirewallBlockedError) as caught:
        world.run(lambda: real.responses.create(model="openai/gpt-4o", input="say exactly: it is 123-45 ok", stream=True))
    assert (caught.value.status, caught.value.code) == (422, "firewall_blocked")


def test_a_stream_that_breaks_off_is_never_a_success(world: World) -> None:
    begun = sse({"type": "response.created", "sequence_number": 0, "response": RESPONSE})
    client = world.client(lambda _: httpx.Response(200, content=begun, headers={"content-type": "text/event-stream"}))
    with pytest.raises(tokenrouter.APIConnectionError):
        world.run(lambda: client.responses.create(input="Hello", stream=True))


def test_an_event_of_the_future_is_passed_on(world: World) -> None:
    content = sse(
        {"type": "response.telepathy.delta", "sequence_number": 0, "delta": {"thought": "x"}},
        {"type": "response.completed", "sequence_number": 1, "response": RESPONSE},
    )
    client = world.client(lambda _: httpx.Response(200, content=content, headers={"content-type": "text/event-stream"}))
    chunks = world.run(lambda: client.responses.create(input="Hello", stream=True))
    assert [chunk.type for chunk in chunks] == ["response.telepathy.delta", "response.completed"]


def test_the_decoder_gives_the_same_data_wherever_the_bytes_are_cut() -> None:
    raw = (
        '\ufeffevent: a\r\ndata: {"x": "é"}\r\n\r\n: a comment\n\ndata: one\ndata:two\n\n'
        "id: 7\rdata: naïve 日本 🙂\r\rdata\n\nevent: nothing\n\ndata: [DONE]\n\ndata: cut"
    ).encode()

    def decode(*pieces: bytes) -> list[str]:
        decoder = SSEDecoder()
        return [data for piece in pieces for data in decoder.feed(piece)]

    whole = decode(raw)
    assert whole == ['{"x": "é"}', "one\ntwo", "naïve 日本 🙂", "", "[DONE]"]
    for at in range(len(raw) + 1):
        assert decode(raw[:at], raw[at:]) == whole, at
    assert decode(*(raw[i : i + 1] for i in range(len(raw)))) == whole


def test_conversations_and_the_background(world: World, gateway: gp.Gateway, workspace: str) -> None:
    client = world.client(api_key=workspace, base_url=gateway.url)
    made = world.run(lambda: client.conversations.create(metadata={"topic": "tea"}))
    assert world.run(lambda: client.conversations.retrieve(made.id)).metadata == {"topic": "tea"}
    assert world.run(lambda: client.conversations.update(made.id, metadata={})).metadata == {}
    added = world.run(lambda: client.conversations.items.create(made.id, items=[{"role": "user", "content": "Hello"}]))
    item = added.data[0]
    again = world.run(lambda: client.conversations.items.retrieve(item.id, conversation_id=made.id))
    assert again.to_dict() == item.to_dict()
    response = world.run(
        lambda: client.responses.create(
            model="openai/gpt-4o", input="Go on", conversation=made.id, background=True
        )
    )
    while response.status in ("queued", "in_progress"):
        response = world.run(lambda: client.responses.retrieve(response.id))
    assert response.status == "completed"
    assert world.run(lambda: client.responses.cancel(response.id)).status == "completed"
    listed = world.run(lambda: client.conversations.items.list(made.id, order="asc", limit=2))
    assert [entry.role for entry in listed.data] == ["user", "user"] and listed.has_more
    left = world.run(lambda: client.conversations.items.delete(item.id, conversation_id=made.id))
    assert left.id == made.id
    assert world.run(lambda: client.conversations.delete(made.id)).deleted is True
    with pytest.raises(tokenrouter.NotFoundError):
        world.run(lambda: client.conversations.retrieve(made.id))
    for wrong in ("", "../responses"):
        with pytest.raises((ValueError, tokenrouter.NotFoundError)):
            world.run(lambda wrong=wrong: client.conversations.retrieve(wrong))


def test_keys_the_log_and_usage(world: World, real: Any) -> None:
    made = world.run(lambda: real.api_keys.create(name="ci", models=["gpt-4o*"], monthly_budget_usd=5)).data
    assert made.key.startswith("tr_") and made.scope == "inference" and made.key not in repr(made)
    listed = world.run(lambda: real.api_keys.list()).data
    assert [(key.id, key.key) for key in listed][-1] == (made.id, None)
    limited = real.with_options(api_key=made.key)
    response = world.run(lambda: limited.responses.create(model="gpt-4o-mini", input="Hi"))
    with pytest.raises(tokenrouter.PermissionDeniedError):
        world.run(lambda: limited.requests.list())
    page = world.run(lambda: real.requests.list(key_id=made.id, outcome="completed", limit=1))
    assert [entry.response_id for entry in page.data] == [response.id] and page.has_more is False
    whole = world.run(lambda: real.requests.retrieve(page.last_id))
    assert whole.decision["attempts"][0]["outcome"] == "ok" and page.data[0].decision is None
    usage = world.run(lambda: real.usage.retrieve(group_by="key", key_id=made.id))
    assert [row.group for row in usage.data] == [str(made.id)]
    assert usage.total.output_tokens == whole.output_tokens and usage.total.cost_nano_usd == whole.cost_nano_usd
    assert world.run(lambda: real.api_keys.delete(made.id)).success
    assert world.run(lambda: real.capture.update(days=7)).data.days == 7
    raw = world.run(lambda: real.responses.with_raw_response.create(model="gpt-4o-mini", input="Keep this"))
    kept = world.run(lambda: real.requests.retrieve(raw.headers["x-request-id"])).capture
    assert "Keep this" in str(kept["input"]) and kept["output"]["status"] == "completed"
    assert world.run(lambda: real.capture.delete()).success
    assert world.run(lambda: real.capture.retrieve()).data.is_enabled is False
    with pytest.raises(ValueError, match="id of a request"):
        world.run(lambda: real.requests.retrieve(""))


def test_the_workspace_and_its_limits(world: World, real: Any) -> None:
    changed = world.run(lambda: real.workspace.update(monthly_budget_usd=5, requests_per_minute=600, max_in_flight=9))
    assert (changed.data.monthly_budget_usd, changed.data.requests_per_minute) == (5, 600)
    response = world.run(lambda: real.responses.create(model="gpt-4o-mini", input="Hi"))
    assert response.usage
    left = world.run(lambda: real.workspace.update(requests_per_minute=None)).data
    assert (left.requests_per_minute, left.max_in_flight, left.monthly_budget_usd) == (None, 9, 5)
    workspace = world.run(lambda: real.workspace.retrieve()).data
    assert workspace.id and workspace.name and workspace.max_in_flight == 9
    used = workspace.this_month
    assert used.used_tokens >= response.usage.total_tokens and used.used_usd > 0 and used.reserved_tokens == 0
    none = dict.fromkeys(("monthly_budget_usd", "max_in_flight"))
    assert world.run(lambda: real.workspace.update(**none)).data.monthly_budget_usd is None
    with pytest.raises(tokenrouter.UnprocessableEntityError):
        world.run(lambda: real.workspace.update(max_in_flight=-1))


def test_provider_keys(world: World, start_gateway: Callable[..., gp.Gateway]) -> None:
    environment = {"TOKENROUTER_VAULT__MASTER_KEYS": "1=env:MASTER", "MASTER": "5a" * 32}
    gateway = start_gateway(environment=environment)
    client = world.client(api_key=gateway.key, base_url=gateway.url)
    key = "sk-own-0123456789abcdef"
    made = world.run(lambda: client.provider_keys.create(provider="openai", key=key, weight=2)).data
    assert (made.provider, made.last4, made.weight, made.is_usable) == ("openai", "cdef", 2, True)
    assert key not in str(made)
    assert world.run(lambda: client.provider_keys.update(made.id, name="team")).data.name == "team"
    assert world.run(lambda: client.provider_keys.retrieve(made.id)).data.name == "team"
    assert world.run(lambda: client.provider_keys.test(made.id)).data.ok
    response = world.run(lambda: client.responses.create(model="openai/gpt-4o-mini", input="Hi"))
    assert response.tokenrouter.attempts[0].provider_key_id == made.id
    assert world.run(lambda: client.provider_keys.delete(made.id)).success
    assert world.run(lambda: client.provider_keys.list()).data == []
