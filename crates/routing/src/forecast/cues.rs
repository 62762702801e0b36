//! Words that say that a prompt is harder or easier than is usual, and how much. The figures are choices: they set
//! prompts in an order, no more.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::sync::LazyLock;

/// A thing that is looked for once, however often it is said. One that begins with a Latin letter stands at the beginning of
/// a word (`improve` does not say `prove`); one with [`WHOLE`] at its end is the whole word, or the word with an `s` after it.
type Cue = (&'static str, f32);

const WHOLE: char = '|';

const CUES: &[Cue] = &[
    ("prove ", 0.20),
    ("proof|", 0.15),
    ("beweis", 0.20),
    ("démontre", 0.20),
    ("demuestra", 0.20),
    ("prouve", 0.20),
    ("dimostra", 0.20),
    ("udowodni", 0.20),
    ("докажи", 0.20),
    ("Докажи", 0.20),
    ("증명", 0.20),
    ("证明", 0.20),
    ("証明", 0.20),
    ("theorem", 0.12),
    ("rigorous", 0.10),
    ("derive ", 0.12),
    ("deduce", 0.08),
    ("olympiad", 0.20),
    ("counterexample", 0.10),
    ("integral|", 0.08),
    ("eigenvalue", 0.10),
    ("differential equation", 0.12),
    ("step by step", 0.03),
    ("step-by-step", 0.03),
    ("trade-off", 0.06),
    ("critically", 0.05),
    ("analyse", 0.04),
    ("analyze", 0.04),
    ("evaluate", 0.03),
    ("compare", 0.03),
    ("architecture", 0.06),
    ("design a", 0.05),
    ("distributed", 0.08),
    ("concurren", 0.08),
    ("lock-free", 0.12),
    ("race condition", 0.10),
    ("deadlock", 0.10),
    ("complexity", 0.05),
    ("optimal", 0.06),
    ("optimize", 0.05),
    ("dynamic programming", 0.10),
    ("np-hard", 0.12),
    ("compiler", 0.08),
    ("implement", 0.03),
    ("refactor", 0.05),
    ("segfault", 0.08),
    ("undefined behavior", 0.08),
    ("memory leak", 0.08),
    ("clues", 0.08),
    ("puzzle|", 0.06),
    ("sonnet|", 0.04),
    ("allegory", 0.05),
    ("legal", 0.04),
    ("diagnos", 0.05),
    ("hello world", -0.20),
    ("simple", -0.06),
    ("quick question", -0.05),
    ("for beginners", -0.06),
    ("like i'm five", -0.06),
    ("typo|", -0.06),
    ("spelling", -0.06),
    ("rename", -0.05),
    ("one word", -0.05),
    ("yes or no", -0.05),
    ("capital of", -0.10),
    ("thank|", -0.05),
];

/// Conditions on the answer; each makes it a little harder to get right.
const CONDITIONS: &[&str] = &[
    "must|", "should|", "at least", "at most", "exactly", "without", "do not", "don't", "only ", "except|", "unless",
    "each ", "every ", "muss|", "ohne ", "doit|", "sans ", "debe", "必须", "必ず",
];

/// Words on the length of the answer, and what its usual length is multiplied by.
const LENGTHS: &[(&str, f32)] = &[
    ("brief", 0.5),
    ("short", 0.6),
    ("concise", 0.5),
    ("one word", 0.05),
    ("yes or no", 0.05),
    ("one sentence", 0.2),
    ("tl;dr", 0.4),
    ("only the answer", 0.1),
    ("just the answer", 0.1),
    ("hello world", 0.2),
    ("detail", 1.6),
    ("comprehensive", 2.0),
    ("thorough", 1.6),
    ("in depth", 1.8),
    ("in-depth", 1.8),
    ("essay", 1.6),
    ("complete", 1.3),
    ("full ", 1.2),
    ("long ", 1.3),
    ("with tests", 1.5),
    ("unit tests", 1.5),
    ("step by step", 1.3),
];

/// In the order in which the automaton numbers them.
fn all() -> impl Iterator<Item = &'static str> {
    CUES.iter().map(|cue| cue.0).chain(CONDITIONS.iter().copied()).chain(LENGTHS.iter().map(|cue| cue.0))
}

/// Of each cue whether it stands at the beginning of a word, and whether it is the whole of it.
static BOUNDS: LazyLock<Vec<(bool, bool)>> =
    LazyLock::new(|| all().map(|cue| (cue.starts_with(is_latin), cue.ends_with(WHOLE))).collect());

/// Scripts that set no blanks between words may have any of their letters before a cue.
fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c)
}

/// Whether the cue of this number, found here, is a word, and no part of another.
fn is_said(which: usize, piece: &str, range: std::ops::Range<usize>) -> bool {
    let Some((begins, whole)) = BOUNDS.get(which) else { return false };
    let (before, after) = (piece.get(..range.start), piece.get(range.end..));
    let Some((before, after)) = before.zip(after) else { return false };
    let after = after.strip_prefix(['s', 'S']).unwrap_or(after);
    !(*begins && before.ends_with(is_latin) || *whole && after.starts_with(is_latin))
}

/// None cannot happen with these patterns; without them, no cue is found.
static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let patterns = all().map(|cue| cue.trim_end_matches(WHOLE));
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(patterns)
        .ok()
});

/// What the words of a text say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// What the cues come to.
    pub harder: f32,
    pub conditions: u32,
    /// What the usual length of an answer is multiplied by.
    pub longer: f32,
}

/// What the pieces of a text say together; a cue in two of them counts once.
pub(super) fn read(pieces: [&str; 2]) -> Said {
    let mut said = Said { harder: 0.0, conditions: 0, longer: 1.0 };
    let Some(automaton) = AUTOMATON.as_ref() else { return said };
    let mut seen = [false; 256];
    for piece in pieces {
        for hit in automaton.find_overlapping_iter(piece) {
            let which = hit.pattern().as_usize();
            if !is_said(which, piece, hit.range()) {
                continue;
            }
            if let Some((_, harder)) = CUES.get(which) {
                if let Some(seen) = seen.get_mut(which).filter(|seen| !**seen) {
                    *seen = true;
                    said.harder += harder;
                }
            } else if which < CUES.len() + CONDITIONS.len() {
                said.conditions += 1;
            } else if let Some((_, longer)) = LENGTHS.get(which - CUES.len() - CONDITIONS.len())
                && let Some(seen) = seen.get_mut(which).filter(|seen| !**seen)
            {
                *seen = true;
                said.longer *= longer;
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cue_has_a_place_to_be_marked_at() {
        assert!(CUES.len() + CONDITIONS.len() + LENGTHS.len() <= 256);
        assert!(AUTOMATON.is_some());
    }

    #[test]
    fn a_cue_counts_once_and_a_condition_each_time() {
        let once = read(["Prove it. PROVE it. You must.", "prove it; you must"]);
        assert_eq!((once.harder, once.conditions), (0.20, 2));
    }

    #[test]
    fn a_part_of_another_word_says_nothing() {
        for (one, other) in [
            ("How can I improve my sleep?", "How can I better my sleep?"),
            ("Improve this sentence: he go to school", "Fix this sentence: he go to school"),
            ("Proofread this: he go to school", "Correct this: he go to school"),
            ("What is a good waterproof jacket?", "What is a good rain jacket?"),
            ("Please approve my holiday", "Please accept my holiday"),
            ("Is a bulletproof coffee healthy?", "Is a buttered coffee healthy?"),
            ("the roof is soundproof and leakproof", "the roof is quiet and dry"),
            ("my shoulder hurts at the beach, mustard helps?", "my elbow hurts at the sea, ketchup helps?"),
            ("Is this illegal?", "Is this forbidden?"),
            ("Happy Thanksgiving!", "Happy holidays!"),
            ("Typology of languages", "Kinds of languages"),
            ("J'éprouve de la joie", "Je sens de la joie"),
            ("this prolong thing", "this stretch thing"),
        ] {
            let (one, other) = (read([one, ""]), read([other, ""]));
            assert!(
                (one.harder - other.harder).abs() < 1e-6 && (one.longer - other.longer).abs() < 1e-6,
                "{one:?} {other:?}"
            );
            assert_eq!(one.conditions, other.conditions);
        }
        for said in ["Prove it", "(prove it)", "请prove it", "proofs", "PROOF:", "Prouve-le", "typos thanks"] {
            assert!(read([said, ""]).harder.abs() > 0.01, "{said}");
        }
        assert_eq!(read(["You must, and should; it musts", ""]).conditions, 3);
    }
}
