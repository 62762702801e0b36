//! What a request has used, and what that comes to.
//!
//! What a provider tells at the end of its answer counts. Where there was no such end, since the caller
//! left, a limit of time passed, or the answer broke off, **what was likely used is estimated, counted
//! against limits, and told as an estimate**: figures that come in the middle of a stream are of its
//! beginning. What a target told that it had used before it failed is paid for as well; one that told nothing is
//! taken to have used nothing.

use super::plan::BYTES_PER_TOKEN;
use crate::limits::Amount;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_protocol::{ModelEvent, Request, Usage};
use tokenrouter_routing::{ModelInfo, Observed, Price, Target, TokenUsage};

/// Where neither the request nor the catalog says how long an answer may be.
const USUAL_OUTPUT: u64 = 4_096;

/// What a target takes for a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sale {
    /// The standard one; none: not known.
    pub price: Option<Price>,
    /// The field of the request that asks for something else than the standard.
    pub repriced_by: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub usage: Usage,
    pub is_estimate: bool,
}

/// A target that was asked and has not answered yet.
pub(super) struct UnderWay {
    pub provider: Arc<str>,
    pub name: Arc<str>,
    pub model_id: String,
    sale: Sale,
    since: Instant,
    first_token: Duration,
    tokens_per_second: f64,
    most_output: u64,
    /// So far.
    told: Option<Usage>,
}

/// What a target used that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub usage: Usage,
    sale: Sale,
    /// It was told at the end of an answer, not in its middle.
    is_whole: bool,
}

#[derive(Default)]
pub(super) struct Spending {
    /// Of the prompt, as estimated.
    pub input_tokens: u64,
    under_way: Option<UnderWay>,
    lost: Vec<Lost>,
    /// Of who answers.
    sale: Option<Sale>,
    told: Option<Usage>,
    is_whole: bool,
    /// Of the answer's text.
    text_bytes: usize,
}

impl Spending {
    /// A target is asked that answers at this pace, or else at the one that the catalog expects.
    pub fn asks(&mut self, target: &Target, seen: Option<Observed>, sale: Sale, request: &Request) {
        let (prior, seen) = (target.model.latency, seen.unwrap_or_default());
        let or_prior = |seen: f32, prior: f32| if seen > 0.0 { seen } else { prior };
        let first_token = f64::from(or_prior(seen.ttft_ms, prior.ttft_ms)).max(0.0) / 1e3;
        self.under_way = Some(UnderWay {
            provider: Arc::clone(&target.provider),
            name: Arc::clone(&target.name),
            model_id: target.model.id.clone(),
            sale,
            since: Instant::now(),
            first_token: Duration::try_from_secs_f64(first_token).unwrap_or_default(),
            tokens_per_second: f64::from(or_prior(seen.tokens_per_second, prior.tokens_per_second)),
            most_output: most_output(&target.model, request),
            told: None,
        });
    }

    /// The same for embeddings, which write nothing.
    pub fn asks_for_embeddings(&mut self, provider: &str, name: &str, price: Option<Price>) {
        self.under_way = Some(UnderWay {
            provider: provider.into(),
            name: name.into(),
            model_id: name.to_owned(),
            sale: Sale { price, repriced_by: None },
            since: Instant::now(),
            first_token: Duration::ZERO,
            tokens_per_second: 0.0,
            most_output: 0,
            told: None,
        });
    }

    /// The target that was asked tells what it has used so far, and may still fail.
    pub fn hears(&mut self, events: &[ModelEvent]) {
        if let Some(under_way) = &mut self.under_way {
            for event in events {
                if let ModelEvent::Usage(usage) = event {
                    under_way.told = Some(*usage);
                }
            }
        }
    }

    /// The target that was asked has failed; gives what it told that it had used. `is_whole`: its answer was.
    pub fn failed(&mut self, is_whole: bool) -> Option<Lost> {
        let UnderWay { sale, told, .. } = self.under_way.take()?;
        let lost = Lost { usage: told?, sale, is_whole };
        self.lost.push(lost);
        Some(lost)
    }

    /// The target that was asked has answered, or begun to.
    pub fn answering(&mut self, sale: Sale) {
        self.under_way = None;
        self.sale = Some(sale);
    }

    /// Takes the target that was asked and has neither answered nor failed, since nobody waits any more: by
    /// now it is likely to have read the prompt, and to have written for as long as there was time.
    pub fn abandon(&mut self) -> Option<(UnderWay, Sale)> {
        let left = self.under_way.take()?;
        let told = left.told.unwrap_or(Usage { uncached_input: self.input_tokens, ..Usage::default() });
        self.told = Some(Usage { output: told.output.max(left.output_by(left.since.elapsed())), ..told });
        let sale = left.sale;
        Some((left, sale))
    }

    pub fn tells(&mut self, usage: Usage) {
        self.told = Some(usage);
    }

    pub fn wrote(&mut self, text: &str) {
        self.text_bytes = self.text_bytes.saturating_add(text.len());
    }

    /// The answer came to its end: what was told last is what was used.
    pub fn is_whole(&mut self) {
        self.is_whole = true;
    }

    /// Takes in an answer that came whole.
    pub fn whole(&mut self, events: &[ModelEvent]) {
        for event in events {
            match event {
                ModelEvent::Usage(usage) => self.tells(*usage),
                ModelEvent::Delta { text, .. } => self.wrote(text),
                _ => {}
            }
        }
        self.is_whole();
    }

    /// By who answered; none if nobody did.
    pub fn spent(&self) -> Option<Spent> {
        self.sale?;
        if let Some(usage) = self.told.filter(|_| self.is_whole) {
            return Some(Spent { usage, is_estimate: false });
        }
        let prompt = Usage { uncached_input: self.input_tokens, ..Usage::default() };
        let mut usage = self.told.unwrap_or(prompt);
        let written = u64::try_from(self.text_bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX);
        usage.output = usage.output.max(written);
        Some(Spent { usage, is_estimate: true })
    }

    /// By who answered, and those before that failed.
    pub fn total(&self) -> Option<Spent> {
        let lost = self.lost.iter().map(|lost| Spent { usage: lost.usage, is_estimate: !lost.is_whole });
        self.spent().into_iter().chain(lost).reduce(|sum, one| Spent {
            usage: sum.usage.plus(one.usage),
            is_estimate: sum.is_estimate || one.is_estimate,
        })
    }

    /// What was sold, and at what price.
    fn sold(&self) -> impl Iterator<Item = (Sale, Usage)> {
        let answer = self.sale.zip(self.spent()).map(|(sale, spent)| (sale, spent.usage));
        answer.into_iter().chain(self.lost.iter().map(|lost| (lost.sale, lost.usage)))
    }

    /// None where nothing was used, or a price is not known.
    pub fn cost_nano_usd(&self) -> Option<u64> {
        let costs = self.sold().map(|(sale, usage)| sale.cost_nano_usd(&usage));
        costs.reduce(|sum, one| Some(sum?.saturating_add(one?))).flatten()
    }

    /// What is counted against limits. What is sold otherwise counts at the standard price; a key with a
    /// budget cannot ask for it.
    pub fn charged(&self) -> Amount {
        let amounts = self.sold().map(|(sale, usage)| amount(sale.price.as_ref(), &usage));
        amounts.fold(Amount::default(), Amount::and)
    }

    /// The part of it that targets have used that failed.
    pub fn lost(&self) -> Amount {
        let amounts = self.lost.iter().map(|lost| amount(lost.sale.price.as_ref(), &lost.usage));
        amounts.fold(Amount::default(), Amount::and)
    }

    /// The price as it holds for a prompt of this length, if it is known.
    pub fn rates(&self) -> Option<Price> {
        let usage = self.spent().unwrap_or_default().usage;
        Some(self.sale?.known_price()?.rates(&tokens(&usage)))
    }

    /// As told by the provider, so far.
    pub fn output_tokens(&self) -> u64 {
        self.told.map_or(0, |usage| usage.output)
    }
}

impl Sale {
    pub fn known_price(self) -> Option<Price> {
        self.price.filter(|_| self.repriced_by.is_none())
    }

    fn cost_nano_usd(self, usage: &Usage) -> Option<u64> {
        self.known_price().map(|price| price.cost(&tokens(usage)))
    }
}

impl Lost {
    pub fn cost_nano_usd(&self) -> Option<u64> {
        self.sale.cost_nano_usd(&self.usage)
    }
}

impl UnderWay {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn output_by(&self, elapsed: Duration) -> u64 {
        let written = elapsed.saturating_sub(self.first_token).as_secs_f64() * self.tokens_per_second;
        (written as u64).min(self.most_output)
    }
}

/// How long an answer may get, in tokens.
fn most_output(model: &ModelInfo, request: &Request) -> u64 {
    let known = Some(model.max_output_tokens).filter(|most| *most > 0);
    request.max_output_tokens.or(known).unwrap_or(USUAL_OUTPUT)
}

/// What a request may come to at a target.
pub(super) fn estimate(target: &Target, request: &Request, input_tokens: u64) -> Amount {
    let output = most_output(&target.model, request);
    let usage = Usage { uncached_input: input_tokens, output, ..Usage::default() };
    amount(target.model.price.as_ref(), &usage)
}

/// What a request is likely to use at a target, with an answer of the expected length, or else of the longest.
pub(super) fn expected_usage(target: &Target, request: &Request, input_tokens: u64, output: Option<u64>) -> Usage {
    let most = most_output(&target.model, request);
    Usage { uncached_input: input_tokens, output: output.map_or(most, |output| output.min(most)), ..Usage::default() }
}

/// What tokens come to, at no cost where the price is not known.
pub(super) fn amount(price: Option<&Price>, usage: &Usage) -> Amount {
    let cost_nano_usd = price.map_or(0, |price| price.cost(&tokens(usage)));
    Amount { tokens: usage.total(), cost_nano_usd }
}

fn tokens(usage: &Usage) -> TokenUsage {
    TokenUsage {
        uncached_input: usage.uncached_input,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALE: Sale = Sale { price: None, repriced_by: None };

    fn usage(uncached_input: u64, output: u64) -> Usage {
        Usage { uncached_input, output, ..Usage::default() }
    }

    fn check(spending: &Spending, wanted: Option<(u64, u64, bool)>) {
        let spent = spending.spent();
        assert_eq!(spent.map(|s| (s.usage.uncached_input, s.usage.output, s.is_estimate)), wanted);
    }

    #[test]
    fn what_is_told_at_the_end_counts_and_what_is_told_before_does_not() {
        let mut spending = Spending { input_tokens: 7, ..Spending::default() };
        check(&spending, None);
        spending.answering(SALE);
        check(&spending, Some((7, 0, true)));
        spending.tells(usage(9, 1));
        spending.wrote("a text of some twenty");
        check(&spending, Some((9, 6, true)));
        spending.tells(usage(9, 5));
        spending.is_whole();
        check(&spending, Some((9, 5, false)));
    }

    #[test]
    fn a_whole_answer_without_usage_is_estimated_by_its_text() {
        let mut spending = Spending { input_tokens: 7, ..Spending::default() };
        spending.answering(SALE);
        spending.wrote("twelve bytes");
        spending.is_whole();
        check(&spending, Some((7, 3, true)));
    }

    #[test]
    fn what_is_sold_otherwise_has_no_cost_and_is_charged_at_the_standard_price() {
        let sale = Sale { price: Some(Price::flat(1_000, 2_000)), repriced_by: Some("service_tier") };
        let mut spending = Spending::default();
        spending.answering(sale);
        spending.tells(usage(10, 5));
        spending.is_whole();
        assert_eq!((spending.cost_nano_usd(), spending.rates()), (None, None));
        assert_eq!(spending.charged(), Amount { tokens: 15, cost_nano_usd: 20 });
    }

    #[test]
    fn who_was_asked_in_vain_is_likely_to_have_written_for_as_long_as_there_was_time() {
        let left = |most_output| UnderWay {
            provider: "openai".into(),
            name: "m".into(),
            model_id: "m".to_owned(),
            sale: SALE,
            since: Instant::now(),
            first_token: Duration::from_secs(1),
            tokens_per_second: 50.0,
            most_output,
            told: None,
        };
        assert_eq!(left(1_000).output_by(Duration::from_millis(500)), 0);
        assert_eq!(left(1_000).output_by(Duration::from_secs(3)), 100);
        assert_eq!(left(60).output_by(Duration::from_secs(3)), 60);
        let mut spending = Spending { input_tokens: 7, under_way: Some(left(60)), ..Spending::default() };
        let (_, sale) = spending.abandon().unwrap();
        spending.answering(sale);
        check(&spending, Some((7, 0, true)));
        assert!(spending.abandon().is_none());
    }

    #[test]
    fn what_was_told_before_a_failure_is_paid_for_beside_the_answer() {
        let mut spending = Spending::default();
        let asks = |spending: &mut Spending, price| {
            spending.asks_for_embeddings("anthropic", "m", price);
            spending.hears(&[ModelEvent::Usage(usage(100, 1))]);
        };
        asks(&mut spending, Some(Price::flat(1_000, 2_000)));
        assert!(spending.failed(false).is_some());
        spending.asks_for_embeddings("openai", "m", None);
        assert!(spending.failed(false).is_none(), "it told nothing");
        let total = |spending: &Spending| spending.total().map(|total| (total.usage, total.is_estimate));
        assert_eq!((spending.spent().is_none(), total(&spending)), (true, Some((usage(100, 1), true))));
        assert_eq!((spending.cost_nano_usd(), spending.lost().tokens), (Some(102), 101));
        spending.answering(Sale { price: Some(Price::flat(1_000, 1_000)), repriced_by: None });
        spending.tells(usage(10, 5));
        spending.is_whole();
        assert_eq!(spending.spent().map(|spent| spent.usage), Some(usage(10, 5)));
        assert_eq!(total(&spending), Some((usage(110, 6), true)));
        assert_eq!((spending.cost_nano_usd(), spending.charged().cost_nano_usd), (Some(117), 117));
        asks(&mut spending, None);
        spending.failed(true);
        assert_eq!((spending.cost_nano_usd(), spending.charged().cost_nano_usd), (None, 117), "a price is not known");
    }
}
