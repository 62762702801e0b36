//! Learning how likely each model is to answer a prompt well.
//!
//! `logit = ability of the model − difficulty of the prompt + what the model is better or worse at`, each of the last two
//! linear in the prompt's features. The difficulty is one for all models, and so is learned from all of them and holds
//! for models that were never seen. AdaGrad (Duchi, Hazan and Singer, 2011) over the logistic loss.
//!
//! **A prompt that is like nothing it learned from gets the models' plain abilities**: out of its domain, what was
//! learned of words is worth nothing.

use crate::domain::Domain;
use crate::features::{BUCKETS, COUNTS, Features};
use crate::outcomes::Outcomes;
use crate::seed::Random;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub epochs: usize,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { epochs: 5, seed: 1 }
    }
}

/// Of the difficulty, and of what each model is better or worse at. Found by hand on the training part of MMLU-Pro.
const RATE: f32 = 0.09;
const OWN_RATE: f32 = 0.025;
const DECAY: f32 = 1e-4;
const OWN_DECAY: f32 = 1e-3;
const EPSILON: f32 = 1e-2;

/// A parameter and the sum of its squared gradients.
#[derive(Clone, Copy)]
pub(crate) struct Weight {
    pub value: f32,
    seen: f32,
}

impl Weight {
    pub const NEW: Self = Self { value: 0.0, seen: EPSILON };

    pub fn step(&mut self, gradient: f32, rate: f32) {
        self.seen += gradient * gradient;
        self.value -= rate * gradient / self.seen.sqrt();
    }
}

pub struct Learner<'a> {
    pub(crate) outcomes: &'a Outcomes,
    pub(crate) features: Vec<Features>,
}

impl<'a> Learner<'a> {
    #[must_use]
    pub fn new(outcomes: &'a Outcomes) -> Self {
        Self { outcomes, features: outcomes.rows.iter().map(|row| Features::of(&row.prompt)).collect() }
    }

    /// Learns from these rows, as if there were no models but these.
    #[must_use]
    pub fn train(&self, rows: &[usize], models: &[usize], settings: &Settings) -> Predictor {
        let ability: Vec<f32> = models.iter().map(|model| self.ability(rows, *model)).collect();
        let width = models.len();
        let mut shared = vec![Weight::NEW; BUCKETS + COUNTS];
        let mut own = vec![Weight::NEW; (BUCKETS + COUNTS) * width];
        let mut order = rows.to_vec();
        let mut random = Random::new(settings.seed);
        let mut logits = vec![0.0_f32; width];
        for _ in 0..settings.epochs {
            random.shuffle(&mut order);
            for row in &order {
                let features = &self.features[*row];
                let inputs = Inputs::of(features);
                logits.copy_from_slice(&ability);
                let difficulty: f32 = inputs.iter().map(|(at, x)| x * shared[at].value).sum();
                for (at, x) in inputs.iter() {
                    for (logit, weight) in logits.iter_mut().zip(&own[at * width..]) {
                        *logit += x * weight.value;
                    }
                }
                let outcomes = &self.outcomes.rows[*row].outcomes;
                let mut known = 0.0_f32;
                let mut sum = 0.0_f32;
                for (logit, model) in logits.iter_mut().zip(models) {
                    // From here on, how far the prediction is off; nothing is known where the model was not asked.
                    *logit = outcomes[*model].map_or(0.0, |outcome| {
                        known += 1.0;
                        sigmoid(*logit + difficulty) - outcome.score
                    });
                    sum += *logit;
                }
                if known == 0.0 {
                    continue;
                }
                for (at, x) in inputs.iter() {
                    let weight = &mut shared[at];
                    weight.step(x * sum / known + DECAY * weight.value, RATE);
                    for (off, weight) in logits.iter().zip(&mut own[at * width..(at + 1) * width]) {
                        weight.step(x * off + OWN_DECAY * weight.value, OWN_RATE);
                    }
                }
            }
        }
        Predictor {
            ability,
            shared: shared.into_iter().map(|weight| weight.value).collect(),
            own: own.into_iter().map(|weight| weight.value).collect(),
            domain: self.domain(rows),
        }
    }

    fn domain(&self, rows: &[usize]) -> Domain {
        let prompts: Vec<(usize, &Features)> =
            rows.iter().map(|row| (self.outcomes.rows[*row].group, &self.features[*row])).collect();
        Domain::of(&prompts)
    }

    /// How much each of these prompts is like those that are learned from.
    pub(crate) fn likeness_of(&self, train: &[usize], rows: &[usize]) -> Vec<f32> {
        let domain = self.domain(train);
        rows.iter().map(|row| domain.likeness(&self.features[*row])).collect()
    }

    /// The log-odds of a good answer over all these rows; as if it had answered one prompt well and one badly besides.
    pub(crate) fn ability(&self, rows: &[usize], model: usize) -> f32 {
        let known = rows.iter().filter_map(|row| self.outcomes.rows[*row].outcomes[model]);
        let scores: Vec<f32> = known.map(|outcome| outcome.score).collect();
        let mean = (scores.iter().sum::<f32>() + 1.0) / (scores.len() as f32 + 2.0);
        (mean / (1.0 - mean)).ln()
    }

    /// Of each model that it was trained for, how likely it is to answer this row's prompt well.
    #[must_use]
    pub fn predict(&self, predictor: &Predictor, row: usize) -> Vec<f32> {
        predictor.predict(&self.features[row])
    }

    /// How hard this row's prompt is, from about -3 to 3; 0 if it is like nothing that was learned from.
    #[must_use]
    pub fn difficulty(&self, predictor: &Predictor, row: usize) -> f32 {
        predictor.difficulty(&self.features[row])
    }

    /// 0 to 1: how much this row's prompt is like those that were learned from.
    #[must_use]
    pub fn likeness(&self, predictor: &Predictor, row: usize) -> f32 {
        predictor.domain.likeness(&self.features[row])
    }
}

/// Buckets are ones, made so small that all together are of length 1; counts are as they are.
pub(crate) struct Inputs<'a> {
    features: &'a Features,
    scale: f32,
}

impl<'a> Inputs<'a> {
    pub fn of(features: &'a Features) -> Self {
        Self { features, scale: 1.0 / (features.buckets.len() as f32 + 1.0).sqrt() }
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let buckets = self.features.buckets.iter().map(|bucket| (*bucket as usize, self.scale));
        buckets.chain(self.features.counts.iter().enumerate().map(|(i, count)| (BUCKETS + i, *count)))
    }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

pub struct Predictor {
    /// The log-odds of each model, over all that it learned from.
    ability: Vec<f32>,
    shared: Vec<f32>,
    own: Vec<f32>,
    domain: Domain,
}

impl Predictor {
    /// By how much the prompt moves each model's log-odds.
    fn moved(&self, features: &Features) -> Vec<f32> {
        let width = self.ability.len();
        let mut moved = vec![0.0_f32; width];
        for (at, x) in Inputs::of(features).iter() {
            for (moved, weight) in moved.iter_mut().zip(&self.own[at * width..]) {
                *moved += x * (weight + self.shared[at]);
            }
        }
        let trust = self.domain.likeness(features);
        moved.iter_mut().for_each(|moved| *moved *= trust);
        moved
    }

    fn predict(&self, features: &Features) -> Vec<f32> {
        self.ability.iter().zip(self.moved(features)).map(|(ability, moved)| sigmoid(ability + moved)).collect()
    }

    fn difficulty(&self, features: &Features) -> f32 {
        let width = self.ability.len();
        let of_all = |at: usize| self.own[at * width..(at + 1) * width].iter().sum::<f32>() / width as f32;
        let easy: f32 = Inputs::of(features).iter().map(|(at, x)| x * (self.shared[at] + of_all(at))).sum();
        -easy * self.domain.likeness(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two models: one that can do anything, one that can do what has no `prove` in it.
    fn outcomes() -> Outcomes {
        let text: String = (0..400)
            .map(|i| {
                let hard = i % 2 == 0;
                let (prompt, score) = if hard { ("prove that the number", 0) } else { ("add up the number", 1) };
                format!(
                    "{{\"prompt\": \"{prompt} {} and {}\", \"models\": {{\"able\": {{\"score\": 1, \"cost\": 1}}, \
                     \"weak\": {{\"score\": {score}, \"cost\": 0.1}}}}}}\n",
                    i % 17,
                    i % 13
                )
            })
            .collect();
        Outcomes::read(&text).unwrap()
    }

    #[test]
    fn what_is_hard_is_learned_and_follows_from_the_seed() {
        let outcomes = outcomes();
        let learner = Learner::new(&outcomes);
        let rows: Vec<usize> = (0..300).collect();
        let predictor = learner.train(&rows, &[0, 1], &Settings::default());
        let (hard, easy) = (learner.predict(&predictor, 300), learner.predict(&predictor, 301));
        assert!(hard[1] < 0.2 && easy[1] > 0.8 && hard[0] > 0.8, "{hard:?} {easy:?}");
        assert!(learner.difficulty(&predictor, 300) > learner.difficulty(&predictor, 301));
        let again = learner.train(&rows, &[0, 1], &Settings::default());
        assert_eq!(learner.predict(&again, 300), hard);
    }

    #[test]
    fn a_prompt_like_nothing_that_was_learned_gets_the_plain_abilities() {
        let outcomes = outcomes();
        let learner = Learner::new(&outcomes);
        let predictor = learner.train(&(0..400).collect::<Vec<_>>(), &[0, 1], &Settings::default());
        let strange = Features::of("Übersetze das Gedicht über den Herbstwald ins Französische, bitte");
        let plain: Vec<f32> = predictor.ability.iter().map(|ability| sigmoid(*ability)).collect();
        assert_eq!(predictor.predict(&strange), plain);
        assert!(predictor.difficulty(&strange).abs() < 1e-6);
    }
}
