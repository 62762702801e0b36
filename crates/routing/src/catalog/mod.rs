//! What is known of models: prices, limits, abilities. From `catalog.json`, which
//! `scripts/make_catalog.py` makes out of named, dated sources.

mod price;

pub use price::{Price, TokenUsage};

use serde::Deserialize;
use std::sync::LazyLock;

const CATALOG: &str = include_str!("catalog.json");

static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    serde_json::from_str(CATALOG).unwrap_or_else(|_| Catalog { date: String::new(), models: Vec::new() })
});

#[derive(Clone, Debug, Deserialize)]
pub struct Catalog {
    /// The day that the figures were taken, as `2026-11-01`.
    date: String,
    models: Vec<ModelInfo>,
}

impl Catalog {
    #[must_use]
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    #[must_use]
    pub fn models(&self) -> &[ModelInfo] {
        &self.models
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Capabilities {
    pub tools: bool,
    pub images: bool,
    pub files: bool,
    pub json_schema: bool,
    pub reasoning: bool,
}

/// What a model is expected to take before anything was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct LatencyPrior {
    /// Milliseconds to the first token.
    pub ttft_ms: f32,
    pub tokens_per_second: f32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModelInfo {
    pub provider: String,
    pub id: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    /// None: not known, which is never the same as free.
    pub price: Option<Price>,
    /// Tokens of input and output together.
    pub context_window: u64,
    pub max_output_tokens: u64,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// 0 to 1: how good its answers are expected to be, over all tasks.
    pub quality: f32,
    pub latency: LatencyPrior,
    #[serde(default)]
    pub deprecated_on: Option<String>,
    /// Where the price comes from.
    #[serde(default)]
    pub source: String,
}

impl ModelInfo {
    /// A model that only the settings know: price unknown, middling priors, able to take tools and
    /// schemas, no images.
    #[must_use]
    pub fn custom(provider: &str, id: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            id: id.to_owned(),
            aliases: Vec::new(),
            price: None,
            context_window: 128_000,
            max_output_tokens: 0,
            capabilities: Capabilities { tools: true, json_schema: true, ..Capabilities::default() },
            quality: 0.4,
            latency: LatencyPrior { ttft_ms: 800.0, tokens_per_second: 60.0 },
            deprecated_on: None,
            source: "settings".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_catalog_is_valid() {
        let catalog: Catalog = serde_json::from_str(CATALOG).unwrap();
        assert!(catalog.models.len() > 40 && catalog.date.len() == 10);
        let mut names = HashSet::new();
        for model in catalog.models() {
            for name in model.aliases.iter().chain([&model.id]) {
                assert!(names.insert((model.provider.clone(), name.clone())), "{}/{name} twice", model.provider);
            }
            assert!((0.0..=1.0).contains(&model.quality), "{}", model.id);
            assert!(model.context_window > 0 && model.source.starts_with("http"), "{}", model.id);
            assert!(model.latency.ttft_ms > 0.0 && model.latency.tokens_per_second > 0.0);
            if let Some(price) = model.price {
                assert!(price.input_pico_usd > 0 && price.output_pico_usd >= price.input_pico_usd, "{}", model.id);
                assert!(price.cache_read_pico_usd.is_none_or(|p| p <= price.input_pico_usd), "{}", model.id);
            }
        }
        for wanted in ["gpt-4o", "gpt-4o-mini", "claude-haiku-4-5", "deepseek-chat", "mistral-large-latest"] {
            assert!(names.iter().any(|(_, name)| name == wanted), "{wanted}");
        }
    }
}
