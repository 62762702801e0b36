//! What the decision costs, from the prompt to the order of 50 candidates, with and without a predictor, beside a loop that
//! only weighs three numbers for each of them and takes the best. The prompts are those of data/tasks, one after the other, so
//! that each has other words.
//!
//! `cargo run --release -p tokenrouter-routing --example decision_bench -- [ROUNDS]`; it fails where the 99th of 100
//! decisions over a prompt of 4 KB takes 100 µs or longer without a predictor.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_routing::{
    Candidate, Catalog, LatencyTracker, Learned, LearnedModel, MOST_GROUPS, Mode, Needs, Pool, Predictor,
    PredictorWeights, Prompt, Request, SKILLS, TaskGuess, TaskInput, feature_rows, forecast, near_rows, recognise,
    select,
};

const CANDIDATES: usize = 50;
const BAR: Duration = Duration::from_micros(100);
/// So many texts of each length take turns.
const TEXTS: usize = 64;

fn texts(bytes: usize) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/tasks/prompts.jsonl");
    let rows = std::fs::read_to_string(file)?;
    let mut all = String::new();
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        all.push_str(row["prompt"].as_str().unwrap_or_default());
        all.push(' ');
    }
    let step = (all.len() - bytes - 8) / TEXTS;
    let text = |at: usize| {
        let from = all.ceil_char_boundary(at * step);
        all[from..all.floor_char_boundary(from + bytes)].to_owned()
    };
    Ok((0..TEXTS).map(text).collect())
}

/// One that knows all of these models, whatever it says of them.
fn predictor(candidates: &mut [Candidate]) -> Predictor {
    let mut seed = 1_u32;
    let mut number = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f32::from(u16::try_from(seed >> 16).unwrap_or(0)) / 65_536.0) - 0.5
    };
    let mut models = Vec::new();
    for candidate in candidates {
        let skills = std::array::from_fn(|_| number());
        let learned = LearnedModel { model: candidate.model.id.clone(), ability: 0.5, abilities: [].into(), skills };
        let mut model = (*candidate.model).clone();
        model.learn(&learned);
        candidate.model = Arc::new(model);
        models.push(learned);
    }
    Predictor::of(PredictorWeights {
        prompts: 1_000,
        models,
        like: vec![1.0; feature_rows()],
        like_all: 0.5,
        ease: (0..feature_rows()).map(|_| number()).collect(),
        skills: (0..feature_rows()).map(|_| [0.0; SKILLS].map(|_| number())).collect(),
        near_rows: vec![[1.0; 1 + MOST_GROUPS]; near_rows()],
        near: [0.2, 0.4],
    })
}

/// Of 97 models some 80 are current; these are the first that can take the request.
fn pool() -> Vec<Candidate> {
    let models = Catalog::builtin().models().iter().filter(|model| model.deprecated_on.is_none());
    let candidate = |model: &tokenrouter_routing::ModelInfo| Candidate {
        provider: model.provider.as_str().into(),
        model: Arc::new(model.clone()),
        ready: true,
    };
    models.take(CANDIDATES).map(candidate).collect()
}

/// As the gateway does it, from the text to the order.
fn decide(
    pool: &Pool,
    predictor: Option<&Predictor>,
    text: &str,
    latency: &LatencyTracker,
    learned: &Arc<Learned>,
) -> usize {
    let TaskGuess { task, trained, .. } = recognise(&TaskInput { last_user: text, ..TaskInput::default() });
    let input_tokens = text.len() as u64 / 4;
    let predicted = predictor.map(|predictor| predictor.see(text)).unwrap_or_default();
    let prompt = Prompt { last_user: text, turns: 1, input_tokens, trained, predicted, ..Prompt::default() };
    let request = Request {
        provider: None,
        model: None,
        mode: Mode::Balance,
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
        learned: Arc::clone(learned),
    };
    select(pool, &request, latency).map_or(0, |decision| decision.targets.len())
}

/// What any router does at least.
fn simple_loop(numbers: &[[f32; 3]]) -> usize {
    let mut best = (0, f32::MIN);
    for (place, [cost, quality, latency]) in numbers.iter().enumerate() {
        let utility = 0.4 * cost + 0.4 * quality + 0.2 * latency;
        if utility > best.1 {
            best = (place, utility);
        }
    }
    best.0
}

/// How often the system has taken the processor away from this thread; where it does not tell, never.
fn interruptions() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:")?.trim().parse().ok())
}

/// The median, and the 99th of 100. What was interrupted is not counted: it measures what else the machine does.
fn times(rounds: usize, mut work: impl FnMut(usize)) -> (Duration, Duration) {
    let mut took = Vec::with_capacity(rounds);
    while took.len() < rounds {
        let before = interruptions();
        let began = Instant::now();
        work(took.len());
        let time = began.elapsed();
        if interruptions() == before {
            took.push(time);
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(20_000);
    let mut candidates = pool();
    let numbers: Vec<[f32; 3]> = candidates.iter().map(|c| [c.model.quality, 0.5, c.model.latency.ttft_ms]).collect();
    let (latency, mut learned) = (LatencyTracker::default(), Learned::default());
    for candidate in &candidates {
        latency.observe(&candidate.provider, &candidate.model.id, Some(500.0), Some(80.0));
        learned.observe(&candidate.provider, &candidate.model.id, true);
    }
    let (plain, learned) = (Pool::new(candidates.clone()), Arc::new(learned));
    let predictor = predictor(&mut candidates);
    let pool = Pool::new(candidates);
    let (mut passed, print) = (true, |name: &str, (p50, p99): (Duration, Duration)| {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        println!("{name:<44} p50 {:7.2} µs  p99 {:7.2} µs", us(p50), us(p99));
    });
    for bytes in [100, 1_024, 4_096, 65_536] {
        let texts = texts(bytes)?;
        for (name, pool, predictor) in [("", &plain, None), (", predictor", &pool, Some(&predictor))] {
            let took = times(rounds, |round| {
                black_box(decide(pool, predictor, black_box(&texts[round % TEXTS]), &latency, &learned));
            });
            print(&format!("{CANDIDATES} candidates, {bytes} bytes{name}"), took);
            passed &= bytes > 4_096 || predictor.is_some() || took.1 < BAR;
        }
    }
    print(
        "a simple loop over as many",
        times(rounds, |_| {
            black_box(simple_loop(black_box(&numbers)));
        }),
    );
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
