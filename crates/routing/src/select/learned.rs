//! How a workspace's own experience moves the abilities of models, within bounds: what its people say of answers, and
//! how often a model failed it.

use crate::Task;
use std::collections::HashMap;

/// What was said of a model's answers at a task.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said {
    pub count: u32,
    /// Of the scores less the quality that was forecast, each from -1 to 1.
    pub above_forecast: f32,
}

/// No feedback moves an ability further than this.
const MOST_BY_FEEDBACK: f32 = 0.1;
/// Scores that all say the same are worth half of what they could be once there are so many of them.
const HALF_AT: f32 = 8.0;
/// A model that always fails is this much less able.
const MOST_BY_ERRORS: f32 = 0.1;
/// How much the newest of a model's outcomes counts.
const NEWEST: f32 = 0.1;

impl Said {
    /// What is added to the ability: `0.2 × n / (n + 8) × mean`, from -0.1 to 0.1. A mean of a half is as much as all.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn shift(&self) -> f32 {
        if self.count == 0 {
            return 0.0;
        }
        let count = self.count as f32;
        let mean = (self.above_forecast / count).clamp(-1.0, 1.0);
        (2.0 * MOST_BY_FEEDBACK * mean * count / (count + HALF_AT)).clamp(-MOST_BY_FEEDBACK, MOST_BY_FEEDBACK)
    }
}

#[derive(Clone, Debug, Default)]
struct OfModel {
    by_task: [f32; Task::ALL.len()],
    /// 0 to 1: the share of its requests that it failed, the newest counting most.
    failing: f32,
}

/// What one workspace has learned of its models.
#[derive(Clone, Debug, Default)]
pub struct Learned(HashMap<String, HashMap<String, OfModel>>);

impl Learned {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&mut self, provider: &str, model: &str) -> &mut OfModel {
        self.0.entry(provider.to_owned()).or_default().entry(model.to_owned()).or_default()
    }

    /// Takes the place of what was said of the model at this task before.
    pub fn hear(&mut self, provider: &str, model: &str, task: Task, said: &Said) {
        if let Some(shift) = self.of(provider, model).by_task.get_mut(task as usize) {
            *shift = said.shift();
        }
    }

    /// Whether this outcome would change anything: a success of what never failed does not.
    #[must_use]
    pub fn is_news(&self, provider: &str, model: &str, failed: bool) -> bool {
        failed || self.get(provider, model).is_some_and(|known| known.failing > 0.001)
    }

    /// Takes in that the model answered, or failed.
    pub fn observe(&mut self, provider: &str, model: &str, failed: bool) {
        let failing = &mut self.of(provider, model).failing;
        *failing += NEWEST * (f32::from(u8::from(failed)) - *failing);
    }

    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.0.values().flat_map(HashMap::values).any(|known| known.failing > 0.0)
    }

    /// Time has passed: of what each failure weighs, this share is left.
    pub fn forgive(&mut self, left: f32) {
        for known in self.0.values_mut().flat_map(HashMap::values_mut) {
            known.failing *= left;
            if known.failing < 0.001 {
                known.failing = 0.0;
            }
        }
    }

    fn get(&self, provider: &str, model: &str) -> Option<&OfModel> {
        self.0.get(provider)?.get(model)
    }

    /// What is added to the model's ability at the task: from -0.2 to 0.1.
    #[must_use]
    pub fn shift(&self, provider: &str, model: &str, task: Task) -> f32 {
        if self.0.is_empty() {
            return 0.0;
        }
        let Some(known) = self.get(provider, model) else { return 0.0 };
        known.by_task.get(task as usize).copied().unwrap_or(0.0) - MOST_BY_ERRORS * known.failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(count: u32, each: f32) -> Said {
        #[allow(clippy::cast_precision_loss)]
        Said { count, above_forecast: each * count as f32 }
    }

    #[test]
    fn more_of_the_same_moves_further_and_never_beyond_the_bound() {
        let shifts: Vec<f32> = [0, 1, 2, 8, 100, 1_000_000].map(|n| said(n, -0.4).shift()).to_vec();
        assert!(shifts.windows(2).all(|pair| pair[1] < pair[0]), "{shifts:?}");
        assert!(shifts.iter().all(|shift| *shift >= -MOST_BY_FEEDBACK));
        assert!(said(1, -1.0).shift() > -0.03, "one voice moves little");
        assert!((said(1_000_000, 1.0).shift() - MOST_BY_FEEDBACK).abs() < 1e-6);
    }

    #[test]
    fn failures_lower_an_ability_at_every_task_and_successes_bring_it_back() {
        let mut learned = Learned::default();
        assert!(!learned.is_news("p", "m", false));
        for _ in 0..100 {
            learned.observe("p", "m", true);
        }
        assert!((learned.shift("p", "m", Task::Qa) + MOST_BY_ERRORS).abs() < 0.001);
        assert!(learned.shift("p", "other", Task::Qa).abs() < 1e-9);
        assert!(learned.is_news("p", "m", false));
        for _ in 0..100 {
            learned.observe("p", "m", false);
        }
        assert!(learned.shift("p", "m", Task::Qa).abs() < 0.001);
    }

    #[test]
    fn feedback_counts_for_its_task() {
        let mut learned = Learned::default();
        learned.hear("p", "m", Task::Coding, &said(50, 0.5));
        assert!(learned.shift("p", "m", Task::Coding) > 0.08);
        assert!(learned.shift("p", "m", Task::Writing).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn whatever_is_heard_is_bounded(count in 0_u32..1_000_000, sum in -1e9_f32..1e9, failed in any::<Vec<bool>>()) {
            let mut learned = Learned::default();
            learned.hear("p", "m", Task::Math, &Said { count, above_forecast: sum });
            failed.iter().for_each(|failed| learned.observe("p", "m", *failed));
            prop_assert!((-0.2001..=0.1001).contains(&learned.shift("p", "m", Task::Math)));
        }
    }
}
