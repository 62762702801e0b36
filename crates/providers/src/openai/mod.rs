//! OpenAI's Responses, natively: nearly our own form.
//!
//! State is ours: `store` is always false, and ids of earlier items are not sent, since OpenAI does
//! not know them.

mod decode;
mod encode;

pub(crate) use decode::{Stream, decode};
pub(crate) use encode::encode;
