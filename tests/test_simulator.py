"""The simulator, as the providers' own clients see it: what they cannot parse, no provider says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import gateway_process as gp
import httpx
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from google import genai
from google.genai import errors, types
from mistralai.client import Mistral
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

HOSTED = ["openai", "mistral", "deepseek", "local"]
TOOL = {"name": "get_weather", "description": "The weather of a city"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
CALL = "Please call get_weather for Paris"


@pytest.fixture(scope="module")
def simulator() -> Iterator[gp.Simulator]:
    running = gp.start_simulator()
    yield running
    assert running.process is not None
    assert running.process.stop() == 0


@pytest.fixture(scope="module")
def raw(simulator: gp.Simulator) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer sk-1234", "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=simulator.url, headers=headers, trust_env=False) as client:
        yield client


def data(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]


# OpenAI's Responses.

RESPONSES: dict[str, dict[str, Any]] = {
    "text": {"input": "Hello"},
    "instructions": {"input": "Hello", "instructions": "Be brief."},
    "image": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
                ],
            }
        ]
    },
    "tool": {"input": CALL, "tools": [{"type": "function", "parameters": SCHEMA, "strict": True, **TOOL}]},
    "schema": {
        "input": "Which town?",
        "text": {"format": {"type": "json_schema", "name": "town", "schema": SCHEMA, "strict": True}},
    },
    "reasoning": {"input": "Think", "reasoning": {"effort": "low", "summary": "auto"}},
    "cut": {"input": "Tell me a story", "max_output_tokens": 16},
}


@pytest.mark.parametrize("case", RESPONSES)
def test_responses_are_those_of_openais_own_types(raw: httpx.Client, case: str) -> None:
    body = {"model": "gpt-4o"} | RESPONSES[case]
    plain = Response.model_validate(raw.post("/openai/v1/responses", json=body).json())
    events: list[Any] = [
        TypeAdapter(ResponseStreamEvent).validate_json(text)
        for text in data(raw.post("/openai/v1/responses", json=body | {"stream": True}))
    ]
    assert events[-1].response.model_dump() == plain.model_dump()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert plain.status == ("incomplete" if case == "cut" else "completed")
    if case == "tool":
        [call] = plain.output
        assert call.type == "function_call" and json.loads(call.arguments) == {"city": "Paris"}
    if case == "image":
        assert "Images: 1" in plain.output_text
    if case == "instructions":
        assert "Be brief." in plain.output_text


def test_openais_client_streams_a_response(simulator: gp.Simulator) -> None:
    with openai.OpenAI(api_key="sk-1", base_url=f"{simulator.url}/openai/v1", max_retries=0) as client:
        with client.responses.stream(model="gpt-4o", input="Tell me a story") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert stream.get_final_response().output_text == text
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="sk-invalid").responses.create(model="gpt-4o", input="Hello")
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="gpt-4o", input="Hello", previous_response_id="resp_nothing")


# Chat Completions.

CHATS: dict[str, dict[str, Any]] = {
    "text": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]},
    "tool": {
        "messages": [{"role": "user", "content": CALL}],
        "tools": [{"type": "function", "function": {"parameters": SCHEMA, **TOOL}}],
    },
    "cut": {"messages": [{"role": "user", "content": "Tell me a story"}], "max_tokens": 16},
}


@pytest.mark.parametrize("provider", HOSTED)
@pytest.mark.parametrize("case", CHATS)
def test_chats_are_those_of_openais_own_types(raw: httpx.Client, provider: str, case: str) -> None:
    body = {"model": "a-model"} | CHATS[case]
    path = f"/{provider}/v1/chat/completions"
    plain = ChatCompletion.model_validate(raw.post(path, json=body).json()).choices[0]
    options = {"stream": True} | ({} if provider == "mistral" else {"stream_options": {"include_usage": True}})
    lines = data(raw.post(path, json=body | options))
    assert lines.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(line) for line in lines]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == (plain.message.content or "")
    assert [chunk.usage for chunk in chunks if chunk.usage], "usage is told at the end"
    reason = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]
    assert reason == plain.finish_reason == {"text": "stop", "tool": "tool_calls", "cut": "length"}[case]
    if case == "tool":
        [call] = plain.message.tool_calls or []
        assert call.type == "function" and json.loads(call.function.arguments) == {"city": "Paris"}
        pieces = [call for delta in deltas for call in delta.tool_calls or []]
        assert "".join(p.function.arguments or "" for p in pieces if p.function) == call.function.arguments
        assert provider != "mistral" or len(call.id) == 9


def test_deepseek_thinks_beside_its_content(raw: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "deepseek-reasoner", "messages": [{"role": "user", "content": "Hello"}]}
    message = raw.post("/deepseek/v1/chat/completions", json=body).json()["choices"][0]["message"]
    assert message["reasoning_content"] and "Hello" in message["content"]


@pytest.fixture(scope="module")
def mistral(simulator: gp.Simulator) -> Mistral:
    return Mistral(api_key="m-1", server_url=f"{simulator.url}/mistral", client=httpx.Client(trust_env=False))


def test_mistrals_client_reads_text_tools_and_thoughts(mistral: Mistral) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    plain = mistral.chat.complete(model="mistral-large-latest", messages=messages)
    assert "Hello" in str(plain.choices[0].message.content)  # type: ignore[union-attr]
    with mistral.chat.stream(model="mistral-large-latest", messages=messages) as stream:
        chunks = [event.data for event in stream]
    assert "".join(str(chunk.choices[0].delta.content or "") for chunk in chunks) == plain.choices[0].message.content  # type: ignore[union-attr]
    assert chunks[-1].usage and chunks[-1].usage.total_tokens
    call = mistral.chat.complete(
        model="mistral-large-latest",
        messages=[{"role": "user", "content": CALL}],
        tools=[{"type": "function", "function": {"parameters": SCHEMA, **TOOL}}],  # type: ignore[list-item]
        tool_choice="any",
    )
    [made] = call.choices[0].message.tool_calls or []  # type: ignore[union-attr]
    assert (made.function.name, len(made.id or "")) == ("get_weather", 9)
    thinking = mistral.chat.complete(model="magistral-medium-latest", messages=messages)
    kinds = [part.type for part in thinking.choices[0].message.content]  # type: ignore[union-attr]
    assert kinds == ["thinking", "text"]


def test_mistrals_client_reads_vectors(mistral: Mistral) -> None:
    made = mistral.embeddings.create(model="mistral-embed", inputs=["the sea", "the sky"], output_dimension=8)
    assert [vector.index for vector in made.data] == [0, 1]
    assert all(len(vector.embedding or []) == 8 for vector in made.data)
    assert made.usage.prompt_tokens == 4


def test_openais_client_reads_vectors_of_texts_and_tokens(simulator: gp.Simulator) -> None:
    address = f"{simulator.url}/openai/v1"
    with openai.OpenAI(api_key="sk-1", base_url=address, max_retries=0) as client:
        made = client.embeddings.create(model="text-embedding-3-small", input=["the sea", "the sky"])
        assert [len(vector.embedding) for vector in made.data] == [1536, 1536]
        assert len(client.embeddings.create(model="text-embedding-3-small", input=[[1, 2], [3]]).data) == 2
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="gpt-4o", input="the sea")


def test_mistral_refuses_what_it_does_not_know(raw: httpx.Client) -> None:
    body = {"model": "mistral-large-latest", "messages": [{"role": "user", "content": "Hello"}], "stream_options": {}}
    assert raw.post("/mistral/v1/chat/completions", json=body).status_code == 400
    result = {"role": "tool", "tool_call_id": "call_1", "content": "18"}
    body = {"model": "mistral-large-latest", "messages": [{"role": "user", "content": "Hello"}, result]}
    assert raw.post("/mistral/v1/chat/completions", json=body).status_code == 400


# Anthropic's Messages.

MESSAGES: dict[str, dict[str, Any]] = {
    "text": {"system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}]},
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ]
    },
    "tool": {"messages": [{"role": "user", "content": CALL}], "tools": [{"input_schema": SCHEMA, **TOOL}]},
    "thinking": {
        "messages": [{"role": "user", "content": "Think"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2048,
    },
    "cut": {"messages": [{"role": "user", "content": "Tell me a story"}], "max_tokens": 16},
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_are_those_of_anthropics_own_types(raw: httpx.Client, case: str) -> None:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 1024} | MESSAGES[case]
    plain = Message.model_validate(raw.post("/anthropic/v1/messages", json=body).json())
    for text in data(raw.post("/anthropic/v1/messages", json=body | {"stream": True})):
        if json.loads(text)["type"] != "ping":
            TypeAdapter(RawMessageStreamEvent).validate_json(text)
    wanted = {"tool": "tool_use", "cut": "max_tokens"}.get(case, "end_turn")
    assert plain.stop_reason == wanted
    assert plain.usage.input_tokens > 0 and plain.usage.output_tokens > 0
    assert [block.type for block in plain.content] == {"tool": ["tool_use"], "thinking": ["thinking", "text"]}.get(
        case, ["text"]
    )


@pytest.mark.parametrize("case", MESSAGES)
def test_anthropics_client_streams_a_message(simulator: gp.Simulator, case: str) -> None:
    body: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 1024} | MESSAGES[case]
    url = f"{simulator.url}/anthropic"
    with anthropic.Anthropic(api_key="a-1", base_url=url, max_retries=0) as client:
        plain = client.messages.create(**body)
        with client.messages.stream(**body) as stream:
            final = stream.get_final_message()
    assert [block.model_dump() for block in final.content] == [block.model_dump() for block in plain.content]
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_anthropic_refuses_what_it_refuses(raw: httpx.Client) -> None:
    def status(**body: Any) -> int:
        return raw.post("/anthropic/v1/messages", json={"model": "claude-sonnet-4-5", "max_tokens": 16} | body).status_code

    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    assert status(messages=[{"role": "user", "content": [{"type": "text", "text": " "}]}]) == 400
    assert status(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call]},
                            {"role": "user", "content": "and?"}]) == 400  # fmt: skip
    assert status(messages=[{"role": "system", "content": "Hi"}]) == 400
    assert status(messages=[{"role": "user", "content": "Hi"}], temperature=1.5) == 400
    assert status(messages=[{"role": "user", "content": "Hi"}]) == 200


# Google's Gemini.

OLD_GEMINI, NEW_GEMINI = "gemini-2.5-flash", "gemini-3.5-flash"
DECLARED = types.Tool(function_declarations=[types.FunctionDeclaration(parameters_json_schema=SCHEMA, **TOOL)])
IMAGE = types.Part(inline_data=types.Blob(mime_type="image/png", data=base64.b64decode(PIXEL)))
GEMINI: dict[str, dict[str, Any]] = {
    "text": {"contents": "Hello", "config": {"system_instruction": "Be brief."}},
    "image": {"contents": [types.Part(text="What is it?"), IMAGE]},
    "tool": {"contents": CALL, "config": {"tools": [DECLARED]}},
    "forced": {
        "contents": "Hello",
        "config": {
            "tools": [DECLARED],
            "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["get_weather"]}},
        },
    },
    "schema": {
        "contents": "Which town?",
        "config": {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
    },
    "thinking": {"contents": "Think", "config": {"thinking_config": {"include_thoughts": True}}},
    "cut": {"contents": "Tell me a story", "config": {"max_output_tokens": 16}},
}


@pytest.fixture(scope="module")
def gemini(simulator: gp.Simulator) -> genai.Client:
    options = types.HttpOptions(base_url=f"{simulator.url}/gemini", api_version="v1beta")
    return genai.Client(api_key="g-1234", http_options=options)


def gemini_parts(answers: list[types.GenerateContentResponse]) -> list[types.Part]:
    candidates = [candidate for answer in answers for candidate in answer.candidates or []]
    return [part for candidate in candidates if candidate.content for part in candidate.content.parts or []]


@pytest.mark.parametrize("model", [OLD_GEMINI, NEW_GEMINI])
@pytest.mark.parametrize("case", GEMINI)
def test_googles_client_reads_an_answer_plain_and_streamed(gemini: genai.Client, case: str, model: str) -> None:
    body = GEMINI[case]
    plain = gemini.models.generate_content(model=model, **body)
    chunks = list(gemini.models.generate_content_stream(model=model, **body))

    def outline(parts: list[types.Part]) -> list[Any]:
        texts = ["".join(p.text or "" for p in parts if bool(p.thought) == thought) for thought in (True, False)]
        return texts + [call for call in (p.function_call for p in parts) if call]

    parts = gemini_parts([plain])
    assert outline(gemini_parts(chunks)) == outline(parts)
    [candidate] = plain.candidates or []
    [last] = chunks[-1].candidates or []
    wanted = types.FinishReason.MAX_TOKENS if case == "cut" else types.FinishReason.STOP
    assert candidate.finish_reason == last.finish_reason == wanted
    usage = plain.usage_metadata
    assert usage and chunks[-1].usage_metadata == usage
    thoughts = usage.thoughts_token_count or 0
    assert usage.total_token_count == (usage.prompt_token_count or 0) + (usage.candidates_token_count or 0) + thoughts
    if case in ("tool", "forced"):
        [call] = plain.function_calls or []
        assert call.name == "get_weather" and set(call.args or {}) == {"city"}
        assert bool(call.id) == bool(parts[0].thought_signature) == (model == NEW_GEMINI)
    elif case == "schema":
        assert set(json.loads(plain.text or "")) == {"city"}
    elif case == "thinking":
        assert parts[0].thought and thoughts > 0 and bool(parts[-1].thought_signature) == (model == NEW_GEMINI)
    elif case != "cut":
        assert {"text": "Be brief.", "image": "Images: 1"}[case] in (plain.text or "")


@pytest.mark.parametrize("model", [OLD_GEMINI, NEW_GEMINI])
def test_googles_client_brings_a_tools_result_back(gemini: genai.Client, model: str) -> None:
    asked = types.Content(role="user", parts=[types.Part(text=CALL)])
    config = types.GenerateContentConfig(tools=[DECLARED])
    first = gemini.models.generate_content(model=model, contents=[asked], config=config)
    [candidate] = first.candidates or []
    [call] = first.function_calls or []
    result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "18 degrees"})
    answer = types.Content(role="user", parts=[types.Part(function_response=result)])
    assert candidate.content
    turns: Any = [asked, candidate.content, answer]
    second = gemini.models.generate_content(model=model, contents=turns, config=config)
    assert "18 degrees" in (second.text or "")
    # A model of the third generation wants its call back signed, and signed by itself.
    if model == NEW_GEMINI:
        with pytest.raises(errors.ClientError):
            gemini.models.generate_content(model="gemini-4-argon", contents=turns, config=config)
        assert candidate.content.parts
        candidate.content.parts[0].thought_signature = None
        with pytest.raises(errors.ClientError):
            gemini.models.generate_content(model=model, contents=turns, config=config)


def test_gemini_lists_its_models_and_refuses_in_its_own_shape(gemini: genai.Client, simulator: gp.Simulator) -> None:
    assert [model.name for model in gemini.models.list()] == ["models/gemini-simulated"]
    with pytest.raises(errors.ClientError) as caught:
        level: Any = {"thinking_config": {"thinking_level": "LOW"}}
        gemini.models.generate_content(model=OLD_GEMINI, contents="x", config=level)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    stranger = genai.Client(
        api_key="sk-invalid", http_options=types.HttpOptions(base_url=f"{simulator.url}/gemini", api_version="v1beta")
    )
    with pytest.raises(errors.ClientError) as caught:
        stranger.models.generate_content(model=OLD_GEMINI, contents="x")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


def test_gemini_refuses_what_it_refuses(simulator: gp.Simulator) -> None:
    hello = {"role": "user", "parts": [{"text": "Hello"}]}
    path = f"/gemini/v1beta/models/{OLD_GEMINI}:generateContent"

    def status(headers: dict[str, str] | None = None, query: str = "", **body: Any) -> int:
        headers = {"x-goog-api-key": "g-1"} if headers is None else headers
        with httpx.Client(base_url=simulator.url, headers=headers, trust_env=False) as client:
            return client.post(path + query, json={"contents": [hello]} | body).status_code

    def declare(**function: Any) -> int:
        return status(tools=[{"functionDeclarations": [{"name": "f"} | function]}])

    assert status() == 200
    # Never in the address, where logs would keep it.
    assert status(headers={}, query="?key=g-1") == 401
    assert status(contents=[]) == 400
    assert status(contents=[hello | {"role": "system"}]) == 400
    assert status(contents=[{"role": "user", "parts": [{}]}]) == 400
    assert status(messages=[]) == 400
    assert declare(parametersJsonSchema=SCHEMA) == 200
    assert declare(parameters=SCHEMA) == 400
    assert declare(parametersJsonSchema={"type": "object", "patternProperties": {}}) == 400
    assert declare(parametersJsonSchema={"$ref": "#/$defs/x", "description": "y"}) == 400
    assert declare(name="2nd") == 400
    as_json = {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}
    assert status(generationConfig=as_json) == 200
    assert status(generationConfig=as_json | {"responseSchema": SCHEMA}) == 400
    assert status(generationConfig=as_json, tools=[{"functionDeclarations": [{"name": "f"}]}]) == 400
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    assert status(contents=[hello, call, hello]) == 400


# What it is for.


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/responses", {"model": "gpt-4o"} | RESPONSES["tool"]),
        ("/openai/v1/chat/completions", {"model": "gpt-4o"} | CHATS["tool"]),
        ("/anthropic/v1/messages", {"model": "claude", "max_tokens": 64} | MESSAGES["tool"]),
        (
            f"/gemini/v1beta/models/{NEW_GEMINI}:streamGenerateContent?alt=sse",
            {"contents": [{"parts": [{"text": "Hello"}]}]},
        ),
    ],
)
def test_the_same_request_gives_the_same_bytes(raw: httpx.Client, path: str, body: dict[str, Any]) -> None:
    for more in [{}] if "gemini" in path else [{"stream": False}, {"stream": True}]:
        answers = [raw.post(path, json=body | more) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1


def test_what_was_sent_can_be_read_back_without_its_key(raw: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    raw.post("/openai/v1/responses", json={"model": "gpt-4o", "input": mark})
    [seen] = simulator.requests(mark)
    assert (seen["provider"], seen["model"], seen["path"]) == ("openai", "gpt-4o", "/openai/v1/responses")
    assert seen["body"]["input"] == mark
    assert "sk-1234" not in json.dumps(seen) and seen["headers"]["authorization"].endswith("1234")


def test_a_fault_happens_so_often_as_it_was_told(raw: httpx.Client, simulator: gp.Simulator) -> None:
    body = {"model": "gpt-4o", "input": "Hello"}
    simulator.fault(provider="openai", count=2, status=429, retry_after=3)
    answers = [raw.post("/openai/v1/responses", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "3"
    simulator.fault(provider="openai", model="o3", status=500)
    assert raw.post("/openai/v1/responses", json=body).status_code == 200
    assert raw.post("/openai/v1/responses", json=body | {"model": "o3"}).status_code == 500
    simulator.forget()


def test_a_cut_gives_so_many_bytes_and_then_breaks(raw: httpx.Client, simulator: gp.Simulator) -> None:
    simulator.fault(provider="openai", cut_after_bytes=500)
    received = b""
    body = {"model": "gpt-4o", "input": "Hello", "stream": True}
    with pytest.raises(httpx.TransportError), raw.stream("POST", "/openai/v1/responses", json=body) as answer:
        for piece in answer.iter_bytes():
            received += piece
    assert len(received) == 500


@pytest.mark.parametrize("fault", [{"colour": "red"}, {"status": "bad"}, {"count": -1}])
def test_a_fault_that_is_none_is_refused(raw: httpx.Client, fault: dict[str, Any]) -> None:
    answer = raw.post("/_simulator/faults", json=fault)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_a_request_as_long_as_the_gateway_takes_is_taken(api: httpx.Client) -> None:
    answer = api.post("/v1/responses", json={"model": "openai/gpt-4.1", "input": "sea " * 750_000})
    assert answer.status_code == 200, answer.text


REFUSE = "Please refuse this"
REFUSAL = "I cannot help with that."


def test_openais_responses_refuse_in_a_part_of_its_own(raw: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "gpt-4o", "input": REFUSE}
    plain = Response.model_validate(raw.post("/openai/v1/responses", json=body).json())
    [message] = plain.output
    assert message.type == "message" and [part.type for part in message.content] == ["refusal"]
    events: list[Any] = [
        TypeAdapter(ResponseStreamEvent).validate_json(text)
        for text in data(raw.post("/openai/v1/responses", json=body | {"stream": True}))
    ]
    assert "".join(event.delta for event in events if event.type == "response.refusal.delta") == REFUSAL
    assert [event.refusal for event in events if event.type == "response.refusal.done"] == [REFUSAL]
    assert events[-1].response.output == plain.output and plain.status == "completed"


@pytest.mark.parametrize(
    ("provider", "content", "refusal", "reason"),
    [
        ("openai", None, REFUSAL, "stop"),
        ("local", None, REFUSAL, "stop"),
        ("deepseek", "", None, "content_filter"),
        ("mistral", REFUSAL, None, "stop"),
    ],
)
def test_chats_refuse_beside_the_content_or_by_their_filter(
    raw: httpx.Client, provider: str, content: str | None, refusal: str | None, reason: str
) -> None:
    body: dict[str, Any] = {"model": "a-model", "messages": [{"role": "user", "content": REFUSE}]}
    path = f"/{provider}/v1/chat/completions"
    plain = ChatCompletion.model_validate(raw.post(path, json=body).json()).choices[0]
    assert (plain.message.content, plain.message.refusal, plain.finish_reason) == (content, refusal, reason)
    chunks = [
        ChatCompletionChunk.model_validate_json(line)
        for line in data(raw.post(path, json=body | {"stream": True}))
        if line != "[DONE]"
    ]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == (content or "")
    assert "".join(choice.delta.refusal or "" for choice in choices) == (refusal or "")
    assert choices[-1].finish_reason == reason


def test_anthropic_and_gemini_refuse_by_their_reason_to_stop(simulator: gp.Simulator, gemini: genai.Client) -> None:
    messages: Any = [{"role": "user", "content": REFUSE}]
    with anthropic.Anthropic(api_key="a-1", base_url=f"{simulator.url}/anthropic", max_retries=0) as client:
        plain = client.messages.create(model="claude-sonnet-4-5", max_tokens=64, messages=messages)
        with client.messages.stream(model="claude-sonnet-4-5", max_tokens=64, messages=messages) as stream:
            final = stream.get_final_message()
    for message in (plain, final):
        assert (message.stop_reason, message.content) == ("refusal", [])
    chunks = list(gemini.models.generate_content_stream(model=OLD_GEMINI, contents=REFUSE))
    for answer in (gemini.models.generate_content(model=OLD_GEMINI, contents=REFUSE), chunks[-1]):
        [candidate] = answer.candidates or []
        assert candidate.finish_reason == types.FinishReason.SAFETY and not answer.text


def test_openais_tools_can_be_held_to_some_of_them(raw: httpx.Client) -> None:
    tools = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": True} for name in ("get_weather", "f")]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    body = {"model": "gpt-4o", "input": CALL, "tools": tools, "tool_choice": choice}
    [call] = Response.model_validate(raw.post("/openai/v1/responses", json=body).json()).output
    assert call.type == "function_call" and call.name == "f"
