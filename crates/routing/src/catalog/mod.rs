//! What is known of models: prices, limits, abilities, and what to expect of them.
//!
//! From `catalog.json`, which `scripts/make_catalog.py` makes out of named, dated sources. Chat models
//! only: what embeds, draws or speaks is not here.

mod model;
mod price;

pub use model::{Capabilities, LatencyPrior, ModelInfo, QualityByTask, Source};
pub use price::{LongPrompt, Price, TokenUsage};

use serde::Deserialize;
use std::sync::LazyLock;

const CATALOG: &str = include_str!("catalog.json");

static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    serde_json::from_str(CATALOG).unwrap_or_else(|_| Catalog { date: String::new(), models: Vec::new() })
});

#[derive(Clone, Debug, Deserialize)]
pub struct Catalog {
    date: String,
    models: Vec<ModelInfo>,
}

impl Catalog {
    /// The catalog that is compiled in; read once.
    #[must_use]
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The day for which the figures were gathered, as `2026-11-24`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    #[must_use]
    pub fn models(&self) -> &[ModelInfo] {
        &self.models
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn catalog() -> Catalog {
        serde_json::from_str(CATALOG).unwrap()
    }

    fn is_a_day(text: &str) -> bool {
        text.len() == 10 && text.split('-').map(str::len).eq([4, 2, 2])
    }

    #[test]
    fn every_model_says_where_its_figures_come_from() {
        let catalog = catalog();
        assert!(is_a_day(catalog.date()));
        for model in catalog.models() {
            assert!(model.source.address.starts_with("https://"), "{}", model.id);
            assert!(!model.source.dataset.is_empty() && !model.source.price.is_empty(), "{}", model.id);
            assert!(model.quality_source == "estimate" || model.quality_source.starts_with("https://"), "{}", model.id);
            for task in model.quality_by_task.keys() {
                let source = model.quality_sources.get(task).map_or("", String::as_str);
                assert!(source == "estimate" || source.contains(", https://"), "{}: {source}", model.id);
            }
            assert!(model.deprecated_on.as_deref().is_none_or(is_a_day), "{}", model.id);
        }
    }

    #[test]
    fn every_figure_is_in_its_range() {
        for model in catalog().models() {
            let name = &model.id;
            let abilities = model.quality_by_task.values().chain([&model.quality]);
            assert!(abilities.copied().all(|ability| (0.0..=1.0).contains(&ability)), "{name}");
            assert!(model.latency.ttft_ms > 0.0 && model.latency.tokens_per_second > 0.0, "{name}");
            assert!(model.context_window >= 4_096 && model.max_output_tokens > 0, "{name}");
            assert!(model.max_output_tokens <= model.context_window, "{name}");
            assert!(model.max_input_tokens.is_none_or(|most| most < model.context_window), "{name}");
            if let Some(price) = model.price {
                assert!(price.input_pico_usd > 0 && price.output_pico_usd > 0, "{name}");
                // Nothing costs less than a cent or more than a thousand dollars for a million tokens.
                assert!(price.input_pico_usd >= 10_000 && price.output_pico_usd <= 1_000_000_000, "{name}");
                assert!(price.cache_read_pico_usd.is_none_or(|p| p > 0 && p <= price.input_pico_usd), "{name}");
                assert!(price.cache_write_pico_usd.is_none_or(|p| p >= price.input_pico_usd), "{name}");
                if let Some(long) = price.long_prompt {
                    assert!(long.above_input_tokens < model.context_window, "{name}");
                    assert!(long.input_pico_usd >= price.input_pico_usd, "{name}");
                    assert!(long.output_pico_usd >= price.output_pico_usd, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_name_means_one_model_of_a_provider() {
        let mut names = HashSet::new();
        let catalog = catalog();
        for model in catalog.models() {
            for name in model.aliases.iter().chain([&model.id]).chain(&model.shared_name) {
                let name = (model.provider.as_str(), name.to_lowercase());
                assert!(names.insert(name.clone()), "{name:?} twice");
            }
        }
        for (provider, name) in [
            ("openai", "gpt-4o"),
            ("openai", "gpt-4o-2024-08-06"),
            ("openai", "gpt-4o-mini"),
            ("openai", "gpt-4.1"),
            ("openai", "gpt-5"),
            ("openai", "o3"),
            ("openai", "o4-mini"),
            ("anthropic", "claude-sonnet-4-5"),
            ("anthropic", "claude-haiku-4-5"),
            ("mistral", "mistral-large-latest"),
            ("mistral", "mistral-small-latest"),
            ("mistral", "codestral-latest"),
            ("mistral", "magistral-medium-latest"),
            ("deepseek", "deepseek-chat"),
            ("deepseek", "deepseek-reasoner"),
            ("gemini", "gemini-2.5-pro"),
        ] {
            assert!(names.contains(&(provider, name.to_owned())), "{provider}/{name}");
        }
        assert!((60..=100).contains(&catalog.models().len()));
    }

    #[test]
    fn prices_are_read_as_they_are_published() {
        let catalog = catalog();
        let price = |id: &str| catalog.models().iter().find(|m| m.id == id).and_then(|m| m.price).unwrap();
        let gpt = price("gpt-4o-mini");
        assert_eq!(
            (gpt.input_pico_usd, gpt.output_pico_usd, gpt.cache_read_pico_usd),
            (150_000, 600_000, Some(75_000))
        );
        let claude = price("claude-sonnet-4-5");
        assert_eq!((claude.input_pico_usd, claude.output_pico_usd), (3_000_000, 15_000_000));
        assert_eq!((claude.cache_read_pico_usd, claude.cache_write_pico_usd), (Some(300_000), Some(3_750_000)));
    }
}
