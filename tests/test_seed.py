"""The seed document's snippets, run as written against the real gateway, in both worlds.

Three things are put in place of what the document leaves open: a real key for `tr_...`, an existing
rule's id for `123`, and arguments for the bare `...`.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from typing import Any

import gateway_process as gp
import pytest
import tokenrouter
from gateway_process import SHARED
from seed_snippets import PROSE, SNIPPETS

Run = Callable[..., dict[str, Any]]
EMAIL = "jane.doe@example.com"


class ToAsync(ast.NodeTransformer):
    """Rewrites a snippet for the asynchronous client: awaits its calls, iterates its stream."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        root: ast.expr = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id == "client":
            return ast.Await(value=node)
        if isinstance(node.func, ast.Name) and node.func.id == "Tokenrouter":
            node.func = ast.Name(id="AsyncTokenrouter", ctx=ast.Load())
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.iter, ast.Name) and node.iter.id == "stream":
            return ast.AsyncFor(target=node.target, iter=node.iter, body=node.body, orelse=node.orelse)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        names = {alias.name for alias in node.names}
        if "Tokenrouter" in names and "AsyncTokenrouter" not in names:
            node.names.append(ast.alias(name="AsyncTokenrouter"))
        return node


async def _run_async(tree: ast.Module, namespace: dict[str, Any], key: str) -> None:
    async with tokenrouter.AsyncTokenrouter(api_key=key) as client:
        await _run_tree(tree, namespace | {"client": client}, namespace)


async def _run_tree(tree: ast.Module, start: dict[str, Any], result: dict[str, Any]) -> None:
    code = compile(tree, "<the seed>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    coroutine = eval(code, start)
    if coroutine is not None:
        await coroutine
    own = start.get("async_client") or start.get("client")
    if isinstance(own, tokenrouter.AsyncTokenrouter):
        await own.close()
    result.update(start)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, gateway: gp.Gateway, workspace: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a snippet by its name, and gives the names that it left behind."""
    monkeypatch.setenv("TOKENROUTER_BASE_URL", gateway.url)

    def run(name: str, rule_id: int | None = None, ellipsis: str | None = None) -> dict[str, Any]:
        text = SNIPPETS[name].replace("tr_...", workspace)
        if rule_id is not None:
            assert "123" in text
            text = text.replace("123", str(rule_id))
        if ellipsis is not None:
            assert "(...)" in text
            text = text.replace("(...)", f"({ellipsis})")
        namespace: dict[str, Any] = vars(tokenrouter).copy()
        tree = ast.parse(text)
        if request.param == "async":
            tree = ast.fix_missing_locations(ToAsync().visit(tree))
            asyncio.run(_run_async(tree, namespace, workspace))
        else:
            with tokenrouter.Tokenrouter(api_key=workspace) as client:
                asyncio.run(_run_tree(tree, namespace | {"client": client}, namespace))
        return namespace

    return run


@pytest.fixture
def client(gateway: gp.Gateway, workspace: str) -> Any:
    with tokenrouter.Tokenrouter(api_key=workspace, base_url=gateway.url) as client:
        yield client


def routing_rule(client: Any) -> int:
    rule = client.routing_rules.create(
        name="Before", match_json={"contains": "never said"}, action_json={"set_mode": "cost"}
    )
    return int(rule.data.id)


def firewall_rule(client: Any) -> int:
    rule = client.firewall_rules.create(
        name="Before", scope="prompt", type="substring", pattern="never said", action="block"
    )
    return int(rule.data.id)


def test_the_snippets_are_all_of_the_documents_code_in_its_order() -> None:
    [document] = SHARED.glob("seed/*.txt")
    lines = [line.strip() for line in document.read_text().splitlines()]
    code = [line for line in lines if line and line not in PROSE]
    written = [line.strip() for text in SNIPPETS.values() for line in text.splitlines() if line.strip()]
    assert written == code


def test_every_snippet_has_a_test_that_runs_it() -> None:
    text = (gp.ROOT / "tests" / "test_seed.py").read_text()
    missing = [name for name in SNIPPETS if f'"{name}"' not in text]
    assert missing == []


@pytest.mark.parametrize("name", ["quick start", "create"])
def test_a_prompt_gets_an_answer(run: Run, name: str) -> None:
    response = run(name)["response"]
    said = {"quick start": "Hello, world!", "create": "What is Python?"}[name]
    assert said in response.output_text
    assert response.status == "completed"
    assert response.metadata["routing_mode"] == "balance"


def test_the_client_takes_an_environment_and_a_timeout(run: Run) -> None:
    made = run("client options")["client"]
    assert made.timeout == 60.0


def test_a_named_model_answers_with_the_options_given(run: Run) -> None:
    response = run("create with options")["response"]
    assert response.model.startswith("gpt-4o")
    assert "Explain decorators" in response.output_text
    assert response.temperature == 0.7
    assert response.max_output_tokens == 1000
    assert response.metadata["routing_mode"] == "quality"


def test_a_stream_prints_the_story_as_it_comes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("stream")
    assert "Write a story" in capsys.readouterr().out


def test_the_async_client_awaits_an_answer(run: Run) -> None:
    assert "Hello!" in run("async client")["response"].output_text


def test_a_routing_rule_is_created_and_its_id_printed(
    run: Run, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = run("routing rule create")["rule"]
    assert capsys.readouterr().out == f"Created rule: {rule.data.id}\n"
    assert rule.data.name == "Coding Tasks → OpenAI"
    routed = client.responses.create(model="auto:cost", input="Write a Python function that reverses a list.")
    assert (routed.tokenrouter.provider, routed.tokenrouter.model) == ("openai", "gpt-4o")


def test_routing_rules_are_listed_by_name_and_priority(
    run: Run, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    routing_rule(client)
    client.routing_rules.create(name="First", priority=9, match_json={}, action_json={"set_mode": "cost"})
    run("routing rule list")
    assert capsys.readouterr().out == "First (Priority: 9)\nBefore (Priority: 0)\n"


def test_a_routing_rule_is_retrieved_by_its_id(run: Run, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rule_id = routing_rule(client)
    assert run("routing rule retrieve", rule_id)["rule"].data.id == rule_id
    assert "Before" in capsys.readouterr().out


def test_a_routing_rule_is_updated(run: Run, client: Any) -> None:
    rule_id = routing_rule(client)
    run("routing rule update", rule_id)
    rule = client.routing_rules.retrieve(rule_id).data
    assert (rule.priority, rule.is_enabled, rule.name) == (150, False, "Before")


def test_a_routing_rule_is_deleted(run: Run, client: Any) -> None:
    rule_id = routing_rule(client)
    run("routing rule delete", rule_id)
    assert client.routing_rules.list().data == []


@pytest.mark.parametrize(
    ("name", "matching", "other"),
    [
        ("match text", {"input": "Please do a CODE Review"}, {"input": "Please review"}),
        ("match metadata", {"metadata": {"task": "documentation"}}, {"metadata": {"task": "coding"}}),
        ("match mode", {"model": "auto:balance"}, {"model": "auto:cost"}),
        (
            "match several",
            {"model": "auto:quality", "metadata": {"task": "coding"}},
            {"model": "auto:quality", "metadata": {"task": "math"}},
        ),
    ],
)
def test_a_documented_condition_matches_what_it_says(
    run: Run, client: Any, name: str, matching: dict[str, Any], other: dict[str, Any]
) -> None:
    match_json = run(name)["match_json"]
    rule = client.routing_rules.create(
        name="Rule", match_json=match_json, action_json={"add_warning": {"message": "here"}}
    )
    for request, expected in ((matching, [rule.data.id]), (other, [])):
        response = client.responses.create(**({"model": "auto", "input": "Good morning"} | request))
        assert list(response.tokenrouter.routing_rules) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("act provider", {"provider": "anthropic"}),
        ("act model", {"model": "gpt-4o"}),
        ("act mode", {"mode": "cost"}),
        ("act warning", {}),
        ("act several", {"provider": "openai", "model": "gpt-4o", "mode": "quality"}),
    ],
)
def test_a_documented_action_does_what_it_says(run: Run, client: Any, name: str, expected: dict[str, str]) -> None:
    action_json = run(name)["action_json"]
    client.routing_rules.create(name="Rule", match_json={}, action_json=action_json)
    told = client.responses.create(model="auto", input="Good morning").tokenrouter
    assert {field: getattr(told, field) for field in expected} == expected
    warned = [warning.message for warning in told.warnings]
    assert ("Using beta routing" in warned) == (name == "act warning")


def test_the_card_rule_blocks_a_prompt(run: Run, client: Any) -> None:
    rule = run("firewall block")["rule"]
    assert (rule.data.action, rule.data.scope, rule.data.type) == ("block", "prompt", "regex")
    with pytest.raises(tokenrouter.APIError) as caught:
        client.responses.create(model="auto", input="My card is 4532 1234 5678 9010, charge it")
    assert (caught.value.status, caught.value.type) == (422, "firewall_error")


def test_the_email_rule_masks_an_answer(run: Run, client: Any) -> None:
    run("firewall mask")
    response = client.responses.create(model="gpt-4o", input=f"say exactly: write to {EMAIL} today")
    assert response.output_text == "write to [EMAIL_REDACTED] today"


def test_the_profanity_rule_warns_and_changes_nothing(run: Run, client: Any) -> None:
    rule = run("firewall warn")["rule"]
    response = client.responses.create(model="gpt-4o", input="say exactly: How InAppropriate of me")
    assert response.output_text == "How InAppropriate of me"
    assert [(w.source, w.rule_id) for w in response.tokenrouter.warnings if w.rule_id] == [("firewall", rule.data.id)]
    assert response.metadata["warnings"]


def test_firewall_rules_are_listed(run: Run, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    firewall_rule(client)
    run("firewall rule list")
    assert capsys.readouterr().out == "Before (block)\n Scope: prompt\n Pattern: never said\n"


def test_a_firewall_rule_is_retrieved_by_its_id(run: Run, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rule_id = firewall_rule(client)
    assert run("firewall rule retrieve", rule_id)["rule"].data.id == rule_id
    assert "Before" in capsys.readouterr().out


def test_a_firewall_rule_is_disabled_and_its_action_changed(run: Run, client: Any) -> None:
    rule_id = firewall_rule(client)
    run("firewall rule update", rule_id)
    rule = client.firewall_rules.retrieve(rule_id).data
    assert (rule.is_enabled, rule.action, rule.pattern) == (False, "warn", "never said")


def test_a_firewall_rule_is_deleted(run: Run, client: Any) -> None:
    rule_id = firewall_rule(client)
    run("firewall rule delete", rule_id)
    assert client.firewall_rules.list().data == []


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("pattern social security", "123-45-6789"),
        ("pattern phone", "+1 (555) 123-4567"),
        ("pattern email", EMAIL),
        ("pattern api key", "sk-abcdefghijklmnopqrstuvwxyz012345"),
        ("pattern credit card", "4532 1234-56789010"),
    ],
)
def test_a_documented_pattern_finds_its_secret_plain_and_streamed(
    run: Run, client: Any, name: str, secret: str
) -> None:
    pattern = run(name)["pattern"]
    client.firewall_rules.create(
        name="Mask", scope="response", type="regex", pattern=pattern, action="mask", replacement="<gone>"
    )
    prompt = f"say exactly: it is {secret}, as I said"
    plain = client.responses.create(model="gpt-4o", input=prompt)
    stream = client.responses.create(model="gpt-4o", input=prompt, stream=True)
    streamed = "".join(chunk.delta.text for chunk in stream if chunk.event == "content.delta")
    # The phone pattern's optional blank is part of what it matches.
    assert plain.output_text.replace("is<", "is <") == "it is <gone>, as I said"
    assert streamed == plain.output_text


def test_an_error_tells_its_status_and_type(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("errors", ellipsis='model="no-such-model-anywhere", input="Hello"')
    [first, *rest] = capsys.readouterr().out.splitlines()
    assert first.startswith("API Error: ") and "no-such-model-anywhere" in first
    assert rest == ["Status: 404", "Type: not_found_error"]


def test_a_blocked_prompt_tells_its_reason_without_the_secret(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("firewall block")
    run("blocked prompt")
    [first, second] = capsys.readouterr().out.splitlines()
    assert first == "Request blocked by firewall"
    assert "Block Credit Cards" in second and "4532" not in second


def test_rules_for_several_scenarios_act_together(run: Run, client: Any) -> None:
    run("several routing rules")
    complex_one = client.responses.create(model="auto:quality", input="Analyze this with care")
    assert (complex_one.tokenrouter.provider, complex_one.tokenrouter.model) == ("openai", "gpt-4o")
    simple = client.responses.create(model="auto:quality", input="Summarize this")
    assert simple.tokenrouter.mode == "cost"
    neither = client.responses.create(model="auto:balance", input="Analyze this with care")
    assert list(neither.tokenrouter.routing_rules) == []


def test_layers_of_the_firewall_act_together(run: Run, client: Any) -> None:
    run("layered firewall")
    for secret in ("123-45-6789", "4532123456789010"):
        with pytest.raises(tokenrouter.APIError) as caught:
            client.responses.create(model="auto", input=f"It is {secret}.")
        assert caught.value.code == "firewall_blocked"
    response = client.responses.create(model="gpt-4o", input=f"say exactly: confidential: {EMAIL}")
    assert response.output_text == "confidential: [REDACTED]"
    assert any("Warn on Sensitive Terms" in str(w.message) for w in response.tokenrouter.warnings)


def test_the_classes_and_types_named_are_there(run: Run) -> None:
    names = run("types")
    for name in (
        "RoutingRule",
        "FirewallRule",
        "ResponseCreateParams",
        "RoutingRuleCreateParams",
        "FirewallRuleCreateParams",
    ):
        assert isinstance(names[name], type) or hasattr(names[name], "__args__"), name
