//! The choice: which provider and model, and which next if that one fails.
//!
//! Hard filters first; then a weighted utility over fixed reference ranges, so that **adding a model
//! never changes the order of the others**.

mod error;
mod filter;
mod latency;
mod learned;
#[cfg(test)]
mod mixed_tests;
mod pool;
mod score;
#[cfg(test)]
mod tests;

pub use error::SelectError;
pub use filter::{Filter, Filtered};
pub use latency::{LatencyTracker, LatencyView, Observed};
pub use learned::{Learned, Said};
pub use pool::{Candidate, Pool};
pub use score::{Scores, quality, quality_moved};

use crate::{AllowedModels, Forecast, Mode, ModelInfo, Task};
use std::sync::Arc;

/// What the request needs of a model.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Needs {
    pub tools: bool,
    pub images: bool,
    pub files: bool,
    pub json_schema: bool,
    pub reasoning: bool,
    pub input_tokens_estimate: u64,
    pub max_output_tokens: Option<u64>,
    pub task: Task,
    pub forecast: Forecast,
}

/// Where the turn before of the same conversation went.
#[derive(Clone, Debug)]
pub struct LastTurn {
    pub provider: String,
    /// The model's id, or an alias of it.
    pub model: String,
    /// The workspace's own key that it went out with; none: the gateway's. A choice of models does not depend on it.
    pub provider_key_id: Option<i64>,
    /// What was sent and answered, while a provider that caches every prompt is likely to have it; 0 then.
    pub recent_tokens: u64,
    /// What of it the provider told that it read from its prompt cache, or wrote into it; 0 then, too.
    pub cached_tokens: u64,
}

impl LastTurn {
    fn went_to(&self, provider: &str, model: &ModelInfo) -> bool {
        self.provider == provider && (self.model == model.id || model.aliases.contains(&self.model))
    }

    /// How much of its prompt the model's provider is likely to have in its cache. Who sells writing into the cache
    /// caches what it is asked to.
    fn in_cache(&self, model: &ModelInfo) -> u64 {
        let on_demand = model.price.is_some_and(|price| price.cache_write_pico_usd.is_some());
        if on_demand { self.cached_tokens } else { self.recent_tokens }
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub provider: Option<String>,
    /// None: any.
    pub model: Option<String>,
    pub mode: Mode,
    pub needs: Needs,
    /// The provider was set by a rule, which beats what the caller asked for.
    pub provider_by_rule: bool,
    pub model_by_rule: bool,
    /// What the caller's key may use; all else is no candidate.
    pub allowed: Arc<AllowedModels>,
    /// Today, as `2026-11-24`: a model that its provider has ended by then is chosen only by its name.
    pub day: String,
    /// A conversation stays where it is while that is worth more than the switch.
    pub last_turn: Option<LastTurn>,
    /// What the workspace has learned of its models.
    pub learned: Arc<Learned>,
}

/// A place to send the request to.
#[derive(Clone, Debug)]
pub struct Target {
    pub provider: Arc<str>,
    pub model: Arc<ModelInfo>,
    /// What the provider is sent as the model: the model's id, or the alias that was asked for.
    pub name: Arc<str>,
    pub utility: f32,
    /// At the task, with what the workspace has learned.
    pub ability: f32,
    /// By how much a predictor moved the log-odds of a good answer.
    pub predicted: f32,
    pub scores: Scores,
    /// None: the price is not known.
    pub estimated_cost_nano_usd: Option<u64>,
    /// To the whole answer.
    pub estimated_ms: f32,
}

#[derive(Clone, Debug)]
pub struct Decision {
    /// Best first.
    pub targets: Vec<Target>,
    /// What is no target, and why.
    pub filtered: Vec<Filtered>,
    /// 0 to 1. A model that was named is certain: 1. A choice among models: one half, and the more
    /// the further the best is ahead of the next other model: `0.5 + 5 × (u₁ − u₂)`, at most 1.
    pub confidence: f32,
    pub warnings: Vec<String>,
    /// Of a conversation that nobody asked to move.
    pub stay: Option<Stay>,
}

/// Where a conversation was before, and is to be unless something speaks against it.
#[derive(Clone, Debug)]
pub struct Stay {
    last: LastTurn,
    lacks: Option<&'static str>,
}

impl Stay {
    /// Whether that is where this target is.
    #[must_use]
    pub fn is_at(&self, target: &Target) -> bool {
        self.last.went_to(&target.provider, &target.model)
    }

    /// What is told when the conversation goes on at `to`; none where it was.
    #[must_use]
    pub fn moved(&self, to: &Target, reason: Moved) -> Option<String> {
        if self.is_at(to) {
            return None;
        }
        let reason = match (self.lacks, reason) {
            (Some(lacks), _) => lacks,
            (None, Moved::Gone) => "is not to be had",
            (None, Moved::Ejected) => "has failed of late",
            (None, Moved::Outscored) => "now scores lower by more than its prompt cache is worth",
        };
        let LastTurn { provider, model, .. } = &self.last;
        Some(format!("the conversation moved to {}/{} from {provider}/{model}, which {reason}", to.provider, to.name))
    }
}

/// Why a target that a conversation was at is not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Gone,
    Ejected,
    Outscored,
}

/// # Errors
/// When nothing that was asked for is there, or nothing that is there can do what is needed.
pub fn select(pool: &Pool, request: &Request, latency: &dyn LatencyView) -> Result<Decision, SelectError> {
    let mut warnings = Vec::new();
    if let Some(provider) = &request.provider
        && !pool.has_provider(provider)
    {
        return Err(SelectError::ProviderUnknown { name: provider.clone(), known: pool.ready_providers() });
    }
    let (named, mut candidates) = match (&request.model, &request.provider) {
        (None, provider) => (false, pool.of_provider(provider.as_deref())),
        (Some(model), None) => (true, pool.of_model(model)),
        (Some(model), Some(provider)) => {
            let mut both = pool.of_model(model);
            both.retain(|candidate| *candidate.provider == **provider);
            if both.is_empty() && request.provider_by_rule && !request.model_by_rule {
                warnings.push(format!("{provider} does not serve {model}; its best model was chosen instead"));
                (false, pool.of_provider(Some(provider)))
            } else if both.is_empty() && pool.knows_model(model) {
                return Err(SelectError::ProviderModelMismatch { provider: provider.clone(), model: model.clone() });
            } else {
                (true, both)
            }
        }
    };
    if candidates.is_empty() {
        return Err(match &request.model {
            Some(model) => SelectError::ModelNotFound { asked: model.clone(), closest: pool.closest(model) },
            None => SelectError::NoEligible { reasons: vec!["no provider is set up".to_owned()] },
        });
    }
    if candidates.iter().all(|candidate| !candidate.ready) {
        return Err(match (&request.provider, candidates.first()) {
            (Some(name), _) => SelectError::ProviderNotConfigured { name: name.clone() },
            (None, Some(first)) if named => SelectError::ProviderNotConfigured { name: first.provider.to_string() },
            _ => SelectError::NoEligible { reasons: vec!["no provider is set up".to_owned()] },
        });
    }
    candidates.retain(|candidate| candidate.ready);
    candidates.retain(|candidate| request.allowed.allows(&candidate.provider, &candidate.model));
    if candidates.is_empty() {
        return Err(SelectError::NotAllowed { asked: request.model.clone() });
    }
    let mut reasons = Vec::new();
    let mut left_for = None;
    candidates.retain(|candidate| match filter::lacks(&candidate.model, request, named) {
        None => true,
        Some(filter) => {
            let reason = filter.why();
            if request.last_turn.as_ref().is_some_and(|last| last.went_to(&candidate.provider, &candidate.model)) {
                left_for = Some(reason);
            }
            if reasons.len() < 3 {
                reasons.push(format!("{}/{} {reason}", candidate.provider, candidate.model.id));
            }
            false
        }
    });
    if candidates.is_empty() {
        return Err(SelectError::NoEligible { reasons });
    }
    let mut targets = score::rank(&candidates, request, latency, named);
    targets.sort_by(|a, b| {
        b.utility
            .total_cmp(&a.utility)
            .then_with(|| cost_key(a).cmp(&cost_key(b)))
            .then_with(|| a.model.id.cmp(&b.model.id))
            .then_with(|| a.provider.cmp(&b.provider))
    });
    let stay = stay(request, left_for);
    let confidence = if named { 1.0 } else { confidence(&targets) };
    let filtered = pool.filtered(request, named);
    Ok(Decision { targets, filtered, confidence, warnings, stay })
}

/// None if the caller or a rule names another model or provider, or none was before.
fn stay(request: &Request, lacks: Option<&'static str>) -> Option<Stay> {
    let last = request.last_turn.as_ref()?;
    let elsewhere = request.provider.as_ref().is_some_and(|provider| *provider != last.provider);
    (request.model.is_none() && !elsewhere).then(|| Stay { last: last.clone(), lacks })
}

fn cost_key(target: &Target) -> u64 {
    target.estimated_cost_nano_usd.unwrap_or(u64::MAX)
}

fn confidence(targets: &[Target]) -> f32 {
    let (Some(first), rest) = (targets.first(), targets.get(1..).unwrap_or_default()) else { return 0.0 };
    match rest.iter().find(|target| target.model.id != first.model.id) {
        Some(next) => (0.5 + 5.0 * (first.utility - next.utility)).clamp(0.0, 1.0),
        None => 1.0,
    }
}
