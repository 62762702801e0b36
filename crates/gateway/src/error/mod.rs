//! The one place where an error becomes a status.
//!
//! [`Code`] is the table of the contract's §7: the type, the status and the log level of each code.
//! Which to use: the caller's mistake in a field → [`ApiError::parameter`]; a rule's fields →
//! [`ApiError::validation`]; something that is not there or is another workspace's → `NotFound`; a
//! provider's trouble → [`ApiError::provider`]; our own trouble → [`ApiError::internal`], which logs
//! the detail and tells the caller nothing.

mod provider;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use tokenrouter_protocol::{ErrorBody, FieldError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidJson,
    InvalidParameter,
    ContextLengthExceeded,
    PreviousResponseNotFound,
    WebSocketLimitReached,
    InvalidApiKey,
    ModelNotAllowed,
    KeyNotAllowed,
    NotFound,
    ModelNotFound,
    MethodNotAllowed,
    Conflict,
    PayloadTooLarge,
    RequestTimeout,
    ValidationFailed,
    FirewallBlocked,
    SchemaNotKept,
    NoEligibleModel,
    RoutingConflict,
    ProviderKeyMissing,
    RateLimitExceeded,
    MonthlyQuotaExceeded,
    BudgetExceeded,
    Internal,
    Unavailable,
    UpstreamError,
    ProviderUnavailable,
    UpstreamTimeout,
}

/// A row of the table.
pub struct Row {
    pub code: &'static str,
    pub kind: &'static str,
    pub status: u16,
    /// For the reference.
    pub meaning: &'static str,
}

impl Code {
    pub const ALL: [Self; 28] = [
        Self::InvalidJson,
        Self::InvalidParameter,
        Self::ContextLengthExceeded,
        Self::PreviousResponseNotFound,
        Self::WebSocketLimitReached,
        Self::InvalidApiKey,
        Self::ModelNotAllowed,
        Self::KeyNotAllowed,
        Self::NotFound,
        Self::ModelNotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::RequestTimeout,
        Self::ValidationFailed,
        Self::FirewallBlocked,
        Self::SchemaNotKept,
        Self::NoEligibleModel,
        Self::RoutingConflict,
        Self::ProviderKeyMissing,
        Self::RateLimitExceeded,
        Self::MonthlyQuotaExceeded,
        Self::BudgetExceeded,
        Self::Internal,
        Self::Unavailable,
        Self::UpstreamError,
        Self::ProviderUnavailable,
        Self::UpstreamTimeout,
    ];

    #[must_use]
    #[allow(clippy::too_many_lines)]
    pub fn row(self) -> Row {
        let (code, kind, status, meaning) = match self {
            Self::InvalidJson => ("invalid_json", "invalid_request_error", 400, "the body is not JSON"),
            Self::InvalidParameter => {
                ("invalid_parameter", "invalid_request_error", 400, "a field is missing or wrong; `param` names it")
            }
            Self::ContextLengthExceeded => {
                ("context_length_exceeded", "invalid_request_error", 400, "the prompt is longer than the model takes")
            }
            Self::PreviousResponseNotFound => (
                "previous_response_not_found",
                "invalid_request_error",
                400,
                "`previous_response_id` names no stored response of this workspace",
            ),
            Self::WebSocketLimitReached => (
                "websocket_connection_limit_reached",
                "invalid_request_error",
                400,
                "the WebSocket has been open for `server.websocket_max_age_ms`: open a new one",
            ),
            Self::InvalidApiKey => {
                ("invalid_api_key", "unauthorized_error", 401, "the API key is missing, wrong, revoked or expired")
            }
            Self::ModelNotAllowed => (
                "model_not_allowed",
                "authorization_error",
                403,
                "the API key may not use this model, or there is a budget and its price is not known",
            ),
            Self::KeyNotAllowed => (
                "key_not_allowed",
                "authorization_error",
                403,
                "the API key is of scope `inference` and manages nothing",
            ),
            Self::NotFound => {
                ("not_found", "not_found_error", 404, "there is no such path or object in this workspace")
            }
            Self::ModelNotFound => (
                "model_not_found",
                "not_found_error",
                404,
                "there is no such model or provider; the message names the closest",
            ),
            Self::MethodNotAllowed => {
                ("method_not_allowed", "invalid_request_error", 405, "the path does not answer to this method")
            }
            Self::RequestTimeout => {
                ("request_timeout", "invalid_request_error", 408, "the body did not arrive in time")
            }
            Self::Conflict => (
                "conflict",
                "conflict_error",
                409,
                "the object was changed or is in use, or the `Idempotency-Key` was used for another request",
            ),
            Self::PayloadTooLarge => {
                ("payload_too_large", "invalid_request_error", 413, "the body is longer than `server.max_body_bytes`")
            }
            Self::ValidationFailed => (
                "validation_failed",
                "validation_error",
                422,
                "a rule's fields are wrong; `errors` has the messages of each",
            ),
            Self::FirewallBlocked => {
                ("firewall_blocked", "firewall_error", 422, "a firewall rule blocked the prompt or the answer")
            }
            Self::SchemaNotKept => (
                "schema_not_kept",
                "provider_error",
                422,
                "the answer, which is paid for, does not keep to the schema, and `router_strict` was set",
            ),
            Self::NoEligibleModel => {
                ("no_eligible_model", "routing_error", 422, "no model that is set up can do what the request needs")
            }
            Self::RoutingConflict => (
                "routing_conflict",
                "routing_error",
                422,
                "the provider and the model that were set do not go together",
            ),
            Self::ProviderKeyMissing => {
                ("provider_key_missing", "routing_error", 422, "the gateway has no key for the provider asked for")
            }
            Self::RateLimitExceeded => (
                "rate_limit_exceeded",
                "rate_limit_error",
                429,
                "requests, tokens or requests in flight of the API key or the workspace are at their limit, the provider limits requests, or too many responses run in the background; `Retry-After` says for how long",
            ),
            Self::MonthlyQuotaExceeded => (
                "monthly_quota_exceeded",
                "rate_limit_error",
                429,
                "the request may take the API key or the workspace past its tokens of this month",
            ),
            Self::BudgetExceeded => (
                "budget_exceeded",
                "rate_limit_error",
                429,
                "the request may take the API key or the workspace past its money of this month",
            ),
            Self::Internal => {
                ("internal_error", "internal_error", 500, "our mistake; the log has it by the request id")
            }
            Self::UpstreamError => {
                ("upstream_error", "provider_error", 502, "the provider failed, or its answer made no sense")
            }
            Self::ProviderUnavailable => {
                ("provider_unavailable", "provider_error", 503, "the provider cannot be reached or is overloaded")
            }
            Self::Unavailable => (
                "service_unavailable",
                "internal_error",
                503,
                "the gateway cannot reach its database, has too much to do, or was stopped meanwhile; try again soon",
            ),
            Self::UpstreamTimeout => ("upstream_timeout", "provider_error", 504, "the provider did not answer in time"),
        };
        Row { code, kind, status, meaning }
    }
}

/// An error on its way to the caller.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    pub param: Option<String>,
    pub provider: Option<String>,
    pub errors: Option<Value>,
    pub retry_after_seconds: Option<u64>,
    pub request_id: Option<String>,
}

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            provider: None,
            errors: None,
            retry_after_seconds: None,
            request_id: None,
        }
    }

    #[must_use]
    pub fn parameter(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(Code::InvalidParameter, message) }
    }

    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// A rule or key whose fields are not valid: the messages for each field.
    #[must_use]
    pub fn validation(errors: Vec<(String, String)>) -> Self {
        let message = match errors.as_slice() {
            [(_, message)] => message.clone(),
            many => format!("{} fields are not valid: {}", many.len(), names(many)),
        };
        let param = errors.first().map(|(field, _)| field.clone());
        let mut map = tokenrouter_protocol::Object::new();
        for (field, message) in errors {
            if let Value::Array(list) = map.entry(field).or_insert_with(|| Value::Array(Vec::new())) {
                list.push(Value::String(message));
            }
        }
        Self { param, errors: Some(Value::Object(map)), ..Self::new(Code::ValidationFailed, message) }
    }

    /// Our own trouble: the detail is logged, the caller learns only that it was ours.
    pub fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(%detail, "internal error");
        Self::new(Code::Internal, "something went wrong inside the gateway; the request id finds it in the log")
    }

    #[must_use]
    pub fn with_request_id(mut self, request_id: &str) -> Self {
        self.request_id = Some(request_id.to_owned());
        self
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.row().status
    }

    /// The object under `error`.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let row = self.code.row();
        ErrorBody {
            kind: row.kind.to_owned(),
            code: row.code.to_owned(),
            message: self.message.clone(),
            param: self.param.clone(),
            provider: self.provider.clone(),
            http_status: row.status,
            request_id: self.request_id.clone(),
            errors: self.errors.clone(),
        }
    }
}

fn names(errors: &[(String, String)]) -> String {
    let mut names: Vec<&str> = errors.iter().map(|(field, _)| field.as_str()).collect();
    names.dedup();
    names.join(", ")
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        let param = (!error.param.is_empty()).then_some(error.param);
        Self { param, ..Self::new(Code::InvalidParameter, error.message) }
    }
}

impl From<tokenrouter_store::StoreError> for ApiError {
    /// Trouble with the database is 503, never 401 and never 404.
    fn from(error: tokenrouter_store::StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let mut api = Self::new(Code::Unavailable, "the gateway cannot reach its database just now");
        api.retry_after_seconds = Some(1);
        api
    }
}

impl IntoResponse for ApiError {
    /// With no request id yet, the error travels in the extensions: the middleware that knows the id
    /// writes it out.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let Some(request_id) = self.request_id.clone() else {
            let mut response = status.into_response();
            response.extensions_mut().insert(self);
            return response;
        };
        let mut response = (status, axum::Json(serde_json::json!({ "error": self.body() }))).into_response();
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            headers.insert("x-request-id", value);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
