use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

fn guess(prompt: &str) -> TaskGuess {
    recognise(&TaskInput { last_user: prompt, ..TaskInput::default() })
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn of_row(row: &Value) -> TaskInput<'_> {
    TaskInput { last_user: text(row, "prompt"), instructions: text(row, "instructions"), ..TaskInput::default() }
}

/// The prompts of a file in `data/tasks`.
fn prompts(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/tasks").join(name);
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

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
        ("Übersetze ins Englische: Guten Tag", Task::Translation),
        ("总结以下文章", Task::Summarization),
        ("Write a poem in Spanish about the sea", Task::Writing),
        ("In English please: explain photosynthesis", Task::Qa),
        ("fix this:\n```python\ndef f(x):\n    return x\n```", Task::Coding),
    ];
    for (prompt, task) in cases {
        assert_eq!(guess(prompt).task, task, "{prompt}: {:?}", guess(prompt));
    }
}

/// How many of the prompts are taken for what they are, and for how many a rule on their task would fire wrongly, at
/// the default confidence. Both as shares.
fn measure<'a>(rows: impl Iterator<Item = &'a Value>) -> (f64, f64) {
    let (mut all, mut right, mut wrongly) = (0, 0, 0);
    for row in rows {
        let guess = recognise(&of_row(row));
        let is_right = guess.task.as_str() == text(row, "task");
        all += 1;
        right += i32::from(is_right);
        wrongly += i32::from(!is_right && guess.confidence >= 0.8);
    }
    (f64::from(right) / f64::from(all), f64::from(wrongly) / f64::from(all))
}

/// What the recogniser does on prompts that it was not trained on; `scripts/train_tasks.py --report` tells more.
#[test]
fn prompts_never_seen_are_taken_for_what_they_are() {
    // By the second set nothing was chosen; it was measured after each training.
    for (name, least, least_foreign, least_plain) in
        [("test.jsonl", 0.82, 0.80, 0.84), ("fresh.jsonl", 0.88, 0.87, 0.89)]
    {
        let rows = prompts(name);
        assert!(rows.len() >= 500);
        let (right, wrongly) = measure(rows.iter());
        assert!(right >= least && wrongly < 0.05, "{name}: {right}, {wrongly}");
        let (right, wrongly) = measure(rows.iter().filter(|row| text(row, "lang") != "en"));
        assert!(right >= least_foreign && wrongly < 0.05, "{name}: {right}, {wrongly}");
        let (right, _) = measure(rows.iter().filter(|row| row.get("trap").is_none()));
        assert!(right >= least_plain, "{name}: {right}");
    }
}

#[test]
fn no_prompt_that_is_kept_apart_is_trained_on() {
    let normal = |row: &Value| {
        let letters = text(row, "prompt").chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).chain(text(row, "instructions").chars()).collect::<String>()
    };
    let trained: std::collections::HashSet<String> = ["prompts.jsonl", "short.jsonl", "wishes.jsonl"]
        .into_iter()
        .flat_map(prompts)
        .map(|row| normal(&row))
        .collect();
    for row in ["test.jsonl", "fresh.jsonl"].into_iter().flat_map(prompts) {
        assert!(!trained.contains(&normal(&row)), "{row}");
        assert!(Task::ALL.iter().any(|task| task.as_str() == text(&row, "task")), "{row}");
    }
}

/// The trainer reckons in floating point from what `features` gives it, the gateway in bytes: they must agree.
#[test]
fn chances_are_those_that_the_trainer_reckoned() {
    let golden: Vec<Value> = serde_json::from_str(include_str!("../../data/tasks_golden.json")).unwrap();
    assert!(golden.len() > 60);
    for row in &golden {
        if is_silent(text(row, "prompt")) && is_silent(text(row, "instructions")) {
            continue;
        }
        let (chances, _) = chances(&of_row(row));
        for (chance, reckoned) in chances.iter().zip(row["chances"].as_array().unwrap()) {
            let apart = (f64::from(*chance) - reckoned.as_f64().unwrap()).abs();
            assert!(apart < 0.001, "{row}: {chances:?}");
        }
    }
}

#[test]
fn what_asks_for_nothing_is_not_sure() {
    for prompt in ["", " \n", "\u{0}", "asdf qwer zxcv uiop", "ᚠᚢᚦᚨᚱᚲ ᚷᚹ", "}{)(*&^%$#@!", "0101101 88 1 93 4021"]
    {
        let guess = guess(prompt);
        assert!(guess.confidence < 0.8, "{prompt:?}: {guess:?}");
    }
    assert_eq!(guess("").task, Task::Qa);
}

/// Numbers as if by lot, always the same.
struct Lot(u64);

impl Lot {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn letters(&mut self, of: &str, count: usize) -> String {
        (0..count).map(|_| char::from(of.as_bytes()[usize::try_from(self.below(of.len() as u64)).unwrap()])).collect()
    }
}

const HEX: &str = "0123456789abcdef";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn token(lot: &mut Lot) -> String {
    format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}", lot.letters(BASE64, 240), lot.letters(BASE64, 43))
}

fn identifiers(lot: &mut Lot) -> String {
    let mut one = || [8, 4, 4, 4, 12].map(|count| lot.letters(HEX, count)).join("-");
    (0..30).map(|_| one()).collect::<Vec<_>>().join("\n")
}

fn table(lot: &mut Lot) -> String {
    let rows = (0..30).map(|id| format!("\n{id},{},{}", 1 + lot.below(9), 100 + lot.below(900)));
    format!("id,qty,price{}", rows.collect::<String>())
}

#[test]
fn data_that_nobody_reads_is_no_task() {
    let lot = &mut Lot(3);
    let mut cases = vec![
        lot.letters(BASE64, 1_368),
        lot.letters(HEX, 1_000),
        lot.letters(HEX, 40),
        token(lot),
        identifiers(lot),
        table(lot),
        (0..50).map(|_| format!("{},{},{}\n", lot.below(1_000), lot.below(1_000), lot.below(1_000))).collect(),
        format!("https://example.com/{}", "a/b-c/".repeat(40)),
    ];
    for times in [50, 100, 200, 1_000, 5_000] {
        cases.extend(["a", "x", "я", "日", "0", "-"].map(|letter| letter.repeat(times)));
    }
    for data in cases {
        let guess = guess(&data);
        let begins = &data[..data.floor_char_boundary(40)];
        assert!(guess.confidence < 0.8 && guess.trained.weight < 0.5, "{begins}, {} bytes: {guess:?}", data.len());
    }
}

#[test]
fn what_is_wished_of_data_is_the_task() {
    let lot = &mut Lot(4);
    let (table, token) = (table(lot), token(lot));
    for (wish, task) in [
        ("Extract the ids where qty > 5", Task::Extraction),
        ("Translate the header to French", Task::Translation),
        ("Summarize this data in one sentence for my boss.", Task::Summarization),
    ] {
        for prompt in [format!("{wish}\n\n{table}"), format!("{table}\n\n{wish}")] {
            let guess = guess(&prompt);
            assert_eq!(guess.task, task, "{prompt}: {guess:?}");
            assert!(guess.trained.weight < 0.5, "{prompt}: {guess:?}");
        }
    }
    for wish in ["Turn this into a markdown table:", "Which day looks wrong?"] {
        let guess = guess(&format!("{wish}\n\n{table}"));
        assert!(guess.trained.weight < 0.6, "{wish}: {guess:?}");
    }
    for wish in [
        "Is this a valid JWT?",
        "What is this string?",
        "Our customer got this token and cannot log in. Write her a kind reply.",
    ] {
        let guess = guess(&format!("{wish}\n\n{token}"));
        assert!(guess.trained.weight < 0.6, "{wish}: {guess:?}");
    }
}

#[test]
fn a_short_turn_goes_on_with_the_one_before() {
    let before = "Translate to Spanish: where is the station?";
    let alone = guess("and this: see you tomorrow");
    let after = recognise(&TaskInput { last_user: "and this: see you tomorrow", before, ..TaskInput::default() });
    assert_eq!(after.task, Task::Translation, "{after:?}, alone {alone:?}");
    let thanks = recognise(&TaskInput { last_user: "thank you!", before, ..TaskInput::default() });
    assert_eq!(thanks.task, Task::Chat, "{thanks:?}");
}

#[test]
fn instructions_tell_what_is_done_with_the_users_text() {
    let instructions = "You are a translation engine. Translate the user's text into German. Output nothing else.";
    let last_user = "The train leaves at nine from platform two.";
    assert_eq!(recognise(&TaskInput { last_user, instructions, ..TaskInput::default() }).task, Task::Translation);
}

#[test]
fn a_schema_speaks_for_extraction() {
    let input = TaskInput { last_user: "Ann, 34, from Leeds; Bo, 28, from York", ..TaskInput::default() };
    let with = chances(&TaskInput { has_schema: true, ..input }).0[Task::Extraction as usize];
    assert!(with > chances(&input).0[Task::Extraction as usize]);
}

#[test]
fn the_middle_of_a_long_prompt_is_not_read() {
    let (head, tail) = ("word ".repeat(500), " and so on".repeat(200));
    let one = guess(&format!("{head}{}{tail}", "x ".repeat(500)));
    let other = guess(&format!("{head}{}{tail}", "1 + 1 = ".repeat(500)));
    // Its length is seen, by powers of two.
    assert_eq!(one.task, other.task);
    let long = "é日本 ".repeat(200_000);
    let input = TaskInput { last_user: &long, instructions: &long, before: &long, ..TaskInput::default() };
    assert!((0.0..=1.0).contains(&recognise(&input).confidence));
}

proptest! {
    #[test]
    fn any_text_has_a_task(last_user: String, instructions: String, before: String, has_schema: bool, again in 1..400_usize) {
        let last_user = last_user.repeat(again);
        let input = TaskInput {
            last_user: &last_user, instructions: &instructions, before: &before, has_schema, ..TaskInput::default()
        };
        let guess = recognise(&input);
        prop_assert!((0.09..=1.0001).contains(&guess.confidence), "{:?}", guess);
        prop_assert_eq!(guess, recognise(&input));
    }
}
