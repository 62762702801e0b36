//! The prompts of outcomes as the gateway sees them.

use crate::gateway::{Seen, see};
use crate::outcomes::Outcomes;
use tokenrouter_routing::PromptFeatures;

pub(crate) struct Sight<'a> {
    pub outcomes: &'a Outcomes,
    /// Of each row.
    pub seen: Vec<Seen>,
    pub features: Vec<PromptFeatures>,
}

impl<'a> Sight<'a> {
    pub fn of(outcomes: &'a Outcomes) -> Self {
        Self {
            outcomes,
            seen: outcomes.rows.iter().map(|row| see(&row.prompt)).collect(),
            features: outcomes.rows.iter().map(|row| PromptFeatures::of(&row.prompt)).collect(),
        }
    }

    /// The log-odds of a good answer over all these rows; as if it had answered one prompt well and one badly besides.
    pub fn log_odds(&self, rows: &[usize], model: usize) -> f32 {
        let known = rows.iter().filter_map(|row| self.outcomes.rows[*row].outcomes[model]);
        let scores: Vec<f32> = known.map(|outcome| outcome.score).collect();
        let mean = (scores.iter().sum::<f32>() + 1.0) / (scores.len() as f32 + 2.0);
        (mean / (1.0 - mean)).ln()
    }
}
