//! What can be expected of a model that was never seen, of which only its ability is known: from what all others find
//! easy, and from what the abler of them are better at.
//!
//! `logit = ability + ease of the prompt + slope of the prompt × (ability − mean) / spread`, ease and slope both linear in
//! the prompt's features, and learned from all models at once: each has as many outcomes to go by as there are models.

use crate::features::{BUCKETS, COUNTS};
use crate::learn::{Inputs, Learner, Weight, sigmoid};
use crate::seed::Random;

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
    at_task: Vec<f32>,
}

pub(crate) struct Common {
    /// For each feature its ease and its slope.
    weights: Vec<[f32; 2]>,
    mean: f32,
    spread: f32,
    /// The mean ease and slope of each task's prompts.
    at_task: Vec<[f32; 2]>,
}

impl Common {
    /// Learns from these rows, as if there were no models but these. `tasks` has the task of every row, from 0.
    pub fn learn(learner: &Learner<'_>, rows: &[usize], models: &[usize], tasks: &[usize], seed: u64) -> Self {
        let abilities: Vec<f32> = models.iter().map(|model| learner.ability(rows, *model)).collect();
        let count = abilities.len().max(1) as f32;
        let mean = abilities.iter().sum::<f32>() / count;
        let variance = abilities.iter().map(|ability| (ability - mean).powi(2)).sum::<f32>() / count;
        let spread = variance.sqrt().max(LEAST_SPREAD);
        let mut weights = vec![[Weight::NEW; 2]; BUCKETS + COUNTS];
        let mut order = rows.to_vec();
        let mut random = Random::new(seed);
        for _ in 0..EPOCHS {
            random.shuffle(&mut order);
            for row in &order {
                let inputs = Inputs::of(&learner.features[*row]);
                let [ease, slope] = sums(&inputs, |at| weights[at].map(|weight| weight.value));
                let (mut known, mut off_ease, mut off_slope) = (0.0_f32, 0.0_f32, 0.0_f32);
                for (ability, model) in abilities.iter().zip(models) {
                    let Some(outcome) = learner.outcomes.rows[*row].outcomes[*model] else { continue };
                    let above = (ability - mean) / spread;
                    let off = sigmoid(ability + ease + slope * above) - outcome.score;
                    known += 1.0;
                    off_ease += off;
                    off_slope += off * above;
                }
                if known == 0.0 {
                    continue;
                }
                for (at, x) in inputs.iter() {
                    let [ease, slope] = &mut weights[at];
                    ease.step(x * off_ease / known + DECAY * ease.value, RATE);
                    slope.step(x * off_slope / known + SLOPE_DECAY * slope.value, SLOPE_RATE);
                }
            }
        }
        let weights: Vec<[f32; 2]> = weights.into_iter().map(|pair| pair.map(|weight| weight.value)).collect();
        let mut at_task = vec![[0.0_f32; 3]; tasks.iter().max().map_or(0, |most| most + 1)];
        for row in rows {
            let [ease, slope] = sums(&Inputs::of(&learner.features[*row]), |at| weights[at]);
            let [of_ease, of_slope, count] = &mut at_task[tasks[*row]];
            *of_ease += ease;
            *of_slope += slope;
            *count += 1.0;
        }
        let at_task = at_task.into_iter().map(|[ease, slope, count]| [ease / count.max(1.0), slope / count.max(1.0)]);
        Self { at_task: at_task.collect(), weights, mean, spread }
    }

    /// How likely a model is to answer this row's prompt well of which only its ability over all is known.
    pub fn expect(&self, learner: &Learner<'_>, row: usize, likeness: f32, known: &Known) -> f32 {
        let [ease, slope] = sums(&Inputs::of(&learner.features[row]), |at| self.weights[at]);
        sigmoid(known.overall + likeness * (ease + slope * (known.overall - self.mean) / self.spread))
    }

    /// The same where its ability at the prompt's task is known, which has the task's own ease and slope in it.
    pub fn expect_at(&self, task: usize, learner: &Learner<'_>, row: usize, likeness: f32, known: &Known) -> f32 {
        let [ease, slope] = sums(&Inputs::of(&learner.features[row]), |at| self.weights[at]);
        let [of_ease, of_slope] = self.at_task[task];
        let above = (known.overall - self.mean) / self.spread;
        sigmoid(known.at_task[task] + likeness * (ease - of_ease + (slope - of_slope) * above))
    }
}

impl Known {
    pub fn of(learner: &Learner<'_>, rows: &[usize], model: usize, tasks: &[usize]) -> Self {
        let overall = learner.ability(rows, model);
        let at_task = |task: usize| {
            let of_it: Vec<usize> = rows.iter().copied().filter(|row| tasks[*row] == task).collect();
            let count = of_it.len() as f32;
            overall + count / (count + HALF_AT) * (learner.ability(&of_it, model) - overall)
        };
        Self { overall, at_task: (0..=tasks.iter().copied().max().unwrap_or(0)).map(at_task).collect() }
    }
}

fn sums(inputs: &Inputs<'_>, weights: impl Fn(usize) -> [f32; 2]) -> [f32; 2] {
    inputs.iter().fold([0.0; 2], |[ease, slope], (at, x)| {
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
        let learner = Learner::new(&outcomes);
        let rows: Vec<usize> = (0..300).collect();
        let tasks: Vec<usize> = (0..400).map(|row| row % 2).collect();
        let common = Common::learn(&learner, &rows, &[0, 1], &tasks, 1);
        let [able, weak] = [2, 3].map(|model| Known::of(&learner, &rows, model, &tasks));
        let gain = |row: usize| common.expect(&learner, row, 1.0, &able) - common.expect(&learner, row, 1.0, &weak);
        assert!(gain(300) > gain(301) + 0.1, "{} {}", gain(300), gain(301));
        let gain_at = |row: usize| {
            let [able, weak] = [&able, &weak].map(|known| common.expect_at(tasks[row], &learner, row, 1.0, known));
            able - weak
        };
        assert!(gain_at(300) > gain_at(301) + 0.3, "{} {}", gain_at(300), gain_at(301));
        // What is like nothing that was learned from is told by the abilities alone.
        let plain = common.expect(&learner, 300, 0.0, &weak) - common.expect(&learner, 301, 0.0, &weak);
        assert!(plain.abs() < 1e-6);
    }
}
