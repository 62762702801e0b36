//! How many attempts may come on top of the first ones.
//!
//! When everything fails, each request would be tried at every target, and the load grows just where
//! there is too much of it. So attempts after the first are a share of the requests, with a floor that
//! lets a quiet gateway fail over at all. Each workspace has a budget of its own: what fails for one, such as
//! its own key, takes nothing from the others. Pure: each step is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct BudgetOptions {
    /// Further attempts for a hundred requests.
    pub percent: u32,
    /// So many are free in each window, however few requests there are.
    pub floor: u32,
}

/// Workspaces with budgets of their own; the rest share one.
const MOST_BUDGETS: usize = 10_000;

/// How far back requests and further attempts count, at least: two windows are kept.
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    requests: u64,
    retries: u64,
}

#[derive(Debug)]
pub struct RetryBudget {
    options: BudgetOptions,
    since: Instant,
    before: Window,
    current: Window,
}

impl RetryBudget {
    #[must_use]
    pub fn new(options: BudgetOptions, now: Instant) -> Self {
        Self { options, since: now, before: Window::default(), current: Window::default() }
    }

    pub fn request(&mut self, now: Instant) {
        self.turn(now);
        self.current.requests += 1;
    }

    /// Takes one further attempt out of the budget; false if there is none left.
    pub fn retry(&mut self, now: Instant) -> bool {
        self.turn(now);
        let requests = self.before.requests + self.current.requests;
        let allowed = u64::from(self.options.floor).max(requests * u64::from(self.options.percent) / 100);
        let left = self.before.retries + self.current.retries < allowed;
        self.current.retries += u64::from(left);
        left
    }

    /// Whether it has been forgotten what was asked, so that a new one would say the same.
    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW * 2
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < WINDOW {
            return;
        }
        self.before = if passed < WINDOW * 2 { self.current } else { Window::default() };
        self.current = Window::default();
        self.since = now;
    }
}

/// The budgets of workspaces, by their ids.
#[derive(Debug)]
pub struct RetryBudgets {
    options: BudgetOptions,
    by_workspace: HashMap<i64, RetryBudget>,
    shared: RetryBudget,
    /// When room was looked for.
    swept: Instant,
}

impl RetryBudgets {
    #[must_use]
    pub fn new(options: BudgetOptions, now: Instant) -> Self {
        Self { options, by_workspace: HashMap::new(), shared: RetryBudget::new(options, now), swept: now }
    }

    pub fn of(&mut self, workspace_id: i64, now: Instant) -> &mut RetryBudget {
        let is_known = self.by_workspace.contains_key(&workspace_id);
        if !is_known && self.by_workspace.len() >= MOST_BUDGETS {
            if now.saturating_duration_since(self.swept) >= WINDOW {
                self.swept = now;
                self.by_workspace.retain(|_, budget| !budget.is_idle(now));
            }
            if self.by_workspace.len() >= MOST_BUDGETS {
                return &mut self.shared;
            }
        }
        self.by_workspace.entry(workspace_id).or_insert_with(|| RetryBudget::new(self.options, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(now: Instant) -> RetryBudget {
        RetryBudget::new(BudgetOptions { percent: 20, floor: 5 }, now)
    }

    #[test]
    fn the_floor_is_there_without_any_requests() {
        let now = Instant::now();
        let mut budget = budget(now);
        assert_eq!((0..10).filter(|_| budget.retry(now)).count(), 5);
        assert!(budget.retry(now + WINDOW * 2));
    }

    #[test]
    fn a_share_of_the_requests_may_be_tried_again() {
        let now = Instant::now();
        let mut budget = budget(now);
        let retried = (0..1_000).filter(|_| {
            budget.request(now);
            budget.retry(now)
        });
        assert_eq!(retried.count(), 200);
    }

    #[test]
    fn a_workspace_spends_nothing_of_another_ones_budget() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(BudgetOptions { percent: 20, floor: 5 }, now);
        let mut spent = |workspace_id, now| (0..10).filter(|_| budgets.of(workspace_id, now).retry(now)).count();
        assert_eq!((spent(1, now), spent(1, now), spent(2, now)), (5, 0, 5));
        let most = i64::try_from(MOST_BUDGETS).unwrap();
        (3..=most).for_each(|workspace_id| assert_eq!(spent(workspace_id, now), 5));
        assert_eq!((spent(most + 1, now), spent(most + 2, now)), (5, 0), "too many share one");
        let later = now + WINDOW * 2;
        assert_eq!((spent(most + 1, later), spent(most + 2, later)), (5, 5), "what is idle makes room");
        assert!(budgets.by_workspace.len() <= MOST_BUDGETS);
    }

    #[test]
    fn what_was_spent_in_the_window_before_still_counts() {
        let now = Instant::now();
        let mut budget = budget(now);
        assert_eq!((0..10).filter(|_| budget.retry(now)).count(), 5);
        assert!(!budget.retry(now + WINDOW));
    }
}
