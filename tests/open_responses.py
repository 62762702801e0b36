"""The Open Responses schema as a judge of responses and events."""

from __future__ import annotations

import functools
import json
from typing import Any

from gateway_process import SHARED
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_URI = "urn:open-responses"


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SHARED / "spec" / "open-responses.openapi.json").read_text())
    # The published document allows nothing but null here: its generator has left out the other half, the
    # JSON Schema that the request gave, which OpenAI's API answers and its clients' types ask for.
    schema = document["components"]["schemas"]["JsonSchemaResponseFormat"]["properties"]["schema"]
    assert schema == {"anyOf": [{"type": "null"}]}, "the document has changed: look again"
    schema["anyOf"].append({"type": "object"})
    return document


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = _document()["components"]["schemas"]
    return found


@functools.cache
def _validator(schema: str) -> Draft202012Validator:
    resource = Resource.from_contents(_document(), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource(_URI, resource)
    return Draft202012Validator({"$ref": f"{_URI}#/components/schemas/{schema}"}, registry=registry)


@functools.cache
def event_schemas() -> dict[str, str]:
    """The name of the schema for each event's type."""
    found: dict[str, str] = {}
    for name, schema in _document()["components"]["schemas"].items():
        if name.endswith("StreamingEvent"):
            for kind in schema["properties"]["type"]["enum"]:
                found[kind] = name
    return found


def check(schema: str, value: Any) -> None:
    errors = [
        f"{error.json_path}: {error.message[:300]}" for error in sorted(_validator(schema).iter_errors(value), key=str)
    ]
    assert not errors, f"not a {schema}:\n" + "\n".join(errors) + f"\n{json.dumps(value)[:3000]}"


def check_response(response: dict[str, Any]) -> None:
    check("ResponseResource", response)


def check_event(event: dict[str, Any]) -> None:
    schema = event_schemas().get(event["type"])
    assert schema, f"Open Responses has no event `{event['type']}`"
    check(schema, event)
