//! A circuit breaker: whether one target is worth asking, by how it has answered lately.
//!
//! Closed while it answers; open for a time when it has failed too often; then half-open: one request
//! may try it, and the end of its answer closes the breaker or opens it for twice as long. An answer that
//! takes longer than the breaker was open lets another request try meanwhile. A pure state machine: each
//! step is told what time it is, so that it is tested without waiting.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// How far back answers count.
    pub window: Duration,
    /// So many answers must have been seen before any share of them says something.
    pub min_requests: u32,
    /// Opens when so many of a hundred have failed.
    pub failure_percent: u32,
    /// How long it stays open the first time; twice as long each time that the probe fails.
    pub open: Duration,
}

/// The longest that a breaker stays open, in first times.
const LONGEST: u32 = 16;
/// The window moves by slices of this many parts.
const SLICES: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    answered: u32,
    failed: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        since: Instant,
        until: Instant,
        lasted: Duration,
    },
    /// One request is under way that will tell; after `until` another may go.
    Probing {
        since: Instant,
        until: Instant,
        lasted: Duration,
    },
}

/// What a breaker says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ask,
    /// Not before so long.
    Wait(Duration),
}

#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    slices: [Slice; SLICES as usize],
    /// Failures since the last success.
    in_a_row: u32,
    born: Instant,
}

impl Breaker {
    #[must_use]
    pub fn new(options: BreakerOptions, now: Instant) -> Self {
        Self { options, state: State::Closed, slices: [Slice::default(); SLICES as usize], in_a_row: 0, born: now }
    }

    /// Whether the target may be asked now. Changes nothing.
    #[must_use]
    pub fn verdict(&self, now: Instant) -> Verdict {
        match self.state {
            State::Closed => Verdict::Ask,
            State::Open { until, .. } | State::Probing { until, .. } if until <= now => Verdict::Ask,
            State::Open { until, .. } | State::Probing { until, .. } => Verdict::Wait(until - now),
        }
    }

    /// The target is about to be asked. True if this request is the probe: it must be followed by
    /// [`succeeded`](Self::succeeded), [`failed`](Self::failed) or [`left`](Self::left).
    pub fn ask(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open { since, until, lasted } | State::Probing { since, until, lasted } if until <= now => {
                self.state = State::Probing { since, until: now + lasted, lasted };
                true
            }
            _ => false,
        }
    }

    /// A stream has begun, which is no answer yet. True if it was counted as one all the same, since what
    /// is under way for long would be missed: then its end is [`ended`](Self::ended) or
    /// [`broke`](Self::broke). What is open stays open.
    pub fn began(&mut self, now: Instant) -> bool {
        let counts = matches!(self.state, State::Closed);
        if counts {
            self.in_a_row = 0;
            self.count(now, 1, 0);
        }
        counts
    }

    /// A request of that moment was answered.
    pub fn succeeded(&mut self, asked: Instant, now: Instant) {
        if matches!(self.state, State::Closed) {
            self.in_a_row = 0;
            self.count(now, 1, 0);
        }
        self.ended(asked);
    }

    /// A request of that moment was answered to its end, and has been counted.
    pub fn ended(&mut self, asked: Instant) {
        match self.state {
            // What went out before says nothing of what has happened since.
            State::Open { since, .. } | State::Probing { since, .. } if asked >= since => {
                self.in_a_row = 0;
                self.state = State::Closed;
                self.slices = [Slice::default(); SLICES as usize];
            }
            _ => {}
        }
    }

    /// A request of that moment failed.
    pub fn failed(&mut self, asked: Instant, now: Instant) {
        self.fail(asked, now, 1);
    }

    /// An answer to a request of that moment broke off, whose beginning was counted.
    pub fn broke(&mut self, asked: Instant, now: Instant) {
        self.fail(asked, now, 0);
    }

    fn fail(&mut self, asked: Instant, now: Instant, answered: u32) {
        match self.state {
            State::Closed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.count(now, answered, 1);
                if self.has_failed_too_often(now) {
                    let lasted = self.options.open;
                    self.state = State::Open { since: now, until: now + lasted, lasted };
                }
            }
            State::Probing { since, lasted, .. } if asked >= since => {
                let lasted = lasted.saturating_mul(2).min(self.options.open.saturating_mul(LONGEST));
                self.state = State::Open { since: now, until: now + lasted, lasted };
            }
            // Requests that went out before it opened say nothing new.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }

    /// The probe ended without an answer that tells anything: the next request may be the probe.
    pub fn left(&mut self, now: Instant) {
        if let State::Probing { since, lasted, .. } = self.state {
            self.state = State::Open { since, until: now, lasted };
        }
    }

    /// Whether a new breaker would say the same: it is closed, and nothing has happened within the window.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        let oldest = self.slice_number(now).saturating_sub(u64::from(SLICES) - 1);
        let is_old = |slice: &Slice| slice.number < oldest || slice.answered + slice.failed == 0;
        matches!(self.state, State::Closed) && self.slices.iter().all(is_old)
    }

    fn slice_number(&self, now: Instant) -> u64 {
        let slice = (self.options.window / SLICES).as_millis().max(1);
        u64::try_from(now.saturating_duration_since(self.born).as_millis() / slice).unwrap_or(u64::MAX)
    }

    fn count(&mut self, now: Instant, answered: u32, failed: u32) {
        let number = self.slice_number(now);
        let place = usize::try_from(number % u64::from(SLICES)).unwrap_or(0);
        let Some(slice) = self.slices.get_mut(place) else { return };
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice.answered += answered;
        slice.failed += failed;
    }

    /// By share of the window, or with nothing but failures of late: what has answered for long must not
    /// hide for half a window that it is gone.
    fn has_failed_too_often(&self, now: Instant) -> bool {
        if self.in_a_row >= self.options.min_requests {
            return true;
        }
        let oldest = self.slice_number(now).saturating_sub(u64::from(SLICES) - 1);
        let current = self.slices.iter().filter(|slice| slice.number >= oldest);
        let (answered, failed) = current.fold((0u32, 0u32), |(a, f), s| (a + s.answered, f + s.failed));
        answered >= self.options.min_requests
            && u64::from(failed) * 100 >= u64::from(answered) * u64::from(self.options.failure_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: BreakerOptions = BreakerOptions {
        window: Duration::from_secs(8),
        min_requests: 10,
        failure_percent: 50,
        open: Duration::from_secs(5),
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(OPTIONS, now);
        (0..10).for_each(|_| breaker.failed(now, now));
        breaker
    }

    #[test]
    fn it_stays_closed_below_the_minimum_sample() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS, now);
        (0..9).for_each(|_| breaker.failed(now, now));
        assert_eq!(breaker.verdict(now), Verdict::Ask);
        breaker.failed(now, now);
        assert_eq!(breaker.verdict(now), Verdict::Wait(seconds(5)));
    }

    #[test]
    fn it_opens_at_the_share_of_failures_and_not_below() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS, now);
        for _ in 0..50 {
            breaker.succeeded(now, now);
            breaker.succeeded(now, now);
            breaker.failed(now, now);
        }
        assert_eq!(breaker.verdict(now), Verdict::Ask);
        for _ in 0..50 {
            breaker.failed(now, now);
            breaker.failed(now, now);
            if breaker.verdict(now) != Verdict::Ask {
                return;
            }
            breaker.succeeded(now, now);
        }
        panic!("it never opened");
    }

    #[test]
    fn what_was_before_the_window_does_not_count() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS, now);
        for _ in 0..4 {
            breaker.failed(now, now);
        }
        breaker.succeeded(now, now);
        let later = now + seconds(8);
        (0..5).for_each(|_| breaker.failed(later, later));
        assert_eq!(breaker.verdict(later), Verdict::Ask);
    }

    #[test]
    fn a_long_record_of_success_does_not_hide_an_outage() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS, now);
        (0..10_000).for_each(|_| breaker.succeeded(now, now));
        (0..10).for_each(|_| breaker.failed(now, now));
        assert_eq!(breaker.verdict(now), Verdict::Wait(seconds(5)));
    }

    #[test]
    fn one_probe_goes_out_and_its_answer_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.ask(now + seconds(4)));
        let later = now + seconds(5);
        assert_eq!(breaker.verdict(later), Verdict::Ask);
        assert!(breaker.ask(later));
        assert_eq!(breaker.verdict(later), Verdict::Wait(seconds(5)));
        assert!(!breaker.ask(later));
        breaker.succeeded(later, later);
        assert_eq!(breaker.verdict(later), Verdict::Ask);
        breaker.failed(later, later);
        assert_eq!(breaker.verdict(later), Verdict::Ask);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait_up_to_a_limit() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for wait in [10, 20, 40, 80, 80, 80] {
            let Verdict::Wait(open) = breaker.verdict(now) else { panic!("it is open") };
            now += open;
            assert!(breaker.ask(now));
            breaker.failed(now, now);
            assert_eq!(breaker.verdict(now), Verdict::Wait(seconds(wait)));
        }
    }

    #[test]
    fn a_probe_that_nobody_waits_for_lets_the_next_one_go() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + seconds(5);
        assert!(breaker.ask(later));
        breaker.left(later);
        assert!(breaker.ask(later));
    }

    #[test]
    fn an_answer_to_what_went_out_before_does_not_close_it() {
        let now = Instant::now();
        let mut breaker = opened(now + seconds(1));
        breaker.succeeded(now, now + seconds(2));
        assert_eq!(breaker.verdict(now + seconds(2)), Verdict::Wait(seconds(4)));
        breaker.succeeded(now + seconds(2), now + seconds(3));
        assert_eq!(breaker.verdict(now + seconds(3)), Verdict::Ask);
    }

    #[test]
    fn what_went_out_before_it_opened_does_not_fail_the_probe() {
        let now = Instant::now();
        let mut breaker = opened(now + seconds(1));
        assert!(breaker.ask(now + seconds(6)));
        breaker.failed(now, now + seconds(7));
        breaker.broke(now, now + seconds(7));
        assert_eq!(breaker.verdict(now + seconds(7)), Verdict::Wait(seconds(4)), "the probe is still under way");
        breaker.failed(now + seconds(6), now + seconds(8));
        assert_eq!(breaker.verdict(now + seconds(8)), Verdict::Wait(seconds(10)));
    }

    #[test]
    fn a_probe_closes_it_with_its_end_and_not_with_its_beginning() {
        let now = Instant::now();
        for whole in [true, false] {
            let mut breaker = opened(now);
            let later = now + seconds(5);
            assert!(breaker.ask(later));
            assert!(!breaker.began(later), "nothing is counted of what is open");
            assert_eq!(breaker.verdict(later), Verdict::Wait(seconds(5)));
            if whole {
                breaker.succeeded(later, later);
                assert_eq!(breaker.verdict(later), Verdict::Ask);
            } else {
                breaker.failed(later, later);
                assert_eq!(breaker.verdict(later), Verdict::Wait(seconds(10)));
            }
        }
    }

    #[test]
    fn a_probe_that_takes_long_does_not_keep_the_others_waiting() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.ask(now + seconds(5)));
        assert!(!breaker.ask(now + seconds(9)));
        assert!(breaker.ask(now + seconds(10)));
        assert!(!breaker.ask(now + seconds(10)));
        breaker.ended(now + seconds(5));
        assert_eq!(breaker.verdict(now + seconds(10)), Verdict::Ask);
    }

    #[test]
    fn streams_that_begin_and_break_off_open_it_as_what_fails_at_once_does() {
        let now = Instant::now();
        let share = |broken: u32| {
            let mut breaker = Breaker::new(OPTIONS, now);
            (0..100).for_each(|_| assert!(breaker.began(now)));
            (0..100 - broken).for_each(|_| breaker.ended(now));
            (0..broken).for_each(|_| {
                breaker.broke(now, now);
                // Some other stream goes on well.
                breaker.in_a_row = 0;
            });
            breaker.verdict(now)
        };
        assert_eq!(share(49), Verdict::Ask);
        assert_eq!(share(50), Verdict::Wait(seconds(5)));
    }

    proptest! {
        #[test]
        fn it_never_stays_shut(steps in proptest::collection::vec((0u8..4, 0u64..4_000), 1..300)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(OPTIONS, now);
            let mut probe: Option<Instant> = None;
            for (step, ms) in steps {
                now += Duration::from_millis(ms);
                match step {
                    0 => { breaker.succeeded(now, now); probe = None; }
                    1 => { breaker.failed(now, now); probe = None; }
                    2 => { breaker.left(now); probe = None; }
                    _ if breaker.ask(now) => {
                        prop_assert!(probe.is_none_or(|before| now >= before + OPTIONS.open), "two probes at once");
                        probe = Some(now);
                    }
                    _ => {}
                }
            }
            breaker.left(now);
            prop_assert_eq!(breaker.verdict(now + OPTIONS.open * LONGEST), Verdict::Ask);
        }
    }
}
