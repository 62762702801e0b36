"""What can go wrong, as exceptions: one base, and a class for each status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


class TokenrouterError(Exception):
    """The base of every error of this package."""


class APIError(TokenrouterError):
    """The API answered with an error, or (`status` is None) did not answer.

    `type` and `code` are the contract's words, `param` names the field that was wrong, `errors` the
    messages for each field of a rule, `body` is the whole error object.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        error = dict(body or {})
        self.message = message
        self.status = status
        self.status_code = status
        self.body = error
        self.headers = dict(headers or {})
        self.type: str | None = error.get("type")
        self.code: str | None = error.get("code")
        self.param: str | None = error.get("param")
        self.provider: str | None = error.get("provider")
        self.errors: dict[str, list[str]] | None = error.get("errors")
        self.request_id: str | None = error.get("request_id") or self.headers.get("x-request-id")

    def __str__(self) -> str:
        if self.status is None:
            return self.message
        return f"{self.status} {self.code or self.type or 'error'}: {self.message}"


class APIConnectionError(APIError):
    """No answer, or one that broke off."""


class APITimeoutError(APIConnectionError):
    """No answer in time."""


class APIResponseValidationError(APIError):
    """A success whose body is not one of the API's, as a proxy's sign-in page is."""


class BadRequestError(APIError):
    """400"""


class AuthenticationError(APIError):
    """401"""


class PermissionDeniedError(APIError):
    """403"""


class NotFoundError(APIError):
    """404"""


class ConflictError(APIError):
    """409"""


class PayloadTooLargeError(APIError):
    """413"""


class UnprocessableEntityError(APIError):
    """422"""


class FirewallBlockedError(UnprocessableEntityError):
    """422: a firewall rule blocked the prompt or the answer."""


class RateLimitError(APIError):
    """429; `retry_after` in seconds, if the API said."""

    @property
    def retry_after(self) -> float | None:
        try:
            return float(self.headers["retry-after"])
        except (KeyError, ValueError):
            return None


class InternalServerError(APIError):
    """5xx"""


_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def error_of(status: int | None, body: object, headers: Mapping[str, str] | None = None) -> APIError:
    """The exception for an error's status and body (or the error object of an event)."""
    error: dict[str, Any] = {}
    if isinstance(body, Mapping):
        mapping = cast("Mapping[str, Any]", body)
        inner = mapping.get("error", mapping)
        error = dict(cast("Mapping[str, Any]", inner)) if isinstance(inner, Mapping) else {}
    given = error.get("http_status")
    if status is None and isinstance(given, int):
        status = given
    if error.get("type") == "firewall_error":
        kind: type[APIError] = FirewallBlockedError
    elif status is None:
        kind = APIError
    else:
        kind = _BY_STATUS.get(status, InternalServerError if status >= 500 else APIError)
    message = str(error.get("message") or f"the API answered with status {status}")
    return kind(message, status=status, body=error, headers=headers)
