//! Anthropic's Messages.

mod decode;
mod encode;

pub(crate) use decode::{Stream, decode};
pub(crate) use encode::encode;

use http::{HeaderName, HeaderValue};

pub(crate) fn headers() -> Vec<(HeaderName, HeaderValue)> {
    vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"))]
}
