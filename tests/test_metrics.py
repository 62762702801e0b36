"""What Prometheus is told: counts by outcome, provider and model, and no text of a caller."""

from __future__ import annotations

import re
from collections.abc import Callable

import gateway_process as gp
import httpx


def read(gateway: gp.Gateway) -> dict[str, float]:
    answer = httpx.get(f"{gateway.url}/metrics", trust_env=False)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.]+', line) for line in lines)
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_requests_tokens_cost_time_and_firewall_hits_are_counted(
    start_gateway: Callable[..., gp.Gateway], mark: str
) -> None:
    gateway = start_gateway()
    with gateway.http() as api:
        rule = {"name": "No", "scope": "prompt", "type": "substring", "pattern": "zounds", "action": "block"}
        rule_id = api.post("/v1/firewall-rules", json=rule).json()["data"]["id"]
        body = {"model": "gpt-4o-mini", "input": f"Hi {mark}"}
        told = [api.post("/v1/responses", json=body).json() for _ in range(2)]
        assert api.post("/v1/responses", json=body | {"input": "zounds"}).status_code == 422
        assert api.post("/v1/responses", json=body | {"model": mark}).status_code == 404
        with api.stream("POST", "/v1/responses", json=body | {"stream": True}) as stream:
            stream.read()
        metrics = read(gateway)
        of = '{outcome="completed",provider="openai",model="gpt-4o-mini"}'
        assert metrics[f"tokenrouter_requests_total{of}"] == 3
        one = told[0]["usage"]
        assert metrics[f"tokenrouter_input_tokens_total{of}"] == 3 * one["input_tokens"]
        assert metrics[f"tokenrouter_output_tokens_total{of}"] == 3 * one["output_tokens"]
        spent = api.get("/v1/usage").json()["total"]["cost_nano_usd"]
        assert metrics[f"tokenrouter_cost_nano_usd_total{of}"] == spent > 0
        assert metrics['tokenrouter_requests_total{outcome="blocked",provider="",model=""}'] == 1
        assert metrics['tokenrouter_requests_total{outcome="failed",provider="",model=""}'] == 1
        hits = f'tokenrouter_firewall_matches_total{{rule_id="{rule_id}",action="block",scope="prompt"}}'
        assert metrics[hits] == 1
        assert metrics['tokenrouter_request_duration_seconds_bucket{provider="openai",le="+Inf"}'] == 3
        assert metrics['tokenrouter_request_duration_seconds_count{provider="openai"}'] == 3
        gp.until(lambda: read(gateway)["tokenrouter_requests_in_flight"] == 0, "the end of all requests")
        assert mark not in httpx.get(f"{gateway.url}/metrics", trust_env=False).text
