"""What the API gives back. Fields that this version does not know are kept, never refused."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

T = TypeVar("T")


class Model(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    _request_id: str | None = PrivateAttr(default=None)

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class Usage(Model):
    """Tokens. `input_tokens` includes those that came from a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: dict[str, Any] = Field(default_factory=dict)
    output_tokens_details: dict[str, Any] = Field(default_factory=dict)


class Warning_(Model):
    source: str | None = None
    rule_id: int | None = None
    message: str = ""


class Attempt(Model):
    """`provider_key_id`: the workspace's own key that it was made with. `usage` and `cost_usd`: of one that failed, what it
    told that it had used, and what that costs, if the price is known.
    """

    provider: str | None = None
    model: str | None = None
    outcome: str | None = None
    reason: str | None = None
    provider_key_id: int | None = None
    latency_ms: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None


class FirewallHit(Model):
    rule_id: int | None = None
    action: str | None = None
    scope: str | None = None
    matches: int = 0


class RouterInfo(Model):
    """What the router did: `response.tokenrouter`."""

    request_id: str | None = None
    provider: str | None = None
    model: str | None = None
    mode: str | None = None
    task: str | None = None
    confidence: float | None = None
    warnings: list[Warning_] = Field(default_factory=list[Warning_])
    routing_rules: list[int] = Field(default_factory=list[int])
    firewall: list[FirewallHit] = Field(default_factory=list[FirewallHit])
    attempts: list[Attempt] = Field(default_factory=list[Attempt])
    cost_usd: float | None = None
    latency_ms: float | None = None


class OutputPart(Model):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] = Field(default_factory=list[Any])


class OutputItem(Model):
    """A message, a function call, reasoning, or what a provider adds to these."""

    type: str = ""
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[OutputPart] | None = None
    summary: list[OutputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None


class Response(Model):
    id: str = ""
    object: str = "response"
    created_at: float = 0
    completed_at: float | None = None
    status: str | None = None
    model: str | None = None
    output: list[OutputItem] = Field(default_factory=list[OutputItem])
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    instructions: Any = None
    previous_response_id: str | None = None
    metadata: dict[str, Any] | None = None
    usage: Usage | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    tool_choice: Any = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    tokenrouter: RouterInfo | None = None

    @property
    def output_text(self) -> str:
        """The text of the message items, joined."""
        parts = [part for item in self.output if item.type == "message" for part in item.content or []]
        return "".join(part.text or "" for part in parts if part.type == "output_text")


class Conversation(Model):
    id: str
    object: str = "conversation"
    created_at: float = 0
    metadata: dict[str, Any] | None = None


class RoutingRule(Model):
    id: int
    user_id: int | None = None
    name: str
    priority: int
    is_enabled: bool
    match_json: dict[str, Any]
    action_json: dict[str, Any]
    created_at: str | None = None
    updated_at: str | None = None


class FirewallRule(Model):
    id: int
    user_id: int | None = None
    name: str
    priority: int
    is_enabled: bool
    scope: str
    type: str
    pattern: str
    action: str
    replacement: str | None = None
    normalize: bool = False
    engine: str | None = None
    hits: int = 0
    last_hit_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class MatchPlace(Model):
    """In characters of the text."""

    start: int
    end: int


class FirewallTrial(Model):
    """What a draft rule would do to a text; `text` is None if it blocks."""

    matches: list[MatchPlace] = Field(default_factory=list[MatchPlace])
    blocked: bool = False
    text: str | None = None
    exhausted: bool = False
    engine: str | None = None
    engine_reason: str | None = None
    duration_us: int | None = None


class ApiKey(Model):
    """An API key of the workspace. `key` is there once, in what `api_keys.create` gives."""

    id: int
    name: str
    key: str | None = None
    user_id: int | None = None
    prefix: str = ""
    last4: str = ""
    scope: str = "full"
    models: list[str] = Field(default_factory=list[str])
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_in_flight: int | None = None
    monthly_tokens: int | None = None
    monthly_budget_usd: float | None = None
    created_at: str | None = None
    expires_at: str | None = None
    revoked_at: str | None = None

    def __repr_args__(self) -> Any:
        return [(name, "..." if name == "key" and value else value) for name, value in super().__repr_args__()]


class ProviderKey(Model):
    """A key of the workspace's own for a provider. The key itself is never given out."""

    id: int
    provider: str
    name: str
    weight: int = 1
    last4: str = ""
    host: str | None = None
    is_usable: bool = True
    problem: str | None = None
    master_key_version: int | None = None
    user_id: int | None = None
    created_at: str | None = None
    updated_at: str | None = None


class ProviderKeyTest(Model):
    """What the provider said of a key; `detail` is None where it is good."""

    id: int
    ok: bool
    outcome: str
    detail: str | None = None
    latency_ms: int | None = None


class RequestEntry(Model):
    """A request in the log. Tokens are counts, money is in billionths of a US dollar (`cost_nano_usd`), None where
    it is not known; `cost_usd` is for reading. `decision` is there for one that is asked for by its id, and so is `capture`
    (`input` and `output`), where the workspace keeps prompts and answers.
    """

    id: str
    created_at: str | None = None
    key_id: int | None = None
    response_id: str | None = None
    outcome: str = ""
    http_status: int | None = None
    error_code: str | None = None
    provider: str | None = None
    model: str | None = None
    requested_model: str | None = None
    mode: str | None = None
    task: str | None = None
    stream: bool = False
    latency_ms: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int | None = None
    cost_usd: float | None = None
    decision: dict[str, Any] | None = None
    capture: dict[str, Any] | None = None


class CaptureSettings(Model):
    """For how many `days` prompts and answers are kept; None: they are not."""

    is_enabled: bool
    days: int | None = None


class WorkspaceMonth(Model):
    """What the workspace's keys have used since the month began, in UTC, and what requests under way hold reserved."""

    used_tokens: int = 0
    used_usd: float = 0
    reserved_tokens: int = 0
    reserved_usd: float = 0


class Workspace(Model):
    """The workspace of the API key, what all of its keys may do together (None: there is no such limit), and from how sure
    a task its rules on `task` fire (None: the gateway's setting).
    """

    id: int
    name: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_in_flight: int | None = None
    monthly_tokens: int | None = None
    monthly_budget_usd: float | None = None
    task_confidence_percent: int | None = None
    created_at: str | None = None
    this_month: WorkspaceMonth = Field(default_factory=WorkspaceMonth)


class UsageRow(Model):
    """What the requests of a group (a day, a model, a provider, a key) come to; of `total`, `group` is None."""

    group: str | int | None = None
    requests: int = 0
    answered_requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    cost_usd: float = 0
    unpriced_requests: int = 0


class UsageReport(Model):
    """`records_waiting`: requests of late are not counted yet, since the gateway's database cannot be written to."""

    group_by: str
    records_waiting: bool = False
    data: list[UsageRow]
    total: UsageRow


class DataObject(Model, Generic[T]):
    data: T


class DataList(Model, Generic[T]):
    """`records_waiting`, of `requests.list`: requests of late are missing, since the gateway's database cannot be written
    to."""

    data: list[T]
    object: str | None = None
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    records_waiting: bool | None = None


class Deleted(Model):
    success: bool | None = None
    deleted: bool | None = None
    id: str | int | None = None


class ModelObject(Model):
    id: str
    object: str = "model"
    created: int = 0
    owned_by: str | None = None


class Route(Model):
    """What the router would do with a request."""

    provider: str | None = None
    model: str | None = None
    mode: str | None = None
    task: str | None = None
    confidence: float | None = None
    difficulty: float | None = None
    difficulty_prior: float | None = None
    difficulty_weight: float | None = None
    predictor_weight: float | None = None
    expected_output_tokens: int | None = None
    routing_rules: list[int] = Field(default_factory=list[int])
    warnings: list[Warning_] = Field(default_factory=list[Warning_])
    candidates: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    candidates_in_all: int | None = None
    filtered: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])


class Feedback(Model):
    """What was said of an answer, and the model that it counts for."""

    response_id: str
    provider: str | None = None
    model: str | None = None
    task: str | None = None
    score: float
    comment: str | None = None
    created_at: str | None = None
