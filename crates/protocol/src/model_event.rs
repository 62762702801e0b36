//! What a provider's answer consists of, whichever provider gave it and whether it was streamed.
//!
//! A provider's decoder turns bytes into these; a plain answer is the same events all at once. The
//! firewall rewrites their text, the [`Assembler`](crate::Assembler) makes the response of them.
//!
//! Order: `Started` first (optional); each item `ItemStarted`, its deltas, `ItemDone`; items may
//! overlap, told apart by `key`; then `Usage` (any number of times, the last one counts) and exactly
//! one of `Finished` and `Failed`, after which nothing follows.

use crate::{Object, Usage};
use serde_json::Value;

/// Which text of an item a delta belongs to. The number tells the parts of an item apart, in the
/// order in which they begin, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    Text(u32),
    Refusal(u32),
    ReasoningSummary(u32),
    ReasoningText(u32),
    Arguments,
    /// What a custom tool is called with.
    Input,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ItemStart {
    /// The assistant's message.
    Message,
    Reasoning,
    FunctionCall {
        call_id: String,
        name: String,
        /// The group of tools that the tool belongs to.
        namespace: Option<String>,
    },
    /// An item of a kind that only the provider knows, as it came, whole; but for the `input` of a
    /// `custom_tool_call`, which comes in deltas.
    Other(Object),
}

/// What is known only when an item ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemEnd {
    /// The item was cut short.
    pub incomplete: bool,
    /// Of a reasoning item: what must be given back to the provider in the next turn.
    pub encrypted_content: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    Completed,
    MaxOutputTokens,
    ContentFilter,
}

impl FinishReason {
    /// The reason as `incomplete_details` gives it, if the response is incomplete.
    #[must_use]
    pub fn incomplete(self) -> Option<&'static str> {
        match self {
            Self::Completed => None,
            Self::MaxOutputTokens => Some("max_output_tokens"),
            Self::ContentFilter => Some("content_filter"),
        }
    }
}

/// Why a model stopped, where a provider says more than a [`FinishReason`] can. Open Responses has no
/// place for it; surfaces that have one tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopDetail {
    /// It came to this text of [`Request::stop`](crate::Request).
    Sequence(String),
    /// A long turn was paused by the provider, to be gone on with.
    Paused,
    /// Not the limit that was asked for, but the model's own was reached.
    ContextWindow,
}

/// An error that the provider reported in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The provider's own type or code, such as `overloaded_error`.
    pub kind: String,
    pub message: String,
    /// The status it came with, or the one that it stands for in a stream; 0 if neither is known.
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    Started {
        /// The model that answers, as the provider names it.
        model: Option<String>,
    },
    ItemStarted {
        key: u32,
        item: ItemStart,
    },
    Delta {
        key: u32,
        field: Field,
        text: String,
    },
    /// How probable the tokens were of the next delta of the text part `part`, as OpenAI writes it.
    Logprobs {
        key: u32,
        part: u32,
        logprobs: Vec<Value>,
    },
    /// A citation or the like, of the text part `part`.
    Annotation {
        key: u32,
        part: u32,
        annotation: Value,
    },
    ItemDone {
        key: u32,
        end: ItemEnd,
    },
    Usage(Usage),
    Stopped(StopDetail),
    Finished(FinishReason),
    Failed(ProviderError),
}
