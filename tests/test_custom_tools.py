"""Calls of custom (free-form) tools come as they are written, with every provider."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from response_stream import events

SHELL = {"type": "custom", "name": "shell", "description": "Runs a command"}
CALL = "Please call shell with uptime"
# Mistral sends its calls whole.
PIECES = ["anthropic/claude-sonnet-4-5", "deepseek/deepseek-chat"]


def inputs(stream: list[dict[str, Any]]) -> list[str]:
    return [event["delta"] for event in stream if event["type"] == "response.custom_tool_call_input.delta"]


@pytest.mark.parametrize("model", PIECES)
def test_the_input_comes_in_the_pieces_that_the_provider_sends(api: httpx.Client, model: str) -> None:
    word = "up:time,up:time"
    stream = events(api, model=model, input=f"Please call shell with {word}", tools=[SHELL])
    assert "".join(inputs(stream)) == word
    assert len(inputs(stream)) == 4


def test_a_firewall_masks_an_input_that_comes_in_pieces(api: httpx.Client) -> None:
    rule = {
        "name": "no uptime", "priority": 1, "is_enabled": True, "scope": "response", "type": "substring",
        "pattern": "uptime", "action": "mask", "replacement": "***",
    }  # fmt: skip
    assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    for model in (*PIECES, "mistral/mistral-large-latest", "openai/gpt-4o"):
        body = {"model": model, "input": CALL, "tools": [SHELL]}
        stream = events(api, **body)
        assert "".join(inputs(stream)) == "***"
        [call] = stream[-1]["response"]["output"]
        assert (call["type"], call["input"], call["status"]) == ("custom_tool_call", "***", "completed")
        [call] = api.post("/v1/responses", json=body).json()["output"]
        assert call["input"] == "***"


def test_a_replay_tells_the_input_again(api: httpx.Client) -> None:
    response = api.post("/v1/responses", json={"model": PIECES[0], "input": CALL, "tools": [SHELL]}).json()
    with api.stream("POST", f"/v1/responses/{response['id']}", json={"stream": True}) as answer:
        text = answer.read().decode()
    assert text.count("event: response.custom_tool_call_input.delta") == 1
    assert text.count("event: response.custom_tool_call_input.done") == 1
