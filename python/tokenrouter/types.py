"""What goes in, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx
from typing_extensions import Required, TypedDict

RouterMode = Literal["balance", "balanced", "cost", "quality", "latency", "fast"]


class RequestOptions(TypedDict, total=False):
    """What every call takes besides its own fields; `timeout` in seconds."""

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: float | httpx.Timeout | None


class ResponseCreateParams(TypedDict, total=False):
    """The fields of Open Responses, and the router's own (`router_*`)."""

    model: str | None
    input: Required[str | Sequence[Any]]
    instructions: str | None
    stream: bool | None
    stream_options: dict[str, Any] | None
    tools: Sequence[Any] | None
    tool_choice: Any
    parallel_tool_calls: bool | None
    max_tool_calls: int | None
    text: dict[str, Any] | None
    reasoning: dict[str, Any] | None
    temperature: float | None
    top_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    top_logprobs: int | None
    max_output_tokens: int | None
    truncation: Literal["auto", "disabled"] | None
    include: Sequence[str] | None
    metadata: dict[str, Any] | None
    previous_response_id: str | None
    conversation: Any
    background: bool | None
    store: bool | None
    service_tier: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    user: str | None
    router_mode: RouterMode | None
    router_model: str | None
    router_provider: str | None
    router_strict: bool | None


class RouteParams(ResponseCreateParams, RequestOptions, total=False):
    """A request whose routing is asked for."""


class RoutingRuleUpdateParams(TypedDict, total=False):
    name: str
    priority: int
    is_enabled: bool
    match_json: dict[str, Any] | str
    action_json: dict[str, Any] | str


class RoutingRuleCreateParams(TypedDict, total=False):
    name: Required[str]
    priority: int
    is_enabled: bool
    match_json: dict[str, Any] | str
    action_json: Required[dict[str, Any] | str]


class FirewallRuleUpdateParams(TypedDict, total=False):
    name: str
    priority: int
    is_enabled: bool
    scope: Literal["prompt", "response"]
    type: Literal["substring", "regex", "detector"]
    pattern: str
    action: Literal["block", "mask", "warn", "shadow"]
    replacement: str | None
    normalize: bool


class FirewallRuleCreateParams(TypedDict, total=False):
    name: Required[str]
    priority: int
    is_enabled: bool
    scope: Required[Literal["prompt", "response"]]
    type: Required[Literal["substring", "regex", "detector"]]
    pattern: Required[str]
    action: Required[Literal["block", "mask", "warn", "shadow"]]
    replacement: str | None
    normalize: bool


class RequestFilter(TypedDict, total=False):
    """Which requests: `since` is the first moment and `until` the first after, each a day (`2026-11-24`), a moment in
    ISO 8601, or seconds since 1970."""

    outcome: Literal["completed", "incomplete", "cancelled", "blocked", "failed"]
    provider: str
    model: str
    key_id: int
    since: str | int
    until: str | int


class RequestListArguments(RequestFilter, RequestOptions, total=False):
    """What `requests.list` takes: `limit` 1 to 1000, and `after`, the id that the page before ended with."""

    limit: int
    after: str


class UsageArguments(RequestFilter, RequestOptions, total=False):
    """What `usage.retrieve` takes."""

    group_by: Literal["day", "model", "provider", "key"]


class ApiKeyCreateParams(TypedDict, total=False):
    """`scope` is `inference` for a key that manages nothing, as one with `models` or limits always is."""

    name: Required[str]
    expires_at: str
    expires_in_days: int
    scope: Literal["full", "inference"]
    models: Sequence[str]
    requests_per_minute: int
    tokens_per_minute: int
    max_in_flight: int
    monthly_tokens: int
    monthly_budget_usd: float


class ApiKeyCreateArguments(ApiKeyCreateParams, RequestOptions, total=False):
    """What `api_keys.create` takes."""


class WorkspaceUpdateParams(TypedDict, total=False):
    """What all keys of the workspace may do together, and from how sure a task, 0 to 100, its rules on `task` fire. None
    takes a limit away, or gives the gateway's setting back; what is not given stays.
    """

    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_in_flight: int | None
    monthly_tokens: int | None
    monthly_budget_usd: float | None
    task_confidence_percent: int | None


class WorkspaceUpdateArguments(WorkspaceUpdateParams, RequestOptions, total=False):
    """What `workspace.update` takes."""


class ProviderKeyCreateParams(TypedDict, total=False):
    """`weight` 1 to 1000: how often the key is taken, beside others for the same provider."""

    provider: Required[str]
    key: Required[str]
    name: str
    weight: int


class ProviderKeyCreateArguments(ProviderKeyCreateParams, RequestOptions, total=False):
    """What `provider_keys.create` takes."""


class ProviderKeyUpdateArguments(RequestOptions, total=False):
    """What `provider_keys.update` takes."""

    name: str
    weight: int


class RoutingRuleUpdateArguments(RoutingRuleUpdateParams, RequestOptions, total=False):
    """What `routing_rules.update` takes."""


class FirewallRuleUpdateArguments(FirewallRuleUpdateParams, RequestOptions, total=False):
    """What `firewall_rules.update` takes."""
