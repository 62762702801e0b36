//! Scores, each from 0 (worst) to 1 (best) over a fixed range.

use super::{Candidate, LatencyView, Request, Target};
use crate::{Mode, ModelInfo, TokenUsage};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    pub cost: f32,
    pub quality: f32,
    pub latency: f32,
}

/// A request's cost in nano-dollars: at the first figure the score is 1, at the second 0, between
/// them it falls with the logarithm. From a hundredth of a cent for a small request to a dollar.
const COST_RANGE: (f32, f32) = (20_000.0, 1.0e9);
/// Milliseconds to the whole answer, likewise.
const LATENCY_RANGE: (f32, f32) = (300.0, 60_000.0);
/// How much better than even a model's ability makes its answers: a quality of 0.5 where it is what the prompt asks
/// for, 0.69 at 0.1 above, 0.92 at 0.3. A choice; see `docs/concepts/choosing-a-model.md` for what it does.
const STEEPNESS: f32 = 8.0;
/// What falls short of this loses as much as it falls short, three times over: cheap and quick nonsense is not worth
/// having.
const QUALITY_FLOOR: f32 = 0.6;
/// Utilities that are the same in steps of this are a tie, which the cheaper wins.
const STEP: f32 = 0.005;
/// The score of what is not known.
const UNKNOWN: f32 = 0.3;
/// What a candidate must be ahead by for a conversation to move to it, beside what the prompt cache is worth, so
/// that it does not go to and fro with the measured latencies. A choice: in the mode for latency, an eighth of the
/// time (1 − 200^(−0.02 / 0.8)), in balance two fifths.
const SWITCH: f32 = 0.02;
/// Observations that weigh as much as the prior does.
const PRIOR_SAMPLES: f32 = 5.0;

pub(super) fn rank(candidates: &[&Candidate], request: &Request, seen: &dyn LatencyView, named: bool) -> Vec<Target> {
    let forecast = &request.needs.forecast;
    let output = forecast.output_tokens;
    let output = request.needs.max_output_tokens.map_or(output, |limit| limit.min(output));
    candidates
        .iter()
        .map(|candidate| {
            let model = &candidate.model;
            let input = request.needs.input_tokens_estimate;
            let last = request.last_turn.as_ref().filter(|last| last.went_to(&candidate.provider, model));
            let cache_read = last.map_or(0, |last| last.in_cache(model).min(input));
            let usage = TokenUsage { uncached_input: input - cache_read, cache_read, output, ..TokenUsage::default() };
            let cost = model.price.map(|price| price.cost(&usage));
            let learned = request.learned.shift(&candidate.provider, &model.id, request.needs.task);
            let ability = model.quality_at(request.needs.task, forecast.predicted.weight);
            let ability = (ability + learned).clamp(0.0, 1.0);
            let predicted =
                model.learned.as_ref().map_or(0.0, |learned| forecast.predicted.moved(learned.skills.as_ref()));
            let estimated_ms = expected_ms(model, candidate, output, seen);
            let scores = Scores {
                #[allow(clippy::cast_precision_loss)]
                cost: cost.map_or(UNKNOWN, |cost| falling(cost as f32, COST_RANGE)),
                quality: quality_moved(ability, forecast.difficulty, predicted),
                latency: falling(estimated_ms, LATENCY_RANGE),
            };
            Target {
                name: sent_name(model, request.model.as_deref().filter(|_| named)),
                provider: Arc::clone(&candidate.provider),
                model: Arc::clone(model),
                utility: utility(request.mode, &scores, named) + if last.is_some() { SWITCH } else { 0.0 },
                ability,
                predicted,
                scores,
                estimated_cost_nano_usd: cost,
                estimated_ms,
            }
        })
        .collect()
}

/// The provider's own name for the model that the caller used, in the provider's spelling; else its id.
fn sent_name(model: &ModelInfo, asked: Option<&str>) -> Arc<str> {
    let alias = asked.and_then(|asked| model.aliases.iter().find(|alias| alias.eq_ignore_ascii_case(asked)));
    alias.unwrap_or(&model.id).as_str().into()
}

/// How likely a model of this ability is to answer a prompt of this difficulty well, 0 to 1.
#[must_use]
pub fn quality(ability: f32, difficulty: f32) -> f32 {
    quality_moved(ability, difficulty, 0.0)
}

/// The same where outcomes have taught to expect other log-odds, by so much.
#[must_use]
pub fn quality_moved(ability: f32, difficulty: f32, moved: f32) -> f32 {
    1.0 / (1.0 + (STEEPNESS * (difficulty - ability) - moved).exp())
}

fn utility(mode: Mode, scores: &Scores, named: bool) -> f32 {
    let weights = mode.weights();
    let sum = weights.cost * scores.cost + weights.quality * scores.quality + weights.latency * scores.latency;
    let short = if named { 0.0 } else { (QUALITY_FLOOR - scores.quality).max(0.0) };
    ((sum - 3.0 * short) / STEP).round() * STEP
}

fn falling(value: f32, (best, worst): (f32, f32)) -> f32 {
    let value = value.clamp(best, worst);
    1.0 - (value / best).ln() / (worst / best).ln()
}

/// The prior, and the more observations the more what was observed.
#[allow(clippy::cast_precision_loss)]
fn expected_ms(model: &ModelInfo, candidate: &Candidate, output: u64, seen: &dyn LatencyView) -> f32 {
    let (mut ttft, mut speed) = (model.latency.ttft_ms, model.latency.tokens_per_second.max(1.0));
    if let Some(observed) = seen.observed(&candidate.provider, &model.id) {
        let trust = observed.samples as f32 / (observed.samples as f32 + PRIOR_SAMPLES);
        if observed.ttft_ms > 0.0 {
            ttft += trust * (observed.ttft_ms - ttft);
        }
        if observed.tokens_per_second > 0.0 {
            speed += trust * (observed.tokens_per_second - speed);
        }
    }
    ttft + 1_000.0 * output as f32 / speed
}
