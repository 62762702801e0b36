//! What detectors find and what they let pass, whole and in single characters.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use tokenrouter_firewall::{Action, PatternKind, RuleSet, RuleSpec, Scope, Tally};

fn masked(detector: &str, text: &str) -> String {
    let rule = RuleSpec {
        id: 1,
        name: "rule".to_owned(),
        priority: 0,
        is_enabled: true,
        scope: Scope::Response,
        kind: PatternKind::Detector,
        pattern: detector.to_owned(),
        action: Action::Mask,
        replacement: Some("*".to_owned()),
        normalize: false,
    };
    let set = Arc::new(RuleSet::compile(&[rule]).unwrap());
    let whole = set.screen(Scope::Response, text, &mut Tally::default()).unwrap().into_owned();
    let (mut guard, mut out) = (set.guard(Scope::Response), String::new());
    for c in text.chars() {
        guard.push(c.encode_utf8(&mut [0; 4]), &mut out, &mut Tally::default()).unwrap();
    }
    guard.finish(&mut out, &mut Tally::default()).unwrap();
    assert_eq!(out, whole, "streamed: {text}");
    whole
}

#[test]
fn each_detector_finds_its_kind_and_nothing_else() {
    let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7\n";
    let pem = format!("see -----BEGIN RSA PRIVATE KEY-----\n{key}-----END RSA PRIVATE KEY----- there");
    let cut = format!("see -----BEGIN PRIVATE KEY-----\n{key}");
    let github = format!("ghp_{}", "a1B2".repeat(9));
    let token = format!("use {github}, not gh_short");
    let cases = [
        ("credit_card", "4532015112830366", "*"),
        ("credit_card", "card 4532-0151-1283-0366.", "card *."),
        ("credit_card", "4532 0151 1283 0366 12 2027", "* 12 2027"),
        ("credit_card", "4532015112830367 and 378282246310005", "4532015112830367 and *"),
        ("credit_card", "0000000000000000", "0000000000000000"),
        ("credit_card", "x4532015112830366", "x4532015112830366"),
        ("iban", "DE89 3704 0044 0532 0130 00 please", "* please"),
        ("iban", "GB82WEST12345698765432", "*"),
        ("iban", "GB82WEST12345698765431", "GB82WEST12345698765431"),
        ("iban", "ZZ82WEST12345698765432", "ZZ82WEST12345698765432"),
        ("us_ssn", "123-45-6789 and 000-12-3456 and 123-45-67890", "* and 000-12-3456 and 123-45-67890"),
        ("email", "Ada <ada@example.co.uk>, ada@nowhere", "Ada <*>, ada@nowhere"),
        ("phone", "+49 30 1234567 or (555) 123-4567 or 2024-11-25", "* or * or 2024-11-25"),
        (
            "ip_address",
            "10.0.0.1, 999.1.1.1, 2001:db8::8a2e:370:7334, std::fmt 12:30:45",
            "*, 999.1.1.1, *, std::fmt 12:30:45",
        ),
        ("api_key", token.as_str(), "use *, not gh_short"),
        ("api_key", "AKIAIOSFODNN7EXAMPLE sk-proj-abcdefghijklmnopqrstuv", "* *"),
        ("private_key", pem.as_str(), "see * there"),
        ("private_key", cut.as_str(), "see *\n"),
        ("jwt", "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln;", "t=*;"),
    ];
    for (detector, text, wanted) in cases {
        assert_eq!(masked(detector, text), wanted, "{detector}: {text}");
    }
}

#[test]
fn an_unknown_detector_is_told_the_known_ones() {
    let error = tokenrouter_firewall::check_pattern(PatternKind::Detector, "passport").unwrap_err();
    assert!(error.message.contains("passport") && error.message.contains("credit_card"));
    for name in ["credit_card", "iban", "us_ssn", "email", "phone", "ip_address", "api_key", "private_key", "jwt"] {
        assert!(tokenrouter_firewall::check_pattern(PatternKind::Detector, name).is_ok(), "{name}");
    }
}
