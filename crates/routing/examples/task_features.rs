//! The features of prompts, for `scripts/train_tasks.py`: rows of JSON on standard input; for each, on
//! standard output, the number of its features and of its words, then each feature's row in the table and what it counts,
//! then where each word stands and its hash, all of four bytes, little-endian.

use serde_json::Value;
use std::io::{BufRead, Write};
use tokenrouter_routing::{TaskInput, features};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("");
        let input = TaskInput { last_user: text("prompt"), instructions: text("instructions"), ..TaskInput::default() };
        let features = features(&input);
        out.write_all(&u32::try_from(features.rows.len())?.to_le_bytes())?;
        out.write_all(&u32::try_from(features.words.len())?.to_le_bytes())?;
        for (group, row, value) in features.rows {
            out.write_all(&u32::try_from(row | group << 24)?.to_le_bytes())?;
            out.write_all(&value.to_le_bytes())?;
        }
        for (spot, hash) in features.words {
            out.write_all(&u32::try_from(spot)?.to_le_bytes())?;
            out.write_all(&hash.to_le_bytes())?;
        }
    }
    Ok(())
}
