//! What every request leaves behind: a ledger entry, the response if the caller asked to keep it, and more.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::captures::Capture;
use crate::conversations::ConversationTurn;
use crate::keys::Charge;

/// What a request did and cost. Holds no prompt and no answer. The spool keeps it as JSON over a change of version: a
/// field that is added needs a default there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Unique within the workspace; an entry whose id is there already is not written again.
    pub request_id: String,
    pub workspace_id: i64,
    pub key_id: i64,
    pub response_id: Option<String>,
    pub created_at_ms: i64,
    pub latency_ms: i64,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub requested_model: Option<String>,
    pub mode: String,
    pub task: Option<String>,
    pub stream: bool,
    /// `completed`, `incomplete`, `cancelled`, `blocked` or `failed`.
    pub outcome: String,
    pub http_status: u16,
    pub error_code: Option<String>,
    /// Token counts beyond `i64::MAX` are stored as that.
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// Billionths of a US dollar; `None` where the price is not known.
    pub cost_nano_usd: Option<i64>,
    /// The answer was cut, or its provider told no usage: tokens and cost are what they are likely to be.
    pub usage_is_estimate: bool,
    /// What is counted against limits: also where the cost is not known.
    pub charged_tokens: u64,
    pub charged_nano_usd: u64,
    /// Why it went so, as JSON: attempts, rules that matched, firewall hits.
    pub decision_json: String,
}

impl LedgerEntry {
    pub(crate) fn charge(&self) -> Charge {
        Charge {
            workspace_id: self.workspace_id,
            key_id: self.key_id,
            created_at_ms: self.created_at_ms,
            tokens: self.charged_tokens,
            cost_nano_usd: self.charged_nano_usd,
        }
    }

    /// Bytes held, about.
    pub(crate) fn weight(&self) -> usize {
        // The texts that are not counted are short and of bounded size.
        size_of::<Self>() + self.request_id.len() + self.decision_json.len()
    }
}

/// A response that can be retrieved, replayed and continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Unique within the workspace; a response whose id is there already is not written again,
    /// unless it was stored as unfinished.
    pub id: String,
    pub workspace_id: i64,
    pub created_at_ms: i64,
    pub previous_response_id: Option<String>,
    pub conversation_id: Option<String>,
    /// The final response, as JSON.
    pub body: Bytes,
    /// The input items, as a JSON array.
    pub input: Bytes,
}

impl StoredResponse {
    /// Bytes held, about.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.body.len() + self.input.len()
    }
}

/// What one request leaves behind: all or nothing of it is written, at once.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    pub entry: LedgerEntry,
    pub response: Option<StoredResponse>,
    /// Nothing is added to a conversation that has been deleted meanwhile.
    pub turn: Option<ConversationTurn>,
    /// The prompt and the answer, of a workspace that captures.
    pub capture: Option<Capture>,
    /// The ids of the firewall rules that matched, shadow rules among them, each with its matches.
    pub firewall_hits: Vec<(i64, u64)>,
}

impl RequestRecord {
    #[must_use]
    pub fn of(entry: LedgerEntry) -> Self {
        Self { entry, response: None, turn: None, capture: None, firewall_hits: Vec::new() }
    }

    /// Bytes held, about.
    pub(crate) fn weight(&self) -> usize {
        let response = self.response.as_ref().map_or(0, StoredResponse::weight);
        let turn = self.turn.as_ref().map_or(0, ConversationTurn::weight);
        let capture = self.capture.as_ref().map_or(0, Capture::weight);
        self.entry.weight() + response + turn + capture + size_of_val(self.firewall_hits.as_slice())
    }
}
