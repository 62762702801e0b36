"""The clients."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from . import _async_resources, _resources
from . import _calls as calls
from ._base import NOT_GIVEN, RETRIED, Call, NotGiven, Settings, raise_for, wait_before
from ._models import Route
from ._raw import RawResponse
from ._streaming import AsyncStream, Stream, connection_error


class Tokenrouter:
    """The sync client.

    `api_key` or `TOKENROUTER_API_KEY`. Where the API is, the first of: `base_url` (with or without
    `/v1`), `TOKENROUTER_BASE_URL`, `environment` (`production`, or `local` for
    http://127.0.0.1:8000). `timeout` in seconds. Connection errors and the statuses 408, 409, 429 and
    5xx are tried again `max_retries` times.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        environment: str | None = None,
        base_url: str | None = None,
        timeout: float | httpx.Timeout | None = 60.0,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._settings = Settings.make(
            api_key, environment, base_url, timeout, max_retries, default_headers, default_query
        )
        self._http = http_client or httpx.Client()
        self._raw = False

    def __repr__(self) -> str:
        return f"Tokenrouter(base_url={self._settings.base_url!r})"

    @property
    def base_url(self) -> str:
        return self._settings.base_url

    @property
    def timeout(self) -> float | httpx.Timeout | None:
        """In seconds; None: none."""
        return self._settings.timeout

    @property
    def max_retries(self) -> int:
        return self._settings.max_retries

    @property
    def responses(self) -> _resources.Responses:
        return _resources.Responses(self)

    @property
    def routing_rules(self) -> _resources.RoutingRules:
        return _resources.RoutingRules(self)

    @property
    def firewall_rules(self) -> _resources.FirewallRules:
        return _resources.FirewallRules(self)

    @property
    def models(self) -> _resources.Models:
        return _resources.Models(self)

    def route(self, **fields: Any) -> Route:
        """What the router would do with a request; no provider is called."""
        made = calls.call("POST", "/v1/route", fields)
        route: Route = self.send(made, calls.parser(Route))
        return route

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None | NotGiven = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | NotGiven = NOT_GIVEN,
    ) -> Tokenrouter:
        """The same client with other settings; connections are shared."""
        other = copy.copy(self)
        other._settings = self._settings.changed(
            timeout=timeout, max_retries=max_retries, default_headers=default_headers
        )
        return other

    def raw(self) -> Tokenrouter:
        other = copy.copy(self)
        other._raw = True
        return other

    def send(self, call: Call, parse: Callable[[httpx.Response], Any]) -> Any:
        """Sends a request, again where that may help, and gives what it answers."""
        request = call.request(self._http, self._settings)
        attempt = 0
        while True:
            response = None
            try:
                response = self._http.send(request, stream=call.stream, follow_redirects=False)
            except httpx.HTTPError as error:
                if attempt >= self._settings.max_retries:
                    raise connection_error(error) from error
            if response is not None:
                if response.status_code not in RETRIED or attempt >= self._settings.max_retries:
                    break
                response.close()
            time.sleep(wait_before(attempt, response))
            attempt += 1
        if not response.is_success:
            response.read()
            raise_for(response)
        if call.stream:
            return Stream(response)
        return RawResponse(response, parse) if self._raw else parse(response)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Tokenrouter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTokenrouter:
    """The async client.

    `api_key` or `TOKENROUTER_API_KEY`. Where the API is, the first of: `base_url` (with or without
    `/v1`), `TOKENROUTER_BASE_URL`, `environment` (`production`, or `local` for
    http://127.0.0.1:8000). `timeout` in seconds. Connection errors and the statuses 408, 409, 429 and
    5xx are tried again `max_retries` times.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        environment: str | None = None,
        base_url: str | None = None,
        timeout: float | httpx.Timeout | None = 60.0,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._settings = Settings.make(
            api_key, environment, base_url, timeout, max_retries, default_headers, default_query
        )
        self._http = http_client or httpx.AsyncClient()
        self._raw = False

    def __repr__(self) -> str:
        return f"AsyncTokenrouter(base_url={self._settings.base_url!r})"

    @property
    def base_url(self) -> str:
        return self._settings.base_url

    @property
    def timeout(self) -> float | httpx.Timeout | None:
        """In seconds; None: none."""
        return self._settings.timeout

    @property
    def max_retries(self) -> int:
        return self._settings.max_retries

    @property
    def responses(self) -> _async_resources.AsyncResponses:
        return _async_resources.AsyncResponses(self)

    @property
    def routing_rules(self) -> _async_resources.AsyncRoutingRules:
        return _async_resources.AsyncRoutingRules(self)

    @property
    def firewall_rules(self) -> _async_resources.AsyncFirewallRules:
        return _async_resources.AsyncFirewallRules(self)

    @property
    def models(self) -> _async_resources.AsyncModels:
        return _async_resources.AsyncModels(self)

    async def route(self, **fields: Any) -> Route:
        """What the router would do with a request; no provider is called."""
        made = calls.call("POST", "/v1/route", fields)
        route: Route = await self.send(made, calls.parser(Route))
        return route

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None | NotGiven = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | NotGiven = NOT_GIVEN,
    ) -> AsyncTokenrouter:
        """The same client with other settings; connections are shared."""
        other = copy.copy(self)
        other._settings = self._settings.changed(
            timeout=timeout, max_retries=max_retries, default_headers=default_headers
        )
        return other

    def raw(self) -> AsyncTokenrouter:
        other = copy.copy(self)
        other._raw = True
        return other

    async def send(self, call: Call, parse: Callable[[httpx.Response], Any]) -> Any:
        """Sends a request, again where that may help, and gives what it answers."""
        request = call.request(self._http, self._settings)
        attempt = 0
        while True:
            response = None
            try:
                response = await self._http.send(request, stream=call.stream, follow_redirects=False)
            except httpx.HTTPError as error:
                if attempt >= self._settings.max_retries:
                    raise connection_error(error) from error
            if response is not None:
                if response.status_code not in RETRIED or attempt >= self._settings.max_retries:
                    break
                await response.aclose()
            await asyncio.sleep(wait_before(attempt, response))
            attempt += 1
        if not response.is_success:
            await response.aread()
            raise_for(response)
        if call.stream:
            return AsyncStream(response)
        return RawResponse(response, parse) if self._raw else parse(response)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncTokenrouter:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
