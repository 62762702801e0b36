"""Ways round a firewall that have worked elsewhere, each with what becomes of it here; and every field of the
request's schema that can hold text, each with the request that shows it covered."""

from __future__ import annotations

import base64
import json
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error
from open_responses import schemas
from response_stream import check_order, events, streamed_text, text_of

MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "mistral/mistral-large-latest", "gemini/gemini-3.5-flash"]
SECRET = "SECRET"


def rule(api: httpx.Client, pattern: str, action: str, scope: str = "prompt", type: str = "substring", **more: Any) -> int:
    body = {"name": "Rule", "scope": scope, "type": type, "pattern": pattern, "action": action} | more
    answer = api.post("/v1/firewall-rules", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["data"]["id"])


# Prompts.


def user(*parts: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


def text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def tool_turn(arguments: str, output: Any) -> dict[str, Any]:
    return {
        "input": [
            {"role": "user", "content": "Hello"},
            {"type": "function_call", "call_id": "call_12345", "name": "note", "arguments": arguments},
            {"type": "function_call_output", "call_id": "call_12345", "output": output},
        ]
    }


def data_url(raw: bytes, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


FILE = {"type": "input_file", "filename": "notes.txt"}
# What a rule on `secret` sees of a prompt, with and without `normalize`.
EVASIONS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "as it is": ({"input": "a SECRET here"}, True, True),
    "in another case": ({"input": "a sEcReT here"}, True, True),
    "split over two parts": (user(text("SEC"), text("RET")), False, False),
    "split over two messages": (
        {"input": [{"role": "user", "content": "SEC"}, {"role": "user", "content": "RET"}]}, False, False,
    ),
    "in the instructions": ({"input": "Hi", "instructions": "SECRET"}, True, True),
    "in tool arguments": (tool_turn('{"a": "SECRET"}', "done"), True, True),
    "in tool arguments as JSON escapes": (tool_turn('{"a": "\\u0053\\u0045CRET"}', "done"), True, True),
    "in a tool's result": (tool_turn("{}", "it is SECRET"), True, True),
    "in a part of a tool's result": (tool_turn("{}", [text("it is SECRET")]), True, True),
    "in a file": (user(text("Read"), FILE | {"file_data": data_url(b"it is SECRET")}), True, True),
    "in a file's name": (user(text("Read"), FILE | {"filename": "SECRET.txt", "file_data": data_url(b"x")}), True, True),
    "in a file as UTF-16": (user(text("Read"), FILE | {"file_data": data_url("SECRET".encode("utf-16"))}), True, True),
    "with marks of no width": ({"input": "S\u200bE\u2060C\ufeffR\u00adE\u200dT"}, False, True),
    "with marks of direction": ({"input": "SE\u202eCR\u2066ET"}, False, True),
    "in full-width letters": ({"input": "ＳＥＣＲＥＴ"}, False, True),
    "in letters of mathematics": ({"input": "𝐒𝐄𝐂𝐑𝐄𝐓"}, False, True),
    "in letters that look alike": ({"input": "ЅЕСRЕТ"}, False, True),
}  # fmt: skip


@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize("way", EVASIONS)
def test_a_way_round_a_prompt_rule_ends_as_is_written_here(
    api: httpx.Client, simulator: gp.Simulator, mark: str, way: str, normalize: bool
) -> None:
    body, plainly, normalized = EVASIONS[way]
    seen = normalized if normalize else plainly
    rule_id = rule(api, "secret", "block", normalize=normalize)
    # OpenAI's models read files, too.
    request = {"model": MODELS[0], "user": mark} | body
    answer = api.post("/v1/responses", json=request)
    assert (answer.status_code == 422) is seen, answer.text
    assert bool(simulator.requests(mark)) is not seen
    api.patch(f"/v1/firewall-rules/{rule_id}", json={"action": "mask", "replacement": "[gone]"})
    answer = api.post("/v1/responses", json=request)
    assert answer.status_code == 200, answer.text
    assert [hit["matches"] for hit in answer.json()["tokenrouter"]["firewall"]] == ([1] if seen else [])


@pytest.mark.parametrize("model", MODELS)
def test_full_width_digits_are_digits_to_a_rule_that_normalizes(api: httpx.Client, model: str) -> None:
    rule(api, "credit_card", "mask", scope="response", type="detector", normalize=True, replacement="[card]")
    said = "say exactly: pay ４５３２-0151\u200b-1283-0366 now, nаïve １２"
    plain = api.post("/v1/responses", json={"model": model, "input": said}).json()
    assert text_of(plain) == "pay [card] now, nаïve １２"
    assert streamed_text(events(api, model=model, input=said)) == text_of(plain)


@pytest.mark.parametrize("model", MODELS)
def test_a_word_split_over_chunks_is_one_word(api: httpx.Client, model: str) -> None:
    """The simulator streams word by word: the pattern spans three chunks."""
    rule(api, r"one\s+two\s+three(?! four)", "mask", scope="response", type="regex", replacement="#")
    said = "say exactly: one two three five one two three four"
    final = check_order(events(api, model=model, input=said))
    assert text_of(final) == "# five one two three four"


# Every field of the schema.

WEATHER = {"type": "function", "name": "note", "parameters": {"type": "object", "properties": {}}}
FORM = {"type": "json_schema", "name": "town", "schema": {"type": "object"}}


def message(role: str, content: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "Hi"}, {"type": "message", "role": role, "content": content}, {"role": "user", "content": "?"}]}


COVERED: dict[str, dict[str, Any]] = {
    "AssistantMessageItemParam.content": message("assistant", SECRET),
    "CreateResponseBody.input": {"input": SECRET},
    "CreateResponseBody.instructions": {"input": "Hi", "instructions": SECRET},
    "CreateResponseBody.prompt_cache_key": {"input": "Hi", "prompt_cache_key": SECRET},
    "CreateResponseBody.safety_identifier": {"input": "Hi", "safety_identifier": SECRET},
    "DeveloperMessageItemParam.content": message("developer", SECRET),
    "FunctionCallItemParam.arguments": tool_turn('{"SECRET": 1}', "done"),
    "FunctionCallItemParam.name": {
        "input": [{"type": "function_call", "call_id": "call_12345", "name": SECRET, "arguments": "{}"},
                  {"type": "function_call_output", "call_id": "call_12345", "output": "x"}]
    },
    "FunctionCallOutputItemParam.output": tool_turn("{}", SECRET),
    "FunctionToolParam.description": {"input": "Hi", "tools": [WEATHER | {"description": SECRET}]},
    "FunctionToolParam.name": {"input": "Hi", "tools": [WEATHER | {"name": SECRET}]},
    "InputFileContentParam.file_data": user(FILE | {"file_data": data_url(SECRET.encode())}),
    "InputFileContentParam.file_url": user(FILE | {"file_url": "https://h.example/SECRET"}),
    "InputFileContentParam.filename": user(FILE | {"filename": SECRET, "file_data": data_url(b"x")}),
    "InputImageContentParamAutoParam.image_url": user({"type": "input_image", "image_url": "https://h.example/SECRET"}),
    "InputTextContentParam.text": user(text(SECRET)),
    "InputVideoContent.video_url": user({"type": "input_video", "video_url": "https://h.example/SECRET"}),
    "JsonSchemaResponseFormatParam.description": {"input": "Hi", "text": {"format": FORM | {"description": SECRET}}},
    "JsonSchemaResponseFormatParam.name": {"input": "Hi", "text": {"format": FORM | {"name": SECRET}}},
    "OutputTextContentParam.text": message("assistant", [{"type": "output_text", "text": SECRET}]),
    "ReasoningSummaryContentParam.text": {
        "input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": SECRET}], "encrypted_content": "x"},
                  {"role": "user", "content": "Hi"}]
    },
    "RefusalContentParam.refusal": message("assistant", [{"type": "refusal", "refusal": SECRET}]),
    "SpecificFunctionParam.name": {
        "input": "Hi", "tools": [WEATHER | {"name": SECRET}], "tool_choice": {"type": "function", "name": SECRET}
    },
    "SystemMessageItemParam.content": message("system", SECRET),
    "UrlCitationParam.title": message("assistant", [{"type": "output_text", "text": "x", "annotations": [
        {"type": "url_citation", "title": SECRET, "url": "https://h.example", "start_index": 0, "end_index": 1}]}]),
    "UrlCitationParam.url": message("assistant", [{"type": "output_text", "text": "x", "annotations": [
        {"type": "url_citation", "title": "t", "url": "https://h.example/SECRET", "start_index": 0, "end_index": 1}]}]),
    "UserMessageItemParam.content": message("user", SECRET),
}  # fmt: skip

# Not text that a provider reads, and why.
EXEMPT = {
    "CreateResponseBody.model": "names a model that exists, or is refused",
    "CreateResponseBody.previous_response_id": "an id of ours, never sent on",
    "MetadataParam{}": "kept, never sent on",
    "ReasoningItemParam.encrypted_content": "a provider's own cipher",
} | {
    f"{item}.{field}": "an id or a word that is checked"
    for item in (
        "AssistantMessageItemParam", "DeveloperMessageItemParam", "FunctionCallItemParam", "FunctionCallOutputItemParam",
        "ItemReferenceParam", "ReasoningItemParam", "SystemMessageItemParam", "UserMessageItemParam",
    )
    for field in ("id", "status", "call_id")
}  # fmt: skip


def text_fields() -> set[str]:
    """Every place of a request that the schema says can hold a string, but for fixed words."""
    found: set[str] = set()

    def walk(node: Any, owner: str, path: str, within: frozenset[str]) -> None:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            if name not in within:
                walk(schemas()[name], name, name, within | {name})
            return
        for key in ("anyOf", "oneOf", "allOf"):
            for inner in node.get(key, []):
                walk(inner, owner, path, within)
        if node.get("type") == "string" and "enum" not in node:
            found.add(path)
        for name, inner in node.get("properties", {}).items():
            walk(inner, owner, f"{owner}.{name}", within)
        if "items" in node:
            walk(node["items"], owner, f"{path}[]", within)
        if isinstance(node.get("additionalProperties"), dict):
            walk(node["additionalProperties"], owner, f"{path}{{}}", within)

    root = "CreateResponseBody"
    walk(schemas()[root], root, root, frozenset({root}))
    return found


def test_every_text_of_the_schema_is_covered_or_exempt_for_a_reason() -> None:
    assert text_fields() - set(EXEMPT) == set(COVERED)


@pytest.mark.parametrize("field", COVERED)
def test_a_field_that_holds_text_is_screened(api: httpx.Client, simulator: gp.Simulator, mark: str, field: str) -> None:
    rule(api, "secret", "block")
    answer = api.post("/v1/responses", json={"model": MODELS[0], "user": mark} | COVERED[field])
    check_error(answer, 422, "firewall_error", "firewall_blocked")
    assert simulator.requests(mark) == []


# Detectors, shadow rules, counts.


def test_a_detector_masks_what_it_is_for(api: httpx.Client) -> None:
    rule(api, "credit_card", "mask", scope="response", type="detector", replacement="[card]")
    said = "say exactly: 4532-0151-1283-0366 is one, 4532-0151-1283-0367 is none"
    plain = api.post("/v1/responses", json={"model": MODELS[0], "input": said}).json()
    assert text_of(plain) == "[card] is one, 4532-0151-1283-0367 is none"
    assert streamed_text(events(api, model=MODELS[0], input=said)) == text_of(plain)
    body = {"name": "x", "scope": "prompt", "type": "detector", "pattern": "passport", "action": "mask"}
    error = check_error(api.post("/v1/firewall-rules", json=body), 422, "validation_error", "validation_failed")
    assert "credit_card" in json.dumps(error["errors"]["pattern"])


def test_a_shadow_rule_counts_and_tells_nobody(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    rule_id = rule(api, "secret", "shadow")
    for stream in (False, True):
        body = {"model": MODELS[0], "input": f"{mark} a secret, secret"}
        told = (events(api, **body)[-1]["response"] if stream else api.post("/v1/responses", json=body).json())
        assert told["tokenrouter"]["firewall"] == [] and told["tokenrouter"]["warnings"] == []
        assert "warnings" not in told["metadata"]
    assert all("a secret, secret" in json.dumps(sent["body"]) for sent in simulator.requests(mark))
    counted = api.get(f"/v1/firewall-rules/{rule_id}").json()["data"]
    assert counted["hits"] == 4 and counted["last_hit_at"]


def test_matches_are_counted_for_every_rule(api: httpx.Client) -> None:
    masked, blocked = rule(api, "tea", "mask"), rule(api, "gin", "block")
    api.post("/v1/responses", json={"model": MODELS[0], "input": "tea and tea"})
    api.post("/v1/responses", json={"model": MODELS[0], "input": "gin"})
    hits = {one["id"]: one["hits"] for one in api.get("/v1/firewall-rules").json()["data"]}
    assert hits == {masked: 2, blocked: 1}
