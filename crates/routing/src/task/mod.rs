//! What kind of task a prompt is, and how sure that is.
//!
//! A linear model over what `features` sees, trained by `scripts/train_tasks.py` on the prompts in `data/tasks`: no
//! network, no model download, some tens of microseconds.

mod features;
mod lexicon;
mod shape;
#[cfg(test)]
mod tests;
mod text;
mod trained;
mod vectors;
mod weights;
mod words;

pub use trained::Trained;

use features::Sink;
use weights::{Sums, TASKS};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Coding,
    Math,
    Reasoning,
    Writing,
    Summarization,
    Translation,
    Extraction,
    Classification,
    Qa,
    Chat,
}

impl Task {
    pub const ALL: [Self; 10] = [
        Self::Coding,
        Self::Math,
        Self::Reasoning,
        Self::Writing,
        Self::Summarization,
        Self::Translation,
        Self::Extraction,
        Self::Classification,
        Self::Qa,
        Self::Chat,
    ];

    /// The task of that name, whatever its case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str().eq_ignore_ascii_case(name.trim()))
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::Math => "math",
            Self::Reasoning => "reasoning",
            Self::Writing => "writing",
            Self::Summarization => "summarization",
            Self::Translation => "translation",
            Self::Extraction => "extraction",
            Self::Classification => "classification",
            Self::Qa => "qa",
            Self::Chat => "chat",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskGuess {
    pub task: Task,
    /// 0 to 1: how likely it is right. Of guesses with 0.8, about eight in ten are.
    pub confidence: f32,
    /// What was learned of how hard such a last user turn is.
    pub trained: Trained,
}

/// What a task is recognised by.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct TaskInput<'a> {
    pub last_user: &'a str,
    pub instructions: &'a str,
    /// The user turn before the last.
    pub before: &'a str,
    pub has_schema: bool,
    pub has_images: bool,
    pub has_files: bool,
}

/// A turn no longer than this, in bytes, may go on with what the one before was about: `shorter please`. A choice, as
/// is the weight of the turn before then.
const FOLLOWS: usize = 48;
const BEFORE: f32 = 0.5;

/// What speaks for a task beside words, as the logarithm of odds. Choices: the training prompts have none of it.
const SCHEMA: [(Task, f32); 2] = [(Task::Extraction, 0.7), (Task::Classification, 0.4)];
const IMAGES: [(Task, f32); 2] = [(Task::Qa, 0.4), (Task::Extraction, 0.4)];
const FILES: [(Task, f32); 3] = [(Task::Summarization, 0.4), (Task::Extraction, 0.4), (Task::Qa, 0.4)];

/// The likeliest task. Where nothing is said it is `qa`, with a chance no better than any.
///
/// It reads the beginning and the end of each text, so its time is bounded whatever the request's length.
#[must_use]
pub fn recognise(input: &TaskInput<'_>) -> TaskGuess {
    let (chances, trained) = chances(input);
    let mut best = (Task::Qa, 0.0);
    for (task, chance) in Task::ALL.into_iter().zip(chances) {
        if chance > best.1 {
            best = (task, chance);
        }
    }
    TaskGuess { task: best.0, confidence: best.1, trained }
}

/// The chance of each task, in the order of `Task::ALL`, and what was learned of the last user turn.
#[allow(clippy::cast_precision_loss)]
fn chances(input: &TaskInput<'_>) -> ([f32; TASKS], Trained) {
    if is_silent(input.last_user) && is_silent(input.instructions) {
        let mut chances = [1.0 / TASKS as f32; TASKS];
        chances[Task::Qa as usize] += f32::EPSILON;
        return (chances, Trained::default());
    }
    let (mut logits, trained) = read(input);
    if input.last_user.len() <= FOLLOWS && !is_silent(input.before) {
        let (before, _) = read(&TaskInput { last_user: input.before, before: "", ..*input });
        logits.iter_mut().zip(before).for_each(|(logit, before)| *logit += BEFORE * before);
    }
    let beside: [(bool, &[(Task, f32)]); 3] =
        [(input.has_schema, &SCHEMA), (input.has_images, &IMAGES), (input.has_files, &FILES)];
    for (task, odds) in beside.iter().filter(|(has, _)| *has).flat_map(|(_, odds)| *odds) {
        logits[*task as usize] += odds;
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| (logit - most).exp());
    let sum: f32 = powers.iter().sum();
    (powers.map(|power| power / sum), if is_silent(input.last_user) { Trained::default() } else { trained })
}

fn read(input: &TaskInput<'_>) -> ([f32; TASKS], Trained) {
    let mut sums = Sums::default();
    features::see(input, &mut sums);
    sums.logits()
}

/// So often one character is said when a key is held down: that asks for nothing.
const HELD_DOWN: usize = 32;

/// Whether a text has no word, picture or sign in it at all, or one and the same again and again.
fn is_silent(text: &str) -> bool {
    let mut said = text.chars().filter(|c| !c.is_whitespace() && !c.is_control());
    let Some(first) = said.next() else { return true };
    let mut times = 1;
    let is_one = said.all(|c| {
        times += 1;
        c == first
    });
    is_one && times >= HELD_DOWN
}

/// What the trainers learn from.
pub struct Features {
    /// The features of a request by their group, their row in the table of weights, and what they count.
    pub rows: Vec<(usize, usize, f32)>,
    /// Words that may have a vector, by where they stand and their hash.
    pub words: Vec<(usize, u32)>,
}

#[must_use]
pub fn features(input: &TaskInput<'_>) -> Features {
    #[derive(Default)]
    struct Lists {
        rows: Vec<(usize, usize)>,
        words: Vec<(usize, u32)>,
    }
    impl Sink for Lists {
        fn add(&mut self, group: features::Group, row: usize) {
            self.rows.push((group as usize, row));
        }

        fn word(&mut self, spot: features::Spot, hash: u32) {
            self.words.push((spot as usize, hash));
        }
    }
    let mut lists = Lists::default();
    features::see(input, &mut lists);
    let mut counts = [0; features::GROUPS];
    lists.rows.iter().for_each(|(group, _)| counts[*group] += 1);
    let weights = |group: usize| features::Group::weight(group, counts[group]);
    let rows = lists.rows.iter().map(|(group, row)| (*group, *row, weights(*group))).collect();
    Features { rows, words: lists.words }
}
