//! What the router did with a request, as it is told: to the caller (`response.tokenrouter` and `metadata`,
//! contract §6), and in the ledger as the decision.

use super::considered::Considered;
use serde::Serialize;
use serde_json::Value;
use tokenrouter_firewall::{Action, Tally};
use tokenrouter_protocol::{Object, Usage};
use tokenrouter_routing::{Catalog, Price};

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    RoutingRule,
    Firewall,
    Router,
    Translation,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Warning {
    pub source: Source,
    pub rule_id: Option<i64>,
    pub message: String,
}

impl Warning {
    pub fn new(source: Source, rule_id: Option<i64>, message: impl Into<String>) -> Self {
        Self { source, rule_id, message: message.into() }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Attempt {
    pub provider: String,
    pub model: String,
    pub outcome: &'static str,
    /// Why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The workspace's own key that it was asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_key_id: Option<i64>,
    pub latency_ms: u64,
    /// What it told that it had used before it failed, and what that costs, if the price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct FirewallHit {
    rule_id: i64,
    action: &'static str,
    scope: &'static str,
    matches: u64,
}

/// `response.tokenrouter`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Told {
    pub request_id: String,
    pub provider: String,
    pub model: String,
    pub mode: &'static str,
    pub task: String,
    pub confidence: f32,
    pub warnings: Vec<Warning>,
    pub routing_rules: Vec<i64>,
    pub firewall: Vec<FirewallHit>,
    pub attempts: Vec<Attempt>,
    /// Null while it is not known, and when the model's price is not.
    pub cost_usd: Option<f64>,
    /// The answer was cut, or its provider told no usage: tokens and cost are what they are likely to be.
    #[serde(skip_serializing_if = "is_false")]
    pub usage_estimated: bool,
    pub latency_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Told {
    /// What the rules of the firewall did, told once.
    pub fn take_hits(&mut self, tally: &Tally) {
        if !self.firewall.is_empty() {
            return;
        }
        for hit in tally.iter().filter(|hit| hit.action != Action::Shadow) {
            let (action, scope) = (hit.action.as_str(), hit.scope.as_str());
            if hit.action == Action::Warn {
                let message = format!("firewall rule \"{}\" matched the {scope}", hit.name);
                self.warnings.push(Warning::new(Source::Firewall, Some(hit.rule_id), message));
            }
            self.firewall.push(FirewallHit { rule_id: hit.rule_id, action, scope, matches: hit.matches });
        }
    }

    /// What goes into the ledger as the decision. `price` with the rates of this request; none: not known.
    pub fn decision(&self, price: Option<Price>, route: Option<&Considered>) -> String {
        let price = price.map(|rates| PriceRecord {
            input_pico_usd: rates.input_pico_usd,
            output_pico_usd: rates.output_pico_usd,
            cache_read_pico_usd: rates.cache_read_pico_usd.unwrap_or(rates.input_pico_usd),
            cache_write_pico_usd: rates.cache_write_pico_usd.unwrap_or(rates.input_pico_usd),
            catalog_date: Catalog::builtin().date(),
        });
        serde_json::to_string(&DecisionRecord {
            told: self,
            price,
            route: route.map(|route| route.kept(&self.provider, &self.model)),
        })
        .unwrap_or_default()
    }
}

/// What goes into the ledger as the decision: what the caller was told, and the price that the cost was
/// computed from.
#[derive(Serialize)]
struct DecisionRecord<'a, R> {
    #[serde(flatten)]
    told: &'a Told,
    /// Null: not known.
    price: Option<PriceRecord<'a>>,
    /// Null if it did not come to a choice.
    route: Option<R>,
}

/// Pico-dollars a token, as they hold for a prompt of this length.
#[derive(Serialize)]
struct PriceRecord<'a> {
    input_pico_usd: u64,
    output_pico_usd: u64,
    cache_read_pico_usd: u64,
    cache_write_pico_usd: u64,
    catalog_date: &'a str,
}

/// Dollars, for a person or a program to read; sums are kept in whole nano-dollars.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn usd(nano_usd: u64) -> f64 {
    nano_usd as f64 / 1e9
}

/// The caller's own pairs, which win, and what the router tells. Strings only: typed clients of OpenAI's
/// API read metadata as a map of strings, and fail on anything else.
pub(super) fn metadata(mut metadata: Object, told: &Told) -> Object {
    let mut add = |name: &str, value: String| {
        if !metadata.contains_key(name) {
            metadata.insert(name.to_owned(), Value::String(value));
        }
    };
    add("provider", told.provider.clone());
    add("routing_mode", told.mode.to_owned());
    add("routing_confidence", told.confidence.to_string());
    add("request_id", told.request_id.clone());
    if !told.warnings.is_empty() {
        let messages: Vec<&str> = told.warnings.iter().map(|warning| warning.message.as_str()).collect();
        add("warnings", messages.join("\n"));
    }
    metadata
}
