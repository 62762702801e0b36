"""The Python SDK of TokenRouter.

    from tokenrouter import Tokenrouter

    client = Tokenrouter(api_key="tr_...")
    response = client.responses.create(model="auto:balance", input="Hello, world!")
    print(response.output_text)
"""

from ._async_client import AsyncTokenrouter
from ._client import Tokenrouter
from ._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    FirewallBlockedError,
    InternalServerError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    TokenrouterError,
    UnprocessableEntityError,
)
from ._models import (
    ApiKey,
    Feedback,
    FirewallRule,
    ProviderKey,
    RequestEntry,
    Response,
    RouterInfo,
    RoutingRule,
    Usage,
    UsageReport,
    Workspace,
)
from ._streaming import AsyncStream, Delta, ResponseStreamEvent, Stream

TokenRouter = Tokenrouter
AsyncTokenRouter = AsyncTokenrouter
__version__ = "0.1.0"

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APITimeoutError",
    "ApiKey",
    "AsyncStream",
    "AsyncTokenRouter",
    "AsyncTokenrouter",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "Delta",
    "FirewallBlockedError",
    "Feedback",
    "FirewallRule",
    "InternalServerError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ProviderKey",
    "RateLimitError",
    "RequestEntry",
    "Response",
    "ResponseStreamEvent",
    "RouterInfo",
    "RoutingRule",
    "Stream",
    "TokenRouter",
    "Tokenrouter",
    "TokenrouterError",
    "UnprocessableEntityError",
    "Usage",
    "UsageReport",
    "Workspace",
    "__version__",
]
