"""Routing rules: their life over HTTP, what each condition and action means, and their order."""

from __future__ import annotations

import datetime
import itertools
import json
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error

RULE = {
    "name": "A rule",
    "priority": 5,
    "is_enabled": True,
    "match_json": {"contains": "sea"},
    "action_json": {"set_mode": "cost"},
}


def create(api: httpx.Client, match: Any = None, action: Any = None, **fields: Any) -> int:
    body = {"name": "Rule", "match_json": match or {}, "action_json": action or {"set_mode": "cost"}} | fields
    answer = api.post("/v1/routing-rules", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["data"]["id"])


def ask(api: httpx.Client, text: Any = "Good morning", **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/responses", json={"model": "auto", "input": text} | body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["tokenrouter"]
    return told


def warn(text: str) -> dict[str, Any]:
    return {"add_warning": {"message": text}}


def test_a_rule_is_created_listed_changed_and_deleted(api: httpx.Client) -> None:
    answer = api.post("/v1/routing-rules", json=RULE)
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert {key: made[key] for key in RULE} == RULE
    assert isinstance(made["id"], int) and isinstance(made["user_id"], int)
    for at in ("created_at", "updated_at"):
        assert datetime.datetime.fromisoformat(made[at]).tzinfo is not None
    path = f"/v1/routing-rules/{made['id']}"
    assert api.get(path).json() == {"data": made}
    assert api.get("/v1/routing-rules").json() == {"data": [made]}
    changed = api.patch(path, json={"priority": -7}).json()["data"]
    assert changed | {"updated_at": ""} == made | {"priority": -7, "updated_at": ""}
    assert api.get(path).json() == {"data": changed}
    deleted = api.delete(path)
    assert (deleted.status_code, deleted.json()) == (200, {"success": True})
    check_error(api.get(path), 404, "not_found_error", "not_found")
    assert api.get("/v1/routing-rules").json() == {"data": []}


def test_what_is_not_given_has_a_default(api: httpx.Client) -> None:
    answer = api.post("/v1/routing-rules", json={"name": "Rule", "match_json": {}, "action_json": {"set_mode": "cost"}})
    made = answer.json()["data"]
    assert (made["priority"], made["is_enabled"]) == (0, True)


def test_conditions_and_actions_may_be_given_as_strings(api: httpx.Client) -> None:
    body = RULE | {"match_json": json.dumps({"contains": "sea"}), "action_json": json.dumps({"set_mode": "cost"})}
    made = api.post("/v1/routing-rules", json=body).json()["data"]
    assert (made["match_json"], made["action_json"]) == ({"contains": "sea"}, {"set_mode": "cost"})
    assert ask(api, "the sea")["mode"] == "cost"


def test_lists_hold_every_rule_highest_priority_first_and_older_first_among_equals(api: httpx.Client) -> None:
    ids = [create(api, priority=priority) for priority in (0, 5, 5, -1000, 1000)]
    listed = [rule["id"] for rule in api.get("/v1/routing-rules").json()["data"]]
    assert listed == [ids[4], ids[1], ids[2], ids[0], ids[3]]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 129}, {"name"}),
        ({"name": 7}, {"name"}),
        ({"name": None}, {"name"}),
        ({"priority": 1001}, {"priority"}),
        ({"priority": -1001}, {"priority"}),
        ({"priority": "high"}, {"priority"}),
        ({"priority": 1.5}, {"priority"}),
        ({"is_enabled": "yes"}, {"is_enabled"}),
        ({"match_json": []}, {"match_json"}),
        ({"match_json": "not json"}, {"match_json"}),
        ({"match_json": "[]"}, {"match_json"}),
        ({"match_json": {"weather": "fine"}}, {"match_json"}),
        ({"match_json": {"contains": 7}}, {"match_json"}),
        ({"match_json": {"contains": ["a", 7]}}, {"match_json"}),
        ({"match_json": {"mode": "cheapest"}}, {"match_json"}),
        ({"match_json": {"metadata_equals": "task"}}, {"match_json"}),
        ({"action_json": {}}, {"action_json"}),
        ({"action_json": {"set_colour": "red"}}, {"action_json"}),
        ({"action_json": {"set_mode": "cheapest"}}, {"action_json"}),
        ({"action_json": {"set_model": 7}}, {"action_json"}),
        ({"action_json": {"add_warning": {}}}, {"action_json"}),
        ({"name": "", "priority": 5000, "match_json": 1}, {"name", "priority", "match_json"}),
    ],
)
def test_a_rule_that_is_not_valid_is_refused_with_a_message_for_each_field(
    api: httpx.Client, change: dict[str, Any], fields: set[str]
) -> None:
    error = check_error(api.post("/v1/routing-rules", json=RULE | change), 422, "validation_error", "validation_failed")
    assert {name.partition(".")[0] for name in error["errors"]} == fields
    for messages in error["errors"].values():
        assert messages and all(isinstance(message, str) and message for message in messages)
    assert api.get("/v1/routing-rules").json() == {"data": []}


def test_missing_fields_are_named_all_at_once(api: httpx.Client) -> None:
    error = check_error(api.post("/v1/routing-rules", json={}), 422, "validation_error", "validation_failed")
    assert "name" in error["errors"] and "action_json" in error["errors"]


def test_an_unknown_condition_is_named(api: httpx.Client) -> None:
    error = check_error(
        api.post("/v1/routing-rules", json=RULE | {"match_json": {"contians": "sea"}}),
        422, "validation_error", "validation_failed",
    )  # fmt: skip
    assert "contians" in json.dumps(error["errors"])


def test_a_change_that_is_not_valid_changes_nothing(api: httpx.Client) -> None:
    rule_id = create(api, priority=3)
    path = f"/v1/routing-rules/{rule_id}"
    before = api.get(path).json()
    check_error(api.patch(path, json={"priority": 9, "name": ""}), 422, "validation_error", "validation_failed")
    assert api.get(path).json() == before


def test_another_workspaces_rule_does_not_exist(api: httpx.Client, other_api: httpx.Client) -> None:
    path = f"/v1/routing-rules/{create(api)}"
    check_error(other_api.get(path), 404, "not_found_error", "not_found")
    check_error(other_api.patch(path, json={"priority": 1}), 404, "not_found_error", "not_found")
    check_error(other_api.delete(path), 404, "not_found_error", "not_found")
    assert other_api.get("/v1/routing-rules").json() == {"data": []}
    assert api.get(path).status_code == 200


def test_another_workspaces_rule_does_not_act(api: httpx.Client, other_api: httpx.Client) -> None:
    create(other_api, {}, {"set_provider": "anthropic", "add_warning": {"message": "theirs"}})
    assert ask(api)["routing_rules"] == []


@pytest.mark.parametrize("path", ["abc", "0", "-1", "99999999", "99999999999999999999999"])
def test_an_id_that_is_no_rules_is_not_found(api: httpx.Client, path: str) -> None:
    check_error(api.get(f"/v1/routing-rules/{path}"), 404, "not_found_error", "not_found")


@pytest.mark.parametrize(
    ("match", "matching", "others"),
    [
        ({}, [{}], []),
        ({"contains": "SEA"}, [{"input": "by the sea"}, {"input": "OVERSEAS"}], [{"input": "by the lake"}]),
        ({"contains": ["sea", "lake"]}, [{"input": "a Lake"}, {"input": "a sea"}], [{"input": "a river"}]),
        ({"contains_all": ["sea", "lake"]}, [{"input": "Lake and SEA"}], [{"input": "a sea"}, {"input": "a lake"}]),
        ({"contains": "straße"}, [{"input": "In der STRASSE"}, {"input": "in der Straße"}], [{"input": "strabe"}]),
        (
            {"contains": "sea"},
            [{"input": [{"role": "user", "content": [{"type": "input_text", "text": "the sea"}]}]}],
            [
                {"input": [{"role": "assistant", "content": "the sea"}, {"role": "user", "content": "hm"}]},
                {"input": "hm", "instructions": "speak of the sea"},
            ],
        ),
        (
            {"metadata_equals": {"team": "red", "tier": "gold"}},
            [{"metadata": {"team": "red", "tier": "gold", "more": "x"}}],
            [{"metadata": {"team": "red"}}, {"metadata": {"team": "Red", "tier": "gold"}}, {}],
        ),
        ({"mode": "balance"}, [{}, {"model": "auto:balanced"}, {"model": "auto:balance"}], [{"model": "auto:cost"}]),
        ({"mode": "balanced"}, [{}, {"model": "auto:balance"}], [{"model": "auto:quality"}]),
        (
            {"mode": "fast"},
            [
                {"model": "auto:latency"},
                {"model": "auto:fast"},
                {"model": "gpt-4o:latency"},
                {"router_mode": "latency"},
            ],
            [{"model": "auto"}, {"model": "auto:latency", "router_mode": "cost"}],
        ),
        (
            {"task": "coding"},
            [{"metadata": {"task": "coding"}}, {"input": "Write a Python function that sorts a list of numbers"}],
            [{"metadata": {"task": "math"}, "input": "Write a Python function that sorts"}, {"input": "Good morning"}],
        ),
        ({"task": "my own word"}, [{"metadata": {"task": "my own word"}}], [{}]),
        (
            {"contains": "sea", "mode": "cost", "metadata_equals": {"team": "red"}},
            [{"input": "sea", "model": "auto:cost", "metadata": {"team": "red"}}],
            [
                {"input": "lake", "model": "auto:cost", "metadata": {"team": "red"}},
                {"input": "sea", "model": "auto", "metadata": {"team": "red"}},
                {"input": "sea", "model": "auto:cost"},
            ],
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_condition_matches_what_it_says(
    api: httpx.Client, match: dict[str, Any], matching: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    rule_id = create(api, match, warn("matched"))
    for body in matching:
        assert ask(api, **({"text": body["input"]} if "input" in body else {}), **without_input(body))[
            "routing_rules"
        ] == [rule_id], body
    for body in others:
        assert (
            ask(api, **({"text": body["input"]} if "input" in body else {}), **without_input(body))["routing_rules"]
            == []
        ), body


def without_input(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "input"}


def test_a_rule_sets_provider_model_and_mode_whatever_was_asked(api: httpx.Client) -> None:
    create(api, {"contains": "alpha"}, {"set_provider": "anthropic"})
    create(api, {"contains": "beta"}, {"set_model": "gpt-4o"})
    create(api, {"contains": "gamma"}, {"set_mode": "latency"})
    create(api, {"contains": "delta"}, {"set_provider": "openai", "set_model": "gpt-4o", "set_mode": "quality"})
    asked = {"model": "mistral/mistral-large-latest", "router_mode": "cost"}
    assert ask(api, "alpha", **asked)["provider"] == "anthropic"
    assert ask(api, "beta", **asked)["model"] == "gpt-4o"
    assert ask(api, "gamma", **asked)["mode"] == "latency"
    told = ask(api, "delta", **asked)
    assert (told["provider"], told["model"], told["mode"]) == ("openai", "gpt-4o", "quality")


def test_a_provider_that_does_not_serve_the_asked_model_gives_its_best_with_a_warning(api: httpx.Client) -> None:
    create(api, {}, {"set_provider": "anthropic"})
    told = ask(api, model="gpt-4o")
    assert told["provider"] == "anthropic" and told["model"].startswith("claude")
    assert any("gpt-4o" in warning["message"] for warning in told["warnings"])


def test_a_provider_and_a_model_that_do_not_go_together_are_a_routing_error(api: httpx.Client) -> None:
    create(api, {}, {"set_provider": "anthropic", "set_model": "gpt-4o"})
    answer = api.post("/v1/responses", json={"model": "auto", "input": "Hello"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "routing_error"), answer.text


@pytest.mark.parametrize(
    "action", [{"set_provider": "zzz"}, {"set_model": "zzz"}, {"set_provider": "openai", "set_model": "zzz"}]
)
def test_a_rule_that_names_nothing_is_the_rules_mistake_and_not_the_callers(
    api: httpx.Client, action: dict[str, Any]
) -> None:
    rule = create(api, {}, action)
    for path in ("/v1/responses", "/v1/route"):
        answer = api.post(path, json={"model": "gpt-4o", "input": "Hello"})
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (422, "routing_error", None), answer.text
        assert f"routing rule {rule} " in error["message"] and "zzz" in error["message"]


def test_the_mode_in_a_rules_model_string_counts_unless_a_rule_sets_the_mode(api: httpx.Client) -> None:
    create(api, {"contains": "alpha"}, {"set_model": "auto:cost"})
    create(api, {"contains": "beta"}, {"set_model": "gpt-4o:quality"})
    create(api, {"contains": "gamma"}, {"set_mode": "latency"})
    assert ask(api, "alpha", model="gpt-4o:latency")["mode"] == "cost"
    assert ask(api, "alpha", router_mode="quality")["mode"] == "cost"
    told = ask(api, "beta")
    assert (told["model"], told["mode"]) == ("gpt-4o", "quality")
    assert ask(api, "beta gamma")["mode"] == "latency"


def test_each_action_is_the_first_matching_rules_that_gives_it_and_all_warnings_are_kept(api: httpx.Client) -> None:
    low = create(api, {}, {"set_mode": "cost", "set_model": "gpt-4o-mini"} | warn("low"), priority=-5)
    first = create(api, {}, {"set_mode": "quality"} | warn("first"), priority=10)
    second = create(api, {}, {"set_mode": "latency", "set_model": "gpt-4o"} | warn("second"), priority=10)
    told = ask(api)
    assert (told["mode"], told["model"]) == ("quality", "gpt-4o")
    assert told["routing_rules"] == [first, second, low]
    warnings = [(w["source"], w["rule_id"], w["message"]) for w in told["warnings"] if w["rule_id"] is not None]
    assert warnings == [
        ("routing_rule", first, "first"),
        ("routing_rule", second, "second"),
        ("routing_rule", low, "low"),
    ]


def test_a_disabled_rule_does_nothing_until_it_is_enabled(api: httpx.Client) -> None:
    rule_id = create(api, {}, warn("here"), is_enabled=False)
    assert ask(api)["routing_rules"] == []
    api.patch(f"/v1/routing-rules/{rule_id}", json={"is_enabled": True})
    assert ask(api)["routing_rules"] == [rule_id]
    api.delete(f"/v1/routing-rules/{rule_id}")
    assert ask(api)["routing_rules"] == []


def test_warnings_stand_in_the_metadata_too(api: httpx.Client) -> None:
    create(api, {}, warn("Using beta routing"))
    response = api.post("/v1/responses", json={"model": "auto", "input": "Hello"}).json()
    assert "Using beta routing" in json.dumps(response["metadata"]["warnings"])


def test_the_dry_run_decides_the_same_and_calls_nobody(api: httpx.Client, simulator: Any, mark: str) -> None:
    rule_id = create(api, {}, {"set_provider": "anthropic"})
    route = api.post("/v1/route", json={"model": "auto:cost", "input": f"Hello {mark}"})
    assert route.status_code == 200, route.text
    decision = route.json()
    assert (decision["provider"], decision["routing_rules"]) == ("anthropic", [rule_id])
    assert simulator.requests(mark) == []
    told = ask(api, f"Hello {mark}", model="auto:cost")
    assert (told["provider"], told["model"]) == (decision["provider"], decision["model"])


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        (None, "balance"), ("auto", "balance"), ("auto:balance", "balance"), ("auto:balanced", "balance"),
        ("auto:cost", "cost"), ("auto:quality", "quality"), ("auto:latency", "latency"), ("auto:fast", "latency"),
        ("gpt-4o:quality", "quality"),
    ],
)  # fmt: skip
def test_a_model_string_names_its_mode(api: httpx.Client, model: str | None, mode: str) -> None:
    body = {"input": "Hello"} | ({"model": model} if model else {})
    told = api.post("/v1/responses", json=body).json()["tokenrouter"]
    assert told["mode"] == mode
    if model and model.startswith("gpt-4o"):
        assert told["model"] == "gpt-4o"


def test_router_fields_override_the_model_string(api: httpx.Client) -> None:
    told = ask(api, model="gpt-4o:cost", router_mode="quality", router_provider="anthropic", router_model="auto")
    assert (told["provider"], told["mode"]) == ("anthropic", "quality")
    assert ask(api, model="auto", router_model="gpt-4o")["model"] == "gpt-4o"


def test_a_higher_priority_wins_whatever_the_order_of_creation(api: httpx.Client) -> None:
    modes = {"cost": 1, "quality": 2, "latency": 3}
    for order in itertools.permutations(modes):
        ids = [create(api, {}, {"set_mode": mode}, priority=modes[mode]) for mode in order]
        assert ask(api)["mode"] == "latency"
        for rule_id in ids:
            api.delete(f"/v1/routing-rules/{rule_id}")


@pytest.mark.parametrize("mode", ["balance", "cost", "quality", "latency"])
def test_models_that_cannot_do_what_is_needed_are_no_candidates(api: httpx.Client, mode: str) -> None:
    def candidates(text: Any) -> set[str]:
        route = api.post("/v1/route", json={"model": f"auto:{mode}", "input": text})
        assert route.status_code == 200, route.text
        return {candidate["model"] for candidate in route.json()["candidates"]}

    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ]
    assert {"gpt-4o", "deepseek-v4-pro"} <= candidates("Hello")
    assert "gpt-4o" in (seeing := candidates([{"role": "user", "content": content}]))
    assert "deepseek-v4-pro" not in seeing
    # Its provider has ended it: it is for those who name it.
    assert "deepseek-chat" not in candidates("Hello")
    # Some 500,000 tokens.
    assert (long := candidates("word " * 400_000))
    assert "gpt-4o" not in long


def route(api: httpx.Client, text: str, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/route", json={"model": "auto", "input": text} | body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_rule_on_a_task_fires_where_the_router_is_sure_of_it(api: httpx.Client) -> None:
    tasks = ["coding", "chat", "translation", "qa", "writing"]
    ids = {task: create(api, {"task": task}) for task in tasks}
    sure = [
        ("coding", "Write a Python function that reverses a list."),
        ("chat", "hi, how are you today?"),
        ("translation", "Übersetze ins Englische: Der letzte Zug ist schon weg."),
    ]
    for task, text in sure:
        told = route(api, text)
        assert (told["task"], told["routing_rules"]) == (task, [ids[task]]), text
        assert 0.8 <= told["task_confidence"] <= 1, text
    unsure = route(api, "xqzt 7 vbn")
    assert unsure["task_confidence"] < 0.8 and unsure["routing_rules"] == []
    given = route(api, "hi, how are you today?", metadata={"task": "writing"})
    assert (given["task"], given["task_confidence"], given["routing_rules"]) == ("writing", None, [ids["writing"]])


def test_a_workspace_sets_from_which_confidence_on_its_rules_on_a_task_fire(
    gateway: gp.Gateway, api: httpx.Client
) -> None:
    rule = create(api, {"task": "coding"})
    text = "Write a Python function that reverses a list."

    def rules(percent: int | None) -> tuple[list[int], float]:
        answer = api.patch("/v1/workspace", json={"task_confidence_percent": percent})
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["task_confidence_percent"] == percent
        told = route(api, text)
        if percent != 100:
            assert told["task_confidence"] >= told["task_rules_from"]
        asked = api.post("/v1/responses", json={"model": "auto", "input": text, "max_output_tokens": 16})
        assert asked.json()["tokenrouter"]["routing_rules"] == told["routing_rules"]
        return told["routing_rules"], told["task_rules_from"]

    assert rules(None) == ([rule], pytest.approx(0.8))
    assert rules(100) == ([], 1.0)
    assert api.patch("/v1/workspace", json={"max_in_flight": 9}).json()["data"]["task_confidence_percent"] == 100
    assert rules(0) == ([rule], 0.0)
    for wrong in (101, -1, 50.5, "50", True, [], {}):
        answer = api.patch("/v1/workspace", json={"task_confidence_percent": wrong})
        check_error(answer, 422, "validation_error", "validation_failed")
        assert list(answer.json()["error"]["errors"]) == ["task_confidence_percent"], answer.text
    name = api.get("/v1/workspace").json()["data"]["name"]
    command = ["workspaces", "set", "--workspace", name, "--database", f"sqlite:{gateway.database}", "--json"]
    done = gp.run(*command, "--task-confidence-percent", "100")
    assert done.returncode == 0 and json.loads(done.stdout)[0]["task_confidence_percent"] == 100, done.stderr
    gp.until(lambda: route(api, text)["routing_rules"] == [], "the gateway to notice")
    assert gp.run(*command, "--task-confidence-percent", "101").returncode == 1


def test_a_task_that_the_caller_tells_is_what_the_choice_goes_by(api: httpx.Client) -> None:
    text = "hi, how are you today?"
    assert route(api, text)["difficulty"] < route(api, text, metadata={"task": "Reasoning"})["difficulty"]


def test_what_was_learned_of_benchmarks_counts_for_what_is_like_them(api: httpx.Client) -> None:
    sum_ = route(api, "Tom has 12 marbles, gives a third of them to Ann and buys 7 more. How many marbles does Tom have now?")
    assert sum_["difficulty"] < sum_["difficulty_prior"] - 0.05 and sum_["difficulty_weight"] > 0.5
    greeting = route(api, "hi, how are you today?")
    assert abs(greeting["difficulty"] - greeting["difficulty_prior"]) < 0.06 and greeting["difficulty_weight"] < 0.4


def test_instructions_and_the_turn_before_tell_the_task_too(api: httpx.Client) -> None:
    system = "You are a translation engine. Translate the text of the user into German and output nothing else."
    text = "The train leaves at nine from platform two."
    assert route(api, text, instructions=system)["task"] == "translation"
    turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    assert route(api, text, input=turns)["task"] == "translation"
    before = [
        {"role": "user", "content": "Translate to Spanish: where is the station?"},
        {"role": "assistant", "content": "¿Dónde está la estación?"},
        {"role": "user", "content": "and this: see you tomorrow"},
    ]
    assert route(api, text, input=before)["task"] == "translation"
