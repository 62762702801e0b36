//! What kind of task a prompt is: an honest first guess by cue words and the look of code.
//!
//! It reads the beginning of the last user turn, where the wish stands, and counts cues by weight.
//! It knows no model and learns nothing; its confidence is how far the best guess is ahead.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Coding,
    Math,
    Reasoning,
    Writing,
    Summarization,
    Translation,
    Extraction,
    Classification,
    Qa,
    Chat,
}

impl Task {
    pub const ALL: [Self; 10] = [
        Self::Coding,
        Self::Math,
        Self::Reasoning,
        Self::Writing,
        Self::Summarization,
        Self::Translation,
        Self::Extraction,
        Self::Classification,
        Self::Qa,
        Self::Chat,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::Math => "math",
            Self::Reasoning => "reasoning",
            Self::Writing => "writing",
            Self::Summarization => "summarization",
            Self::Translation => "translation",
            Self::Extraction => "extraction",
            Self::Classification => "classification",
            Self::Qa => "qa",
            Self::Chat => "chat",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskGuess {
    pub task: Task,
    /// 0 to 1: the share of the weight of all cues that speaks for this task.
    pub confidence: f32,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct TaskInput<'a> {
    pub last_user: &'a str,
    pub instructions: &'a str,
    pub has_tools: bool,
    pub has_schema: bool,
    pub has_images: bool,
}

/// How much of a prompt is read: its beginning and its end.
const WINDOW: usize = 2_048;

type Cue = (&'static str, Task, f32);

const CUES: &[Cue] = &[
    ("write a function", Task::Coding, 6.0),
    ("write a program", Task::Coding, 6.0),
    ("write a script", Task::Coding, 6.0),
    ("write code", Task::Coding, 6.0),
    ("write a class", Task::Coding, 5.0),
    ("write a query", Task::Coding, 4.0),
    ("write a test", Task::Coding, 3.0),
    ("unit test", Task::Coding, 4.0),
    ("implement ", Task::Coding, 3.0),
    ("refactor", Task::Coding, 4.0),
    ("debug", Task::Coding, 3.0),
    ("stack trace", Task::Coding, 4.0),
    ("traceback", Task::Coding, 4.0),
    ("compile error", Task::Coding, 4.0),
    ("syntax error", Task::Coding, 4.0),
    ("code review", Task::Coding, 4.0),
    ("review this code", Task::Coding, 5.0),
    ("this code", Task::Coding, 3.0),
    ("my code", Task::Coding, 3.0),
    ("python", Task::Coding, 2.0),
    ("javascript", Task::Coding, 2.5),
    ("typescript", Task::Coding, 2.5),
    ("rust ", Task::Coding, 1.5),
    ("java ", Task::Coding, 2.0),
    ("golang", Task::Coding, 2.5),
    (" sql", Task::Coding, 2.0),
    ("regex", Task::Coding, 2.0),
    ("decorator", Task::Coding, 2.0),
    ("algorithm", Task::Coding, 1.5),
    ("api endpoint", Task::Coding, 2.5),
    ("docker", Task::Coding, 1.5),
    ("git ", Task::Coding, 1.5),
    ("función en", Task::Coding, 4.0),
    ("fonction en", Task::Coding, 4.0),
    ("funktion in", Task::Coding, 4.0),
    ("代码", Task::Coding, 4.0),
    ("函数", Task::Coding, 4.0),
    ("コード", Task::Coding, 4.0),
    ("solve for", Task::Math, 5.0),
    ("solve the equation", Task::Math, 6.0),
    ("equation", Task::Math, 3.0),
    ("integral", Task::Math, 4.0),
    ("derivative", Task::Math, 4.0),
    ("probability", Task::Math, 3.0),
    ("calculate", Task::Math, 3.0),
    ("compute the", Task::Math, 3.0),
    ("how many", Task::Math, 1.5),
    ("how much", Task::Math, 1.0),
    ("prove that", Task::Math, 4.0),
    ("theorem", Task::Math, 3.0),
    ("matrix", Task::Math, 2.0),
    ("percent", Task::Math, 1.5),
    ("triangle", Task::Math, 2.5),
    ("polynomial", Task::Math, 4.0),
    ("\\frac", Task::Math, 4.0),
    ("calcula ", Task::Math, 3.0),
    ("berechne", Task::Math, 4.0),
    ("计算", Task::Math, 3.0),
    ("方程", Task::Math, 4.0),
    ("step by step", Task::Reasoning, 2.0),
    ("puzzle", Task::Reasoning, 4.0),
    ("riddle", Task::Reasoning, 4.0),
    ("logically", Task::Reasoning, 3.0),
    ("deduce", Task::Reasoning, 3.0),
    ("trade-off", Task::Reasoning, 2.0),
    ("analyze", Task::Reasoning, 2.0),
    ("analyse", Task::Reasoning, 2.0),
    ("pros and cons", Task::Reasoning, 2.5),
    ("which of the following", Task::Reasoning, 1.5),
    ("if all ", Task::Reasoning, 2.0),
    ("write a story", Task::Writing, 7.0),
    ("write a short story", Task::Writing, 7.0),
    ("write me a story", Task::Writing, 7.0),
    ("story about", Task::Writing, 6.0),
    ("tell me a story", Task::Writing, 6.0),
    ("write a poem", Task::Writing, 7.0),
    ("poem", Task::Writing, 4.0),
    ("haiku", Task::Writing, 5.0),
    ("write an essay", Task::Writing, 6.0),
    ("essay", Task::Writing, 3.0),
    ("blog post", Task::Writing, 5.0),
    ("write an email", Task::Writing, 5.0),
    ("write a letter", Task::Writing, 5.0),
    ("cover letter", Task::Writing, 5.0),
    ("product description", Task::Writing, 4.0),
    ("rewrite", Task::Writing, 4.0),
    ("rephrase", Task::Writing, 4.0),
    ("paraphrase", Task::Writing, 4.0),
    ("brainstorm", Task::Writing, 4.0),
    ("slogan", Task::Writing, 4.0),
    ("draft ", Task::Writing, 2.5),
    ("proofread", Task::Writing, 4.0),
    ("escribe un", Task::Writing, 3.0),
    ("écris ", Task::Writing, 3.0),
    ("schreib", Task::Writing, 3.0),
    ("故事", Task::Writing, 4.0),
    ("写一", Task::Writing, 3.0),
    ("summarize", Task::Summarization, 5.0),
    ("summarise", Task::Summarization, 5.0),
    ("summary of", Task::Summarization, 4.5),
    ("tl;dr", Task::Summarization, 5.0),
    ("tldr", Task::Summarization, 5.0),
    ("key points", Task::Summarization, 3.0),
    ("in a nutshell", Task::Summarization, 2.0),
    ("condense", Task::Summarization, 3.0),
    ("resume el", Task::Summarization, 4.0),
    ("résume", Task::Summarization, 4.0),
    ("fasse ", Task::Summarization, 2.0),
    ("zusammenfass", Task::Summarization, 5.0),
    ("总结", Task::Summarization, 5.0),
    ("要約", Task::Summarization, 5.0),
    ("summarize the difference", Task::Qa, 6.0),
    ("that summarizes", Task::Coding, 2.0),
    ("translate", Task::Translation, 6.0),
    ("translation of", Task::Translation, 4.0),
    ("into french", Task::Translation, 3.0),
    ("into spanish", Task::Translation, 3.0),
    ("into german", Task::Translation, 3.0),
    ("to english", Task::Translation, 2.0),
    ("in french", Task::Translation, 1.5),
    ("how do you say", Task::Translation, 4.0),
    ("traduc", Task::Translation, 6.0),
    ("traduis", Task::Translation, 6.0),
    ("bersetze", Task::Translation, 6.0),
    ("翻译", Task::Translation, 6.0),
    ("翻訳", Task::Translation, 6.0),
    ("extract", Task::Extraction, 5.0),
    ("pull out", Task::Extraction, 3.0),
    ("list all the names", Task::Extraction, 4.0),
    ("find all the", Task::Extraction, 2.0),
    ("named entities", Task::Extraction, 5.0),
    ("as json", Task::Extraction, 2.0),
    ("into json", Task::Extraction, 2.5),
    ("parse the following", Task::Extraction, 3.0),
    ("extrae", Task::Extraction, 5.0),
    ("extrahiere", Task::Extraction, 5.0),
    ("提取", Task::Extraction, 5.0),
    ("classify", Task::Classification, 6.0),
    ("categorize", Task::Classification, 5.0),
    ("categorise", Task::Classification, 5.0),
    ("sentiment", Task::Classification, 5.0),
    ("positive or negative", Task::Classification, 5.0),
    ("spam or", Task::Classification, 5.0),
    ("is this spam", Task::Classification, 5.0),
    ("label the", Task::Classification, 4.0),
    ("which category", Task::Classification, 5.0),
    ("clasifica", Task::Classification, 6.0),
    ("klassifiziere", Task::Classification, 6.0),
    ("分类", Task::Classification, 6.0),
    ("what is", Task::Qa, 2.0),
    ("what are", Task::Qa, 2.0),
    ("what's", Task::Qa, 1.5),
    ("who is", Task::Qa, 2.0),
    ("who was", Task::Qa, 2.5),
    ("when did", Task::Qa, 2.5),
    ("where is", Task::Qa, 2.0),
    ("why do", Task::Qa, 2.0),
    ("why is", Task::Qa, 2.0),
    ("how does", Task::Qa, 2.0),
    ("how do i", Task::Qa, 1.5),
    ("explain", Task::Qa, 2.0),
    ("define ", Task::Qa, 2.0),
    ("difference between", Task::Qa, 3.0),
    ("tell me about", Task::Qa, 2.0),
    ("qué es", Task::Qa, 3.0),
    ("qu'est-ce", Task::Qa, 3.0),
    ("was ist", Task::Qa, 3.0),
    ("什么是", Task::Qa, 3.0),
    ("hello", Task::Chat, 3.0),
    ("hi ", Task::Chat, 2.0),
    ("hey", Task::Chat, 2.0),
    ("thank", Task::Chat, 2.0),
    ("how are you", Task::Chat, 5.0),
    ("good morning", Task::Chat, 4.0),
    ("hola", Task::Chat, 3.0),
    ("bonjour", Task::Chat, 3.0),
    ("hallo", Task::Chat, 3.0),
    ("你好", Task::Chat, 3.0),
];

static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(CUES.iter().map(|cue| cue.0))
        .ok()
});

#[must_use]
pub fn recognise(input: &TaskInput<'_>) -> TaskGuess {
    let mut scores = [0.0_f32; 10];
    let (head, tail) = ends(input.last_user);
    count(head, 1.0, &mut scores);
    count(tail, 0.7, &mut scores);
    count(ends(input.instructions).0, 0.4, &mut scores);
    add(&mut scores, Task::Coding, code_like(head) + 0.7 * code_like(tail));
    let digits = head.bytes().filter(u8::is_ascii_digit).count();
    let operators = head.bytes().filter(|b| b"+*/=^".contains(b)).count();
    if digits >= 2 && operators >= 1 && head.len() < 400 {
        add(&mut scores, Task::Math, 2.0);
    }
    if input.has_schema {
        add(&mut scores, Task::Extraction, 1.0);
    }
    if head.contains('?') {
        add(&mut scores, Task::Qa, 0.8);
    }
    // With nothing to go by: a few words are talk, more of them a question.
    add(&mut scores, Task::Chat, if head.len() < 40 { 0.6 } else { 0.2 });
    add(&mut scores, Task::Qa, 0.5);
    let total: f32 = scores.iter().sum();
    let mut best = (Task::Qa, 0.0);
    for (task, score) in Task::ALL.into_iter().zip(scores) {
        if score > best.1 {
            best = (task, score);
        }
    }
    TaskGuess { task: best.0, confidence: if total > 0.0 { best.1 / total } else { 0.0 } }
}

fn add(scores: &mut [f32; 10], task: Task, weight: f32) {
    if let Some(score) = scores.get_mut(task as usize) {
        *score += weight;
    }
}

/// The beginning of a text, and its end where they do not overlap.
fn ends(text: &str) -> (&str, &str) {
    if text.len() <= 2 * WINDOW {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(WINDOW)], &text[text.ceil_char_boundary(text.len() - WINDOW)..])
}

/// A cue that opens the text is the wish itself, so it counts double; each counts at most twice.
fn count(text: &str, weight: f32, scores: &mut [f32; 10]) {
    let Some(automaton) = AUTOMATON.as_ref() else { return };
    let mut seen = [0_u8; 256];
    for hit in automaton.find_iter(text) {
        let i = hit.pattern().as_usize();
        let (Some((_, task, cue)), Some(times)) = (CUES.get(i), seen.get_mut(i)) else { continue };
        if *times >= 2 {
            continue;
        }
        *times += 1;
        let place = if hit.start() < 48 { 2.0 } else { 1.0 };
        add(scores, *task, weight * place * cue);
    }
}

/// Weight of what looks like code rather than prose.
fn code_like(text: &str) -> f32 {
    const SIGNS: [&str; 14] = [
        "```",
        "def ",
        "fn ",
        "class ",
        "import ",
        "#include",
        "public static",
        "const ",
        "=> ",
        "();",
        "return ",
        "SELECT ",
        "</",
        "){",
    ];
    let signs: usize = SIGNS.iter().map(|sign| text.matches(sign).take(3).count()).sum();
    #[allow(clippy::cast_precision_loss)]
    let weight = signs as f32;
    if text.contains("```") {
        weight.min(6.0) + 2.0
    } else if signs >= 2 {
        weight.min(6.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_taken_for_what_they_are() {
        let cases = [
            ("Write a story about a programmer who debugs Python code", Task::Writing),
            ("Write a function that summarizes text", Task::Coding),
            ("Summarize the differences between TCP and UDP", Task::Qa),
            ("Summarize this article in three sentences: The council met on Monday.", Task::Summarization),
            ("Translate to French: good morning, my friend", Task::Translation),
            ("Classify the sentiment of this review: I loved it", Task::Classification),
            ("Extract all e-mail addresses from the text below", Task::Extraction),
            ("What is the capital of Australia?", Task::Qa),
            ("Solve the equation 3x + 5 = 20", Task::Math),
            ("hello!", Task::Chat),
            ("Explain decorators in Python", Task::Coding),
            ("Übersetze ins Englische: Guten Tag", Task::Translation),
            ("总结以下文章", Task::Summarization),
            ("fix this:\n```python\ndef f(x):\n    return x\n```", Task::Coding),
        ];
        for (prompt, task) in cases {
            let guess = recognise(&TaskInput { last_user: prompt, ..TaskInput::default() });
            assert_eq!(guess.task, task, "{prompt}: {guess:?}");
            assert!((0.0..=1.0).contains(&guess.confidence));
        }
    }

    #[test]
    fn any_text_is_taken_at_any_length() {
        let long = "é日本 ".repeat(4_000);
        let guess = recognise(&TaskInput { last_user: &long, instructions: &long, ..TaskInput::default() });
        assert_eq!(guess.task, Task::Qa);
        assert!(CUES.len() <= 256);
    }
}
