//! The firewall: patterns, what they find in a text, and the same found in a stream.
//!
//! Pure: texts in, verdicts out. Rules run in order of priority and compose: each sees the text as
//! the rules before it left it. A whole text is screened by the very transducers that screen a
//! stream, so **a stream's text equals the whole text's, however it is cut**. Matches of no length
//! are no matches. **Nothing here keeps or tells the text that matched.**

mod bounded;
mod detector;
mod engine;
mod guard;
mod json_guard;
mod normalize;
mod pattern;
mod prefilter;
mod rule;
mod rule_set;
mod starts;
mod substring;
mod tally;
mod transducer;

pub use engine::{EngineKind, PatternInfo};
pub use guard::Guard;
pub use json_guard::JsonGuard;
pub use pattern::PatternError;
pub use rule_set::{Blocked, RuleSet, RuleSpec, Trial, check_pattern, try_rule};
pub use tally::{Hit, Tally};

/// Which text a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Prompt,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternKind {
    Substring,
    Regex,
    /// A ready-made one; the pattern is its name.
    Detector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Block,
    Mask,
    Warn,
    /// Counts, and tells the caller nothing: to see what a rule would do.
    Shadow,
}

impl Action {
    /// Whether the text goes on as it is.
    #[must_use]
    pub fn leaves_text(self) -> bool {
        matches!(self, Self::Warn | Self::Shadow)
    }
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ }) => {
        impl $name {
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(Scope { Prompt = "prompt", Response = "response" });
words!(PatternKind { Substring = "substring", Regex = "regex", Detector = "detector" });
words!(Action { Block = "block", Mask = "mask", Warn = "warn", Shadow = "shadow" });
