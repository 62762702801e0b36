"""Limits of API keys: reserved when a request comes, settled when it ends, exact whoever comes at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error


def make(api: httpx.Client, **fields: Any) -> str:
    answer = api.post("/v1/api-keys", json={"name": "limited"} | fields)
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["data"]["key"]
    return key


BODY = {"model": "gpt-4o-mini", "input": "Good morning", "max_output_tokens": 50}


def test_requests_a_minute(gateway: gp.Gateway, api: httpx.Client) -> None:
    with gateway.http(make(api, requests_per_minute=3)) as limited:
        for left in (2, 1, 0):
            answer = limited.post("/v1/responses", json=BODY)
            assert answer.status_code == 200
            assert answer.headers["x-ratelimit-limit-requests"] == "3"
            assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
            assert answer.headers["x-ratelimit-reset-requests"].endswith("ms")
        for path, body in (
            ("/v1/responses", BODY),
            ("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}),
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hi"}),
        ):
            answer = limited.post(path, json=body)
            check_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert api.post("/v1/responses", json=BODY).status_code == 200, "another key has its own"


def test_tokens_a_minute_are_settled_by_what_was_used(gateway: gp.Gateway, api: httpx.Client) -> None:
    with gateway.http(make(api, tokens_per_minute=1000)) as limited:
        first = limited.post("/v1/responses", json=BODY | {"max_output_tokens": 900})
        assert first.status_code == 200
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 110, "reserved"
        second = limited.post("/v1/responses", json=BODY | {"max_output_tokens": 500})
        assert second.status_code == 200, "what was not used came back"
        answer = limited.post("/v1/responses", json=BODY | {"max_output_tokens": 16000})
        check_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")


def test_tokens_a_month(gateway: gp.Gateway, api: httpx.Client) -> None:
    with gateway.http(make(api, monthly_tokens=200)) as limited:
        assert limited.post("/v1/responses", json=BODY).status_code == 200
        answer = limited.post("/v1/responses", json=BODY | {"max_output_tokens": 200})
        check_error(answer, 429, "rate_limit_error", "monthly_quota_exceeded")
        assert 1 <= int(answer.headers["retry-after"]) <= 31 * 86_400


def test_a_stream_holds_its_place_and_a_caller_who_leaves_gives_it_back(
    faulty: tuple[httpx.Client, gp.Simulator], standalone: tuple[gp.Gateway, gp.Simulator]
) -> None:
    api, simulator = faulty
    with standalone[0].http(make(api, max_in_flight=1)) as limited:
        for _ in range(3):
            simulator.fault(drip_ms=200, count=1)
            with limited.stream("POST", "/v1/responses", json=BODY | {"stream": True}) as stream:
                assert stream.status_code == 200
                # Kept, or it would close the stream.
                pieces = stream.iter_raw()
                next(pieces)
                check_error(
                    httpx.post(
                        f"{standalone[0].url}/v1/responses", json=BODY, headers=limited.headers, trust_env=False
                    ),
                    429,
                    "rate_limit_error",
                    "rate_limit_exceeded",
                )
            gp.until(lambda: limited.post("/v1/responses", json=BODY).status_code == 200, "the place given back")


def test_a_place_is_given_back_when_all_fails(
    faulty: tuple[httpx.Client, gp.Simulator], standalone: tuple[gp.Gateway, gp.Simulator]
) -> None:
    api, simulator = faulty
    with standalone[0].http(make(api, max_in_flight=1)) as limited:
        for stream in (False, True, False):
            simulator.fault(status=500, count=3)
            assert limited.post("/v1/responses", json=BODY | {"stream": stream}).status_code == 502
            simulator.forget()
        assert limited.post("/v1/responses", json=BODY).status_code == 200


def test_a_budget_of_one_dollar_is_not_passed_by_a_thousand_at_once(
    start_gateway: Callable[..., gp.Gateway], tmp_path: Path
) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        key = make(api, monthly_budget_usd=1.0)
        # Half a cent each, so that not all can have one.
        body = {"model": "gpt-4o", "input": "word " * 2000, "max_output_tokens": 16}

        async def all_at_once() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=1000)
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(
                base_url=gateway.url, headers=headers, limits=limits, timeout=60, trust_env=False
            ) as client:
                return await asyncio.gather(*(client.post("/v1/responses", json=body) for _ in range(1000)))

        answers = asyncio.run(all_at_once())
        refused = [answer for answer in answers if answer.status_code != 200]
        for answer in refused:
            check_error(answer, 429, "rate_limit_error", "budget_exceeded")
        assert refused and len(refused) < 1000
        usage = {row["group"]: row for row in api.get("/v1/usage?group_by=key").json()["data"]}
        [own] = [k for k in api.get("/v1/api-keys").json()["data"] if k["name"] == "limited"]
        spent = usage[str(own["id"])]["cost_nano_usd"]
        assert spent == sum(round(a.json()["tokenrouter"]["cost_usd"] * 1e9) for a in answers if a.status_code == 200)
        # The estimate is a quarter above what the simulator counts: so much is spent if all are reserved for first.
        assert 750_000_000 < spent <= 1_000_000_000
    assert gateway.stop() == 0
    again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})
    with again.http(key) as limited:
        # A quarter of the budget, which is more than what can be left.
        answer = limited.post("/v1/responses", json=body | {"max_output_tokens": 16_000, "input": "word " * 30_000})
        check_error(answer, 429, "rate_limit_error", "budget_exceeded")


def test_under_a_budget_a_model_must_have_a_price(start_gateway: Callable[..., gp.Gateway], tmp_path: Path) -> None:
    config = tmp_path / "tokenrouter.toml"
    config.write_text('[[providers]]\nname = "openai"\nkind = "openai"\nmodels = ["homemade"]\n')
    gateway = start_gateway(config=config)
    with gateway.http() as api:
        assert api.post("/v1/responses", json=BODY | {"model": "homemade"}).status_code == 200
        assert api.get("/v1/usage").json()["total"]["unpriced_requests"] == 1
        assert api.get("/v1/usage").json()["total"]["cost_nano_usd"] == 0
        with gateway.http(make(api, monthly_budget_usd=5)) as limited:
            answer = limited.post("/v1/responses", json=BODY | {"model": "homemade"})
            check_error(answer, 403, "authorization_error", "model_not_allowed", "model")
            assert limited.post("/v1/responses", json=BODY).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requests_per_minute", 0),
        ("tokens_per_minute", -1),
        ("max_in_flight", 1.5),
        ("monthly_tokens", "many"),
        ("monthly_budget_usd", 0),
        ("monthly_budget_usd", "1.00"),
    ],
)
def test_a_wrong_limit_is_named(api: httpx.Client, field: str, value: Any) -> None:
    answer = api.post("/v1/api-keys", json={"name": "x", field: value})
    check_error(answer, 422, "validation_error", "validation_failed", field)


def test_the_command_line_sets_limits(gateway: gp.Gateway) -> None:
    database = ("--database", f"sqlite:{gateway.database}")
    ended = gp.run("keys", "create", "--requests-per-minute", "1", "--monthly-budget-usd", "2.5", *database)
    assert ended.returncode == 0, ended.stderr
    with gateway.http(ended.stdout.strip()) as limited:
        assert limited.post("/v1/responses", json=BODY).status_code == 200
        check_error(limited.post("/v1/responses", json=BODY), 429, "rate_limit_error", "rate_limit_exceeded")


LONG = {"model": "gpt-4o-mini", "input": "word " * 800, "max_output_tokens": 50}


def leave(client: httpx.Client, body: dict[str, Any]) -> None:
    with pytest.raises(httpx.TimeoutException):
        client.post("/v1/responses", json=body, timeout=0.7)


def newest(api: httpx.Client, outcome: str) -> dict[str, Any]:
    """The request that ended last, once it is in the ledger."""

    def entries() -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = api.get(f"/v1/requests?outcome={outcome}").json()["data"]
        return data

    gp.until(lambda: bool(entries()), f"a request that was {outcome}")
    return entries()[0]


def test_what_a_caller_who_left_is_likely_to_have_used_is_counted_also_after_a_restart(
    start_gateway: Callable[..., gp.Gateway],
) -> None:
    gateway = start_gateway()
    simulator = gp.Simulator(gateway.process.wait_for(r"simulator on (http://127\.0\.0\.1:\d+)"))
    simulator.fault(provider="openai", delay_ms=3000)
    with gateway.http() as api:
        key = make(api, monthly_tokens=1500)
        with gateway.http(key) as limited:
            leave(limited, LONG)
            entry = newest(api, "cancelled")
            assert (entry["provider"], entry["model"]) == ("openai", "gpt-4o-mini")
            assert entry["usage_estimated"] and entry["input_tokens"] > 900 and entry["output_tokens"] <= 50
            assert entry["cost_nano_usd"] > 0
            check_error(limited.post("/v1/responses", json=LONG), 429, "rate_limit_error", "monthly_quota_exceeded")
            assert limited.post("/v1/responses", json=BODY).status_code == 200
        assert not newest(api, "completed")["usage_estimated"]
    assert gateway.stop() == 0
    again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})
    with again.http(key) as limited:
        check_error(limited.post("/v1/responses", json=LONG), 429, "rate_limit_error", "monthly_quota_exceeded")
        assert limited.post("/v1/responses", json=BODY).status_code == 200


def test_what_a_cut_stream_wrote_is_counted_and_not_what_it_said_at_its_beginning(
    faulty: tuple[httpx.Client, gp.Simulator], standalone: tuple[gp.Gateway, gp.Simulator]
) -> None:
    _, simulator = faulty
    body = {"model": "anthropic/claude-sonnet-4-5", "input": "Tell me a story", "stream": True}
    with standalone[0].http(standalone[0].new_workspace()) as api:
        whole = api.post("/v1/responses", json=body).text
        assert "usage_estimated" not in whole
        # Half of the stream: its usage so far is that of `message_start`.
        simulator.fault(provider="anthropic", cut_after_bytes=1500)
        cut = api.post("/v1/responses", json=body).text
        [failed] = [json.loads(line[6:]) for line in cut.splitlines() if line.startswith('data: {"type":"response.fa')]
        deltas = [json.loads(line[6:]) for line in cut.splitlines() if '"response.output_text.delta"' in line]
        text = "".join(delta["delta"] for delta in deltas if "delta" in delta)
        response = failed["response"]
        assert len(text) > 40 and response["tokenrouter"]["usage_estimated"] is True
        assert response["usage"]["output_tokens"] == -(-len(text.encode()) // 4) > 1
        entry = newest(api, "failed")
        assert entry["usage_estimated"] and entry["output_tokens"] == response["usage"]["output_tokens"]
        assert entry["cost_usd"] == response["tokenrouter"]["cost_usd"] > 0


def test_a_budget_takes_the_best_target_that_fits_into_it(gateway: gp.Gateway, api: httpx.Client) -> None:
    action = {"set_model": "openai/gpt-4o", "fallbacks": ["openai/gpt-4o-mini"]}
    rule = {"name": "the better first", "match_json": {"mode": "quality"}, "action_json": action}
    assert api.post("/v1/routing-rules", json=rule).status_code == 201
    body = {"model": "auto:quality", "input": "Good morning", "max_output_tokens": 1000}
    assert api.post("/v1/responses", json=body).json()["model"] == "gpt-4o"
    with gateway.http(make(api, monthly_budget_usd=0.002)) as limited:
        told = limited.post("/v1/responses", json=body).json()["tokenrouter"]
        assert told["model"] == "gpt-4o-mini" and 0 < told["cost_usd"] <= 0.002
        [warning] = told["warnings"]
        assert "openai/gpt-4o is left out" in warning["message"]
        answer = limited.post("/v1/responses", json=body | {"model": "openai/gpt-4o"})
        check_error(answer, 429, "rate_limit_error", "budget_exceeded")
        assert limited.post("/v1/responses", json=body | {"model": "auto"}).status_code == 200


def test_what_is_not_sold_at_the_standard_price_has_no_known_cost(gateway: gp.Gateway, api: httpx.Client) -> None:
    fast: dict[str, Any] = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50, "speed": "fast"}
    fast["messages"] = [{"role": "user", "content": "Hi"}]
    priority = BODY | {"service_tier": "priority"}
    told = api.post("/v1/responses", json=priority).json()["tokenrouter"]
    assert told["cost_usd"] is None and "`service_tier`" in told["warnings"][-1]["message"]
    assert api.post("/v1/messages", json=fast).status_code == 200
    assert api.get("/v1/usage").json()["total"]["unpriced_requests"] == 2
    assert api.post("/v1/responses", json=BODY | {"service_tier": "default"}).json()["tokenrouter"]["cost_usd"] > 0
    with gateway.http(make(api, monthly_budget_usd=5)) as limited:
        answer = limited.post("/v1/responses", json=priority)
        check_error(answer, 403, "authorization_error", "model_not_allowed", "service_tier")
        answer = limited.post("/v1/messages", json=fast)
        assert answer.status_code == 403 and "speed" in answer.text
        # Elsewhere it is not sent, and the standard price holds.
        answer = limited.post("/v1/responses", json=priority | {"model": "auto"})
        assert answer.status_code == 200 and answer.json()["tokenrouter"]["provider"] != "openai"
