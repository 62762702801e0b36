"""Limits of a workspace: what all of its keys may do together, held like those of one key."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import gateway_process as gp
import httpx
import pytest
from errors import check_error

BODY = {"model": "gpt-4o-mini", "input": "Good morning", "max_output_tokens": 50}


def make(api: httpx.Client, **fields: Any) -> str:
    answer = api.post("/v1/api-keys", json={"name": "one of some"} | fields)
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["data"]["key"]
    return key


def limit(api: httpx.Client, **limits: Any) -> dict[str, Any]:
    answer = api.patch("/v1/workspace", json=limits)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def all_at_once(url: str, keys: Sequence[str], body: dict[str, Any], count: int) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as client:
            headers = [{"Authorization": f"Bearer {keys[i % len(keys)]}"} for i in range(count)]
            return await asyncio.gather(*(client.post("/v1/responses", json=body, headers=h) for h in headers))

    return asyncio.run(ask())


def test_a_budget_of_one_dollar_is_not_passed_by_a_thousand_of_several_keys(
    start_gateway: Callable[..., gp.Gateway],
) -> None:
    gateway = start_gateway()
    body = {"model": "gpt-4o", "input": "word " * 2000, "max_output_tokens": 16}
    with gateway.http() as api:
        # Spent before there is a budget, which counts all the same.
        assert api.post("/v1/responses", json=body).status_code == 200
        keys = [gateway.key, *(make(api) for _ in range(4))]
        assert limit(api, monthly_budget_usd=1.0)["this_month"]["used_usd"] > 0
        answers = all_at_once(gateway.url, keys, body, 1000)
        refused = [answer for answer in answers if answer.status_code != 200]
        for answer in refused:
            check_error(answer, 429, "rate_limit_error", "budget_exceeded")
            assert int(answer.headers["retry-after"]) >= 1 and "this workspace" in answer.text
        spent = api.get("/v1/usage").json()["total"]["cost_nano_usd"]
        assert refused and 750_000_000 < spent <= 1_000_000_000
        month = api.get("/v1/workspace").json()["data"]["this_month"]
        assert round(month["used_usd"] * 1e9) == spent and month["reserved_usd"] == 0
        by_key = {row["group"]: row for row in api.get("/v1/usage?group_by=key").json()["data"]}
        assert len(by_key) > 1, "one key got all"
    assert gateway.stop() == 0
    again = start_gateway(environment={"TOKENROUTER_BOOTSTRAP_KEY": gateway.key})
    with again.http() as api:
        assert api.get("/v1/workspace").json()["data"]["this_month"] == month, "forgotten at the restart"
        answer = api.post("/v1/responses", json=body | {"max_output_tokens": 16_000, "input": "word " * 30_000})
        check_error(answer, 429, "rate_limit_error", "budget_exceeded")


def test_requests_a_minute_are_the_workspaces_and_each_keys_own(gateway: gp.Gateway, api: httpx.Client) -> None:
    limit(api, requests_per_minute=3)
    with gateway.http(make(api)) as one, gateway.http(make(api, requests_per_minute=1)) as other:
        answer = one.post("/v1/responses", json=BODY)
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == "2"
        answer = other.post("/v1/responses", json=BODY)
        assert answer.headers["x-ratelimit-limit-requests"] == "1", "the tighter one is told"
        check_error(other.post("/v1/responses", json=BODY), 429, "rate_limit_error", "rate_limit_exceeded")
        assert api.post("/v1/responses", json=BODY).status_code == 200
        for client in (one, api):
            answer = client.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": "Hi"})
            check_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 20
        limit(api, requests_per_minute=None)
        assert one.post("/v1/responses", json=BODY).status_code == 200


def test_tokens_a_month(gateway: gp.Gateway, api: httpx.Client, other_api: httpx.Client) -> None:
    limit(api, monthly_tokens=200)
    with gateway.http(make(api)) as one:
        assert one.post("/v1/responses", json=BODY).status_code == 200
        answer = api.post("/v1/responses", json=BODY | {"max_output_tokens": 200})
        check_error(answer, 429, "rate_limit_error", "monthly_quota_exceeded")
    assert other_api.post("/v1/responses", json=BODY | {"max_output_tokens": 200}).status_code == 200
    assert other_api.get("/v1/workspace").json()["data"]["monthly_tokens"] is None


def test_only_who_manages_the_workspace_sees_and_sets_its_limits(gateway: gp.Gateway, api: httpx.Client) -> None:
    with gateway.http(make(api, scope="inference")) as one:
        for answer in (one.get("/v1/workspace"), one.patch("/v1/workspace", json={"monthly_tokens": None})):
            check_error(answer, 403, "authorization_error", "key_not_allowed")
    data = limit(api, monthly_budget_usd=12.5, max_in_flight=7)
    assert (data["monthly_budget_usd"], data["max_in_flight"], data["tokens_per_minute"]) == (12.5, 7, None)
    data = limit(api, max_in_flight=None)
    assert (data["monthly_budget_usd"], data["max_in_flight"]) == (12.5, None), "what is not given stays"
    assert limit(api, **data)["monthly_budget_usd"] == 12.5, "it can be sent back as it came"


@pytest.mark.parametrize(("field", "value"), [("monthly_tokens", 0), ("monthly_budget_usd", "1"), ("budget", 1)])
def test_a_wrong_limit_is_named(api: httpx.Client, field: str, value: Any) -> None:
    answer = api.patch("/v1/workspace", json={field: value})
    check_error(answer, 422, "validation_error", "validation_failed", field)


def test_the_command_line_sets_and_lists_them(gateway: gp.Gateway, api: httpx.Client) -> None:
    database = ("--database", f"sqlite:{gateway.database}")
    name = api.get("/v1/workspace").json()["data"]["name"]
    ended = gp.run("workspaces", "limit", "--workspace", name, "--requests-per-minute", "1", "--json", *database)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)[0]["requests_per_minute"] == 1
    gp.until(lambda: api.get("/v1/models").status_code == 200, "the gateway")

    def limited() -> bool:
        return api.post("/v1/responses", json=BODY).status_code == 429

    gp.until(limited, "the gateway's noticing")
    listed = json.loads(gp.run("workspaces", "list", "--json", *database).stdout)
    assert next(row for row in listed if row["name"] == name)["requests_per_minute"] == 1
    ended = gp.run("workspaces", "limit", "--workspace", name, "--requests-per-minute", "none", *database)
    assert ended.returncode == 0 and name in ended.stdout
    gp.until(lambda: not limited(), "the way back")
    for wrong in (["--monthly-tokens", "many"], ["--monthly-tokens", "0"], ["--workspace", "nobody"]):
        assert gp.run("workspaces", "limit", *wrong, *database).returncode != 0


def test_the_limits_are_in_the_database(gateway: gp.Gateway, api: httpx.Client) -> None:
    data = limit(api, monthly_budget_usd=0.25)
    with sqlite3.connect(gateway.database) as database:
        found = database.execute("SELECT monthly_budget_nano_usd FROM workspaces WHERE id = ?", (data["id"],))
        assert found.fetchone() == (250_000_000,)
