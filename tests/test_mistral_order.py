"""Mistral refuses orders of messages that others take: what is sent is one that it takes. The simulator refuses as it does."""

from __future__ import annotations

from typing import Any

import gateway_process as gp
import httpx
import pytest
from response_stream import events, text_of

MODEL = "mistral/mistral-large-latest"
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("history", "sent", "lost"),
    [
        # Nothing to mend.
        ([system("A"), user("x"), said("y"), user("z")], "system user assistant user", None),
        ([user("x"), system("A"), user("y")], "user system user", None),
        ([user("x"), CALL, RESULT], "user assistant tool", None),
        ([user("x"), CALL, RESULT, said("18."), user("y")], "user assistant tool assistant user", None),
        # What the user says right after the results of tools.
        ([user("x"), CALL, RESULT, user("y"), user("z")], "user assistant tool assistant user user", "input[3]"),
        # Of the system's in mid-history.
        ([system("A"), user("x"), said("y"), system("B"), user("z")], "system system user assistant user", None),
        ([user("x"), CALL, RESULT, system("B")], "system user assistant tool", None),
        # An answer that said nothing, and one that is to be gone on from.
        ([user("x"), said(""), user("y")], "user user", None),
        ([user("x"), said("The")], "user assistant", "input[1]"),
    ],
)
def test_messages_are_put_in_an_order_that_it_takes(
    api: httpx.Client, simulator: gp.Simulator, mark: str, history: list[Any], sent: str, lost: str | None
) -> None:
    body = {"model": MODEL, "input": history, "instructions": mark, "tools": [{"type": "function"} | TOOL]}
    answer = api.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    assert text_of(events(api, **body)[-1]["response"]) == text_of(answer.json())
    messages = simulator.requests(mark)[0]["body"]["messages"]
    assert " ".join(message["role"] for message in messages) == f"system {sent}"
    assert bool(messages[-1].get("prefix")) == (sent.split()[-1] == "assistant")
    warnings = [warning["message"] for warning in answer.json()["tokenrouter"]["warnings"]]
    assert [warning.split("`")[1] for warning in warnings] == ([lost] if lost else [])
    strict = api.post("/v1/responses", json=body | {"router_strict": True})
    assert strict.status_code == (400 if lost else 200)


def test_anthropics_clients_may_say_something_beside_the_results_of_tools(api: httpx.Client) -> None:
    """As coding agents do at every turn."""
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees"}
    messages = [
        user("Weather?"),
        said([{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}]),  # type: ignore[arg-type]
        {"role": "user", "content": [result, {"type": "text", "text": "And be brief."}]},
    ]
    tools = [{"name": "get_weather", "input_schema": TOOL["parameters"]}]
    body = {"model": MODEL, "max_tokens": 100, "messages": messages, "tools": tools}
    answer = api.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    [warning] = answer.json()["tokenrouter"]["warnings"]
    assert warning["message"].startswith("`messages[2].content`: ")
