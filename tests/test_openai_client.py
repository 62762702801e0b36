"""The official `openai` package works against the gateway unchanged: only its address and key differ."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import openai
import pytest
from pydantic import BaseModel

MODELS = [
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3.5-flash",
    "mistral/mistral-large-latest",
    "deepseek/deepseek-chat",
]
each_model = pytest.mark.parametrize("model", MODELS)

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Town(BaseModel):
    city: str
    people: int


@pytest.fixture
def client(gateway: gp.Gateway, workspace: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0, timeout=30) as client:
        yield client


@each_model
def test_a_response_is_created(client: openai.OpenAI, model: str) -> None:
    response = client.responses.create(model=model, input="Tell me of the sea", instructions="Be brief.")
    assert "Tell me of the sea" in response.output_text
    assert response.status == "completed"
    assert response.usage and response.usage.total_tokens > 0


@each_model
def test_a_stream_gives_the_final_response(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Tell me of the sea") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text
    assert len(deltas) > 1
    assert final.status == "completed"


@each_model
def test_a_raw_stream_is_iterated(client: openai.OpenAI, model: str) -> None:
    kinds = [event.type for event in client.responses.create(model=model, input="Hello", stream=True)]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


@each_model
def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI, model: str) -> None:
    response = client.responses.parse(model=model, input="Which town?", text_format=Town)
    assert isinstance(response.output_parsed, Town)


@each_model
def test_a_streamed_answer_is_parsed_into_a_model(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Which town?", text_format=Town) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Town)


@each_model
def test_a_tool_goes_round(client: openai.OpenAI, model: str) -> None:
    conversation: list[Any] = [{"role": "user", "content": "Please call get_weather for Paris."}]
    first = client.responses.create(model=model, input=conversation, tools=[WEATHER])
    [call] = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments)
    conversation += [item.model_dump(exclude_none=True) for item in first.output]
    conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"})
    second = client.responses.create(model=model, input=conversation, tools=[WEATHER])
    assert "18 degrees" in second.output_text


def test_a_conversation_goes_on_by_the_id_of_its_last_response(client: openai.OpenAI) -> None:
    first = client.responses.create(model=MODELS[0], input="Please call get_weather for Paris.", tools=[WEATHER])
    [call] = [item for item in first.output if item.type == "function_call"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    second = client.responses.create(model=MODELS[1], previous_response_id=first.id, input=[result], tools=[WEATHER])
    assert "18 degrees" in second.output_text
    assert second.previous_response_id == first.id


def test_a_response_is_retrieved_listed_and_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model=MODELS[0], input="Keep this")
    kept = client.responses.retrieve(made.id)
    assert kept.output_text == made.output_text
    [item] = client.responses.input_items.list(made.id).data
    assert item.type == "message" and item.content[0].type == "input_text" and item.content[0].text == "Keep this"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert len({model.id for model in models}) == len(models) > 3
    one = client.models.retrieve(models[0].id)
    assert (one.id, one.object) == (models[0].id, "model")
    # An id with a slash is one id.
    assert client.models.retrieve("openai/gpt-4o").id in ("openai/gpt-4o", "gpt-4o")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_errors_are_the_clients_own_exceptions_with_the_request_id(client: openai.OpenAI, gateway: gp.Gateway) -> None:
    cases: list[tuple[type[openai.APIStatusError], str, Any]] = [
        (openai.NotFoundError, "model_not_found", {"model": "no-such-model", "input": "Hello"}),
        (openai.BadRequestError, "invalid_parameter", {"model": MODELS[0], "input": 7}),
    ]
    for kind, code, body in cases:
        with pytest.raises(kind) as caught:
            client.responses.create(**body)
        assert caught.value.code == code
        assert caught.value.request_id and caught.value.request_id == caught.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="tr_wrong").responses.create(model=MODELS[0], input="Hello")


def test_a_blocked_prompt_is_an_unprocessable_entity(client: openai.OpenAI, gateway: gp.Gateway) -> None:
    rule = {"name": "No tea", "scope": "prompt", "type": "substring", "pattern": "tea", "action": "block"}
    client.post("/firewall-rules", body=rule, cast_to=object)
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.responses.create(model=MODELS[0], input="Some tea?")
    assert caught.value.code == "firewall_blocked"


def test_the_async_client_works_as_well(gateway: gp.Gateway, workspace: str) -> None:
    async def talk() -> None:
        async with openai.AsyncOpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
            response = await client.responses.create(model=MODELS[1], input="Tell me of the sea")
            assert "Tell me of the sea" in response.output_text
            async with client.responses.stream(model=MODELS[1], input="Tell me of the sea") as stream:
                final = await stream.get_final_response()
            assert final.output_text == response.output_text

    asyncio.run(talk())
