"""`/v1/messages`: Anthropic's clients and coding agents, whichever provider answers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import anthropic
import gateway_process as gp
import httpx
import pytest
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from errors import LEAKS
from pydantic import BaseModel, TypeAdapter

MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "mistral": "mistral/mistral-large-latest",
    "deepseek": "deepseek/deepseek-chat",
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
OPENAI, ANTHROPIC = MODELS["openai"], MODELS["anthropic"]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "The weather of a city", "input_schema": CITY}
TIME: Any = {"name": "get_time", "description": "The time in a city", "input_schema": CITY}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
CACHED = {"cache_control": {"type": "ephemeral"}}


class Town(BaseModel):
    city: str
    people: int


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.fixture
def client(gateway: gp.Gateway, workspace: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=workspace, base_url=gateway.url, max_retries=0, timeout=30) as client:
        yield client


def stream_events(api: httpx.Client, body: dict[str, Any], path: str = "/v1/messages", **headers: str) -> list[Any]:
    """The events of a stream, each by its SSE name and in Anthropic's own type."""
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    found: list[Any] = []
    with api.stream("POST", path, json={**body, "stream": True}, headers=headers) as answer:
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                assert event["type"] == name
                if name not in ("ping", "error"):
                    adapter.validate_python(event)
                found.append(event)
    return found


def check_order(events: list[Any]) -> None:
    """`message_start`, blocks one after the other, `message_delta`, `message_stop`."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    opened: int | None = None
    count = 0
    for event in events:
        if event["type"] == "content_block_start":
            assert opened is None and event["index"] == count
            opened, count = count, count + 1
        elif event["type"] == "content_block_delta":
            assert event["index"] == opened
        elif event["type"] == "content_block_stop":
            assert event["index"] == opened
            opened = None
    assert opened is None
    assert sum(kind in ("message_start", "message_delta", "message_stop") for kind in kinds) == 3


def joined(events: list[Any], delta: str = "text_delta", field: str = "text") -> str:
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(d[field] for d in deltas if d["type"] == delta)


def message(api: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = api.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    Message.model_validate(made)
    return made


# The official client.


@each_model
def test_a_message_is_created(client: anthropic.Anthropic, model: str) -> None:
    made = client.messages.create(model=model, max_tokens=512, system="Be brief.", messages=said("Tell me of the sea"))
    assert (made.type, made.role, made.stop_reason) == ("message", "assistant", "end_turn")
    assert "Tell me of the sea" in text_of(made) and "Be brief." in text_of(made)
    assert made.id.startswith("msg_") and made.usage.input_tokens > 0 and made.usage.output_tokens > 0
    assert made._request_id


@each_model
def test_a_stream_gives_the_message_that_a_plain_request_gives(client: anthropic.Anthropic, model: str) -> None:
    body: dict[str, Any] = {"model": model, "max_tokens": 512, "messages": said("Tell me a story")}
    plain = client.messages.create(**body)
    with client.messages.stream(**body) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == text_of(final) == text_of(plain) and len(pieces) > 1
    assert (final.stop_reason, final.usage.output_tokens) == (plain.stop_reason, plain.usage.output_tokens)
    assert final.usage.input_tokens == plain.usage.input_tokens


@each_model
def test_a_tool_goes_round(client: anthropic.Anthropic, model: str) -> None:
    conversation = said("Please call get_weather for Paris")
    first = client.messages.create(model=model, max_tokens=512, messages=conversation, tools=[WEATHER])
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert (first.stop_reason, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    with client.messages.stream(model=model, max_tokens=512, messages=conversation, tools=[WEATHER]) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == ["tool_use"]
    assert streamed.content[0].input == call.input  # type: ignore[union-attr]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "18 degrees"}]}
    conversation += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model=model, max_tokens=512, messages=conversation, tools=[WEATHER])
    assert "18 degrees" in text_of(second) and second.stop_reason == "end_turn"


@each_model
def test_tools_are_called_in_parallel_and_their_results_keep_their_order(
    client: anthropic.Anthropic, model: str
) -> None:
    conversation = said("Call all tools in parallel for Paris")
    with client.messages.stream(
        model=model, max_tokens=512, messages=conversation, tools=[WEATHER, TIME]
    ) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert all(call.input == {"city": "Paris"} for call in calls) and len({call.id for call in calls}) == 2
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": text}
        for call, text in zip(calls, ["18 degrees", "noon"], strict=True)
    ]
    results.append({"type": "text", "text": "And now?"})
    conversation += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = client.messages.create(model=model, max_tokens=512, messages=conversation, tools=[WEATHER, TIME])
    assert second.content


@each_model
def test_a_tool_is_forced_and_forbidden(client: anthropic.Anthropic, model: str) -> None:
    body: dict[str, Any] = {"model": model, "max_tokens": 512, "tools": [WEATHER, TIME]}
    for choice, wanted in [({"type": "any"}, "get_weather"), ({"type": "tool", "name": "get_time"}, "get_time")]:
        made = client.messages.create(messages=said("Hello Paris"), tool_choice=choice, **body)
        assert [block.name for block in made.content if block.type == "tool_use"] == [wanted]
    made = client.messages.create(messages=said("Call get_weather"), tool_choice={"type": "none"}, **body)
    assert [block.type for block in made.content] == ["text"]


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
def test_images_and_documents_reach_the_provider(client: anthropic.Anthropic, model: str) -> None:
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}}
    note = {"type": "document", "title": "note.txt", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    link = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    content: Any = [IMAGE, link, pdf, note, {"type": "text", "text": "What is it?"}]
    made = client.messages.create(model=model, max_tokens=512, messages=[{"role": "user", "content": content}])
    assert "Images: 2" in text_of(made) and "Files: 2" in text_of(made)


def test_an_image_reaches_mistral(client: anthropic.Anthropic) -> None:
    content: Any = [IMAGE, {"type": "text", "text": "What is it?"}]
    model = MODELS["mistral"]
    made = client.messages.create(model=model, max_tokens=512, messages=[{"role": "user", "content": content}])
    assert "Images: 1" in text_of(made)


@each_model
def test_an_answer_is_parsed_into_a_model(client: anthropic.Anthropic, model: str) -> None:
    made = client.messages.parse(model=model, max_tokens=512, messages=said("Which town?"), output_format=Town)
    assert isinstance(made.parsed_output, Town)


@each_model
def test_a_limit_cuts_the_answer(client: anthropic.Anthropic, model: str) -> None:
    body: dict[str, Any] = {"model": model, "max_tokens": 16, "messages": said("Tell me a story")}
    assert client.messages.create(**body).stop_reason == "max_tokens"
    with client.messages.stream(**body) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_thoughts_come_with_a_signature_and_go_back_to_the_model_that_made_them(
    gateway: gp.Gateway, workspace: str, simulator: gp.Simulator, mark: str
) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    body: dict[str, Any] = {"max_tokens": 4096, "thinking": thinking}
    conversation = said(f"Think of {mark}")
    with anthropic.Anthropic(api_key=workspace, base_url=gateway.url, max_retries=0) as client:
        plain = client.messages.create(model=ANTHROPIC, messages=conversation, **body)
        with client.messages.stream(model=ANTHROPIC, messages=conversation, **body) as stream:
            final = stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.content[0] == plain.content[0]
        conversation += [{"role": "assistant", "content": final.content}, *said("Go on")]
        client.messages.create(model=ANTHROPIC, messages=conversation, **body)
        sent = simulator.requests(mark)[-1]["body"]
        assert sent["thinking"] == thinking
        block = sent["messages"][1]["content"][0]
        # Anthropic's own signature, and the text that it signs.
        assert block["signature"].startswith("sim") and block["thinking"] == final.content[0].thinking  # type: ignore[union-attr]
        # Another model is not given it, and the caller is told.
        made = client.messages.create(model="anthropic/claude-haiku-4-5", messages=conversation, **body)
        assert not any(b["type"] == "thinking" for b in simulator.requests(mark)[-1]["body"]["messages"][1]["content"])
        warnings = str(made.model_extra["tokenrouter"]["warnings"])  # type: ignore[index]
        assert "messages[1].content[0]" in warnings and "claude-sonnet-4-5" in warnings


@pytest.mark.parametrize("model", ["openai/o3", "deepseek/deepseek-reasoner", "mistral/magistral-medium-latest"])
def test_a_model_that_thinks_tells_its_thoughts_before_its_text(client: anthropic.Anthropic, model: str) -> None:
    body: dict[str, Any] = {"model": model, "max_tokens": 4096, "messages": said("Think of the sea")}
    body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    plain = client.messages.create(**body)
    with client.messages.stream(**body) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == [block.type for block in plain.content] == ["thinking", "text"]
    assert final.content[0].thinking == plain.content[0].thinking != ""  # type: ignore[union-attr]
    again = [*body["messages"], {"role": "assistant", "content": final.content}, *said("Go on")]
    assert text_of(client.messages.create(**body | {"messages": again}))


def test_tokens_are_counted_roughly_and_no_provider_is_asked(
    client: anthropic.Anthropic, simulator: gp.Simulator, mark: str
) -> None:
    short = client.messages.count_tokens(model=ANTHROPIC, messages=said(mark))
    long = client.messages.count_tokens(model=ANTHROPIC, system="word " * 400, messages=said(mark), tools=[WEATHER])
    assert 0 < short.input_tokens < 40
    assert 400 < long.input_tokens < 700
    assert simulator.requests(mark) == []


def test_the_async_client_works_as_well(gateway: gp.Gateway, workspace: str) -> None:
    async def talk() -> None:
        async with anthropic.AsyncAnthropic(auth_token=workspace, base_url=gateway.url, max_retries=0) as client:
            async with client.messages.stream(model=OPENAI, max_tokens=512, messages=said("Hello")) as stream:
                final = await stream.get_final_message()
            assert "Hello" in text_of(final)

    asyncio.run(talk())


def test_errors_are_the_clients_own_exceptions_with_the_request_id(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="no-such-model", max_tokens=16, messages=said("Hello"))
    assert missing.value.type == "not_found_error"
    assert missing.value.request_id and missing.value.request_id == missing.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=OPENAI, max_tokens=16, messages=[])
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="tr_wrong").messages.create(model=OPENAI, max_tokens=16, messages=said("Hello"))


# The wire.

CASES: dict[str, dict[str, Any]] = {
    "text": {"messages": said("Hello")},
    "story": {"messages": said("Tell me a story")},
    "tool": {"messages": said("Call get_weather for Paris"), "tools": [WEATHER]},
    "parallel": {"messages": said("Call all tools in parallel for Paris"), "tools": [WEATHER, TIME]},
    "cut": {"messages": said("Tell me a story"), "max_tokens": 16},
    "thinking": {"messages": said("Think"), "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096},
}


@each_model
@pytest.mark.parametrize("case", CASES)
def test_every_event_is_of_anthropics_own_type_and_in_anthropics_order(
    api: httpx.Client, model: str, case: str
) -> None:
    body = {"model": model, "max_tokens": 512} | CASES[case]
    plain = message(api, body)
    events = stream_events(api, body)
    check_order(events)
    texts = [block["text"] for block in plain["content"] if block["type"] == "text"]
    assert joined(events) == "".join(texts)
    inputs = [block["input"] for block in plain["content"] if block["type"] == "tool_use"]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [start["type"] for start in starts] == [block["type"] for block in plain["content"]]
    if len(inputs) == 1:
        assert json.loads(joined(events, "input_json_delta", "partial_json")) == inputs[0]
    [delta] = [event for event in events if event["type"] == "message_delta"]
    assert delta["delta"]["stop_reason"] == plain["stop_reason"]
    assert delta["usage"] == plain["usage"]
    assert delta["tokenrouter"]["model"] == plain["tokenrouter"]["model"]


@each_model
@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_a_key_is_taken_from_either_header(gateway: gp.Gateway, workspace: str, model: str, header: str) -> None:
    key = workspace if header == "x-api-key" else f"Bearer {workspace}"
    with httpx.Client(base_url=gateway.url, headers={header: key}, trust_env=False) as api:
        message(api, {"model": model, "max_tokens": 64, "messages": said("Hello")})


def claude_code(model: str, mark: str) -> dict[str, Any]:
    """A request such as the coding agent sends, by its fields."""
    return {
        "model": model,
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": "You are a coding agent for the command line.", **CACHED},
            {"type": "text", "text": "Keep answers short.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"<system-reminder>{mark}</system-reminder>"}, {"type": "text", "text": "List the files"}]},  # fmt: skip
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "I list them.", "signature": "EqQBCkYIBhgCKkBv"},
                {"type": "text", "text": "I shall look."},
                {"type": "tool_use", "id": "toolu_01A", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_01B", "name": "Read", "input": {"file_path": "/a"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "a.txt", "is_error": False},
                {"type": "tool_result", "tool_use_id": "toolu_01B", "content": [{"type": "text", "text": "no such file"}], "is_error": True, **CACHED},
            ]},
        ],
        "tools": [
            {"name": "Bash", "description": "Runs a command", "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"], "additionalProperties": False}},
            {"name": "Read", "description": "Reads a file", "input_schema": {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]}, **CACHED},
        ],
        "metadata": {"user_id": "user_" + "0" * 64 + "_account__session_" + "1" * 36},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "temperature": 1,
    }  # fmt: skip


BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27"


@pytest.mark.parametrize("model", [*MODELS.values(), "openai/o3", "anthropic/claude-opus-4-7"])
def test_a_coding_agents_request_is_answered_by_every_provider(
    api: httpx.Client, simulator: gp.Simulator, mark: str, model: str
) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": BETAS, "x-app": "cli"}
    events = stream_events(api, claude_code(model, mark), path="/v1/messages?beta=true", **headers)
    check_order(events)
    assert "a.txt" in joined(events) and "no such file" in joined(events)
    [sent] = simulator.requests(mark)
    text = json.dumps(sent["body"])
    [delta] = [event for event in events if event["type"] == "message_delta"]
    warnings = " ".join(warning["message"] for warning in delta["tokenrouter"]["warnings"])
    assert "messages[1].content[0]" in warnings, "the thought of another host is not passed on silently"
    if model.startswith("anthropic/"):
        assert sent["body"]["context_management"] and sent["body"]["metadata"]["user_id"].startswith("user_")
        assert sent["body"]["system"][1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        assert sent["body"]["tools"][1]["cache_control"] == CACHED["cache_control"]
        assert sent["body"]["messages"][2]["content"][1] | CACHED == sent["body"]["messages"][2]["content"][1]
        assert sent["body"]["messages"][2]["content"][1]["is_error"] is True
    else:
        assert "cache_control" not in text and "context_management" not in text and "anthropic" not in text
        assert "`context_management`" in warnings and "`betas`" in warnings and "cache_control" not in warnings


def test_the_clients_beta_half_works_as_well(client: anthropic.Anthropic, simulator: gp.Simulator, mark: str) -> None:
    beta: Any = client.beta.messages
    for model in (ANTHROPIC, OPENAI):
        made = beta.create(model=model, max_tokens=64, messages=said(mark), betas=["context-1m-2025-08-07"])
        assert mark in text_of(made)
        assert ("`betas`" in str(made.tokenrouter)) == (model == OPENAI)
    assert "betas" not in json.dumps([sent["body"] for sent in simulator.requests(mark)])


def test_a_tool_that_anthropic_runs_is_offered_to_anthropic_alone(
    api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    body: dict[str, Any] = {"max_tokens": 64, "messages": said(mark), "tools": [search, WEATHER]}
    assert message(api, body | {"model": ANTHROPIC})["tokenrouter"]["warnings"] == []
    assert simulator.requests(mark)[-1]["body"]["tools"][1] == search
    for model in (OPENAI, MODELS["mistral"], MODELS["deepseek"]):
        made = message(api, body | {"model": model})
        assert "web_search_20250305" in str(made["tokenrouter"]["warnings"])
        assert "web_search" not in json.dumps(simulator.requests(mark)[-1]["body"])


def test_what_only_anthropic_knows_is_a_refusal_elsewhere_when_losses_are(api: httpx.Client) -> None:
    body = {"model": OPENAI, "max_tokens": 64, "messages": said("Hello"), "top_k": 5}
    made = message(api, body)
    assert "top_k" in str(made["tokenrouter"]["warnings"])
    error = check_error(api.post("/v1/messages", json=body | {"router_strict": True}), 400, "invalid_request_error")
    assert error["param"] == "top_k"
    assert message(api, body | {"model": ANTHROPIC, "router_strict": True})["tokenrouter"]["warnings"] == []


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC, MODELS["mistral"]])
def test_stop_sequences_are_sent_where_there_are_any(
    api: httpx.Client, simulator: gp.Simulator, mark: str, model: str
) -> None:
    made = message(api, {"model": model, "max_tokens": 64, "messages": said(mark), "stop_sequences": ["END"]})
    [sent] = simulator.requests(mark)
    given = sent["body"].get("stop_sequences") or sent["body"].get("stop")
    assert given == (None if model == OPENAI else ["END"])
    assert ("stop" in str(made["tokenrouter"]["warnings"])) == (model == OPENAI)


def test_a_message_is_stored_only_if_it_is_to_be(api: httpx.Client) -> None:
    body = {"model": OPENAI, "max_tokens": 64, "messages": said("Keep this")}
    for store, status in [(None, 404), (False, 404), (True, 200)]:
        made = message(api, body | ({} if store is None else {"store": store}))
        assert api.get(f"/v1/responses/{made['id'].replace('msg_', 'resp_')}").status_code == status


# Rules.


def make_rule(api: httpx.Client, kind: str, **rule: Any) -> None:
    answer = api.post(f"/v1/{kind}-rules", json={"name": "Rule", **rule})
    assert answer.status_code == 201, answer.text


@each_model
def test_a_prompt_is_masked_and_blocked(api: httpx.Client, simulator: gp.Simulator, mark: str, model: str) -> None:
    make_rule(api, "firewall", scope="prompt", type="substring", pattern="swordfish", action="mask")
    make_rule(api, "firewall", scope="prompt", type="substring", pattern="dynamite", action="block")
    system = [{"type": "text", "text": "swordfish one", **CACHED}]
    body: dict[str, Any] = {"model": model, "max_tokens": 64, "system": system, "messages": said(f"{mark} swordfish")}
    for stream in (False, True):
        if stream:
            stream_events(api, body)
        else:
            message(api, body)
    assert all("swordfish" not in json.dumps(sent["body"]) for sent in simulator.requests(mark))
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "dynamite"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    turns = [*said(mark), {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    before = len(simulator.requests(mark))
    for stream in (False, True):
        answer = api.post("/v1/messages", json=body | {"messages": turns, "tools": [WEATHER], "stream": stream})
        assert check_error(answer, 422, "invalid_request_error")["code"] == "firewall_blocked"
    assert len(simulator.requests(mark)) == before


@each_model
def test_an_answer_is_masked_alike_plain_and_streamed(api: httpx.Client, model: str) -> None:
    make_rule(api, "firewall", scope="response", type="regex", pattern=r"green \w+", action="mask", replacement="***")
    body = {"model": model, "max_tokens": 64, "messages": said("Say exactly: the green door and the green gate")}
    plain = message(api, body)
    assert plain["content"][0]["text"] == "the *** and the ***"
    assert joined(stream_events(api, body)) == "the *** and the ***"


@each_model
def test_a_block_in_mid_stream_ends_it_with_an_error(api: httpx.Client, model: str) -> None:
    make_rule(api, "firewall", scope="response", type="substring", pattern="forbidden", action="block")
    body = {"model": model, "max_tokens": 64, "messages": said("Say exactly: some words first and then forbidden ones")}
    events = stream_events(api, body)
    assert events[-1]["type"] == "error"
    assert not any(event["type"] in ("message_delta", "message_stop") for event in events)
    error = events[-1]["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "firewall_blocked")
    assert "some words" in joined(events) and "forbidden" not in json.dumps(events[:-1])
    assert api.post("/v1/messages", json=body).status_code == 422


def test_routing_rules_choose_here_as_they_do_elsewhere(api: httpx.Client) -> None:
    make_rule(api, "routing", match_json={"contains": "translate"}, action_json={"set_model": ANTHROPIC})
    make_rule(api, "routing", match_json={"metadata_equals": {"user_id": "u-7"}}, action_json={"set_model": OPENAI})
    body: dict[str, Any] = {"model": MODELS["mistral"], "max_tokens": 64, "messages": said("Hello")}
    assert message(api, body)["tokenrouter"]["provider"] == "mistral"
    assert message(api, body | {"messages": said("translate this")})["tokenrouter"]["provider"] == "anthropic"
    assert message(api, body | {"metadata": {"user_id": "u-7"}})["tokenrouter"]["provider"] == "openai"
    events = stream_events(api, body | {"messages": said("translate this")})
    assert events[0]["message"]["tokenrouter"]["provider"] == "anthropic"


# What goes wrong.


def check_error(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Anthropic's shape, and our own fields beside its."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
    error: dict[str, Any] = body["error"]
    assert error["type"] == kind and error["message"], error
    assert {"code", "param", "provider", "http_status"} <= set(error) and error["http_status"] == status
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    for leak in LEAKS:
        assert leak not in str(error)
    return error


USER = said("Hello")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "novel"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
            "messages[0].content[0].source.type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}]},
         "messages[0].content[0].input"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"model": 7}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": [7]}, "stop_sequences[0]"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"metadata": {"user_id": []}}, "metadata.user_id"),
        ({"betas": ["a\nb"]}, "betas[0]"),
        ({"router_mode": "cheapest"}, "router_mode"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(api: httpx.Client, change: dict[str, Any], param: str) -> None:
    body = {"model": OPENAI, "max_tokens": 64, "messages": USER} | change
    error = check_error(api.post("/v1/messages", json=body), 400, "invalid_request_error")
    assert error["param"] == param, error


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"messages": "\xff"}'])
def test_what_is_no_object_is_refused(api: httpx.Client, path: str, body: bytes) -> None:
    check_error(api.post(path, content=body), 400, "invalid_request_error")


def test_errors_from_before_the_handler_have_anthropics_shape_too(api: httpx.Client, gateway: gp.Gateway) -> None:
    body = {"model": OPENAI, "max_tokens": 64, "messages": USER}
    for headers in ({"x-api-key": "tr_wrong"}, {}):
        answer = httpx.post(f"{gateway.url}/v1/messages", json=body, headers=headers, trust_env=False)
        check_error(answer, 401, "authentication_error")
    check_error(api.get("/v1/messages"), 405, "invalid_request_error")
    check_error(api.post("/v1/messages/batches", json={}), 404, "not_found_error")
    check_error(api.post("/v1/messages", json=body | {"model": "gpt-4p"}), 404, "not_found_error")
    big = body | {"messages": said("x" * 20_000_000)}
    check_error(api.post("/v1/messages", json=big), 413, "request_too_large")


@each_model
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ({"status": 429, "retry_after": 3}, 429, "rate_limit_error"),
        ({"status": 500}, 502, "api_error"),
        ({"status": 503}, 503, "overloaded_error"),
        ({"garbage": True}, 502, "api_error"),
        ({"status": 401}, 502, "api_error"),
    ],
    ids=["limited", "broken", "overloaded", "garbage", "key"],
)
def test_a_providers_failure_is_told_in_anthropics_words(
    faulty: tuple[httpx.Client, gp.Simulator], model: str, fault: dict[str, Any], status: int, kind: str
) -> None:
    api, simulator = faulty
    for stream in (False, True):
        simulator.forget()
        simulator.fault(provider=model.split("/")[0], count=9, **fault)
        body = {"model": model, "max_tokens": 64, "messages": USER, "stream": stream}
        answer = api.post("/v1/messages", json=body)
        error = check_error(answer, status, kind)
        assert error["provider"] == model.split("/")[0]
        if status == 429:
            assert int(answer.headers["retry-after"]) >= 1


@each_model
@pytest.mark.parametrize("fault", [{"cut_after_bytes": 3000}, {"error_event": True}], ids=["cut", "error"])
def test_a_failure_in_mid_stream_is_never_a_clean_end(
    faulty: tuple[httpx.Client, gp.Simulator], model: str, fault: dict[str, Any]
) -> None:
    api, simulator = faulty
    simulator.fault(provider=model.split("/")[0], count=1, **fault)
    events = stream_events(api, {"model": model, "max_tokens": 512, "messages": said("Tell me a story")})
    assert events[-1]["type"] == "error" and joined(events)
    assert events[-1]["error"]["type"] in ("api_error", "overloaded_error") and events[-1]["request_id"]
    assert not any(event["type"] in ("message_delta", "message_stop") for event in events)


def test_the_ledger_has_each_request_once(start_gateway: Any) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        body = {"model": OPENAI, "max_tokens": 64, "messages": USER}
        ids = [message(api, body)["tokenrouter"]["request_id"]]
        ids.append(stream_events(api, body)[0]["message"]["tokenrouter"]["request_id"])
        ids.append(api.post("/v1/messages", json=body | {"model": "gpt-4p"}).json()["request_id"])
        api.post("/v1/messages/count_tokens", json=body)
    assert gateway.stop() == 0
    with sqlite3.connect(gateway.database) as database:
        rows = database.execute("SELECT request_id, outcome, input_tokens > 0 FROM ledger ORDER BY rowid").fetchall()
    assert rows == [(ids[0], "completed", 1), (ids[1], "completed", 1), (ids[2], "failed", 0)]


def test_the_models_are_listed_for_anthropics_client(client: anthropic.Anthropic) -> None:
    models = list(client.models.list(limit=1000))
    assert len({model.id for model in models}) == len(models)
    assert {"auto", "auto:cost", OPENAI, ANTHROPIC} <= {model.id for model in models}
    for model in models:
        assert ModelInfo.model_validate(model.model_dump()).type == "model"
        assert model.display_name and model.created_at.tzinfo
    assert client.models.retrieve(ANTHROPIC).display_name == "claude-sonnet-4-5"
    assert client.models.retrieve("auto").id == "auto"
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.models.retrieve("claude-nothing")
    body = missing.value.body
    assert isinstance(body, dict) and (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["request_id"] == missing.value.request_id is not None
    with pytest.raises(anthropic.AuthenticationError) as refused:
        client.with_options(api_key="tr_wrong").models.list()
    assert isinstance(refused.value.body, dict) and refused.value.body["type"] == "error"


def test_what_a_model_can_do_is_told_in_anthropics_words(client: anthropic.Anthropic) -> None:
    claude = client.models.retrieve(ANTHROPIC).capabilities
    gpt = client.models.retrieve(OPENAI).capabilities
    assert claude is not None and gpt is not None
    assert claude.image_input.supported and claude.structured_outputs.supported and claude.thinking.supported
    assert claude.citations.supported and not gpt.citations.supported and not gpt.thinking.types.enabled.supported
    assert client.models.retrieve("auto").capabilities is None
