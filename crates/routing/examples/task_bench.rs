//! What recognising a task costs, by the length of the prompt; beside it a loop that adds up the prompt's bytes.
//!
//! `cargo run --release -p tokenrouter-routing --example task_bench`

use std::hint::black_box;
use std::time::{Duration, Instant};
use tokenrouter_routing::{TaskInput, recognise};

/// The least of several runs, each of some milliseconds.
fn least(mut once: impl FnMut()) -> Duration {
    let run = |_| {
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_millis(10) {
            once();
            count += 1;
        }
        began.elapsed() / count
    };
    (0..15).map(run).min().unwrap_or_default()
}

fn text(bytes: usize) -> String {
    const PROSE: &str = "Could you go through the notes of our meeting and tell me who promised what? Lena said that she \
        calls the plumber (tel. 555-0134) on Thursday; Omar orders 12 boxes of tiles at 34.90 each. \"We should not wait \
        any longer,\" he said. The budget of the harbour office still holds, and nobody has claimed the other tickets. ";
    PROSE.repeat(bytes / PROSE.len() + 1)[..bytes].to_owned()
}

fn main() {
    // The lexicon is read at the first use.
    let began = Instant::now();
    black_box(recognise(&TaskInput { last_user: "hello", ..TaskInput::default() }));
    println!("first use: {:?}", began.elapsed());
    println!("{:>10}  {:>12}  {:>12}", "bytes", "recognise", "sum of bytes");
    for bytes in [100, 1_000, 4_000, 100_000, 1_000_000] {
        let prompt = text(bytes);
        let input = TaskInput { last_user: &prompt, ..TaskInput::default() };
        let recognised = least(|| {
            black_box(recognise(black_box(&input)));
        });
        let summed = least(|| {
            black_box(black_box(&prompt).bytes().fold(0_u64, |sum, byte| black_box(sum + u64::from(byte))));
        });
        println!("{bytes:>10}  {recognised:>12.1?}  {summed:>12.1?}");
    }
}
