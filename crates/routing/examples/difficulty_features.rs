//! What `scripts/train_difficulty.py` learns from: prompts as strings of JSON on standard input, one a line; for each, on
//! standard output, the number of its features, the difficulty that is forecast by signs alone and what of it the words say
//! that are looked for, then each feature's row in the table and what it counts, all of four bytes, little-endian.

use std::io::{BufRead, Write};
use tokenrouter_routing::{Prompt, TaskInput, features, forecast, recognise};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let input = TaskInput { last_user: &text, ..TaskInput::default() };
        let (task, features) = (recognise(&input).task, features(&input).rows);
        let prompt = Prompt { last_user: &text, turns: 1, input_tokens: text.len() as u64 / 4, ..Prompt::default() };
        out.write_all(&u32::try_from(features.len())?.to_le_bytes())?;
        let forecast = forecast(&prompt, task);
        out.write_all(&forecast.difficulty_prior.to_le_bytes())?;
        out.write_all(&forecast.difficulty_words.to_le_bytes())?;
        for (group, row, value) in features {
            out.write_all(&u32::try_from(row | group << 24)?.to_le_bytes())?;
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}
