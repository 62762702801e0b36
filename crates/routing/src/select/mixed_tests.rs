//! What the modes make of a mixed workload: ten tasks from easy to hard, and every model of the catalog.

use super::*;
use crate::{Catalog, Prompt, TaskInput, forecast, recognise};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// By task, from easy to hard, with the length of the prompt in tokens.
const WORKLOAD: [(Task, [(&str, u64); 4]); 10] = [
    (
        Task::Coding,
        [
            ("Write hello world in Go", 8),
            ("Write a function that removes duplicates from a list and keeps the order", 20),
            (
                "Refactor this module into classes, with unit tests. Each class must have one task, and the public names \
              should stay.",
                2_500,
            ),
            (
                "Implement a lock-free concurrent hash map in C++. It must not deadlock, must resize without a pause and \
              should be linearizable. Prove that there is no race condition, and analyse its complexity.",
                60,
            ),
        ],
    ),
    (
        Task::Math,
        [
            ("What is 17 * 23?", 8),
            ("Solve 3x + 5 = 20 and check the solution", 12),
            (
                "A tank is filled by two pipes in 6 and 9 hours and emptied by a third in 12. All three are open for two \
              hours, then the third is closed. How long until it is full? Show the work step by step.",
                60,
            ),
            (
                "Prove that every finite integral domain is a field, and derive from it that $\\mathbb{Z}/p$ is one. Give a \
              counterexample for infinite ones, with a rigorous proof.",
                60,
            ),
        ],
    ),
    (
        Task::Reasoning,
        [
            ("Is a whale a fish?", 6),
            ("If all bloops are razzies and some razzies are lazzies, are some bloops lazzies?", 22),
            (
                "Compare the trade-offs of a monolith and of services for a team of six, and evaluate them critically.",
                30,
            ),
            (
                "A puzzle. Five houses stand in a row. Clues: 1. The Dane lives in the first. 2. The cat's owner is next to \
              the red house. 3. Nobody but the pilot has a dog. Deduce step by step who owns the fish, and prove that \
              there is exactly one solution.",
                90,
            ),
        ],
    ),
    (
        Task::Writing,
        [
            ("Write a short birthday wish", 8),
            ("Write a friendly mail that moves our meeting to Thursday", 15),
            ("Write a detailed article about the history of the printing press for a school paper", 20),
            (
                "Write an allegory in the form of a sonnet: exactly 14 lines, every line must rhyme, without the letter e, \
              and each quatrain should turn on a different law of thermodynamics. Do not name any of them.",
                60,
            ),
        ],
    ),
    (
        Task::Summarization,
        [
            ("TL;DR this", 150),
            ("Summarize this article in three sentences", 1_200),
            ("Summarize the minutes by topic: each decision, who must act, and what should happen by when", 6_000),
            (
                "Summarize both legal opinions, compare them critically and evaluate which one is stronger. Each claim must \
              be traced to its page; do not add anything.",
                30_000,
            ),
        ],
    ),
    (
        Task::Translation,
        [
            ("Translate to French: good morning", 10),
            ("Translate this mail into German, please", 300),
            ("Translate the manual into Japanese; every unit must be metric and each warning should stay", 3_000),
            (
                "Translate this contract; legal terms must be exact, do not paraphrase, and every clause should keep its \
              number",
                12_000,
            ),
        ],
    ),
    (
        Task::Extraction,
        [
            ("Extract the e-mail address", 60),
            ("List all names and dates in the text below", 500),
            ("Extract every invoice line as JSON: each must have a number, an amount and a currency", 3_000),
            (
                "Extract all obligations of each party, at most one a line, except those that lapse; analyse conditions and \
              do not guess",
                15_000,
            ),
        ],
    ),
    (
        Task::Classification,
        [
            ("Is this review positive? yes or no", 60),
            ("Classify this ticket as bug, question or wish", 150),
            ("Classify each of these comments by topic and tone, at most two labels each", 2_000),
            (
                "Diagnose which of the ICD-10 codes applies, evaluate each alternative, and do so only from what is said",
                4_000,
            ),
        ],
    ),
    (
        Task::Qa,
        [
            ("What is the capital of Peru?", 8),
            ("Why is the sky blue?", 6),
            ("What happened in the Congress of Vienna, and what did it change for Poland?", 20),
            (
                "Compare three interpretations of quantum mechanics critically. Which experiments distinguish them? What \
              does each predict? Derive the predictions.",
                40,
            ),
        ],
    ),
    (
        Task::Chat,
        [
            ("hi", 1),
            ("thanks, that was helpful!", 6),
            ("I am nervous about my exam tomorrow, can we talk about it for a while?", 18),
            (
                "Let us design an architecture for a distributed ledger together; argue with me about every trade-off",
                25,
            ),
        ],
    ),
];

fn catalog() -> Vec<Candidate> {
    let models = Catalog::builtin().models().iter();
    models
        .map(|m| Candidate { provider: m.provider.as_str().into(), model: Arc::new(m.clone()), ready: true })
        .collect()
}

fn request(mode: Mode, task: Task, text: &str, input_tokens: u64) -> Request {
    let trained = recognise(&TaskInput { last_user: text, ..TaskInput::default() }).trained;
    let prompt = Prompt { last_user: text, input_tokens, turns: 1, trained, ..Prompt::default() };
    Request {
        provider: None,
        model: None,
        mode,
        needs: Needs {
            tools: false,
            images: false,
            files: false,
            json_schema: false,
            reasoning: false,
            input_tokens_estimate: input_tokens,
            max_output_tokens: None,
            task,
            forecast: forecast(&prompt, task),
        },
        provider_by_rule: false,
        model_by_rule: false,
        allowed: Arc::default(),
        day: "2026-11-25".to_owned(),
        last_turn: None,
        learned: Arc::default(),
    }
}

fn targets(pool: &Pool, request: &Request) -> Vec<Target> {
    select(pool, request, &LatencyTracker::default()).unwrap().targets
}

/// The first choice of a mode for each prompt of the workload.
fn choices(pool: &Pool, mode: Mode) -> Vec<Target> {
    let prompts = WORKLOAD.iter().flat_map(|(task, prompts)| prompts.iter().map(move |prompt| (*task, prompt)));
    prompts.map(|(task, (text, tokens))| targets(pool, &request(mode, task, text, *tokens)).remove(0)).collect()
}

#[allow(clippy::cast_precision_loss)]
fn mean(choices: &[Target], of: impl Fn(&Target) -> f32) -> f32 {
    choices.iter().map(of).sum::<f32>() / choices.len() as f32
}

#[allow(clippy::cast_precision_loss)]
fn cost(target: &Target) -> f32 {
    target.estimated_cost_nano_usd.unwrap() as f32
}

#[test]
fn no_mode_collapses_to_one_model() {
    let pool = Pool::new(catalog());
    for mode in Mode::ALL {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for target in choices(&pool, mode) {
            *times.entry(target.model.id.clone()).or_default() += 1;
        }
        let most = times.values().max().copied().unwrap();
        assert!(times.len() >= 4, "{mode:?}: {times:?}");
        assert!(most <= 27, "{mode:?} takes one model for {most} of 40 prompts: {times:?}");
    }
}

#[test]
fn the_modes_differ_each_in_what_it_is_for() {
    let pool = Pool::new(catalog());
    let by_mode = Mode::ALL.map(|mode| (mode, choices(&pool, mode)));
    for (i, (a, of_a)) in by_mode.iter().enumerate() {
        for (b, of_b) in &by_mode[i + 1..] {
            let differ = of_a.iter().zip(of_b).filter(|(x, y)| x.model.id != y.model.id).count();
            assert!(differ >= 12, "{a:?} and {b:?} differ in {differ} of 40 prompts");
        }
    }
    let [(_, balance), (_, cheap), (_, good), (_, quick)] = &by_mode;
    assert!(mean(cheap, cost) < mean(balance, cost) && mean(balance, cost) < mean(good, cost));
    let quality = |target: &Target| target.scores.quality;
    assert!(mean(good, quality) > mean(balance, quality) && mean(balance, quality) > mean(cheap, quality));
    for other in [balance, cheap, good] {
        assert!(mean(quick, |target| target.scores.latency) > mean(other, |target| target.scores.latency));
    }
    for other in [cheap, quick] {
        assert!(other.iter().all(|target| target.scores.quality >= 0.5), "what is cheap or quick is still good enough");
    }
}

#[test]
fn a_harder_prompt_goes_to_an_abler_model() {
    let pool = Pool::new(catalog());
    for mode in Mode::ALL {
        let mut abler = 0;
        for (task, prompts) in WORKLOAD {
            let ability = |(text, tokens)| {
                let target = targets(&pool, &request(mode, task, text, tokens)).remove(0);
                target.model.quality_for(task)
            };
            let (easiest, hardest) = (ability(prompts[0]), ability(prompts[3]));
            assert!(easiest <= hardest, "{mode:?}, {task:?}: {easiest} and {hardest}");
            abler += usize::from(easiest < hardest);
        }
        assert!(abler >= 6, "{mode:?}: in {abler} of 10 tasks");
    }
}

#[test]
fn of_a_tie_the_cheaper_wins() {
    let model = |id: &str, pico_usd| ModelInfo {
        price: Some(crate::Price::flat(pico_usd, pico_usd)),
        ..ModelInfo::custom("p", id)
    };
    // A thousandth dearer, and first by name.
    let pool = [model("a", 1_001_000), model("b", 1_000_000)];
    let pool = pool.map(|m| Candidate { provider: "p".into(), model: Arc::new(m), ready: true });
    let order = targets(&Pool::new(pool.to_vec()), &request(Mode::Balance, Task::Chat, "hi", 1_000));
    assert_eq!(order.iter().map(|t| t.model.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn what_is_no_candidate_is_told_with_its_reason() {
    let mut pool = catalog();
    for candidate in pool.iter_mut().filter(|c| *c.provider == *"groq") {
        candidate.ready = false;
    }
    let all = pool.len();
    let mut request = request(Mode::Balance, Task::Qa, "What is this?", 200_000);
    request.needs.images = true;
    request.allowed =
        Arc::new(AllowedModels::new(&["openai/*".to_owned(), "groq/*".to_owned(), "mistral/*".to_owned()]));
    let decision = select(&Pool::new(pool), &request, &LatencyTracker::default()).unwrap();
    assert_eq!(decision.targets.len() + decision.filtered.len(), all);
    let of = |provider: &str, id: &str| {
        let found = decision.filtered.iter().find(|f| *f.provider == *provider && f.model.id == id);
        found.map(|filtered| filtered.filter)
    };
    assert_eq!(of("groq", "openai/gpt-oss-20b"), Some(Filter::NoKey));
    assert_eq!(of("anthropic", "claude-opus-5-5"), Some(Filter::NotAllowed));
    assert_eq!(of("openai", "o4-mini"), Some(Filter::Ended));
    assert_eq!(of("openai", "gpt-4o"), Some(Filter::Context));
    assert_eq!(of("openai", "gpt-5.5"), None);
}

#[test]
fn what_a_workspace_learns_moves_its_choice() {
    let pool = Pool::new(catalog());
    let mut request = request(Mode::Balance, Task::Coding, "Write a function that merges two lists", 20);
    let first = targets(&pool, &request).remove(0);
    let mut learned = Learned::default();
    learned.hear(&first.provider, &first.model.id, Task::Coding, &Said { count: 200, above_forecast: -160.0 });
    for _ in 0..50 {
        learned.observe(&first.provider, &first.model.id, true);
    }
    request.learned = Arc::new(learned);
    let then = targets(&pool, &request);
    assert_ne!(then.first().map(|target| &target.model.id), Some(&first.model.id));
    let moved = then.iter().find(|t| t.model.id == first.model.id && t.provider == first.provider).unwrap();
    assert!((moved.ability - first.ability + 0.2).abs() < 0.01);
}

proptest! {
    #[test]
    fn adding_a_model_never_changes_the_order_of_the_others(
        among in prop::collection::btree_set(0_usize..81, 2..20),
        added in 0_usize..81,
        mode in prop::sample::select(Mode::ALL.to_vec()),
        task in prop::sample::select(Task::ALL.to_vec()),
        difficulty in 0.0_f32..1.0,
        tokens in 1_u64..50_000,
    ) {
        let all = catalog();
        let pool = |which: &BTreeSet<usize>| Pool::new(which.iter().filter_map(|i| all.get(*i).cloned()).collect());
        let mut request = request(mode, task, "", tokens);
        request.needs.forecast.difficulty = difficulty;
        let order = |which: &BTreeSet<usize>, but: Option<&Candidate>| -> Option<Vec<(Arc<str>, String)>> {
            let decision = select(&pool(which), &request, &LatencyTracker::default()).ok()?;
            let names = decision.targets.into_iter().map(|target| (target.provider, target.model.id.clone()));
            Some(names.filter(|(p, id)| but.is_none_or(|c| *c.provider != **p || c.model.id != *id)).collect())
        };
        let mut others = among;
        others.remove(&added);
        let mut with = others.clone();
        with.insert(added);
        let Some(before) = order(&others, None) else { return Ok(()) };
        prop_assert_eq!(Some(before), order(&with, all.get(added)));
    }
}
