"""`/v1/chat/completions`: a chat client cannot tell it from OpenAI's, whichever provider answers.

Every plain answer and every chunk is held against the official package's own types; what is streamed
must come to what is answered plainly.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from chat_stream import Streamed, data_lines, streamed
from errors import check_envelope, check_error
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "mistral": "mistral/mistral-large-latest",
    "deepseek": "deepseek/deepseek-chat",
    "host": "host/small",
}
OPENAI = MODELS["openai"]
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
plain_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])

PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def tool(name: str, **more: Any) -> Any:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": True, **more}}


WEATHER = tool("get_weather", description="The weather of a city")
TIME = tool("get_time", description="The time in a city")
TOWN = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


class Town(BaseModel):
    city: str
    people: int


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[gp.Gateway, gp.Simulator]]:
    """A gateway with a provider of every wire format, and the simulator that is all of them."""
    simulator = gp.start_simulator()
    folder = tmp_path_factory.mktemp("chats")
    config = folder / "tokenrouter.toml"
    hosts = [("openai", "openai", "/v1"), ("anthropic", "anthropic", ""), ("mistral", "mistral", "/v1")]
    hosts += [("deepseek", "deepseek", "")]
    settings = [gp.provider_settings(name, kind, f"{simulator.url}/{name}{path}") for name, kind, path in hosts]
    settings.append(
        gp.provider_settings("host", "openai-compatible", f"{simulator.url}/host/v1")
        + 'models = [{ id = "small", tools = true, images = true, json_schema = true }]\n'
    )
    config.write_text("[upstream]\nfirst_event_timeout_ms = 1500\nbetween_events_timeout_ms = 1500\n" + "".join(settings))
    environment = {"SIMULATED_KEY": gp.SIMULATED_KEY}
    running = gp.start_gateway(folder / "tokenrouter.db", simulate=False, config=config, environment=environment)
    yield running, simulator
    code = running.stop()
    assert simulator.process is not None
    simulator.process.stop()
    assert code == 0, running.process.stderr


@pytest.fixture
def simulator(chats: tuple[gp.Gateway, gp.Simulator]) -> Iterator[gp.Simulator]:
    chats[1].forget()
    yield chats[1]
    chats[1].forget()


@pytest.fixture
def key(chats: tuple[gp.Gateway, gp.Simulator]) -> str:
    return chats[0].new_workspace()


@pytest.fixture
def http(chats: tuple[gp.Gateway, gp.Simulator], key: str) -> Iterator[httpx.Client]:
    with chats[0].http(key) as client:
        yield client


@pytest.fixture
def client(chats: tuple[gp.Gateway, gp.Simulator], key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=key, base_url=f"{chats[0].url}/v1", max_retries=0, timeout=30) as client:
        yield client


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def complete(http: httpx.Client, model: str = OPENAI, messages: Any = None, **more: Any) -> dict[str, Any]:
    """A plain answer, which must be of the official type."""
    body = {"model": model, "messages": messages or says("Tell me of the sea"), **more}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    ChatCompletion.model_validate_json(answer.text, strict=True)
    completion: dict[str, Any] = answer.json()
    [choice] = completion["choices"]
    assert choice["index"] == 0 and choice["message"]["role"] == "assistant"
    return completion


def both(http: httpx.Client, model: str = OPENAI, messages: Any = None, **more: Any) -> tuple[dict[str, Any], Streamed]:
    """The same asked plainly and streamed: the same must be said."""
    messages = messages or says("Tell me of the sea")
    completion = complete(http, model, messages, **more)
    stream = streamed(http, model=model, messages=messages, **more)
    assert stream.error is None
    [choice] = completion["choices"]
    message = {name: value for name, value in choice["message"].items() if value and name != "role"}
    assert {name: value for name, value in stream.message.items() if value} == message
    assert stream.finish_reason == choice["finish_reason"]
    return completion, stream


# The official client.


@each_model
def test_a_chat_is_answered(client: openai.OpenAI, model: str) -> None:
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me of the sea"}]
    completion = client.chat.completions.create(model=model, messages=messages)
    [choice] = completion.choices
    assert choice.message.content and "Tell me of the sea" in choice.message.content
    assert "Be brief." in choice.message.content
    assert choice.finish_reason == "stop"
    assert completion.usage and completion.usage.total_tokens > 0


@pytest.mark.parametrize("model", [*MODELS.values(), "gemini/gemini-2.5-flash"])
def test_the_system_alone_is_answered_too(api: httpx.Client, model: str) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Tell me of the sea"}]
    if model == MODELS["host"]:
        model = "auto:cost"
    completion, _ = both(api, model, messages)
    assert "Tell me of the sea" in completion["choices"][0]["message"]["content"]
    provider = completion["tokenrouter"]["provider"]
    lost = [warning["message"].split(":")[0] for warning in completion["tokenrouter"]["warnings"]]
    assert lost == (["`messages[1]`"] if provider in ("anthropic", "gemini") else [])


@each_model
def test_a_chat_is_streamed(client: openai.OpenAI, model: str) -> None:
    messages: Any = says("Tell me of the sea")
    whole = client.chat.completions.create(model=model, messages=messages).choices[0].message.content
    chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == whole and len([piece for piece in pieces if piece]) > 1
    assert chunks[-1].choices[0].finish_reason == "stop"


@each_model
def test_the_stream_helper_gives_the_final_completion(client: openai.OpenAI, model: str) -> None:
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(
        model=model, messages=says("Tell me of the sea"), stream_options=options  # type: ignore[arg-type]
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content
    assert final.usage and final.usage.completion_tokens > 0


@each_model
def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI, model: str) -> None:
    messages: Any = says("Which town?")
    completion = client.chat.completions.parse(model=model, messages=messages, response_format=Town)
    assert isinstance(completion.choices[0].message.parsed, Town)
    with client.chat.completions.stream(model=model, messages=messages, response_format=Town) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Town)


@each_model
@plain_and_streamed
def test_a_tool_goes_round(client: openai.OpenAI, model: str, stream: bool) -> None:
    messages: Any = says("Please call get_weather for Paris.")
    if stream:
        with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as events:
            first = events.get_final_completion().choices[0]
    else:
        first = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0]  # type: ignore[assignment]
    assert first.finish_reason == "tool_calls" and first.message.content is None
    [call] = first.message.tool_calls or []
    assert call.type == "function" and call.function.name == "get_weather" and json.loads(call.function.arguments)
    messages.append(first.message.to_dict() if stream else first.message)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees"})
    second = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert "18 degrees" in (second.choices[0].message.content or "")


@each_model
def test_parallel_tools_go_round(http: httpx.Client, model: str) -> None:
    messages: Any = says("Please call all tools for Paris.")
    completion, stream = both(http, model, messages, tools=[WEATHER, TIME])
    message = completion["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_weather", "get_time"]
    assert len({call["id"] for call in message["tool_calls"]}) == 2
    messages.append(message)
    for call, result in zip(message["tool_calls"], ["18 degrees", "noon"], strict=True):
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": [{"type": "text", "text": result}]})
    answer = complete(http, model, messages, tools=[WEATHER, TIME])["choices"][0]["message"]["content"]
    assert "18 degrees" in answer and "noon" in answer


@each_model
def test_a_picture_is_seen(http: httpx.Client, model: str) -> None:
    part = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    if model == MODELS["deepseek"]:
        # Its models see no pictures.
        answer = http.post("/v1/chat/completions", json={"model": model, "messages": messages})
        check_error(answer, 422, "routing_error", "no_eligible_model")
    else:
        assert "Images: 1" in complete(http, model, messages)["choices"][0]["message"]["content"]


@each_model
def test_what_is_said_plainly_is_said_in_a_stream(http: httpx.Client, model: str) -> None:
    completion, stream = both(http, model, stream_options={"include_usage": True})
    assert stream.usage == completion["usage"]
    assert stream.usage and stream.usage["total_tokens"] > 0
    told = stream.chunks[-2]["tokenrouter"]
    assert told["provider"] == completion["tokenrouter"]["provider"] == model.split("/")[0]
    assert completion["metadata"]["provider"] == stream.chunks[-2]["metadata"]["provider"]


def test_usage_is_streamed_only_when_it_is_asked_for(http: httpx.Client) -> None:
    stream = streamed(http, model=OPENAI, messages=says("Hello"))
    assert stream.usage is None and all("usage" not in chunk for chunk in stream.chunks)


@each_model
def test_an_answer_that_is_cut_says_length(client: openai.OpenAI, http: httpx.Client, model: str) -> None:
    completion, _ = both(http, model, says("Tell me a story"), max_tokens=5)
    assert completion["choices"][0]["finish_reason"] == "length"
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=model,
            messages=says("Tell me a story"),  # type: ignore[arg-type]
            max_completion_tokens=3,
        )


@pytest.mark.parametrize("model", ["mistral/magistral-medium-latest", "deepseek/deepseek-reasoner"])
def test_reasoning_is_given_beside_the_answer(http: httpx.Client, model: str) -> None:
    completion, stream = both(http, model)
    assert completion["choices"][0]["message"]["reasoning_content"] == stream.message["reasoning_content"] != ""
    assert completion["usage"]["completion_tokens"] > 0


def test_an_effort_of_reasoning_is_asked_for(http: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    for model in ("openai/o3", MODELS["anthropic"], "deepseek/deepseek-reasoner", "mistral/magistral-medium-latest"):
        told = complete(http, model, says(mark), reasoning_effort="low")["tokenrouter"]
        lost = any("`reasoning_effort`" in warning["message"] for warning in told["warnings"])
        assert lost is model.startswith("mistral"), told
    sent = [request["body"] for request in simulator.requests(mark)]
    assert sent[0]["reasoning"]["effort"] == "low" and sent[1]["thinking"]["budget_tokens"] > 0
    assert sent[2]["reasoning_effort"] == "low" and "reasoning_effort" not in sent[3]


def test_functions_from_before_there_were_tools_go_round(http: httpx.Client) -> None:
    functions = [WEATHER["function"]]
    messages = says("Please call get_weather for Paris.")
    completion, _ = both(http, OPENAI, messages, functions=functions, function_call="auto")
    [choice] = completion["choices"]
    assert choice["finish_reason"] == "function_call" and choice["message"]["function_call"]["name"] == "get_weather"
    assert "tool_calls" not in choice["message"]
    messages += [choice["message"], {"role": "function", "name": "get_weather", "content": "18 degrees"}]
    answer = complete(http, MODELS["anthropic"], messages, functions=functions)
    assert "18 degrees" in answer["choices"][0]["message"]["content"]


def test_only_allowed_tools_are_offered(http: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    for model in (OPENAI, MODELS["anthropic"]):
        message = complete(
            http, model, says(f"Paris {mark}"), tools=[WEATHER, TIME],
            tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
        )  # fmt: skip
        if model != OPENAI:
            [call] = message["choices"][0]["message"]["tool_calls"]
            assert call["function"]["name"] == "get_time"
    [sent, _] = simulator.requests(mark)
    assert sent["body"]["tool_choice"] == {
        "type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}],
    }  # fmt: skip


def test_the_fields_of_a_chat_arrive_as_each_provider_says_them(
    http: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    fields: dict[str, Any] = {
        "stop": ["END", "STOP"], "seed": 7, "temperature": 0.5, "max_completion_tokens": 50,
        "verbosity": "low", "user": "u1", "service_tier": "default",
        "parallel_tool_calls": False, "tools": [WEATHER], "tool_choice": "none", "logit_bias": {"5": 1},
        "prediction": {"type": "content", "content": "words"}, "safety_identifier": "s", "prompt_cache_key": "p",
    }  # fmt: skip
    warnings = {}
    for name, model in MODELS.items():
        told = complete(http, model, says(f"Hello {mark}"), **fields)["tokenrouter"]
        warnings[name] = {w["message"].split("`")[1] for w in told["warnings"] if w["source"] == "translation"}
    sent = {request["provider"]: request["body"] for request in simulator.requests(mark)}
    assert sent["openai"]["text"]["verbosity"] == "low"
    assert sent["openai"]["max_output_tokens"] == 50 and sent["openai"]["store"] is False
    assert {"stop", "seed", "logit_bias", "prediction"} <= warnings["openai"]
    assert not {"stop", "seed", "logit_bias", "prediction"} & set(sent["openai"])
    assert sent["anthropic"]["stop_sequences"] == ["END", "STOP"] and "stop" not in warnings["anthropic"]
    assert {"seed", "verbosity", "service_tier"} <= warnings["anthropic"]
    assert sent["mistral"]["stop"] == ["END", "STOP"] and sent["mistral"]["random_seed"] == 7
    assert "logit_bias" in warnings["mistral"] and "prediction" not in warnings["mistral"]
    assert sent["deepseek"]["stop"] == ["END", "STOP"] and "seed" in warnings["deepseek"]
    assert (sent["host"]["seed"], sent["host"]["logit_bias"]) == (7, {"5": 1})
    assert not {"seed", "logit_bias", "prediction", "stop"} & warnings["host"]


def test_a_name_reaches_those_that_have_names(http: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    messages = [{"role": "user", "name": "ada", "content": mark}]
    for name in ("host", "openai", "anthropic", "mistral"):
        told = complete(http, MODELS[name], messages)["tokenrouter"]["warnings"]
        lost = any("`messages[0].name`" in warning["message"] for warning in told)
        assert lost is (name != "host"), (name, told)
    first, *others = simulator.requests(mark)
    assert first["body"]["messages"][0]["name"] == "ada"
    assert not any("ada" in str(other["body"]) for other in others)


def test_strictness_refuses_what_would_be_lost_by_its_own_name(http: httpx.Client) -> None:
    body = {"model": MODELS["anthropic"], "messages": says("Hello"), "verbosity": "low", "router_strict": True}
    error = check_error(
        http.post("/v1/chat/completions", json=body), 400, "invalid_request_error", "invalid_parameter", "verbosity"
    )
    assert "`verbosity`" in error["message"]


def test_the_routers_own_fields_work(http: httpx.Client) -> None:
    told = complete(http, "auto", router_mode="cost", router_provider="mistral")["tokenrouter"]
    assert (told["provider"], told["mode"]) == ("mistral", "cost")


# What a provider may answer that the simulator's model never does.

REFUSED = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-4o",
    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "refusal", "refusal": "I cannot help with that."}]}],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}  # fmt: skip
CALLED = REFUSED | {
    "output": [
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "One. ", "annotations": []},
            {"type": "output_text", "text": "Two.", "annotations": [
                {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://x.example", "title": "X"}]}]},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "run_code", "input": "print(1)"},
    ]
}  # fmt: skip


def as_stream(response: dict[str, Any]) -> str:
    """The response in the fewest events that OpenAI gives it in."""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response | {"output": []}}]
    for index, item in enumerate(response["output"]):
        if item["type"] == "message":
            events.append({"type": "response.output_item.added", "output_index": index, "item": item | {"content": []}})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": response})
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def scripted(simulator: gp.Simulator, response: dict[str, Any], provider: str = "openai") -> None:
    """The next two requests get this answer: the first plainly, the second streamed."""
    simulator.fault(provider=provider, count=1, status=200, body=json.dumps(response))
    simulator.fault(provider=provider, count=1, status=200, body=as_stream(response))


def test_a_refusal_is_one(http: httpx.Client, simulator: gp.Simulator, client: openai.OpenAI) -> None:
    scripted(simulator, REFUSED)
    completion, _ = both(http)
    [choice] = completion["choices"]
    assert choice["message"]["refusal"] == "I cannot help with that." and choice["message"]["content"] is None
    assert choice["finish_reason"] == "stop"
    scripted(simulator, REFUSED)
    parsed = client.chat.completions.parse(model=OPENAI, messages=says("Hello"), response_format=Town)  # type: ignore[arg-type]
    assert parsed.choices[0].message.parsed is None
    assert parsed.choices[0].message.refusal == "I cannot help with that."


def test_content_that_a_filter_stopped_says_so(http: httpx.Client, simulator: gp.Simulator) -> None:
    stopped = REFUSED | {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    scripted(simulator, stopped)
    assert both(http)[0]["choices"][0]["finish_reason"] == "content_filter"


def test_custom_tools_and_citations_come_as_chats_have_them(
    http: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    scripted(simulator, CALLED)
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.*/"}}
    tools = [{"type": "custom", "custom": {"name": "run_code", "description": "Runs it", "format": grammar}}]
    messages: Any = says(f"Run it {mark}")
    completion, _ = both(http, OPENAI, messages, tools=tools, web_search_options={"search_context_size": "low"})
    message = completion["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "custom", "custom": {"name": "run_code", "input": "print(1)"}}
    ]
    assert message["content"] == "One. Two."
    [citation] = message["annotations"]
    assert citation["url_citation"]["start_index"] == 5 and message["content"][5:9] == "Two."
    messages += [message, {"role": "tool", "tool_call_id": "call_1", "content": "1"}]
    scripted(simulator, REFUSED)
    both(http, OPENAI, messages, tools=tools)
    sent = [request["body"] for request in simulator.requests(mark)]
    assert sent[0]["tools"] == [
        {"type": "custom", "name": "run_code", "description": "Runs it",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.*/"}},
        {"type": "web_search", "search_context_size": "low"},
    ]  # fmt: skip
    assert [item["type"] for item in sent[-1]["input"]] == [
        "message", "message", "custom_tool_call", "custom_tool_call_output",
    ]  # fmt: skip
    warned = complete(http, MODELS["anthropic"], says("Hello"), web_search_options={}, tools=[WEATHER])
    assert any("`web_search_options`" in warning["message"] for warning in warned["tokenrouter"]["warnings"])


# Kept chats, and the ledger.


@plain_and_streamed
def test_a_chat_is_kept_only_when_it_asks_to_be(http: httpx.Client, stream: bool) -> None:
    for store in (None, False, True):
        more = {} if store is None else {"store": store}
        body = {"model": OPENAI, "messages": says("Keep this"), "metadata": {"k": "v"}, **more}
        if stream:
            chat_id = streamed(http, **body).chunks[0]["id"]
        else:
            chat_id = complete(http, **body)["id"]
        kept = http.get(f"/v1/responses/{chat_id}")
        assert kept.status_code == (200 if store else 404)
        if store:
            assert kept.json()["output"][0]["content"][0]["text"].endswith('You said: "Keep this"')
            assert kept.json()["metadata"]["k"] == "v"
            body = {"model": OPENAI, "input": "And then?", "previous_response_id": chat_id}
            assert "Keep this" in http.post("/v1/responses", json=body).text


def test_the_ledger_has_each_chat_once(
    chats: tuple[gp.Gateway, gp.Simulator], simulator: gp.Simulator, http: httpx.Client
) -> None:
    def ask(**body: Any) -> httpx.Response:
        return http.post("/v1/chat/completions", json={"messages": says("Hello"), **body})

    simulator.fault(provider="openai", count=1, status=500)
    answers = [
        ask(model="no-such-model"), ask(model=OPENAI), ask(model=MODELS["anthropic"]), ask(model=OPENAI, stream=True),
    ]  # fmt: skip
    with sqlite3.connect(f"file:{chats[0].database}?mode=ro", uri=True) as database:
        for answer in answers:
            rows = database.execute(
                "SELECT http_status, input_tokens, cost_nano_usd FROM ledger WHERE request_id = ?",
                (answer.headers["x-request-id"],),
            ).fetchall()
            assert [row[0] for row in rows] == [answer.status_code]
            assert (rows[0][1] > 0 and rows[0][2] > 0) is (answer.status_code == 200)


# Rules.


def make(http: httpx.Client, kind: str, **rule: Any) -> None:
    answer = http.post(f"/v1/{kind}-rules", json={"name": "A rule", **rule})
    assert answer.status_code == 201, answer.text


@each_model
def test_a_routing_rule_decides_for_chats_too(http: httpx.Client, model: str) -> None:
    make(http, "routing", match_json={"contains": "invoice"}, action_json={"set_model": MODELS["mistral"]})
    completion, stream = both(http, model, says("Read this Invoice"))
    assert completion["tokenrouter"]["provider"] == stream.chunks[-1]["tokenrouter"]["provider"] == "mistral"
    assert completion["tokenrouter"]["routing_rules"]
    assert complete(http, model, says("Hello"))["tokenrouter"]["provider"] == model.split("/")[0]


@each_model
def test_the_firewall_masks_what_is_sent_and_what_is_said(
    http: httpx.Client, simulator: gp.Simulator, model: str, mark: str
) -> None:
    make(http, "firewall", scope="prompt", type="substring", pattern="password", action="mask")
    make(http, "firewall", scope="response", type="regex", pattern="[sS]ea (and|of)", action="mask", replacement="(-)")
    completion, stream = both(http, model, says(f"{mark} password say exactly: the sea and the sea of stars"))
    assert completion["choices"][0]["message"]["content"] == "the (-) the (-) stars"
    sent = simulator.requests(mark)
    assert len(sent) == 2 and not any("password" in str(request["body"]) for request in sent)
    assert {hit["action"] for hit in stream.chunks[-1]["tokenrouter"]["firewall"]} == {"mask"}


@each_model
def test_the_firewall_screens_every_field_that_is_text(
    http: httpx.Client, simulator: gp.Simulator, model: str, mark: str
) -> None:
    make(http, "firewall", scope="prompt", type="substring", pattern="password", action="block")
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "password"}'}}
    spoken = [
        {"messages": [{"role": "system", "content": "password"}, *says(mark)]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "password"}]}]},
        {"messages": [*says(mark), {"role": "assistant", "content": "password"}, *says(mark)]},
        {"messages": [*says(mark), {"role": "assistant", "refusal": "password", "content": None}, *says(mark)]},
        {"messages": [*says(mark), {"role": "assistant", "tool_calls": [call]},
                      {"role": "tool", "tool_call_id": "c1", "content": "warm"}]},
        {"messages": [*says(mark), {"role": "assistant", "tool_calls": [json.loads(json.dumps(call).replace("password", "x"))]},
                      {"role": "tool", "tool_call_id": "c1", "content": "password"}]},
        {"messages": says(mark), "tools": [tool("get_weather", description="the password")]},
        {"messages": says(mark), "stop": "password"},
        {"messages": says(mark), "prediction": {"type": "content", "content": "password"}},
        {"messages": says(mark), "response_format": {"type": "json_schema", "json_schema": {
            "name": "t", "schema": {"type": "object", "description": "password", "properties": {}}}}},
    ]  # fmt: skip
    for body in spoken:
        for stream in (False, True):
            answer = http.post("/v1/chat/completions", json={"model": model, "stream": stream, **body})
            check_error(answer, 422, "firewall_error", "firewall_blocked")
    assert simulator.requests(mark) == []


@each_model
def test_a_block_in_mid_stream_is_an_error_and_no_clean_end(
    http: httpx.Client, client: openai.OpenAI, model: str
) -> None:
    make(http, "firewall", scope="response", type="substring", pattern="the stars", action="block")
    messages: Any = says("say exactly: the sea and the stars and the sky")
    answer = http.post("/v1/chat/completions", json={"model": model, "messages": messages})
    check_error(answer, 422, "firewall_error", "firewall_blocked")
    lines = data_lines(http, model=model, messages=messages)
    error = json.loads(lines[-1])["error"]
    check_envelope(error)
    assert error["code"] == "firewall_blocked" and "[DONE]" not in lines
    assert "the stars" not in "".join(lines) and "stars" not in "".join(lines)
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model=model, messages=messages, stream=True))
    assert caught.value.code == "firewall_blocked"


# What goes wrong.


def parts(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


HELLO = says("Hello")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "wizard", "content": "x"}]}, "messages[1].role"),
        ({"messages": [*HELLO, *HELLO, {"role": "user", "content": 7}]}, "messages[2].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": parts({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": parts({"type": "image_url"})}, "messages[0].content[0].image_url"),
        ({"messages": parts({"type": "image_url", "image_url": {}})}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": "c"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "tool_call_id": "c", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"messages": HELLO, "model": 7}, "model"),
        ({"messages": HELLO, "stream": "yes"}, "stream"),
        ({"messages": HELLO, "stream_options": 7}, "stream_options"),
        ({"messages": HELLO, "stream_options": {"include_usage": 7}}, "stream_options.include_usage"),
        ({"messages": HELLO, "temperature": 3}, "temperature"),
        ({"messages": HELLO, "n": 129}, "n"),
        ({"messages": HELLO, "n": 0}, "n"),
        ({"messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ({"messages": HELLO, "max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"messages": HELLO, "stop": [7]}, "stop[0]"),
        ({"messages": HELLO, "stop": {}}, "stop"),
        ({"messages": HELLO, "seed": "x"}, "seed"),
        ({"messages": HELLO, "logit_bias": {"5": "x"}}, "logit_bias.5"),
        ({"messages": HELLO, "logprobs": 1}, "logprobs"),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"messages": HELLO, "functions": [{}]}, "functions[0].name"),
        ({"messages": HELLO, "tools": [WEATHER], "functions": [{"name": "f"}]}, "functions"),
        ({"messages": HELLO, "tool_choice": "perhaps"}, "tool_choice"),
        ({"messages": HELLO, "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"messages": HELLO, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"messages": HELLO, "function_call": 7}, "function_call"),
        ({"messages": HELLO, "response_format": "json"}, "response_format"),
        ({"messages": HELLO, "response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": HELLO, "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "t"}}},
            "response_format.json_schema.schema",
        ),
        ({"messages": HELLO, "modalities": ["text", "audio"]}, "modalities"),
        ({"messages": HELLO, "audio": {"voice": "ash"}}, "audio"),
        ({"messages": HELLO, "metadata": {"k": ["v"]}}, "metadata.k"),
        ({"messages": HELLO, "store": "yes"}, "store"),
        ({"messages": HELLO, "instructions": "Be brief."}, "instructions"),
        ({"messages": HELLO, "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"messages": HELLO, "router_mode": "cheapest"}, "router_mode"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_field_that_is_wrong_is_named_as_the_chat_names_it(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    error = check_error(http.post("/v1/chat/completions", json=body), 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == param, error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (
            {"messages": [*HELLO, *parts({"type": "file", "file": {"file_id": "file-1"}})]},
            "messages[1].content[0].file_id",
        ),
        ({"messages": parts({"type": "input_audio", "input_audio": {}})}, "messages[0].content[0]"),
        ({"messages": HELLO, "tools": [WEATHER], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice"),
        (
            {"messages": HELLO, "functions": [{"name": "f"}], "function_call": {"name": "g"}},
            "function_call",
        ),
    ],
    ids=["file", "audio", "custom", "function"],
)
def test_what_a_provider_cannot_be_given_is_named_as_the_chat_names_it(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    answer = http.post("/v1/chat/completions", json={"model": MODELS["anthropic"], **body})
    error = check_error(answer, 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == param, error


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"])
def test_a_body_that_is_no_object_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_errors_are_the_clients_own_exceptions(client: openai.OpenAI) -> None:
    messages: Any = says("Hello")
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4p", messages=messages)
    assert missing.value.code == "model_not_found" and "gpt-4o" in missing.value.message
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=OPENAI, messages=[])
    assert wrong.value.param == "messages"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="tr_wrong").chat.completions.create(model=OPENAI, messages=messages)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400}, 400, "invalid_parameter"),
        ({"status": 401}, 502, "upstream_error"),
        ({"status": 429, "retry_after": 7}, 429, "rate_limit_exceeded"),
        ({"status": 500}, 502, "upstream_error"),
        ({"status": 503}, 503, "provider_unavailable"),
        ({"garbage": True}, 502, "upstream_error"),
        ({"reset": True}, 502, "upstream_error"),
        ({"hang": True}, 504, "upstream_timeout"),
    ],
    ids=["400", "401", "429", "500", "503", "garbage", "reset", "hang"],
)
@each_model
@plain_and_streamed
def test_a_providers_failure_is_told(
    http: httpx.Client, simulator: gp.Simulator, model: str, fault: dict[str, Any], status: int, code: str, stream: bool
) -> None:
    simulator.fault(provider=model.split("/")[0], count=None, **fault)
    answer = http.post("/v1/chat/completions", json={"model": model, "messages": HELLO, "stream": stream})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    check_envelope(error)
    assert error["code"] == code


@pytest.mark.parametrize("fault", [{"error_event": True}, {"cut_after_bytes": 5000, "drip_ms": 1}], ids=["event", "cut"])
@each_model
def test_a_stream_that_breaks_off_is_an_error_and_no_clean_end(
    http: httpx.Client, client: openai.OpenAI, simulator: gp.Simulator, model: str, fault: dict[str, Any]
) -> None:
    messages: Any = says("Tell me a story")
    simulator.fault(provider=model.split("/")[0], count=2, **fault)
    stream = streamed(http, model=model, messages=messages, stream_options={"include_usage": True})
    assert stream.error and stream.finish_reason is None and stream.usage is None
    check_envelope(stream.error)
    assert stream.message["content"] and stream.error["type"] == "provider_error"
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=model, messages=messages, stream=True))


@plain_and_streamed
def test_auto_fails_over(http: httpx.Client, simulator: gp.Simulator, stream: bool) -> None:
    first = complete(http, "auto")["tokenrouter"]["provider"]
    simulator.fault(provider=first, count=None, status=500)
    if stream:
        told = streamed(http, model="auto", messages=says("Tell me of the sea")).chunks[-1]["tokenrouter"]
    else:
        told = complete(http, "auto")["tokenrouter"]
    # Another test may have made one of the others fail too often.
    outcomes = [attempt["outcome"] for attempt in told["attempts"] if attempt["outcome"] != "skipped"]
    assert told["provider"] != first and outcomes == ["failed", "ok"]


def test_the_async_client_works_as_well(chats: tuple[gp.Gateway, gp.Simulator], key: str) -> None:
    async def talk() -> None:
        async with openai.AsyncOpenAI(api_key=key, base_url=f"{chats[0].url}/v1", max_retries=0) as client:
            messages: Any = says("Tell me of the sea")
            completion = await client.chat.completions.create(model=MODELS["anthropic"], messages=messages)
            stream = await client.chat.completions.create(model=MODELS["anthropic"], messages=messages, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(pieces) == completion.choices[0].message.content

    asyncio.run(talk())
