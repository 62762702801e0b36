//! One rule over one text that arrives in pieces.
//!
//! It follows every place at which a match may have begun, each by its state of the automaton. Two
//! places in the same state have the same future, so of them only the earlier is kept: there are
//! never more than the automaton has states. **What lies before the earliest living place can be
//! part of no match any more, and is let go at once; nothing after it is.** Each byte is taken alone,
//! so where the pieces are cut makes no difference.

use crate::engine::Linear;
use regex_automata::util::primitives::StateID;
use std::ops::Range;

/// Steps of places that a text may take: so many, and so many times its length. A step is some two
/// nanoseconds. Common patterns are at few places at once; one such as `[a-z]{1,900}!` is at nine hundred.
const STEPS_BASE: usize = 2 << 20;
const STEPS_A_BYTE: usize = 24;
/// With more places than so many, those in the same state are found by a table instead of by looking.
const FEW_PLACES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A match of a rule that lets none pass.
    Match,
    /// The budget is used up.
    Exhausted,
}

/// What to do with a match.
#[derive(Clone, Copy)]
pub(crate) enum Deed<'a> {
    Replace(&'a str),
    Stop,
    /// Count only. The text has been passed on already.
    Count,
}

struct Place {
    start: usize,
    state: StateID,
    /// Where the best match from here ends, if there is one.
    end: Option<usize>,
    dead: bool,
}

#[derive(Default)]
pub(crate) struct Transducer {
    /// Text that is not yet let go.
    held: Vec<u8>,
    /// How much of it has been read.
    read: usize,
    /// The byte before `held`.
    before: Option<u8>,
    places: Vec<Place>,
    total: usize,
    steps: usize,
    /// By state, the round in which a place was seen in it.
    seen: Vec<u32>,
    round: u32,
    pub matches: u64,
    /// How much of the text came before `held`.
    gone: usize,
    /// Where the matches are, in bytes of the text, if anybody wants to know.
    pub found: Option<Vec<Range<usize>>>,
}

impl Transducer {
    /// How much of the text has been let go, in bytes.
    pub fn released(&self) -> usize {
        self.gone
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Reads on in the same text, of which `before` came last and no match is under way.
    pub fn resume(&mut self, before: &str) {
        self.held.clear();
        self.read = 0;
        self.places.clear();
        self.before = before.as_bytes().last().copied();
    }

    /// Takes a piece, appends to `out` what can be let go.
    pub fn push(&mut self, engine: &Linear, deed: Deed<'_>, piece: &str, out: &mut String) -> Result<(), Stop> {
        self.held.extend_from_slice(piece.as_bytes());
        self.total += piece.len();
        self.advance(engine, deed, out)?;
        self.let_go(out, deed);
        Ok(())
    }

    pub fn finish(&mut self, engine: &Linear, deed: Deed<'_>, out: &mut String) -> Result<(), Stop> {
        loop {
            self.advance(engine, deed, out)?;
            let read = self.read;
            for place in &mut self.places {
                if !place.dead {
                    if engine.is_match(engine.end(place.state)) {
                        place.end = Some(read);
                    }
                    place.dead = true;
                }
            }
            if !self.resolve(engine, deed, out)? {
                break;
            }
        }
        self.read = self.held.len();
        self.let_go(out, deed);
        Ok(())
    }

    fn advance(&mut self, engine: &Linear, deed: Deed<'_>, out: &mut String) -> Result<(), Stop> {
        while self.read < self.held.len() {
            if self.places.is_empty() {
                // The common case: nothing has begun, and most bytes begin nothing.
                let rest = &self.held[self.read..];
                match rest.iter().position(|byte| engine.may_begin_with(*byte)) {
                    Some(skip) => self.read += skip,
                    None => {
                        self.read = self.held.len();
                        break;
                    }
                }
            }
            let at = self.read;
            let byte = self.held[at];
            // A match begins at the beginning of a character, and none after one that is leftmost.
            if byte & 0xC0 != 0x80 && engine.may_begin_with(byte) && !self.places.iter().any(Place::matched) {
                let previous = if at == 0 { self.before } else { Some(self.held[at - 1]) };
                self.places.push(Place { start: at, state: engine.start(previous), end: None, dead: false });
            }
            self.read += 1;
            self.steps += self.places.len() + 1;
            if self.steps > STEPS_BASE + STEPS_A_BYTE * self.total {
                return Err(Stop::Exhausted);
            }
            self.step(engine, at, byte);
            self.resolve(engine, deed, out)?;
        }
        Ok(())
    }

    fn step(&mut self, engine: &Linear, at: usize, byte: u8) {
        for place in self.places.iter_mut().filter(|place| !place.dead) {
            place.state = engine.next(place.state, byte);
            if engine.is_match(place.state) {
                place.end = Some(at);
            }
            place.dead = engine.is_dead(place.state);
        }
        // Of places after the first that matched, none can be leftmost.
        if let Some(first) = self.places.iter().position(Place::matched) {
            self.places.truncate(first + 1);
        }
        self.places.retain(|place| !place.dead || place.matched());
        if self.places.len() <= FEW_PLACES {
            let mut i = 1;
            while i < self.places.len() {
                let (earlier, rest) = self.places.split_at(i);
                let place = &rest[0];
                if place.end.is_none() && earlier.iter().any(|e| e.state == place.state && !e.dead) {
                    self.places.remove(i);
                } else {
                    i += 1;
                }
            }
            return;
        }
        if self.seen.len() < engine.states() {
            self.seen = vec![0; engine.states()];
        }
        self.round = self.round.wrapping_add(1).max(1);
        let (seen, round) = (&mut self.seen, self.round);
        self.places.retain(|place| {
            let Some(slot) = seen.get_mut(engine.index(place.state)).filter(|_| !place.dead) else { return true };
            let taken = std::mem::replace(slot, round) == round;
            place.end.is_some() || !taken
        });
    }

    /// Acts on the leftmost match if it is final. Says whether there was one, after which reading
    /// begins anew behind it.
    fn resolve(&mut self, engine: &Linear, deed: Deed<'_>, out: &mut String) -> Result<bool, Stop> {
        while let Some(place) = self.places.first() {
            if !place.dead {
                return Ok(false);
            }
            let (start, end) = match place.end {
                Some(end) if place.matched() => (place.start, end),
                _ => {
                    self.places.remove(0);
                    continue;
                }
            };
            let end = match engine.check {
                None => end,
                Some(check) => {
                    let candidate = std::str::from_utf8(&self.held[start..end]).unwrap_or_default();
                    match check(candidate).filter(|length| *length > 0) {
                        Some(length) => start + length,
                        None => {
                            self.pass_over(start, deed, out);
                            return Ok(true);
                        }
                    }
                }
            };
            self.matches += 1;
            if let Some(found) = &mut self.found {
                found.push(self.gone + start..self.gone + end);
            }
            match deed {
                Deed::Stop => return Err(Stop::Match),
                Deed::Count => {}
                Deed::Replace(replacement) => {
                    self.emit(start, out);
                    out.push_str(replacement);
                }
            }
            self.before = self.held.get(end.wrapping_sub(1)).copied();
            self.held.drain(..end);
            self.gone += end;
            self.read = 0;
            self.places.clear();
            return Ok(true);
        }
        Ok(false)
    }

    /// What looked like a match is none: reading begins anew behind its first character.
    fn pass_over(&mut self, start: usize, deed: Deed<'_>, out: &mut String) {
        let mut next = start + 1;
        while self.held.get(next).is_some_and(|byte| byte & 0xC0 == 0x80) {
            next += 1;
        }
        if !matches!(deed, Deed::Count) {
            self.emit(next, out);
        }
        self.before = self.held.get(next - 1).copied();
        self.held.drain(..next);
        self.gone += next;
        self.read = 0;
        self.places.clear();
    }

    fn emit(&self, until: usize, out: &mut String) {
        // Whole characters only: places begin at the beginning of one, pieces end at the end of one.
        if let Ok(text) = std::str::from_utf8(&self.held[..until]) {
            out.push_str(text);
        }
    }

    fn let_go(&mut self, out: &mut String, deed: Deed<'_>) {
        let until = self.places.first().map_or(self.read, |place| place.start);
        if until == 0 {
            return;
        }
        if !matches!(deed, Deed::Count) {
            self.emit(until, out);
        }
        self.before = Some(self.held[until - 1]);
        self.held.drain(..until);
        self.gone += until;
        self.read -= until;
        for place in &mut self.places {
            place.start -= until;
            place.end = place.end.map(|end| end - until);
        }
    }
}

impl Place {
    /// A match of no length is none.
    fn matched(&self) -> bool {
        self.end.is_some_and(|end| end > self.start)
    }
}
