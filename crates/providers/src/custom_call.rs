//! A custom tool's text, out of the arguments of the function that it was offered as, as they come.
//!
//! The arguments are `{"input": "…"}`, of which the text goes on byte for byte, an escape as soon as it is whole.
//! What the model wrote in another form is known only at its end, and goes on then.

use serde_json::Value;

/// The one parameter of a custom tool's function.
pub(crate) const INPUT: &str = "input";
/// What comes before the text; there may be white space before each of [`LOOSE`].
const HEAD: &[u8] = b"{\"input\":\"";
const LOOSE: [usize; 4] = [0, 1, 8, 9];

/// The length of `\uXXXX`.
const FIRST_OF_A_PAIR: usize = 6;

enum State {
    /// So much of the head was there.
    Head(usize),
    /// In the text; with what there is of an escape.
    Text(String),
    /// After the text.
    Tail,
    /// In another form.
    Elsewhere,
}

pub(crate) struct InputReader {
    state: State,
    /// Of what may be another form.
    seen: String,
}

impl Default for InputReader {
    fn default() -> Self {
        Self { state: State::Head(0), seen: String::new() }
    }
}

impl InputReader {
    /// Takes a piece of the arguments, gives what it adds to the text.
    pub(crate) fn push(&mut self, piece: &str, out: &mut String) {
        let mut rest = piece;
        if matches!(self.state, State::Head(_) | State::Elsewhere) {
            self.seen.push_str(piece);
            rest = self.head(piece);
        }
        if let State::Text(escape) = &mut self.state
            && !text(escape, rest, out)
        {
            self.state = State::Tail;
        }
    }

    /// Takes of the head what there is, gives what comes after it.
    fn head<'a>(&mut self, piece: &'a str) -> &'a str {
        let State::Head(mut at) = self.state else { return "" };
        for (i, byte) in piece.bytes().enumerate() {
            if HEAD[at] == byte {
                at += 1;
            } else if !(LOOSE.contains(&at) && byte.is_ascii_whitespace()) {
                self.state = State::Elsewhere;
                return "";
            }
            if at == HEAD.len() {
                self.state = State::Text(String::new());
                self.seen = String::new();
                return &piece[i + 1..];
            }
        }
        self.state = State::Head(at);
        ""
    }

    /// The arguments are over; `cut`: before their end.
    pub(crate) fn finish(self, cut: bool, out: &mut String) {
        match self.state {
            // Half an escape says nothing, but where it is all that comes.
            State::Text(escape) if !cut => out.push_str(&escape),
            State::Text(_) | State::Tail => {}
            State::Head(_) | State::Elsewhere => out.push_str(&whole(self.seen, cut)),
        }
    }
}

/// Writes the text on; false at the quotation mark that ends it.
fn text(escape: &mut String, mut rest: &str, out: &mut String) -> bool {
    while !rest.is_empty() {
        if escape.is_empty() {
            let Some(at) = rest.find(['"', '\\']) else {
                out.push_str(rest);
                return true;
            };
            out.push_str(&rest[..at]);
            if rest[at..].starts_with('"') {
                return false;
            }
            escape.push('\\');
            rest = &rest[at + 1..];
            continue;
        }
        let Some(next) = rest.chars().next() else { return true };
        escape.push(next);
        match unescaped(escape) {
            Escape::Open => {}
            Escape::Whole(c) => {
                out.push(c);
                escape.clear();
            }
            Escape::Wrong => {
                // It stands as it was written, and what broke it is read anew, unless it is all of it.
                if escape.chars().count() > 2 {
                    escape.pop();
                    // The second of a pair may be an escape of its own.
                    out.extend(escape.drain(..escape.len().min(FIRST_OF_A_PAIR)));
                    continue;
                }
                out.push_str(escape);
                escape.clear();
            }
        }
        rest = &rest[next.len_utf8()..];
    }
    true
}

enum Escape {
    Open,
    Whole(char),
    Wrong,
}

fn unescaped(escape: &str) -> Escape {
    let bytes = escape.as_bytes();
    match bytes.get(1) {
        None => return Escape::Open,
        Some(b'u') => {}
        Some(simple) => {
            return match simple {
                b'"' | b'\\' | b'/' => Escape::Whole(char::from(*simple)),
                b'n' => Escape::Whole('\n'),
                b't' => Escape::Whole('\t'),
                b'r' => Escape::Whole('\r'),
                b'b' => Escape::Whole('\u{8}'),
                b'f' => Escape::Whole('\u{c}'),
                _ => Escape::Wrong,
            };
        }
    }
    // `\uXXXX`, or a pair of them.
    let shaped = bytes.iter().enumerate().all(|(i, byte)| match i {
        0 | 6 => *byte == b'\\',
        1 | 7 => *byte == b'u',
        _ => byte.is_ascii_hexdigit(),
    });
    let unit = |from: usize| escape.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match (shaped, unit(2), unit(8)) {
        (false, ..) => Escape::Wrong,
        (true, Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map_or(Escape::Wrong, Escape::Whole)
        }
        (true, Some(0xd800..=0xdbff), Some(_)) => Escape::Wrong,
        (true, None | Some(0xd800..=0xdbff), None) => Escape::Open,
        (true, Some(unit), _) => char::from_u32(unit).map_or(Escape::Wrong, Escape::Whole),
        (true, None, Some(_)) => Escape::Wrong,
    }
}

/// The text of arguments in another form than the usual, which are all there.
fn whole(arguments: String, cut: bool) -> String {
    let parsed = |json: &str| match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(mut object)) => match object.shift_remove(INPUT) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    if let Some(text) = parsed(&arguments) {
        return text;
    }
    if cut {
        // An escape that was cut in two is at most twelve bytes long.
        let ends = (0..=arguments.len()).rev().filter(|at| arguments.is_char_boundary(*at)).take(13);
        return ends.filter_map(|at| parsed(&format!("{}\"}}", &arguments[..at]))).next().unwrap_or_default();
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text of arguments that come in these pieces.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a str>, cut: bool) -> String {
        let (mut reader, mut out) = (InputReader::default(), String::new());
        pieces.into_iter().for_each(|piece| reader.push(piece, &mut out));
        reader.finish(cut, &mut out);
        out
    }

    fn characters(text: &str) -> Vec<&str> {
        text.split("").collect()
    }

    #[test]
    fn trap_20_a_custom_tools_text_is_found_in_whatever_the_model_wrote() {
        for (arguments, wanted) in [
            (r#"{"input":"a \"b\"\n日本"}"#, "a \"b\"\n日本"),
            (" {\n\"input\" : \"x\" , \"more\": 1}", "x"),
            (r#"{"input":"\ud83d\ude00\u00e9\/"}"#, "😀é/"),
            ("print(1)", "print(1)"),
            (r#"{"code":"x"}"#, r#"{"code":"x"}"#),
            (r#"{"code":"x","input":"y"}"#, "y"),
            (r#"{"input":["x"]}"#, r#"{"input":["x"]}"#),
            (r#"{"input":""}"#, ""),
            ("", ""),
            // No JSON, of which the text is told as it was written.
            (r#"{"input":"\d+\ud83dx\ud83d\n\u00zz"}"#, "\\d+\\ud83dx\\ud83d\n\\u00zz"),
            (r#"{"input":"\ud83d"}"#, r"\ud83d"),
            ("{\"input\":\"a\nb\"}", "a\nb"),
        ] {
            assert_eq!(read([arguments], false), wanted, "{arguments}");
            assert_eq!(read(characters(arguments), false), wanted, "{arguments}, in pieces");
        }
        for (arguments, wanted) in [
            (r#"{"input":"ab\"#, "ab"),
            (r#"{"input":"ab\ud83d\ude"#, "ab"),
            (r#"{"input":"ab"#, "ab"),
            (r#"{"a":1,"input":"ab"#, "ab"),
            (r#"{"inp"#, ""),
        ] {
            assert_eq!(read([arguments], true), wanted, "{arguments}");
            assert_eq!(read(characters(arguments), true), wanted, "{arguments}, in pieces");
        }
    }

    #[test]
    fn trap_20_a_text_goes_on_with_every_piece_that_adds_to_it() {
        let (mut reader, mut out) = (InputReader::default(), String::new());
        let mut after = Vec::new();
        for piece in ["{\"inp", "ut\": \"ls", " -l\\", "n\\u00", "e9", "\"}"] {
            reader.push(piece, &mut out);
            after.push(out.clone());
        }
        assert_eq!(after, ["", "ls", "ls -l", "ls -l\n", "ls -l\né", "ls -l\né"]);
    }

    proptest! {
        #[test]
        fn trap_20_any_text_comes_out_as_it_went_in_however_it_is_cut(
            text in "\\PC*|[\\\\\"nu0-9d\u{8}\n😀]*", size in 1_usize..5, ascii in any::<bool>(),
        ) {
            let mut arguments = serde_json::json!({ INPUT: text }).to_string();
            if ascii {
                let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect();
                arguments = arguments.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect();
            }
            let characters: Vec<char> = arguments.chars().collect();
            let pieces: Vec<String> = characters.chunks(size).map(|piece| piece.iter().collect()).collect();
            prop_assert_eq!(read(pieces.iter().map(String::as_str), false), text);
        }
    }
}
