//! Rules by their documents, and against a naive evaluation of the contract.

use super::needles::fold;
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn spec(id: i64, priority: i32, match_json: Value, action_json: Value) -> RuleSpec {
    RuleSpec { id, name: format!("rule {id}"), priority, is_enabled: true, match_json, action_json }
}

/// The rules that match, for a request in balance mode.
fn matched(match_json: &Value, input: &[&str], metadata: &Value) -> bool {
    let rules = RoutingRules::compile(&[spec(1, 0, match_json.clone(), json!({"set_mode": "cost"}))]).unwrap();
    plan(&rules, input, metadata, Mode::Balance).matched == [1]
}

fn plan(rules: &RoutingRules, input: &[&str], metadata: &Value, mode: Mode) -> Plan {
    let metadata = metadata.as_object().unwrap();
    rules.plan(&Facts { input_text: input, metadata, mode, task: &|| Some("coding") })
}

#[test]
fn a_condition_matches_what_it_says() {
    let cases = [
        (json!({}), "anything", json!({}), true),
        (json!({"contains": "code review"}), "A CODE Review, please", json!({}), true),
        (json!({"contains": "code review"}), "code a review", json!({}), false),
        (json!({"contains": ["analyze", "complex"]}), "a Complex one", json!({}), true),
        (json!({"contains": ["analyze", "complex"]}), "a simple one", json!({}), false),
        (json!({"contains_all": ["analyze", "complex"]}), "analyze what is complex", json!({}), true),
        (json!({"contains_all": ["analyze", "complex"]}), "a complex one", json!({}), false),
        (json!({"contains_all": "complex"}), "a complex one", json!({}), true),
        (json!({"contains": "straße"}), "In der STRASSE", json!({}), true),
        (json!({"metadata_equals": {"team": "red"}}), "", json!({"team": "red", "more": 1}), true),
        (json!({"metadata_equals": {"team": "red"}}), "", json!({"team": "Red"}), false),
        (json!({"metadata_equals": {"team": "red"}}), "", json!({}), false),
        (json!({"metadata_equals": {"n": 1, "on": true}}), "", json!({"n": "1", "on": "true"}), true),
        (json!({"metadata_equals": {"n": "1"}}), "", json!({"n": 1}), true),
        (json!({"metadata_equals": {"n": "1"}}), "", json!({"n": null}), false),
        (json!({"mode": "balanced"}), "", json!({}), true),
        (json!({"mode": "fast"}), "", json!({}), false),
        (json!({"task": "coding"}), "", json!({}), true),
        (json!({"task": ["math", "Coding"]}), "", json!({}), true),
        (json!({"task": "coding"}), "", json!({"task": "math"}), false),
        (json!({"task": "documentation"}), "", json!({"task": "Documentation"}), true),
        (json!({"contains": "a", "mode": "balance", "task": "coding"}), "a", json!({}), true),
        (json!({"contains": "a", "mode": "cost", "task": "coding"}), "a", json!({}), false),
        (json!("{\"contains\": \"sea\"}"), "the sea", json!({}), true),
    ];
    for (match_json, input, metadata, wanted) in cases {
        assert_eq!(matched(&match_json, &[input], &metadata), wanted, "{match_json} on {input:?} {metadata}");
    }
    assert!(matched(&json!({"contains_all": ["a", "b"]}), &["a", "b"], &json!({})), "each in some text");
}

#[test]
fn each_action_is_the_first_matching_rules_that_gives_it_and_all_warnings_are_kept() {
    let rules = RoutingRules::compile(&[
        spec(3, -5, json!({}), json!({"set_mode": "cost", "set_model": "low", "add_warning": "low"})),
        spec(2, 10, json!({}), json!({"set_mode": "latency", "set_model": "m2", "add_warning": {"message": "w2"}})),
        spec(1, 10, json!({}), json!({"set_mode": "quality", "add_warning": {"message": "w1"}})),
        spec(4, 99, json!({"contains": "absent"}), json!({"set_provider": "nobody"})),
        RuleSpec { is_enabled: false, ..spec(5, 99, json!({}), json!({"set_provider": "disabled"})) },
    ])
    .unwrap();
    assert_eq!(rules.len(), 4);
    let plan = plan(&rules, &["x"], &json!({}), Mode::Balance);
    assert_eq!(plan.matched, [1, 2, 3]);
    assert_eq!(plan.mode, Some(Set { value: Mode::Quality, rule_id: 1 }));
    assert_eq!(plan.model, Some(Set { value: "m2".to_owned(), rule_id: 2 }));
    assert_eq!(plan.provider, None);
    let warnings: Vec<_> = plan.warnings.iter().map(|w| (w.rule_id, w.message.as_str())).collect();
    assert_eq!(warnings, [(1, "w1"), (2, "w2"), (3, "low")]);
}

#[test]
fn a_task_that_is_not_sure_enough_meets_no_rule() {
    let rules = [spec(1, 0, json!({"task": ["coding", "qa"]}), json!({"set_mode": "cost"}))];
    let rules = RoutingRules::compile(&rules).unwrap();
    let plan = |metadata: Value| {
        let metadata = metadata.as_object().unwrap();
        rules.plan(&Facts { input_text: &["x"], metadata, mode: Mode::Cost, task: &|| None }).matched
    };
    assert_eq!(plan(json!({})), Vec::<i64>::new());
    assert_eq!(plan(json!({"task": "Coding"})), [1]);
}

#[test]
fn the_task_is_recognised_once_and_only_if_a_rule_asks_for_it() {
    let asked = std::cell::Cell::new(0);
    let recognise = || {
        asked.set(asked.get() + 1);
        Some("coding")
    };
    let ask = |rules: &RoutingRules, metadata: Value| {
        let metadata = metadata.as_object().unwrap().clone();
        asked.set(0);
        let _ = rules.plan(&Facts { input_text: &["x"], metadata: &metadata, mode: Mode::Cost, task: &recognise });
        asked.get()
    };
    let act = json!({"set_mode": "cost"});
    let without = RoutingRules::compile(&[spec(1, 0, json!({"contains": "x"}), act.clone())]).unwrap();
    assert_eq!(ask(&without, json!({})), 0);
    let failing = spec(3, 0, json!({"contains": "absent", "task": "math"}), act.clone());
    let with = [spec(1, 0, json!({"task": "coding"}), act.clone()), spec(2, 0, json!({"task": "math"}), act)];
    assert_eq!(ask(&RoutingRules::compile(&[failing]).unwrap(), json!({})), 0, "no other condition holds");
    let with = RoutingRules::compile(&with).unwrap();
    assert_eq!(ask(&with, json!({})), 1);
    assert_eq!(ask(&with, json!({"task": "math"})), 0);
    assert_eq!(RoutingRules::empty().len(), 0);
}

#[test]
fn every_mistake_of_a_rule_is_named_with_its_place() {
    let matches = [
        (json!([]), "match_json", "object"),
        (json!("not json"), "match_json", "not JSON"),
        (json!("[]"), "match_json", "no JSON object"),
        (json!({"contians": "sea"}), "match_json.contians", "contains, contains_all"),
        (json!({"contains": 7}), "match_json.contains", "string"),
        (json!({"contains": ""}), "match_json.contains", "empty"),
        (json!({"contains": []}), "match_json.contains", "empty"),
        (json!({"contains": ["a", ""]}), "match_json.contains", "empty"),
        (json!({"contains_all": ["a", 7]}), "match_json.contains_all", "string"),
        (json!({"metadata_equals": "task"}), "match_json.metadata_equals", "object"),
        (json!({"metadata_equals": {"a": {}}}), "match_json.metadata_equals.a", "string"),
        (json!({"mode": "cheapest"}), "match_json.mode", "balance, cost, quality, latency"),
        (json!({"mode": 1}), "match_json.mode", "balance, cost, quality, latency"),
        (json!({"task": null}), "match_json.task", "string"),
    ];
    for (value, field, word) in matches {
        let errors = validate_match(&value).unwrap_err();
        assert!(errors.len() == 1 && errors[0].field == field && errors[0].message.contains(word), "{errors:?}");
    }
    let actions = [
        (json!(null), "action_json", "object"),
        (json!({}), "action_json", "set_provider, set_model"),
        (json!({"set_colour": "red"}), "action_json.set_colour", "set_provider, set_model"),
        (json!({"set_mode": "cheapest"}), "action_json.set_mode", "balance, cost, quality, latency"),
        (json!({"set_model": 7}), "action_json.set_model", "string"),
        (json!({"set_provider": " "}), "action_json.set_provider", "empty"),
        (json!({"add_warning": {}}), "action_json.add_warning.message", "string"),
        (json!({"add_warning": {"message": "a", "level": 1}}), "action_json.add_warning.level", "message"),
    ];
    for (value, field, word) in actions {
        let errors = validate_action(&value).unwrap_err();
        assert!(errors.len() == 1 && errors[0].field == field && errors[0].message.contains(word), "{errors:?}");
    }
    assert_eq!(validate_match(&json!({"contains": 1, "mode": 2, "x": 3})).unwrap_err().len(), 3);
    let refused = RoutingRules::compile(&[spec(7, 0, json!({"x": 1}), json!({"set_mode": "cost"}))]);
    assert_eq!(refused.unwrap_err().0, 7);
}

// The oracle: the contract, read word by word.

fn naive_holds(match_json: &Value, input: &[String], metadata: &Value, mode: &str, task: &str) -> bool {
    let list = |value: &Value| match value {
        Value::Array(list) => list.iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        value => vec![value.as_str().unwrap().to_owned()],
    };
    let has = |needle: &String| input.iter().any(|text| fold(text).contains(&fold(needle)));
    match_json.as_object().unwrap().iter().all(|(key, value)| match key.as_str() {
        "contains" => list(value).iter().any(has),
        "contains_all" => list(value).iter().all(has),
        "mode" => value == mode,
        "task" => value == metadata.get("task").and_then(Value::as_str).unwrap_or(task),
        "metadata_equals" => value.as_object().unwrap().iter().all(|(key, value)| metadata.get(key) == Some(value)),
        _ => false,
    })
}

fn words() -> impl Strategy<Value = String> {
    "(sea|Lake|see|ÉTÉ|été|a)( (sea|lake|SEA))?"
}

fn matches() -> impl Strategy<Value = Value> {
    let option = |strategy: BoxedStrategy<Value>| prop::option::weighted(0.4, strategy);
    let text = prop_oneof![words().prop_map(Value::from), prop::collection::vec(words(), 1..3).prop_map(Value::from)];
    let pairs = prop::collection::btree_map("[ab]", "[xy]", 0..2).prop_map(|pairs| json!(pairs));
    let mode = prop::sample::select(vec!["balance", "cost", "quality", "latency"]).prop_map(Value::from);
    let task = prop::sample::select(vec!["coding", "math"]).prop_map(Value::from);
    let text = text.boxed();
    (option(text.clone()), option(text), option(pairs.boxed()), option(mode.boxed()), option(task.boxed())).prop_map(
        |(contains, contains_all, metadata_equals, mode, task)| {
            let names = ["contains", "contains_all", "metadata_equals", "mode", "task"];
            let values = [contains, contains_all, metadata_equals, mode, task];
            names.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
        },
    )
}

fn actions() -> impl Strategy<Value = Value> {
    (0_u8..15, "[pq]", "[mn]", "[wv]").prop_map(|(which, provider, model, warning)| {
        let all = [
            ("set_provider", json!(provider)),
            ("set_model", json!(model)),
            ("set_mode", json!("quality")),
            ("add_warning", json!({"message": warning})),
        ];
        let chosen = all.into_iter().enumerate().filter(|(i, _)| (which + 1) >> i & 1 == 1);
        chosen.map(|(_, (name, value))| (name.to_owned(), value)).collect()
    })
}

proptest! {
    #[test]
    fn a_plan_is_what_the_contract_says_of_the_rules(
        rules in prop::collection::vec((matches(), actions(), -2..2_i32, any::<bool>()), 0..8),
        input in prop::collection::vec("[a-c ]{0,4}(sea|LAKE|Été|see)?[a-c ]{0,4}", 0..3),
        metadata in prop::collection::btree_map("[ab]", "[xy]", 0..3),
        given_task in prop::option::of(prop::sample::select(vec!["coding", "math"])),
        mode in prop::sample::select(Mode::ALL.to_vec()),
        task in prop::sample::select(vec!["coding", "math"]),
    ) {
        let mut metadata = json!(metadata);
        if let Some(given) = given_task {
            metadata["task"] = json!(given);
        }
        let mut specs: Vec<RuleSpec> = rules.into_iter().zip(1..).map(|((match_json, action_json, priority, is_enabled), id)| {
            RuleSpec { is_enabled, ..spec(id, priority, match_json, action_json) }
        }).collect();
        let compiled = RoutingRules::compile(&specs).unwrap();
        let texts: Vec<&str> = input.iter().map(String::as_str).collect();
        let facts = Facts { input_text: &texts, metadata: metadata.as_object().unwrap(), mode, task: &|| Some(task) };
        let plan = compiled.plan(&facts);

        specs.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.id.cmp(&b.id)));
        specs.retain(|s| s.is_enabled && naive_holds(&s.match_json, &input, &metadata, mode.as_str(), task));
        let first = |key: &str| specs.iter().find_map(|s| Some((s.action_json.get(key)?.as_str()?.to_owned(), s.id)));
        let warnings: Vec<(i64, String)> = specs
            .iter()
            .filter_map(|s| Some((s.id, s.action_json.get("add_warning")?["message"].as_str()?.to_owned())))
            .collect();
        prop_assert_eq!(&plan.matched, &specs.iter().map(|s| s.id).collect::<Vec<_>>());
        prop_assert_eq!(plan.provider.map(|s| (s.value, s.rule_id)), first("set_provider"));
        prop_assert_eq!(plan.model.map(|s| (s.value, s.rule_id)), first("set_model"));
        prop_assert_eq!(plan.mode.map(|s| (s.value.as_str().to_owned(), s.rule_id)), first("set_mode"));
        prop_assert_eq!(plan.warnings.into_iter().map(|w| (w.rule_id, w.message)).collect::<Vec<_>>(), warnings);
    }

    #[test]
    fn any_json_is_read_or_refused(text in "\\PC{0,40}", number in any::<f64>()) {
        for value in [json!(text), json!({"contains": number, &text: text}), json!([number])] {
            let _ = validate_match(&value);
            let _ = validate_action(&value);
        }
    }
}
