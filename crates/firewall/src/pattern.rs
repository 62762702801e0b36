//! From a PCRE pattern to the syntax of the linear engine.
//!
//! Exactly: what means the same is passed on, what is written differently is translated, and **everything
//! else is refused by name: no pattern is silently read as another one**; PCRE2 itself then runs it. Or
//! loosely: a pattern that finds something wherever the given one does, and perhaps elsewhere too, which
//! tells where PCRE2 need not look.

use std::iter::Peekable;
use std::str::CharIndices;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pub message: String,
    /// In characters, from 0, in the pattern as it was given.
    pub position: Option<usize>,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some(position) => write!(f, ", at position {position}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

/// A delimited pattern's body, the characters before it, and its flags; plain patterns ignore case.
pub(crate) struct Written<'a> {
    pub body: &'a str,
    pub skipped: usize,
    pub flags: &'a str,
}

/// Why a pattern has no exact translation.
pub(crate) enum Refusal {
    /// The linear engine cannot run it.
    Beyond(PatternError),
    /// It is no pattern at all.
    Malformed(PatternError),
}

pub(crate) const MAX_PATTERN_CHARS: usize = 4_096;

const DIGIT: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = r"\t-\r\x20";
const HORIZONTAL: &str = r"\t\x20\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n-\r\x{85}\x{2028}\x{2029}";

#[derive(Clone, Copy)]
struct Flags {
    dot_all: bool,
    multi_line: bool,
    extended: bool,
}

/// # Errors
/// When the pattern is empty or too long, or has nothing between its slashes.
pub(crate) fn written(pattern: &str) -> Result<Written<'_>, PatternError> {
    let error = |message: &str| PatternError { message: message.to_owned(), position: None };
    if pattern.is_empty() {
        return Err(error("the pattern must not be empty"));
    }
    if pattern.chars().count() > MAX_PATTERN_CHARS {
        return Err(error("the pattern is longer than 4096 characters"));
    }
    let (body, skipped, flags) = delimited(pattern)?.unwrap_or((pattern, 0, "i"));
    Ok(Written { body, skipped, flags })
}

/// # Errors
/// When the pattern is malformed, or is beyond what the linear engine can run exactly.
pub(crate) fn translate(written: &Written) -> Result<String, Refusal> {
    Parser::translated(written, Precision::Exact)
}

/// A pattern that finds something wherever this one does. None: anything may be found anywhere.
pub(crate) fn relax(written: &Written) -> Option<String> {
    Parser::translated(written, Precision::Loose).ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Exact,
    Loose,
}

/// `/…/flags`: the body, the characters before it, and the flags.
fn delimited(pattern: &str) -> Result<Option<(&str, usize, &str)>, PatternError> {
    let Some(rest) = pattern.strip_prefix('/') else { return Ok(None) };
    let Some(end) = rest.rfind('/') else { return Ok(None) };
    let (body, flags) = (&rest[..end], &rest[end + 1..]);
    if !flags.chars().all(|flag| flag.is_ascii_alphabetic()) {
        return Ok(None);
    }
    if body.is_empty() {
        return Err(PatternError { message: "there is nothing between the slashes".into(), position: Some(1) });
    }
    Ok(Some((body, 1, flags)))
}

struct Parser<'a> {
    chars: Peekable<CharIndices<'a>>,
    body: &'a str,
    skipped: usize,
    out: String,
    flags: Flags,
    /// The flags around each open group, where it opens, and what closes it.
    stack: Vec<(Flags, usize, &'static str)>,
    /// A quantifier may come now.
    repeatable: bool,
    precision: Precision,
}

type Parsed<T> = Result<T, Refusal>;

/// Any text.
const ANYTHING: &str = "(?s:.*)";
/// Nothing, whatever stood there.
const NOTHING: &str = "(?:)";
const LINE_END: &str = r"(?:\r\n|[\n-\r\x{85}\x{2028}\x{2029}])";

impl<'a> Parser<'a> {
    fn translated(written: &Written<'a>, precision: Precision) -> Parsed<String> {
        let mut flags = Flags { dot_all: false, multi_line: false, extended: false };
        let mut out = String::from("(?:");
        for letter in written.flags.chars() {
            match letter {
                'i' => out.push_str("(?i)"),
                's' => flags.dot_all = true,
                'm' => flags.multi_line = true,
                'x' => flags.extended = true,
                'u' => {}
                _ if precision == Precision::Loose => {}
                _ => {
                    let message = format!("the flag `{letter}` after the pattern");
                    return Err(Refusal::Beyond(PatternError { message, position: None }));
                }
            }
        }
        let mut parser = Parser {
            chars: written.body.char_indices().peekable(),
            body: written.body,
            skipped: written.skipped,
            out,
            flags,
            stack: Vec::new(),
            repeatable: false,
            precision,
        };
        parser.run()?;
        parser.out.push(')');
        Ok(parser.out)
    }

    fn place(&self, at: usize, message: String) -> PatternError {
        PatternError { message, position: Some(self.body[..at].chars().count() + self.skipped) }
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        Err(Refusal::Malformed(self.place(at, message.into())))
    }

    fn unsupported<T>(&self, at: usize, what: &str) -> Parsed<T> {
        Err(Refusal::Beyond(self.place(at, format!("{what} cannot be run by the linear engine"))))
    }

    /// Loosely, `instead` stands for what cannot be run exactly.
    fn beyond(&mut self, at: usize, what: &str, instead: &str) -> Parsed<()> {
        if self.precision == Precision::Exact {
            return self.unsupported(at, what);
        }
        self.atom(instead);
        Ok(())
    }

    fn rest(&mut self) -> &str {
        let at = self.chars.peek().map_or(self.body.len(), |(at, _)| *at);
        &self.body[at..]
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.chars.next();
        }
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.repeatable = true;
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
    }

    fn class_atom(&mut self, negated: bool, items: &str) {
        // Case folding has no part in what a digit or a word character is.
        let not = if negated { "^" } else { "" };
        self.atom(&format!("(?-i:[{not}{items}])"));
    }

    fn run(&mut self) -> Parsed<()> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape(at)?,
                '[' => self.class(at)?,
                '(' => self.group(at)?,
                ')' => match self.stack.pop() {
                    Some((flags, _, close)) => {
                        self.flags = flags;
                        self.atom(close);
                    }
                    None => return self.error(at, "there is a `)` without its `(`"),
                },
                '|' => {
                    self.out.push('|');
                    self.repeatable = false;
                }
                '.' => self.atom(if self.flags.dot_all { "(?s:.)" } else { "(?-s:.)" }),
                '^' => {
                    self.out.push_str(if self.flags.multi_line { "(?m:^)" } else { r"\A" });
                    self.repeatable = false;
                }
                '$' if self.flags.multi_line => {
                    self.out.push_str("(?m:$)");
                    self.repeatable = false;
                }
                // It also stands before a last newline.
                '$' => {
                    self.beyond(at, "`$` without `(?m)`", NOTHING)?;
                    self.repeatable = false;
                }
                '*' | '+' | '?' => self.quantifier(at, &c.to_string())?,
                '{' => self.braces(at)?,
                c if self.flags.extended && c.is_ascii_whitespace() => {}
                '#' if self.flags.extended => while self.chars.next().is_some_and(|(_, c)| c != '\n') {},
                c => self.literal(c),
            }
        }
        match self.stack.last() {
            Some((_, at, _)) => self.error(*at, "there is a `(` without its `)`"),
            None => Ok(()),
        }
    }

    fn quantifier(&mut self, at: usize, text: &str) -> Parsed<()> {
        if !self.repeatable {
            return self.error(at, format!("there is nothing for `{text}` to repeat"));
        }
        self.out.push_str(text);
        self.repeatable = false;
        match self.chars.peek() {
            Some((at, '+')) => {
                let at = *at;
                if self.precision == Precision::Exact {
                    return self.unsupported(at, "a possessive quantifier");
                }
                self.skip(1);
                Ok(())
            }
            Some((_, '?')) => {
                self.skip(1);
                self.out.push('?');
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else in braces is itself.
    fn braces(&mut self, at: usize) -> Parsed<()> {
        let rest = self.rest();
        let Some(end) = rest.find('}') else {
            self.literal('{');
            return Ok(());
        };
        let inside = rest[..end].to_owned();
        let (low, high) = inside.split_once(',').map_or((inside.as_str(), None), |(low, high)| (low, Some(high)));
        let number = |text: &str| !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        if low.is_empty() && high.is_some_and(number) {
            if self.precision == Precision::Exact {
                return self.unsupported(at, "`{,n}`, which is read differently by different versions of PCRE,");
            }
            self.skip(inside.chars().count() + 1);
            return self.quantifier(at, "*");
        }
        if !number(low) || !high.is_none_or(|high| high.is_empty() || number(high)) {
            self.literal('{');
            return Ok(());
        }
        let bound = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        if high.is_some_and(|high| !high.is_empty() && bound(high) < bound(low)) {
            return self.error(at, "the numbers of the repetition are in the wrong order");
        }
        self.skip(inside.chars().count() + 1);
        self.quantifier(at, &format!("{{{inside}}}"))
    }

    fn group(&mut self, at: usize) -> Parsed<()> {
        let rest = self.rest().to_owned();
        self.repeatable = false;
        let open = |parser: &mut Self, skip: usize| {
            parser.skip(skip);
            parser.stack.push((parser.flags, at, ")"));
            parser.out.push_str("(?:");
        };
        if rest.starts_with('*') {
            return self.unsupported(at, "a verb `(*…)`");
        }
        let Some(inner) = rest.strip_prefix('?') else {
            open(self, 0);
            return Ok(());
        };
        for (prefix, what, close) in [
            ("=", "look-ahead `(?=`", "){0}"),
            ("!", "look-ahead `(?!`", "){0}"),
            ("<=", "look-behind `(?<=`", "){0}"),
            ("<!", "look-behind `(?<!`", "){0}"),
            (">", "an atomic group `(?>`", ")"),
        ] {
            if inner.starts_with(prefix) {
                if self.precision == Precision::Exact {
                    return self.unsupported(at, what);
                }
                self.skip(1 + prefix.len());
                self.stack.push((self.flags, at, close));
                self.out.push_str("(?:");
                return Ok(());
            }
        }
        for (prefix, what) in [
            ("R", "recursion `(?R)`"),
            ("&", "recursion `(?&`"),
            ("P=", "a back-reference `(?P=`"),
            ("P>", "recursion `(?P>`"),
            ("+", "recursion `(?+`"),
            ("0", "recursion `(?0)`"),
        ] {
            if inner.starts_with(prefix) {
                let end = inner.find(')').map_or(inner.len(), |end| end + 1);
                self.beyond(at, what, ANYTHING)?;
                self.skip(1 + inner[..end].chars().count());
                return Ok(());
            }
        }
        for (prefix, what) in [("(", "a condition `(?(`"), ("C", "a callout `(?C`"), ("[", "an extended class `(?[`")] {
            if inner.starts_with(prefix) {
                return self.unsupported(at, what);
            }
        }
        if inner.starts_with('#') {
            let Some(end) = inner.find(')') else { return self.error(at, "there is a comment without its `)`") };
            self.skip(inner[..end].chars().count() + 2);
            return Ok(());
        }
        if inner.starts_with(':') || inner.starts_with('|') {
            open(self, 2);
            return Ok(());
        }
        for (prefix, close) in [("P<", '>'), ("<", '>'), ("'", '\'')] {
            let Some(name) = inner.strip_prefix(prefix) else { continue };
            let Some(end) = name.find(close) else { return self.error(at, "the group's name has no end") };
            if end == 0 || !name[..end].chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return self.error(at, "the group's name must be of letters, digits and `_`");
            }
            open(self, 1 + prefix.len() + end + 1);
            return Ok(());
        }
        self.flag_group(at, inner)
    }

    /// `(?i)`, `(?i-s:…)`.
    fn flag_group(&mut self, at: usize, inner: &str) -> Parsed<()> {
        let mut flags = self.flags;
        let mut on = true;
        let mut case = String::new();
        for (count, c) in inner.chars().enumerate() {
            match c {
                '-' if on => on = false,
                'i' => case = if on { "(?i)".to_owned() } else { "(?-i)".to_owned() },
                's' => flags.dot_all = on,
                'm' => flags.multi_line = on,
                'x' => flags.extended = on,
                ')' | ':' => {
                    self.skip(count + 2);
                    if c == ':' {
                        self.stack.push((self.flags, at, ")"));
                        self.out.push_str("(?:");
                    }
                    self.out.push_str(&case);
                    self.flags = flags;
                    return Ok(());
                }
                _ => return self.unsupported(at, &format!("`(?{c}`")),
            }
        }
        self.error(at, "there is a `(` without its `)`")
    }

    fn escape(&mut self, at: usize) -> Parsed<()> {
        let Some((_, c)) = self.chars.next() else { return self.error(at, "there is a `\\` at the end") };
        if let Some((negated, items)) = shorthand(c) {
            self.class_atom(negated, items);
            return Ok(());
        }
        match c {
            'b' => {
                self.out.push_str(r"(?-u:\b)");
                self.repeatable = false;
            }
            'A' | 'z' => {
                self.out.push('\\');
                self.out.push(c);
                self.repeatable = false;
            }
            'Q' => {
                let rest = self.rest();
                let (quoted, skip) = match rest.find("\\E") {
                    Some(end) => (rest[..end].to_owned(), 2),
                    None => (rest.to_owned(), 0),
                };
                self.skip(quoted.chars().count() + skip);
                for c in quoted.chars() {
                    self.literal(c);
                }
            }
            'E' => {}
            'p' | 'P' => {
                let class = self.property(at, c)?;
                self.atom(&class);
            }
            '1'..='9' => {
                self.beyond(at, "a back-reference", ANYTHING)?;
                while self.chars.peek().is_some_and(|(_, c)| c.is_ascii_digit()) {
                    self.skip(1);
                }
            }
            'B' | 'Z' | 'K' => {
                self.beyond(at, &format!("`\\{c}`"), NOTHING)?;
                self.repeatable = false;
            }
            'G' => {
                let message = "`\\G` means where the search began, which a stream has no word for";
                return self.error(at, message);
            }
            'R' => self.beyond(at, "`\\R`", LINE_END)?,
            'X' => self.beyond(at, "`\\X`", "(?s:.+)")?,
            'N' if !self.rest().starts_with('{') => self.atom("(?-s:.)"),
            _ => {
                let c = self.escaped_char(at, c)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// An escape that stands for one character, in a class or out of it.
    fn escaped_char(&mut self, at: usize, c: char) -> Parsed<char> {
        match c {
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'f' => Ok('\x0c'),
            'a' => Ok('\x07'),
            'e' => Ok('\x1b'),
            'x' => self.hexadecimal(at),
            c if c.is_ascii_alphanumeric() => self.unsupported(at, &format!("`\\{c}`")),
            c => Ok(c),
        }
    }

    fn hexadecimal(&mut self, at: usize) -> Parsed<char> {
        let rest = self.rest().to_owned();
        let (digits, skip) = match rest.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => (&inner[..end], end + 2),
                None => return self.error(at, "`\\x{` has no `}`"),
            },
            None => {
                let count = rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
                (&rest[..count], count)
            }
        };
        match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
            Some(c) => {
                self.skip(skip);
                Ok(c)
            }
            None => self.error(at, "`\\x` must be followed by the number of a character"),
        }
    }

    /// `\p{L}`: only the general categories, which every engine reads alike.
    fn property(&mut self, at: usize, letter: char) -> Parsed<String> {
        const KNOWN: &str = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp ";
        let rest = self.rest().to_owned();
        let (name, skip) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name.to_owned(), name.chars().count() + 2),
            None => (rest.chars().take(1).collect(), 1),
        };
        if name.is_empty() || !KNOWN.contains(&format!(" {name} ")) {
            return self.unsupported(at, &format!("`\\{letter}{{{name}}}`"));
        }
        self.skip(skip);
        Ok(format!(r"(?-i:\{letter}{{{name}}})"))
    }

    fn class(&mut self, at: usize) -> Parsed<()> {
        let mut out = String::from("[");
        if self.rest().starts_with('^') {
            self.skip(1);
            out.push('^');
        }
        let mut first = true;
        // The last single character and its place: `-` may make it the beginning of a range.
        let mut last: Option<(usize, char)> = None;
        loop {
            let Some((here, c)) = self.chars.next() else { return self.error(at, "there is a `[` without its `]`") };
            match c {
                ']' if !first => break,
                '[' if self.rest().starts_with([':', '.', '=']) => {
                    let rest = self.rest().to_owned();
                    match rest.strip_prefix(':').and_then(|inner| inner.split_once(":]")) {
                        Some((name, _)) => {
                            let Some(items) = posix(name) else {
                                return self.unsupported(here, &format!("`[:{name}:]`"));
                            };
                            self.skip(name.chars().count() + 3);
                            out.push_str(items);
                            last = None;
                        }
                        None if rest.starts_with(':') => {
                            push_literal(&mut out, '[');
                            last = Some((here, '['));
                        }
                        None => return self.unsupported(here, "a collating element"),
                    }
                }
                '-' if last.is_some() && !self.rest().starts_with(']') => {
                    let Some((end_at, end)) = self.chars.next() else { continue };
                    let end = match end {
                        '\\' => {
                            let Some((_, c)) = self.chars.next() else { continue };
                            if shorthand(c).is_some() || matches!(c, 'p' | 'P' | 'Q' | 'b') {
                                return self.error(end_at, "a range must end with a character");
                            }
                            self.escaped_char(end_at, c)?
                        }
                        '[' if self.rest().starts_with(':') => {
                            return self.error(end_at, "a range must end with a character");
                        }
                        c => c,
                    };
                    if last.is_some_and(|(_, start)| start > end) {
                        let from = last.map_or(here, |(at, _)| at);
                        return self.error(from, "the range is in the wrong order");
                    }
                    out.push('-');
                    push_literal(&mut out, end);
                    last = None;
                }
                '\\' => {
                    let Some((_, c)) = self.chars.next() else { return self.error(here, "there is a `\\` at the end") };
                    match (shorthand(c), c) {
                        (Some((false, items)), _) => {
                            out.push_str(items);
                            last = None;
                        }
                        (Some((true, items)), _) => {
                            out.push_str(&format!("[^{items}]"));
                            last = None;
                        }
                        (None, 'p' | 'P') => {
                            let class = self.property(here, c)?;
                            out.push_str(class.trim_start_matches("(?-i:").trim_end_matches(')'));
                            last = None;
                        }
                        (None, 'b') => {
                            push_literal(&mut out, '\x08');
                            last = Some((here, '\x08'));
                        }
                        (None, 'Q' | 'E') => return self.unsupported(here, &format!("`\\{c}` in a class")),
                        (None, c) => {
                            let c = self.escaped_char(here, c)?;
                            push_literal(&mut out, c);
                            last = Some((here, c));
                        }
                    }
                }
                c => {
                    push_literal(&mut out, c);
                    last = Some((here, c));
                }
            }
            first = false;
        }
        out.push(']');
        self.atom(&out);
        Ok(())
    }
}

/// Letters and digits as they are, everything else by its number: then nothing is taken for syntax.
pub(crate) fn push_literal(out: &mut String, c: char) {
    if c.is_alphanumeric() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
    }
}

/// `\d` and its like: whether it is negated, and the items of the class.
fn shorthand(c: char) -> Option<(bool, &'static str)> {
    let items = match c.to_ascii_lowercase() {
        'd' => DIGIT,
        'w' => WORD,
        's' => SPACE,
        'h' => HORIZONTAL,
        'v' => VERTICAL,
        _ => return None,
    };
    Some((c.is_ascii_uppercase(), items))
}

fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpha" => "A-Za-z",
        "digit" => DIGIT,
        "alnum" => "0-9A-Za-z",
        "upper" => "A-Z",
        "lower" => "a-z",
        "space" => SPACE,
        "blank" => r"\t\x20",
        "word" => WORD,
        "xdigit" => "0-9A-Fa-f",
        "punct" => r"!-/:-@\x5B-`\x7B-~",
        "cntrl" => r"\x00-\x1F\x7F",
        "print" => r"\x20-\x7E",
        "graph" => "!-~",
        _ => return None,
    })
}
