"""Who may ask what: every operation of the OpenAPI document against every kind of key.

The document is made from the table that the router is made of. An operation that is not in `EXPECTED` fails here, as
does one that is there and not in the document.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import gateway_process as gp
import httpx
import pytest
from errors import check_error

DOCUMENT = json.loads((gp.ROOT / "docs" / "reference" / "openapi.json").read_text())
# The one model that the restricted key may use is not the one that is asked for.
ASK: dict[str, Any] = {"model": "openai/gpt-4o-mini", "input": "Hi"}
MESSAGES: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
ROUTING_RULE = {"name": "r", "action_json": {"add_warning": {"message": "w"}}}
FIREWALL_RULE = {"name": "f", "scope": "prompt", "type": "substring", "pattern": "zzz", "action": "warn"}
TRIAL = {"text": "a", "type": "substring", "pattern": "a"}


class Operation(NamedTuple):
    id: str
    method: str
    path: str
    access: str


class Expected(NamedTuple):
    """The status for a key of scope `full` of the workspace, of another workspace, and for a key that may use another
    model only; and what is sent."""

    own: int
    other: int
    restricted: int
    body: dict[str, Any] | None = None


OPERATIONS = [
    Operation(described["operationId"], method.upper(), path, described["x-access"])
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
]

# Of those that only a key of scope `full` may ask, the restricted key is refused: 403.
EXPECTED = {
    "cancel_response": Expected(400, 404, 400),
    "check_health": Expected(200, 200, 200),
    "check_readiness": Expected(200, 200, 200),
    "count_input_tokens": Expected(200, 200, 200, ASK),
    "count_message_tokens": Expected(200, 200, 200, MESSAGES),
    "create_api_key": Expected(201, 201, 403, {"name": "k"}),
    "create_chat_completion": Expected(200, 200, 403, MESSAGES),
    "create_conversation": Expected(200, 200, 200, {}),
    "create_conversation_items": Expected(200, 404, 200, {"items": [{"role": "user", "content": "Hi"}]}),
    "create_embeddings": Expected(200, 200, 403, {"model": "text-embedding-3-small", "input": "Hi"}),
    "create_feedback": Expected(200, 404, 404, {"score": 1}),
    "create_firewall_rule": Expected(201, 201, 403, FIREWALL_RULE),
    "create_message": Expected(200, 200, 403, MESSAGES | {"max_tokens": 10}),
    "create_provider_key": Expected(201, 201, 403, {"provider": "openai", "key": "sk-0123456789abcdefghij"}),
    "create_response": Expected(200, 200, 403, ASK),
    "create_routing_rule": Expected(201, 201, 403, ROUTING_RULE),
    "delete_api_key": Expected(200, 404, 403),
    "delete_capture": Expected(200, 200, 403),
    "delete_conversation": Expected(200, 404, 200),
    "delete_conversation_item": Expected(200, 404, 200),
    "delete_firewall_rule": Expected(200, 404, 403),
    "delete_provider_key": Expected(200, 404, 403),
    "delete_response": Expected(200, 404, 200),
    "delete_routing_rule": Expected(200, 404, 403),
    "get_capture": Expected(200, 200, 403),
    "get_conversation": Expected(200, 404, 200),
    "get_conversation_item": Expected(200, 404, 200),
    "get_feedback": Expected(200, 404, 404),
    "get_firewall_rule": Expected(200, 404, 403),
    "get_metrics": Expected(200, 200, 200),
    # Every workspace has the same models.
    "get_model": Expected(200, 200, 404),
    "get_provider_key": Expected(200, 404, 403),
    "get_request": Expected(200, 404, 403),
    "get_response": Expected(200, 404, 200),
    "get_response_route": Expected(200, 404, 404),
    "get_routing_rule": Expected(200, 404, 403),
    "get_usage": Expected(200, 200, 403),
    # Each sees its own.
    "get_workspace": Expected(200, 200, 403),
    "list_api_keys": Expected(200, 200, 403),
    "list_conversation_items": Expected(200, 404, 200),
    "list_firewall_rules": Expected(200, 200, 403),
    "list_input_items": Expected(200, 404, 200),
    "list_models": Expected(200, 200, 200),
    "list_provider_keys": Expected(200, 200, 403),
    "list_requests": Expected(200, 200, 403),
    "list_routing_rules": Expected(200, 200, 403),
    # Without the headers of a WebSocket's beginning; the key is looked at before.
    "open_responses_socket": Expected(405, 405, 405),
    "replay_response": Expected(200, 404, 200, {}),
    "route_request": Expected(200, 200, 403, ASK),
    "test_firewall_rule": Expected(200, 200, 403, TRIAL),
    "test_provider_key": Expected(200, 404, 403),
    "update_capture": Expected(200, 200, 403, {"days": 7}),
    "update_conversation": Expected(200, 404, 200, {"metadata": {"a": "b"}}),
    "update_firewall_rule": Expected(200, 404, 403, {"priority": 1}),
    "update_provider_key": Expected(200, 404, 403, {"weight": 2}),
    "update_routing_rule": Expected(200, 404, 403, {"priority": 1}),
    "update_workspace": Expected(200, 200, 403, {"max_in_flight": 1000}),
}
# A key that manages nothing has to do with its own requests alone.
OF_THE_REQUEST = {"create_feedback", "get_feedback", "get_response_route"}


class World(NamedTuple):
    gateway: gp.Gateway
    keys: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    environment = {"TOKENROUTER_VAULT__MASTER_KEYS": "1=env:MASTER", "MASTER": "5a" * 32}
    gateway = gp.start_gateway(tmp_path_factory.mktemp("authorisation") / "t.db", environment=environment)
    owner = gateway.new_workspace()
    keys = {"own": owner, "other": gateway.new_workspace(), "wrong": "tr_" + "0" * 48}
    with gateway.http(owner) as api:
        keys["inference"] = make(api, scope="inference")["key"]
        keys["restricted"] = make(api, models=["anthropic/claude-haiku-*"])["key"]
        revoked = make(api)
        keys["revoked"] = revoked["key"]
        assert api.delete(f"/v1/api-keys/{revoked['id']}").status_code == 200
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=200)
        keys["expired"] = make(api, expires_at=soon.isoformat())["key"]
    with gateway.http(keys["expired"]) as api:
        gp.until(lambda: api.get("/v1/models").status_code == 401, "the key's end")
    yield World(gateway, keys)
    assert gateway.stop() == 0, gateway.process.stderr


def make(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.post("/v1/api-keys", json={"name": "k"} | fields).json()["data"]
    return made


def new_objects(api: httpx.Client, path: str) -> str:
    """The path with the ids of objects of the workspace's own, made for this one request."""
    ids: dict[str, Any] = {}
    if path.startswith("/v1/responses/{id}"):
        ids["id"] = api.post("/v1/responses", json=ASK).json()["id"]
        assert api.post(f"/v1/responses/{ids['id']}/feedback", json={"score": 1}).status_code == 200
    elif path.startswith("/v1/requests/{id}"):
        ids["id"] = api.post("/v1/responses", json=ASK).headers["x-request-id"]
    elif path.startswith("/v1/conversations/{id}"):
        ids["id"] = api.post("/v1/conversations", json={}).json()["id"]
        said = {"items": [{"role": "user", "content": "Hi"}]}
        ids["item_id"] = api.post(f"/v1/conversations/{ids['id']}/items", json=said).json()["data"][0]["id"]
    elif path.startswith("/v1/models/{id}"):
        ids["id"] = "openai/gpt-4o-mini"
    elif "{id}" in path:
        kind = path.split("/")[2]
        bodies = {
            "routing-rules": ROUTING_RULE,
            "firewall-rules": FIREWALL_RULE,
            "api-keys": {"name": "k"},
            "provider-keys": {"provider": "openai", "key": "sk-0123456789abcdefghij"},
        }
        ids["id"] = api.post(f"/v1/{kind}", json=bodies[kind]).json()["data"]["id"]
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", str(value))
    assert "{" not in path, path
    return path


def test_the_document_and_the_matrix_name_the_same_operations() -> None:
    ids = [operation.id for operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(EXPECTED)
    assert {operation.access for operation in OPERATIONS} == {"public", "caller", "admin"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_key_is_answered_as_the_matrix_says(world: World, operation: Operation) -> None:
    expected = EXPECTED[operation.id]

    def ask(key: str | None, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=world.gateway.url, headers=headers, timeout=30, trust_env=False) as client:
            return client.request(operation.method, path, json=expected.body)

    with world.gateway.http(world.keys["own"]) as owner:
        path = new_objects(owner, operation.path)
        if operation.access == "public":
            for key in (None, *world.keys.values()):
                assert ask(key, path).status_code == expected.own
            return
        for key in (None, *(world.keys[kind] for kind in ("wrong", "expired", "revoked"))):
            refused = ask(key, path)
            assert refused.status_code == 401 and "API key" in refused.json()["error"]["message"], refused.text
        other = ask(world.keys["other"], path)
        assert other.status_code == expected.other, other.text
        limited = ask(world.keys["restricted"], path)
        assert limited.status_code == expected.restricted, limited.text
        if operation.access == "admin":
            check_error(limited, 403, "authorization_error", "key_not_allowed")
            check_error(ask(world.keys["inference"], path), 403, "authorization_error", "key_not_allowed")
        else:
            if expected.restricted == 403:
                assert "may not use" in limited.json()["error"]["message"]
            path = new_objects(owner, operation.path)
            answer = ask(world.keys["inference"], path)
            wanted = 404 if operation.id in OF_THE_REQUEST else expected.own
            assert answer.status_code == wanted, answer.text
        path = new_objects(owner, operation.path)
        answer = ask(world.keys["own"], path)
        assert answer.status_code == expected.own, answer.text


def test_another_workspaces_lists_hold_nothing_of_it(world: World) -> None:
    lists = [operation for operation in OPERATIONS if operation.id.startswith("list_") and "{" not in operation.path]
    assert {operation.id for operation in lists} >= {"list_api_keys", "list_provider_keys", "list_requests"}
    with world.gateway.http(world.keys["own"]) as owner, world.gateway.http(world.gateway.new_workspace()) as other:
        for operation in lists:
            if operation.id == "list_models":
                continue
            made = {str(row["id"]) for row in owner.get(operation.path).json()["data"]}
            seen = {str(row["id"]) for row in other.get(operation.path).json()["data"]}
            assert made and not made & seen, operation.id
