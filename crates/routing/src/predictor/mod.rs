//! What outcomes of an operator's own prompts taught (`tokenrouter train`): which model answers which prompt better than
//! its ability and the prompt's difficulty tell.
//!
//! `log-odds of a good answer = 8 (ability − difficulty) + weight × (ease + Σ skills of the prompt × skills of the model)`
//!
//! Ease and skills of a prompt are linear in its words. The weight is how much the prompt is like those that were learned
//! from: out of that domain the forecast is the gateway's own. It has to be like one of their groups (by the cosine to the
//! middle of the group), and unlike requests of all kinds (by naive Bayes).
//!
//! The file: `TRP2`, the length of a header in four bytes, little-endian, the header as JSON; for each row of the table of
//! features a byte for each column: likeness, ease, skills; for each row of the table of groups a byte for the square of
//! what it counts, and one for each group.

mod features;

pub use features::{PromptFeatures, feature_rows, near_row, near_rows};

use crate::{Task, quality_moved};
use features::{NEAR_ROWS, ROWS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Directions in which models differ that are learned; of fewer models as many as there are models.
pub const SKILLS: usize = 8;
const LIKE: usize = 0;
const EASE: usize = 1;
const FIRST_SKILL: usize = 2;
const COLUMNS: usize = FIRST_SKILL + SKILLS;
/// Groups of prompts that are told apart; what is beyond them is one group.
pub const MOST_GROUPS: usize = 8;
const NEAR_COLUMNS: usize = 1 + MOST_GROUPS;
const MAGIC: &[u8; 4] = b"TRP2";
/// In log-odds: 0.4 of the scale of ability, as what was learned of difficulty.
const MOST: f32 = 3.2;
/// A header with a thousand models has some 300 KB.
const MOST_HEADER: usize = 4 << 20;

/// What was learned of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedModel {
    /// As the outcomes name it: `gpt-4o`, or `openai/gpt-4o`.
    pub model: String,
    /// Over all tasks, 0 to 1.
    pub ability: f32,
    /// At each task.
    pub abilities: BTreeMap<Task, f32>,
    pub skills: [f32; SKILLS],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// How many were learned from.
    prompts: usize,
    models: Vec<LearnedModel>,
    /// What a byte counts, of each column.
    scales: [f32; COLUMNS],
    /// The likeness from which on all counts.
    like_all: f32,
    /// What a byte counts, of each column of the table of groups.
    near_scales: [f32; NEAR_COLUMNS],
    /// The cosine to the nearest group up to which nothing counts, and that from which on all does.
    near: [f32; 2],
}

/// The weights before they are rounded: for each row of the table.
#[derive(Clone, Debug, Default)]
pub struct PredictorWeights {
    pub prompts: usize,
    pub models: Vec<LearnedModel>,
    pub like: Vec<f32>,
    pub like_all: f32,
    pub ease: Vec<f32>,
    pub skills: Vec<[f32; SKILLS]>,
    /// For each row of the table of groups: the square of what it counts, and that times its share in the middle of each
    /// group. None is below 0.
    pub near_rows: Vec<[f32; NEAR_COLUMNS]>,
    pub near: [f32; 2],
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is not a predictor that `tokenrouter train` wrote: {0}")]
pub struct PredictorError(String);

pub struct Predictor {
    header: Header,
    table: Vec<[i8; COLUMNS]>,
    near: Vec<[u8; NEAR_COLUMNS]>,
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predictor").field("models", &self.header.models.len()).finish_non_exhaustive()
    }
}

/// What was learned of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predicted {
    /// 0 to 1: how much it is like the prompts that were learned from.
    pub weight: f32,
    ease: f32,
    skills: [f32; SKILLS],
}

impl Predicted {
    /// By how much the log-odds of a good answer are moved for a model of these skills; for one that nothing was learned
    /// of, by what is true for all.
    #[must_use]
    pub fn moved(&self, skills: Option<&[f32; SKILLS]>) -> f32 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        let own: f32 = skills.map_or(0.0, |of| of.iter().zip(&self.skills).map(|(a, b)| a * b).sum());
        self.weight * (self.ease + own).clamp(-MOST, MOST)
    }
}

impl Predictor {
    /// Rounds the weights to a byte each.
    ///
    /// # Panics
    /// When a list of weights has not [`feature_rows`] or [`near_rows`] entries.
    #[must_use]
    pub fn of(weights: PredictorWeights) -> Self {
        let sizes = [weights.like.len(), weights.ease.len(), weights.skills.len()];
        assert!(sizes == [ROWS; 3] && weights.near_rows.len() == NEAR_ROWS, "weights of another size");
        let columns = |row: usize| -> [f32; COLUMNS] {
            std::array::from_fn(|column| match column {
                LIKE => weights.like[row],
                EASE => weights.ease[row],
                skill => weights.skills[row][skill - FIRST_SKILL],
            })
        };
        let mut scales = [1e-12_f32; COLUMNS];
        for row in 0..ROWS {
            scales.iter_mut().zip(columns(row)).for_each(|(scale, weight)| *scale = scale.max(weight.abs() / 127.0));
        }
        #[allow(clippy::cast_possible_truncation)]
        let table = (0..ROWS).map(|row| {
            let columns = columns(row);
            std::array::from_fn(|column| (columns[column] / scales[column]).round() as i8)
        });
        let table = table.collect();
        let mut near_scales = [1e-12_f32; NEAR_COLUMNS];
        for row in &weights.near_rows {
            near_scales.iter_mut().zip(row).for_each(|(scale, weight)| *scale = scale.max(weight / 255.0));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let near = |row: &[f32; NEAR_COLUMNS]| {
            std::array::from_fn(|column| (row[column] / near_scales[column]).round().clamp(0.0, 255.0) as u8)
        };
        let near = weights.near_rows.iter().map(near).collect();
        let PredictorWeights { prompts, models, like_all, near: bounds, .. } = weights;
        Self { header: Header { prompts, models, scales, like_all, near_scales, near: bounds }, table, near }
    }

    /// # Errors
    /// When these bytes are not what [`Self::write`] makes.
    pub fn read(bytes: &[u8]) -> Result<Self, PredictorError> {
        let not_one = |why: &str| PredictorError(why.to_owned());
        let rest =
            bytes.strip_prefix(MAGIC).ok_or_else(|| not_one("it begins otherwise, as one of another version does"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| not_one("it is cut off"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (header, table) = rest
            .split_at_checked(length)
            .filter(|_| length <= MOST_HEADER)
            .ok_or_else(|| not_one("its header is cut off or too long"))?;
        let header: Header = serde_json::from_slice(header).map_err(|error| PredictorError(error.to_string()))?;
        if table.len() != ROWS * COLUMNS + NEAR_ROWS * NEAR_COLUMNS {
            return Err(not_one("its table is of another size"));
        }
        let (table, near) = table.split_at(ROWS * COLUMNS);
        let is_ability = |ability: &f32| (0.0..=1.0).contains(ability);
        let model_is_sound = |model: &LearnedModel| {
            !model.model.is_empty()
                && is_ability(&model.ability)
                && model.abilities.values().all(is_ability)
                && model.skills.iter().all(|skill| skill.abs() <= 1.01)
        };
        if !header.models.iter().all(model_is_sound) {
            return Err(not_one("a model in it has no name, or abilities or skills out of bounds"));
        }
        let is_sound = |scale: &f32| (0.0..=1e3).contains(scale);
        let scales = header.scales.iter().chain(&header.near_scales).chain(&header.near);
        if !scales.chain([&header.like_all]).all(is_sound) || header.like_all <= 0.0 {
            return Err(not_one("a scale in it is out of bounds"));
        }
        let row = |row: &[u8]| std::array::from_fn(|at| row.get(at).copied().unwrap_or_default().cast_signed());
        let near_row = |row: &[u8]| std::array::from_fn(|at| row.get(at).copied().unwrap_or_default());
        Ok(Self {
            table: table.chunks(COLUMNS).map(row).collect(),
            near: near.chunks(NEAR_COLUMNS).map(near_row).collect(),
            header,
        })
    }

    /// # Errors
    /// When a number is not finite, which JSON has no word for.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let header = serde_json::to_vec(&self.header)?;
        let length = u32::try_from(header.len()).map_err(serde::ser::Error::custom)?;
        let mut out = [MAGIC.as_slice(), &length.to_le_bytes(), &header].concat();
        out.extend(self.table.iter().flatten().map(|weight| weight.cast_unsigned()));
        out.extend(self.near.iter().flatten());
        Ok(out)
    }

    /// How likely a model is to answer a prompt of this task and difficulty well, of which this was learned: as `select` expects
    /// it of a model that is known to be as able at all tasks as it was over all outcomes.
    #[must_use]
    pub fn expect(model: &LearnedModel, task: Task, difficulty: f32, predicted: &Predicted) -> f32 {
        let at_task = model.abilities.get(&task).copied().unwrap_or(model.ability);
        let ability = model.ability + predicted.weight * (at_task - model.ability);
        quality_moved(ability, difficulty, predicted.moved(Some(&model.skills)))
    }

    #[must_use]
    pub fn models(&self) -> &[LearnedModel] {
        &self.header.models
    }

    /// How many prompts were learned from.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.header.prompts
    }

    /// What was learned of this prompt.
    #[must_use]
    pub fn see(&self, prompt: &str) -> Predicted {
        self.weigh(&PromptFeatures::of(prompt))
    }

    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn weigh(&self, features: &PromptFeatures) -> Predicted {
        let Header { scales, like_all, .. } = &self.header;
        let (buckets, scale, counts) = features.weights();
        let mut whole = [0_i32; COLUMNS];
        let mut near = [0_u32; NEAR_COLUMNS];
        for bucket in buckets.iter().map(|bucket| usize::from(*bucket)) {
            whole.iter_mut().zip(&self.table[bucket]).for_each(|(sum, weight)| *sum += i32::from(*weight));
            near.iter_mut().zip(&self.near[near_row(bucket)]).for_each(|(sum, weight)| *sum += u32::from(*weight));
        }
        // Of the counts nothing tells whether a prompt is like those that were learned from.
        let mean = whole[LIKE] as f32 * scales[LIKE] / (buckets.len().max(1) as f32);
        let mut sums = whole.map(|sum| sum as f32 * scale);
        for (row, count) in counts {
            sums.iter_mut().zip(&self.table[row]).for_each(|(sum, weight)| *sum += count * f32::from(*weight));
        }
        sums.iter_mut().zip(scales).for_each(|(sum, scale)| *sum *= scale);
        Predicted {
            weight: (mean / like_all).clamp(0.0, 1.0).min(self.nearness(near)),
            ease: sums[EASE],
            skills: std::array::from_fn(|skill| sums[FIRST_SKILL + skill]),
        }
    }

    /// 0 to 1: how like the prompt is to the group that it is most like.
    #[allow(clippy::cast_precision_loss)]
    fn nearness(&self, sums: [u32; NEAR_COLUMNS]) -> f32 {
        let Header { near_scales, near: [none, all], .. } = &self.header;
        let sums: [f32; NEAR_COLUMNS] = std::array::from_fn(|column| sums[column] as f32 * near_scales[column]);
        let length = sums[0].sqrt().max(1e-6);
        let cosine = sums[1..].iter().copied().fold(0.0, f32::max) / length;
        ((cosine - none) / (all - none).max(1e-6)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelInfo;

    /// Knows one word, `graph`, which makes a prompt hard for all and easy for the first model.
    fn predictor() -> Predictor {
        let features = PromptFeatures::of("graph");
        let mut weights = PredictorWeights {
            prompts: 100,
            models: ["able", "other"].iter().zip([1.0, -1.0]).map(|(name, skill)| model(name, skill)).collect(),
            like: vec![-1.0; ROWS],
            like_all: 1.0,
            ease: vec![0.0; ROWS],
            skills: vec![[0.0; SKILLS]; ROWS],
            near_rows: vec![[0.0; NEAR_COLUMNS]; NEAR_ROWS],
            near: [0.2, 0.8],
        };
        for bucket in features.buckets() {
            weights.like[bucket] = 1.0;
            weights.ease[bucket] = -1.0;
            weights.skills[bucket][0] = 2.0;
            weights.near_rows[near_row(bucket)] = std::array::from_fn(|column| f32::from(u8::from(column < 2)));
        }
        Predictor::of(weights)
    }

    fn model(name: &str, skill: f32) -> LearnedModel {
        let skills = std::array::from_fn(|at| if at == 0 { skill } else { 0.0 });
        LearnedModel { model: name.to_owned(), ability: 0.5, abilities: [(Task::Math, 0.7)].into(), skills }
    }

    #[test]
    fn what_was_learned_moves_each_model_by_its_skills_and_others_by_what_holds_for_all() {
        let predictor = predictor();
        let seen = predictor.see("Graph");
        assert!((seen.weight - 1.0).abs() < 1e-3, "{seen:?}");
        let [able, other] = [0, 1].map(|at| seen.moved(Some(&predictor.models()[at].skills)));
        assert!(able > 0.5 && other < -1.0 && seen.moved(None) < -0.3 && seen.moved(None) > other, "{able} {other}");
        let [math, qa] = [Task::Math, Task::Qa].map(|task| Predictor::expect(&predictor.models()[0], task, 0.5, &seen));
        assert!(math > qa, "at the task where it is abler");
        // Nothing is known of these words; abilities at a task count as little as what they were learned of does.
        let strange = predictor.see("Good morning, how are you?");
        assert_eq!((strange.weight, strange.moved(Some(&[9.0; SKILLS]))), (0.0, 0.0));
        assert!((Predictor::expect(&predictor.models()[0], Task::Math, 0.5, &strange) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_settings_beat_what_was_learned() {
        let seen = predictor().see("graph");
        let mut info = ModelInfo::custom("p", "able");
        info.set_ability(None, 0.3);
        info.learn(&model("able", 1.0));
        assert!((info.quality_at(Task::Math, seen.weight) - 0.7).abs() < 1e-3);
        // Of other prompts what was known before holds.
        assert!((info.quality_at(Task::Math, 0.0) - 0.3).abs() < 1e-6);
        info.set_ability(Some(Task::Math), 0.9);
        assert!((info.quality_at(Task::Math, 0.0) - 0.9).abs() < 1e-6);
        info.set_ability(None, 0.1);
        assert!(info.learned.is_none() && (info.quality_at(Task::Math, 1.0) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn what_is_written_is_read_again_and_anything_else_is_refused() {
        let bytes = predictor().write().unwrap();
        let again = Predictor::read(&bytes).unwrap();
        assert_eq!(again.write().unwrap(), bytes);
        assert_eq!(again.see("graph"), predictor().see("graph"));
        for cut in [0, 3, 4, 7, 8, 40, bytes.len() / 2, bytes.len() - 1] {
            assert!(Predictor::read(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(Predictor::read(&[bytes.as_slice(), b"x"].concat()).is_err());
        let length = usize::try_from(u32::from_le_bytes(bytes[4..8].try_into().unwrap())).unwrap();
        let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
        for (from, to) in [
            ("\"ability\":0.5", "\"ability\":7.5"),
            ("\"like_all\":1.0", "\"like_all\":0.0"),
            ("\"prompts\":100", "\"prompts\":-10"),
            ("\"able\"", "\"\""),
        ] {
            assert!(header.contains(from), "{from}: {header}");
            let header = header.replace(from, to);
            let size = u32::try_from(header.len()).unwrap().to_le_bytes();
            let changed = [&bytes[..4], &size, header.as_bytes(), &bytes[8 + length..]].concat();
            assert!(Predictor::read(&changed).is_err(), "{to}");
        }
    }
}
