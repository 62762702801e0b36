//! What a request needs of a model, and how hard it is.

use super::estimate::prompt_tokens;
use super::task::text;
use crate::error::ApiResult;
use std::borrow::Cow;
use tokenrouter_protocol::{Item, OutputValue, Part, Request, Role, TextFormat};
use tokenrouter_routing::{self as routing, Effort, Forecast, Needs, Predictor, Prompt, Task, TaskGuess, TaskInput};

/// Longer user turns before the last that are looked at.
const TURNS_BEFORE: usize = 3;
/// All user turns before the last that are looked at, the short ones too.
const MOST_TURNS_BEFORE: usize = 12;
/// What difficulty loses with every longer turn after it: work that was hard is so for a while.
const FADES: f32 = 0.05;
/// A short turn goes on with it, and takes little away.
const FADES_BY_SHORT: f32 = 0.01;
/// Bytes of those turns together that are looked at, each from its beginning.
const LOOKED_AT: usize = 4_096;
/// A turn that is no longer goes on with what was asked for before, where that was harder.
const SHORT: usize = 160;
/// Unless it is as surely of another task: `What is the capital of France?` goes on with no code. What is said of the answer
/// before (`Are you sure?`) is chat, and goes on.
const OTHER_MATTER: f32 = 0.95;

/// Of a request whose history is in front of it. A task that the caller told beats what was recognised, and stays,
/// whatever was asked for before.
pub(super) fn of(
    request: &Request,
    recognised: TaskGuess,
    told: Option<Task>,
    predictor: Option<&Predictor>,
) -> ApiResult<Needs> {
    let mut found = Found::default();
    for item in &request.input {
        match item {
            Item::Message(message) => found.look(&message.content),
            Item::FunctionCallOutput(output) => match &output.output {
                OutputValue::Parts(parts) => found.look(parts),
                OutputValue::Text(_) => {}
            },
            Item::FunctionCall(_) | Item::Reasoning(_) | Item::Reference(_) | Item::Other(_) => {}
        }
    }
    // Clients of Messages ask every model to think and to answer at length: a model that cannot do it does
    // what it can, and the caller is told.
    let wishes = tokenrouter_providers::is_in_messages_words(request);
    let input_tokens_estimate = prompt_tokens(request)? as u64;
    // Of a task that was told nothing says whether this turn goes on with another.
    let guess = told.map_or(recognised, |task| TaskGuess { task, confidence: 0.0, ..recognised });
    let (task, forecast) = forecast(request, guess, input_tokens_estimate, predictor);
    Ok(Needs {
        tools: !request.tools.is_empty(),
        images: found.images,
        files: found.files,
        json_schema: matches!(request.text.format, TextFormat::JsonSchema { .. }),
        reasoning: !wishes
            && request
                .reasoning
                .as_ref()
                .is_some_and(|r| r.effort.as_deref().is_some_and(|effort| effort != "none" && effort != "minimal")),
        input_tokens_estimate,
        max_output_tokens: request.max_output_tokens.filter(|_| !wishes),
        task: told.unwrap_or(task),
        forecast,
    })
}

#[derive(Default)]
struct Found {
    images: bool,
    files: bool,
}

impl Found {
    fn look(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Image { .. } => self.images = true,
                Part::File { .. } => self.files = true,
                Part::Text { .. } | Part::Refusal { .. } | Part::Other(_) => {}
            }
        }
    }
}

/// Of the last user turn; but a conversation whose turn before was harder has not become easy by `go on`, and what is
/// said so shortly is of the same task.
fn forecast(request: &Request, guess: TaskGuess, input_tokens: u64, predictor: Option<&Predictor>) -> (Task, Forecast) {
    let predicted = |turn: &str| predictor.map(|predictor| predictor.see(turn)).unwrap_or_default();
    let is_users = |item: &&Item| matches!(item, Item::Message(message) if message.role == Role::User);
    let mut newest_first = request.input.iter().rev().filter_map(user_text);
    let last = newest_first.next().unwrap_or_default();
    let prompt = Prompt {
        last_user: &last,
        turns: request.input.iter().filter(is_users).count(),
        has_tools: !request.tools.is_empty(),
        has_schema: !matches!(request.text.format, TextFormat::Text),
        effort: effort(request),
        input_tokens,
        trained: guess.trained,
        predicted: predicted(&last),
    };
    let mut of = (guess.task, routing::forecast(&prompt, guess.task));
    let mut left = LOOKED_AT;
    let is_short = last.len() <= SHORT;
    let mut only_short = is_short;
    let mut faded = if is_short { 0.0 } else { FADES };
    let mut longer = 0;
    let is_other_than = |task: Task| task != guess.task && guess.task != Task::Chat && guess.confidence >= OTHER_MATTER;
    for turn in newest_first.take(MOST_TURNS_BEFORE) {
        let beginning = &turn[..turn.floor_char_boundary(left)];
        left -= beginning.len();
        let TaskGuess { task, trained, .. } =
            routing::recognise(&TaskInput { last_user: beginning, ..TaskInput::default() });
        let goes_on = !is_other_than(task);
        // A short turn is like what it goes on with; what a longer one is like is said in it.
        if goes_on && only_short && of.1.predicted.weight <= 0.0 {
            of.1.predicted = predicted(beginning);
        }
        let prompt = Prompt { last_user: beginning, trained, predicted: of.1.predicted, ..prompt };
        let forecast = routing::forecast(&prompt, task);
        let difficulty = forecast.difficulty - faded;
        if difficulty > of.1.difficulty && goes_on {
            let (task, output_tokens) =
                if is_short { (task, forecast.output_tokens) } else { (of.0, of.1.output_tokens) };
            of = (task, Forecast { difficulty, output_tokens, ..forecast });
        }
        let was_short = turn.len() <= SHORT;
        faded += if was_short { FADES_BY_SHORT } else { FADES };
        longer += usize::from(!was_short);
        only_short &= was_short;
        if longer == TURNS_BEFORE || left == 0 {
            break;
        }
    }
    of
}

fn user_text(item: &Item) -> Option<Cow<'_, str>> {
    let Item::Message(message) = item else { return None };
    if message.role == Role::User { text(&message.content) } else { None }
}

fn effort(request: &Request) -> Effort {
    match request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref()) {
        Some("high" | "xhigh" | "max") => Effort::High,
        Some("none" | "minimal" | "low") => Effort::Low,
        _ => Effort::Usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn forecast_of(turns: &[&str]) -> (Task, Forecast) {
        let input: Vec<Value> = turns.iter().map(|turn| json!({"role": "user", "content": turn})).collect();
        let request = Request::parse(json!({"input": input})).unwrap();
        let guess = routing::recognise(&TaskInput { last_user: turns.last().unwrap(), ..TaskInput::default() });
        forecast(&request, guess, 1_000, None)
    }

    const HARD: &str = "Implement a lock-free multi-producer queue in Rust. It must be linearizable and must not leak memory. \
        Prove that no deadlock can occur, and analyse the complexity step by step.";

    #[test]
    fn what_goes_on_is_as_hard_as_what_it_goes_on_with() {
        let (task, alone) = forecast_of(&[HARD]);
        for follow_up in ["Yes, go on", "continue", "Are you sure? Check the second step.", "weiter"] {
            for turns in [&[HARD, follow_up][..], &[HARD, "Thanks.", follow_up]] {
                let (same, forecast) = forecast_of(turns);
                assert_eq!(same, task, "{turns:?}");
                assert!((alone.difficulty - forecast.difficulty).abs() < 0.03, "{turns:?}: {forecast:?}");
            }
        }
        assert!(forecast_of(&["Thanks.", HARD]).1.difficulty >= alone.difficulty);
    }

    #[test]
    fn what_is_surely_of_another_task_is_as_hard_as_it_is() {
        for other in ["Write a haiku about rain", "What is the capital of France?"] {
            let (alone, after) = (forecast_of(&[other]), forecast_of(&[HARD, other]));
            assert_eq!(alone.0, after.0, "{other}");
            assert!(after.1.difficulty < alone.1.difficulty + 0.05, "{other}: {alone:?} {after:?}");
        }
    }

    #[test]
    fn what_was_hard_fades_with_other_turns_and_is_over_in_the_end() {
        let letter = "Please write a friendly letter to my landlord, who wants to know when I am at home so that the heating can be \
            looked at, and thank him for the new door. I am at home on Friday.";
        let difficulties =
            [&[HARD, letter][..], &[HARD, letter, "Shorter"], &[HARD, letter, letter, letter, letter, "Thanks"]]
                .map(|turns| forecast_of(turns).1.difficulty);
        let (alone, easy) = (forecast_of(&[HARD]).1.difficulty, forecast_of(&[letter]).1.difficulty);
        assert!(alone > difficulties[0] && difficulties[0] > easy, "{alone} {difficulties:?} {easy}");
        assert!(difficulties[2] < easy + 0.1, "{alone} {difficulties:?} {easy}");
        // Of its own is what is said after it at length, or in more short turns than are looked at.
        let chat = ["Thanks!", "How are you?", "I am bored", "Still there?"].repeat(4);
        assert!(forecast_of(&[&[HARD][..], &chat].concat()).1.difficulty < 0.3);
        let difficulty = |turns: usize| forecast_of(&[&[HARD][..], &chat[..turns]].concat()).1.difficulty;
        assert!(difficulty(2) > difficulty(6) && difficulty(6) > difficulty(10));
    }

    #[test]
    fn what_goes_on_again_and_again_is_hard_still() {
        let (task, alone) = forecast_of(&[HARD]);
        for times in 1..=8 {
            let turns = [&[HARD][..], &["continue"].repeat(times)].concat();
            let (same, forecast) = forecast_of(&turns);
            assert_eq!(same, task, "{times}");
            let at_most = 0.01 * f32::from(u8::try_from(times).unwrap());
            assert!(alone.difficulty - forecast.difficulty <= at_most + 0.02, "{times}: {alone:?} {forecast:?}");
        }
    }

    #[test]
    fn a_message_of_several_parts_is_one() {
        let request =
            |content: Value| Request::parse(json!({"input": [{"role": "user", "content": content}]})).unwrap();
        let text = |text: &str| json!({"type": "input_text", "text": text});
        let guess = routing::recognise(&TaskInput { last_user: HARD, ..TaskInput::default() });
        let apart = forecast(&request(json!([text(HARD), text("Thanks.")])), guess, 100, None);
        assert!(apart.1.difficulty >= forecast_of(&[HARD]).1.difficulty - 0.01, "{apart:?}");
    }

    #[test]
    fn what_only_the_provider_knows_counts_too_and_pictures_as_pictures() {
        let output = |output: Value| {
            let item = json!({"type": "custom_tool_call_output", "call_id": "c", "output": output});
            prompt_tokens(&Request::parse(json!({"input": [item]})).unwrap()).unwrap()
        };
        assert!(output(json!("x".repeat(400_000))) >= 100_000);
        let picture = format!("data:image/png;base64,{}", "A".repeat(400_000));
        assert!(output(json!([{"type": "input_image", "image_url": picture}])) < 1_000);
        let tool = json!({"type": "function", "name": "f", "description": "d".repeat(40_000)});
        assert!(prompt_tokens(&Request::parse(json!({"input": "x", "tools": [tool]})).unwrap()).unwrap() > 10_000);
    }
}
