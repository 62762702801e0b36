"""`n` on `/v1/chat/completions`: several answers to one chat, each with its own limits, screens and ledger entry."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from chat_stream import data_lines
from errors import check_envelope, check_error
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from test_schema import CALL_WEATHER, WEATHER

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "mistral/mistral-large-latest"]
each_model = pytest.mark.parametrize("model", MODELS)
TOOL = {"type": "function", "function": {name: WEATHER[name] for name in ("name", "parameters")}}


class Town(BaseModel):
    city: str
    people: int


def says(text: str) -> Any:
    return [{"role": "user", "content": text}]


def complete(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    ChatCompletion.model_validate_json(answer.text, strict=True)
    completion: dict[str, Any] = answer.json()
    return completion


def by_choice(lines: list[str]) -> dict[int, list[dict[str, Any]]]:
    """The chunks of each choice, each of which must be of the official type."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        ChatCompletionChunk.model_validate_json(line, strict=True)
        chunk = json.loads(line)
        for choice in chunk["choices"]:
            found[choice["index"]].append(chunk)
    return found


@each_model
def test_each_choice_is_an_answer_and_what_they_used_is_added_up(api: httpx.Client, model: str) -> None:
    body = {"model": model, "messages": says("Tell me of the sea")}
    one, three = complete(api, **body), complete(api, **body, n=3)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    for choice in three["choices"]:
        assert choice["message"] == one["choices"][0]["message"] and choice["finish_reason"] == "stop"
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert three["usage"][name] == 3 * one["usage"][name]
    assert three["tokenrouter"]["cost_usd"] == pytest.approx(3 * one["tokenrouter"]["cost_usd"])
    ids = [choice["tokenrouter"]["request_id"] for choice in three["choices"]]
    assert len(set(ids)) == 3 and ids[0] == three["tokenrouter"]["request_id"]
    logged = {entry["id"]: entry["outcome"] for entry in api.get("/v1/requests").json()["data"]}
    assert [logged[request_id] for request_id in ids] == ["completed"] * 3
    for told in (three, *three["choices"]):
        [warning] = [w["message"] for w in told["tokenrouter"]["warnings"]]
        assert warning.startswith("`n`: each choice was asked for by itself")


@each_model
@pytest.mark.parametrize("usage", [True, False])
def test_the_chunks_of_all_come_as_they_are_written(api: httpx.Client, model: str, usage: bool) -> None:
    body = {"model": model, "messages": says("Tell me of the sea")}
    plain = complete(api, **body, n=2)
    options = {"stream_options": {"include_usage": True}} if usage else {}
    lines = data_lines(api, **body, n=2, **options)
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    if usage:
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == plain["usage"]
    assert sum(bool(chunk.get("usage")) for chunk in chunks) == usage
    found = by_choice(lines)
    assert sorted(found) == [0, 1]
    for index, own in found.items():
        deltas = [chunk["choices"][0]["delta"] for chunk in own]
        assert deltas[0]["role"] == "assistant"
        text = "".join(delta.get("content") or "" for delta in deltas)
        assert text == plain["choices"][index]["message"]["content"]
        ends = [chunk["choices"][0]["finish_reason"] for chunk in own]
        assert ends[-1] == "stop" and not any(ends[:-1])
        assert own[-1]["tokenrouter"]["provider"] == model.partition("/")[0]


@each_model
def test_the_official_client_and_langchain_read_them(gateway: gp.Gateway, workspace: str, model: str) -> None:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        parsed = client.chat.completions.parse(model=model, messages=says("Which town?"), n=2, response_format=Town)
        assert all(isinstance(choice.message.parsed, Town) for choice in parsed.choices)
        with client.chat.completions.stream(
            model=model, messages=says(CALL_WEATHER), tools=[TOOL], n=2  # type: ignore[list-item]
        ) as stream:
            final = stream.get_final_completion()
        assert [choice.finish_reason for choice in final.choices] == ["tool_calls"] * 2
        calls = [(choice.message.tool_calls or [])[0] for choice in final.choices]
        assert all(json.loads(call.function.arguments) == {"city": "Paris"} for call in calls)
    llm = ChatOpenAI(model=model, n=2, base_url=f"{gateway.url}/v1", api_key=workspace)  # type: ignore[arg-type]
    [generations] = llm.generate([[HumanMessage("Tell me of the sea")]]).generations
    assert len(generations) == 2 and all("Tell me of the sea" in generation.text for generation in generations)


def test_what_is_given_by_other_means_is_refused_to_who_wants_nothing_lost(api: httpx.Client) -> None:
    body = {"model": MODELS[0], "messages": says("Hello"), "n": 2, "router_strict": True}
    error = check_error(api.post("/v1/chat/completions", json=body), 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == "n"
    assert api.post("/v1/chat/completions", json=body | {"n": 1}).status_code == 200
    assert complete(api, model=MODELS[0], messages=says("Hello"), n=1)["tokenrouter"]["warnings"] == []


def test_each_choice_has_a_seed_of_its_own(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    complete(api, model=MODELS[3], messages=says(mark), n=3, seed=7)
    assert sorted(request["body"]["random_seed"] for request in simulator.requests(mark)) == [7, 8, 9]


@pytest.mark.parametrize("stream", [False, True])
def test_no_provider_is_asked_before_all_are_let_in(
    gateway: gp.Gateway, api: httpx.Client, simulator: gp.Simulator, mark: str, stream: bool
) -> None:
    made = api.post("/v1/api-keys", json={"name": "limited", "requests_per_minute": 4}).json()
    body = {"model": MODELS[0], "messages": says(mark), "stream": stream}
    with gateway.http(made["data"]["key"]) as limited:
        assert limited.post("/v1/chat/completions", json=body | {"n": 3}).status_code == 200
        for _ in range(3):
            answer = limited.post("/v1/chat/completions", json=body | {"n": 3})
            check_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
        assert len(simulator.requests(mark)) == 3
        assert limited.post("/v1/chat/completions", json=body).status_code == 200, "what was refused took nothing"
        assert sorted(outcomes(api)) == ["completed"] * 4 + ["failed"] * 3


@pytest.mark.parametrize("limit", ["requests_per_minute", "max_in_flight"])
@pytest.mark.parametrize("whose", ["key", "workspace"])
def test_more_than_a_limit_ever_lets_in_is_named(
    gateway: gp.Gateway, api: httpx.Client, simulator: gp.Simulator, mark: str, limit: str, whose: str
) -> None:
    made = api.post("/v1/api-keys", json={"name": "limited"} | ({limit: 2} if whose == "key" else {})).json()
    if whose == "workspace":
        assert api.patch("/v1/workspace", json={limit: 2}).status_code == 200
    with gateway.http(made["data"]["key"]) as limited:
        body = {"model": MODELS[0], "messages": says(mark)}
        answer = limited.post("/v1/chat/completions", json=body | {"n": 3})
        error = check_error(answer, 400, "invalid_request_error", "invalid_parameter", "n")
        assert "2 requests" in error["message"] and simulator.requests(mark) == []
        assert limited.post("/v1/chat/completions", json=body | {"n": 2}).status_code == 200


def test_a_chat_is_held_to_the_length_of_a_body_as_often_as_it_is_sent(
    api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    body = {"model": MODELS[0], "messages": says(mark + "x" * 4_300_000)}
    answer = api.post("/v1/chat/completions", json=body | {"n": 4})
    check_error(answer, 413, "invalid_request_error", "payload_too_large", "n")
    assert simulator.requests(mark) == []


@pytest.mark.parametrize("stream", [False, True])
def test_the_firewall_screens_each(api: httpx.Client, stream: bool) -> None:
    for pattern, action in (("secret", "mask"), ("forbidden", "block")):
        rule = {"name": pattern, "scope": "response", "type": "substring", "pattern": pattern, "action": action}
        assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    body = {"model": MODELS[1], "messages": says("say exactly: the secret word"), "n": 2}
    if stream:
        found = by_choice(data_lines(api, **body)[:-1])
        texts = ["".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in found[i]) for i in (0, 1)]
    else:
        texts = [choice["message"]["content"] for choice in complete(api, **body)["choices"]]
    assert texts == ["the [redacted] word"] * 2
    body["messages"] = says("say exactly: the forbidden word")
    if stream:
        lines = data_lines(api, **body)
        assert json.loads(lines[-1])["error"]["code"] == "firewall_blocked" and "forbidden" not in "".join(lines[:-1])
    else:
        check_error(api.post("/v1/chat/completions", json=body), 422, "firewall_error", "firewall_blocked")


@pytest.fixture
def alone(
    faulty: tuple[httpx.Client, gp.Simulator], standalone: tuple[gp.Gateway, gp.Simulator]
) -> Iterator[tuple[httpx.Client, gp.Simulator]]:
    """`faulty` with a workspace of its own."""
    gateway, simulator = standalone
    with gateway.http(gateway.new_workspace()) as client:
        yield client, simulator


def test_one_that_fails_ends_all_and_is_no_clean_end(alone: tuple[httpx.Client, gp.Simulator]) -> None:
    api, simulator = alone
    body = {"model": MODELS[0], "messages": says("Tell me a story"), "n": 3}
    # It is the last that fails.
    simulator.fault(provider="openai", delay_ms=500, count=2)
    simulator.fault(provider="openai", status=400, count=1)
    answer = api.post("/v1/chat/completions", json=body)
    error = check_error(answer, 400, "invalid_request_error", answer.json()["error"]["code"])
    [failed] = [entry["id"] for entry in api.get("/v1/requests").json()["data"] if entry["outcome"] == "failed"]
    assert error["request_id"] == failed
    simulator.fault(provider="openai", error_event=True, count=1)
    lines = data_lines(api, **body, stream_options={"include_usage": True})
    check_envelope(json.loads(lines[-1])["error"])
    assert lines.count("[DONE]") == 0 and not any(json.loads(line).get("usage") for line in lines)
    gp.until(lambda: len(outcomes(api)) == 6, "the ledger's entries")
    assert sorted(outcomes(api)[3:]).count("failed") == 1


def test_what_is_true_of_one_choice_is_told_of_the_whole(alone: tuple[httpx.Client, gp.Simulator]) -> None:
    api, simulator = alone
    for pattern, scope, action in (("sea", "prompt", "mask"), ("simulated", "response", "warn")):
        rule = {"name": pattern, "scope": scope, "type": "substring", "pattern": pattern, "action": action}
        assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    told = complete(api, model=MODELS[0], messages=says("say exactly: a simulated sea"), n=3, store=True)
    whole, each = told["tokenrouter"], [choice["tokenrouter"] for choice in told["choices"]]
    assert [(hit["scope"], hit["matches"]) for hit in whole["firewall"]] == [("prompt", 1), ("response", 3)]
    assert all([hit["matches"] for hit in one["firewall"]] == [1, 1] for one in each)
    assert len(whole["warnings"]) == len(each[0]["warnings"]) == 2
    stored = [api.get(f"/v1/responses/{one['response_id']}").json() for one in each]
    assert stored[0]["id"] == told["id"] and len({response["id"] for response in stored}) == 3
    assert [response["tokenrouter"]["request_id"] for response in stored] == [one["request_id"] for one in each]
    lines = data_lines(api, model=MODELS[0], messages=says("Hello"), n=2, store=True)
    ends = [own[-1]["tokenrouter"]["response_id"] for own in by_choice(lines[:-1]).values()]
    assert [api.get(f"/v1/responses/{response_id}").status_code for response_id in ends] == [200, 200]


def test_how_fast_choices_come_that_waited_for_one_another_is_not_learned(
    alone: tuple[httpx.Client, gp.Simulator]
) -> None:
    api, simulator = alone
    model = MODELS[3]

    def estimate() -> float:
        candidates = api.post("/v1/route", json={"model": "auto", "input": "Write a long story"}).json()["candidates"]
        [found] = [one for one in candidates if f"{one['provider']}/{one['model']}" == model]
        milliseconds: float = found["estimated_latency_ms"]
        return milliseconds

    before = estimate()
    # All but one stand unread, written to their end, until that one has begun.
    simulator.fault(provider="mistral", delay_ms=300, count=1)
    data_lines(api, model=model, messages=says("Hello"), n=3)
    assert estimate() > before / 2
    data_lines(api, model=model, messages=says("Hello"))
    assert estimate() < before / 2, "one alone is as fast as it is read"


def outcomes(api: httpx.Client) -> list[str]:
    """Oldest first."""
    return [entry["outcome"] for entry in reversed(api.get("/v1/requests").json()["data"])]


def test_a_caller_that_leaves_cancels_all(alone: tuple[httpx.Client, gp.Simulator]) -> None:
    api, simulator = alone
    simulator.fault(drip_ms=100, count=3)
    body = {"model": MODELS[1], "messages": says("Tell me of the sea, at length"), "n": 3, "stream": True}
    with api.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert next(answer.iter_lines())
    gp.until(lambda: outcomes(api) == ["cancelled"] * 3, "the ledger's entries")


@pytest.mark.parametrize("n", [0, 129, 1.5, "2"])
def test_a_number_that_is_none_is_named(api: httpx.Client, n: Any) -> None:
    body = {"model": MODELS[0], "messages": says("Hello"), "n": n}
    error = check_error(api.post("/v1/chat/completions", json=body), 400, "invalid_request_error", "invalid_parameter")
    assert error["param"] == "n"
