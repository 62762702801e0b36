//! A conversation stays where it is while that is worth more than the switch.

use super::*;
use crate::Price;
use proptest::prelude::*;

/// A model at so many pico-dollars a token of input, ten times that of output, a tenth from the cache.
fn candidate(provider: &str, input_pico_usd: u64, cache_write_pico_usd: Option<u64>) -> Candidate {
    let price = Price {
        cache_read_pico_usd: Some(input_pico_usd / 10),
        cache_write_pico_usd,
        ..Price::flat(input_pico_usd, 10 * input_pico_usd)
    };
    let model = ModelInfo { price: Some(price), ..ModelInfo::custom(provider, &format!("model-of-{provider}")) };
    Candidate { provider: provider.into(), model: Arc::new(model), ready: true }
}

fn last(provider: &str, recent_tokens: u64, cached_tokens: u64) -> LastTurn {
    let model = format!("model-of-{provider}");
    LastTurn { provider: provider.to_owned(), model, provider_key_id: None, recent_tokens, cached_tokens }
}

fn ask(candidates: Vec<Candidate>, needs: Needs, last_turn: Option<LastTurn>) -> Decision {
    let request = Request {
        provider: None,
        model: None,
        mode: Mode::Cost,
        needs,
        provider_by_rule: false,
        model_by_rule: false,
        allowed: Arc::default(),
        day: "2026-11-25".to_owned(),
        last_turn,
        learned: Arc::default(),
    };
    select(&Pool::new(candidates), &request, &LatencyTracker::default()).unwrap()
}

fn needs(input_tokens_estimate: u64) -> Needs {
    Needs {
        tools: false,
        images: false,
        files: false,
        json_schema: false,
        reasoning: false,
        input_tokens_estimate,
        max_output_tokens: Some(20),
        task: Task::Chat,
        forecast: Forecast {
            difficulty: 0.1,
            difficulty_prior: 0.1,
            difficulty_words: 0.0,
            difficulty_weight: 0.0,
            predicted: crate::Predicted::default(),
            output_tokens: 150,
        },
    }
}

/// What is told when nothing is ejected.
fn moved(decision: &Decision) -> Option<String> {
    let (stay, first) = (decision.stay.as_ref()?, decision.targets.first()?);
    let stands = decision.targets.iter().any(|target| stay.is_at(target));
    stay.moved(first, if stands { Moved::Outscored } else { Moved::Gone })
}

fn first(decision: &Decision) -> &str {
    decision.targets.first().map_or("", |target| &*target.provider)
}

#[test]
fn a_cached_prompt_keeps_a_conversation_with_the_dearer_model() {
    let pool = || vec![candidate("dear", 1_000_000, None), candidate("cheap", 500_000, None)];
    assert_eq!(first(&ask(pool(), needs(10_000), None)), "cheap");
    let stayed = ask(pool(), needs(10_000), Some(last("dear", 9_000, 0)));
    assert_eq!((first(&stayed), moved(&stayed)), ("dear", None));
    let cost = |decision: &Decision| decision.targets.first().and_then(|target| target.estimated_cost_nano_usd);
    // 1,000 tokens at the price of input, 9,000 at a tenth of it, 20 of output.
    assert_eq!(cost(&stayed), Some(1_000_000 + 900_000 + 200_000));
}

#[test]
fn a_cache_that_is_written_on_demand_counts_as_far_as_the_provider_told() {
    let pool = || vec![candidate("dear", 1_000_000, Some(1_250_000)), candidate("cheap", 500_000, None)];
    let gone = ask(pool(), needs(10_000), Some(last("dear", 9_000, 0)));
    assert_eq!(first(&gone), "cheap");
    let warning = moved(&gone).unwrap();
    assert!(warning.contains("to cheap/model-of-cheap from dear/model-of-dear"), "{warning}");
    assert!(warning.ends_with("scores lower by more than its prompt cache is worth"), "{warning}");
    assert_eq!(first(&ask(pool(), needs(10_000), Some(last("dear", 9_000, 9_000)))), "dear");
}

#[test]
fn a_small_lead_moves_nothing() {
    let pool = || vec![candidate("one", 1_000_000, None), candidate("other", 900_000, None)];
    assert_eq!(first(&ask(pool(), needs(10_000), None)), "other");
    assert_eq!(first(&ask(pool(), needs(10_000), Some(last("one", 0, 0)))), "one");
}

#[test]
fn why_it_moves_is_told() {
    let pool = vec![candidate("one", 1_000_000, None), candidate("other", 900_000, None)];
    let gone = ask(pool.clone(), needs(10_000), Some(last("gone", 9_000, 0)));
    assert!(moved(&gone).unwrap().ends_with("which is not to be had"));
    let mut blind = pool;
    let seeing = ModelInfo {
        capabilities: crate::Capabilities { images: true, ..blind[1].model.capabilities },
        ..(*blind[1].model).clone()
    };
    blind[1].model = Arc::new(seeing);
    let pictures = Needs { images: true, ..needs(10_000) };
    assert!(moved(&ask(blind, pictures, Some(last("one", 9_000, 0)))).unwrap().ends_with("which cannot see images"));
}

proptest! {
    #[test]
    fn where_it_was_changes_the_place_of_that_one_alone(
        prices in prop::collection::vec(1_000_u64..50_000_000, 2..8),
        at in 0_usize..8,
        recent in 0_u64..50_000,
        prompt in 1_u64..50_000,
    ) {
        let pool: Vec<Candidate> = (0..).zip(&prices).map(|(i, price)| candidate(&format!("p{i}"), *price, None)).collect();
        let at = format!("p{}", at % prices.len());
        let order = |decision: Decision| -> Vec<String> {
            decision.targets.iter().map(|target| target.provider.to_string()).filter(|name| *name != at).collect()
        };
        let place = |decision: &Decision| decision.targets.iter().position(|target| *target.provider == *at);
        let (alone, stays) = (ask(pool.clone(), needs(prompt), None), ask(pool, needs(prompt), Some(last(&at, recent, 0))));
        prop_assert!(place(&stays) <= place(&alone));
        prop_assert_eq!(order(alone), order(stays));
    }
}
