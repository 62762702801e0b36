//! Tokens used, in one normal form whatever the provider's own way of counting.

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Buckets that do not overlap, but for `reasoning`, which is a part of `output`, and `cache_write_1h`, which
/// is one of `cache_write`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that came from no cache and went into none.
    pub uncached_input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    /// What was written to be kept for an hour, where a provider charges more for that.
    pub cache_write_1h: u64,
    /// All output tokens, those of reasoning included.
    pub output: u64,
    pub reasoning: u64,
}

impl Usage {
    #[must_use]
    pub fn input_total(&self) -> u64 {
        self.uncached_input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            uncached_input: self.uncached_input.saturating_add(other.uncached_input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output)
    }
}

#[derive(serde::Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(serde::Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

/// As Open Responses writes it: `input_tokens` includes what came from a cache.
impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Usage", 5)?;
        s.serialize_field("input_tokens", &self.input_total())?;
        s.serialize_field(
            "input_tokens_details",
            &InputDetails { cached_tokens: self.cache_read, cache_write_tokens: self.cache_write },
        )?;
        s.serialize_field("output_tokens", &self.output)?;
        s.serialize_field("output_tokens_details", &OutputDetails { reasoning_tokens: self.reasoning })?;
        s.serialize_field("total_tokens", &self.total())?;
        s.end()
    }
}
