//! A pattern of a JSON Schema, which is ECMA 262's, for the `regex` crate, whose time is bounded.

use regex::{Regex, RegexBuilder};

/// Of the compiled pattern, and of what it remembers while it reads.
const MOST_BYTES: usize = 128 * 1024;
const MOST_CACHED_BYTES: usize = 1024 * 1024;
const LONGEST: usize = 4 * 1024;

/// None if it has what `regex` has not (it looks around, it refers back), or is too large.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    if pattern.len() > LONGEST {
        return None;
    }
    RegexBuilder::new(&translate(pattern)?).size_limit(MOST_BYTES).dfa_size_limit(MOST_CACHED_BYTES).build().ok()
}

/// `\d` and `\w` are of ASCII alone there, and a class holds `[`, `&&` and `~~` as they are.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut class = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'd' => out.push_str("[0-9]"),
                'D' => out.push_str("[^0-9]"),
                'w' => out.push_str("[0-9A-Za-z_]"),
                'W' => out.push_str("[^0-9A-Za-z_]"),
                // Of ASCII outside of a class; within one it is a backspace, which `regex` has not.
                'b' if !class => out.push_str("(?-u:\\b)"),
                'B' if !class => out.push_str("(?-u:\\B)"),
                literal @ ('/' | '<' | '>') => out.push(literal),
                // `regex` has meanings of its own for the letters.
                'c' | 'k' | '1'..='9' | 'A' | 'z' | 'a' | 'U' => return None,
                'u' if chars.peek() != Some(&'{') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    out.push_str(&format!("\\x{{{digits}}}"));
                }
                other => {
                    out.push('\\');
                    out.push(other);
                }
            },
            '[' if class => out.push_str("\\["),
            '[' => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // `[]` holds nothing, `[^]` everything; `regex` reads on.
                if chars.peek() == Some(&']') {
                    return None;
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '-' if class && chars.peek() == Some(&'-') => return None,
            '.' if !class => out.push_str("[^\\n\\r\\u{2028}\\u{2029}]"),
            // Flags are no part of ECMA 262, and to fold the case of large classes takes seconds.
            '(' if !class && chars.next_if_eq(&'?').is_some() => match chars.next()? {
                kind @ (':' | '<') => {
                    out.push_str("(?");
                    out.push(kind);
                }
                _ => return None,
            },
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_in_javascript_or_is_not_read() {
        for (pattern, text, matches) in [
            (r"^\d{4}-\d\d$", "2024-05", true),
            (r"^\d$", "\u{0663}", false),
            (r"^\w+$", "caf\u{e9}", false),
            (r"^[\w.-]+@[\w-]+\.\w+$", "a.b@c-d.org", true),
            (r"^[a&&b~~]+$", "&~", true),
            (r"^[[x]+$", "[x", true),
            (r"^a\/b$", "a/b", true),
            (r"^\u0041$", "A", true),
            ("a$", "a\n", false),
            (r"\bx\b", "a x b", true),
            (r"^\<a\>$", "<a>", true),
            (r"^(?:a|b)(?<n>c)$", "bc", true),
            ("^.$", "\r", false),
            ("^.$", "é", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern} on {text:?}");
        }
        for unread in [
            r"(?=a)b",
            "(?i)a",
            "(?i:a)",
            "[+--]",
            r"\Aa",
            r"(a)\1",
            r"(?<!a)b",
            "[]",
            "[^]x",
            "(",
            r"\k<n>",
            &"a".repeat(5_000),
            "(a{1000}){1000}",
        ] {
            assert!(compile(unread).is_none(), "{unread}");
        }
    }
}
