//! Outcomes as they are written: a JSON object a line.
//!
//! ```json
//! {"prompt": "…", "group": "math", "split": "test", "models": {"small": {"score": 0.5, "cost": 0.0001}}}
//! ```
//!
//! `score` is 0 to 1, `cost` is in US dollars. `group` (what kind of prompt it is, or from which data) and `split`
//! (`train` or `test`) may be left out, and so may a model that was not asked.

use crate::seed::Random;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Outcome {
    /// 0 to 1.
    pub score: f32,
    /// US dollars.
    pub cost: f64,
}

#[derive(Deserialize)]
struct Line {
    prompt: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    split: Option<Split>,
    models: BTreeMap<String, Outcome>,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub prompt: String,
    /// The number of its group.
    pub group: usize,
    pub split: Option<Split>,
    /// One for each model, in their order; None: it was not asked.
    pub outcomes: Vec<Option<Outcome>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    #[error("line {line}: {reason}")]
    Line { line: usize, reason: String },
    #[error("there are no outcomes in it")]
    Empty,
}

#[derive(Clone, Debug)]
pub struct Outcomes {
    /// In the order of their names.
    pub models: Vec<String>,
    /// In the order of their names; one of the name `` where none is given.
    pub groups: Vec<String>,
    pub rows: Vec<Row>,
}

impl Outcomes {
    /// Reads JSON lines; empty lines are passed over.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let wrong = |reason: String| ReadError::Line { line: number, reason };
            let line: Line = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            for (model, outcome) in &line.models {
                if model.is_empty() {
                    return Err(wrong("a model must have a name".to_owned()));
                }
                if !(0.0..=1.0).contains(&outcome.score) {
                    return Err(wrong(format!("the score of `{model}` must be from 0 to 1")));
                }
                if !(outcome.cost.is_finite() && outcome.cost >= 0.0) {
                    return Err(wrong(format!("the cost of `{model}` must be a number of dollars, not below 0")));
                }
            }
            lines.push(line);
        }
        if lines.iter().all(|line| line.models.is_empty()) {
            return Err(ReadError::Empty);
        }
        Ok(Self::of(lines))
    }

    fn of(lines: Vec<Line>) -> Self {
        let models: BTreeSet<String> = lines.iter().flat_map(|line| line.models.keys().cloned()).collect();
        let models: Vec<String> = models.into_iter().collect();
        let groups: BTreeSet<String> = lines.iter().map(|line| line.group.clone().unwrap_or_default()).collect();
        let groups: Vec<String> = groups.into_iter().collect();
        let row = |line: Line| Row {
            group: groups.binary_search(&line.group.unwrap_or_default()).unwrap_or(0),
            split: line.split,
            outcomes: models.iter().map(|model| line.models.get(model).copied()).collect(),
            prompt: line.prompt,
        };
        let rows = lines.into_iter().map(row).collect();
        Self { models, groups, rows }
    }

    #[must_use]
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model == name)
    }

    /// With the prompts of each part dealt out anew among its rows.
    pub(crate) fn dealt_out(&self, parts: [&[usize]; 2], seed: u64) -> Self {
        let mut dealt = self.clone();
        let mut random = Random::new(seed ^ 0xdea1);
        for part in parts {
            let mut from = part.to_vec();
            random.shuffle(&mut from);
            for (to, from) in part.iter().zip(from) {
                dealt.rows[*to].prompt.clone_from(&self.rows[from].prompt);
            }
        }
        dealt
    }

    /// The rows to learn from and those to measure on: as the file says, and where it does not, `held_out` of the rest
    /// by the seed. A prompt that is in both is taken out of the first.
    pub(crate) fn split(&self, held_out: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut open: Vec<usize> = (0..self.rows.len()).filter(|i| self.rows[*i].split.is_none()).collect();
        Random::new(seed).shuffle(&mut open);
        let (test, train) = open.split_at((open.len() as f64 * held_out).round() as usize);
        let of = |split: Split| (0..self.rows.len()).filter(move |i| self.rows[*i].split == Some(split));
        let mut test: Vec<usize> = of(Split::Test).chain(test.iter().copied()).collect();
        test.sort_unstable();
        let mut train: Vec<usize> = of(Split::Train).chain(train.iter().copied()).collect();
        train.sort_unstable();
        self.drop_asked(&mut train, &test);
        (train, test)
    }

    /// Takes out of `train` what is asked in `test` too, whatever its case and blanks.
    pub(crate) fn drop_asked(&self, train: &mut Vec<usize>, test: &[usize]) {
        let folded = |row: &usize| -> String {
            self.rows[*row]
                .prompt
                .split_whitespace()
                .flat_map(|word| [word, " "])
                .flat_map(str::chars)
                .flat_map(char::to_lowercase)
                .collect()
        };
        let asked: BTreeSet<String> = test.iter().map(folded).collect();
        train.retain(|row| !asked.contains(&folded(row)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_with_what_may_be_left_out() {
        let text = "{\"prompt\": \"a\", \"models\": {\"x\": {\"score\": 1, \"cost\": 0.5}}}\n\n\
                    {\"prompt\": \"b\", \"group\": \"g\", \"split\": \"test\", \"models\": {\"y\": {\"score\": 0, \"cost\": 0}}}";
        let read = Outcomes::read(text).unwrap();
        assert_eq!((read.models.len(), read.groups.len(), read.rows.len()), (2, 2, 2));
        assert_eq!(read.rows[0].outcomes, [Some(Outcome { score: 1.0, cost: 0.5 }), None]);
        assert_eq!((read.rows[1].group, read.rows[1].split), (1, Some(Split::Test)));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let line = |model: &str| format!("{{\"prompt\": \"a\", \"models\": {{\"x\": {model}}}}}");
        for (text, told) in [
            ("nonsense".to_owned(), "line 1: "),
            (line("{\"score\": 2, \"cost\": 0}"), "line 1: the score of `x`"),
            (line("{\"score\": 1, \"cost\": -1}"), "line 1: the cost of `x`"),
            (String::new(), "there are no outcomes"),
        ] {
            let error = Outcomes::read(&text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn no_prompt_is_learned_from_and_measured_on() {
        let row = |prompt: &str, split: &str| {
            format!("{{\"prompt\": \"{prompt}\", {split} \"models\": {{\"x\": {{\"score\": 1, \"cost\": 1}}}}}}\n")
        };
        let mut text = row(" Same", "\"split\": \"train\",") + &row("same", "\"split\": \"test\",");
        (0..100).for_each(|i| text += &row(&format!("p{i}"), ""));
        let outcomes = Outcomes::read(&text).unwrap();
        let (train, test) = outcomes.split(0.3, 7);
        assert_eq!((train.len(), test.len()), (70, 31));
        assert!(train.iter().all(|i| !test.contains(i) && outcomes.rows[*i].prompt != " Same"));
        assert_eq!(outcomes.split(0.3, 7), (train, test));
    }
}
