"""What the OpenAPI document says of bodies, held against the answers of the real binary: every operation that it names
is asked, and nothing may come that it does not have."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import open_responses
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from test_authorisation import ASK, DOCUMENT, EXPECTED, OPERATIONS, Operation, World, new_objects, world

__all__ = ["world"]
OURS = "urn:tokenrouter"
OPEN_RESPONSES = "https://raw.githubusercontent.com/openresponses/openresponses/main/public/openapi/openapi.json"


def closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # What adds to a schema of others has their fields beside its own.
    result = {name: value if name == "allOf" else closed(value) for name, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result


def registry(document: Any) -> Registry[Any]:
    found: Registry[Any] = Registry()
    for uri, contents in ((OURS, document), (OPEN_RESPONSES, {"components": {"schemas": open_responses.schemas()}})):
        found = found.with_resource(uri, Resource.from_contents(contents, default_specification=DRAFT202012))
    return found


SCHEMAS = registry(copy.deepcopy(DOCUMENT) | {"components": closed(DOCUMENT["components"])})


def of_the_document(schema: Any) -> Any:
    """With references that find their way from outside of it."""
    return json.loads(json.dumps(schema).replace('"#/components/', f'"{OURS}#/components/'))


def check(schema: Any, value: Any) -> None:
    validator = Draft202012Validator(of_the_document(closed(schema)), registry=SCHEMAS, format_checker=FormatChecker())
    errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
    assert not errors, "\n".join(errors) + f"\n{json.dumps(value)[:2000]}"


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def check_answer(operation: Operation, answer: httpx.Response) -> None:
    responses = described(operation)["responses"]
    told = responses.get(str(answer.status_code), DOCUMENT["components"]["responses"]["Error"])
    kind = answer.headers["content-type"].split(";")[0]
    assert kind in told["content"], f"{operation.id} answers {answer.status_code} with {kind}"
    if kind == "application/json":
        check(told["content"][kind]["schema"], answer.json())


def named(id: str) -> Operation:
    return next(operation for operation in OPERATIONS if operation.id == id)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_what_is_asked_and_answered_is_as_the_document_says(world: World, operation: Operation) -> None:
    expected = EXPECTED[operation.id]
    if expected.body is not None:
        check(described(operation)["requestBody"]["content"]["application/json"]["schema"], expected.body)
    with world.gateway.http(world.keys["own"]) as owner, world.gateway.http(world.keys["wrong"]) as stranger:
        answer = owner.request(operation.method, new_objects(owner, operation.path), json=expected.body)
        assert answer.status_code == expected.own, answer.text
        check_answer(operation, answer)
        if operation.access != "public":
            check_answer(operation, stranger.request(operation.method, operation.path, json=expected.body))


RULE = {"name": "r", "priority": -5, "match_json": {"contains": ["a", "b"], "metadata_equals": {"k": "v"}, "task": "math"},
        "action_json": {"set_mode": "cost", "fallbacks": ["gpt-4o"], "add_warning": {"message": "w"}}}  # fmt: skip
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("create_routing_rule", RULE),
    ("create_routing_rule", {"name": "r", "match_json": "{}", "action_json": '{"set_mode": "cost"}'}),
    ("create_firewall_rule", {"name": "f", "scope": "response", "type": "regex", "pattern": r"(?=a)\d", "action": "mask",
                              "replacement": "x", "normalize": True, "is_enabled": False}),
    ("create_api_key", {"name": "k", "models": ["gpt-4o*"], "monthly_budget_usd": 0.5, "expires_in_days": 3}),
    ("test_firewall_rule", {"text": "abc", "type": "substring", "pattern": "b", "action": "block"}),
    ("update_workspace", {"max_in_flight": None, "monthly_budget_usd": 1000, "task_confidence_percent": 50}),
    ("route_request", {"model": "auto:cost", "input": "Hello", "router_mode": "quality"}),
    ("create_response", ASK | {"metadata": {"a": "b"}, "stream": True}),
    ("create_response", {"model": "auto", "input": [{"role": "user", "content": "Hi"}], "background": True}),
    ("create_response", {"model": "no-such-model", "input": "Hi"}),
    ("create_firewall_rule", {"name": "", "scope": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("id", "body"), BODIES)
def test_fuller_and_wrong_bodies_are_as_the_document_says(world: World, id: str, body: dict[str, Any]) -> None:
    operation = named(id)
    with world.gateway.http(world.gateway.new_workspace()) as api:
        answer = api.request(operation.method, operation.path, json=body)
        if answer.status_code != 422:
            check(described(operation)["requestBody"]["content"]["application/json"]["schema"], body)
        check_answer(operation, answer)


def test_a_log_with_all_that_can_be_in_it_is_as_the_document_says(world: World) -> None:
    with world.gateway.http(world.gateway.new_workspace()) as api:
        assert api.patch("/v1/capture", json={"days": 3}).status_code == 200
        for action in ("warn", "mask", "block"):
            rule = {"name": action, "scope": "prompt", "type": "substring", "pattern": f"please {action}", "action": action}
            assert api.post("/v1/firewall-rules", json=rule).status_code == 201
        assert api.post("/v1/routing-rules", json=RULE | {"match_json": {}}).status_code == 201
        for text in ("Hello", "please warn", "please mask", "please block"):
            answer = api.post("/v1/responses", json={"model": "auto", "input": text})
            check_answer(named("create_response"), answer)
            check_answer(named("get_request"), api.get(f"/v1/requests/{answer.headers['x-request-id']}"))
        check_answer(named("route_request"), api.post("/v1/route", json={"model": "auto", "input": "please block"}))
        for id in ("list_requests", "get_usage"):
            for format in ("json", "csv"):
                check_answer(named(id), api.get(named(id).path, params={"format": format}))
            for query in described(named(id))["parameters"]:
                assert api.get(named(id).path, params={query["name"]: "?"}).status_code in (200, 400), query


def test_the_document_is_sound() -> None:
    """Every schema is one, every reference leads somewhere, and no schema is without use."""
    text = json.dumps(DOCUMENT)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f'"#/components/schemas/{name}"' in text, f"{name} is used nowhere"
    resolver = registry(DOCUMENT).resolver()

    def follow(part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                follow(one)
        elif isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                resolver.lookup(part["$ref"] if "://" in part["$ref"] else OURS + part["$ref"])
            for one in part.values():
                follow(one)

    follow(DOCUMENT)
