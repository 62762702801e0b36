//! Between stages 6 and 7: what the request may come to is held against its key's limits.

use super::estimate::prompt_tokens;
use super::plan::BYTES_PER_TOKEN;
use super::record::{Record, tokens};
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::limits::{Amount, Permit};
use tokenrouter_protocol::{EmbeddingsInput, EmbeddingsRequest, Request, Usage};
use tokenrouter_routing::{ModelInfo, Price, Target};
use tokenrouter_store::KeyLimits;

/// Where neither the request nor the catalog says how long an answer may be.
const USUAL_OUTPUT: u64 = 4_096;

/// A request that was taken in.
pub(super) struct Admitted {
    permit: Permit,
    input_tokens: u64,
}

impl Admitted {
    pub fn reserve_for(&mut self, target: &Target, request: &Request) -> ApiResult<()> {
        self.permit.change(estimate(target, request, self.input_tokens))
    }

    /// What was used by a request that ended before its provider told.
    pub fn guess(&self, streamed_bytes: usize) -> Usage {
        let output = u64::try_from(streamed_bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX);
        Usage { uncached_input: self.input_tokens, output, ..Usage::default() }
    }

    pub fn settle(self, used: Amount) {
        self.permit.settle(used);
    }
}

pub(super) fn amount(price: Option<&Price>, usage: &Usage) -> Amount {
    let cost_nano_usd = price.map_or(0, |price| price.cost(&tokens(usage)));
    Amount { tokens: usage.total(), cost_nano_usd }
}

fn estimate(target: &Target, request: &Request, input_tokens: u64) -> Amount {
    let known = Some(target.model.max_output_tokens).filter(|most| *most > 0);
    let output = request.max_output_tokens.or(known).unwrap_or(USUAL_OUTPUT);
    let usage = Usage { uncached_input: input_tokens, output, ..Usage::default() };
    amount(target.model.price.as_ref(), &usage)
}

/// # Errors
/// 429 for a limit that would be passed; 403 where a price must be known and is not.
pub(super) fn admit(
    record: &mut Record,
    caller: &Caller,
    targets: &mut Vec<Target>,
    request: &Request,
) -> ApiResult<()> {
    if caller.limits == KeyLimits::default() {
        return Ok(());
    }
    if caller.limits.monthly_budget_nano_usd.is_some() {
        targets.retain(|target| target.model.price.is_some());
    }
    let first = targets.first().ok_or_else(unpriced)?;
    let input_tokens = u64::try_from(prompt_tokens(request)?).unwrap_or(u64::MAX);
    take_in(record, caller, estimate(first, request, input_tokens), input_tokens)
}

/// # Errors
/// As [`admit`].
pub(super) fn admit_embeddings(
    record: &mut Record,
    caller: &Caller,
    model: Option<&ModelInfo>,
    request: &EmbeddingsRequest,
) -> ApiResult<()> {
    if caller.limits == KeyLimits::default() {
        return Ok(());
    }
    let price = model.and_then(|model| model.price);
    if caller.limits.monthly_budget_nano_usd.is_some() && price.is_none() {
        return Err(unpriced());
    }
    let input = match &request.input {
        EmbeddingsInput::Texts(texts) => texts.iter().map(|text| text.len().div_ceil(BYTES_PER_TOKEN)).sum(),
        EmbeddingsInput::Tokens(lists) => lists.iter().map(Vec::len).sum::<usize>(),
    };
    let input_tokens = u64::try_from(input).unwrap_or(u64::MAX);
    let usage = Usage { uncached_input: input_tokens, ..Usage::default() };
    take_in(record, caller, amount(price.as_ref(), &usage), input_tokens)
}

fn take_in(record: &mut Record, caller: &Caller, amount: Amount, input_tokens: u64) -> ApiResult<()> {
    let permit = record.app.limits.admit(caller.key_id, caller.limits, amount)?;
    record.limit_headers.clone_from(&permit.headers);
    record.admitted = Some(Admitted { permit, input_tokens });
    Ok(())
}

fn unpriced() -> ApiError {
    let message = "this API key has a budget, and the price of this model is not known: it could not be counted";
    ApiError { param: Some("model".to_owned()), ..ApiError::new(Code::ModelNotAllowed, message) }
}
