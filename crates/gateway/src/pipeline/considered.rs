//! What was thought of for a request: every candidate with its scores, and what was no candidate, with the reason. The
//! dry run shows it, and each request keeps it in the ledger, in fewer words.

use super::field::Field;
use super::told::usd;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokenrouter_routing::{Decision, Filter, Forecast, Target, Task};

/// As it stands in the ledger under `route`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Considered {
    /// The task whose abilities counted.
    ability_task: &'static str,
    difficulty: f64,
    expected_output_tokens: u64,
    candidates: Vec<Row>,
    /// `provider/model`, by the filter's name.
    filtered: BTreeMap<&'static str, Vec<String>>,
}

/// Provider, name, utility, ability, scores of cost, quality and latency, cost in nano-dollars, milliseconds, and why
/// it was ejected, for how many milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Row(String, String, f64, f64, f64, f64, f64, Option<u64>, u64, Option<(&'static str, u64)>);

impl Considered {
    pub fn of(decision: &Decision, field: &Field<'_>, forecast: Forecast, task: Task) -> Self {
        let candidates = decision.targets.iter().enumerate();
        let mut filtered: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for out in &decision.filtered {
            filtered.entry(out.filter.as_str()).or_default().push(format!("{}/{}", out.provider, out.model.id));
        }
        Self {
            ability_task: task.as_str(),
            difficulty: short(forecast.difficulty),
            expected_output_tokens: forecast.output_tokens,
            candidates: candidates.map(|(place, target)| row(target, field, place)).collect(),
            filtered,
        }
    }
}

fn row(target: &Target, field: &Field<'_>, place: usize) -> Row {
    let ejection = field.ejection(place);
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Row(
        target.provider.to_string(),
        target.name.to_string(),
        short(target.utility),
        short(target.ability),
        short(target.scores.cost),
        short(target.scores.quality),
        short(target.scores.latency),
        target.estimated_cost_nano_usd,
        whole(target.estimated_ms),
        ejection.map(|ejection| (ejection.reason.as_str(), ms(ejection.retry_in))),
    )
}

/// To three places: there is a row for each candidate of each request.
fn short(value: f32) -> f64 {
    (f64::from(value) * 1e3).round() / 1e3
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(ms: f32) -> u64 {
    ms.round() as u64
}

/// The words for people and programs: `difficulty`, `expected_output_tokens`, `candidates`, `filtered`. None if it is
/// not what [`Considered`] writes.
#[must_use]
pub fn considered_json(route: &Value) -> Option<Value> {
    let rows = route["candidates"].as_array()?.iter().map(candidate).collect::<Option<Vec<_>>>()?;
    let filtered = route["filtered"].as_object()?.iter().flat_map(|(filter, names)| {
        let why = Filter::parse(filter).map(Filter::why);
        names.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(move |name| {
            let (provider, model) = name.split_once('/')?;
            Some(json!({ "provider": provider, "model": model, "filter": filter, "reason": why }))
        })
    });
    Some(json!({
        "ability_task": route["ability_task"],
        "difficulty": route["difficulty"],
        "expected_output_tokens": route["expected_output_tokens"],
        "candidates": rows,
        "filtered": filtered.collect::<Vec<_>>(),
    }))
}

fn candidate(row: &Value) -> Option<Value> {
    let [provider, model, utility, ability, cost, quality, latency, nano_usd, ms, ejected] = row.as_array()?.as_slice()
    else {
        return None;
    };
    let ejected = ejected.as_array().map(|pair| json!({ "reason": pair.first(), "retry_in_ms": pair.get(1) }));
    Some(json!({
        "provider": provider,
        "model": model,
        "utility": utility,
        "ability": ability,
        "scores": { "cost": cost, "quality": quality, "latency": latency },
        "ejected": ejected,
        "estimated_cost_usd": nano_usd.as_u64().map(usd),
        "estimated_latency_ms": ms,
    }))
}

/// The quality that was forecast for a target, and the task that it was forecast at.
pub(crate) fn forecast_of(route: &Value, provider: &str, model: &str) -> Option<(f64, String)> {
    let rows = route["candidates"].as_array()?;
    let row = rows.iter().find(|row| row[0] == provider && row[1] == model)?;
    Some((row[5].as_f64()?, route["ability_task"].as_str()?.to_owned()))
}
