//! The internal form of a request and of a response: Open Responses.
//!
//! Every surface is decoded into [`Request`] and every provider's answer into [`ModelEvent`]s; an
//! [`Assembler`] makes the response and its events out of those. Nothing here knows a socket, a
//! clock or a provider.

mod assembler;
mod embeddings;
mod error;
mod event;
mod field_names;
mod fields;
mod ids;
mod item;
mod item_parse;
mod model_event;
mod request;
mod response;
mod tool;
mod usage;

pub use assembler::{Assembler, Ending};
pub use embeddings::{EmbeddingsInput, EmbeddingsRequest, EncodingFormat};
pub use error::ErrorBody;
pub use event::{EventText, EventView, ResponseEvent};
pub use field_names::FieldNames;
pub use fields::{FieldError, Fields};
pub use ids::{new_id, new_ordered_id, random_hex};
pub use item::{FunctionCall, FunctionCallOutput, Item, ItemStatus, Message, OutputValue, Part, Reasoning, Role};
pub use model_event::{Field, FinishReason, ItemEnd, ItemStart, ModelEvent, ProviderError, StopDetail};
pub use request::{
    LOGPROBS, MOST_TOP_LOGPROBS, ReasoningConfig, Request, RouterFields, TextConfig, TextFormat, check_metadata,
};
pub use response::{ConversationId, IncompleteDetails, Response, ResponseError, ResponseStatus};
pub use tool::{FunctionTool, Tool, ToolChoice};
pub use usage::Usage;

/// A JSON object that keeps the order its fields were given in.
pub type Object = serde_json::Map<String, serde_json::Value>;
