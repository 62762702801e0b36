//! What was thought of for a request: every candidate with its scores, and what was no candidate, with the reason. The
//! dry run shows it; each request keeps in the ledger the best of it, so that a record does not grow with the pool.

use super::field::Field;
use super::told::usd;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokenrouter_routing::{Decision, Filter, Forecast, ModelInfo, Target, Task};

/// Candidates that a request keeps, besides the one that answered.
const KEPT: usize = 10;

/// All of it, the best candidate first.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Considered {
    /// The task whose abilities counted.
    ability_task: &'static str,
    difficulty: f64,
    difficulty_prior: f64,
    difficulty_weight: f64,
    predictor_weight: f64,
    expected_output_tokens: u64,
    candidates: Vec<Row>,
    /// By the filter's name.
    filtered: BTreeMap<&'static str, Vec<Name>>,
}

/// As it stands in the ledger under `route`.
#[derive(Serialize)]
struct Kept<'a> {
    ability_task: &'static str,
    difficulty: f64,
    difficulty_prior: f64,
    difficulty_weight: f64,
    predictor_weight: f64,
    expected_output_tokens: u64,
    candidates: Vec<&'a Row>,
    candidates_in_all: usize,
    /// How many, by the filter's name.
    filtered: BTreeMap<&'static str, usize>,
}

/// Provider and model, shared with the pool: each request makes a list of them, and few of those are ever written out.
#[derive(Clone, Debug)]
struct Name(Arc<str>, Arc<ModelInfo>);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.0, self.1.id))
    }
}

fn shared<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Provider, name, utility, ability, scores of cost, quality and latency, cost in nano-dollars, milliseconds, why it was
/// ejected, for how many milliseconds, and by how much the predictor moved the log-odds of a good answer.
#[derive(Clone, Debug, Serialize)]
struct Row(
    #[serde(serialize_with = "shared")] Arc<str>,
    #[serde(serialize_with = "shared")] Arc<str>,
    f64,
    f64,
    f64,
    f64,
    f64,
    Option<u64>,
    u64,
    Option<(&'static str, u64)>,
    f64,
);

impl Considered {
    pub fn of(decision: &Decision, field: &Field<'_>, forecast: Forecast, task: Task) -> Self {
        let candidates = decision.targets.iter().enumerate();
        let mut filtered: BTreeMap<&'static str, Vec<Name>> = BTreeMap::new();
        for out in &decision.filtered {
            let name = Name(Arc::clone(&out.provider), Arc::clone(&out.model));
            filtered.entry(out.filter.as_str()).or_default().push(name);
        }
        Self {
            ability_task: task.as_str(),
            difficulty: short(forecast.difficulty),
            difficulty_prior: short(forecast.difficulty_prior),
            difficulty_weight: short(forecast.difficulty_weight),
            predictor_weight: short(forecast.predicted.weight),
            expected_output_tokens: forecast.output_tokens,
            candidates: candidates.map(|(place, target)| row(target, field, place)).collect(),
            filtered,
        }
    }

    pub fn expected_output_tokens(&self) -> u64 {
        self.expected_output_tokens
    }

    /// What the ledger keeps of it, of a request that was answered by this target, if by any.
    pub fn kept(&self, provider: &str, name: &str) -> impl Serialize {
        let candidates = self.candidates.iter().enumerate();
        let kept = candidates.filter(|(place, row)| *place < KEPT || (*row.0 == *provider && *row.1 == *name));
        Kept {
            ability_task: self.ability_task,
            difficulty: self.difficulty,
            difficulty_prior: self.difficulty_prior,
            difficulty_weight: self.difficulty_weight,
            predictor_weight: self.predictor_weight,
            expected_output_tokens: self.expected_output_tokens,
            candidates: kept.map(|(_, row)| row).collect(),
            candidates_in_all: self.candidates.len(),
            filtered: self.filtered.iter().map(|(filter, names)| (*filter, names.len())).collect(),
        }
    }
}

fn row(target: &Target, field: &Field<'_>, place: usize) -> Row {
    let ejection = field.ejection(place);
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Row(
        Arc::clone(&target.provider),
        Arc::clone(&target.name),
        short(target.utility),
        short(target.ability),
        short(target.scores.cost),
        short(target.scores.quality),
        short(target.scores.latency),
        target.estimated_cost_nano_usd,
        whole(target.estimated_ms),
        ejection.map(|ejection| (ejection.reason.as_str(), ms(ejection.retry_in))),
        short(target.predicted),
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

/// The words for people and programs: `difficulty` and what it is made of, `expected_output_tokens`, `candidates`,
/// `candidates_in_all`, `filtered` (a model each, or where no names were kept a count for each reason). None if it is not
/// what [`Considered`] writes.
#[must_use]
pub fn considered_json(route: &Value) -> Option<Value> {
    let rows = route["candidates"].as_array()?.iter().map(candidate).collect::<Option<Vec<_>>>()?;
    let filtered = route["filtered"].as_object()?.iter().flat_map(|(filter, names)| {
        let why = Filter::parse(filter).map(Filter::why);
        let models = names.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(move |name| {
            let (provider, model) = name.split_once('/')?;
            Some(json!({ "provider": provider, "model": model, "filter": filter, "reason": why }))
        });
        let count = names.as_u64().map(|count| json!({ "count": count, "filter": filter, "reason": why }));
        models.chain(count)
    });
    Some(json!({
        "ability_task": route["ability_task"],
        "difficulty": route["difficulty"],
        "difficulty_prior": route["difficulty_prior"],
        "difficulty_weight": route["difficulty_weight"],
        "predictor_weight": route["predictor_weight"].as_f64().unwrap_or_default(),
        "expected_output_tokens": route["expected_output_tokens"],
        "candidates_in_all": route["candidates_in_all"].as_u64().unwrap_or(rows.len() as u64),
        "candidates": rows,
        "filtered": filtered.collect::<Vec<_>>(),
    }))
}

fn candidate(row: &Value) -> Option<Value> {
    let [provider, model, utility, ability, cost, quality, latency, nano_usd, ms, ejected, rest @ ..] =
        row.as_array()?.as_slice()
    else {
        return None;
    };
    let ejected = ejected.as_array().map(|pair| json!({ "reason": pair.first(), "retry_in_ms": pair.get(1) }));
    Some(json!({
        "provider": provider,
        "model": model,
        "utility": utility,
        "ability": ability,
        // Rows of before 2026-11-26 have none.
        "predicted": rest.first().and_then(Value::as_f64).unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_who_answered_and_of_the_others_how_many() {
        let row = |n: usize| Row("p".into(), format!("m{n}").into(), 0.5, 0.5, 0.5, 0.5, 0.5, None, 1, None, 0.0);
        let model = Arc::new(tokenrouter_routing::Catalog::builtin().models()[0].clone());
        let names: Vec<Name> = (0..7).map(|n| Name(format!("q{n}").into(), Arc::clone(&model))).collect();
        let all = Considered {
            candidates: (0..40).map(row).collect(),
            filtered: BTreeMap::from([("no_key", names)]),
            ..Considered::default()
        };
        let kept = |name: &str| {
            let told = considered_json(&serde_json::to_value(all.kept("p", name)).unwrap()).unwrap();
            let models: Vec<String> = told["candidates"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c["model"].as_str().unwrap().to_owned())
                .collect();
            (models, told)
        };
        let best: Vec<String> = (0..KEPT).map(|n| format!("m{n}")).collect();
        assert_eq!(kept("m3").0, best);
        let (models, told) = kept("m33");
        assert_eq!(models, [best, vec!["m33".to_owned()]].concat());
        assert_eq!(told["candidates_in_all"], 40);
        assert_eq!(
            told["filtered"],
            json!([{"count": 7, "filter": "no_key", "reason": Filter::parse("no_key").unwrap().why()}])
        );
        let dry = considered_json(&serde_json::to_value(&all).unwrap()).unwrap();
        assert_eq!((dry["candidates"].as_array().unwrap().len(), dry["filtered"].as_array().unwrap().len()), (40, 7));
        assert_eq!(dry["candidates_in_all"], 40);
    }
}
