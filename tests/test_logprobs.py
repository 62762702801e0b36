"""How probable an answer's tokens were: from the hosts that tell it to the surfaces that have a place for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from chat_stream import streamed
from response_stream import check_order, events, text_of
from test_schema import check

INCLUDE = ["message.output_text.logprobs"]
CHATS = ["local/local-model", "deepseek/deepseek-chat"]
TELLING = [*CHATS, "openai/gpt-4o"]
SILENT = ["anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "mistral/mistral-large-latest"]
SAY = "say exactly: one two three"
TOKENS = ["one ", "two ", "three"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gp.Gateway]:
    simulator = gp.start_simulator()
    folder = tmp_path_factory.mktemp("logprobs")
    config = folder / "tokenrouter.toml"
    config.write_text(
        f'[[providers]]\nname = "local"\nkind = "openai-compatible"\nbase_url = "{simulator.url}/local/v1"\n'
        'models = ["local-model"]\n'
    )
    gateway = gp.start_gateway(folder / "tokenrouter.db", config=config)
    yield gateway
    assert gateway.stop() == 0, gateway.process.stderr
    assert simulator.process is not None
    simulator.process.stop()


@pytest.fixture
def api(running: gp.Gateway) -> Iterator[httpx.Client]:
    with running.http(running.new_workspace()) as client:
        yield client


def part(response: dict[str, Any]) -> dict[str, Any]:
    [message] = response["output"]
    [only] = message["content"]
    found: dict[str, Any] = only
    return found


@pytest.mark.parametrize("model", TELLING)
def test_a_response_has_them_in_its_text_and_a_stream_in_its_deltas(api: httpx.Client, model: str) -> None:
    body = {"model": model, "input": SAY, "include": INCLUDE, "top_logprobs": 2}
    plain = api.post("/v1/responses", json=body).json()
    check(plain)
    stream = events(api, **body)
    final = check_order(stream)
    for told in (part(plain)["logprobs"], part(final)["logprobs"]):
        assert [token["token"] for token in told] == TOKENS
        assert all(token["logprob"] < 0 and bytes(token["bytes"]).decode() == token["token"] for token in told)
        assert all(len(token["top_logprobs"]) == 2 for token in told)
    deltas = [event for event in stream if event["type"] == "response.output_text.delta"]
    assert [[token["token"] for token in event["logprobs"]] for event in deltas] == [[token] for token in TOKENS]
    [done] = [event for event in stream if event["type"] == "response.output_text.done"]
    assert done["logprobs"] == part(final)["logprobs"]
    assert plain["tokenrouter"]["warnings"] == final["tokenrouter"]["warnings"] == []
    assert part(api.get(f"/v1/responses/{plain['id']}").json())["logprobs"] == part(plain)["logprobs"]


@pytest.mark.parametrize("model", TELLING)
def test_a_chat_has_them_beside_its_message(running: gp.Gateway, api: httpx.Client, model: str) -> None:
    messages: Any = [{"role": "user", "content": SAY}]
    with openai.OpenAI(api_key=running.key, base_url=f"{running.url}/v1") as client:
        answer = client.chat.completions.create(model=model, messages=messages, logprobs=True, top_logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None and logprobs.refusal is None
    assert [token.token for token in logprobs.content] == TOKENS
    assert all(len(token.top_logprobs) == 1 for token in logprobs.content)
    told = streamed(api, model=model, messages=messages, logprobs=True)
    choices = [chunk["choices"][0] for chunk in told.chunks]
    tokens = [token["token"] for choice in choices if choice["logprobs"] for token in choice["logprobs"]["content"]]
    assert tokens == TOKENS
    quiet = streamed(api, model=model, messages=messages)
    assert {chunk["choices"][0]["logprobs"] for chunk in quiet.chunks} == {None}


@pytest.mark.parametrize("model", [*SILENT, "deepseek/deepseek-reasoner"])
def test_who_tells_none_is_named_or_refused(api: httpx.Client, model: str) -> None:
    body = {"model": model, "input": SAY, "include": INCLUDE}
    [warning] = api.post("/v1/responses", json=body).json()["tokenrouter"]["warnings"]
    assert warning["message"].startswith("`include`: ")
    error = api.post("/v1/responses", json=body | {"router_strict": True}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_parameter", "include")
    chat = {"model": model, "messages": [{"role": "user", "content": SAY}], "logprobs": True}
    [warning] = api.post("/v1/chat/completions", json=chat).json()["tokenrouter"]["warnings"]
    assert warning["message"].startswith("`logprobs`: ")


@pytest.mark.parametrize("model", TELLING)
def test_none_are_told_where_a_rule_may_change_the_answer(api: httpx.Client, model: str) -> None:
    """The tokens, and those that might have stood in their place, hold what the rule takes out."""
    rule = {"name": "no two", "scope": "response", "type": "substring", "pattern": "two", "action": "warn"}
    number = api.post("/v1/firewall-rules", json=rule).json()["data"]["id"]
    body = {"model": model, "input": SAY, "include": INCLUDE, "top_logprobs": 2}
    assert part(api.post("/v1/responses", json=body).json())["logprobs"], "a warning changes nothing"
    assert api.patch(f"/v1/firewall-rules/{number}", json={"action": "mask", "replacement": "***"}).status_code == 200
    plain = api.post("/v1/responses", json=body)
    stream = events(api, **body)
    chat = {"model": model, "messages": [{"role": "user", "content": SAY}], "logprobs": True, "top_logprobs": 2}
    told = api.post("/v1/chat/completions", json=chat)
    chunks = streamed(api, **chat).chunks
    assert text_of(plain.json()) == text_of(stream[-1]["response"]) == "one *** three"
    for text in (plain.text, json.dumps(stream), told.text, json.dumps(chunks)):
        assert "two" not in text.replace("no two", "")
    for response in (plain.json(), stream[-1]["response"], told.json()):
        assert any("how probable its tokens were is left out" in w["message"] for w in response["tokenrouter"]["warnings"])
    error = api.post("/v1/responses", json=body | {"router_strict": True}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_parameter", "include")


def test_no_more_than_twenty_others_are_told(api: httpx.Client) -> None:
    for path, body in (
        ("/v1/responses", {"input": SAY, "include": INCLUDE}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": SAY}], "logprobs": True}),
    ):
        error = api.post(path, json=body | {"model": CHATS[0], "top_logprobs": 21}).json()["error"]
        assert error["param"] == "top_logprobs" and "between 0 and 20" in error["message"]
        assert api.post(path, json=body | {"model": CHATS[0], "top_logprobs": 20}).status_code == 200


def test_a_replay_tells_them_again(api: httpx.Client) -> None:
    first = api.post("/v1/responses", json={"model": CHATS[0], "input": SAY, "include": INCLUDE}).json()
    with api.stream("POST", f"/v1/responses/{first['id']}", json={"stream": True}) as answer:
        lines = answer.read().decode().splitlines()
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    [delta] = [event for event in told if event["type"] == "response.output_text.delta"]
    assert [token["token"] for token in delta["logprobs"]] == TOKENS
