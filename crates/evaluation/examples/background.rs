//! Writes crates/evaluation/data/background.bin of the prompts in data/tasks: after `scripts/train_tasks.py`, where features
//! or prompts changed. `cargo run --profile ci -p tokenrouter-evaluation --example background`

use std::path::Path;
use tokenrouter_evaluation::background_of;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut prompts = Vec::new();
    for name in ["prompts", "short"] {
        let text = std::fs::read_to_string(root.join(format!("../../data/tasks/{name}.jsonl")))?;
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line)?;
            prompts.push(row["prompt"].as_str().unwrap_or_default().to_owned());
        }
    }
    std::fs::write(root.join("data/background.bin"), background_of(prompts.iter().map(String::as_str)))?;
    Ok(())
}
