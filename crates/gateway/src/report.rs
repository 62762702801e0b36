//! How the ledger looks to programs: the API and the command line show the same.

use crate::clock::iso8601;
use crate::pipeline::{considered_json, usd};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokenrouter_routing::{ModelInfo, Task};
use tokenrouter_store::{Capture, LedgerEntry, UsageRow};

/// A request, without the decision.
#[must_use]
pub fn request_json(entry: &LedgerEntry) -> Value {
    json!({
        "id": entry.request_id,
        "object": "request",
        "created_at": iso8601(entry.created_at_ms),
        "key_id": entry.key_id,
        "response_id": entry.response_id,
        "outcome": entry.outcome,
        "http_status": entry.http_status,
        "error_code": entry.error_code,
        "provider": entry.provider,
        "model": entry.model,
        "requested_model": entry.requested_model,
        "mode": entry.mode,
        "task": entry.task,
        "stream": entry.stream,
        "latency_ms": entry.latency_ms,
        "input_tokens": entry.input_tokens,
        "cached_input_tokens": entry.cached_input_tokens,
        "cache_write_tokens": entry.cache_write_tokens,
        "output_tokens": entry.output_tokens,
        "reasoning_tokens": entry.reasoning_tokens,
        "usage_estimated": entry.usage_is_estimate,
        "cost_nano_usd": entry.cost_nano_usd,
        "cost_usd": entry.cost_nano_usd.and_then(|cost| u64::try_from(cost).ok()).map(usd),
    })
}

/// With the decision: attempts, warnings, rules, firewall hits, the price, and under `route` every candidate.
///
/// # Errors
/// When the entry's decision is not JSON.
pub fn whole_request_json(entry: &LedgerEntry) -> serde_json::Result<Value> {
    let mut request = request_json(entry);
    let mut decision: Value = serde_json::from_str(&entry.decision_json)?;
    if let Some(route) = considered_json(&decision["route"]) {
        decision["route"] = route;
    }
    request["decision"] = decision;
    Ok(request)
}

/// How able a model is held to be: over all tasks, and at those of which more is known; each with its source. And at each
/// task what a predictor learned, for prompts like those that it learned from.
#[must_use]
pub fn abilities_json(model: &ModelInfo) -> Value {
    let by_task = model.quality_by_task.iter().map(|(task, ability)| {
        let source = model.quality_sources.get(task).map_or("estimate", String::as_str);
        (task.as_str().to_owned(), json!({ "ability": three_places(*ability), "source": source }))
    });
    let mut abilities = json!({
        "overall": { "ability": three_places(model.quality), "source": model.quality_source },
        "by_task": by_task.collect::<serde_json::Map<_, _>>(),
    });
    let learned = Task::ALL.into_iter().filter_map(|task| Some((task.as_str(), three_places(model.learned_at(task)?))));
    let learned: BTreeMap<&str, f64> = learned.collect();
    if !learned.is_empty() {
        abilities["predictor"] = json!(learned);
    }
    abilities
}

fn three_places(ability: f32) -> f64 {
    (f64::from(ability) * 1e3).round() / 1e3
}

/// With the decision, and with the prompt and the answer, where the workspace has them kept.
///
/// # Errors
/// When what is stored is not JSON.
pub fn captured_request_json(entry: &LedgerEntry, capture: Option<&Capture>) -> serde_json::Result<Value> {
    let mut request = whole_request_json(entry)?;
    request["capture"] = Value::Null;
    if let Some(Capture { input, output }) = capture {
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
        let output = output.as_deref().map(read).transpose()?;
        request["capture"] = json!({ "input": read(input)?, "output": output });
    }
    Ok(request)
}

#[must_use]
pub fn usage_json(row: &UsageRow) -> Value {
    json!({
        "group": row.group,
        "requests": row.requests,
        "answered_requests": row.answered_requests,
        "input_tokens": row.input_tokens,
        "cached_input_tokens": row.cached_input_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cost_nano_usd": row.cost_nano_usd,
        "cost_usd": usd(row.cost_nano_usd),
        "unpriced_requests": row.unpriced_requests,
    })
}

/// A day (its beginning, in UTC), a moment in ISO 8601, or seconds since 1970; gives milliseconds.
///
/// # Errors
/// What it must be.
pub fn read_moment(text: &str) -> Result<i64, &'static str> {
    let wrong = "must be a day as 2026-11-24, a moment as 2026-11-24T12:00:00Z, or seconds since 1970";
    if let Ok(seconds) = text.parse::<i64>() {
        // No later than a date can be written.
        return jiff::Timestamp::from_second(seconds).map(jiff::Timestamp::as_millisecond).map_err(|_| wrong);
    }
    let day = text.parse::<jiff::civil::Date>().is_ok_and(|day| day.to_string() == text);
    let text = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_or_seconds() {
        assert_eq!(read_moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(read_moment("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(read_moment("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(read_moment("7"), Ok(7_000));
        for wrong in ["", "yesterday", "2026-13-01", "99999999999999", "-99999999999999", "9223372036854775807"] {
            assert!(read_moment(wrong).is_err(), "{wrong}");
        }
    }
}
