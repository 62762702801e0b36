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


class RoutingRuleUpdateArguments(RoutingRuleUpdateParams, RequestOptions, total=False):
    """What `routing_rules.update` takes."""


class FirewallRuleUpdateArguments(FirewallRuleUpdateParams, RequestOptions, total=False):
    """What `firewall_rules.update` takes."""
