//! What the decision costs, from the prompt to the order of 50 candidates, beside a loop that only weighs three numbers
//! for each of them and takes the best.
//!
//! `cargo run --release -p tokenrouter-routing --example decision_bench -- [ROUNDS]`; it fails where the 99th of 100
//! decisions over a prompt of 4 KB takes 100 µs or longer.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_routing::{
    Candidate, Catalog, LatencyTracker, Learned, Mode, Needs, Pool, Prompt, Request, TaskGuess, TaskInput, forecast,
    recognise, select,
};

const CANDIDATES: usize = 50;
const BAR: Duration = Duration::from_micros(100);
const SENTENCE: &str = "Refactor the parser so that each rule stands alone, and prove that it still accepts the same \
                        language; it must not be slower than before. fn parse(input: &str) -> Result<Tree, Error> { } ";

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
fn decide(pool: &Pool, text: &str, latency: &LatencyTracker, learned: &Arc<Learned>) -> usize {
    let TaskGuess { task, trained, .. } = recognise(&TaskInput { last_user: text, ..TaskInput::default() });
    let input_tokens = text.len() as u64 / 4;
    let prompt = Prompt { last_user: text, turns: 1, input_tokens, trained, ..Prompt::default() };
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
fn times(rounds: usize, mut work: impl FnMut()) -> (Duration, Duration) {
    let mut took = Vec::with_capacity(rounds);
    while took.len() < rounds {
        let before = interruptions();
        let began = Instant::now();
        work();
        let time = began.elapsed();
        if interruptions() == before {
            took.push(time);
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(20_000);
    let candidates = pool();
    let numbers: Vec<[f32; 3]> = candidates.iter().map(|c| [c.model.quality, 0.5, c.model.latency.ttft_ms]).collect();
    let (latency, mut learned) = (LatencyTracker::default(), Learned::default());
    for candidate in &candidates {
        latency.observe(&candidate.provider, &candidate.model.id, Some(500.0), Some(80.0));
        learned.observe(&candidate.provider, &candidate.model.id, true);
    }
    let (pool, learned) = (Pool::new(candidates), Arc::new(learned));
    let (mut passed, print) = (true, |name: &str, (p50, p99): (Duration, Duration)| {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        println!("{name:<44} p50 {:7.2} µs  p99 {:7.2} µs", us(p50), us(p99));
    });
    for bytes in [100, 1_024, 4_096, 65_536] {
        let text: String = SENTENCE.chars().cycle().take(bytes).collect();
        let took = times(rounds, || {
            black_box(decide(&pool, black_box(&text), &latency, &learned));
        });
        print(&format!("decision over {CANDIDATES} candidates, {bytes} bytes"), took);
        passed &= bytes > 4_096 || took.1 < BAR;
    }
    print(
        "a simple loop over as many",
        times(rounds, || {
            black_box(simple_loop(black_box(&numbers)));
        }),
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
