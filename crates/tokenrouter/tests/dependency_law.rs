//! The dependency law of ARCHITECTURE.md, held against `cargo metadata`:
//! `protocol` ← `routing`, `firewall`, `providers` ← `upstream` ← `gateway` ← `tokenrouter`, with `store`
//! and `simulator` beside them; and each kind of I/O in one place only.
//!
//! What a crate's tests use (dev-dependencies) is not bound by it.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which of our own crates a crate may name. A crate that is not here has no place in the law yet.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("tokenrouter-protocol", &[]),
    ("tokenrouter-routing", &["tokenrouter-protocol"]),
    ("tokenrouter-pcre2", &[]),
    ("tokenrouter-firewall", &["tokenrouter-protocol", "tokenrouter-pcre2"]),
    ("tokenrouter-providers", &["tokenrouter-protocol"]),
    ("tokenrouter-store", &["tokenrouter-protocol"]),
    ("tokenrouter-simulator", &[]),
    ("tokenrouter-evaluation", &["tokenrouter-routing"]),
    ("tokenrouter-load", &[]),
    ("tokenrouter-upstream", &["tokenrouter-protocol", "tokenrouter-providers"]),
    (
        "tokenrouter-gateway",
        &[
            "tokenrouter-protocol",
            "tokenrouter-routing",
            "tokenrouter-firewall",
            "tokenrouter-providers",
            "tokenrouter-upstream",
            "tokenrouter-store",
        ],
    ),
    (
        "tokenrouter",
        &[
            "tokenrouter-protocol",
            "tokenrouter-routing",
            "tokenrouter-firewall",
            "tokenrouter-providers",
            "tokenrouter-upstream",
            "tokenrouter-store",
            "tokenrouter-gateway",
            "tokenrouter-simulator",
            "tokenrouter-evaluation",
        ],
    ),
];

/// What only some crates may name: the crate from outside, and who may.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rusqlite", &["tokenrouter-store"]),
    ("sqlx", &["tokenrouter-store"]),
    ("hyper-rustls", &["tokenrouter-upstream"]),
    ("rustls", &["tokenrouter-upstream"]),
    ("reqwest", &[]),
    ("axum", &["tokenrouter-gateway", "tokenrouter-simulator"]),
    ("clap", &["tokenrouter"]),
    ("toml", &["tokenrouter"]),
    ("pcre2-sys", &["tokenrouter-pcre2"]),
    ("libc", &["tokenrouter-pcre2"]),
];

/// Crates that decide: they know no socket, database, clock or async runtime.
const PURE: &[&str] = &[
    "tokenrouter-protocol",
    "tokenrouter-routing",
    "tokenrouter-firewall",
    "tokenrouter-providers",
    "tokenrouter-pcre2",
    "tokenrouter-evaluation",
];
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures-util",
    "async-trait",
    "hyper",
    "hyper-util",
    "axum",
    "tower",
    "rusqlite",
    "sqlx",
    "redis",
    "jiff",
    "chrono",
    "time",
];

/// Each member's dependencies, without those of its tests.
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    packages.iter().map(|package| (word(&package["name"]), dependencies(package))).collect()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("a package lists its dependencies");
    all.iter().filter(|dependency| dependency["kind"] != "dev").map(|dependency| word(&dependency["name"])).collect()
}

fn word(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}

#[test]
fn every_crate_of_the_workspace_has_its_place_in_the_law() {
    let placed: BTreeSet<String> = MAY_NAME.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members().into_keys().collect::<BTreeSet<_>>(), placed);
}

#[test]
fn our_crates_depend_on_each_other_in_one_direction_only() {
    let members = members();
    for (name, allowed) in MAY_NAME {
        let ours = members[*name].iter().filter(|dependency| members.contains_key(*dependency));
        let wrong: Vec<_> = ours.filter(|dependency| !allowed.contains(&dependency.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
}

#[test]
fn each_kind_of_input_and_output_is_named_in_one_place_only() {
    for (name, dependencies) in members() {
        for (outside, allowed) in ONLY_IN {
            let named = dependencies.contains(*outside);
            assert!(!named || allowed.contains(&name.as_str()), "{name} must not name {outside}: only {allowed:?} may");
        }
    }
}

#[test]
fn crates_that_decide_know_no_socket_database_clock_or_runtime() {
    let members = members();
    for name in PURE {
        let wrong: Vec<_> = IMPURE.iter().filter(|impure| members[*name].contains(**impure)).collect();
        assert!(wrong.is_empty(), "{name} decides, so it must not name {wrong:?}");
    }
}
