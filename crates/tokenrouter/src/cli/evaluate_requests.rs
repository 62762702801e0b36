//! `tokenrouter evaluate --requests`: what a workspace's own log and feedback tell of its choices, and what they cannot.

use super::{Failure, output, table};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use tokenrouter_gateway::considered_json;
use tokenrouter_store::{FeedbackRow, Store};

/// How many records are read at once.
const PAGE: u32 = 1_000;
/// At most so many requests are looked at, oldest first, and as much feedback.
const MOST: u32 = 100_000;

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

#[derive(Default)]
struct Summary {
    by_model: BTreeMap<String, OfModel>,
    /// What all requests would be estimated to cost at each candidate, and how many requests it was a candidate for.
    at: BTreeMap<String, (f64, u64)>,
    chosen: u64,
    unpriced: u64,
    /// Forecast and score.
    pairs: Vec<(f64, f64)>,
}

impl Summary {
    fn take(&mut self, name: String, cost: Option<i64>, route: &Value, said: Option<&FeedbackRow>) {
        self.chosen += 1;
        let Some(cost) = cost else {
            self.unpriced += 1;
            return;
        };
        for candidate in route["candidates"].as_array().into_iter().flatten() {
            let id = format!("{}/{}", table::cell(candidate, "provider"), table::cell(candidate, "model"));
            let Some(usd) = candidate["estimated_cost_usd"].as_f64() else { continue };
            if id == name {
                self.by_model.entry(id.clone()).or_default().estimated_nano_usd += usd * 1e9;
            }
            let at = self.at.entry(id).or_default();
            *at = (at.0 + usd, at.1 + 1);
        }
        let model = self.by_model.entry(name).or_default();
        model.requests += 1;
        model.cost_nano_usd = model.cost_nano_usd.saturating_add(cost);
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
        let whole = self.at.iter().filter(|(_, (_, requests))| *requests == self.chosen - self.unpriced);
        let mut singles: Vec<(&String, f64)> = whole.map(|(name, (usd, _))| (name, *usd)).collect();
        singles.sort_by(|a, b| a.1.total_cmp(&b.1));
        json!({
            "object": "requests.evaluation",
            "requests": self.chosen,
            "unpriced": self.unpriced,
            "models": models,
            "forecast_error": self.off(),
            "scored": self.pairs.len(),
            "estimated_cost_of_one_model_for_all": singles.iter().map(|(name, usd)| json!({ "model": name, "usd": usd }))
                .collect::<Vec<_>>(),
            "not_known": UNKNOWN,
        })
    }
}

pub(super) async fn run(store: &Store, workspace: i64, as_json: bool) -> Result<(), Failure> {
    let said = store.list_feedback(workspace, MOST).await.map_err(Failure::of)?;
    let said: HashMap<&str, &FeedbackRow> = said.iter().map(|row| (row.response_id.as_str(), row)).collect();
    let mut summary = Summary::default();
    let (mut after, mut seen) = (0, 0);
    while seen < MOST {
        let page = store.list_recorded(workspace, after, PAGE).await.map_err(Failure::of)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, entry) in &page {
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
    let told = summary.json();
    if as_json {
        return output::line(told);
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
    let singles: Vec<String> =
        singles.map(|one| format!("{} ${}", table::cell(one, "model"), number(&one["usd"], 6))).collect();
    if !singles.is_empty() {
        output::line(format_args!("\none model for all of them would cost about: {}", singles.join(", ")))?;
    }
    output::line(format_args!("\n{UNKNOWN}"))
}
