//! When the writer waits for company.
//!
//! A commit of one record costs some 55 µs of processor time, of eight together 20 µs each. Under heavy
//! load batches grow by themselves, but in between, at some thousand records a second, they come one
//! by one, just as the commit before is done. There the writer waits up to a millisecond before it
//! begins: half of its time for a delay that no caller of a language model sees. A single caller in a hurry is
//! never made to wait, since nobody would come.

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_millis(1);

/// Waiting is worth it if this many records are expected to come within the longest wait.
const WORTH_WAITING_FOR: f64 = 3.0;

/// A batch of this size is good enough as it is.
const ENOUGH: usize = 8;

/// The rate is that of about this long.
const MEMORY: Duration = Duration::from_millis(20);

/// After a wait in which too few came, this many batches go without; twice as many each further time.
const FIRST_PENALTY: u32 = 16;
const LAST_PENALTY: u32 = 1024;

pub(super) struct Gather {
    records_per_ms: f64,
    updated: Instant,
    batches_without: u32,
    penalty: u32,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self { records_per_ms: 0.0, updated: now, batches_without: 0, penalty: FIRST_PENALTY }
    }

    /// How long to wait before a batch is begun for which `queued` records are there.
    pub(super) fn wait(&mut self, queued: usize) -> Option<Duration> {
        if self.batches_without > 0 {
            self.batches_without -= 1;
            return None;
        }
        let per_second = self.records_per_ms * 1e3;
        if queued >= ENOUGH || per_second * LONGEST.as_secs_f64() < WORTH_WAITING_FOR {
            return None;
        }
        Some(Duration::from_secs_f64(ENOUGH as f64 / per_second).min(LONGEST))
    }

    /// Tells how many came during a wait.
    pub(super) fn waited(&mut self, came: usize) {
        if came >= 2 {
            self.penalty = FIRST_PENALTY;
        } else {
            self.batches_without = self.penalty;
            self.penalty = (self.penalty * 2).min(LAST_PENALTY);
        }
    }

    /// Tells that a batch was written.
    pub(super) fn wrote(&mut self, records: usize, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        let memory = MEMORY.as_secs_f64();
        self.records_per_ms *= (-elapsed / memory).exp();
        self.records_per_ms += records as f64 / (memory * 1e3);
        self.updated = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a second of single records `gap` apart.
    fn after(gap: Duration) -> Gather {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        for _ in 0..(1_000_000 / gap.as_micros()) {
            now += gap;
            gather.wrote(1, now);
        }
        gather
    }

    #[test]
    fn it_waits_where_company_is_expected_and_the_batch_is_small() {
        let mut busy = after(Duration::from_micros(200));
        assert_eq!(busy.wait(1), Some(LONGEST));
        assert_eq!(busy.wait(ENOUGH), None);
        let mut busier = after(Duration::from_micros(20));
        assert!(busier.wait(1).unwrap() < LONGEST / 2);
        let mut quiet = after(Duration::from_millis(1));
        assert_eq!(quiet.wait(1), None);
    }

    #[test]
    fn the_rate_of_long_ago_is_forgotten() {
        let mut gather = after(Duration::from_micros(200));
        gather.wrote(1, gather.updated + Duration::from_secs(1));
        assert_eq!(gather.wait(1), None);
    }

    #[test]
    fn a_wait_in_vain_makes_waits_rarer_until_one_is_not() {
        let mut gather = after(Duration::from_micros(200));
        let mut batches_until_wait = |came: usize| {
            gather.waited(came);
            (0..).find(|_| gather.wait(1).is_some())
        };
        assert_eq!(batches_until_wait(0), Some(16));
        assert_eq!(batches_until_wait(1), Some(32));
        assert_eq!(batches_until_wait(5), Some(0));
        assert_eq!(batches_until_wait(0), Some(16));
    }
}
