//! Prompts and answers that a workspace has asked to keep for a while.

use bytes::Bytes;

/// What was asked and answered, as the firewall left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// As JSON.
    pub input: Bytes,
    /// The response, as JSON; none where there was none.
    pub output: Option<Bytes>,
}

impl Capture {
    /// Bytes held, about.
    pub(crate) fn weight(&self) -> usize {
        self.input.len() + self.output.as_ref().map_or(0, Bytes::len)
    }
}
