"""Which targets are asked when one fails, and which are left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest

# Breakers that open after three failures, and stay open for longer than a test runs.
SETTINGS = """[upstream]
first_event_timeout_ms = 1500
between_events_timeout_ms = 1500
breaker_min_requests = 3
breaker_open_ms = 60000
"""
KINDS = (
    ("openai", "openai", "/v1"),
    ("anthropic", "anthropic", ""),
    ("gemini", "gemini", "/v1beta"),
    ("mistral", "mistral", "/v1"),
)
Start = Callable[..., tuple[httpx.Client, gp.Simulator]]


@pytest.fixture
def start(tmp_path: Path, start_gateway: Callable[..., gp.Gateway]) -> Iterator[Start]:
    """A gateway over a simulator, both of the test's own: what is learnt of a target stays in the process."""
    started: list[Any] = []

    def begin(settings: str = SETTINGS) -> tuple[httpx.Client, gp.Simulator]:
        simulator = gp.start_simulator()
        config = tmp_path / "tokenrouter.toml"
        providers = (gp.provider_settings(name, kind, f"{simulator.url}/{name}{path}") for name, kind, path in KINDS)
        config.write_text(settings + "".join(providers))
        environment = {"SIMULATED_KEY": gp.SIMULATED_KEY}
        gateway = start_gateway(simulate=False, config=config, environment=environment)
        client = gateway.http()
        started.extend([client, simulator])
        return client, simulator

    yield begin
    for one in started:
        if isinstance(one, httpx.Client):
            one.close()
        else:
            one.process.kill()


def ask(client: httpx.Client, model: str = "auto", **more: Any) -> httpx.Response:
    return client.post("/v1/responses", json={"model": model, "input": "Hello"} | more)


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["tokenrouter"]
    return result


def calls(simulator: gp.Simulator) -> list[str]:
    return [request["provider"] for request in simulator.requests()]


def route(client: httpx.Client, model: str = "auto") -> dict[str, Any]:
    answer = client.post("/v1/route", json={"model": model, "input": "Hello"})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def in_order(client: httpx.Client) -> None:
    """Three targets, in an order that what is learnt of their speed does not change."""
    fallbacks = ["mistral/mistral-large-latest", "anthropic/claude-sonnet-4-5"]
    assert make_rule(client, set_model="openai/gpt-4o", fallbacks=fallbacks).status_code == 201


def make_rule(client: httpx.Client, **action: Any) -> httpx.Response:
    return client.post("/v1/routing-rules", json={"name": "fall back", "match_json": {}, "action_json": action})


def test_a_target_that_keeps_failing_is_left_alone_and_told_of(start: Start) -> None:
    client, simulator = start()
    in_order(client)
    target = ("openai", "gpt-4o")
    simulator.fault(provider=target[0], model=target[1], count=None, status=500)
    for _ in range(3):
        assert [a["outcome"] for a in told(ask(client))["attempts"]] == ["failed", "ok"]
    assert calls(simulator).count(target[0]) == 3
    after = told(ask(client))
    assert [(a["outcome"], a.get("reason")) for a in after["attempts"]] == [("skipped", "circuit_open"), ("ok", None)]
    assert (after["attempts"][0]["provider"], after["attempts"][0]["model"]) == target
    assert calls(simulator).count(target[0]) == 3, "it was asked all the same"
    decision = route(client)
    assert (decision["provider"], decision["model"]) != target
    [ejected] = [c for c in decision["candidates"] if (c["provider"], c["model"]) == target]
    assert ejected["ejected"]["reason"] == "circuit_open" and 0 < ejected["ejected"]["retry_in_ms"] <= 60_000


def test_a_target_that_is_well_again_is_found_by_one_probe(start: Start) -> None:
    client, simulator = start(SETTINGS.replace("60000", "300"))
    in_order(client)
    target = told(ask(client))
    simulator.fault(provider=target["provider"], model=target["model"], count=3, status=500)
    for _ in range(3):
        ask(client)
    gp.until(lambda: told(ask(client))["provider"] == target["provider"], "the way back")
    assert [a["outcome"] for a in told(ask(client))["attempts"]] == ["ok"]


@pytest.mark.parametrize("fault", [{"error_event": True}, {"cut_after_bytes": 2400}])
def test_a_target_whose_streams_break_off_is_left_alone(start: Start, fault: dict[str, Any]) -> None:
    client, simulator = start()
    in_order(client)
    def ability() -> float:
        [candidate] = [c for c in route(client)["candidates"] if c["provider"] == "openai"]
        return float(candidate["ability"])

    before = ability()
    simulator.fault(provider="openai", count=None, **fault)
    for _ in range(3):
        broken = ask(client, stream=True)
        assert broken.headers["x-tokenrouter-provider"] == "openai" and "response.failed" in broken.text
    after = told(ask(client))
    assert [(a["outcome"], a.get("reason")) for a in after["attempts"]] == [("skipped", "circuit_open"), ("ok", None)]
    assert before - 0.1 <= ability() < before - 0.02, "three failures in mid-stream are failures of the model"


def test_a_probe_that_streams_tells_with_its_end(start: Start) -> None:
    client, simulator = start(SETTINGS.replace("60000", "1000"))
    in_order(client)
    target = {"provider": "openai", "model": "gpt-4o"}

    def ejected() -> bool:
        [candidate] = [c for c in route(client)["candidates"] if (c["provider"], c["model"]) == ("openai", "gpt-4o")]
        return candidate["ejected"] is not None

    simulator.fault(**target, count=3, status=500)
    for _ in range(3):
        ask(client)
    assert ejected()
    gp.until(lambda: not ejected(), "the time for a probe")
    simulator.fault(**target, drip_ms=20)
    body = {"model": "auto", "input": "Hello", "stream": True}
    with client.stream("POST", "/v1/responses", json=body) as probe:
        assert probe.headers["x-tokenrouter-provider"] == "openai"
        text = probe.iter_text()
        begun = next(text)
        assert "response.completed" not in begun and ejected(), "its first event is no answer"
        assert "response.completed" in "".join(text)
    assert not ejected()


def test_a_plain_answer_that_ends_in_an_error_is_asked_for_elsewhere(start: Start) -> None:
    client, simulator = start()
    in_order(client)
    part = {"type": "output_text", "text": "I was about to", "annotations": []}
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "incomplete", "content": [part]}]
    error = {"code": "server_error", "message": "broken"}
    answer = {"id": "resp_1", "object": "response", "status": "failed", "output": output, "error": error}
    simulator.fault(provider="openai", status=200, body=json.dumps(answer))
    answered = told(ask(client))
    assert [a["outcome"] for a in answered["attempts"]] == ["failed", "ok"]


def test_a_model_that_one_provider_serves_is_asked_for_whatever_its_breaker_says(start: Start) -> None:
    client, simulator = start()
    simulator.fault(provider="openai", count=6, status=500)
    assert {ask(client, "openai/gpt-4o").status_code for _ in range(6)} == {502}
    assert calls(simulator) == ["openai"] * 6
    assert told(ask(client, "openai/gpt-4o"))["provider"] == "openai"


def test_a_provider_that_refuses_the_key_is_not_asked_for_any_model(start: Start) -> None:
    client, simulator = start()
    in_order(client)
    provider = "openai"
    simulator.fault(provider=provider, count=None, status=401)
    answered = told(ask(client))
    assert answered["attempts"][0]["outcome"] == "auth_failed" and answered["provider"] != provider
    again = told(ask(client))
    assert [(a["outcome"], a.get("reason")) for a in again["attempts"]] == [("skipped", "key_refused"), ("ok", None)]
    assert calls(simulator).count(provider) == 1
    [rule] = client.get("/v1/routing-rules").json()["data"]
    client.delete(f"/v1/routing-rules/{rule['id']}")
    candidates = [c for c in route(client)["candidates"] if c["provider"] == provider]
    assert len(candidates) > 1 and {c["ejected"]["reason"] for c in candidates} == {"key_refused"}


def test_a_retry_after_is_waited_out(start: Start) -> None:
    client, simulator = start()
    in_order(client)
    target = {"provider": "openai", "model": "gpt-4o"}
    simulator.fault(**target, count=1, status=429, retry_after=30)
    outcomes = [[a["outcome"] for a in told(ask(client))["attempts"]] for _ in range(3)]
    assert outcomes == [["rate_limited", "ok"], ["skipped", "ok"], ["skipped", "ok"]]
    assert [r["model"] for r in simulator.requests()].count(target["model"]) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_caller_did_wrong_is_asked_once(start: Start, status: int) -> None:
    client, simulator = start()
    simulator.fault(count=None, status=status)
    assert ask(client).status_code == 400
    assert len(calls(simulator)) == 1


def test_a_content_policy_is_not_argued_with_on_the_same_model(start: Start) -> None:
    client, simulator = start()
    in_order(client)
    body = '{"error": {"code": "content_policy_violation", "message": "not this"}}'
    target = told(ask(client))
    simulator.forget()
    simulator.fault(provider=target["provider"], model=target["model"], count=None, status=400, body=body)
    for _ in range(6):
        answered = told(ask(client))
        assert [a["outcome"] for a in answered["attempts"]] == ["content_policy", "ok"], "it opens no breaker"
        assert answered["model"] != target["model"]
    simulator.forget()
    simulator.fault(count=None, status=400, body=body)
    [rule] = client.get("/v1/routing-rules").json()["data"]
    client.delete(f"/v1/routing-rules/{rule['id']}")
    answer = ask(client, "openai/gpt-4o")
    assert answer.status_code == 400 and "not this" in answer.json()["error"]["message"]
    assert len(calls(simulator)) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_connection_is_tried_once_more_where_there_is_no_other_target(start: Start, stream: bool) -> None:
    client, simulator = start()
    simulator.fault(provider="openai", count=1, reset=True)
    answer = ask(client, "openai/gpt-4o", stream=stream)
    assert answer.status_code == 200, answer.text
    assert calls(simulator) == ["openai"] * 2
    simulator.forget()
    simulator.fault(provider="openai", count=None, reset=True)
    assert ask(client, "openai/gpt-4o", stream=stream).status_code == 502
    assert calls(simulator) == ["openai"] * 2


def test_further_attempts_end_with_their_budget(start: Start) -> None:
    client, simulator = start("[upstream]\nretry_budget_percent = 20\nretry_budget_floor = 2\n")
    simulator.fault(count=None, status=500)
    for _ in range(20):
        assert ask(client).status_code == 502
    # Twenty first attempts, and a fifth of that in further ones: two at once by the floor.
    assert 22 <= len(calls(simulator)) <= 24


def test_workspaces_together_have_a_budget_for_further_attempts_too(
    tmp_path: Path, start_gateway: Callable[..., gp.Gateway]
) -> None:
    simulator = gp.start_simulator()
    budget = "retry_budget_percent = 0\nretry_budget_floor = 2\nretry_budget_total_floor = 3\n"
    providers = (gp.provider_settings(name, kind, f"{simulator.url}/{name}{path}") for name, kind, path in KINDS)
    config = tmp_path / "many.toml"
    config.write_text(f"[upstream]\nbreaker_min_requests = 1000\n{budget}" + "".join(providers))
    gateway = start_gateway(simulate=False, config=config, environment={"SIMULATED_KEY": gp.SIMULATED_KEY})
    simulator.fault(count=None, status=500)
    for _ in range(3):
        with gateway.http(gateway.new_workspace()) as client:
            for _ in range(3):
                assert ask(client).status_code == 502
    # Nine first attempts, and of two further ones for each workspace three in all.
    assert len(calls(simulator)) == 9 + 3
    assert simulator.process is not None
    simulator.process.kill()


TOLD = {"input_tokens": 1000, "output_tokens": 1}


def failing_plainly() -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
    error = {"code": "server_error", "message": "The model failed."}
    failed = {"id": "resp_1", "object": "response", "status": "failed", "model": "gpt-4o", "output": []}
    return {"provider": "openai", "body": json.dumps(failed | {"usage": usage, "error": error})}


def failing_in_a_stream() -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": TOLD}
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    events = [{"type": "message_start", "message": message}, overloaded]
    return {
        "provider": "anthropic",
        "body": "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events),
    }


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_told_before_a_failure_is_paid_for(start: Start, stream: bool) -> None:
    client, simulator = start()
    fault = failing_in_a_stream() if stream else failing_plainly()
    model = "anthropic/claude-sonnet-4-5" if stream else "openai/gpt-4o"
    assert make_rule(client, set_model=model, fallbacks=["mistral/mistral-large-latest"]).status_code == 201
    simulator.fault(count=1, status=200, **fault)
    answer = ask(client, "auto", stream=stream)
    assert answer.status_code == 200 and calls(simulator)[-1] == "mistral", answer.text
    [entry] = client.get("/v1/requests").json()["data"]
    decision = client.get(f"/v1/requests/{entry['id']}").json()["decision"]
    [lost, last] = decision["attempts"]
    written = 1 if stream else 200
    assert (lost["usage"]["input_tokens"], lost["usage"]["output_tokens"]) == (1000, written)
    assert lost["cost_usd"] > 0 and "usage" not in last
    # The answer's own usage is the answer's; the log has both, of which the first may be of a beginning.
    assert entry["input_tokens"] > 1000 and entry["output_tokens"] > written
    assert entry["usage_estimated"] == stream
    assert entry["cost_usd"] > lost["cost_usd"]
    if not stream:
        body = answer.json()
        assert body["usage"]["input_tokens"] == entry["input_tokens"] - 1000
        assert body["tokenrouter"]["cost_usd"] == pytest.approx(entry["cost_usd"])
    # Where nobody answers it is paid for too.
    simulator.fault(count=1, status=200, **fault)
    simulator.fault(provider="mistral", count=1, status=500)
    assert ask(client, "auto", stream=stream).status_code >= 500
    failed = client.get("/v1/requests").json()["data"][0]
    assert (failed["outcome"], failed["input_tokens"], failed["cost_usd"]) == ("failed", 1000, lost["cost_usd"])


def test_the_callers_own_limit_counts_and_harms_nobody(start: Start) -> None:
    client, simulator = start()
    simulator.fault(count=None, delay_ms=5000)
    for stream in (False, True):
        body = {"model": "auto", "input": "Hello", "stream": stream}
        answer = client.post("/v1/responses", json=body, headers={"x-request-timeout-ms": "100"})
        assert answer.status_code == 504 and answer.json()["error"]["code"] == "upstream_timeout"
        assert answer.elapsed.total_seconds() < 4
    assert len(calls(simulator)) == 2, "no second target once the time is over"
    assert all(c["ejected"] is None for c in route(client)["candidates"])
    for wrong in ("0", "-5", "soon", ""):
        answer = client.post("/v1/responses", json=body, headers={"x-request-timeout-ms": wrong})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "x-request-timeout-ms"


def test_a_stream_ends_honestly_when_the_total_time_is_over(start: Start) -> None:
    client, simulator = start("[upstream]\ntotal_timeout_ms = 1000\n")
    simulator.fault(provider="openai", count=1, drip_ms=150)
    answer = ask(client, "openai/gpt-4o", stream=True)
    assert "response.failed" in answer.text and "upstream_timeout" in answer.text
    assert "response.completed" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_rules_fallbacks_are_tried_in_their_order_and_nothing_else_is(start: Start, stream: bool) -> None:
    client, simulator = start()
    fallbacks = ["openai/gpt-4o-mini", "mistral/mistral-large-latest"]
    assert make_rule(client, set_model="openai/gpt-4o", fallbacks=fallbacks).status_code == 201
    order = [f"{c['provider']}/{c['model']}" for c in route(client)["candidates"]]
    assert order == ["openai/gpt-4o", *fallbacks]
    simulator.fault(provider="openai", count=2, status=500)
    answer = ask(client, stream=stream)
    assert answer.status_code == 200 and answer.headers["x-tokenrouter-provider"] == "mistral"
    assert [f"{r['provider']}/{r['model']}" for r in simulator.requests()] == order
    simulator.forget()
    simulator.fault(count=None, status=500)
    assert ask(client, stream=stream).status_code == 502
    assert len(calls(simulator)) == 3


def test_a_fallback_that_cannot_serve_is_told(start: Start) -> None:
    client, _ = start()
    assert make_rule(client, set_model="openai/gpt-4o", fallbacks=["no-such-model"]).status_code == 201
    [warning] = told(ask(client))["warnings"]
    assert "no-such-model" in warning["message"] and warning["source"] == "routing_rule"


@pytest.mark.parametrize("fallbacks", [[], [""], [" "], [1], 5, {}, ["gpt-4o"] * 9])
def test_fallbacks_that_are_none_are_refused(start: Start, fallbacks: Any) -> None:
    client, _ = start()
    answer = make_rule(client, fallbacks=fallbacks)
    assert answer.status_code == 422 and "fallbacks" in str(answer.json()["error"]["errors"])


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"garbage": True}, {"cut_after_bytes": 5}])
def test_every_surface_fails_over_until_the_first_byte(
    start: Start, path: str, stream: bool, fault: dict[str, Any]
) -> None:
    client, simulator = start()
    # Whoever is asked first, which may differ between surfaces.
    simulator.fault(count=1, **fault)
    body: dict[str, Any] = {"model": "auto", "stream": stream, "max_tokens": 64}
    body["messages"] = [{"role": "user", "content": "Hello"}]
    if path == "/v1/responses":
        body = {"model": "auto", "stream": stream, "input": "Hello"}
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    first, second = calls(simulator)
    assert answer.headers["x-tokenrouter-provider"] == second != first
