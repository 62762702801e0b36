//! The wall clock, in the one unit that the gateway keeps times in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The day in UTC, as `2026-11-24`.
pub(crate) fn today() -> String {
    let mut day = iso8601(now_ms());
    day.truncate(10);
    day
}

/// `2026-11-24T12:00:00.000Z`, from milliseconds since 1970.
pub(crate) fn iso8601(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}
