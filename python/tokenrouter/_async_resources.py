"""What can be asked of the API, for the async client."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, overload

from typing_extensions import Unpack

from . import _calls as calls
from ._base import NOT_GIVEN, NotGiven
from ._models import (
    DataList,
    DataObject,
    Deleted,
    FirewallRule,
    ModelObject,
    OutputItem,
    Response,
    RoutingRule,
)
from ._streaming import AsyncStream
from .types import FirewallRuleUpdateParams, Mode, RoutingRuleUpdateParams

if TYPE_CHECKING:
    from ._client import AsyncTokenrouter


class AsyncResource:
    def __init__(self, client: AsyncTokenrouter) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> Any:
        """The same methods, giving the HTTP response as it came (`RawResponse`)."""
        return type(self)(self._client.raw())


class AsyncResponses(AsyncResource):
    @overload
    async def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        stream: Literal[True],
        input: str | Sequence[Any] | NotGiven = ...,
        model: str | None | NotGiven = ...,
        **fields: Any,
    ) -> AsyncStream: ...

    @overload
    async def create(
        self,
        placeholder: EllipsisType | None = None,
        /,
        *,
        stream: Literal[False] | None | NotGiven = ...,
        input: str | Sequence[Any] | NotGiven = ...,
        model: str | None | NotGiven = ...,
        **fields: Any,
    ) -> Response: ...

    async def create(
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
        router_mode: Mode | None | NotGiven = NOT_GIVEN,
        router_model: str | None | NotGiven = NOT_GIVEN,
        router_provider: str | None | NotGiven = NOT_GIVEN,
        **fields: Any,
    ) -> Any:
        """Creates a response; with `stream=True` gives its chunks as they come.

        Every field of `ResponseCreateParams` is taken, and `extra_headers`, `extra_query`,
        `extra_body`, `timeout` for this call. Raises an `APIError`.
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
        return await self._client.send(made, calls.parser(Response))

    async def retrieve(self, response_id: str, **options: Any) -> Response:
        made = calls.call("GET", calls.response_path(response_id), options)
        return await self._client.send(made, calls.parser(Response))

    async def replay(self, response_id: str, *, stream: bool = False, **options: Any) -> Any:
        """A stored response again, plain or as chunks; no provider is called."""
        made = calls.call("POST", calls.response_path(response_id), {"stream": stream, **options})
        made.stream = stream
        return await self._client.send(made, calls.parser(Response))

    async def delete(self, response_id: str, **options: Any) -> Deleted:
        made = calls.call("DELETE", calls.response_path(response_id), options)
        return await self._client.send(made, calls.parser(Deleted))

    async def cancel(self, response_id: str, **options: Any) -> Response:
        made = calls.call("POST", calls.response_path(response_id, "/cancel"), options)
        return await self._client.send(made, calls.parser(Response))

    @property
    def input_items(self) -> AsyncInputItems:
        return AsyncInputItems(self._client)


class AsyncInputItems(AsyncResource):
    async def list(
        self,
        response_id: str,
        *,
        after: str | NotGiven = NOT_GIVEN,
        limit: int | NotGiven = NOT_GIVEN,
        order: Literal["asc", "desc"] | NotGiven = NOT_GIVEN,
    ) -> DataList[OutputItem]:
        fields = {"after": after, "limit": limit, "order": order}
        made = calls.call("GET", calls.response_path(response_id, "/input_items"), fields, query=True)
        return await self._client.send(made, calls.parser(DataList[OutputItem]))


class AsyncModels(AsyncResource):
    async def list(self) -> DataList[ModelObject]:
        made = calls.call("GET", "/v1/models")
        return await self._client.send(made, calls.parser(DataList[ModelObject]))

    async def retrieve(self, model: str) -> ModelObject:
        made = calls.call("GET", f"/v1/models/{model}")
        return await self._client.send(made, calls.parser(ModelObject))


class AsyncRoutingRules(AsyncResource):
    async def create(
        self,
        *,
        name: str,
        action_json: dict[str, Any] | str,
        match_json: dict[str, Any] | str | NotGiven = NOT_GIVEN,
        priority: int | NotGiven = NOT_GIVEN,
        is_enabled: bool | NotGiven = NOT_GIVEN,
    ) -> DataObject[RoutingRule]:
        fields = {
            "name": name,
            "priority": priority,
            "is_enabled": is_enabled,
            "match_json": match_json,
            "action_json": action_json,
        }
        made = calls.call("POST", calls.rule_path("routing-rules"), fields)
        return await self._client.send(made, calls.parser(DataObject[RoutingRule]))

    async def list(self) -> DataList[RoutingRule]:
        """Every rule, highest priority first."""
        made = calls.call("GET", calls.rule_path("routing-rules"))
        return await self._client.send(made, calls.parser(DataList[RoutingRule]))

    async def retrieve(self, rule_id: int) -> DataObject[RoutingRule]:
        made = calls.call("GET", calls.rule_path("routing-rules", rule_id))
        return await self._client.send(made, calls.parser(DataObject[RoutingRule]))

    async def update(self, rule_id: int, **fields: Unpack[RoutingRuleUpdateParams]) -> DataObject[RoutingRule]:
        """Changes the fields given."""
        made = calls.call("PATCH", calls.rule_path("routing-rules", rule_id), fields)
        return await self._client.send(made, calls.parser(DataObject[RoutingRule]))

    async def delete(self, rule_id: int) -> Deleted:
        made = calls.call("DELETE", calls.rule_path("routing-rules", rule_id))
        return await self._client.send(made, calls.parser(Deleted))


class AsyncFirewallRules(AsyncResource):
    async def create(
        self,
        *,
        name: str,
        scope: Literal["prompt", "response"],
        type: Literal["substring", "regex"],
        pattern: str,
        action: Literal["block", "mask", "warn"],
        replacement: str | None | NotGiven = NOT_GIVEN,
        priority: int | NotGiven = NOT_GIVEN,
        is_enabled: bool | NotGiven = NOT_GIVEN,
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
        }
        made = calls.call("POST", calls.rule_path("firewall-rules"), fields)
        return await self._client.send(made, calls.parser(DataObject[FirewallRule]))

    async def list(self) -> DataList[FirewallRule]:
        """Every rule, highest priority first."""
        made = calls.call("GET", calls.rule_path("firewall-rules"))
        return await self._client.send(made, calls.parser(DataList[FirewallRule]))

    async def retrieve(self, rule_id: int) -> DataObject[FirewallRule]:
        made = calls.call("GET", calls.rule_path("firewall-rules", rule_id))
        return await self._client.send(made, calls.parser(DataObject[FirewallRule]))

    async def update(self, rule_id: int, **fields: Unpack[FirewallRuleUpdateParams]) -> DataObject[FirewallRule]:
        """Changes the fields given."""
        made = calls.call("PATCH", calls.rule_path("firewall-rules", rule_id), fields)
        return await self._client.send(made, calls.parser(DataObject[FirewallRule]))

    async def delete(self, rule_id: int) -> Deleted:
        made = calls.call("DELETE", calls.rule_path("firewall-rules", rule_id))
        return await self._client.send(made, calls.parser(Deleted))
