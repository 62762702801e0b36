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
    /// None: a long prompt costs by the token what a short one does.
    #[serde(default)]
    pub long_prompt: Option<LongPrompt>,
}

/// What every token of a request costs, those of the answer too, once its prompt is longer than so
/// many tokens (cached ones included).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct LongPrompt {
    pub above_input_tokens: u64,
    pub input_pico_usd: u64,
    pub output_pico_usd: u64,
    #[serde(default)]
    pub cache_read_pico_usd: Option<u64>,
    #[serde(default)]
    pub cache_write_pico_usd: Option<u64>,
}

/// Tokens, in buckets that do not overlap. Reasoning is output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    pub uncached_input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    /// A part of `cache_write`.
    pub cache_write_1h: u64,
    pub output: u64,
}

impl Price {
    /// The same for every prompt, with cached tokens at the price of input.
    #[must_use]
    pub fn flat(input_pico_usd: u64, output_pico_usd: u64) -> Self {
        Self {
            input_pico_usd,
            output_pico_usd,
            cache_read_pico_usd: None,
            cache_write_pico_usd: None,
            long_prompt: None,
        }
    }

    /// In nano-dollars, rounded up once, at the end: a request is never counted as less than it cost.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> u64 {
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let rates = self.rates(usage);
        let written_1h = usage.cache_write_1h.min(usage.cache_write);
        let pico = part(usage.uncached_input, rates.input_pico_usd)
            + part(usage.cache_read, rates.cache_read_pico_usd.unwrap_or(rates.input_pico_usd))
            + part(usage.cache_write - written_1h, rates.cache_write_pico_usd.unwrap_or(rates.input_pico_usd))
            // Anthropic's, the one that sells it: twice its price of input, for every model.
            + part(written_1h, rates.input_pico_usd.saturating_mul(2))
            + part(usage.output, rates.output_pico_usd);
        u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    /// The rates that hold for a prompt of this length.
    #[must_use]
    pub fn rates(&self, usage: &TokenUsage) -> Self {
        let prompt = usage.uncached_input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
        match self.long_prompt {
            Some(long) if prompt > long.above_input_tokens => Self {
                input_pico_usd: long.input_pico_usd,
                output_pico_usd: long.output_pico_usd,
                cache_read_pico_usd: long.cache_read_pico_usd,
                cache_write_pico_usd: long.cache_write_pico_usd,
                long_prompt: None,
            },
            _ => *self,
        }
    }

    /// To be shown, never to be reckoned with. Short prompts.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn input_usd_per_million(&self) -> f64 {
        self.input_pico_usd as f64 / 1e6
    }

    /// To be shown, never to be reckoned with. Short prompts.
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

    fn usage(uncached_input: u64, cache_read: u64, cache_write: u64, output: u64) -> TokenUsage {
        TokenUsage { uncached_input, cache_read, cache_write, cache_write_1h: 0, output }
    }

    #[test]
    fn what_is_kept_for_an_hour_costs_twice_the_input() {
        let price = Price { cache_write_pico_usd: Some(3_750), ..Price::flat(3_000, 15_000) };
        assert_eq!(price.cost(&usage(0, 0, 1_000, 0)), 3_750);
        assert_eq!(
            price.cost(&TokenUsage { cache_write_1h: 400, ..usage(0, 0, 1_000, 0) }),
            600 * 3_750 / 1_000 + 2_400
        );
        assert_eq!(price.cost(&TokenUsage { cache_write_1h: 9_999, ..usage(0, 0, 1_000, 0) }), 6_000, "it is a part");
    }

    #[test]
    fn a_cost_is_the_sum_of_its_buckets() {
        let price = Price { cache_read_pico_usd: Some(1_250_000), ..Price::flat(2_500_000, 10_000_000) };
        assert_eq!(price.cost(&usage(1_000, 1_000, 0, 100)), 2_500_000 + 1_250_000 + 1_000_000);
        assert_eq!(price.cost(&usage(0, 0, 1_000, 0)), 2_500_000, "an unknown price of a cache is that of input");
        assert_eq!(price.cost(&usage(0, 0, 0, 0)), 0);
    }

    #[test]
    fn a_part_of_a_nano_dollar_counts_as_a_whole_one() {
        assert_eq!(Price::flat(75, 75).cost(&usage(1, 0, 0, 0)), 1);
        assert_eq!(Price::flat(500, 500).cost(&usage(1, 0, 0, 1)), 1, "rounded once, not by bucket");
    }

    #[test]
    fn a_long_prompt_is_charged_at_its_own_rates_as_a_whole() {
        let long = LongPrompt {
            above_input_tokens: 1_000,
            input_pico_usd: 20_000,
            output_pico_usd: 30_000,
            cache_read_pico_usd: Some(2_000),
            cache_write_pico_usd: None,
        };
        let price = Price { long_prompt: Some(long), ..Price::flat(10_000, 20_000) };
        assert_eq!(price.cost(&usage(1_000, 0, 0, 10)), 10_000 + 200);
        assert_eq!(price.cost(&usage(1_001, 0, 0, 10)), 20_020 + 300);
        assert_eq!(price.cost(&usage(1, 1_000, 0, 0)), 20 + 2_000, "cached tokens make a prompt long too");
    }

    proptest! {
        #[test]
        fn the_cost_of_two_requests_is_that_of_their_parts_but_for_rounding(
            a in any::<[u32; 4]>(), b in any::<[u32; 4]>(), rates in any::<[u32; 4]>(),
        ) {
            let price = Price {
                input_pico_usd: rates[0].into(),
                output_pico_usd: rates[1].into(),
                cache_read_pico_usd: Some(rates[2].into()),
                cache_write_pico_usd: Some(rates[3].into()),
                long_prompt: None,
            };
            let of = |u: [u32; 4]| usage(u[0].into(), u[1].into(), u[2].into(), u[3].into());
            let (x, y) = (of(a), of(b));
            let both = usage(
                x.uncached_input + y.uncached_input,
                x.cache_read + y.cache_read,
                x.cache_write + y.cache_write,
                x.output + y.output,
            );
            let apart = u128::from(price.cost(&x)) + u128::from(price.cost(&y));
            if apart < u128::from(u64::MAX) {
                let together = u128::from(price.cost(&both));
                prop_assert!(together <= apart && apart <= together + 1);
            }
        }
    }
}
