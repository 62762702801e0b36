//! Training a predictor for the gateway: which model answers which prompt better than the gateway's own forecast tells.
//!
//! `log-odds = 8 (ability − difficulty) + ease of the prompt + what the model is better or worse at`, each of the last two
//! linear in the prompt's features, learned by AdaGrad (Duchi, Hazan and Singer, 2011) over the logistic loss. The ease is
//! one for all models, and so is learned from all of them. What the models are better or worse at is then told by the
//! few directions in which they differ most (principal components), which is less to keep.

use crate::domain::Domain;
use crate::gateway::{Gateway, Seen};
use crate::outcomes::Outcomes;
use crate::report::OptionsError;
use crate::seed::Random;
use crate::sight::Sight;
use tokenrouter_routing::{LearnedModel, Predictor, PredictorWeights, SKILLS, Task, feature_rows, quality_moved};

/// How it learns, the ease and what models are better at: chosen on parts of what is learned from.
const EPOCHS: usize = 5;
const RATE: f32 = 0.03;
const OWN_RATE: f32 = 0.05;
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

/// A model that answered fewer prompts is left out: by luck it would seem to be able to do anything, or nothing. A choice.
pub const LEAST_OUTCOMES: usize = 30;
/// Of a model each feature has a weight while it is learned, 131 KB in all.
const MOST_MODELS: usize = 1_000;

#[derive(Debug)]
pub struct Trained {
    pub predictor: Predictor,
    /// How much the prompts are like themselves, in the mean, 0 to 1: where it is near 0, nothing will come of it.
    pub weight: f32,
    /// The models that were left out, with how many prompts they answered.
    pub left_out: Vec<(String, usize)>,
}

/// Learns from all outcomes but those that the file keeps apart (`"split": "test"`). The same seed gives the same predictor.
///
/// # Errors
/// When there is nothing to learn from.
pub fn train(outcomes: &Outcomes, seed: u64) -> Result<Trained, OptionsError> {
    let (rows, _) = outcomes.split(0.0, seed);
    let answered = |model: usize| rows.iter().filter(|row| outcomes.rows[**row].outcomes[model].is_some()).count();
    let (models, few): (Vec<usize>, Vec<usize>) =
        (0..outcomes.models.len()).partition(|model| answered(*model) >= LEAST_OUTCOMES);
    if models.is_empty() {
        return Err(OptionsError::TooFew { least: LEAST_OUTCOMES });
    }
    if models.len() > MOST_MODELS {
        return Err(OptionsError::TooMany { most: MOST_MODELS });
    }
    let sight = Sight::of(outcomes);
    let predictor = train_on(&sight, &rows, &models, seed);
    let weights = rows.iter().map(|row| predictor.weigh(&sight.features[*row]).weight).sum::<f32>();
    Ok(Trained {
        weight: weights / rows.len() as f32,
        predictor,
        left_out: few.into_iter().map(|model| (outcomes.models[model].clone(), answered(model))).collect(),
    })
}

/// Learns from these rows, as if there were no models but these.
pub(crate) fn train_on(sight: &Sight<'_>, rows: &[usize], models: &[usize], seed: u64) -> Predictor {
    let is_answered = |row: &&usize| models.iter().any(|model| sight.outcomes.rows[**row].outcomes[*model].is_some());
    let rows: &[usize] = &rows.iter().filter(is_answered).copied().collect::<Vec<_>>();
    let gateway = Gateway::new(sight, rows, models);
    let (ease, own) = learn(sight, rows, models, &gateway, seed);
    let directions = directions(&own, models.len());
    let skills = own.chunks(models.len().max(1)).map(|of| {
        directions.each_ref().map(|direction| direction.iter().zip(of).map(|(part, weight)| part * weight).sum())
    });
    let learned = |(place, model): (usize, &usize)| LearnedModel {
        model: sight.outcomes.models[*model].clone(),
        ability: gateway.abilities[place].overall,
        abilities: Task::ALL.map(|task| (task, gateway.abilities[place].at(task))).into(),
        skills: directions.each_ref().map(|direction| direction[place]),
    };
    let Domain { like, like_all, near_rows, near } = Domain::of(sight.outcomes, &sight.features, rows);
    Predictor::of(PredictorWeights {
        prompts: rows.len(),
        models: models.iter().enumerate().map(learned).collect(),
        like,
        like_all,
        near_rows,
        near,
        ease,
        skills: skills.collect(),
    })
}

/// For each row of the table the ease, and what each model is better at.
fn learn(sight: &Sight<'_>, rows: &[usize], models: &[usize], gateway: &Gateway, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let width = models.len();
    let mut ease = vec![Weight::NEW; feature_rows()];
    let mut own = vec![Weight::NEW; feature_rows() * width];
    let mut order = rows.to_vec();
    let mut random = Random::new(seed);
    let mut off = vec![0.0_f32; width];
    for _ in 0..EPOCHS {
        random.shuffle(&mut order);
        for row in &order {
            let features = &sight.features[*row];
            let eased: f32 = features.rows().map(|(at, x)| x * ease[at].value).sum();
            off.fill(eased);
            for (at, x) in features.rows() {
                for (moved, weight) in off.iter_mut().zip(&own[at * width..]) {
                    *moved += x * weight.value;
                }
            }
            let Seen { task, difficulty } = sight.seen[*row];
            let outcomes = &sight.outcomes.rows[*row].outcomes;
            let (mut known, mut sum) = (0.0_f32, 0.0_f32);
            for ((off, model), abilities) in off.iter_mut().zip(models).zip(&gateway.abilities) {
                // From here on, how far the prediction is off; nothing is known where the model was not asked.
                *off = outcomes[*model].map_or(0.0, |outcome| {
                    known += 1.0;
                    quality_moved(abilities.at(task), difficulty, *off) - outcome.score
                });
                sum += *off;
            }
            if known == 0.0 {
                continue;
            }
            for (at, x) in features.rows() {
                let weight = &mut ease[at];
                weight.step(x * sum / known + DECAY * weight.value, RATE);
                for (off, weight) in off.iter().zip(&mut own[at * width..(at + 1) * width]) {
                    weight.step(x * off + OWN_DECAY * weight.value, OWN_RATE);
                }
            }
        }
    }
    let values = |weights: Vec<Weight>| weights.into_iter().map(|weight| weight.value).collect();
    (values(ease), values(own))
}

/// The first principal components of rows of this width, each of length 1, by power iteration; zeros where there are
/// no more.
fn directions(rows: &[f32], width: usize) -> [Vec<f32>; SKILLS] {
    const TURNS: usize = 200;
    let mut products = vec![0.0_f64; width * width];
    for row in rows.chunks(width.max(1)) {
        for (i, a) in row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            for (product, b) in products[i * width..].iter_mut().zip(row) {
                *product += f64::from(a * b);
            }
        }
    }
    std::array::from_fn(|skill| {
        let mut direction: Vec<f64> = (0..width).map(|i| 1.0 / (1.0 + ((i + skill) % width) as f64)).collect();
        let mut length = 0.0;
        for _ in 0..TURNS {
            let next: Vec<f64> =
                products.chunks(width).map(|row| row.iter().zip(&direction).map(|(a, b)| a * b).sum()).collect();
            length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length < 1e-9 {
                return vec![0.0; width];
            }
            direction = next.into_iter().map(|x| x / length).collect();
        }
        for (i, a) in direction.iter().enumerate() {
            for (product, b) in products[i * width..].iter_mut().zip(&direction) {
                *product -= length * a * b;
            }
        }
        direction.into_iter().map(|x| x as f32).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenrouter_routing::Predicted;

    /// Three models: `logic` can prove and cannot add up, `sums` the other way round, `rare` was hardly asked.
    fn outcomes() -> Outcomes {
        let row = |i: usize| {
            let proves = i.is_multiple_of(2);
            let words = if proves { "prove that the graph of" } else { "add up the numbers of" };
            let (logic, sums) = (u8::from(proves), u8::from(!proves));
            let rare = if i < 5 { ", \"rare\": {\"score\": 1, \"cost\": 1}" } else { "" };
            format!(
                "{{\"prompt\": \"{words} {} and {}\", \"models\": {{\"logic\": {{\"score\": {logic}, \"cost\": 1}}, \
                 \"sums\": {{\"score\": {sums}, \"cost\": 1}}{rare}}}}}\n",
                i % 31,
                i % 23
            )
        };
        Outcomes::read(&(0..400).map(row).collect::<String>()).unwrap()
    }

    #[test]
    fn which_model_is_good_at_what_is_learned_and_follows_from_the_seed() {
        let trained = train(&outcomes(), 1).unwrap();
        assert_eq!(trained.left_out, [("rare".to_owned(), 5)]);
        let predictor = trained.predictor;
        let told = |prompt: &str| {
            let seen = predictor.see(prompt);
            predictor
                .models()
                .iter()
                .map(|model| Predictor::expect(model, Task::Math, 0.5, &seen))
                .collect::<Vec<f32>>()
        };
        let (proof, sum) = (told("prove that the graph of 40 and 2"), told("add up the numbers of 40 and 2"));
        assert_eq!(predictor.models()[0].model, "logic");
        assert!(proof[0] > proof[1] + 0.3 && sum[1] > sum[0] + 0.3, "{proof:?} {sum:?}");
        let again = train(&outcomes(), 1).unwrap().predictor;
        assert_eq!(again.write().unwrap(), predictor.write().unwrap());
        assert_ne!(train(&outcomes(), 2).unwrap().predictor.write().unwrap(), predictor.write().unwrap());
    }

    #[test]
    fn of_requests_of_other_kinds_nothing_is_said() {
        let predictor = train(&outcomes(), 1).unwrap().predictor;
        for text in [
            "",
            "hello",
            "Write a poem about the sea",
            "请把下面这句话翻译成英文：今天天气很好。",
            "def f(x):\n    return x",
        ] {
            let seen = predictor.see(text);
            assert!(seen.weight < 0.2, "{text}: {}", seen.weight);
            assert!(predictor.models().iter().all(|model| seen.moved(Some(&model.skills)).abs() < 0.5), "{text}");
        }
        assert_eq!(predictor.see("").moved(None), Predicted::default().moved(None));
    }

    #[test]
    fn directions_are_those_in_which_rows_differ_most() {
        let found = directions(&[3.0, 3.0, 0.0, -3.0, -3.0, 0.0, 0.0, 0.0, 1.0], 3);
        assert!(
            (found[0][0] - found[0][1]).abs() < 1e-4 && (found[0][0].abs() - 0.5_f32.sqrt()).abs() < 1e-4,
            "{found:?}"
        );
        assert!((found[1][2].abs() - 1.0).abs() < 1e-4, "{found:?}");
        assert!(found[2..].iter().flatten().all(|part| *part == 0.0));
    }
}
