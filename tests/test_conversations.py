"""Conversations: kept by the gateway for every provider, grown by each response, one request at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from errors import check_error
from open_responses import check_response
from response_stream import check_order, events, text_of

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "mistral/mistral-large-latest"]


@pytest.fixture
def client(gateway: gp.Gateway, workspace: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        yield client


def make(api: httpx.Client, **body: Any) -> str:
    answer = api.post("/v1/conversations", json=body)
    assert answer.status_code == 200, answer.text
    conversation_id: str = answer.json()["id"]
    return conversation_id


def respond(api: httpx.Client, conversation: Any, text: Any, **body: Any) -> dict[str, Any]:
    answer = api.post(
        "/v1/responses", json={"model": MODELS[0], "input": text, "conversation": conversation} | body
    )
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def items(api: httpx.Client, conversation: str) -> list[dict[str, Any]]:
    """Every item, oldest first."""
    answer = api.get(f"/v1/conversations/{conversation}/items", params={"order": "asc", "limit": 100})
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["data"]
    return listed


def said(api: httpx.Client, conversation: str) -> list[tuple[str, str]]:
    return [(item["role"], item["content"][0]["text"]) for item in items(api, conversation)]


def test_the_official_client_makes_reads_changes_and_deletes_one(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"topic": "tea"}, items=[{"type": "message", "role": "user", "content": "Hello"}]
    )
    assert made.object == "conversation" and made.id.startswith("conv_") and made.metadata == {"topic": "tea"}
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"topic": "coffee"})
    assert changed.metadata == {"topic": "coffee"} and changed.created_at == made.created_at
    assert client.conversations.retrieve(made.id) == changed
    deleted = client.conversations.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "conversation.deleted")
    for call in (client.conversations.retrieve, client.conversations.delete, client.conversations.items.list):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_the_official_client_adds_lists_and_deletes_items(client: openai.OpenAI) -> None:
    conversation = client.conversations.create().id
    texts = [f"message {number}" for number in range(7)]
    added = client.conversations.items.create(
        conversation, items=[{"type": "message", "role": "user", "content": text} for text in texts]
    )
    assert [item.content[0].text for item in added.data] == texts  # type: ignore[union-attr]
    assert added.has_more is False and added.first_id == added.data[0].id and added.last_id == added.data[-1].id
    # The client follows the pages by itself.
    listed = list(client.conversations.items.list(conversation, order="asc", limit=3))
    assert [item.id for item in listed] == [item.id for item in added.data]
    newest = client.conversations.items.list(conversation, limit=2)
    assert [item.id for item in newest.data] == [item.id for item in added.data[::-1]][:2] and newest.has_more
    one = client.conversations.items.retrieve(added.data[2].id or "", conversation_id=conversation)
    assert one == added.data[2]
    left = client.conversations.items.delete(one.id or "", conversation_id=conversation)
    assert left.id == conversation and left.object == "conversation"
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(one.id or "", conversation_id=conversation)
    assert len(list(client.conversations.items.list(conversation))) == 6


def test_the_official_client_goes_on_in_a_conversation(client: openai.OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "my name is Ada"}])
    response = client.responses.create(model=MODELS[0], input="who am I?", conversation=conversation.id)
    assert response.conversation is not None and response.conversation.id == conversation.id
    with client.responses.stream(
        model=MODELS[1], input="and again?", conversation={"id": conversation.id}
    ) as stream:
        final = stream.get_final_response()
    assert final.conversation is not None and final.conversation.id == conversation.id
    listed = client.conversations.items.list(conversation.id, order="asc")
    roles = [item.role for item in listed]  # type: ignore[union-attr]
    assert roles == ["user", "user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("streamed", [False, True])
def test_it_goes_on_across_providers(
    api: httpx.Client, simulator: gp.Simulator, mark: str, streamed: bool
) -> None:
    conversation = make(api, items=[{"role": "user", "content": f"{mark} my name is Ada"}])
    expected = [("user", f"{mark} my name is Ada")]
    for number, model in enumerate(MODELS):
        question = f"question {number} {mark}"
        if streamed:
            response = check_order(events(api, model=model, input=question, conversation=conversation))
        else:
            response = respond(api, {"id": conversation}, question, model=model)
        check_response(response)
        assert response["conversation"] == {"id": conversation} and response["previous_response_id"] is None
        sent = json.dumps(simulator.requests(question)[-1]["body"])
        places = [sent.index(json.dumps(text)[1:-1]) for _, text in [*expected, ("user", question)]]
        assert places == sorted(places)
        expected += [("user", question), ("assistant", text_of(response))]
        # At once, with no delay.
        assert said(api, conversation) == expected


def test_tool_calls_and_their_results_are_kept(api: httpx.Client) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    conversation = make(api)
    call = respond(api, conversation, "Please call get_weather.", tools=[tool])["output"][0]
    assert call["type"] == "function_call"
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    respond(api, conversation, [result], tools=[tool], model=MODELS[1])
    kinds = [item["type"] for item in items(api, conversation)]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


def test_two_requests_at_once_lose_nothing_the_second_is_told_to_wait(
    faulty: tuple[httpx.Client, gp.Simulator], mark: str
) -> None:
    api, simulator = faulty
    conversation = make(api)
    simulator.fault(provider="openai", count=1, drip_ms=20)
    body = {"model": MODELS[0], "input": f"first {mark}", "conversation": conversation, "stream": True}
    with api.stream("POST", "/v1/responses", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        second = {"model": MODELS[1], "input": f"second {mark}", "conversation": conversation}
        path = f"/v1/conversations/{conversation}"
        for refused in (
            api.post("/v1/responses", json=second),
            api.post(f"{path}/items", json={"items": [{"role": "user", "content": "between"}]}),
            api.delete(path),
        ):
            error = check_error(refused, 409, "conflict_error", "conflict", "conversation")
            assert conversation in error["message"] and refused.headers["retry-after"] == "1"
        assert items(api, conversation) == []
        assert any('"response.completed"' in line for line in lines)
    assert api.post("/v1/responses", json=second).status_code == 200
    assert [text for role, text in said(api, conversation) if role == "user"] == [f"first {mark}", f"second {mark}"]


def test_many_requests_at_once_never_interleave(gateway: gp.Gateway, workspace: str) -> None:
    with gateway.http(workspace) as api:
        conversation = make(api)
    done: list[str] = []

    def ask(number: int) -> None:
        with gateway.http(workspace) as mine:
            while True:
                body = {"model": MODELS[number % 3], "input": f"asked {number}", "conversation": conversation}
                answer = mine.post("/v1/responses", json=body)
                if answer.status_code == 200:
                    done.append(text_of(answer.json()))
                    return
                assert answer.status_code == 409, answer.text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    with gateway.http(workspace) as api:
        turns = said(api, conversation)
    assert [role for role, _ in turns] == ["user", "assistant"] * 12
    assert sorted(text for role, text in turns if role == "user") == sorted(f"asked {n}" for n in range(12))
    assert sorted(text for role, text in turns if role == "assistant") == sorted(done)


def test_what_fails_or_is_left_adds_nothing_and_frees_the_conversation(
    faulty: tuple[httpx.Client, gp.Simulator],
) -> None:
    api, simulator = faulty
    conversation = make(api)
    body = {"model": MODELS[0], "input": "Hello", "conversation": conversation}
    simulator.fault(count=1, status=400)
    assert api.post("/v1/responses", json=body).status_code == 400
    simulator.fault(count=1, cut_after_bytes=2000)
    assert events(api, **body)[-1]["type"] == "response.failed"
    simulator.fault(count=1, drip_ms=20)
    with api.stream("POST", "/v1/responses", json=body | {"stream": True}) as answer:
        next(answer.iter_lines())

    def free() -> bool:
        answer = api.post(f"/v1/conversations/{conversation}/items", json={"items": []})
        assert answer.status_code in (200, 409), answer.text
        return answer.status_code == 200

    gp.until(free, "the conversation's being free again")
    assert items(api, conversation) == []


def test_a_response_that_is_not_stored_is_still_a_turn_of_its_conversation(api: httpx.Client) -> None:
    conversation = make(api)
    response = respond(api, conversation, "Hello", store=False)
    assert response["store"] is False
    check_error(api.get(f"/v1/responses/{response['id']}"), 404, "not_found_error", "not_found")
    assert said(api, conversation) == [("user", "Hello"), ("assistant", text_of(response))]


def test_a_chain_that_begins_in_a_conversation_has_what_stood_there_before(
    api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    conversation = make(api, items=[{"role": "user", "content": "my name is Ada"}])
    first = respond(api, conversation, "I live by the sea")
    respond(api, conversation, "this comes later")
    answer = api.post(
        "/v1/responses", json={"model": MODELS[1], "input": mark, "previous_response_id": first["id"]}
    )
    assert answer.status_code == 200, answer.text
    sent = json.dumps(simulator.requests(mark)[-1]["body"])
    assert "my name is Ada" in sent and "I live by the sea" in sent and "this comes later" not in sent


def test_an_item_can_be_named_but_not_sent_twice(api: httpx.Client) -> None:
    conversation = make(api, items=[{"role": "user", "content": "Hello"}])
    known = items(api, conversation)[0]
    respond(api, conversation, [{"type": "item_reference", "id": known["id"]}, {"role": "user", "content": "Go on"}])
    body = {"model": MODELS[0], "conversation": conversation, "input": [known]}
    check_error(
        api.post("/v1/responses", json=body), 400, "invalid_request_error", "invalid_parameter", "input[0].id"
    )
    answer = api.post(f"/v1/conversations/{conversation}/items", json={"items": [known]})
    check_error(answer, 409, "conflict_error", "conflict", "items")
    assert [role for role, _ in said(api, conversation)] == ["user", "user", "assistant"]


def test_the_firewall_reads_the_whole_conversation(api: httpx.Client) -> None:
    conversation = make(api, items=[{"role": "user", "content": "the word is xyzzy"}])
    rule = {"name": "No", "scope": "prompt", "type": "substring", "pattern": "xyzzy", "action": "block"}
    assert api.post("/v1/firewall-rules", json=rule).status_code == 201
    body = {"model": MODELS[0], "input": "Go on", "conversation": conversation}
    check_error(api.post("/v1/responses", json=body), 422, "firewall_error", "firewall_blocked")


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_not_there_is_not_found(api: httpx.Client, other_api: httpx.Client, streamed: bool) -> None:
    mine = make(api)
    for client, conversation in ((api, "conv_nothing"), (other_api, mine)):
        body = {"model": MODELS[0], "input": "Hello", "conversation": conversation, "stream": streamed}
        answer = client.post("/v1/responses", json=body)
        check_error(answer, 404, "not_found_error", "not_found", "conversation")


def test_another_workspaces_conversation_does_not_exist(api: httpx.Client, other_api: httpx.Client) -> None:
    conversation = make(api, items=[{"role": "user", "content": "Mine"}])
    item = items(api, conversation)[0]["id"]
    path = f"/v1/conversations/{conversation}"
    for answer in (
        other_api.get(path),
        other_api.post(path, json={"metadata": {}}),
        other_api.delete(path),
        other_api.get(f"{path}/items"),
        other_api.post(f"{path}/items", json={"items": []}),
        other_api.get(f"{path}/items/{item}"),
        other_api.delete(f"{path}/items/{item}"),
    ):
        check_error(answer, 404, "not_found_error", "not_found")
    assert [entry["id"] for entry in items(api, conversation)] == [item]


ITEM = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/responses", {"conversation": "conv_x", "previous_response_id": "resp_x"}, "conversation"),
        ("/v1/responses", {"conversation": 7}, "conversation"),
        ("/v1/responses", {"conversation": {}}, "conversation.id"),
        ("/v1/conversations", {"items": "Hello"}, "items"),
        ("/v1/conversations", {"items": [ITEM] * 21}, "items"),
        ("/v1/conversations", {"items": [{"role": "nobody", "content": "x"}]}, "items[0].role"),
        ("/v1/conversations", {"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0]"),
        ("/v1/conversations", {"items": [ITEM | {"id": "msg_1"}, ITEM | {"id": "msg_1"}]}, "items[1].id"),
        ("/v1/conversations", {"metadata": {"key": "x" * 513}}, "metadata.key"),
        ("/v1/conversations/{id}", {}, "metadata"),
        ("/v1/conversations/{id}/items", {}, "items"),
    ],
)
def test_bad_input_is_told_by_its_place(api: httpx.Client, path: str, body: dict[str, Any], param: str) -> None:
    if path == "/v1/responses":
        body = {"model": MODELS[0], "input": "Hello"} | body
    answer = api.post(path.format(id=make(api)), json=body)
    check_error(answer, 400, "invalid_request_error", "invalid_parameter", param)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}, {"after": "nothing"}])
def test_a_wrong_page_is_told(api: httpx.Client, query: dict[str, Any]) -> None:
    answer = api.get(f"/v1/conversations/{make(api)}/items", params=query)
    check_error(answer, 400, "invalid_request_error", "invalid_parameter", next(iter(query)))


def test_conversations_survive_a_restart(start_gateway: Callable[..., gp.Gateway]) -> None:
    first = start_gateway()
    with first.http() as api:
        conversation = make(api, metadata={"topic": "tea"})
        respond(api, conversation, "Hello")
        before = items(api, conversation)
    assert first.stop() == 0
    second = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": first.key})
    with second.http(first.key) as api:
        assert items(api, conversation) == before and len(before) == 2
        respond(api, conversation, "Go on")


def test_a_hundred_turns_with_no_delay_lose_none(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    """Chained by `previous_response_id`, plain and streamed in turn, over changing providers."""
    previous: str | None = None
    for number in range(100):
        body: dict[str, Any] = {"model": MODELS[number % 3], "input": f"turn <{number}> {mark}\nsay exactly: answer {number}"}
        if previous is not None:
            body["previous_response_id"] = previous
        if number % 2:
            response = check_order(events(api, **body))
        else:
            answer = api.post("/v1/responses", json=body)
            assert answer.status_code == 200, answer.text
            response = answer.json()
        assert response["previous_response_id"] == previous
        previous = response["id"]
        sent = json.dumps(simulator.requests(f"turn <{number}> {mark}")[-1]["body"])
        places = [sent.index(f"turn <{earlier}> {mark}") for earlier in range(number + 1)]
        assert places == sorted(places)
