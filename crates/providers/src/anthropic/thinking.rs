//! Thinking, as the generations of Claude are asked for it.
//!
//! Up to 4.5 a model is given a budget of tokens; from 4.6 on it decides by itself (`adaptive`) and an
//! effort guides it; from 4.7 on a budget is refused, and so are sampling parameters.

use super::native;
use crate::encode::Context;
use serde_json::{Value, json};
use tokenrouter_protocol::Request;

const LEAST_BUDGET: u64 = 1_024;

/// What is sent.
#[derive(Default)]
pub(super) struct Thinking {
    pub thinking: Option<Value>,
    pub effort: Option<&'static str>,
}

impl Thinking {
    /// The model thinks, which excludes forced tools and sampling parameters.
    pub(super) fn is_on(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled")
    }
}

/// Major and minor of `claude-opus-4-6-20260205`, `claude-3-7-sonnet-latest`, `claude-sonnet-5`. A name
/// that tells none counts as old, which every generation but the newest understands.
pub(super) fn generation(model: &str) -> (u64, u64) {
    let mut numbers = model
        .split(['-', '.', '@', ':'])
        .skip_while(|word| word.parse::<u64>().is_err())
        .map_while(|word| word.parse::<u64>().ok().filter(|n| *n < 100));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

pub(super) fn plan(context: &mut Context, request: &Request, max_tokens: u64) -> Thinking {
    let model = context.target.model;
    let (adaptive, no_budget) = (generation(model) >= (4, 6), generation(model) >= (4, 7));
    let empty = serde_json::Map::new();
    let asked = native::of(&request.extra).unwrap_or(&empty);
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    if native::wishes_to_think(request) {
        if !context.target.reasoning {
            context.losses.add("thinking", "this model cannot reason");
            return Thinking::default();
        }
        let thinking = asked.get("thinking").cloned();
        let sent = match thinking.as_ref().and_then(|thinking| thinking["type"].as_str()) {
            Some("adaptive") if !adaptive => {
                context.losses.add("thinking", "this model thinks by a budget, which was made of the effort");
                budget(context, effort.unwrap_or("high"), max_tokens)
            }
            Some("enabled") if no_budget => {
                context.losses.add("thinking", "this model decides by itself how long it thinks: it has no budget");
                Some(json!({"type": "adaptive", "display": "summarized"}))
            }
            _ => thinking,
        };
        // Claude's own default is to be left alone where only a budget was given.
        let said = asked.contains_key("output_config") || no_budget;
        return Thinking { thinking: sent, effort: effort.filter(|_| said).and_then(|e| word(context, e)) };
    }
    let Some(effort) = effort.filter(|effort| !matches!(*effort, "none" | "minimal")) else {
        return Thinking::default();
    };
    if !context.target.reasoning {
        context.losses.add("reasoning", "this model cannot reason");
        return Thinking::default();
    }
    if adaptive {
        // Newer models leave the thoughts out unless they are asked for.
        let thinking = json!({"type": "adaptive", "display": "summarized"});
        return Thinking { thinking: Some(thinking), effort: word(context, effort) };
    }
    Thinking { thinking: budget(context, effort, max_tokens), effort: None }
}

/// Anthropic's word for an effort, where the model knows it.
fn word(context: &mut Context, effort: &str) -> Option<&'static str> {
    let model = context.target.model;
    let generation = generation(model);
    if generation < (4, 6) && !(generation == (4, 5) && model.contains("opus")) {
        context.losses.add("reasoning.effort", "this model has no effort to set");
        return None;
    }
    match effort {
        "none" | "minimal" | "low" => Some("low"),
        "medium" => Some("medium"),
        "high" => Some("high"),
        "xhigh" if generation >= (4, 7) => Some("xhigh"),
        "max" if generation >= (4, 6) => Some("max"),
        other => {
            context.losses.add("reasoning.effort", format!("this model has no effort `{other}`: `high` was sent"));
            Some("high")
        }
    }
}

fn budget(context: &mut Context, effort: &str, max_tokens: u64) -> Option<Value> {
    let share = match effort {
        "low" => 4,
        "medium" => 2,
        "high" => 1,
        _ => {
            context.losses.add("reasoning.effort", "this model's highest is `high`, of which its budget was made");
            1
        }
    };
    // Thinking is part of the output and must leave room for the answer.
    let budget = (16_384 / share).min(max_tokens.saturating_sub(LEAST_BUDGET));
    if budget < LEAST_BUDGET {
        context.losses.add("reasoning", "`max_output_tokens` leaves no room for reasoning");
        return None;
    }
    Some(json!({"type": "enabled", "budget_tokens": budget}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_generation_is_read_from_its_name() {
        let cases = [
            ("claude-opus-4-6-20260205", (4, 6)),
            ("claude-sonnet-4-20250514", (4, 0)),
            ("claude-3-7-sonnet-latest", (3, 7)),
            ("claude-sonnet-5", (5, 0)),
            ("claude-fable-5-1", (5, 1)),
            ("my-claude", (0, 0)),
        ];
        for (model, wanted) in cases {
            assert_eq!(generation(model), wanted, "{model}");
        }
    }
}
