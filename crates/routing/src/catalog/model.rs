//! One model at one provider.

use super::Price;
use crate::{LearnedModel, SKILLS, Task};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model can take and give besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Capabilities {
    pub tools: bool,
    pub images: bool,
    pub files: bool,
    pub json_schema: bool,
    pub reasoning: bool,
}

/// What a model is expected to take before anything was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct LatencyPrior {
    /// Milliseconds to the first token of the answer, at the provider's default effort.
    pub ttft_ms: f32,
    pub tokens_per_second: f32,
}

/// Where the figures come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The provider's page; empty for a model that only the settings know.
    pub address: String,
    /// Of limits and abilities, as `litellm 1.109.1`.
    pub dataset: String,
    /// Of the price, with the day from which it is in force where one is named.
    pub price: String,
}

/// Where a model is better or worse at a task than it is overall.
pub type QualityByTask = BTreeMap<Task, f32>;

/// What a predictor learned of a model, or of the prompts for a model of which nothing was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedOfModel {
    /// How able it is at each task where a prompt is like those that were learned from; none where the settings say it.
    at: [Option<f32>; Task::ALL.len()],
    /// None: it had no outcomes.
    pub skills: Option<[f32; SKILLS]>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModelInfo {
    pub provider: String,
    /// What the provider is sent.
    pub id: String,
    /// The provider's other names for it, dated ones too. A caller who uses one gets that one sent.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The name under which other providers serve the same model. It finds the model and is not sent.
    #[serde(default)]
    pub shared_name: Option<String>,
    /// None: not known, which is never the same as free.
    pub price: Option<Price>,
    /// Tokens of input and output together.
    pub context_window: u64,
    /// Tokens of input, where they may not fill the whole window.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// 0: not known.
    pub max_output_tokens: u64,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// 0 to 1: how good its answers are expected to be, over all tasks.
    pub quality: f32,
    #[serde(default)]
    pub quality_by_task: QualityByTask,
    /// An address and a date, `estimate`, or `settings`.
    #[serde(default)]
    pub quality_source: String,
    /// The same of what is said by task, with the benchmark and its figure.
    #[serde(default)]
    pub quality_sources: BTreeMap<Task, String>,
    /// What a predictor learned of it, if anything.
    #[serde(skip)]
    pub learned: Option<LearnedOfModel>,
    pub latency: LatencyPrior,
    /// The day on which the provider ends it, as `2026-07-24`.
    #[serde(default)]
    pub deprecated_on: Option<String>,
    #[serde(default)]
    pub source: Source,
}

impl ModelInfo {
    /// A model that only the settings know: price unknown, middling priors, able to take tools and
    /// schemas, no images. Limits and what it can do are set from there, how able it is by `[[abilities]]`; price and latency cannot.
    #[must_use]
    pub fn custom(provider: &str, id: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            id: id.to_owned(),
            aliases: Vec::new(),
            shared_name: None,
            price: None,
            context_window: 128_000,
            max_input_tokens: None,
            max_output_tokens: 0,
            capabilities: Capabilities { tools: true, json_schema: true, ..Capabilities::default() },
            quality: 0.5,
            quality_by_task: QualityByTask::new(),
            quality_source: "estimate".to_owned(),
            quality_sources: BTreeMap::new(),
            learned: None,
            latency: LatencyPrior { ttft_ms: 1_000.0, tokens_per_second: 60.0 },
            deprecated_on: None,
            source: Source { dataset: "settings".to_owned(), ..Source::default() },
        }
    }

    /// 0 to 1.
    #[must_use]
    pub fn quality_for(&self, task: Task) -> f32 {
        self.quality_by_task.get(&task).copied().unwrap_or(self.quality)
    }

    /// The same for a prompt that is as much like those that a predictor learned from, 0 to 1: what was learned of those counts
    /// for others as much as they are like them.
    #[must_use]
    pub fn quality_at(&self, task: Task, likeness: f32) -> f32 {
        let prior = self.quality_for(task);
        let learned = self.learned.as_ref().and_then(|learned| learned.at[task as usize]);
        learned.map_or(prior, |learned| prior + likeness * (learned - prior))
    }

    /// At each task the ability that was learned; none where nothing was, or the settings say another.
    #[must_use]
    pub fn learned_at(&self, task: Task) -> Option<f32> {
        let learned = self.learned.as_ref().filter(|learned| learned.skills.is_some())?;
        learned.at[task as usize]
    }

    /// Sets how able it is at a task, or at every task, by the settings.
    pub fn set_ability(&mut self, task: Option<Task>, ability: f32) {
        match task {
            Some(task) => {
                self.quality_by_task.insert(task, ability);
                self.quality_sources.insert(task, "settings".to_owned());
                if let Some(learned) = &mut self.learned {
                    learned.at[task as usize] = None;
                }
            }
            None => {
                self.quality = ability;
                "settings".clone_into(&mut self.quality_source);
                self.quality_by_task.clear();
                self.quality_sources.clear();
                self.learned = None;
            }
        }
    }

    /// Takes what a predictor learned of it. What is known of its abilities otherwise holds for all other prompts.
    pub fn learn(&mut self, learned: &LearnedModel) {
        let at = Task::ALL.map(|task| Some(learned.abilities.get(&task).copied().unwrap_or(learned.ability)));
        self.learned = Some(LearnedOfModel { at, skills: Some(learned.skills) });
    }

    /// Takes that on prompts like those that a predictor learned from other models are so much more able at each task, or less,
    /// than is known of them: by as much are those that it learned nothing of, else they would not stand on one scale.
    pub fn learn_level(&mut self, level: &[f32; Task::ALL.len()]) {
        let at = Task::ALL.map(|task| Some((self.quality_for(task) + level[task as usize]).clamp(0.0, 1.0)));
        self.learned = Some(LearnedOfModel { at, skills: None });
    }

    /// Whether the provider has ended it by this day, given as `2026-11-24`.
    #[must_use]
    pub fn is_deprecated(&self, day: &str) -> bool {
        self.deprecated_on.as_deref().is_some_and(|end| end <= day)
    }
}
