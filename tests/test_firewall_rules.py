"""Firewall rules: their life over HTTP, what they do to prompts and answers, plain and streamed alike."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import sqlite3
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_envelope, check_error
from response_stream import check_order, events, streamed_text, text_of

RULE = {
    "name": "A rule",
    "priority": 5,
    "is_enabled": True,
    "scope": "prompt",
    "type": "substring",
    "pattern": "tea",
    "action": "mask",
    "replacement": "[no tea]",
}
MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-3.5-flash", "mistral/mistral-large-latest"]


def create(
    api: httpx.Client, pattern: str, action: str, scope: str = "prompt", type: str = "substring", **more: Any
) -> int:
    body = {"name": "Rule", "scope": scope, "type": type, "pattern": pattern, "action": action} | more
    answer = api.post("/v1/firewall-rules", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["data"]["id"])


def ask(api: httpx.Client, text: Any, **body: Any) -> httpx.Response:
    return api.post("/v1/responses", json={"model": MODELS[0], "input": text} | body)


def answered(api: httpx.Client, text: Any, **body: Any) -> dict[str, Any]:
    answer = ask(api, text, **body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def sent_text(simulator: gp.Simulator, mark: str) -> str:
    """The body of the only request with `mark` that a provider was sent."""
    [request] = simulator.requests(mark)
    return json.dumps(request["body"], ensure_ascii=False)


def test_a_rule_is_created_listed_changed_and_deleted(api: httpx.Client) -> None:
    answer = api.post("/v1/firewall-rules", json=RULE)
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert {key: made[key] for key in RULE} == RULE
    assert isinstance(made["id"], int) and isinstance(made["user_id"], int)
    for at in ("created_at", "updated_at"):
        assert datetime.datetime.fromisoformat(made[at]).tzinfo is not None
    path = f"/v1/firewall-rules/{made['id']}"
    assert api.get(path).json() == {"data": made}
    assert api.get("/v1/firewall-rules").json() == {"data": [made]}
    changed = api.patch(path, json={"action": "warn", "replacement": None}).json()["data"]
    assert changed | {"updated_at": ""} == made | {"action": "warn", "replacement": None, "updated_at": ""}
    deleted = api.delete(path)
    assert (deleted.status_code, deleted.json()) == (200, {"success": True})
    check_error(api.get(path), 404, "not_found_error", "not_found")


def test_lists_hold_every_rule_highest_priority_first_and_older_first_among_equals(api: httpx.Client) -> None:
    ids = [create(api, "tea", "warn", priority=priority) for priority in (0, 5, 5, -1000, 1000)]
    listed = [rule["id"] for rule in api.get("/v1/firewall-rules").json()["data"]]
    assert listed == [ids[4], ids[1], ids[2], ids[0], ids[3]]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 129}, {"name"}),
        ({"priority": 1001}, {"priority"}),
        ({"priority": "high"}, {"priority"}),
        ({"is_enabled": 1}, {"is_enabled"}),
        ({"scope": "both"}, {"scope"}),
        ({"scope": None}, {"scope"}),
        ({"type": "glob"}, {"type"}),
        ({"action": "delete"}, {"action"}),
        ({"pattern": ""}, {"pattern"}),
        ({"pattern": 7}, {"pattern"}),
        ({"replacement": 7}, {"replacement"}),
        ({"type": "regex", "pattern": "(unclosed"}, {"pattern"}),
        ({"scope": "x", "type": "y", "action": "z", "name": ""}, {"scope", "type", "action", "name"}),
    ],
)
def test_a_rule_that_is_not_valid_is_refused_with_a_message_for_each_field(
    api: httpx.Client, change: dict[str, Any], fields: set[str]
) -> None:
    error = check_error(
        api.post("/v1/firewall-rules", json=RULE | change), 422, "validation_error", "validation_failed"
    )
    assert set(error["errors"]) == fields
    for messages in error["errors"].values():
        assert messages and all(isinstance(message, str) and message for message in messages)
    assert api.get("/v1/firewall-rules").json() == {"data": []}


@pytest.mark.parametrize(
    ("pattern", "position"), [("(unclosed", "0"), ("abc[z-a]", "4"), ("ab**+c)", "3"), ("*x", "0"), ("x{3,1}", "1")]
)
def test_a_pattern_that_does_not_compile_is_refused_with_the_position_of_the_mistake(
    api: httpx.Client, pattern: str, position: str
) -> None:
    answer = api.post("/v1/firewall-rules", json=RULE | {"type": "regex", "pattern": pattern})
    error = check_error(answer, 422, "validation_error", "validation_failed")
    assert position in " ".join(error["errors"]["pattern"]), error


def test_a_change_that_is_not_valid_changes_nothing(api: httpx.Client) -> None:
    path = f"/v1/firewall-rules/{create(api, 'tea', 'block')}"
    before = api.get(path).json()
    # The pattern is a valid substring, and no regular expression.
    api.patch(path, json={"pattern": "(tea"})
    before["data"] |= {"pattern": "(tea"}
    error = check_error(api.patch(path, json={"type": "regex"}), 422, "validation_error", "validation_failed")
    assert set(error["errors"]) & {"pattern", "type"}
    after = api.get(path).json()
    assert after["data"] | {"updated_at": ""} == before["data"] | {"updated_at": ""}


def test_another_workspaces_rule_does_not_exist_and_does_not_act(api: httpx.Client, other_api: httpx.Client) -> None:
    path = f"/v1/firewall-rules/{create(api, 'tea', 'block')}"
    check_error(other_api.get(path), 404, "not_found_error", "not_found")
    check_error(other_api.patch(path, json={"priority": 1}), 404, "not_found_error", "not_found")
    check_error(other_api.delete(path), 404, "not_found_error", "not_found")
    assert answered(other_api, "say exactly: tea")["tokenrouter"]["firewall"] == []


def test_a_blocked_prompt_reaches_no_provider_plain_or_streamed(
    api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    rule_id = create(api, r"\d{4}-\d{4}", "block", type="regex", name="No numbers")
    for stream in (False, True):
        answer = ask(api, f"{mark} it is 1234-5678", stream=stream)
        error = check_error(answer, 422, "firewall_error", "firewall_blocked")
        assert str(rule_id) in error["message"] and "No numbers" in error["message"]
        assert "1234" not in answer.text
    assert simulator.requests(mark) == []


PROMPTS: dict[str, dict[str, Any]] = {
    "input": {"input": "{} SECRET"},
    "instructions": {"instructions": "{} SECRET", "input": "Hello"},
    "an earlier message": {"input": [{"role": "user", "content": "{} SECRET"}, {"role": "user", "content": "Hello"}]},
    "a system message": {"input": [{"role": "system", "content": "{} SECRET"}, {"role": "user", "content": "Hello"}]},
    "a content part": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "{} SECRET"}]}]},
    "a tool's output": {
        "input": [
            {"role": "user", "content": "Hello"},
            {"type": "function_call", "call_id": "call_12345", "name": "f", "arguments": "{{}}"},
            {"type": "function_call_output", "call_id": "call_12345", "output": "{} SECRET"},
        ]
    },
}  # fmt: skip


def filled(value: Any, mark: str) -> Any:
    if isinstance(value, str):
        return value.format(mark)
    if isinstance(value, list):
        return [filled(one, mark) for one in value]
    return {key: filled(one, mark) for key, one in value.items()}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("place", PROMPTS)
def test_a_prompt_is_masked_in_every_text_that_reaches_the_provider(
    api: httpx.Client, simulator: gp.Simulator, mark: str, place: str, model: str
) -> None:
    rule_id = create(api, "secret", "mask", replacement="[gone]")
    response = api.post("/v1/responses", json={"model": model} | filled(PROMPTS[place], mark))
    assert response.status_code == 200, response.text
    sent = sent_text(simulator, mark)
    assert f"{mark} [gone]" in sent and "SECRET" not in sent
    assert response.json()["tokenrouter"]["firewall"] == [
        {"rule_id": rule_id, "action": "mask", "scope": "prompt", "matches": 1}
    ]


@pytest.mark.parametrize("place", PROMPTS)
def test_a_block_looks_at_every_text_that_would_reach_the_provider(
    api: httpx.Client, simulator: gp.Simulator, mark: str, place: str
) -> None:
    create(api, "secret", "block")
    answer = api.post("/v1/responses", json={"model": MODELS[0]} | filled(PROMPTS[place], mark))
    check_error(answer, 422, "firewall_error", "firewall_blocked")
    assert simulator.requests(mark) == []


def test_a_mask_without_a_replacement_says_redacted(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    create(api, "secret", "mask")
    answered(api, f"{mark} a secret")
    assert f"{mark} a [redacted]" in sent_text(simulator, mark)


def test_a_warning_leaves_the_prompt_as_it_is(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    rule_id = create(api, "secret", "warn", name="Watch out")
    response = answered(api, f"{mark} a secret")
    assert f"{mark} a secret" in sent_text(simulator, mark)
    [warning] = [w for w in response["tokenrouter"]["warnings"] if w["rule_id"] == rule_id]
    assert "secret" not in warning["message"]
    assert response["metadata"]["warnings"]


def test_rules_of_a_scope_leave_the_other_alone(api: httpx.Client, simulator: gp.Simulator, mark: str) -> None:
    create(api, "tea", "mask", scope="prompt", replacement="coffee")
    create(api, "milk", "mask", scope="response", replacement="cream")
    response = answered(api, f"say exactly: {mark} tea and milk")
    assert text_of(response) == f"{mark} coffee and cream"
    assert f"{mark} coffee and milk" in sent_text(simulator, mark)


def test_a_higher_priority_masks_before_a_lower_one_blocks(api: httpx.Client) -> None:
    create(api, "secret", "mask", priority=1, replacement="x")
    block = create(api, "secret", "block", priority=0)
    assert answered(api, "a secret")["status"] == "completed"
    api.patch(f"/v1/firewall-rules/{block}", json={"priority": 2})
    check_error(ask(api, "a secret"), 422, "firewall_error", "firewall_blocked")


def test_a_disabled_rule_does_nothing(api: httpx.Client) -> None:
    rule_id = create(api, "secret", "block", is_enabled=False)
    assert answered(api, "a secret")["tokenrouter"]["firewall"] == []
    api.patch(f"/v1/firewall-rules/{rule_id}", json={"is_enabled": True})
    check_error(ask(api, "a secret"), 422, "firewall_error", "firewall_blocked")


@pytest.mark.parametrize(
    ("type", "pattern", "text", "masked"),
    [
        ("substring", "Straße", "die STRASSE hier", "die # hier"),
        ("substring", "a.c", "abc a.c A.C", "abc # #"),
        ("regex", "colou?r", "Color COLOUR", "# #"),
        ("regex", "/colou?r/", "Color color", "Color #"),
        ("regex", "/colou?r/i", "Color COLOUR", "# #"),
        ("regex", r"(?i:a)b", "ab Ab", "# #"),
        ("regex", r"^start", "start and start", "# and start"),
        ("regex", r"\bcat\b", "cat concat cat", "# concat #"),
        ("regex", "é+", "caféé", "caf#"),
    ],
)
def test_a_pattern_matches_as_documented(api: httpx.Client, type: str, pattern: str, text: str, masked: str) -> None:
    create(api, pattern, "mask", scope="response", type=type, replacement="#")
    assert text_of(answered(api, f"say exactly: {text}")) == masked
    assert streamed_text(events(api, model=MODELS[0], input=f"say exactly: {text}")) == masked


MASKS = {
    "social security": r"\d{3}-\d{2}-\d{4}",
    "phone": r"\+?1?\s?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}",
    "email": r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
    "api key": r"sk-[a-zA-Z0-9]{32,}",
    "credit card": r"\d{4}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}",
}
TEXTS = [
    "jane.doe@example.com",
    "mail jane.doe@example.com, or joe@b.co.uk. Or nobody@nowhere",
    "call +1 (555) 123-4567 or 555.123.4567 or 5551234567 now",
    "ssn 123-45-6789 and 123-45-678 and 9123-45-67890",
    "key sk-" + "a1B2" * 8 + " and sk-short and sk-" + "Z" * 40,
    "cards 4532-1234-5678-9010 4532 1234 5678 9010 4532123456789010 4532-1234-5678",
    "1234567890" * 12,
    "äöü 4532-1234-5678-9010 日本語 jane@example.com 🙂 123-45-6789 🙂",
    "a@b.cc@d.ee and a@@b.cc " * 5,
    "nothing of the kind at all",
]


@pytest.mark.parametrize("model", MODELS)
def test_streamed_text_is_the_plain_text_for_every_pattern_and_prompt(api: httpx.Client, model: str) -> None:
    for name, pattern in MASKS.items():
        create(api, pattern, "mask", scope="response", type="regex", name=name, replacement=f"<{name}>")
    for text in TEXTS:
        body: dict[str, Any] = {"model": model, "input": f"say exactly: {text}"}
        plain = answered(api, body["input"], model=model)
        stream = events(api, **body)
        final = check_order(stream)
        assert streamed_text(stream) == text_of(plain) == text_of(final), text
        assert final["tokenrouter"]["firewall"] == plain["tokenrouter"]["firewall"]
        stored = api.get(f"/v1/responses/{final['id']}").json()
        assert text_of(stored) == text_of(plain)
        assert "4532-1234-5678-9010" not in json.dumps([stream, stored])


def test_what_is_masked_in_an_answer_is_nowhere_on_the_wire_or_in_the_store(api: httpx.Client) -> None:
    create(api, "hunter2", "mask", scope="response")
    with api.stream(
        "POST", "/v1/responses", json={"model": MODELS[0], "input": "say exactly: pw hunter2!", "stream": True}
    ) as answer:
        raw = answer.read().decode()
    assert "[redacted]" in raw and "hunter2" not in raw
    response = answered(api, "say exactly: pw hunter2!")
    stored = api.get(f"/v1/responses/{response['id']}").json()
    assert text_of(response) == text_of(stored) == "pw [redacted]!"
    replayed = events(api, f"/v1/responses/{response['id']}")
    assert streamed_text(replayed) == "pw [redacted]!"


@pytest.mark.parametrize("model", MODELS)
def test_a_blocked_answer_is_refused_plain(api: httpx.Client, model: str) -> None:
    create(api, r"\d{3}-\d{2}-\d{4}", "block", scope="response", type="regex", name="No numbers")
    answer = ask(api, "say exactly: it is 123-45-6789", model=model)
    error = check_error(answer, 422, "firewall_error", "firewall_blocked")
    assert "No numbers" in error["message"] and "123-45" not in answer.text


@pytest.mark.parametrize("model", MODELS)
def test_a_block_in_mid_stream_fails_it_and_nothing_of_the_match_has_left(api: httpx.Client, model: str) -> None:
    # No letter of it can stand in an id, which is of hexadecimal digits.
    create(api, r"[k-z]{3}-[k-z]{2}-[k-z]{4}", "block", scope="response", type="regex", name="No numbers")
    body = {
        "model": model,
        "input": "say exactly: the number that you asked for is qxz-vw-zyxw, is it not",
        "stream": True,
    }
    with api.stream("POST", "/v1/responses", json=body) as answer:
        assert answer.status_code == 200
        raw = answer.read().decode()
    for part in ("qxz", "vw-", "zyxw", "is it not"):
        assert part not in raw
    stream = [json.loads(line[5:]) for line in raw.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    assert "the number that you asked for is" in streamed_text(stream)
    assert stream[-1]["type"] == "response.failed"
    failed = stream[-1]["response"]
    assert failed["status"] == "failed"
    check_envelope(failed["error"])
    assert (failed["error"]["type"], failed["error"]["code"]) == ("firewall_error", "firewall_blocked")
    assert (failed["error"]["http_status"], failed["error"]["request_id"]) == (422, answer.headers["x-request-id"])


def test_text_that_can_be_part_of_no_match_is_not_held_back(api: httpx.Client) -> None:
    create(api, "zebra", "block", scope="response")
    stream = events(api, model=MODELS[0], input="say exactly: one two three four five six seven eight nine ten")
    deltas = [event["delta"] for event in stream if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 3


def test_arguments_of_a_call_are_screened(api: httpx.Client) -> None:
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    body: dict[str, Any] = {"model": MODELS[0], "input": "Please call get_weather for Paris.", "tools": [tool]}
    [call] = [item for item in api.post("/v1/responses", json=body).json()["output"] if item["type"] == "function_call"]
    city = json.loads(call["arguments"])["city"]
    create(api, city, "mask", scope="response", replacement="Elsewhere")
    [masked] = [
        item for item in api.post("/v1/responses", json=body).json()["output"] if item["type"] == "function_call"
    ]
    assert json.loads(masked["arguments"])["city"] == "Elsewhere"
    final = check_order(events(api, **body))
    [streamed] = [item for item in final["output"] if item["type"] == "function_call"]
    assert streamed["arguments"] == masked["arguments"]


def test_a_hostile_pattern_holds_nobody_up(api: httpx.Client) -> None:
    """It is either refused with words about it, or runs within its budget and fails closed."""
    for pattern in (r"(a+)+$", r"(a|aa)+$", r"(.*a){20}", r"(?=.*SECRET)(?=.*KEY)\w+x", r"^(([a-z])+.)+[A-Z]([a-z])+$"):
        body = RULE | {"type": "regex", "pattern": pattern, "action": "block"}
        made = api.post("/v1/firewall-rules", json=body)
        if made.status_code == 201:
            answer = ask(api, "a" * 50_000 + "!")
            assert answer.status_code in (200, 422) and answer.elapsed.total_seconds() < 5, pattern
            api.delete(f"/v1/firewall-rules/{made.json()['data']['id']}")
        else:
            error = check_error(made, 422, "validation_error", "validation_failed")
            assert error["errors"]["pattern"], pattern


@pytest.mark.parametrize(
    ("type", "pattern", "engine"),
    [("substring", "tea", "linear"), ("regex", "te+a", "linear"), ("regex", "tea(?! leaf)", "bounded")],
)
def test_a_rule_tells_which_engine_runs_it(api: httpx.Client, type: str, pattern: str, engine: str) -> None:
    rule_id = create(api, pattern, "warn", type=type)
    assert api.get(f"/v1/firewall-rules/{rule_id}").json()["data"]["engine"] == engine
    assert [rule["engine"] for rule in api.get("/v1/firewall-rules").json()["data"]] == [engine]
    changed = api.patch(f"/v1/firewall-rules/{rule_id}", json={"type": "regex", "pattern": r"(a)\1"})
    assert changed.json()["data"]["engine"] == "bounded"


def test_a_draft_rule_is_tried_on_a_text(api: httpx.Client) -> None:
    def tried(**body: Any) -> dict[str, Any]:
        answer = api.post("/v1/firewall-rules/test", json=body)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        assert data.pop("duration_us") >= 0
        return data

    text = "é: 12 EUR and 13 USD and 14 EUR"
    regex = {"type": "regex", "pattern": r"\d+(?= EUR)", "text": text}
    places = [{"start": 3, "end": 5}, {"start": 25, "end": 27}]
    masked = tried(**regex, action="mask", replacement="#")
    assert masked["matches"] == places and masked["text"] == "é: # EUR and 13 USD and # EUR"
    assert (masked["engine"], masked["blocked"], masked["exhausted"]) == ("bounded", False, False)
    assert "look-ahead" in masked["engine_reason"]
    blocked = tried(**regex, action="block")
    assert blocked["matches"] == places and blocked["blocked"] and blocked["text"] is None
    assert tried(**regex)["text"] == text
    missed = tried(type="substring", pattern="tea", text=text, action="block")
    assert missed["matches"] == [] and not missed["blocked"] and missed["engine_reason"] is None
    hostile = tried(type="regex", pattern="(a|aa)+$", text="a" * 5_000 + "!", action="mask")
    assert hostile["exhausted"] and hostile["blocked"]
    for body, field in (({"text": "x"}, "pattern"), ({**regex, "pattern": "(a"}, "pattern"), ({**regex, "text": 7}, "text")):
        answer = api.post("/v1/firewall-rules/test", json=body)
        assert field in check_error(answer, 422, "validation_error", "validation_failed")["errors"]
    assert api.get("/v1/firewall-rules").json() == {"data": []}


ARGUMENTS_TOOL: dict[str, Any] = {"type": "function", "name": "note", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello"},
    {"type": "function_call", "call_id": "call_12345", "name": "note", "arguments": "{{{}}}"},
    {"type": "function_call_output", "call_id": "call_12345", "output": "done"},
]
# Where a text may hide, and whether a mask can act there. Each must be seen.
HIDDEN: dict[str, tuple[dict[str, Any], bool]] = {
    "a tool's name": ({"input": "Hi", "tools": [ARGUMENTS_TOOL | {"name": "SECRET"}]}, False),
    "a tool's property": ({"input": "Hi", "tools": [ARGUMENTS_TOOL | {"parameters": {"properties": {"SECRET": {}}}}]}, False),
    "a tool's enum": ({"input": "Hi", "tools": [ARGUMENTS_TOOL | {"parameters": {"properties": {"a": {"enum": ["SECRET"]}}}}]}, True),
    "a tool's description": ({"input": "Hi", "tools": [ARGUMENTS_TOOL | {"description": "SECRET"}]}, True),
    "the answer's schema": (
        {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": {"description": "SECRET"}}}}, True,
    ),
    "JSON escapes": ({"input": [HISTORY[0], HISTORY[1] | {"arguments": '{"a": "\\u0053ECRET"}'}, HISTORY[2]]}, True),
    "an argument's name": ({"input": [HISTORY[0], HISTORY[1] | {"arguments": '{"SECRET": 1}'}, HISTORY[2]]}, True),
    "parts that are joined": (
        {"input": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
            {"type": "output_text", "text": "SEC"}, {"type": "output_text", "text": "RET"}]}, {"role": "user", "content": "?"}]},
        True,
    ),
    "a file without padding": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": "U0VDUkVUIQ"}]}]}, True,
    ),
    "an image's address": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://h.example/SECRET.png"}]}]}, True,
    ),
    "the user": ({"input": "Hi", "user": "SECRET"}, True),
    "an unknown field": ({"input": "Hi", "prompt": {"variables": {"a": ["SECRET"]}}}, True),
    "an unknown field's name": ({"input": "Hi", "prompt": {"SECRET": 1}}, False),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("place", HIDDEN)
def test_no_text_gets_round_a_prompt_rule(api: httpx.Client, simulator: gp.Simulator, mark: str, place: str, model: str) -> None:
    body, can_be_masked = HIDDEN[place]
    body = {"model": model, "instructions": mark, "metadata": {"place": place}} | body
    rule_id = create(api, "secret", "block")
    blocked = api.post("/v1/responses", json=body)
    if "a file" in place and "mistral" in model:
        # It goes nowhere: Mistral's models read no files.
        check_error(blocked, 422, "routing_error", "no_eligible_model")
        return
    check_error(blocked, 422, "firewall_error", "firewall_blocked")
    api.patch(f"/v1/firewall-rules/{rule_id}", json={"action": "mask", "replacement": "gone"})
    answer = api.post("/v1/responses", json=body)
    if not can_be_masked:
        check_error(answer, 422, "firewall_error", "firewall_blocked")
    assert all("SECRET" not in json.dumps(sent["body"]) for sent in simulator.requests(mark))


CALLED: list[dict[str, Any]] = [HISTORY[1], HISTORY[2]]
USER = {"role": "user", "content": "Hi"}


def thought(*texts: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text} for text in texts]}


# Texts in pieces. No provider may be sent what a rule would have found in a whole text, and did not find in the pieces.
PIECES: dict[str, list[Any]] = {
    "one thought": [USER, thought("SEC", "RET"), *CALLED],
    "two thoughts": [USER, thought("SEC"), thought("RET"), *CALLED],
    "a text and a refusal": [USER, {"role": "assistant", "content": [
        {"type": "output_text", "text": "SEC"}, {"type": "refusal", "refusal": "RET"}]}, USER],
    "a text with notes": [USER, {"role": "assistant", "content": [
        {"type": "output_text", "text": "SEC", "annotations": [
            {"type": "url_citation", "url": "http://x", "start_index": 0, "end_index": 1, "title": "t"}]},
        {"type": "output_text", "text": "RET"}]}, USER],
    "a text and what is no text": [USER, {"role": "assistant", "content": [
        {"type": "output_text", "text": "SEC"}, {"type": "whatever"}, {"type": "output_text", "text": "RET"}]}, USER],
    "a tool's output": [USER, HISTORY[1], HISTORY[2] | {"output": [
        {"type": "input_text", "text": "SEC"}, {"type": "input_text", "text": "RET"}]}],
}  # fmt: skip


@pytest.mark.parametrize("model", [*MODELS, "deepseek/deepseek-v4-pro"])
@pytest.mark.parametrize("pieces", PIECES)
def test_no_text_that_a_rule_would_find_is_put_together_behind_it(
    api: httpx.Client, simulator: gp.Simulator, mark: str, pieces: str, model: str
) -> None:
    create(api, "secret", "block")
    answer = api.post("/v1/responses", json={"model": model, "instructions": mark, "input": PIECES[pieces]})
    # Some providers take no part that they do not know.
    assert answer.status_code in (200, 400, 422), answer.text
    assert all("SECRET" not in json.dumps(sent["body"]) for sent in simulator.requests(mark))


def test_masked_arguments_and_structured_answers_are_json(api: httpx.Client) -> None:
    create(api, "Paris", "mask", scope="response", replacement='say "x"\n')
    create(api, r"\d+", "mask", scope="response", type="regex", replacement="#")
    body: dict[str, Any] = {"model": MODELS[0], "input": "Please call note for Paris", "tools": [ARGUMENTS_TOOL]}
    form = {"type": "json_schema", "name": "town", "schema": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}}
    structured: dict[str, Any] = {"model": MODELS[0], "input": "Which town? Paris", "text": {"format": form}}
    for stream in (False, True):
        final = [check_order(events(api, **asked)) if stream else api.post("/v1/responses", json=asked).json() for asked in (body, structured)]
        [call] = [item for item in final[0]["output"] if item["type"] == "function_call"]
        assert json.loads(call["arguments"]) == {"text": 'say "x"\n'}
        assert json.loads(text_of(final[1])) == {"city": 'say "x"\n', "n": "#"}


def test_a_block_is_told_and_paid_for(gateway: gp.Gateway, api: httpx.Client) -> None:
    rule_id = create(api, "never say this", "block", scope="response")
    answer = ask(api, "say exactly: never say this")
    check_error(answer, 422, "firewall_error", "firewall_blocked")
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as database:
        query = "SELECT outcome, output_tokens, cost_nano_usd, decision_json FROM ledger WHERE request_id = ?"
        [(outcome, tokens, cost, decision)] = database.execute(query, (answer.headers["x-request-id"],)).fetchall()
    assert outcome == "blocked" and tokens > 0 and cost > 0
    assert [(hit["rule_id"], hit["action"]) for hit in json.loads(decision)["firewall"]] == [(rule_id, "block")]
    stream = events(api, model=MODELS[0], input="say exactly: never say this")
    assert [hit["rule_id"] for hit in stream[-1]["response"]["tokenrouter"]["firewall"]] == [rule_id]


def test_two_changes_at_once_make_no_rule_that_nobody_checked(gateway: gp.Gateway, api: httpx.Client) -> None:
    path = f"/v1/firewall-rules/{create(api, 'tea', 'block')}"
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            api.patch(path, json={"type": "substring", "pattern": "tea"})
            list(threads.map(lambda body: api.patch(path, json=body), [{"type": "regex"}, {"pattern": "("}] * 4))
            answered(api, "Hello")


@pytest.mark.parametrize(("column", "word"), [("scope", "thought"), ("kind", "poem"), ("action", "quarantine")])
def test_a_rule_of_a_later_version_blocks_everything_of_its_workspace(
    start_gateway: Any, column: str, word: str
) -> None:
    gateway = start_gateway()
    other = gateway.new_workspace()
    with gateway.http() as client, gateway.http(other) as elsewhere:
        rule = create(client, "tea", "mask")
        assert ask(client, "Hello").status_code == 200
        with sqlite3.connect(gateway.database) as connection:
            connection.execute(f"UPDATE firewall_rules SET {column} = ? WHERE id = ?", (word, rule))
        gp.until(lambda: ask(client, "Hello").status_code == 422, "seeing the change")
        error = check_error(ask(client, "Hello"), 422, "firewall_error", "firewall_blocked")
        assert str(rule) in error["message"]
        assert ask(elsewhere, "Hello").status_code == 200
        with sqlite3.connect(gateway.database) as connection:
            connection.execute("UPDATE firewall_rules SET is_enabled = 0 WHERE id = ?", (rule,))
        gp.until(lambda: ask(client, "Hello").status_code == 200, "seeing that the rule is off")
