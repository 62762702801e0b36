//! What can be seen of a request at little cost.

use super::cues::{self, Said};
use crate::{Predicted, Trained};

/// How much thought the caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    Low,
    /// Nothing is said, or what is usual.
    #[default]
    Usual,
    High,
}

/// What of a request bears on how hard it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompt<'a> {
    pub last_user: &'a str,
    /// Of the user, the last one included.
    pub turns: usize,
    pub has_tools: bool,
    pub has_schema: bool,
    pub effort: Effort,
    /// Of the whole prompt, with its history.
    pub input_tokens: u64,
    /// What was learned of such a last user turn, where its task was recognised.
    pub trained: Trained,
    /// What the operator's predictor says of it, where there is one.
    pub predicted: Predicted,
}

/// Bytes that are read at either end.
pub(super) const WINDOW: usize = 1_024;

pub(super) struct Signs<'a> {
    pub text: (&'a str, &'a str),
    /// Of the last user turn.
    pub bytes: usize,
    pub said: Said,
    questions: u32,
    /// Lines that begin as an item of a list does.
    items: u32,
    formulas: u32,
    code: bool,
    turns: usize,
    has_tools: bool,
    has_schema: bool,
    effort: Effort,
    input_tokens: u64,
}

/// The beginning of a text, and its end where they do not overlap.
fn ends(text: &str) -> (&str, &str) {
    if text.len() <= 2 * WINDOW {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(WINDOW)], &text[text.ceil_char_boundary(text.len() - WINDOW)..])
}

impl<'a> Signs<'a> {
    pub fn of(prompt: &Prompt<'a>) -> Self {
        let text = ends(prompt.last_user);
        let said = cues::read([text.0, text.1]);
        let mut signs = Self {
            text,
            bytes: prompt.last_user.len(),
            said,
            questions: 0,
            items: 0,
            formulas: 0,
            code: false,
            turns: prompt.turns,
            has_tools: prompt.has_tools,
            has_schema: prompt.has_schema,
            effort: prompt.effort,
            input_tokens: prompt.input_tokens,
        };
        signs.count(text.0);
        signs.count(text.1);
        signs
    }

    fn count(&mut self, text: &str) {
        let mut line_begins = true;
        let mut before = b' ';
        let mut braces = 0_u32;
        for &byte in text.as_bytes() {
            match byte {
                b'?' => self.questions += 1,
                b'$' | b'\\' | b'^' => self.formulas += 1,
                b'{' | b'}' | b';' => braces += 1,
                b'-' | b'*' if line_begins => self.items += 1,
                b'.' | b')' if before.is_ascii_digit() => self.items += u32::from(line_begins),
                _ => {}
            }
            line_begins = byte == b'\n' || (line_begins && (byte == b' ' || byte.is_ascii_digit()));
            before = byte;
        }
        self.code |= braces >= 6 || (text.as_bytes().contains(&b'`') && text.contains("```"));
    }

    /// How much harder than is usual for its task, all signs together; less than 0: easier. Each figure is a choice.
    #[allow(clippy::cast_precision_loss)]
    pub fn harder(&self) -> f32 {
        let each = |count: u32, weight: f32, most: f32| (count as f32 * weight).min(most);
        // 0 for a line of 100 bytes; a fortieth for each doubling. What is only said in passing is short.
        let long = (0.025 * ((self.bytes.max(8) as f32) / 100.0).log2()).clamp(-0.09, 0.15);
        let context = if self.input_tokens > 8_000 { 0.05 } else { 0.0 };
        let effort = match self.effort {
            Effort::Low => -0.05,
            Effort::Usual => 0.0,
            Effort::High => 0.10,
        };
        self.said.harder
            + long
            + context
            + effort
            + each(self.said.conditions, 0.02, 0.12)
            + each(self.questions.saturating_sub(1), 0.03, 0.09)
            + each(self.items, 0.02, 0.08)
            + each(self.formulas, 0.02, 0.12)
            + each(u32::try_from(self.turns.saturating_sub(1)).unwrap_or(u32::MAX), 0.01, 0.05)
            + if self.code { 0.05 } else { 0.0 }
            + if self.has_tools { 0.08 } else { 0.0 }
            + if self.has_schema { 0.03 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_questions_and_formulas_are_counted() {
        let text = "1. What? 2. not an item\n2) Why?\n- one\n  * two\nx - y\n12. yes $x^2$";
        let signs = Signs::of(&Prompt { last_user: text, ..Prompt::default() });
        assert_eq!((signs.items, signs.questions, signs.formulas), (5, 2, 3));
    }

    #[test]
    fn a_long_text_is_read_at_both_ends_on_character_boundaries() {
        let text = format!("é{}é?", "日".repeat(9_000));
        let signs = Signs::of(&Prompt { last_user: &text, ..Prompt::default() });
        assert_eq!(signs.questions, 1);
        assert!(signs.text.0.len() <= WINDOW && signs.text.1.len() <= WINDOW);
    }
}
