//! `tokenrouter evaluate --requests`: what a workspace's own log and feedback tell of its choices, and what they cannot.

use super::{Failure, output, table};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use tokenrouter_gateway::considered_json;
use tokenrouter_store::{FeedbackRow, Store};

/// How many records are read at once.
const PAGE: u32 = 1_000;
/// At most so many requests are looked at, newest first, and as much feedback.
const MOST: u32 = 100_000;

/// What one model for all would cost is told of models that were candidates for so many of the requests that left a
/// choice.
const MOSTLY: f64 = 0.5;

/// What is not in any log.
const UNKNOWN: &str = "What another model would have answered is in no log: each prompt went to one model, and not by \
                       lot. So AIQ, the oracle and what a mixture would score cannot be told from requests. Costs of \
                       others are estimates from the prompt's length and the forecast length of the answer.";

#[derive(Default)]
struct OfModel {
    requests: u64,
    /// Of those that were scored.
    scores: f64,
    forecasts: f64,
    scored: u64,
    cost_nano_usd: i64,
    estimated_nano_usd: f64,
}

/// A candidate: for how many requests, what those are estimated to cost at it, and at what was chosen for them. In dollars.
#[derive(Default)]
struct At {
    requests: u64,
    usd: f64,
    chosen_usd: f64,
}

#[derive(Default)]
struct Summary {
    by_model: BTreeMap<String, OfModel>,
    /// What the requests that left a choice would be estimated to cost at each candidate.
    at: BTreeMap<String, At>,
    /// How many left a choice: a request for one model says nothing of others.
    with_choice: u64,
    chosen: u64,
    unpriced: u64,
    /// Forecast and score.
    pairs: Vec<(f64, f64)>,
}

impl Summary {
    fn take(&mut self, name: String, cost: Option<i64>, route: &Value, said: Option<&FeedbackRow>) {
        self.chosen += 1;
        self.unpriced += u64::from(cost.is_none());
        let candidates = route["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
        let estimates: Vec<(String, f64)> = candidates
            .iter()
            .filter_map(|candidate| {
                let id = format!("{}/{}", table::cell(candidate, "provider"), table::cell(candidate, "model"));
                Some((id, candidate["estimated_cost_usd"].as_f64()?))
            })
            .collect();
        let chosen_usd = estimates.iter().find(|(id, _)| *id == name).map(|(_, usd)| *usd);
        if let Some(chosen_usd) = chosen_usd.filter(|_| candidates.len() > 1) {
            self.with_choice += 1;
            for (id, usd) in estimates {
                let at = self.at.entry(id).or_default();
                *at = At { requests: at.requests + 1, usd: at.usd + usd, chosen_usd: at.chosen_usd + chosen_usd };
            }
        }
        let model = self.by_model.entry(name).or_default();
        model.requests += 1;
        if let Some(cost) = cost {
            model.cost_nano_usd = model.cost_nano_usd.saturating_add(cost);
            model.estimated_nano_usd += chosen_usd.unwrap_or_default() * 1e9;
        }
        if let Some(said) = said {
            model.scored += 1;
            model.scores += said.score;
            model.forecasts += said.forecast;
            self.pairs.push((said.forecast, said.score));
        }
    }

    /// The mean of the squares of what forecasts were off by (Brier); 0.25 for who always says one half.
    #[allow(clippy::cast_precision_loss)]
    fn off(&self) -> Option<f64> {
        let squares: f64 = self.pairs.iter().map(|(forecast, score)| (forecast - score).powi(2)).sum();
        (!self.pairs.is_empty()).then(|| squares / self.pairs.len() as f64)
    }

    #[allow(clippy::cast_precision_loss)]
    fn json(&self) -> Value {
        let models: Vec<Value> = self
            .by_model
            .iter()
            .map(|(name, of)| {
                let mean = |sum: f64| (of.scored > 0).then(|| sum / of.scored as f64);
                json!({
                    "model": name, "requests": of.requests, "scored": of.scored,
                    "mean_score": mean(of.scores), "mean_forecast": mean(of.forecasts),
                    "cost_usd": of.cost_nano_usd as f64 / 1e9, "estimated_cost_usd": of.estimated_nano_usd / 1e9,
                })
            })
            .collect();
        let mut singles: Vec<(&String, &At)> =
            self.at.iter().filter(|(_, at)| at.requests as f64 >= MOSTLY * self.with_choice as f64).collect();
        let share = |at: &At| at.usd / at.chosen_usd;
        singles.sort_by(|(_, a), (_, b)| share(a).total_cmp(&share(b)));
        json!({
            "object": "requests.evaluation",
            "requests": self.chosen,
            "unpriced": self.unpriced,
            "models": models,
            "forecast_error": self.off(),
            "scored": self.pairs.len(),
            "with_choice": self.with_choice,
            "estimated_cost_of_one_model_for_all": singles.iter().map(|(name, at)| json!({
                "model": name, "requests": at.requests, "usd": at.usd, "chosen_usd": at.chosen_usd,
            })).collect::<Vec<_>>(),
            "not_known": UNKNOWN,
        })
    }
}

pub(super) async fn run(store: &Store, workspace: i64, as_json: bool) -> Result<(), Failure> {
    let said = store.list_feedback(workspace, MOST).await.map_err(Failure::of)?;
    let said: HashMap<&str, &FeedbackRow> = said.iter().map(|row| (row.response_id.as_str(), row)).collect();
    let mut summary = Summary::default();
    let recorded = store.count_requests(workspace).await.map_err(Failure::of)?;
    let mut before: Option<String> = None;
    let mut seen = 0;
    while seen < MOST {
        let page = store.list_requests(workspace, PAGE, before.as_deref()).await.map_err(Failure::of)?;
        let Some(oldest) = page.last() else { break };
        before = Some(oldest.request_id.clone());
        for entry in &page {
            seen += 1;
            let (Some(provider), Some(model)) = (&entry.provider, &entry.model) else { continue };
            if !matches!(entry.outcome.as_str(), "completed" | "incomplete") {
                continue;
            }
            let decision: Value = serde_json::from_str(&entry.decision_json).map_err(Failure::of)?;
            // What was recorded by a version that kept no candidates counts without them.
            let route = considered_json(&decision["route"]).unwrap_or_default();
            let said = entry.response_id.as_deref().and_then(|id| said.get(id)).copied();
            summary.take(format!("{provider}/{model}"), entry.cost_nano_usd, &route, said);
        }
    }
    let mut told = summary.json();
    told["recorded"] = json!(recorded);
    told["read"] = json!(seen);
    if as_json {
        return output::line(told);
    }
    if recorded > u64::from(seen) {
        output::line(format_args!("of {recorded} requests, the newest {seen} are looked at"))?;
    }
    output::line(format_args!("{} answered requests, {} of them of unknown cost\n", summary.chosen, summary.unpriced))?;
    let number =
        |value: &Value, places: usize| value.as_f64().map_or_else(|| "-".to_owned(), |x| format!("{x:.places$}"));
    let rows: Vec<Vec<String>> = told["models"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let (model, requests, scored) =
                (table::cell(row, "model"), table::cell(row, "requests"), table::cell(row, "scored"));
            let (score, forecast) = (number(&row["mean_score"], 2), number(&row["mean_forecast"], 2));
            vec![
                model,
                requests,
                scored,
                score,
                forecast,
                number(&row["cost_usd"], 6),
                number(&row["estimated_cost_usd"], 6),
            ]
        })
        .collect();
    table::print(&["MODEL", "REQUESTS", "SCORED", "SCORE", "FORECAST", "USD", "ESTIMATED USD"], &rows)?;
    if let Some(off) = summary.off() {
        output::line(format_args!(
            "\nforecasts of quality against {} scores: mean squared error {off:.3} (always saying one half: at most 0.25)",
            summary.pairs.len()
        ))?;
    }
    let singles = told["estimated_cost_of_one_model_for_all"].as_array().into_iter().flatten().take(5);
    let singles: Vec<String> = singles
        .map(|one| {
            format!(
                "  {} ${} instead of ${}, for {} of them",
                table::cell(one, "model"),
                number(&one["usd"], 6),
                number(&one["chosen_usd"], 6),
                one["requests"]
            )
        })
        .collect();
    if !singles.is_empty() {
        output::line(format_args!(
            "\none model for all of the {} requests that left a choice would cost about, by the estimates:\n{}",
            summary.with_choice,
            singles.join("\n")
        ))?;
    }
    output::line(format_args!("\n{UNKNOWN}"))
}
