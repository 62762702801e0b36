"""DeepSeek's newer models think unless they are told not to, and refuse calls of tools that come back without it."""

from __future__ import annotations

from typing import Any

import gateway_process as gp
import httpx
import pytest
from chat_stream import streamed
from test_schema import CALL_WEATHER, WEATHER

MODEL = "deepseek/deepseek-v4-flash"
LOW = {"effort": "low"}


def create(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def chat(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    completion: dict[str, Any] = answer.json()
    return completion


def sent(simulator: gp.Simulator, mark: str) -> dict[str, Any]:
    body: dict[str, Any] = simulator.requests(mark)[-1]["body"]
    return body


def result(response: dict[str, Any]) -> dict[str, Any]:
    [call] = [item for item in response["output"] if item["type"] == "function_call"]
    return {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}


@pytest.mark.parametrize("keeps_thoughts", [True, False], ids=["with its thoughts", "without"])
def test_trap_8_thoughts_go_back_with_the_calls_that_came_after_them(
    api: httpx.Client, simulator: gp.Simulator, mark: str, keeps_thoughts: bool
) -> None:
    asked = {"role": "user", "content": f"{mark} {CALL_WEATHER}"}
    first = create(api, model=MODEL, input=[asked], tools=[WEATHER], reasoning=LOW)
    thought, call = first["output"]
    assert (thought["type"], call["type"]) == ("reasoning", "function_call")
    kept = first["output"] if keeps_thoughts else [call]
    second = create(api, model=MODEL, input=[asked, *kept, result(first)], tools=[WEATHER], reasoning=LOW)
    assert second["tokenrouter"]["warnings"] == []
    [turn] = [message for message in sent(simulator, mark)["messages"] if message["role"] == "assistant"]
    assert turn["reasoning_content"] == (thought["content"][0]["text"] if keeps_thoughts else "")


def test_trap_8_they_go_back_by_the_id_of_the_response_and_to_nobody_else(
    api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    first = create(api, model=MODEL, input=f"{mark} {CALL_WEATHER}", tools=[WEATHER], reasoning=LOW)
    body: dict[str, Any] = {"input": [result(first)], "previous_response_id": first["id"], "tools": [WEATHER]}
    create(api, model=MODEL, **body)
    [turn] = [message for message in sent(simulator, mark)["messages"] if message["role"] == "assistant"]
    assert turn["reasoning_content"] == first["output"][0]["content"][0]["text"]
    other = create(api, model="deepseek/deepseek-v4-pro", **body)
    [warning] = other["tokenrouter"]["warnings"]
    assert "it was made by deepseek/deepseek-v4-flash" in warning["message"]
    [turn] = [message for message in sent(simulator, mark)["messages"] if message["role"] == "assistant"]
    assert turn["reasoning_content"] == ""


@pytest.mark.parametrize("store", [True, False])
def test_trap_8_thoughts_of_another_model_are_not_taken_for_its_own(
    api: httpx.Client, simulator: gp.Simulator, mark: str, store: bool
) -> None:
    other = "mistral/magistral-medium-latest"
    asked = [{"role": "user", "content": f"{mark} {CALL_WEATHER}"}]
    first = create(api, model=other, input=asked, tools=[WEATHER], store=store)
    assert [item["type"] for item in first["output"]] == ["reasoning", "function_call"]
    if store:
        history: dict[str, Any] = {"previous_response_id": first["id"], "input": [result(first)]}
    else:
        history = {"input": [*asked, *first["output"], result(first)]}
    second = create(api, model=MODEL, **history, tools=[WEATHER])
    [warning] = second["tokenrouter"]["warnings"]
    assert f"it was made by {other}" in warning["message"]
    [turn] = [message for message in sent(simulator, mark)["messages"] if message["role"] == "assistant"]
    assert turn["reasoning_content"] == ""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_trap_8_a_chats_thoughts_go_back_as_its_client_gives_them(
    api: httpx.Client, simulator: gp.Simulator, mark: str, stream: bool
) -> None:
    """Clients of chats have no place for an envelope: they give `reasoning_content` back as it came."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"{mark} {CALL_WEATHER}"}]
    tool = {"type": "function", "function": {name: WEATHER[name] for name in ("name", "parameters")}}
    body: dict[str, Any] = {"model": MODEL, "tools": [tool], "reasoning_effort": "low"}
    if stream:
        message = streamed(api, messages=messages, **body).message | {"role": "assistant"}
    else:
        message = chat(api, messages=messages, **body)["choices"][0]["message"]
    assert message["reasoning_content"] and message["tool_calls"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "18 degrees"}
    second = chat(api, messages=[*messages, message, result], **body)
    assert "18 degrees" in second["choices"][0]["message"]["content"]
    assert second["tokenrouter"]["warnings"] == []
    [turn] = [told for told in sent(simulator, mark)["messages"] if told["role"] == "assistant"]
    assert turn["reasoning_content"] == message["reasoning_content"]


def test_an_effort_is_carried_and_none_turns_thinking_off(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    for effort, told in (("high", {"reasoning_effort": "high"}), ("none", {"thinking": {"type": "disabled"}})):
        response = create(api, model=MODEL, input=f"{mark} Hello", reasoning={"effort": effort})
        assert response["tokenrouter"]["warnings"] == []
        assert ("reasoning" in {item["type"] for item in response["output"]}) == (effort != "none")
        body = sent(simulator, mark)
        assert {name: body.get(name) for name in told} == told


def test_what_counts_for_nothing_while_it_thinks_is_named(api: httpx.Client) -> None:
    body = {"model": MODEL, "input": "Hello", "temperature": 0.5, "presence_penalty": 1}
    warnings = create(api, **body)["tokenrouter"]["warnings"]
    assert [w["message"].split(":")[0] for w in warnings] == ["`temperature`", "`presence_penalty`"]
    assert create(api, **body, reasoning={"effort": "none"})["tokenrouter"]["warnings"] == []
