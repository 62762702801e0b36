use super::*;
use serde_json::json;

fn breaks(path: &str, keyword: &str) -> Verdict {
    Verdict::Breaks(Breach { path: path.to_owned(), keyword: keyword.to_owned() })
}

/// What keeps to the schema, and what breaks it, where and how.
fn held(schema: Value, kept: &[Value], broken: &[(Value, &str, &str)]) {
    for value in kept {
        assert_eq!(check(&schema, &value.to_string()), Verdict::Keeps, "{value} by {schema}");
    }
    for (value, path, keyword) in broken {
        assert_eq!(check(&schema, &value.to_string()), breaks(path, keyword), "{value} by {schema}");
    }
}

#[test]
fn a_breach_is_told_by_its_place_and_its_keyword() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[A-Z]"},
            "ages": {"type": "array", "items": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10}, "maxItems": 2},
            "kind": {"enum": ["a", 1, null]},
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    held(
        schema,
        &[
            json!({"name": "Ada"}),
            json!({"name": "Aünü", "ages": [1, 9.0], "kind": null}),
            json!({"name": "Ada", "kind": 1.0}),
        ],
        &[
            (json!([]), "", "type"),
            (json!({}), "", "required"),
            (json!({"name": "A"}), "/name", "minLength"),
            (json!({"name": "Adaaa"}), "/name", "maxLength"),
            (json!({"name": "ada"}), "/name", "pattern"),
            (json!({"name": "Ada", "ages": [1, 0]}), "/ages/1", "minimum"),
            (json!({"name": "Ada", "ages": [10]}), "/ages/0", "exclusiveMaximum"),
            (json!({"name": "Ada", "ages": [1.5]}), "/ages/0", "type"),
            (json!({"name": "Ada", "ages": [1, 2, 3]}), "/ages", "maxItems"),
            (json!({"name": "Ada", "kind": "b"}), "/kind", "enum"),
            (json!({"name": "Ada", "a/b~c": 1}), "/a~1b~0c", "additionalProperties"),
        ],
    );
    assert_eq!(check(&json!({}), "Sure! {"), breaks("", ""));
}

#[test]
fn the_keywords_mean_what_the_draft_says() {
    held(json!({"const": {"a": [1]}}), &[json!({"a": [1.0]})], &[(json!({"a": [2]}), "", "const")]);
    held(
        json!({"oneOf": [{"type": "integer"}, {"minimum": 5}]}),
        &[json!(1), json!(5.5)],
        &[(json!(6), "", "oneOf"), (json!(1.5), "", "oneOf")],
    );
    held(json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), &[json!(null)], &[(json!(1), "", "anyOf")]);
    held(json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), &[json!(1)], &[(json!(3), "", "maximum")]);
    held(json!({"not": {"type": "string"}}), &[json!(1)], &[(json!("x"), "", "not")]);
    held(
        json!({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}}),
        &[json!("ab"), json!(2)],
        &[(json!("a"), "", "minLength"), (json!(1), "", "minimum")],
    );
    held(
        json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
        &[json!(["a", 1, 2]), json!([])],
        &[(json!([1]), "/0", "type"), (json!(["a", "b"]), "/1", "type")],
    );
    held(
        json!({"items": [{"type": "string"}], "additionalItems": false}),
        &[json!(["a"])],
        &[(json!(["a", 1]), "/1", "false")],
    );
    held(
        json!({"uniqueItems": true, "contains": {"type": "string"}, "maxContains": 1}),
        &[json!(["a", 1])],
        &[
            (json!(["a", 1, 1.0]), "/2", "uniqueItems"),
            (json!([1]), "", "contains"),
            (json!(["a", "b"]), "", "maxContains"),
        ],
    );
    held(
        json!({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": {"type": "string"},
               "propertyNames": {"maxLength": 2}, "minProperties": 1}),
        &[json!({"x1": 1, "y": "z"})],
        &[
            (json!({"x1": "a"}), "/x1", "type"),
            (json!({"y": 1}), "/y", "type"),
            (json!({"xyz": 1}), "/xyz", "maxLength"),
            (json!({}), "", "minProperties"),
        ],
    );
    held(
        json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"maxProperties": 1}}}),
        &[json!({"a": 1, "b": 1}), json!({"c": 1})],
        &[(json!({"a": 1}), "", "dependentRequired"), (json!({"c": 1, "d": 1}), "", "maxProperties")],
    );
    held(json!({"multipleOf": 0.1}), &[json!(0.3), json!(4)], &[(json!(0.35), "", "multipleOf")]);
    held(json!({"type": "string", "nullable": true}), &[json!(null), json!("a")], &[(json!(1), "", "type")]);
    held(
        json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": ["integer", "null"]}}}),
        &[json!(1), json!(null)],
        &[(json!("x"), "", "type")],
    );
    let tree = json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
                      "required": ["next"]});
    held(tree, &[json!({"next": {"next": null}})], &[(json!({"next": {"next": 1}}), "/next", "anyOf")]);
}

#[test]
fn what_is_left_is_held_to_what_is_said_of_it() {
    let base = json!({"properties": {"a": true}, "required": ["a"]});
    let with = |keywords: Value| {
        let mut schema = json!({"unevaluatedProperties": false, "$defs": {"base": base}});
        schema.as_object_mut().unwrap().extend(keywords.as_object().unwrap().clone());
        schema
    };
    let (a, ab) = (json!({"a": 1}), json!({"a": 1, "b": 2}));
    let left = |value: &Value| (value.clone(), "/b", "unevaluatedProperties");
    for keywords in [
        json!({"properties": {"a": true}}),
        json!({"patternProperties": {"^a": true}}),
        json!({"allOf": [base]}),
        json!({"$ref": "#/$defs/base"}),
        json!({"anyOf": [base, {"properties": {"b": {"type": "string"}}}]}),
        json!({"oneOf": [base, {"properties": {"b": true}, "required": ["c"]}]}),
        json!({"if": {"properties": {"a": {"const": 1}}}, "else": {"properties": {"b": true}}}),
        json!({"dependentSchemas": {"a": {"properties": {"a": true}}, "c": {"properties": {"b": true}}}}),
        json!({"dependencies": {"a": {"properties": {"a": true}}, "c": {"properties": {"b": true}}}}),
        json!({"dependencies": {"a": ["a"], "b": ["a"]}, "properties": {"a": true}}),
        json!({"allOf": [{"allOf": [base]}], "not": {"properties": {"b": {"type": "string"}}, "required": ["c"]}}),
    ] {
        held(with(keywords), std::slice::from_ref(&a), &[left(&ab)]);
    }
    for keywords in [
        json!({"additionalProperties": true}),
        json!({"anyOf": [base, {"properties": {"b": {"type": "integer"}}}]}),
        json!({"if": {"properties": {"a": {"const": 1}}}, "then": {"properties": {"b": true}}}),
        json!({"allOf": [{"unevaluatedProperties": {"type": "integer"}}]}),
    ] {
        held(with(keywords), &[a.clone(), ab.clone()], &[]);
    }
    held(
        json!({"properties": {"a": true}, "unevaluatedProperties": {"type": "integer"}}),
        &[ab.clone(), json!("no object")],
        &[(json!({"b": "x"}), "/b", "type")],
    );
    held(
        json!({"prefixItems": [true], "contains": {"type": "string"}, "unevaluatedItems": false}),
        &[json!([1, "x"]), json!(["x"])],
        &[(json!([1, "x", 2]), "/2", "unevaluatedItems")],
    );
    held(json!({"allOf": [{"items": {"type": "integer"}}], "unevaluatedItems": false}), &[json!([1, 2])], &[]);
}

#[test]
fn a_place_of_the_schema_is_found_by_its_anchor() {
    held(
        json!({"items": {"$ref": "#town"}, "$defs": {"any": {"$anchor": "town", "type": "string", "enum": [{"$anchor": "town"}, "Rome"]}}}),
        &[json!(["Rome"])],
        &[(json!([1]), "/0", "type"), (json!(["Paris"]), "/0", "enum")],
    );
    held(
        json!({"$dynamicAnchor": "node", "type": "object", "properties": {"next": {"$ref": "#node"}}}),
        &[json!({"next": {}})],
        &[(json!({"next": {"next": 1}}), "/next/next", "type")],
    );
}

#[test]
fn what_cannot_be_found_out_is_unknown_unless_something_else_breaks() {
    let unknown = |schema: Value, text: &str| assert!(matches!(check(&schema, text), Verdict::Unknown(_)), "{schema}");
    unknown(json!({"$ref": "https://example.org/schema"}), "1");
    unknown(json!({"$ref": "#/nowhere"}), "1");
    unknown(json!({"$dynamicRef": "#node"}), "{}");
    unknown(json!({"anyOf": [{"pattern": "(?=a)b"}, true], "unevaluatedProperties": {"$ref": "x"}}), "{\"a\":1}");
    // What only such a reference speaks of may be all that is there.
    let node = json!({"n": {"$dynamicAnchor": "node", "properties": {"city": {"type": "string"}}}});
    for reference in [
        json!({"$dynamicRef": "#node"}),
        json!({"$recursiveRef": "#"}),
        json!({"allOf": [{"$dynamicRef": "#node"}]}),
        json!({"properties": {"a": true}, "if": true, "then": {"$dynamicRef": "#node"}}),
    ] {
        let mut schema = json!({"type": "object", "unevaluatedProperties": false, "$defs": node});
        schema.as_object_mut().unwrap().extend(reference.as_object().unwrap().clone());
        unknown(schema, "{\"city\":\"Rome\"}");
    }
    unknown(json!({"$dynamicRef": "#node", "unevaluatedItems": false}), "[1]");
    unknown(json!({"$ref": "#twice", "$defs": {"a": {"$anchor": "twice"}, "b": {"$anchor": "twice"}}}), "1");
    unknown(json!({"$ref": "#value", "enum": [{"$anchor": "value"}, 1]}), "1");
    unknown(json!({"pattern": "(?=a)b"}), "\"b\"");
    unknown(json!({"not": {"pattern": "(?=a)b"}}), "\"b\"");
    unknown(json!({}), &"[".repeat(200));
    assert_eq!(check(&json!({"pattern": "(?=a)b", "maxLength": 0}), "\"b\""), breaks("", "maxLength"));
    assert_eq!(check(&json!({"anyOf": [{"pattern": "(?=a)b"}, {"type": "string"}]}), "\"b\""), Verdict::Keeps);
}

#[test]
fn a_hostile_schema_takes_no_more_than_its_steps() {
    let deep = |levels: usize| (0..levels).fold(json!({"type": "string"}), |inner, _| json!({"items": inner}));
    // Two tries at each level of the answer.
    let doubling = json!({"anyOf": [{"items": {"$ref": "#"}, "minItems": 1}, {"items": {"$ref": "#"}, "minItems": 1}]});
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let wide: Vec<Value> = (0..2_000).map(|n| json!({ "a": n })).collect();
    let long = format!("\"{}\"", "a".repeat(400_000));
    let name = "a".repeat(400_000);
    let long_name = json!({ name.clone(): 1 }).to_string();
    let named =
        |name: &str, value: Value| -> Value { (0..20_000).map(|n| (format!("{name}{n}"), value.clone())).collect() };
    let objects = json!(vec![json!({"a": 1}); 2_000]).to_string();
    let folded = format!("(?i){}", "[ -\u{10fffd}]".repeat(500));
    let patterns: Vec<Value> = (0..500).map(|n| json!({"pattern": format!("^(a|b|ab){{0,{n}}}[^x]*$")})).collect();
    for (schema, text, is_found_out) in [
        (json!({"$ref": "#"}), "1", false),
        (json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}), "1", false),
        (json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), "1", false),
        (doubling, nested.as_str(), false),
        (deep(120), "[]", true),
        (json!({"uniqueItems": true}), json!(wide).to_string().as_str(), false),
        (json!({"enum": vec![json!(wide); 200]}), json!(wide).to_string().as_str(), true),
        (json!({"pattern": "(a+)+$|(a|aa)+b|^(([a-z])+.)+[A-Z]([a-z])+$"}), long.as_str(), false),
        (json!({"allOf": patterns}), "\"abababababab\"", false),
        (json!({"pattern": folded}), "\"a\"", false),
        (json!({"items": {"dependentRequired": named("k", json!([]))}}), objects.as_str(), false),
        (json!({"patternProperties": named("^k", json!(true))}), named("a", json!(1)).to_string().as_str(), false),
        (json!({"allOf": vec![json!({"maxLength": 1_000_000}); 5_000]}), long.as_str(), false),
        (json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "unevaluatedProperties": false}), "{\"a\":1}", false),
        (
            json!({"unevaluatedItems": {"$ref": "#"}, "anyOf": [{"unevaluatedItems": {"$ref": "#"}}]}),
            nested.as_str(),
            false,
        ),
        (json!({"$ref": "#a", "$defs": named("k", json!({"$anchor": "b"}))}), "1", false),
        // Names count by their bytes.
        (
            json!({"allOf": vec![json!({"properties": {"a": true}, "unevaluatedProperties": true}); 5_000]}),
            &long_name,
            false,
        ),
        (
            json!({"allOf": vec![json!({"$ref": "#/$defs/a"}); 5_000], "$defs": {"a": {"required": [name]}}}),
            &long_name,
            false,
        ),
    ] {
        let found = check(&schema, text);
        assert_eq!(!matches!(found, Verdict::Unknown(_)), is_found_out, "{found:?}");
    }
}
