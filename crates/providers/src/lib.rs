//! The providers' wire formats: a request of ours in their words, their answers in ours.
//!
//! Pure: values in, values out. Nothing here knows a socket, a clock or a key. One folder a wire
//! format: [`openai`] speaks Responses, [`chat`] Chat Completions (with a profile for each of the
//! hosts that read it differently), [`anthropic`] Messages, [`gemini`] generated content.
//!
//! **A translation loses nothing silently**: a field is carried, or emulated or dropped with a
//! [`Loss`], or refused with an [`EncodeError`] that names it. **What is sent is an allow-list**: a
//! field leaves only if code here names it (to `openai` also what we do not know, but never what is
//! the router's own).

mod answer_check;
mod anthropic;
mod chat;
mod custom_call;
mod decode;
mod embeddings;
mod encode;
mod envelope;
mod failure;
mod gemini;
mod json_schema;
mod kind;
mod logprobs;
mod lowering;
mod media;
mod openai;
mod repriced;
mod tools;
mod translation;
mod wire;

pub use answer_check::{AnswerChecks, Finding, ToolCheck};
pub use anthropic::native::{KEY as ANTHROPIC_FIELDS, is_in_messages_words, is_own_block as is_anthropic_block};
pub use decode::{DecodeError, StreamDecoder, decode_response};
pub use embeddings::{Embeddings, EncodedEmbeddings, decode_embeddings, encode_embeddings};
pub use encode::{EncodeError, Encoded, Loss, Target, encode};
pub use envelope::{is_sealed, reasoning_account};
pub use failure::decode_error;
pub use json_schema::{Breach, Verdict, check as check_schema};
pub use kind::{Auth, Kind, UnknownKind, normalise_base_url};
pub use repriced::repriced_by;
pub use tokenrouter_protocol::{ModelEvent, ProviderError};
pub use translation::Translation;
