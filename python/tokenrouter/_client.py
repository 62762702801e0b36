"""The client. `_async_client.py` is made out of this file by `scripts/make_async.py`."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import httpx
from typing_extensions import Unpack

from . import _calls as calls
from . import _resources as resources
from ._base import NOT_GIVEN, RETRIED, Call, Mode, NotGiven, Settings, raise_for, wait_before
from ._models import Route
from ._raw import RawResponse, StreamedResponse
from ._streaming import Stream, connection_error
from .types import RouteParams

T = TypeVar("T")


class Tokenrouter:
    """The sync client.

    `api_key` or `TOKENROUTER_API_KEY`. Where the API is, the first of: `base_url` (with or without
    `/v1`), `TOKENROUTER_BASE_URL`, `environment` (`production`, or `local` for
    http://127.0.0.1:8000). `timeout` in seconds. Connection errors and the statuses 408, 409, 429 and
    5xx are tried again `max_retries` times.

    Raises `TokenrouterError` where there is no key, or no such environment or address.
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
        self._mode = Mode.PARSED

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
    def responses(self) -> resources.Responses:
        return resources.Responses(self)

    @property
    def conversations(self) -> resources.Conversations:
        return resources.Conversations(self)

    @property
    def routing_rules(self) -> resources.RoutingRules:
        return resources.RoutingRules(self)

    @property
    def firewall_rules(self) -> resources.FirewallRules:
        return resources.FirewallRules(self)

    @property
    def models(self) -> resources.Models:
        return resources.Models(self)

    @property
    def workspace(self) -> resources.OwnWorkspace:
        return resources.OwnWorkspace(self)

    @property
    def api_keys(self) -> resources.ApiKeys:
        return resources.ApiKeys(self)

    @property
    def provider_keys(self) -> resources.ProviderKeys:
        return resources.ProviderKeys(self)

    @property
    def requests(self) -> resources.Requests:
        return resources.Requests(self)

    @property
    def capture(self) -> resources.Capture:
        return resources.Capture(self)

    @property
    def usage(self) -> resources.UsageSums:
        return resources.UsageSums(self)

    def route(self, **fields: Unpack[RouteParams]) -> Route:
        """What the router would do with a request; no provider is called."""
        made = calls.call("POST", "/v1/route", fields)
        return self.send(made, calls.parser(Route))

    def with_options(
        self,
        *,
        api_key: str | NotGiven = NOT_GIVEN,
        timeout: float | httpx.Timeout | None | NotGiven = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | NotGiven = NOT_GIVEN,
    ) -> Tokenrouter:
        """The same client with other settings; connections are shared."""
        other = copy.copy(self)
        other._settings = self._settings.changed(
            api_key=api_key, timeout=timeout, max_retries=max_retries, default_headers=default_headers
        )
        return other

    def in_mode(self, mode: Mode) -> Tokenrouter:
        """For `with_raw_response` and `with_streaming_response`."""
        other = copy.copy(self)
        other._mode = mode
        return other

    def send(self, call: Call, parse: Callable[[httpx.Response], T]) -> T:
        """Sends a request, again where that may help, and gives what it answers."""
        response = self._send(call, stream=self._mode is Mode.STREAMED)
        if self._mode is Mode.STREAMED:
            return cast("T", StreamedResponse(response, parse))
        if self._mode is Mode.RAW:
            return cast("T", RawResponse(response, parse))
        return parse(response)

    def send_stream(self, call: Call) -> Stream:
        """The same for an answer that is read as it comes."""
        response = self._send(call, stream=True)
        if self._mode is Mode.STREAMED:
            return cast("Stream", StreamedResponse(response, Stream))
        if self._mode is Mode.RAW:
            return cast("Stream", RawResponse(response, Stream))
        return Stream(response)

    def _send(self, call: Call, *, stream: bool) -> httpx.Response:
        """The first answer that is a success; raises what the last one says otherwise."""
        request = call.request(self._http, self._settings)
        attempt = 0
        while True:
            response = None
            try:
                response = self._http.send(request, stream=stream, follow_redirects=False)
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
        return response

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Tokenrouter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
