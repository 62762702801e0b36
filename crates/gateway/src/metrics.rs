//! Counts for Prometheus, in its text format. Names of providers and models and ids of rules, never a
//! text of a caller; **so many series and no more**, as callers can name models of their own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokenrouter_store::LedgerEntry;

/// What comes beyond is counted under the name `other`.
const MOST_SERIES: usize = 1_000;
const LATENCY_MS: [i64; 11] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000];

#[derive(Default)]
pub(crate) struct Metrics {
    in_flight: AtomicI64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<Labels, Sums>,
    latency: BTreeMap<String, Histogram>,
    firewall: BTreeMap<(i64, &'static str, &'static str), u64>,
}

#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    outcome: String,
    provider: String,
    model: String,
}

#[derive(Default)]
struct Sums {
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_nano_usd: u64,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; LATENCY_MS.len()],
    count: u64,
    sum_ms: i64,
}

/// A rule of the firewall that matched.
pub(crate) struct Hit {
    pub rule_id: i64,
    pub action: &'static str,
    pub scope: &'static str,
    pub matches: u64,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn observe(&self, entry: &LedgerEntry, hits: impl Iterator<Item = Hit>) {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let mut labels =
            Labels { outcome: entry.outcome.clone(), provider: word(&entry.provider), model: word(&entry.model) };
        let mut counts = self.counts();
        if counts.requests.len() >= MOST_SERIES && !counts.requests.contains_key(&labels) {
            "other".clone_into(&mut labels.model);
        }
        let provider = labels.provider.clone();
        let sums = counts.requests.entry(labels).or_default();
        sums.requests += 1;
        sums.input_tokens = sums.input_tokens.saturating_add(entry.input_tokens);
        sums.output_tokens = sums.output_tokens.saturating_add(entry.output_tokens);
        let cost = entry.cost_nano_usd.and_then(|cost| u64::try_from(cost).ok()).unwrap_or_default();
        sums.cost_nano_usd = sums.cost_nano_usd.saturating_add(cost);
        let histogram = counts.latency.entry(provider).or_default();
        histogram.count += 1;
        histogram.sum_ms = histogram.sum_ms.saturating_add(entry.latency_ms);
        for (bucket, most) in histogram.buckets.iter_mut().zip(LATENCY_MS) {
            *bucket += u64::from(entry.latency_ms <= most);
        }
        for hit in hits {
            let key = (hit.rule_id, hit.action, hit.scope);
            if counts.firewall.len() < MOST_SERIES || counts.firewall.contains_key(&key) {
                *counts.firewall.entry(key).or_default() += hit.matches;
            }
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let counts = self.counts();
        type Of = fn(&Sums) -> u64;
        let families: [(&str, &str, Of); 4] = [
            ("tokenrouter_requests_total", "Requests that ended.", |sums| sums.requests),
            ("tokenrouter_input_tokens_total", "Tokens of prompts, cached ones too.", |sums| sums.input_tokens),
            ("tokenrouter_output_tokens_total", "Tokens of answers.", |sums| sums.output_tokens),
            ("tokenrouter_cost_nano_usd_total", "Billionths of a dollar, where known.", |sums| sums.cost_nano_usd),
        ];
        for (name, help, of) in families {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter")?;
            for (labels, sums) in &counts.requests {
                let (outcome, provider, model) = (&labels.outcome, escaped(&labels.provider), escaped(&labels.model));
                let value = of(sums);
                writeln!(out, "{name}{{outcome=\"{outcome}\",provider=\"{provider}\",model=\"{model}\"}} {value}")?;
            }
        }
        let name = "tokenrouter_request_duration_seconds";
        writeln!(out, "# HELP {name} From the request to its end.\n# TYPE {name} histogram")?;
        for (provider, histogram) in &counts.latency {
            let provider = escaped(provider);
            for (most, count) in LATENCY_MS.iter().zip(histogram.buckets) {
                let most = seconds(*most);
                writeln!(out, "{name}_bucket{{provider=\"{provider}\",le=\"{most}\"}} {count}")?;
            }
            writeln!(out, "{name}_bucket{{provider=\"{provider}\",le=\"+Inf\"}} {}", histogram.count)?;
            writeln!(out, "{name}_sum{{provider=\"{provider}\"}} {}", seconds(histogram.sum_ms))?;
            writeln!(out, "{name}_count{{provider=\"{provider}\"}} {}", histogram.count)?;
        }
        let name = "tokenrouter_firewall_matches_total";
        writeln!(out, "# HELP {name} Matches of firewall rules.\n# TYPE {name} counter")?;
        for ((rule, action, scope), matches) in &counts.firewall {
            writeln!(out, "{name}{{rule_id=\"{rule}\",action=\"{action}\",scope=\"{scope}\"}} {matches}")?;
        }
        let name = "tokenrouter_requests_in_flight";
        writeln!(out, "# HELP {name} Requests under way.\n# TYPE {name} gauge")?;
        writeln!(out, "{name} {}", self.in_flight.load(Ordering::Relaxed))
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
