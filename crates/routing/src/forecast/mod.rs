//! What to expect of a prompt before anybody answers it: how hard it is, and how long the answer will be.
//!
//! From cheap signs in the request alone: what kind of task it is, how long it is, what it asks for. It reads
//! the beginning and the end of the last user turn, so its time is bounded whatever the prompt's length.

mod cues;
mod length;
mod signs;

pub use signs::{Effort, Prompt};

use crate::{Predicted, Task};
use signs::Signs;

/// What a prompt is expected to ask of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// 0 to 1, on the scale of a model's ability: a model of this ability answers well half of the time.
    pub difficulty: f32,
    /// What it would be by the signs alone.
    pub difficulty_prior: f32,
    /// What of that the words say that are looked for (`cues.rs`).
    pub difficulty_words: f32,
    /// 0 to 1: how much what was learned counted.
    pub difficulty_weight: f32,
    /// What the operator's own outcomes taught of it; nothing without a predictor.
    pub predicted: Predicted,
    /// Of the answer, if the caller sets no limit.
    pub output_tokens: u64,
}

/// How far signs may move a prompt from what is usual for its task.
const MOST: f32 = 0.4;

/// The forecast for a prompt of this task. Signs move the difficulty by what `cues.rs` and `signs.rs` say, by 0.4 in
/// all at most.
#[must_use]
pub fn forecast(prompt: &Prompt<'_>, task: Task) -> Forecast {
    let signs = Signs::of(prompt);
    let difficulty_prior = within(usual(task) + signs.harder().clamp(-MOST, MOST));
    let difficulty_words = signs.said.harder.clamp(-MOST, MOST);
    let difficulty = within(difficulty_prior + prompt.trained.harder(difficulty_prior - difficulty_words));
    let difficulty_weight = prompt.trained.weight;
    Forecast {
        difficulty,
        difficulty_prior,
        difficulty_words,
        difficulty_weight,
        predicted: prompt.predicted,
        output_tokens: length::expected(task, difficulty, &signs),
    }
}

fn within(difficulty: f32) -> f32 {
    difficulty.clamp(0.02, 0.98)
}

/// The difficulty of a task's middling prompt, on the scale on which gpt-4o's ability is 0.5. A choice: it
/// answers most of chat and classification well, and half of what is called reasoning.
fn usual(task: Task) -> f32 {
    match task {
        Task::Chat => 0.15,
        Task::Classification => 0.22,
        Task::Extraction | Task::Translation | Task::Summarization | Task::Qa => 0.30,
        Task::Writing => 0.36,
        Task::Coding | Task::Math => 0.46,
        Task::Reasoning => 0.50,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TaskInput, recognise};

    fn of(text: &str, task: Task) -> Forecast {
        let trained = recognise(&TaskInput { last_user: text, ..TaskInput::default() }).trained;
        forecast(&Prompt { last_user: text, trained, ..Prompt::default() }, task)
    }

    /// From easy to hard, each prompt at its task.
    const RISING: [(Task, [&str; 3]); 6] = [
        (
            Task::Math,
            [
                "What is 2 + 2?",
                "A train leaves at 9:40 and travels 180 km at 72 km/h. When does it arrive, and how long did it take?",
                "Prove rigorously that $\\sum_{n=1}^{\\infty} \\frac{1}{n^s}$ has an analytic continuation, and derive its \
                 functional equation. You must not assume the Poisson summation formula.",
            ],
        ),
        (
            Task::Coding,
            [
                "Write hello world in Python",
                "Write a function that parses a CSV line with quoted fields, and unit tests for it.",
                "Implement a lock-free multi-producer queue in Rust. It must be linearizable, must not leak memory, and \
                 should have bounded latency. Prove that no race condition or deadlock can occur, and analyse the \
                 complexity. Design it for 64 cores at least.",
            ],
        ),
        (
            Task::Chat,
            [
                "hi",
                "I had a strange day at work and would like to tell somebody about it, if you have the time.",
                "Let us \
             design a distributed system together: at least three regions, exactly once, without a leader. Prove it.",
            ],
        ),
        (
            Task::Qa,
            [
                "Who wrote Faust?",
                "Why does bread rise more slowly in a cold kitchen, and what can I do about it?",
                "Compare \
             and critically evaluate three interpretations of quantum mechanics. Which experiments could distinguish \
             them? What would each predict? Derive the predictions step by step.",
            ],
        ),
        (
            Task::Writing,
            [
                "Write a short birthday wish",
                "Write a letter to my landlord about the broken heating in my flat",
                "Write a \
             detailed sonnet cycle: exactly 14 lines each, without the letter e, every line must rhyme, at least five \
             poems, and it should be an allegory of thermodynamics. Do not use any adjective.",
            ],
        ),
        (
            Task::Reasoning,
            [
                "Is seven odd?",
                "Tom is taller than Ann and Ann is taller than Kim, who is the shortest of the three friends?",
                "Five people of different ages, jobs and pets live in a row. Clues: 1. The baker is left of the pilot. \
             2. The cat's owner is older than Ann. 3. Nobody next to Kim has a dog. Only one arrangement is possible. \
             Deduce it step by step and prove that it is the only one.",
            ],
        ),
    ];

    #[test]
    fn what_is_harder_is_forecast_as_harder() {
        for (task, prompts) in RISING {
            let by_signs = prompts.map(|prompt| of(prompt, task).difficulty_prior);
            assert!(by_signs.is_sorted(), "{task:?}: {by_signs:?}");
            // Of what is easy, what was learned may take one for as easy as the other.
            let [easy, middle, hard] = prompts.map(|prompt| of(prompt, task).difficulty);
            assert!(middle > easy - 0.1 && hard > middle && hard - easy > 0.2, "{task:?}: {easy} {middle} {hard}");
        }
    }

    #[test]
    fn what_was_learned_counts_for_what_is_like_it() {
        let told = |text: &str, task| {
            let Forecast { difficulty, difficulty_prior, difficulty_weight, .. } = of(text, task);
            (difficulty - difficulty_prior, difficulty_weight)
        };
        let (harder, weight) = told(
            "Tom has 12 marbles. He gives a third of them to Ann and buys 7 more. How many marbles does Tom have now?",
            Task::Math,
        );
        assert!(harder < -0.1 && weight > 0.7, "{harder} {weight}");
        for text in ["", "hello", "thanks!", "Übersetze das bitte ins Englische", "Make the button blue and push it"] {
            let (harder, weight) = told(text, Task::Chat);
            assert!(harder.abs() < 0.06 && weight < 0.4, "{text}: {harder} {weight}");
        }
    }

    #[test]
    fn what_is_asked_for_at_length_is_forecast_as_longer() {
        for (shorter, longer, task) in [
            ("Answer in one word: is it true?", "Explain in detail whether it is true", Task::Qa),
            ("Write a poem in 50 words", "Write a story of 2,000 words", Task::Writing),
            ("Summarize in one sentence: x", "Summarize in five paragraphs: x", Task::Summarization),
            ("Translate: good day", &format!("Translate: {}", "good day, my friend. ".repeat(50)), Task::Translation),
            ("Write hello world", "Implement a complete web server with tests", Task::Coding),
        ] {
            let (a, b) = (of(shorter, task).output_tokens, of(longer, task).output_tokens);
            assert!(a * 2 <= b, "{task:?}: {a} and {b}");
        }
        assert_eq!(of("Write a poem in 50 words", Task::Writing).output_tokens, 70);
    }

    #[test]
    fn any_prompt_has_a_forecast() {
        let long = "prove é日本 must, at least? ".repeat(20_000);
        for task in Task::ALL {
            for text in ["", " ", "999999999999999999999999 words", "0 words", &long] {
                let got = forecast(&Prompt { last_user: text, turns: 400, ..Prompt::default() }, task);
                assert!((0.0..=1.0).contains(&got.difficulty), "{got:?}");
                assert!((1..=16_000).contains(&got.output_tokens), "{got:?}");
            }
        }
    }
}
