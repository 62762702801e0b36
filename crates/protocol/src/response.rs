//! The response as the caller gets it: every field that Open Responses requires.

use crate::item::Item;
use crate::request::{ReasoningConfig, Request, TextConfig};
use crate::tool::{Tool, ToolChoice};
use crate::{ErrorBody, Object, StopDetail, Usage};
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
    Queued,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncompleteDetails {
    /// `max_output_tokens` or `content_filter`.
    pub reason: &'static str,
}

/// The conversation that a response belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConversationId {
    pub id: String,
}

/// `response.error`: the whole error envelope, which has the `code` and `message` that the schema
/// asks for.
pub type ResponseError = ErrorBody;

#[derive(Clone, Debug, Serialize)]
pub struct Response {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970, as OpenAI counts.
    pub created_at: i64,
    pub completed_at: Option<i64>,
    pub status: ResponseStatus,
    pub incomplete_details: Option<IncompleteDetails>,
    pub error: Option<ResponseError>,
    pub model: String,
    pub previous_response_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    pub instructions: Option<String>,
    pub output: Vec<Item>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: bool,
    pub truncation: String,
    pub text: TextConfig,
    pub reasoning: Option<ReasoningConfig>,
    pub temperature: f64,
    pub top_p: f64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
    pub top_logprobs: u64,
    pub max_output_tokens: Option<u64>,
    pub max_tool_calls: Option<u64>,
    pub store: bool,
    pub background: bool,
    pub service_tier: String,
    pub safety_identifier: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub user: Option<String>,
    pub metadata: Object,
    pub usage: Option<Usage>,
    /// For surfaces that have a place for it.
    #[serde(skip)]
    pub stop_detail: Option<StopDetail>,
    /// What the router did (contract §6).
    #[serde(skip_serializing_if = "Value::is_null")]
    pub tokenrouter: Value,
}

impl Response {
    /// A response in progress, with what the request said echoed.
    #[must_use]
    pub fn begin(request: &Request, id: String, model: String, created_at: i64) -> Self {
        Self {
            id,
            object: "response",
            created_at,
            completed_at: None,
            status: ResponseStatus::InProgress,
            incomplete_details: None,
            error: None,
            model,
            previous_response_id: request.previous_response_id.clone(),
            conversation: request.conversation.clone().map(|id| ConversationId { id }),
            instructions: request.instructions.clone(),
            output: Vec::new(),
            tools: request.tools.clone(),
            tool_choice: request.tool_choice.clone(),
            parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
            truncation: request.truncation.clone().unwrap_or_else(|| "disabled".to_owned()),
            text: request.text.clone(),
            reasoning: request.reasoning.clone(),
            temperature: request.temperature.unwrap_or(1.0),
            top_p: request.top_p.unwrap_or(1.0),
            presence_penalty: request.presence_penalty.unwrap_or(0.0),
            frequency_penalty: request.frequency_penalty.unwrap_or(0.0),
            top_logprobs: request.top_logprobs.unwrap_or(0),
            max_output_tokens: request.max_output_tokens,
            max_tool_calls: request.max_tool_calls,
            store: request.store,
            background: request.background,
            service_tier: request.service_tier.clone().unwrap_or_else(|| "default".to_owned()),
            safety_identifier: request.safety_identifier.clone(),
            prompt_cache_key: request.prompt_cache_key.clone(),
            user: request.user.clone(),
            metadata: request.metadata.clone(),
            usage: None,
            stop_detail: None,
            tokenrouter: Value::Null,
        }
    }
}
