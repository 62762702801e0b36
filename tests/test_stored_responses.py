"""Stored responses: retrieved, replayed without a provider, listed, deleted, gone on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from errors import check_error
from response_stream import check_order, events, streamed_text, text_of
from test_schema import CALL_WEATHER, WEATHER

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]


def create(api: httpx.Client, text: Any, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/responses", json={"model": MODELS[0], "input": text} | body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


@pytest.mark.parametrize("model", MODELS)
def test_a_response_is_retrieved_as_it_was_given(api: httpx.Client, model: str) -> None:
    made = create(api, "Keep this", model=model, metadata={"mine": "yes"})
    assert api.get(f"/v1/responses/{made['id']}").json() == made


def test_a_streamed_response_is_retrieved_as_its_last_event_gave_it(api: httpx.Client) -> None:
    final = check_order(events(api, model=MODELS[1], input="Keep this"))
    assert api.get(f"/v1/responses/{final['id']}").json() == final


@pytest.mark.parametrize("model", MODELS)
def test_a_replay_asks_no_provider(api: httpx.Client, simulator: gp.Simulator, mark: str, model: str) -> None:
    made = create(api, f"Tell me {mark}", model=model)
    assert len(simulator.requests(mark)) == 1
    again = api.post(f"/v1/responses/{made['id']}", json={})
    assert (again.status_code, again.json()) == (200, made)
    stream = events(api, f"/v1/responses/{made['id']}")
    assert check_order(stream) == made
    assert streamed_text(stream) == text_of(made)
    assert len(simulator.requests(mark)) == 1


@pytest.mark.parametrize(
    "model", ["openai/o3", "anthropic/claude-sonnet-4-5", "gemini/gemini-3.5-flash", "deepseek/deepseek-v4-flash"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_goes_on_by_the_id_alone(
    api: httpx.Client, simulator: gp.Simulator, mark: str, model: str, stream: bool
) -> None:
    """No provider keeps it, so it must come back sealed though nobody asked for that."""
    body = {"model": model, "reasoning": {"effort": "low", "summary": "auto"}, "tools": [WEATHER]}
    if stream:
        first = check_order(events(api, **body, input=f"{mark} {CALL_WEATHER}"))
    else:
        first = create(api, f"{mark} {CALL_WEATHER}", **body)
    thought, call = first["output"]
    assert (thought["type"], call["type"]) == ("reasoning", "function_call")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}
    second = create(api, [result], **body, previous_response_id=first["id"])
    assert second["tokenrouter"]["warnings"] == [] and "18 degrees" in text_of(second)
    if model == "openai/o3":
        sent = simulator.requests(mark)[-1]["body"]
        assert [item["type"] for item in sent["input"]][1:] == ["reasoning", "function_call", "function_call_output"]
        assert sent["input"][1]["encrypted_content"] and sent["store"] is False


def test_a_replay_needs_no_body(api: httpx.Client) -> None:
    made = create(api, "Keep this")
    assert api.post(f"/v1/responses/{made['id']}").json() == made


def test_a_replay_has_the_tool_calls_too(api: httpx.Client) -> None:
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    made = create(api, "Please call get_weather for Paris.", tools=[tool])
    assert [item["type"] for item in made["output"]] == ["function_call"]
    assert check_order(events(api, f"/v1/responses/{made['id']}")) == made


def test_a_deleted_response_is_gone(api: httpx.Client) -> None:
    made = create(api, "Keep this")
    path = f"/v1/responses/{made['id']}"
    deleted = api.delete(path)
    assert deleted.status_code == 200 and deleted.json()["deleted"] is True and deleted.json()["id"] == made["id"]
    for answer in (api.get(path), api.delete(path), api.post(path, json={}), api.get(f"{path}/input_items")):
        check_error(answer, 404, "not_found_error", "not_found")


def test_what_is_not_to_be_stored_is_not_there(api: httpx.Client) -> None:
    made = create(api, "Forget this", store=False)
    assert made["store"] is False
    check_error(api.get(f"/v1/responses/{made['id']}"), 404, "not_found_error", "not_found")
    streamed = check_order(events(api, model=MODELS[1], input="Forget this", store=False))
    check_error(api.get(f"/v1/responses/{streamed['id']}"), 404, "not_found_error", "not_found")


def test_another_workspaces_response_does_not_exist(api: httpx.Client, other_api: httpx.Client) -> None:
    made = create(api, "Mine")
    path = f"/v1/responses/{made['id']}"
    for answer in (
        other_api.get(path),
        other_api.delete(path),
        other_api.post(path, json={}),
        other_api.get(f"{path}/input_items"),
        other_api.post(f"{path}/cancel"),
    ):
        check_error(answer, 404, "not_found_error", "not_found")
    answer = other_api.post(
        "/v1/responses", json={"model": MODELS[0], "input": "Go on", "previous_response_id": made["id"]}
    )
    assert answer.status_code in (400, 404) and "previous_response" in answer.text
    assert api.get(path).status_code == 200


def test_input_items_are_listed_newest_first_and_by_pages(api: httpx.Client) -> None:
    texts = [f"message {number}" for number in range(7)]
    made = create(api, [{"role": "user", "content": text} for text in texts])
    path = f"/v1/responses/{made['id']}/input_items"

    def page(**query: Any) -> dict[str, Any]:
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        listed: dict[str, Any] = answer.json()
        assert listed["object"] == "list"
        ids = [item["id"] for item in listed["data"]]
        assert (listed["first_id"], listed["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        return listed

    def said(listed: dict[str, Any]) -> list[str]:
        return [item["content"][0]["text"] for item in listed["data"]]

    whole = page()
    assert said(whole) == texts[::-1] and whole["has_more"] is False
    assert said(page(order="asc")) == texts
    first = page(order="asc", limit=3)
    assert said(first) == texts[:3] and first["has_more"] is True
    second = page(order="asc", limit=3, after=first["last_id"])
    assert said(second) == texts[3:6] and second["has_more"] is True
    third = page(order="asc", limit=3, after=second["last_id"])
    assert said(third) == texts[6:] and third["has_more"] is False


def test_a_conversation_goes_on_across_providers(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    first = create(api, f"{mark} my name is Ada", model=MODELS[0])
    second = create(api, "and I live by the sea", model=MODELS[1], previous_response_id=first["id"])
    third = create(api, "who am I?", model=MODELS[0], previous_response_id=second["id"])
    assert third["previous_response_id"] == second["id"]
    sent = json.dumps(simulator.requests(mark)[-1]["body"])
    places = [sent.index(text) for text in (f"{mark} my name is Ada", "and I live by the sea", "who am I?")]
    assert places == sorted(places)
    assert text_of(first) in json.loads(sent).__str__().replace("\\n", "\n") or json.dumps(text_of(first))[1:-1] in sent


def test_instructions_do_not_carry_over(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    first = create(api, f"say exactly: {mark} hello", instructions="speak as a pirate")
    create(api, "go on", previous_response_id=first["id"])
    assert "pirate" not in json.dumps(simulator.requests(mark)[-1]["body"])


def test_going_on_from_nothing_is_the_callers_mistake(api: httpx.Client) -> None:
    answer = api.post(
        "/v1/responses", json={"model": MODELS[0], "input": "Go on", "previous_response_id": "resp_nothing"}
    )
    error = answer.json()["error"]
    assert answer.status_code in (400, 404) and error["param"] == "previous_response_id"


def test_a_finished_response_cannot_be_cancelled(api: httpx.Client) -> None:
    made = create(api, "Done")
    answer = api.post(f"/v1/responses/{made['id']}/cancel")
    assert answer.status_code in (400, 409), answer.text
    assert api.get(f"/v1/responses/{made['id']}").json()["status"] == "completed"


def test_a_response_is_retrievable_the_moment_it_is_complete(api: httpx.Client) -> None:
    for number in range(20):
        with api.stream(
            "POST", "/v1/responses", json={"model": MODELS[0], "input": f"Hello {number}", "stream": True}
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:") and '"response.completed"' in line:
                    break
            made = json.loads(line[5:])["response"]
            assert api.get(f"/v1/responses/{made['id']}").status_code == 200


@pytest.fixture
def client(gateway: gp.Gateway, workspace: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        yield client


def test_the_official_client_lists_input_items_whole(client: openai.OpenAI) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret thoughts"}
    made = client.responses.create(
        model=MODELS[0],
        input=[{"role": "user", "content": "Hello"}, reasoning, {"role": "user", "content": "Go on"}],  # type: ignore[list-item]
    )
    listed = list(
        client.responses.input_items.list(
            made.id, order="asc", limit=2, include=["reasoning.encrypted_content", "message.input_image.image_url"]
        )
    )
    assert [item.type for item in listed] == ["message", "reasoning", "message"]
    assert listed[1].encrypted_content == "secret thoughts"  # type: ignore[union-attr]


def test_the_official_client_counts_input_tokens(client: openai.OpenAI) -> None:
    def count(**body: Any) -> int:
        counted = client.responses.input_tokens.count(model=MODELS[0], **body)
        assert counted.object == "response.input_tokens"
        return counted.input_tokens

    text = "The sea is wide and the wind is in the west. " * 20
    plain = count(input=text)
    # What a tokenizer makes of it is about 220; an estimate may be off by a third.
    assert 150 < plain < 300
    tool: Any = {"type": "function", "name": "look", "description": text, "parameters": {}, "strict": False}
    assert count(input=text, tools=[tool]) > 1.8 * plain
    assert count(input=text, instructions=text) > 1.8 * plain
    assert count(instructions=text) == pytest.approx(plain, abs=8)
    image: Any = {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}
    assert count(input=[image]) > 100
    made = client.responses.create(model=MODELS[0], input=text)
    assert count(input="Go on", previous_response_id=made.id) > 1.8 * plain
    conversation = client.conversations.create(items=[{"role": "user", "content": text}])
    assert count(conversation=conversation.id) >= plain
    # What is counted is not added.
    assert len(list(client.conversations.items.list(conversation.id))) == 1


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": 7}, 400, "input"),
        ({"previous_response_id": "resp_nothing"}, 400, "previous_response_id"),
        ({"conversation": "conv_nothing"}, 404, "conversation"),
    ],
)
def test_what_cannot_be_counted_is_told(api: httpx.Client, body: dict[str, Any], status: int, param: str) -> None:
    answer = api.post("/v1/responses/input_tokens", json=body)
    assert answer.status_code == status and answer.json()["error"]["param"] == param, answer.text


@pytest.mark.parametrize("model", MODELS)
def test_nothing_of_what_is_not_to_be_stored_is_in_the_files(
    start_gateway: Callable[..., gp.Gateway], model: str
) -> None:
    gateway = start_gateway()
    secrets = ["quixotic zephyr", "obsidian lantern", "velvet thunder"]

    def found() -> set[str]:
        """Which of the secrets are in any file of the database."""
        everything = b"".join(
            path.read_bytes() for path in gateway.database.parent.iterdir() if gateway.database.name in path.name
        )
        return {secret for secret in secrets if secret.encode() in everything}

    body = {"model": model, "input": f"say exactly: {secrets[0]}", "instructions": secrets[1], "store": False}
    tool = {"type": "function", "name": "look", "description": secrets[2], "parameters": {}}
    with gateway.http() as api:
        assert api.post("/v1/responses", json=body | {"tools": [tool]}).status_code == 200
        assert check_order(events(api, **body))["store"] is False
        api.post("/v1/responses", json=body | {"model": "no-such-model"})
        with api.stream("POST", "/v1/responses", json=body | {"stream": True}) as answer:
            next(answer.iter_lines())
        assert found() == set()
        # The search finds what is there.
        assert api.post("/v1/responses", json=body | {"store": True}).status_code == 200
        assert secrets[0] in found()
    assert gateway.stop() == 0


LONG = "The sea was calm that day and nobody spoke of it. " * 200


def test_what_a_provider_has_in_its_prompt_cache_counts_for_a_conversation_to_stay(api: httpx.Client) -> None:
    last = "gpt-4o-mini"
    first = create(api, LONG, model=f"openai/{last}")

    def considered(body: dict[str, Any]) -> dict[str, Any]:
        # With a limit, so that no forecast of the answer's length counts.
        answer = api.post("/v1/route", json={"model": "auto:cost", "max_output_tokens": 8} | body)
        assert answer.status_code == 200, answer.text
        route: dict[str, Any] = answer.json()
        return {(c["provider"], c["model"]): c["estimated_cost_usd"] for c in route["candidates"]}

    next_ = {"role": "user", "content": "And then?"}
    # Of the same length, and not the same: that would be recognised.
    other = {"role": "user", "content": LONG.replace("calm", "mild")}
    by_hand = considered({"input": [other, *first["output"], next_]})
    goes_on = considered({"input": [next_], "previous_response_id": first["id"]})
    cheaper = {target for target, cost in goes_on.items() if cost != by_hand[target]}
    assert cheaper == {("openai", last)} and goes_on["openai", last] < by_hand["openai", last]
    # And with `create` it is what `/v1/route` said that is done.
    body = {"model": "auto:cost", "input": [next_], "previous_response_id": first["id"]}
    route = api.post("/v1/route", json=body).json()
    told = create(api, [next_], model="auto:cost", previous_response_id=first["id"])["tokenrouter"]
    assert (told["provider"], told["model"]) == (route["provider"], route["model"])


@pytest.mark.parametrize("mode", ["balance", "cost", "quality", "latency"])
def test_go_on_stays_with_the_model_that_a_hard_prompt_was_given_to(api: httpx.Client, mode: str) -> None:
    hard = "Implement a lock-free queue in Rust, linearizable and leak-free, and prove that no deadlock can occur. " * 20
    first = create(api, hard, model=f"auto:{mode}")
    for follow_up in ("continue", "Are you sure? Check the second step."):
        told = create(api, follow_up, model=f"auto:{mode}", previous_response_id=first["id"])["tokenrouter"]
        assert (told["provider"], told["model"]) == (first["tokenrouter"]["provider"], first["tokenrouter"]["model"])
        assert told["warnings"] == []


def test_the_route_of_a_turn_whose_turns_before_are_missing_is_an_error(api: httpx.Client) -> None:
    answer = api.post("/v1/route", json={"input": "And then?", "previous_response_id": "resp_none"})
    check_error(answer, 400, "invalid_request_error", "previous_response_not_found", "previous_response_id")


def test_a_model_that_is_named_is_taken_whatever_came_before(api: httpx.Client) -> None:
    first = create(api, LONG, model="anthropic/claude-haiku-5-5")
    next_ = create(api, "And then?", model="gpt-4o-mini", previous_response_id=first["id"])["tokenrouter"]
    assert (next_["model"], next_["warnings"]) == ("gpt-4o-mini", [])


def test_why_a_conversation_moves_is_told(api: httpx.Client) -> None:
    def moved(last: str, mode: str, text: Any) -> str:
        first = create(api, "Hello", model=last)
        told = create(api, text, model=mode, previous_response_id=first["id"])["tokenrouter"]
        assert f"{told['provider']}/{told['model']}" != last
        (warning,) = told["warnings"]
        assert warning["source"] == "router"
        prefix = f"the conversation moved to {told['provider']}/{told['model']} from {last}, which "
        assert warning["message"].startswith(prefix)
        reason: str = warning["message"].removeprefix(prefix)
        return reason

    assert moved("openai/gpt-4o", "auto:cost", "And then?") == "now scores lower by more than its prompt cache is worth"
    png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
    picture = [{"role": "user", "content": [{"type": "input_image", "image_url": png}]}]
    assert moved("deepseek/deepseek-chat", "auto", picture) == "cannot see images"


def test_a_turn_that_failed_is_nothing_to_stay_with(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(provider="openai", count=10, status=500)
    with gateway.http() as api:
        first = create(api, "Hello", model="openai/gpt-4o", background=True)
        gp.until(lambda: api.get(f"/v1/responses/{first['id']}").json()["status"] == "failed", "the failure")
        told = create(api, "And then?", model="auto", previous_response_id=first["id"])["tokenrouter"]
    assert told["warnings"] == []


def test_a_conversation_that_leaves_a_failing_provider_tells_it(start_gateway: Callable[..., gp.Gateway]) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    with gateway.http() as api:
        first = create(api, "Hello", model="openai/gpt-4o")
        simulator.fault(provider="openai", count=1, status=401)
        assert api.post("/v1/responses", json={"model": "openai/gpt-4o", "input": "Hello"}).status_code == 502
        body = {"model": "auto:quality", "previous_response_id": first["id"]}
        route = api.post("/v1/route", json=body | {"input": "And then?"}).json()
        told = create(api, "And then?", **body)["tokenrouter"]
    target = f"{told['provider']}/{told['model']}"
    message = f"the conversation moved to {target} from openai/gpt-4o, which has failed of late"
    assert [warning["message"] for warning in told["warnings"]] == [message]
    assert [warning["message"] for warning in route["warnings"]] == [message]
