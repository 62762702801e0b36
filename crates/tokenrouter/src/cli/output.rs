//! What the commands write. Either end may be a pipe whose reader has left, as `head` does: that is no
//! mistake of the command's, and nothing to panic over, as `println!` would.

use super::Failure;
use std::fmt::Display;
use std::io::{self, Write};

/// A line of words about the data on standard error; when nobody reads them, nobody misses them.
macro_rules! tell {
    ($($words:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($words)*))))
    };
}
pub(super) use tell;

/// A line of data on standard output.
pub(super) fn line(data: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{data}").map_err(Failure::of_output)
}

/// A key that is shown this once. Here a reader that has left is a failure: the key is made, and lost.
pub(super) fn key(key: &str, hint: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{key}")
        .map_err(|error| Failure::Other(format!("the key could not be shown: {error}; {hint}")))
}

/// Text that others wrote, fit for a terminal and for a line: what would steer the one or break the other
/// is shown as its escape.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Beside the control characters: the ends of lines and paragraphs, and what turns the direction.
        let steers =
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_the_rest_is_as_it_was() {
        for (text, wanted) in [
            ("plain, é, 漢, \"quoted\" and \\ too", "plain, é, 漢, \"quoted\" and \\ too"),
            ("\u{1b}[2J\u{1b}]0;mine\u{7}", "\\u{1b}[2J\\u{1b}]0;mine\\u{7}"),
            ("one\r\ntwo\tthree\u{7f}", "one\\r\\ntwo\\tthree\\u{7f}"),
            ("\u{9b}31m\u{202e}evil\u{2028}", "\\u{9b}31m\\u{202e}evil\\u{2028}"),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }
}
