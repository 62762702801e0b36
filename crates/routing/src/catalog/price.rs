//! Money: whole numbers, never floats.

use serde::Deserialize;

/// Pico-dollars (10⁻¹² USD) a token, so that $0.075 for a million tokens is 75,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Price {
    pub input_pico_usd: u64,
    pub output_pico_usd: u64,
    /// None: as input.
    #[serde(default)]
    pub cache_read_pico_usd: Option<u64>,
    /// None: as input.
    #[serde(default)]
    pub cache_write_pico_usd: Option<u64>,
}

/// Tokens, in buckets that do not overlap. Reasoning is output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    pub uncached_input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub output: u64,
}

impl Price {
    /// In nano-dollars, rounded up once, at the end: a request is never counted as less than it cost.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> u64 {
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let pico = part(usage.uncached_input, self.input_pico_usd)
            + part(usage.cache_read, self.cache_read_pico_usd.unwrap_or(self.input_pico_usd))
            + part(usage.cache_write, self.cache_write_pico_usd.unwrap_or(self.input_pico_usd))
            + part(usage.output, self.output_pico_usd);
        u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    /// To be shown.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn input_usd_per_million(&self) -> f64 {
        self.input_pico_usd as f64 / 1e6
    }

    /// To be shown.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn output_usd_per_million(&self) -> f64 {
        self.output_pico_usd as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cost_is_the_sum_of_its_buckets() {
        let price = Price {
            input_pico_usd: 2_500_000,
            output_pico_usd: 10_000_000,
            cache_read_pico_usd: Some(1_250_000),
            cache_write_pico_usd: None,
        };
        let usage = TokenUsage { uncached_input: 1_000, cache_read: 1_000, cache_write: 0, output: 100 };
        assert_eq!(price.cost(&usage), 2_500_000 + 1_250_000 + 1_000_000);
        let cheap =
            Price { input_pico_usd: 75, output_pico_usd: 75, cache_read_pico_usd: None, cache_write_pico_usd: None };
        assert_eq!(cheap.cost(&TokenUsage { uncached_input: 1, ..TokenUsage::default() }), 1, "rounded up");
    }

    proptest! {
        #[test]
        fn more_tokens_never_cost_less(a in 0u64..1 << 40, b in 0u64..1 << 40, more in 0u64..1 << 40) {
            let price = Price { input_pico_usd: 3, output_pico_usd: 7, cache_read_pico_usd: Some(1), cache_write_pico_usd: Some(4) };
            let usage = TokenUsage { uncached_input: a, output: b, ..TokenUsage::default() };
            let larger = TokenUsage { cache_read: more, ..usage };
            prop_assert!(price.cost(&larger) >= price.cost(&usage));
        }
    }
}
