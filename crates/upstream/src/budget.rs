//! How many attempts may come on top of the first ones.
//!
//! When everything fails, each request would be tried at every target, and the load grows just where
//! there is too much of it. So attempts after the first are a share of the requests, with a floor that
//! lets a quiet gateway fail over at all. Each workspace has a budget of its own: what fails for one, such as
//! its own key, takes nothing from the others. All of them together have another, so that the floors of many
//! do not add up to a storm. Pure: each step is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct BudgetOptions {
    /// Further attempts for a hundred requests.
    pub percent: u32,
    /// So many are free in each window, however few requests there are.
    pub floor: u32,
    /// The same for all workspaces together, whose share is that of all requests. No less than `floor`.
    pub total_floor: u32,
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
struct RetryBudget {
    percent: u32,
    floor: u32,
    since: Instant,
    before: Window,
    current: Window,
}

impl RetryBudget {
    fn new(percent: u32, floor: u32, now: Instant) -> Self {
        Self { percent, floor, since: now, before: Window::default(), current: Window::default() }
    }

    fn request(&mut self, now: Instant) {
        self.turn(now);
        self.current.requests += 1;
    }

    fn has_left(&mut self, now: Instant) -> bool {
        self.turn(now);
        let requests = self.before.requests + self.current.requests;
        let allowed = u64::from(self.floor).max(requests * u64::from(self.percent) / 100);
        self.before.retries + self.current.retries < allowed
    }

    /// Takes one further attempt, which there is.
    fn take(&mut self) {
        self.current.retries += 1;
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

/// The budgets of workspaces, by their ids, and that of all together.
#[derive(Debug)]
pub struct RetryBudgets {
    options: BudgetOptions,
    total: RetryBudget,
    by_workspace: HashMap<i64, RetryBudget>,
    shared: RetryBudget,
    /// When room was looked for.
    swept: Instant,
}

impl RetryBudgets {
    #[must_use]
    pub fn new(options: BudgetOptions, now: Instant) -> Self {
        let BudgetOptions { percent, floor, total_floor } = options;
        Self {
            options,
            total: RetryBudget::new(percent, total_floor.max(floor), now),
            by_workspace: HashMap::new(),
            shared: RetryBudget::new(percent, floor, now),
            swept: now,
        }
    }

    pub fn request(&mut self, workspace_id: i64, now: Instant) {
        self.total.request(now);
        self.of(workspace_id, now).request(now);
    }

    /// Takes one further attempt out of the workspace's budget and that of all; false if either has none left.
    pub fn retry(&mut self, workspace_id: i64, now: Instant) -> bool {
        let has_left = self.total.has_left(now) && self.of(workspace_id, now).has_left(now);
        if has_left {
            self.total.take();
            self.of(workspace_id, now).take();
        }
        has_left
    }

    fn of(&mut self, workspace_id: i64, now: Instant) -> &mut RetryBudget {
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
        self.by_workspace.entry(workspace_id).or_insert_with(|| {
            let BudgetOptions { percent, floor, .. } = self.options;
            RetryBudget::new(percent, floor, now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BudgetOptions = BudgetOptions { percent: 20, floor: 5, total_floor: 1_000_000 };

    fn spent(budgets: &mut RetryBudgets, workspace_id: i64, now: Instant) -> usize {
        (0..10).filter(|_| budgets.retry(workspace_id, now)).count()
    }

    #[test]
    fn the_floor_is_there_without_any_requests() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(OPTIONS, now);
        assert_eq!(spent(&mut budgets, 1, now), 5);
        assert!(budgets.retry(1, now + WINDOW * 2));
    }

    #[test]
    fn a_share_of_the_requests_may_be_tried_again() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(OPTIONS, now);
        let retried = (0..1_000).filter(|_| {
            budgets.request(1, now);
            budgets.retry(1, now)
        });
        assert_eq!(retried.count(), 200);
    }

    #[test]
    fn a_workspace_spends_nothing_of_another_ones_budget() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(OPTIONS, now);
        let mut spent = |workspace_id, now| spent(&mut budgets, workspace_id, now);
        assert_eq!((spent(1, now), spent(1, now), spent(2, now)), (5, 0, 5));
        let most = i64::try_from(MOST_BUDGETS).unwrap();
        (3..=most).for_each(|workspace_id| assert_eq!(spent(workspace_id, now), 5));
        assert_eq!((spent(most + 1, now), spent(most + 2, now)), (5, 0), "too many share one");
        let later = now + WINDOW * 2;
        assert_eq!((spent(most + 1, later), spent(most + 2, later)), (5, 5), "what is idle makes room");
        assert!(budgets.by_workspace.len() <= MOST_BUDGETS);
    }

    #[test]
    fn many_workspaces_together_have_no_more_than_their_share_or_a_floor_of_their_own() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(BudgetOptions { total_floor: 12, ..OPTIONS }, now);
        assert_eq!((1..=100).map(|workspace_id| spent(&mut budgets, workspace_id, now)).sum::<usize>(), 12);
        // The total was spent, and nothing of their own.
        (0..1_000).for_each(|_| budgets.request(200, now));
        assert_eq!((spent(&mut budgets, 100, now), spent(&mut budgets, 200, now)), (5, 10));
    }

    #[test]
    fn what_was_spent_in_the_window_before_still_counts() {
        let now = Instant::now();
        let mut budgets = RetryBudgets::new(OPTIONS, now);
        assert_eq!(spent(&mut budgets, 1, now), 5);
        assert!(!budgets.retry(1, now + WINDOW));
    }
}
