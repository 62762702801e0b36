//! What rules cost: a prompt of 4 KiB under 10, 100 and 1,000 rules (half substring, half regex, none of which
//! matches), whole and streamed in pieces of 20 bytes; beside it the loop of one regex after another. Then the
//! longest that hostile patterns hold 64 KiB up.
//!
//! `cargo run --release -p tokenrouter-firewall --example firewall_bench`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_firewall::{Action, PatternKind, RuleSet, RuleSpec, Scope, Tally};
use tokenrouter_pcre2::thread_time;

type Problem = Box<dyn std::error::Error>;

fn rule(number: usize, kind: PatternKind, pattern: String) -> RuleSpec {
    RuleSpec {
        id: i64::try_from(number).unwrap_or_default(),
        name: format!("rule {number}"),
        priority: 0,
        is_enabled: true,
        scope: Scope::Prompt,
        kind,
        pattern,
        action: [Action::Mask, Action::Block, Action::Warn][number % 3],
        replacement: None,
        normalize: false,
    }
}

/// As companies have them: code names and client names as substrings; account numbers, internal hosts, tokens
/// and tickets as patterns.
fn rules(count: usize) -> Vec<RuleSpec> {
    const NAMES: [&str; 8] = ["falcon", "harbour", "juniper", "meridian", "obsidian", "quartz", "saffron", "willow"];
    (0..count)
        .map(|n| {
            let name = NAMES[n / 2 % NAMES.len()];
            match n % 8 {
                0 | 2 | 4 | 6 => rule(n, PatternKind::Substring, format!("project {name} {n}")),
                1 => rule(n, PatternKind::Regex, format!(r"\bACC{n}-\d{{4}}-\d{{4}}\b")),
                3 => rule(n, PatternKind::Regex, format!(r"{name}{n}\.(?:corp|internal)\.example")),
                5 => rule(n, PatternKind::Regex, format!(r"tok_{name}_{n}[A-Za-z0-9]{{16,}}")),
                _ => rule(n, PatternKind::Regex, format!(r"(?:ticket|case)\s#?{n}\d{{3}}(?!\d)")),
            }
        })
        .collect()
}

fn text(bytes: usize) -> String {
    const PROSE: &str = "The meeting about the new gateway was moved to Thursday. Please review the projections in the \
        attached table, compare them with last quarter's figures (12,400 and 13,950), and tell Ms. Falconer whether \
        the token budget of the harbour office still holds. Tickets that nobody has claimed go to the second line. ";
    PROSE.repeat(bytes / PROSE.len() + 1)[..bytes].to_owned()
}

/// The least of several runs, each of some milliseconds.
fn least(mut once: impl FnMut()) -> Duration {
    (0..15)
        .map(|_| {
            let (began, mut count) = (Instant::now(), 0);
            while began.elapsed() < Duration::from_millis(10) {
                once();
                count += 1;
            }
            began.elapsed() / count
        })
        .min()
        .unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn stream(set: &Arc<RuleSet>, text: &str) {
    let mut guard = set.guard(Scope::Prompt);
    let (mut out, mut tally) = (String::with_capacity(text.len()), Tally::default());
    for piece in text.as_bytes().chunks(20) {
        let piece = std::str::from_utf8(piece).unwrap_or_default();
        let _ = black_box(guard.push(piece, &mut out, &mut tally));
    }
    let _ = black_box(guard.finish(&mut out, &mut tally));
    black_box(out);
}

fn main() -> Result<(), Problem> {
    let text = text(4 << 10);
    println!("| rules | whole, µs | streamed in 20 bytes, µs | a piece, µs | one regex after another, µs | times |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for count in [10, 100, 1_000] {
        let specs = rules(count);
        let set = Arc::new(RuleSet::compile(&specs).map_err(|(_, error)| error)?);
        let mut tally = Tally::default();
        if set.screen(Scope::Prompt, &text, &mut tally).map_err(|blocked| blocked.rule_name)? != text.as_str()
            || tally.iter().next().is_some()
        {
            return Err("a rule matches".into());
        }
        let loops: Vec<regex::Regex> = specs
            .iter()
            .map(|spec| {
                let pattern = match spec.kind {
                    PatternKind::Substring | PatternKind::Detector => regex::escape(&spec.pattern),
                    // The loop gets what the `regex` crate can do.
                    PatternKind::Regex => spec.pattern.replace(r"(?!\d)", ""),
                };
                regex::RegexBuilder::new(&pattern).case_insensitive(true).build()
            })
            .collect::<Result<_, _>>()?;
        let whole = least(|| drop(black_box(set.screen(Scope::Prompt, black_box(&text), &mut tally))));
        let streamed = least(|| stream(&set, black_box(&text)));
        let naive = least(|| {
            black_box(loops.iter().filter(|regex| regex.is_match(black_box(&text))).count());
        });
        println!(
            "| {count} | {:.1} | {:.1} | {:.2} | {:.1} | {:.0} |",
            micros(whole),
            micros(streamed),
            micros(streamed) / (text.len() as f64 / 20.0),
            micros(naive),
            naive.as_secs_f64() / whole.as_secs_f64(),
        );
    }
    hostile()
}

/// Patterns that have held gateways up, over texts that make them do it.
fn hostile() -> Result<(), Problem> {
    const PATTERNS: [&str; 19] = [
        r"(a+)+$",
        r"(a|aa)+$",
        r"(.*a){20}",
        r"(?=.*SECRET)(?=.*KEY)\w+",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        r"(\w+\s?)*$",
        r"(?:a?){30}a{30}b",
        r"(x+x+)+y",
        r"(.*)*b",
        r"\b(\w+)\b.*\b\1\b.*\b\1\b",
        r"(?<=a{1,200})b",
        r"(a*)*\1b",
        r".*[^A-Z]|[A-Z]",
        r"(?s).*?.*?.*?.*?=",
        r"((?R)|a)*b",
        r"(?:(?=(a+))\1)+b",
        r"[a-z]{1,900}!",
        r"[a-z]{0,500}[0-9]{3}x",
        r"(?s).{0,500}ZZ",
    ];
    let texts = [
        "a".repeat(64 << 10),
        "a".repeat(64 << 10) + "!",
        "ab ".repeat(22_000),
        "x".repeat(64 << 10),
        text(64 << 10),
        "SECRET KEY ".repeat(6_000),
        "=".repeat(64 << 10),
        "aB\n".repeat(22_000),
    ];
    let mut worst = (Duration::ZERO, "", "");
    for pattern in PATTERNS {
        let Ok(set) = RuleSet::compile(&[rule(1, PatternKind::Regex, pattern.to_owned())]) else { continue };
        let set = Arc::new(set);
        for text in &texts {
            for streamed in [false, true] {
                // Processor time: what others do on the machine holds nobody up.
                let began = thread_time();
                let mut tally = Tally::default();
                if streamed {
                    let mut guard = set.guard(Scope::Prompt);
                    let mut out = String::new();
                    for piece in text.as_bytes().chunks(997) {
                        if guard.push(std::str::from_utf8(piece)?, &mut out, &mut tally).is_err() {
                            break;
                        }
                    }
                } else {
                    let _ = black_box(set.screen(Scope::Prompt, text, &mut tally));
                }
                let took = thread_time().saturating_sub(began);
                if took > worst.0 {
                    worst = (took, pattern, if streamed { "streamed" } else { "whole" });
                }
            }
        }
    }
    let (took, pattern, how) = worst;
    println!(
        "\nThe longest of {} hostile patterns over 64 KiB: {:.1} ms, `{pattern}`, {how}.",
        PATTERNS.len(),
        micros(took) / 1e3
    );
    if took > Duration::from_millis(50) {
        return Err("a pattern held a text up for more than 50 ms".into());
    }
    Ok(())
}
