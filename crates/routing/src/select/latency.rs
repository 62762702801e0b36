//! How quick each provider's models are, as seen.

use std::collections::HashMap;
use std::sync::RwLock;

/// Averages in which the newest observation counts for a fifth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// Milliseconds to the first token; none was timed while it is 0.
    pub ttft_ms: f32,
    /// None was timed while it is 0.
    pub tokens_per_second: f32,
    pub samples: u32,
}

pub trait LatencyView {
    fn observed(&self, provider: &str, model: &str) -> Option<Observed>;
}

const NEWEST: f32 = 0.2;

/// Learns from what the gateway has seen.
#[derive(Default)]
pub struct LatencyTracker {
    seen: RwLock<HashMap<String, HashMap<String, Observed>>>,
}

impl LatencyTracker {
    /// Takes in one observation; what was not timed is None.
    #[allow(clippy::cast_possible_truncation)]
    pub fn observe(&self, provider: &str, model: &str, ttft_ms: Option<f64>, tokens_per_second: Option<f64>) {
        let mut seen = self.seen.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !seen.contains_key(provider) {
            seen.insert(provider.to_owned(), HashMap::new());
        }
        let Some(models) = seen.get_mut(provider) else { return };
        if !models.contains_key(model) {
            models.insert(model.to_owned(), Observed::default());
        }
        let Some(observed) = models.get_mut(model) else { return };
        let mix = |old: &mut f32, new: Option<f64>| {
            if let Some(new) = new.map(|new| new as f32).filter(|new| new.is_finite() && *new > 0.0) {
                *old = if *old == 0.0 { new } else { *old + NEWEST * (new - *old) };
            }
        };
        mix(&mut observed.ttft_ms, ttft_ms);
        mix(&mut observed.tokens_per_second, tokens_per_second);
        observed.samples = observed.samples.saturating_add(1);
    }
}

impl LatencyView for LatencyTracker {
    fn observed(&self, provider: &str, model: &str) -> Option<Observed> {
        let seen = self.seen.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.get(provider)?.get(model).copied()
    }
}
