//! What each workspace has learned of its models: from what its people say, which the store keeps, and from failures,
//! which are forgotten with time. **No workspace's experience moves another's choice.**

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokenrouter_routing::{Learned, Said, Task};
use tokenrouter_store::{FeedbackRow, FeedbackSum, Store, StoreError};
use tokenrouter_upstream::Class;

/// What is left of a failure's weight after a minute: half of it after seven.
const LEFT_AFTER_A_MINUTE: f32 = 0.9;

#[derive(Default)]
pub(crate) struct LearnedBook {
    workspaces: RwLock<HashMap<i64, Arc<Learned>>>,
    /// Held from the writing of feedback until its sums are heard: no older sum takes the place of a newer one.
    hearing: tokio::sync::Mutex<()>,
}

impl LearnedBook {
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let book = Self::default();
        for sum in store.feedback_sums(None).await? {
            book.change(sum.workspace_id, |learned| hear(learned, &sum));
        }
        Ok(book)
    }

    pub fn of(&self, workspace_id: i64) -> Arc<Learned> {
        let book = self.workspaces.read().unwrap_or_else(PoisonError::into_inner);
        book.get(&workspace_id).cloned().unwrap_or_default()
    }

    /// Keeps what somebody says of a response, and takes in what the workspace's people have said by now.
    pub async fn hear(&self, store: &Store, workspace_id: i64, said: FeedbackRow) -> Result<(), StoreError> {
        let _hearing = self.hearing.lock().await;
        store.put_feedback(workspace_id, said).await?;
        let sums = store.feedback_sums(Some(workspace_id)).await?;
        self.take_in(workspace_id, &sums);
        Ok(())
    }

    fn take_in(&self, workspace_id: i64, sums: &[FeedbackSum]) {
        self.change(workspace_id, |learned| sums.iter().for_each(|sum| hear(learned, sum)));
    }

    /// Takes in how an attempt ended; what is not the model's own failing counts as nothing.
    pub fn observe(&self, workspace_id: i64, provider: &str, model: &str, failure: Option<Class>) {
        let failed = match failure {
            None => false,
            Some(Class::Transient | Class::Timeout | Class::Garbage) => true,
            Some(_) => return,
        };
        if self.of(workspace_id).is_news(provider, model, failed) {
            self.change(workspace_id, |learned| learned.observe(provider, model, failed));
        }
    }

    /// To be called once a minute.
    pub fn forgive(&self) {
        let mut book = self.workspaces.write().unwrap_or_else(PoisonError::into_inner);
        for learned in book.values_mut().filter(|learned| learned.has_failures()) {
            Arc::make_mut(learned).forgive(LEFT_AFTER_A_MINUTE);
        }
    }

    fn change(&self, workspace_id: i64, change: impl FnOnce(&mut Learned)) {
        let mut book = self.workspaces.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(book.entry(workspace_id).or_default()));
    }
}

/// A task that the caller has named as it likes says nothing of a task that the router knows.
#[allow(clippy::cast_possible_truncation)]
fn hear(learned: &mut Learned, sum: &FeedbackSum) {
    let Some(task) = Task::ALL.into_iter().find(|task| task.as_str() == sum.task) else { return };
    let count = u32::try_from(sum.count).unwrap_or(u32::MAX);
    learned.hear(&sum.provider, &sum.model, task, &Said { count, above_forecast: sum.above_forecast as f32 });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(workspace_id: i64, above_forecast: f64) -> FeedbackSum {
        let (provider, model) = ("p".to_owned(), "m".to_owned());
        FeedbackSum { workspace_id, provider, model, task: "qa".to_owned(), count: 20, above_forecast }
    }

    #[test]
    fn what_one_workspace_learns_is_its_own() {
        let book = LearnedBook::default();
        book.take_in(1, &[sum(1, -10.0)]);
        book.observe(1, "p", "m", Some(Class::Garbage));
        assert!(book.of(1).shift("p", "m", Task::Qa) < -0.05);
        assert!(book.of(2).is_empty());
    }

    #[test]
    fn failures_are_forgotten_and_feedback_is_not() {
        let book = LearnedBook::default();
        book.take_in(1, &[sum(1, 10.0)]);
        let heard = book.of(1).shift("p", "m", Task::Qa);
        for class in [Class::Transient, Class::Quota, Class::Caller] {
            book.observe(1, "p", "m", Some(class));
        }
        let after_one = heard - 0.01;
        assert!((book.of(1).shift("p", "m", Task::Qa) - after_one).abs() < 1e-6, "one of them is the model's own");
        (0..200).for_each(|_| book.forgive());
        assert!((book.of(1).shift("p", "m", Task::Qa) - heard).abs() < 1e-6);
        assert!(!book.of(1).has_failures());
    }
}
