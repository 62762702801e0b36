"""How the SDK is used, as the type checkers see it: `make test-types` checks this file, nothing runs it."""

from typing_extensions import assert_type

from tokenrouter import (
    AsyncStream,
    AsyncTokenrouter,
    Feedback,
    FirewallRule,
    ProviderKey,
    RequestEntry,
    Response,
    RoutingRule,
    Stream,
    Tokenrouter,
    Workspace,
)
from tokenrouter.types import FirewallRuleCreateParams, ResponseCreateParams, RoutingRuleCreateParams

PARAMS: ResponseCreateParams = {"model": "auto:balance", "input": "Hello", "router_mode": "fast"}
ROUTING_RULE: RoutingRuleCreateParams = {"name": "Rule", "action_json": {"set_mode": "cost"}}
FIREWALL_RULE: FirewallRuleCreateParams = {
    "name": "Rule",
    "scope": "prompt",
    "type": "substring",
    "pattern": "tea",
    "action": "mask",
}


def sync(client: Tokenrouter, stream: bool) -> None:
    assert_type(client.responses.create(model="auto", input="Hello", temperature=0.5), Response)
    assert_type(client.responses.create(model="auto", input="Hello", stream=False), Response)
    assert_type(client.responses.create(model="auto", input="Hello", stream=True), Stream)
    assert_type(client.responses.create(model="auto", input="Hello", stream=stream), Response | Stream)
    assert_type(client.responses.retrieve("resp_1").output_text, str)
    assert_type(client.responses.replay("resp_1", stream=True), Stream)
    assert_type(client.responses.feedback("resp_1", thumbs="up", comment="Good").score, float)
    assert_type(client.responses.feedback("resp_1", score=0.5), Feedback)
    assert_type(client.routing_rules.create(**ROUTING_RULE).data, RoutingRule)
    assert_type(client.firewall_rules.create(**FIREWALL_RULE, timeout=5.0).data, FirewallRule)
    assert_type(client.routing_rules.update(1, priority=5, extra_headers={"a": "b"}).data.priority, int)
    assert_type(client.firewall_rules.list().data, list[FirewallRule])
    assert_type(client.api_keys.create(name="ci", models=["gpt-4o*"]).data.key, str | None)
    assert_type(client.provider_keys.create(provider="openai", key="sk-1", weight=2).data, ProviderKey)
    assert_type(client.provider_keys.test(1).data.ok, bool)
    assert_type(client.requests.list(outcome="failed", since="2026-01-01").data, list[RequestEntry])
    assert_type(client.usage.retrieve(group_by="model", timeout=5.0).total.cost_nano_usd, int)
    assert_type(client.workspace.update(monthly_budget_usd=100, requests_per_minute=None).data, Workspace)
    assert_type(client.workspace.retrieve().data.this_month.used_usd, float)
    for chunk in client.responses.create(input="Hello", stream=True):
        assert_type(chunk.event, str)


async def asynchronous(client: AsyncTokenrouter) -> None:
    assert_type(await client.responses.create(model="auto", input="Hello"), Response)
    assert_type(await client.responses.create(model="auto", input="Hello", stream=True), AsyncStream)
    assert_type((await client.firewall_rules.retrieve(1)).data, FirewallRule)
    assert_type(await client.requests.retrieve("req_1"), RequestEntry)
    assert_type((await client.workspace.retrieve()).data.max_in_flight, int | None)
    async for chunk in await client.responses.create(input="Hello", stream=True):
        assert_type(chunk.type, str)
