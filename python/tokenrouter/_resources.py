"""What can be asked of the API. `_async_resources.py` is made out of this file by `scripts/make_async.py`."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, overload

from typing_extensions import Unpack

from . import _calls as calls
from ._base import NOT_GIVEN, Mode, NotGiven
from ._models import (
    ApiKey,
    CaptureSettings,
    Conversation,
    DataList,
    DataObject,
    Deleted,
    Feedback,
    FirewallRule,
    FirewallTrial,
    ModelObject,
    OutputItem,
    ProviderKey,
    ProviderKeyTest,
    RequestEntry,
    Response,
    RoutingRule,
    UsageReport,
    Workspace,
)
from ._raw import Managed, ResponseManager
from ._streaming import Stream
from .types import (
    ApiKeyCreateArguments,
    FirewallRuleUpdateArguments,
    ProviderKeyCreateArguments,
    ProviderKeyUpdateArguments,
    RequestListArguments,
    RequestOptions,
    RouterMode,
    RoutingRuleUpdateArguments,
    UsageArguments,
    WorkspaceUpdateArguments,
)

if TYPE_CHECKING:
    from ._client import Tokenrouter


class Resource:
    """A part of the API. Every method takes `extra_headers`, `extra_query`, `extra_body` and `timeout`
    besides its own arguments, and raises an `APIError`.
    """

    def __init__(self, client: Tokenrouter) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> Any:
        """The same methods, giving the HTTP response as it came (`RawResponse`)."""
        return type(self)(self._client.in_mode(Mode.RAW))

    @property
    def with_streaming_response(self) -> Any:
        """The same methods, to be used with `with`, giving the HTTP response before its body is read."""
        return Managed(type(self)(self._client.in_mode(Mode.STREAMED)), ResponseManager)


class Responses(Resource):
    @overload
    def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        stream: Literal[True],
        input: str | Sequence[Any] | NotGiven = ...,
        model: str | None | NotGiven = ...,
        **fields: Any,
    ) -> Stream: ...

    @overload
    def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        stream: Literal[False] | None | NotGiven = ...,
        input: str | Sequence[Any] | NotGiven = ...,
        model: str | None | NotGiven = ...,
        **fields: Any,
    ) -> Response: ...

    @overload
    def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        stream: bool,
        input: str | Sequence[Any] | NotGiven = ...,
        model: str | None | NotGiven = ...,
        **fields: Any,
    ) -> Response | Stream: ...

    def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        input: str | Sequence[Any] | NotGiven = NOT_GIVEN,
        model: str | None | NotGiven = NOT_GIVEN,
        stream: bool | None | NotGiven = NOT_GIVEN,
        instructions: str | None | NotGiven = NOT_GIVEN,
        temperature: float | None | NotGiven = NOT_GIVEN,
        top_p: float | None | NotGiven = NOT_GIVEN,
        max_output_tokens: int | None | NotGiven = NOT_GIVEN,
        tools: Sequence[Any] | None | NotGiven = NOT_GIVEN,
        tool_choice: Any = NOT_GIVEN,
        text: dict[str, Any] | None | NotGiven = NOT_GIVEN,
        reasoning: dict[str, Any] | None | NotGiven = NOT_GIVEN,
        metadata: dict[str, Any] | None | NotGiven = NOT_GIVEN,
        previous_response_id: str | None | NotGiven = NOT_GIVEN,
        store: bool | None | NotGiven = NOT_GIVEN,
        router_mode: RouterMode | None | NotGiven = NOT_GIVEN,
        router_model: str | None | NotGiven = NOT_GIVEN,
        router_provider: str | None | NotGiven = NOT_GIVEN,
        **fields: Any,
    ) -> Response | Stream:
        """Creates a response; with `stream=True` gives its chunks as they come.

        Every field of `ResponseCreateParams` is taken, and fields that this version does not know.
        """
        named = {
            "model": model,
            "input": input,
            "stream": stream,
            "instructions": instructions,
            "temperature": temperature,
            "top_p": top_p,
            "max_output_tokens": max_output_tokens,
            "tools": tools,
            "tool_choice": tool_choice,
            "text": text,
            "reasoning": reasoning,
            "metadata": metadata,
            "previous_response_id": previous_response_id,
            "store": store,
            "router_mode": router_mode,
            "router_model": router_model,
            "router_provider": router_provider,
        }
        made = calls.create_response(placeholder, {**named, **fields})
        if made.stream:
            return self._client.send_stream(made)
        return self._client.send(made, calls.parser(Response))

    def retrieve(self, response_id: str, **options: Unpack[RequestOptions]) -> Response:
        made = calls.call("GET", calls.response_path(response_id), options)
        return self._client.send(made, calls.parser(Response))

    @overload
    def replay(
        self, response_id: str, *, stream: Literal[False] = ..., **options: Unpack[RequestOptions]
    ) -> Response: ...

    @overload
    def replay(self, response_id: str, *, stream: Literal[True], **options: Unpack[RequestOptions]) -> Stream: ...

    def replay(
        self, response_id: str, *, stream: bool = False, **options: Unpack[RequestOptions]
    ) -> Response | Stream:
        """A stored response again, plain or as chunks; no provider is called."""
        made = calls.call("POST", calls.response_path(response_id), {"stream": stream, **options})
        if stream:
            made.stream = True
            return self._client.send_stream(made)
        return self._client.send(made, calls.parser(Response))

    def delete(self, response_id: str, **options: Unpack[RequestOptions]) -> Deleted:
        made = calls.call("DELETE", calls.response_path(response_id), options)
        return self._client.send(made, calls.parser(Deleted))

    def cancel(self, response_id: str, **options: Unpack[RequestOptions]) -> Response:
        made = calls.call("POST", calls.response_path(response_id, "/cancel"), options)
        return self._client.send(made, calls.parser(Response))

    def feedback(
        self,
        response_id: str,
        *,
        score: float | NotGiven = NOT_GIVEN,
        thumbs: Literal["up", "down"] | NotGiven = NOT_GIVEN,
        comment: str | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> Feedback:
        """Says how good an answer was, by a `score` from 0 to 1 or by `thumbs`; the last word counts."""
        fields = {"score": score, "thumbs": thumbs, "comment": comment, **options}
        made = calls.call("POST", calls.response_path(response_id, "/feedback"), fields)
        return self._client.send(made, calls.parser(Feedback))

    @property
    def input_items(self) -> InputItems:
        return InputItems(self._client)


class InputItems(Resource):
    def list(
        self,
        response_id: str,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> DataList[OutputItem]:
        fields = {"after": after, "limit": limit, "order": order, **options}
        made = calls.call("GET", calls.response_path(response_id, "/input_items"), fields, query=True)
        return self._client.send(made, calls.parser(DataList[OutputItem]))


class Conversations(Resource):
    """What responses are made upon, turn by turn: `responses.create(conversation=conversation.id, ...)`."""

    def create(
        self,
        *,
        items: Sequence[Any] | NotGiven = NOT_GIVEN,
        metadata: dict[str, Any] | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> Conversation:
        made = calls.call("POST", "/v1/conversations", {"items": items, "metadata": metadata, **options})
        return self._client.send(made, calls.parser(Conversation))

    def retrieve(self, conversation_id: str, **options: Unpack[RequestOptions]) -> Conversation:
        made = calls.call("GET", calls.conversation_path(conversation_id), options)
        return self._client.send(made, calls.parser(Conversation))

    def update(
        self, conversation_id: str, *, metadata: dict[str, Any], **options: Unpack[RequestOptions]
    ) -> Conversation:
        made = calls.call("POST", calls.conversation_path(conversation_id), {"metadata": metadata, **options})
        return self._client.send(made, calls.parser(Conversation))

    def delete(self, conversation_id: str, **options: Unpack[RequestOptions]) -> Deleted:
        made = calls.call("DELETE", calls.conversation_path(conversation_id), options)
        return self._client.send(made, calls.parser(Deleted))

    @property
    def items(self) -> ConversationItems:
        return ConversationItems(self._client)


class ConversationItems(Resource):
    def create(
        self, conversation_id: str, *, items: Sequence[Any], **options: Unpack[RequestOptions]
    ) -> DataList[OutputItem]:
        made = calls.call("POST", calls.conversation_path(conversation_id, "items"), {"items": items, **options})
        return self._client.send(made, calls.parser(DataList[OutputItem]))

    def list(
        self,
        conversation_id: str,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> DataList[OutputItem]:
        """A page of items, newest first unless `order="asc"`."""
        fields = {"after": after, "limit": limit, "order": order, **options}
        made = calls.call("GET", calls.conversation_path(conversation_id, "items"), fields, query=True)
        return self._client.send(made, calls.parser(DataList[OutputItem]))

    def retrieve(self, item_id: str, *, conversation_id: str, **options: Unpack[RequestOptions]) -> OutputItem:
        made = calls.call("GET", calls.conversation_path(conversation_id, "items", item_id), options)
        return self._client.send(made, calls.parser(OutputItem))

    def delete(self, item_id: str, *, conversation_id: str, **options: Unpack[RequestOptions]) -> Conversation:
        """Gives the conversation that the item was in."""
        made = calls.call("DELETE", calls.conversation_path(conversation_id, "items", item_id), options)
        return self._client.send(made, calls.parser(Conversation))


class Models(Resource):
    def list(self, **options: Unpack[RequestOptions]) -> DataList[ModelObject]:
        made = calls.call("GET", "/v1/models", options)
        return self._client.send(made, calls.parser(DataList[ModelObject]))

    def retrieve(self, model: str, **options: Unpack[RequestOptions]) -> ModelObject:
        made = calls.call("GET", calls.model_path(model), options)
        return self._client.send(made, calls.parser(ModelObject))


class RoutingRules(Resource):
    def create(
        self,
        *,
        name: str,
        action_json: dict[str, Any] | str,
        match_json: dict[str, Any] | str | NotGiven = NOT_GIVEN,
        priority: int | NotGiven = NOT_GIVEN,
        is_enabled: bool | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> DataObject[RoutingRule]:
        fields = {
            "name": name,
            "priority": priority,
            "is_enabled": is_enabled,
            "match_json": match_json,
            "action_json": action_json,
            **options,
        }
        made = calls.call("POST", calls.rule_path("routing-rules"), fields)
        return self._client.send(made, calls.parser(DataObject[RoutingRule]))

    def list(self, **options: Unpack[RequestOptions]) -> DataList[RoutingRule]:
        """Every rule, highest priority first."""
        made = calls.call("GET", calls.rule_path("routing-rules"), options)
        return self._client.send(made, calls.parser(DataList[RoutingRule]))

    def retrieve(self, rule_id: int, **options: Unpack[RequestOptions]) -> DataObject[RoutingRule]:
        made = calls.call("GET", calls.rule_path("routing-rules", rule_id), options)
        return self._client.send(made, calls.parser(DataObject[RoutingRule]))

    def update(self, rule_id: int, **fields: Unpack[RoutingRuleUpdateArguments]) -> DataObject[RoutingRule]:
        """Changes the fields given."""
        made = calls.call("PATCH", calls.rule_path("routing-rules", rule_id), fields)
        return self._client.send(made, calls.parser(DataObject[RoutingRule]))

    def delete(self, rule_id: int, **options: Unpack[RequestOptions]) -> Deleted:
        made = calls.call("DELETE", calls.rule_path("routing-rules", rule_id), options)
        return self._client.send(made, calls.parser(Deleted))


class FirewallRules(Resource):
    def create(
        self,
        *,
        name: str,
        scope: Literal["prompt", "response"],
        type: Literal["substring", "regex", "detector"],
        pattern: str,
        action: Literal["block", "mask", "warn", "shadow"],
        replacement: str | None | NotGiven = NOT_GIVEN,
        normalize: bool | NotGiven = NOT_GIVEN,
        priority: int | NotGiven = NOT_GIVEN,
        is_enabled: bool | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> DataObject[FirewallRule]:
        fields = {
            "name": name,
            "priority": priority,
            "is_enabled": is_enabled,
            "scope": scope,
            "type": type,
            "pattern": pattern,
            "action": action,
            "replacement": replacement,
            "normalize": normalize,
            **options,
        }
        made = calls.call("POST", calls.rule_path("firewall-rules"), fields)
        return self._client.send(made, calls.parser(DataObject[FirewallRule]))

    def list(self, **options: Unpack[RequestOptions]) -> DataList[FirewallRule]:
        """Every rule, highest priority first."""
        made = calls.call("GET", calls.rule_path("firewall-rules"), options)
        return self._client.send(made, calls.parser(DataList[FirewallRule]))

    def retrieve(self, rule_id: int, **options: Unpack[RequestOptions]) -> DataObject[FirewallRule]:
        made = calls.call("GET", calls.rule_path("firewall-rules", rule_id), options)
        return self._client.send(made, calls.parser(DataObject[FirewallRule]))

    def update(self, rule_id: int, **fields: Unpack[FirewallRuleUpdateArguments]) -> DataObject[FirewallRule]:
        """Changes the fields given."""
        made = calls.call("PATCH", calls.rule_path("firewall-rules", rule_id), fields)
        return self._client.send(made, calls.parser(DataObject[FirewallRule]))

    def delete(self, rule_id: int, **options: Unpack[RequestOptions]) -> Deleted:
        made = calls.call("DELETE", calls.rule_path("firewall-rules", rule_id), options)
        return self._client.send(made, calls.parser(Deleted))

    def test(
        self,
        *,
        text: str,
        type: Literal["substring", "regex", "detector"],
        pattern: str,
        action: Literal["block", "mask", "warn", "shadow"] = "warn",
        replacement: str | None | NotGiven = NOT_GIVEN,
        normalize: bool | NotGiven = NOT_GIVEN,
        **options: Unpack[RequestOptions],
    ) -> DataObject[FirewallTrial]:
        """What a draft rule would do to a text; nothing is kept."""
        fields = {
            "text": text,
            "type": type,
            "pattern": pattern,
            "action": action,
            "replacement": replacement,
            "normalize": normalize,
            **options,
        }
        made = calls.call("POST", "/v1/firewall-rules/test", fields)
        return self._client.send(made, calls.parser(DataObject[FirewallTrial]))


class OwnWorkspace(Resource):
    """The workspace that the client's key belongs to, its limits and settings. All of it needs a key of scope `full`."""

    def retrieve(self, **options: Unpack[RequestOptions]) -> DataObject[Workspace]:
        """The limits, and under `this_month` what was used of them and is reserved."""
        made = calls.call("GET", "/v1/workspace", options)
        return self._client.send(made, calls.parser(DataObject[Workspace]))

    def update(self, **fields: Unpack[WorkspaceUpdateArguments]) -> DataObject[Workspace]:
        """Sets what is given; None takes a limit away."""
        made = calls.call("PATCH", "/v1/workspace", fields)
        return self._client.send(made, calls.parser(DataObject[Workspace]))


class ApiKeys(Resource):
    """The workspace's API keys. All of it needs a key of scope `full`."""

    def create(self, **fields: Unpack[ApiKeyCreateArguments]) -> DataObject[ApiKey]:
        """Makes a key; `data.key` is the key, which is shown this once."""
        made = calls.call("POST", "/v1/api-keys", fields)
        return self._client.send(made, calls.parser(DataObject[ApiKey]))

    def list(self, **options: Unpack[RequestOptions]) -> DataList[ApiKey]:
        """Every key, oldest first, the revoked ones too."""
        made = calls.call("GET", "/v1/api-keys", options)
        return self._client.send(made, calls.parser(DataList[ApiKey]))

    def delete(self, key_id: int, **options: Unpack[RequestOptions]) -> Deleted:
        """Revokes a key for good."""
        made = calls.call("DELETE", calls.rule_path("api-keys", key_id), options)
        return self._client.send(made, calls.parser(Deleted))


class ProviderKeys(Resource):
    """The workspace's own keys for providers. All of it needs an API key of scope `full`."""

    def create(self, **fields: Unpack[ProviderKeyCreateArguments]) -> DataObject[ProviderKey]:
        """Encrypts and stores a key, which is never given out again."""
        made = calls.call("POST", "/v1/provider-keys", fields)
        return self._client.send(made, calls.parser(DataObject[ProviderKey]))

    def list(self, **options: Unpack[RequestOptions]) -> DataList[ProviderKey]:
        """Every key, oldest first."""
        made = calls.call("GET", "/v1/provider-keys", options)
        return self._client.send(made, calls.parser(DataList[ProviderKey]))

    def retrieve(self, key_id: int, **options: Unpack[RequestOptions]) -> DataObject[ProviderKey]:
        made = calls.call("GET", calls.rule_path("provider-keys", key_id), options)
        return self._client.send(made, calls.parser(DataObject[ProviderKey]))

    def update(self, key_id: int, **fields: Unpack[ProviderKeyUpdateArguments]) -> DataObject[ProviderKey]:
        """Changes name and weight; another key is made with `create`."""
        made = calls.call("PATCH", calls.rule_path("provider-keys", key_id), fields)
        return self._client.send(made, calls.parser(DataObject[ProviderKey]))

    def delete(self, key_id: int, **options: Unpack[RequestOptions]) -> Deleted:
        made = calls.call("DELETE", calls.rule_path("provider-keys", key_id), options)
        return self._client.send(made, calls.parser(Deleted))

    def test(self, key_id: int, **options: Unpack[RequestOptions]) -> DataObject[ProviderKeyTest]:
        """Whether the provider takes the key, which costs nothing. One that it refuses is an answer, no error."""
        made = calls.call("POST", f"{calls.rule_path('provider-keys', key_id)}/test", options)
        return self._client.send(made, calls.parser(DataObject[ProviderKeyTest]))


class Requests(Resource):
    """The workspace's log of what was asked: no prompt and no answer is in it."""

    def list(self, **filters: Unpack[RequestListArguments]) -> DataList[RequestEntry]:
        """A page of requests, newest first. The next one begins `after=page.last_id`, if `page.has_more`."""
        made = calls.call("GET", "/v1/requests", filters, query=True)
        return self._client.send(made, calls.parser(DataList[RequestEntry]))

    def retrieve(self, request_id: str, **options: Unpack[RequestOptions]) -> RequestEntry:
        """A request with its `decision`: attempts, warnings, rules, firewall hits, and the price."""
        made = calls.call("GET", calls.request_path(request_id), options)
        return self._client.send(made, calls.parser(RequestEntry))


class Capture(Resource):
    """Whether prompts and answers are kept beside the log of requests. All of it needs a key of scope `full`."""

    def retrieve(self, **options: Unpack[RequestOptions]) -> DataObject[CaptureSettings]:
        made = calls.call("GET", "/v1/capture", options)
        return self._client.send(made, calls.parser(DataObject[CaptureSettings]))

    def update(self, *, days: int, **options: Unpack[RequestOptions]) -> DataObject[CaptureSettings]:
        """From now on prompts and answers are kept, each for so many days: 1 to 365."""
        made = calls.call("PATCH", "/v1/capture", {"days": days, **options})
        return self._client.send(made, calls.parser(DataObject[CaptureSettings]))

    def delete(self, **options: Unpack[RequestOptions]) -> Deleted:
        """Nothing more is kept, and what was is deleted."""
        made = calls.call("DELETE", "/v1/capture", options)
        return self._client.send(made, calls.parser(Deleted))


class UsageSums(Resource):
    """What the workspace's requests come to."""

    def retrieve(self, **filters: Unpack[UsageArguments]) -> UsageReport:
        """Sums by `group_by`: `day` (in UTC, the default), `model`, `provider` or `key`."""
        made = calls.call("GET", "/v1/usage", filters, query=True)
        return self._client.send(made, calls.parser(UsageReport))
