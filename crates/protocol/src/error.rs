//! The one shape in which an error leaves TokenRouter (contract §7).

use serde::{Deserialize, Serialize};

/// The object under `"error"`, in a body and in a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub code: String,
    pub message: String,
    /// The request's field that was wrong, as `input[0].content`.
    pub param: Option<String>,
    /// The provider that the error came from, where one did.
    pub provider: Option<String>,
    pub http_status: u16,
    pub request_id: Option<String>,
    /// For `validation_failed`: the messages for each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<serde_json::Value>,
}
