//! JSON that is masked is JSON, says what its strings say masked, and keeps its bytes where nothing was.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tokenrouter_firewall::{Action, JsonGuard, PatternKind, RuleSet, RuleSpec, Scope, Tally};

fn set(rules: &[(&str, Action, &str)]) -> Arc<RuleSet> {
    let specs: Vec<RuleSpec> = (1..)
        .zip(rules)
        .map(|(id, (pattern, action, replacement))| RuleSpec {
            id,
            name: format!("rule {id}"),
            priority: 0,
            is_enabled: true,
            scope: Scope::Response,
            kind: PatternKind::Regex,
            pattern: (*pattern).to_owned(),
            action: *action,
            replacement: Some((*replacement).to_owned()),
            normalize: false,
        })
        .collect();
    Arc::new(RuleSet::compile(&specs).unwrap())
}

fn screened(set: &Arc<RuleSet>, text: &str) -> Result<String, i64> {
    set.screen_json(Scope::Response, text, &mut Tally::default()).map_err(|blocked| blocked.rule_id)
}

fn streamed(set: &Arc<RuleSet>, pieces: &[&str]) -> Result<String, i64> {
    let (mut guard, mut out) = (JsonGuard::new(Arc::clone(set), Scope::Response), String::new());
    let mut tally = Tally::default();
    for piece in pieces {
        guard.push(piece, &mut out, &mut tally).map_err(|blocked| blocked.rule_id)?;
    }
    guard.finish(&mut out, &mut tally).map_err(|blocked| blocked.rule_id)?;
    Ok(out)
}

#[test]
fn what_a_mask_puts_in_is_written_as_json() {
    let set = set(&[("paris", Action::Mask, "say \"x\"\n"), (r"\d{4}", Action::Mask, "*")]);
    let cases = [
        (r#"{"city":"Paris","n":1}"#, r#"{"city":"say \"x\"\n","n":1}"#),
        (r#"{"a":[1234, 12, -1234.5e3]}"#, r#"{"a":["*", 12, "-*.5e3"]}"#),
        (r#"{"P\u0061ris": "\u0050ARIS \/ \u00e9"}"#, r#"{"say \"x\"\n": "say \"x\"\n / é"}"#),
        (r#"{"same": "\/ \u00e9 \ud83d\ude00 \"q\" \\"}"#, r#"{"same": "\/ \u00e9 \ud83d\ude00 \"q\" \\"}"#),
        (r#"{"cut": "12"#, r#"{"cut": "12"#),
        (r#"{"cut": "1234\u00"#, r#"{"cut": "*\u00"#),
        ("not 'json' 1234", "not 'json' *"),
        ("", ""),
        ("\"\\ud800 alone\"", "\"\\ud800 alone\""),
    ];
    for (text, wanted) in cases {
        assert_eq!(screened(&set, text).as_deref(), Ok(wanted), "{text}");
        let single: Vec<&str> = text.char_indices().map(|(i, c)| &text[i..i + c.len_utf8()]).collect();
        assert_eq!(streamed(&set, &single).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn strings_are_matched_apart_and_blocks_see_through_escapes() {
    let set = set(&[("secret", Action::Block, "")]);
    assert!(screened(&set, r#"["sec","ret"]"#).is_ok());
    assert_eq!(screened(&set, r#"["\u0073ecret"]"#), Err(1));
    assert_eq!(screened(&set, r#"{"secret":1}"#), Err(1));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[ab\"\\\\é🙂\n ]{0,6}".prop_map(Value::from),
        (0_u32..30).prop_map(Value::from),
        Just(Value::Null),
        Just(json!(true)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[abé]{0,3}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

/// The value with each string screened as the text that it is, as an oracle.
fn expected(set: &Arc<RuleSet>, value: &Value) -> Value {
    let text = |text: &str| set.screen(Scope::Response, text, &mut Tally::default()).unwrap().into_owned();
    match value {
        Value::String(string) => text(string).into(),
        Value::Array(values) => values.iter().map(|value| expected(set, value)).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (text(k), expected(set, v))).collect()),
        other => {
            let word = other.to_string();
            if text(&word) == word { other.clone() } else { text(&word).into() }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn masked_json_is_json_however_it_is_cut(value in values(), size in 1_usize..5, pretty in any::<bool>()) {
        let set = set(&[("a+b|\"", Action::Mask, "\"\\"), ("1", Action::Mask, "one"), ("é$", Action::Mask, "e")]);
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let whole = screened(&set, &text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&whole).unwrap(), expected(&set, &value));
        let chars: Vec<char> = text.chars().collect();
        let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(streamed(&set, &pieces).unwrap(), whole);
        let silent = self::set(&[("never said", Action::Mask, "")]);
        prop_assert_eq!(streamed(&silent, &pieces).unwrap(), text);
    }
}
