"""Whatever a provider speaks, responses and events are those of Open Responses, in its order."""

from __future__ import annotations

import functools
import json
from typing import Any

import gateway_process as gp
import httpx
import open_responses
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from response_stream import check_order, events, streamed_text, text_of

# A model of each wire format: natively Responses, Messages, Gemini's, and Chat Completions with its variations.
MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "gemini-3": "gemini/gemini-3.5-flash",
    "mistral": "mistral/mistral-large-latest",
    "deepseek": "deepseek/deepseek-chat",
    "compatible": "local/local-model",
}
REASONING_MODELS = {
    "openai": "openai/o3",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "gemini-3": "gemini/gemini-3.5-flash",
    "deepseek": "deepseek/deepseek-reasoner",
}
VISION_MODELS = {name: MODELS[name] for name in ("openai", "anthropic", "gemini")} | {"compatible": "local/local-model"}

# One red pixel.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)


def tool(name: str, *arguments: str) -> dict[str, Any]:
    properties = {argument: {"type": "string"} for argument in arguments}
    return {
        "type": "function",
        "name": name,
        "description": f"Calls {name}",
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(arguments),
            "additionalProperties": False,
        },
        "strict": True,
    }


WEATHER = tool("get_weather", "city")
CLOCK = tool("get_time", "zone")
CALL_WEATHER = "Please call get_weather for Paris."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway whose settings add an `openai-compatible` provider, beside the simulated ones."""
    simulator = gp.start_simulator()
    folder = tmp_path_factory.mktemp("schema")
    config = folder / "tokenrouter.toml"
    config.write_text(
        f'''
[[providers]]
name = "local"
kind = "openai-compatible"
base_url = "{simulator.url}/local/v1"
models = [{{ id = "local-model", tools = true, images = true, json_schema = true }}]
'''
    )
    gateway = gp.start_gateway(folder / "tokenrouter.db", config=config)
    with gateway.http() as client:
        yield client
    gateway.process.stop()
    assert simulator.process is not None
    simulator.process.stop()


def create(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    check(response)
    return response


# What Open Responses has and OpenAI's package does not know yet.
OPEN_RESPONSES_ONLY = {"response.reasoning.delta", "response.reasoning.done"}


@functools.cache
def event_type() -> TypeAdapter[Any]:
    return TypeAdapter(ResponseStreamEvent)


def check(response: dict[str, Any]) -> None:
    """By the schema of Open Responses, and strictly by the types of OpenAI's own package."""
    open_responses.check_response(response)
    Response.model_validate(response)


def check_event(event: dict[str, Any]) -> None:
    open_responses.check_event(event)
    if event["type"] not in OPEN_RESPONSES_ONLY:
        event_type().validate_python(event)


def check_custom(value: dict[str, Any]) -> None:
    """A response or event with custom tools, which OpenAI's package knows and Open Responses does not."""
    if "type" in value:
        event_type().validate_python(value)
    else:
        Response.model_validate(value)


def create_both(client: httpx.Client, *, custom: bool = False, **body: Any) -> dict[str, Any]:
    """The same request plain and streamed, both valid and of one output; gives the plain response."""
    answer = client.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    plain: dict[str, Any] = answer.json()
    (check_custom if custom else check)(plain)
    stream = events(client, **body)
    for event in stream:
        (check_custom if custom else check_event)(event)
        if "response" in event:
            (check_custom if custom else check)(event["response"])
    final = check_order(stream)
    assert outline(final) == outline(plain)
    assert final["usage"] == plain["usage"] and final["status"] == plain["status"]
    assert streamed_text(stream) == text_of(plain)
    usage = plain["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    return plain


def outline(response: dict[str, Any]) -> list[Any]:
    """An output without the ids that each answer has anew."""
    return [
        {k: v for k, v in item.items() if k not in ("id", "call_id", "encrypted_content")}
        for item in response["output"]
    ]


def calls(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"] == "function_call"]


each_dialect = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


@each_dialect
def test_text_is_answered(client: httpx.Client, model: str) -> None:
    response = create_both(client, model=model, input="Tell me of the sea")
    assert "Tell me of the sea" in text_of(response)
    assert response["status"] == "completed"
    assert response["tokenrouter"]["provider"] == model.partition("/")[0]


@each_dialect
def test_instructions_and_history_arrive(client: httpx.Client, model: str) -> None:
    response = create_both(
        client,
        model=model,
        instructions="Answer as a pirate.",
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello Ada.", "annotations": []}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And who am I?"}]},
        ],
    )
    assert "And who am I?" in text_of(response)
    assert response["instructions"] == "Answer as a pirate."


@pytest.mark.parametrize("model", VISION_MODELS.values(), ids=VISION_MODELS.keys())
def test_an_image_is_looked_at(client: httpx.Client, model: str) -> None:
    content = [
        {"type": "input_text", "text": "What is in this picture?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]
    response = create_both(client, model=model, input=[{"role": "user", "content": content}])
    assert "What is in this picture?" in text_of(response)


@each_dialect
def test_a_tool_is_called(client: httpx.Client, model: str) -> None:
    response = create_both(client, model=model, input=CALL_WEATHER, tools=[WEATHER, CLOCK])
    [call] = calls(response)
    assert call["name"] == "get_weather" and call["call_id"]
    assert set(json.loads(call["arguments"])) == {"city"}


@each_dialect
def test_tools_are_called_in_parallel(client: httpx.Client, model: str) -> None:
    response = create_both(
        client, model=model, input="Please call get_weather and get_time for Paris.", tools=[WEATHER, CLOCK]
    )
    assert sorted(call["name"] for call in calls(response)) == ["get_time", "get_weather"]
    assert len({call["call_id"] for call in calls(response)}) == 2


@each_dialect
def test_a_tools_result_goes_back(client: httpx.Client, model: str) -> None:
    first = create(client, model=model, input=CALL_WEATHER, tools=[WEATHER])
    [call] = calls(first)
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees and windy"}
    conversation = [{"role": "user", "content": CALL_WEATHER}, *first["output"], result]
    second = create_both(client, model=model, input=conversation, tools=[WEATHER])
    assert calls(second) == []
    assert "18 degrees and windy" in text_of(second)


@each_dialect
def test_structured_output_keeps_its_schema(client: httpx.Client, model: str) -> None:
    form = {"type": "json_schema", "name": "town", "schema": SCHEMA, "strict": True}
    response = create_both(client, model=model, input="Which town?", text={"format": form})
    answer = json.loads(text_of(response))
    assert isinstance(answer["city"], str) and isinstance(answer["people"], int)


@pytest.mark.parametrize("model", REASONING_MODELS.values(), ids=REASONING_MODELS.keys())
def test_reasoning_comes_before_the_answer(client: httpx.Client, model: str) -> None:
    response = create_both(client, model=model, input="How many sheep?", reasoning={"effort": "low", "summary": "auto"})
    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["reasoning", "message"]
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


@each_dialect
def test_an_answer_cut_short_is_incomplete(client: httpx.Client, model: str) -> None:
    response = create_both(client, model=model, input="Tell me a long story of the sea", max_output_tokens=16)
    long = create(client, model=model, input="Tell me a long story of the sea. " * 10, max_output_tokens=16)
    assert long["status"] == "incomplete"
    assert long["incomplete_details"] == {"reason": "max_output_tokens"}
    assert long["output"][-1]["status"] == "incomplete"
    assert response["max_output_tokens"] == 16


@each_dialect
def test_a_stream_cut_short_ends_as_incomplete(client: httpx.Client, model: str) -> None:
    stream = events(client, model=model, input="Tell me a long story of the sea. " * 10, max_output_tokens=16)
    for event in stream:
        check_event(event)
    assert check_order(stream)["incomplete_details"] == {"reason": "max_output_tokens"}
    assert stream[-1]["type"] == "response.incomplete"


def test_the_older_shapes_are_understood(client: httpx.Client) -> None:
    function = {key: value for key, value in WEATHER.items() if key != "type"}
    response = create_both(
        client,
        model="anthropic/claude-sonnet-4-5",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": CALL_WEATHER},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ],
            }
        ],
        tools=[{"type": "function", "function": function}],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    assert [call["name"] for call in calls(response)] == ["get_weather"]
    response = create(
        client, model="openai/gpt-4o", input="Which town?", text={"json_schema": {"name": "town", "schema": SCHEMA}}
    )
    assert set(json.loads(text_of(response))) == {"city", "people"}


def test_unknown_fields_are_never_an_error(client: httpx.Client) -> None:
    create(client, model="openai/gpt-4o", input="Hello", a_field_of_next_year={"deep": [1, 2]})
    create(client, model="anthropic/claude-sonnet-4-5", input="Hello", a_field_of_next_year=True)


@each_dialect
def test_the_router_tells_what_it_did(client: httpx.Client, model: str) -> None:
    provider, _, name = model.partition("/")
    answer = client.post("/v1/responses", json={"model": model, "input": "Hello", "metadata": {"mine": "kept"}})
    told = answer.json()["tokenrouter"]
    assert set(told) >= {
        "request_id", "provider", "model", "mode", "task", "confidence", "warnings",
        "routing_rules", "firewall", "attempts", "cost_usd", "latency_ms",
    }  # fmt: skip
    assert (told["provider"], told["model"]) == (provider, name)
    assert [(a["provider"], a["model"], a["outcome"]) for a in told["attempts"]] == [(provider, name, "ok")]
    assert answer.headers["x-request-id"] == told["request_id"]
    assert answer.headers["x-tokenrouter-provider"] == provider
    assert answer.headers["x-tokenrouter-model"] == name
    metadata = answer.json()["metadata"]
    assert metadata["mine"] == "kept"
    assert metadata["provider"] == provider and metadata["request_id"] == told["request_id"]
    assert {"routing_mode", "routing_confidence"} <= set(metadata)


def test_the_callers_own_metadata_wins(client: httpx.Client) -> None:
    body = {"model": "openai/gpt-4o", "input": "Hello", "metadata": {"provider": "mine"}}
    assert client.post("/v1/responses", json=body).json()["metadata"]["provider"] == "mine"
