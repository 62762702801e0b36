//! Reading the ledger: which requests, and what they come to.

/// Which requests are meant: those for which everything given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    pub outcome: Option<String>,
    pub provider: Option<String>,
    /// As it was sent.
    pub model: Option<String>,
    pub key_id: Option<i64>,
    /// The first moment.
    pub since_ms: Option<i64>,
    /// The first moment after.
    pub until_ms: Option<i64>,
}

/// What the requests are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGroup {
    /// The day in UTC on which the request came, as `2026-11-24`.
    Day,
    /// `provider/model`.
    Model,
    Provider,
    /// The key's id.
    Key,
}

/// What a group of requests comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// `None`: requests that no provider answered.
    pub group: Option<String>,
    pub requests: u64,
    /// Of those, the ones that ended as `completed` or `incomplete`.
    pub answered_requests: u64,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// Of the requests whose cost is known.
    pub cost_nano_usd: u64,
    /// Requests that a provider began to answer and whose cost is not known: never counted as free.
    pub unpriced_requests: u64,
}
