//! One rule that PCRE2 runs, over one text that arrives in pieces.
//!
//! PCRE2 is asked with the text's end open: what the end has a say in comes back as partial, and is held. So
//! **a match found now is the match that the whole text would have given, and what lies before the first
//! partial match can be part of none**. Text that has been let go stays for as far as the pattern looks behind.
//!
//! **A rule has so much time for a text, and so many steps from each place.** With either used up, it has
//! matched, as far as blocking and masking are concerned.

use crate::engine::Bounded;
use crate::transducer::{Deed, Stop};
use std::ops::Range;
use std::time::Duration;
use tokenrouter_pcre2::{End, Found, Limits, Matcher, thread_time};

/// Steps of PCRE2's interpreter from one place.
const STEPS: u32 = 100_000;
/// Steps that one call may come to, over all its places: some milliseconds.
const STEPS_A_CALL: u32 = 400_000;
/// Places that the first call looks at; later ones look at more.
const FIRST_WINDOW: usize = 4;
/// Processor time for all calls on one text together.
const TIME: Duration = Duration::from_millis(20);
/// Characters times places that one call may come to, so that the clock is looked at in between: a greedy
/// repetition is one step, however long, and is made at every place.
const WORK: usize = 1 << 20;
/// Once so much is held, it is looked through again only when it has grown by a sixteenth.
const LONG_HOLD: usize = 4 << 10;

#[derive(Default)]
pub(crate) struct BoundedTransducer {
    /// Text let go that look-behind may look at, then text held.
    text: String,
    /// Where the held text begins.
    held_from: usize,
    /// Where the next match may begin.
    next_start: usize,
    matcher: Option<Matcher>,
    spent: Duration,
    /// How long the held text must be before it is looked through again.
    wait_until: usize,
    pub matches: u64,
    /// How much of the text came before `text`.
    gone: usize,
    /// Where the matches are, in bytes of the whole text, if anybody wants to know.
    pub found: Option<Vec<Range<usize>>>,
}

impl BoundedTransducer {
    /// Reads on in the same text, of which `before` came last and no match is under way. What was spent stays.
    pub fn resume(&mut self, before: &str) {
        self.text.clear();
        self.text.push_str(before);
        self.held_from = before.len();
        self.next_start = before.len();
        self.wait_until = 0;
    }

    /// How much of the text has been let go, in bytes.
    pub fn released(&self) -> usize {
        self.gone + self.held_from
    }

    pub fn held(&self) -> usize {
        self.text.len() - self.held_from
    }

    pub fn push(&mut self, pattern: &Bounded, deed: Deed<'_>, piece: &str, out: &mut String) -> Result<(), Stop> {
        self.text.push_str(piece);
        if self.held() < self.wait_until {
            return Ok(());
        }
        self.search(pattern, deed, End::Open, out)
    }

    pub fn finish(&mut self, pattern: &Bounded, deed: Deed<'_>, out: &mut String) -> Result<(), Stop> {
        self.search(pattern, deed, End::Final, out)
    }

    fn search(&mut self, pattern: &Bounded, deed: Deed<'_>, end: End, out: &mut String) -> Result<(), Stop> {
        let began = thread_time();
        let result = self.search_until(pattern, deed, end, out, began);
        self.spent += thread_time().saturating_sub(began);
        result?;
        self.forget(pattern);
        self.wait_until = if self.held() > LONG_HOLD { self.held() + self.held() / 16 } else { 0 };
        Ok(())
    }

    fn search_until(
        &mut self,
        pattern: &Bounded,
        deed: Deed<'_>,
        end: End,
        out: &mut String,
        began: Duration,
    ) -> Result<(), Stop> {
        let mut window = FIRST_WINDOW;
        let mut calls = 0_u32;
        loop {
            let subject = match end {
                End::Open if pattern.line_breaks_wait => self.text.trim_end_matches('\n').len(),
                _ => self.text.len(),
            };
            let Some(left) = subject.checked_sub(self.next_start).filter(|left| *left > 0) else {
                self.let_go(subject, deed, out);
                return Ok(());
            };
            // The clock is a system call, and most texts are done with after a few.
            calls += 1;
            if (calls.is_multiple_of(8) || window <= FIRST_WINDOW)
                && self.spent + thread_time().saturating_sub(began) > TIME
            {
                return Err(Stop::Exhausted);
            }
            window = window.min(WORK / left + 1);
            let last_start = self.text.ceil_char_boundary((self.next_start + window).min(subject));
            if self.matcher.is_none() {
                // No memory to look with is no reason to let text pass.
                self.matcher = Some(Matcher::new().ok_or(Stop::Exhausted)?);
            }
            let Some(matcher) = self.matcher.as_mut() else { return Err(Stop::Exhausted) };
            let share = STEPS_A_CALL / u32::try_from(window).unwrap_or(u32::MAX).max(1);
            let until = (began + TIME).saturating_sub(self.spent);
            let limits = Limits { steps: share.clamp(1, STEPS), last_start, until };
            match matcher.find(&pattern.pattern, &self.text[..subject], self.next_start, end, limits) {
                // Some place wants more steps than its share: a few places at a time then.
                Found::Exhausted if limits.steps < STEPS => window = FIRST_WINDOW,
                Found::Exhausted => return Err(Stop::Exhausted),
                Found::None => {
                    self.let_go(last_start, deed, out);
                    self.next_start = self.text.ceil_char_boundary((last_start + 1).min(subject));
                    window = window.saturating_mul(2);
                }
                Found::Partial { began } => {
                    self.let_go(began, deed, out);
                    self.next_start = began;
                    return Ok(());
                }
                // Of no length, or (by `\K`) behind its own end: none. The next place is tried.
                Found::Match { began, start, end } if end <= start || end <= self.held_from => {
                    let next = self.text.ceil_char_boundary(began + 1);
                    self.let_go(next, deed, out);
                    self.next_start = next;
                }
                Found::Match { start, end, .. } => {
                    self.matches += 1;
                    if let Some(found) = &mut self.found {
                        found.push(self.gone + start..self.gone + end);
                    }
                    match deed {
                        Deed::Stop => return Err(Stop::Match),
                        Deed::Count => {}
                        Deed::Replace(replacement) => {
                            self.let_go(start, deed, out);
                            out.push_str(replacement);
                        }
                    }
                    self.held_from = self.held_from.max(end);
                    self.next_start = end;
                }
            }
        }
    }

    fn let_go(&mut self, until: usize, deed: Deed<'_>, out: &mut String) {
        if until <= self.held_from {
            return;
        }
        if !matches!(deed, Deed::Count)
            && let Some(text) = self.text.get(self.held_from..until)
        {
            out.push_str(text);
        }
        self.held_from = until;
    }

    /// Drops text that look-behind does not reach any more.
    fn forget(&mut self, pattern: &Bounded) {
        let reach = 4 * pattern.pattern.look_behind_chars();
        let from = self.held_from.min(self.next_start);
        // Not for every piece: what is dropped is moved.
        if from <= reach + 1_024 && from <= 4 * reach + self.held() {
            return;
        }
        let drop = self.text.floor_char_boundary(from.saturating_sub(reach));
        self.text.drain(..drop);
        self.gone += drop;
        self.held_from -= drop;
        self.next_start -= drop;
    }
}
