//! A chain of rules over a JSON text as it streams: the arguments of a tool call, a structured answer.
//!
//! Each string is a field of its own, screened as what it says, not as it is written (`\u0053` is `S`), and
//! what a mask puts in is written as JSON. Numbers and words are screened as they stand; one that is masked
//! becomes a string. So **masked JSON is JSON**. What is not changed keeps its bytes. A text that turns out not
//! to be JSON is screened as text from there on.

use crate::Scope;
use crate::guard::Guard;
use crate::rule_set::{Blocked, RuleSet};
use crate::tally::Tally;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

/// A number or word that is longer is no JSON that anybody writes.
const LONGEST_WORD: usize = 1_024;

pub struct JsonGuard {
    rules: Arc<RuleSet>,
    scope: Scope,
    mode: Mode,
}

enum Mode {
    Between,
    String(Box<StringGuard>),
    Word(String),
    /// Not JSON.
    Text(Box<Guard>),
}

impl JsonGuard {
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, scope: Scope) -> Self {
        Self { rules, scope, mode: Mode::Between }
    }

    /// Takes a piece and appends to `out` what can be let go.
    ///
    /// # Errors
    /// When a rule blocks.
    pub fn push(&mut self, piece: &str, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        let mut rest = piece;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            match &mut self.mode {
                Mode::Text(guard) => return guard.push(rest, out, tally),
                Mode::String(string) => {
                    if string.take(c, out, tally)? {
                        self.mode = Mode::Between;
                    }
                    rest = after;
                }
                Mode::Between => {
                    match c {
                        '"' => {
                            out.push('"');
                            self.mode = Mode::String(Box::new(StringGuard::new(self.rules.guard(self.scope))));
                        }
                        c if is_between(c) => out.push(c),
                        c if c.is_ascii_alphanumeric() || c == '-' => self.mode = Mode::Word(String::from(c)),
                        _ => {
                            self.mode = Mode::Text(Box::new(self.rules.guard(self.scope)));
                            continue;
                        }
                    }
                    rest = after;
                }
                Mode::Word(word) if is_between(c) => {
                    let word = std::mem::take(word);
                    self.word(&word, out, tally)?;
                    self.mode = Mode::Between;
                }
                Mode::Word(word) if word.len() < LONGEST_WORD && (c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
                    word.push(c);
                    rest = after;
                }
                Mode::Word(word) => {
                    let word = std::mem::take(word);
                    let mut guard = Box::new(self.rules.guard(self.scope));
                    guard.push(&word, out, tally)?;
                    self.mode = Mode::Text(guard);
                }
            }
        }
        Ok(())
    }

    /// Lets go of what is held, the text being over.
    ///
    /// # Errors
    /// When a rule blocks.
    pub fn finish(&mut self, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        match std::mem::replace(&mut self.mode, Mode::Between) {
            Mode::Between => Ok(()),
            Mode::String(mut string) => string.finish(out, tally),
            Mode::Word(word) => self.word(&word, out, tally),
            Mode::Text(mut guard) => guard.finish(out, tally),
        }
    }

    fn word(&self, word: &str, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        let screened = self.rules.screen(self.scope, word, tally)?;
        if screened == word {
            out.push_str(word);
        } else {
            out.push('"');
            screened.chars().for_each(|c| push_escaped(out, c));
            out.push('"');
        }
        Ok(())
    }
}

fn is_between(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | ' ' | '\t' | '\n' | '\r')
}

/// A string between its quotes.
struct StringGuard {
    guard: Guard,
    /// An escape that is not yet whole, as it was written.
    escape: String,
    /// The first half of a character that is written as two.
    half: Option<(u32, String)>,
    /// What has been read and not let go: each character, and how it was written.
    written: VecDeque<(char, String)>,
    /// A mask has changed the text: what comes is written anew.
    changed: bool,
    released: String,
}

impl StringGuard {
    fn new(guard: Guard) -> Self {
        Self {
            guard,
            escape: String::new(),
            half: None,
            written: VecDeque::new(),
            changed: false,
            released: String::new(),
        }
    }

    /// Takes a character of the JSON text; says whether the string is over.
    fn take(&mut self, c: char, out: &mut String, tally: &mut Tally) -> Result<bool, Blocked> {
        if self.escape.is_empty() {
            match c {
                '"' => {
                    self.finish(out, tally)?;
                    out.push('"');
                    return Ok(true);
                }
                '\\' => self.escape.push(c),
                c => self.character(c, c.to_string(), out, tally)?,
            }
            return Ok(false);
        }
        self.escape.push(c);
        let unicode = self.escape.starts_with("\\u");
        if unicode && self.escape.len() < 6 && (self.escape.len() == 2 || c.is_ascii_hexdigit()) {
            return Ok(false);
        }
        let escape = std::mem::take(&mut self.escape);
        if unicode {
            self.unit(escape, out, tally)?;
            return Ok(false);
        }
        let meant = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            c => c,
        };
        self.character(meant, escape, out, tally)?;
        Ok(false)
    }

    /// `\u0053`, which may be half of a character.
    fn unit(&mut self, escape: String, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        let unit = escape.get(2..).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xFFFD);
        if let Some((high, first)) = self.half.take() {
            if (0xDC00..0xE000).contains(&unit) {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (unit - 0xDC00);
                let meant = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                return self.character(meant, first + &escape, out, tally);
            }
            self.lone(first, out, tally)?;
        }
        match char::from_u32(unit) {
            Some(meant) => self.character(meant, escape, out, tally),
            None if unit < 0xDC00 => {
                self.half = Some((unit, escape));
                Ok(())
            }
            None => self.lone(escape, out, tally),
        }
    }

    /// Half a character alone means nothing.
    fn lone(&mut self, escape: String, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        self.read(char::REPLACEMENT_CHARACTER, escape, out, tally)
    }

    fn character(&mut self, c: char, written: String, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        if let Some((_, first)) = self.half.take() {
            self.lone(first, out, tally)?;
        }
        self.read(c, written, out, tally)
    }

    fn read(&mut self, c: char, written: String, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        if !self.changed {
            self.written.push_back((c, written));
        }
        self.released.clear();
        self.guard.push(c.encode_utf8(&mut [0; 4]), &mut self.released, tally)?;
        self.let_go(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut String, tally: &mut Tally) -> Result<(), Blocked> {
        if let Some((_, first)) = self.half.take() {
            self.lone(first, out, tally)?;
        }
        self.released.clear();
        self.guard.finish(&mut self.released, tally)?;
        self.let_go(out);
        // A text that was cut within an escape ends as it was cut.
        out.push_str(&std::mem::take(&mut self.escape));
        Ok(())
    }

    fn let_go(&mut self, out: &mut String) {
        for c in self.released.chars() {
            match self.written.front() {
                Some((meant, written)) if !self.changed && *meant == c => {
                    out.push_str(written);
                    self.written.pop_front();
                }
                _ => {
                    self.changed = true;
                    self.written.clear();
                    push_escaped(out, c);
                }
            }
        }
    }
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x20 => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}
