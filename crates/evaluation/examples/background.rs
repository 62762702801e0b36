//! Writes crates/evaluation/data/background.bin of the prompts in data/tasks: after `scripts/train_tasks.py`, where features
//! or prompts changed. `cargo run --profile ci -p tokenrouter-evaluation --example background`

use std::path::Path;
use tokenrouter_evaluation::background_of;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut lines = String::new();
    for name in ["prompts", "short"] {
        lines += &std::fs::read_to_string(root.join(format!("../../data/tasks/{name}.jsonl")))?;
    }
    std::fs::write(root.join("data/background.bin"), background_of(&lines)?)?;
    Ok(())
}
