//! Anthropic's Messages.

mod decode;
mod encode;
pub(crate) mod native;
mod schema;
mod strict;
mod thinking;
#[cfg(test)]
mod traps;

pub(crate) use decode::{Stream, decode};
pub(crate) use encode::encode;

use http::{HeaderName, HeaderValue};
use tokenrouter_protocol::Request;

/// The version, and the betas that the caller asked for.
pub(crate) fn headers(request: &Request) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"))];
    let betas = native::of(&request.extra).and_then(|native| native.get("betas")).and_then(|betas| betas.as_array());
    let betas: Vec<&str> = betas.into_iter().flatten().filter_map(|beta| beta.as_str()).collect();
    if let Ok(value) = HeaderValue::from_str(&betas.join(","))
        && !betas.is_empty()
    {
        headers.push((HeaderName::from_static("anthropic-beta"), value));
    }
    headers
}
