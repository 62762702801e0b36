"""Trap 21: a conversation stays where it is, whoever keeps its turns."""

from __future__ import annotations

from typing import Any

import anthropic
import gateway_process as gp
import httpx
import openai
import pytest

LONG = "The sea was calm that day and nobody spoke of it. " * 200


def prices(api: httpx.Client, **body: Any) -> dict[tuple[str, str], float | None]:
    """What each candidate is expected to cost. With a limit, so that no forecast of the answer's length counts."""
    answer = api.post("/v1/route", json={"model": "auto:cost", "max_output_tokens": 8} | body)
    assert answer.status_code == 200, answer.text
    return {(c["provider"], c["model"]): c["estimated_cost_usd"] for c in answer.json()["candidates"]}


def cheaper(api: httpx.Client, other: dict[str, Any], **body: Any) -> set[tuple[str, str]]:
    """Those that are cheaper than for `other`, a conversation of the same length that nobody knows."""
    here, elsewhere = prices(api, **body), prices(api, **other)
    return {target for target, cost in here.items() if cost != elsewhere[target]}


def turns(text: str, answer: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": text},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "And then?"},
    ]


def test_trap_21_a_history_that_the_client_sends_stays_with_who_answered_it(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, other_api: httpx.Client
) -> None:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1") as client:
        first = client.chat.completions.create(
            model="openai/gpt-4o-mini", messages=[{"role": "user", "content": LONG}]
        )
    said = first.choices[0].message.content
    assert said is not None
    known, unknown = turns(LONG, said), {"input": turns(LONG.replace("calm", "mild"), said)}
    assert cheaper(api, unknown, input=known) == {("openai", "gpt-4o-mini")}
    assert cheaper(other_api, unknown, input=known) == set(), "no other workspace learns of it"
    assert cheaper(api, unknown, input=turns(LONG, said[::-1])) == set(), "another conversation's answer"


def test_trap_21_a_conversation_stays_with_who_answered_last(api: httpx.Client) -> None:
    number = api.post("/v1/conversations", json={}).json()["id"]
    other = api.post("/v1/conversations", json={}).json()["id"]
    for conversation, model in ((number, "openai/gpt-4o-mini"), (other, "mistral/mistral-large-latest")):
        body = {"model": model, "input": f"{LONG} say exactly: ok", "conversation": conversation}
        assert api.post("/v1/responses", json=body).status_code == 200
    here, there = (prices(api, input="And then?", conversation=one) for one in (number, other))
    unlike = {target for target, cost in here.items() if cost != there[target]}
    assert unlike == {("openai", "gpt-4o-mini"), ("mistral", "mistral-large-latest")}
    told = api.post(
        "/v1/responses", json={"model": "auto:cost", "input": "And then?", "conversation": number}
    ).json()["tokenrouter"]
    route = api.post("/v1/route", json={"model": "auto:cost", "input": "And then?", "conversation": other}).json()
    moved = "the conversation moved to "
    assert all("from openai/gpt-4o-mini" in w["message"] for w in told["warnings"] if w["message"].startswith(moved))
    assert all("from mistral" in w["message"] for w in route["warnings"] if w["message"].startswith(moved))


@pytest.mark.parametrize("cached", [False, True])
def test_trap_21_a_client_of_messages_that_moves_its_marks_for_caches_stays(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, cached: bool
) -> None:
    text: Any = {"type": "text", "text": LONG}
    marked: Any = text | {"cache_control": {"type": "ephemeral"}} if cached else text
    with anthropic.Anthropic(api_key=workspace, base_url=gateway.url) as client:
        first = client.messages.create(
            model="openai/gpt-4o-mini", max_tokens=500, messages=[{"role": "user", "content": [marked]}]
        )
    said = first.content[0]
    assert said.type == "text"
    unknown = {"input": turns(LONG.replace("calm", "mild"), said.text)}
    assert cheaper(api, unknown, input=turns(LONG, said.text)) == {("openai", "gpt-4o-mini")}
