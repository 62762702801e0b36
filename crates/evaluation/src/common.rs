//! What can be expected of a model that was never seen, of which only its ability is known: from what all others find
//! easy, and from what the abler of them are better at.
//!
//! `logit = ability + ease of the prompt + slope of the prompt × (ability − mean) / spread`, ease and slope both linear in
//! the prompt's features, and learned from all models at once: each has as many outcomes to go by as there are models.

use crate::seed::Random;
use crate::sight::Sight;
use crate::train::Weight;
use tokenrouter_routing::{PromptFeatures, Task, feature_rows};

/// How it learns; found by hand on the training parts of all three sets that docs/concepts/choosing-a-model.md tells of.
const EPOCHS: usize = 8;
const RATE: f32 = 0.05;
const SLOPE_RATE: f32 = 0.015;
const DECAY: f32 = 3e-3;
const SLOPE_DECAY: f32 = 1e-2;
/// Abilities that are closer together than this tell nothing of slopes. In log-odds.
const LEAST_SPREAD: f32 = 0.1;
/// So many prompts of a task count as much for the ability at it as all others do. A choice.
const HALF_AT: f32 = 60.0;

/// How able a model is, in log-odds: over all, and at each task, as a table of abilities tells it.
pub(crate) struct Known {
    overall: f32,
    at_task: [f32; Task::ALL.len()],
}

pub(crate) struct Common {
    /// For each feature its ease and its slope.
    weights: Vec<[f32; 2]>,
    mean: f32,
    spread: f32,
    /// The mean ease and slope of each task's prompts.
    at_task: [[f32; 2]; Task::ALL.len()],
}

impl Common {
    /// Learns from these rows, as if there were no models but these.
    pub fn learn(sight: &Sight<'_>, rows: &[usize], models: &[usize], seed: u64) -> Self {
        let abilities: Vec<f32> = models.iter().map(|model| sight.log_odds(rows, *model)).collect();
        let count = abilities.len().max(1) as f32;
        let mean = abilities.iter().sum::<f32>() / count;
        let variance = abilities.iter().map(|ability| (ability - mean).powi(2)).sum::<f32>() / count;
        let spread = variance.sqrt().max(LEAST_SPREAD);
        let mut weights = vec![[Weight::NEW; 2]; feature_rows()];
        let mut order = rows.to_vec();
        let mut random = Random::new(seed);
        for _ in 0..EPOCHS {
            random.shuffle(&mut order);
            for row in &order {
                let features = &sight.features[*row];
                let [ease, slope] = sums(features, |at| weights[at].map(|weight| weight.value));
                let (mut known, mut off_ease, mut off_slope) = (0.0_f32, 0.0_f32, 0.0_f32);
                for (ability, model) in abilities.iter().zip(models) {
                    let Some(outcome) = sight.outcomes.rows[*row].outcomes[*model] else { continue };
                    let above = (ability - mean) / spread;
                    let off = sigmoid(ability + ease + slope * above) - outcome.score;
                    known += 1.0;
                    off_ease += off;
                    off_slope += off * above;
                }
                if known == 0.0 {
                    continue;
                }
                for (at, x) in features.rows() {
                    let [ease, slope] = &mut weights[at];
                    ease.step(x * off_ease / known + DECAY * ease.value, RATE);
                    slope.step(x * off_slope / known + SLOPE_DECAY * slope.value, SLOPE_RATE);
                }
            }
        }
        let weights: Vec<[f32; 2]> = weights.into_iter().map(|pair| pair.map(|weight| weight.value)).collect();
        let mut at_task = [[0.0_f32; 3]; Task::ALL.len()];
        for row in rows {
            let [ease, slope] = sums(&sight.features[*row], |at| weights[at]);
            let [of_ease, of_slope, count] = &mut at_task[sight.seen[*row].task as usize];
            *of_ease += ease;
            *of_slope += slope;
            *count += 1.0;
        }
        let at_task = at_task.map(|[ease, slope, count]| [ease / count.max(1.0), slope / count.max(1.0)]);
        Self { at_task, weights, mean, spread }
    }

    /// How likely a model is to answer this row's prompt well of which only its ability over all is known.
    pub fn expect(&self, sight: &Sight<'_>, row: usize, likeness: f32, known: &Known) -> f32 {
        let [ease, slope] = sums(&sight.features[row], |at| self.weights[at]);
        sigmoid(known.overall + likeness * (ease + slope * (known.overall - self.mean) / self.spread))
    }

    /// The same where its ability at the prompt's task is known, which has the task's own ease and slope in it.
    pub fn expect_at(&self, sight: &Sight<'_>, row: usize, likeness: f32, known: &Known) -> f32 {
        let task = sight.seen[row].task as usize;
        let [ease, slope] = sums(&sight.features[row], |at| self.weights[at]);
        let [of_ease, of_slope] = self.at_task[task];
        let above = (known.overall - self.mean) / self.spread;
        sigmoid(known.at_task[task] + likeness * (ease - of_ease + (slope - of_slope) * above))
    }
}

impl Known {
    pub fn of(sight: &Sight<'_>, rows: &[usize], model: usize) -> Self {
        let overall = sight.log_odds(rows, model);
        let at_task = Task::ALL.map(|task| {
            let of_it: Vec<usize> = rows.iter().copied().filter(|row| sight.seen[*row].task == task).collect();
            let count = of_it.len() as f32;
            overall + count / (count + HALF_AT) * (sight.log_odds(&of_it, model) - overall)
        });
        Self { overall, at_task }
    }
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn sums(features: &PromptFeatures, weights: impl Fn(usize) -> [f32; 2]) -> [f32; 2] {
    features.rows().fold([0.0; 2], |[ease, slope], (at, x)| {
        let of = weights(at);
        [ease + x * of[0], slope + x * of[1]]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::Outcomes;

    #[test]
    fn of_a_model_that_was_never_seen_the_hard_prompts_are_expected_to_be_harder() {
        // The able can prove; nobody fails to add.
        let text: String = (0..400)
            .map(|i| {
                let hard = i % 2 == 0;
                let words = if hard { "prove that the number" } else { "add up the number" };
                let score = |able: bool| u8::from(able || !hard);
                let models = ["a", "b", "c", "d"].iter().enumerate();
                let models: Vec<String> = models
                    .map(|(at, name)| format!("\"{name}\": {{\"score\": {}, \"cost\": 1}}", score(at % 2 == 0)))
                    .collect();
                format!(
                    "{{\"prompt\": \"{words} {} and {}\", \"models\": {{{}}}}}\n",
                    i % 17,
                    i % 13,
                    models.join(", ")
                )
            })
            .collect();
        let outcomes = Outcomes::read(&text).unwrap();
        let mut sight = Sight::of(&outcomes);
        let rows: Vec<usize> = (0..300).collect();
        sight.seen.iter_mut().enumerate().for_each(|(row, seen)| seen.task = Task::ALL[row % 2]);
        let common = Common::learn(&sight, &rows, &[0, 1], 1);
        let [able, weak] = [2, 3].map(|model| Known::of(&sight, &rows, model));
        let gain = |row: usize| common.expect(&sight, row, 1.0, &able) - common.expect(&sight, row, 1.0, &weak);
        assert!(gain(300) > gain(301) + 0.1, "{} {}", gain(300), gain(301));
        let gain_at = |row: usize| {
            let [able, weak] = [&able, &weak].map(|known| common.expect_at(&sight, row, 1.0, known));
            able - weak
        };
        assert!(gain_at(300) > gain_at(301) + 0.3, "{} {}", gain_at(300), gain_at(301));
        // What is like nothing that was learned from is told by the abilities alone.
        let plain = common.expect(&sight, 300, 0.0, &weak) - common.expect(&sight, 301, 0.0, &weak);
        assert!(plain.abs() < 1e-6);
    }
}
