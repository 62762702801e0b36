"""The request log and what it comes to: each request with its decision and its cost, and no prompt."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections import Counter
from typing import Any

import httpx
import pytest
from errors import check_error


def ask(api: httpx.Client, text: str = "Good morning", **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/responses", json={"model": "gpt-4o-mini", "input": text} | body)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


def listed(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = api.get("/v1/requests", params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_a_request_is_told_whole_with_the_price_that_its_cost_is_of(api: httpx.Client) -> None:
    response = ask(api)
    told = response["tokenrouter"]
    request = api.get(f"/v1/requests/{told['request_id']}").json()
    assert (request["id"], request["object"], request["response_id"]) == (told["request_id"], "request", response["id"])
    assert (request["outcome"], request["http_status"], request["error_code"]) == ("completed", 200, None)
    assert (request["provider"], request["model"], request["requested_model"]) == ("openai", "gpt-4o-mini", "gpt-4o-mini")
    assert request["input_tokens"] == response["usage"]["input_tokens"] > 0
    assert request["output_tokens"] == response["usage"]["output_tokens"] > 0
    decision = request["decision"]
    assert decision["attempts"] == told["attempts"] and decision["routing_rules"] == []
    price = decision["price"]
    assert datetime.date.fromisoformat(price["catalog_date"])
    assert (price["input_pico_usd"], price["output_pico_usd"]) == (150_000, 600_000)
    cached, written = request["cached_input_tokens"], request["cache_write_tokens"]
    pico = (
        (request["input_tokens"] - cached - written) * price["input_pico_usd"]
        + cached * price["cache_read_pico_usd"]
        + written * price["cache_write_pico_usd"]
        + request["output_tokens"] * price["output_pico_usd"]
    )
    assert request["cost_nano_usd"] == -(-pico // 1000)
    assert request["cost_usd"] == told["cost_usd"]


def test_a_response_tells_how_it_came_about_also_when_it_was_not_stored(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    for store in (True, False):
        response = ask(api, store=store)
        path = f"/v1/responses/{response['id']}/route"
        route = api.get(path).json()
        request = api.get(f"/v1/requests/{response['tokenrouter']['request_id']}").json()
        assert request == route | {"capture": None}
        check_error(other_api.get(path), 404, "not_found_error", "not_found")
    for unknown in ("resp_1", "resp_" + "0" * 32, "x"):
        check_error(api.get(f"/v1/responses/{unknown}/route"), 404, "not_found_error", "not_found")


def test_a_response_keeps_the_best_of_what_the_dry_run_shows(api: httpx.Client) -> None:
    body = {"model": "auto", "input": [{"role": "user", "content": "Prove that there are infinitely many primes"}]}
    dry = api.post("/v1/route", json=body).json()
    response = api.post("/v1/responses", json=body).json()
    route = api.get(f"/v1/responses/{response['id']}/route").json()["decision"]["route"]
    for name in ("ability_task", "difficulty", "difficulty_prior", "difficulty_weight", "expected_output_tokens", "candidates_in_all"):
        assert route[name] == dry[name], name
    assert route["candidates"] == dry["candidates"][:10] and len(dry["candidates"]) > 10
    [chosen] = [c for c in route["candidates"] if (c["provider"], c["model"]) == (dry["provider"], dry["model"])]
    assert chosen["ability"] > 0 and chosen["scores"]["quality"] > 0
    assert chosen["estimated_cost_usd"] > 0 and chosen["estimated_latency_ms"] > 0
    ended = {"provider": "openai", "model": "o4-mini", "filter": "ended", "reason": "was ended by its provider"}
    assert ended in dry["filtered"]
    assert len(dry["candidates"]) + len(dry["filtered"]) == 97, "every model of the catalog"
    counts = {(one["filter"], one["reason"]): one["count"] for one in route["filtered"]}
    assert counts == Counter((one["filter"], one["reason"]) for one in dry["filtered"])


def test_the_dry_run_shows_what_the_firewall_would_do(api: httpx.Client) -> None:
    rule = {"name": "Tea", "scope": "prompt", "type": "substring", "pattern": "tea", "action": "mask"}
    mask = api.post("/v1/firewall-rules", json=rule).json()["data"]["id"]
    block = api.post("/v1/firewall-rules", json=rule | {"name": "Gin", "pattern": "gin", "action": "block"})
    view = api.post("/v1/route", json={"input": "Tea, more tea"}).json()["firewall"]
    hit = {"rule_id": mask, "name": "Tea", "action": "mask", "scope": "prompt", "matches": 2}
    assert view == {"blocked": None, "hits": [hit]}
    view = api.post("/v1/route", json={"input": "Gin"}).json()["firewall"]
    assert f"firewall rule {block.json()['data']['id']}" in view["blocked"]
    [counted] = [r for r in api.get("/v1/firewall-rules").json()["data"] if r["id"] == mask]
    assert counted["hits"] == 0, "a dry run counts for nothing"


def test_requests_are_listed_newest_first_and_by_pages(api: httpx.Client) -> None:
    ids = [ask(api)["tokenrouter"]["request_id"] for _ in range(5)][::-1]
    assert [request["id"] for request in listed(api)] == ids
    first = api.get("/v1/requests", params={"limit": 2}).json()
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[0], ids[1])
    second = api.get("/v1/requests", params={"limit": 3, "after": ids[1]}).json()
    assert [request["id"] for request in second["data"]] == ids[2:]
    assert second["has_more"] is False
    check_error(
        api.get("/v1/requests", params={"after": "req_none"}), 400, "invalid_request_error", "invalid_parameter", "after"
    )


def test_requests_are_found_by_what_became_of_them(api: httpx.Client) -> None:
    api.post(
        "/v1/firewall-rules",
        json={"name": "No", "scope": "prompt", "type": "substring", "pattern": "zounds", "action": "block"},
    )
    ask(api)
    ask(api, model="claude-haiku-4-5")
    blocked = api.post("/v1/responses", json={"model": "gpt-4o-mini", "input": "zounds"})
    assert blocked.status_code == 422
    assert [r["error_code"] for r in listed(api, outcome="blocked")] == ["firewall_blocked"]
    assert [r["id"] for r in listed(api, outcome="blocked")] == [blocked.headers["x-request-id"]]
    assert [r["model"] for r in listed(api, provider="anthropic")] == ["claude-haiku-4-5"]
    assert [r["model"] for r in listed(api, model="gpt-4o-mini", outcome="completed")] == ["gpt-4o-mini"]
    key = listed(api)[0]["key_id"]
    assert len(listed(api, key_id=key)) == 3 and listed(api, key_id=key + 1_000_000) == []
    now = datetime.datetime.now(datetime.timezone.utc)
    tomorrow = (now + datetime.timedelta(days=1)).date().isoformat()
    assert listed(api, since=tomorrow) == []
    assert len(listed(api, until=tomorrow)) == 3
    assert len(listed(api, since=int(now.timestamp()) - 3600)) == 3
    assert listed(api, until=(now - datetime.timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize(
    ("path", "param", "value"),
    [
        ("requests", "limit", "0"),
        ("requests", "limit", "many"),
        ("requests", "outcome", "good"),
        ("requests", "key_id", "mine"),
        ("requests", "since", "yesterday"),
        ("requests", "format", "xml"),
        ("requests", "until", "99999999999999"),
        ("usage", "until", "2026-99-99"),
        ("usage", "group_by", "moon"),
    ],
)
def test_a_wrong_parameter_is_named(api: httpx.Client, path: str, param: str, value: str) -> None:
    answer = api.get(f"/v1/{path}", params={param: value})
    check_error(answer, 400, "invalid_request_error", "invalid_parameter", param)


@pytest.mark.parametrize(
    ("path", "param"), [("requests", "limit"), ("requests", "outcome"), ("usage", "group_by"), ("usage", "model")]
)
def test_a_parameter_that_is_there_twice_is_named(api: httpx.Client, path: str, param: str) -> None:
    answer = api.get(f"/v1/{path}?{param}=1&{param}=2")
    check_error(answer, 400, "invalid_request_error", "invalid_parameter", param)


@pytest.mark.parametrize("path", ["/v1/requests/%ff", "/v1/responses/%ff/route"])
def test_an_id_that_is_no_text_is_none(api: httpx.Client, path: str) -> None:
    check_error(api.get(path), 404, "not_found_error", "not_found")


def test_another_workspace_sees_nothing(api: httpx.Client, other_api: httpx.Client) -> None:
    request_id = ask(api)["tokenrouter"]["request_id"]
    assert listed(other_api) == []
    assert other_api.get("/v1/usage").json()["data"] == []
    check_error(other_api.get(f"/v1/requests/{request_id}"), 404, "not_found_error", "not_found")
    assert other_api.get("/v1/requests", params={"after": request_id}).status_code == 400


def test_no_prompt_and_no_answer_is_in_the_log(api: httpx.Client, mark: str) -> None:
    response = ask(api, f"Say after me: {mark}", instructions=f"Be {mark}")
    whole = api.get(f"/v1/requests/{response['tokenrouter']['request_id']}").text
    for text in (whole, api.get("/v1/requests").text, api.get("/v1/usage").text):
        assert mark not in text


def test_usage_is_the_sum_of_the_requests(api: httpx.Client) -> None:
    for model in ("gpt-4o-mini", "gpt-4o-mini", "claude-haiku-4-5"):
        ask(api, model=model)
    api.post("/v1/responses", json={"model": "no-such-model", "input": "Hi"})
    requests = listed(api)
    for group_by in ("day", "model", "provider", "key"):
        usage = api.get("/v1/usage", params={"group_by": group_by}).json()
        assert (usage["object"], usage["group_by"]) == ("usage", group_by)
        for field in ("input_tokens", "output_tokens", "cost_nano_usd"):
            total = sum(request[field] or 0 for request in requests)
            assert sum(row[field] for row in usage["data"]) == usage["total"][field] == total > 0
        assert (usage["total"]["requests"], usage["total"]["answered_requests"]) == (4, 3)
        assert usage["total"]["cost_usd"] == usage["total"]["cost_nano_usd"] / 1e9
        assert usage["total"]["unpriced_requests"] == 0, "what reached no provider cost nothing"
    by_model = {row["group"]: row["requests"] for row in api.get("/v1/usage?group_by=model").json()["data"]}
    assert by_model == {"openai/gpt-4o-mini": 2, "anthropic/claude-haiku-4-5": 1, None: 1}
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert [row["group"] for row in api.get("/v1/usage").json()["data"]] == [today]
    assert api.get("/v1/usage", params={"until": "2020-01-01"}).json()["data"] == []


def test_both_are_given_as_csv(api: httpx.Client) -> None:
    ask(api, model="gpt-4o-mini", metadata={"task": '=HYPERLINK("x"), or so'})
    answer = api.get("/v1/requests", params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(answer.text))
    [request] = listed(api)
    assert (row["id"], row["cost_nano_usd"]) == (request["id"], str(request["cost_nano_usd"]))
    assert row["task"] == "'=HYPERLINK(\"x\"), or so", "no spreadsheet runs it"
    answer = api.get("/v1/usage", headers={"accept": "text/csv"})
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["requests"], row["cost_nano_usd"]) == ("1", str(request["cost_nano_usd"]))
    assert json.loads(api.get("/v1/usage", headers={"accept": "application/json"}).text)["data"]
