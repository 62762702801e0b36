//! Between stages 6 and 7: what the request may come to is held against the limits of its key and its workspace,
//! as often as it is to be answered.

use super::embeddings::EmbeddingTarget;
use super::plan::BYTES_PER_TOKEN;
use super::record::Record;
use super::spending::estimate;
use super::told::{Source, Warning};
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::limits::{Admitted, Amount, Holder, Permit};
use tokenrouter_protocol::{EmbeddingsInput, EmbeddingsRequest, Request};
use tokenrouter_routing::Target;
use tokenrouter_store::UsageLimits;

/// Takes the request in with the first target that fits its limits, and leaves out those that do not fit the
/// month's. The record holds the permit of one answer; given back are those of `further` ones.
///
/// # Errors
/// 429 for a limit that would be passed; 403 where a price must be known and is not.
pub(super) fn admit(
    record: &mut Record,
    caller: &Caller,
    targets: &mut Vec<Target>,
    input_tokens: u64,
    request: &Request,
    further: u64,
) -> ApiResult<Vec<Permit>> {
    record.spending.input_tokens = input_tokens;
    if has_budget(caller) {
        let mut repriced_by = None;
        targets.retain(|target| {
            let kind = caller.accounts.kind(&target.provider);
            let field = kind.and_then(|kind| tokenrouter_providers::repriced_by(kind, request));
            repriced_by = repriced_by.or(field);
            target.model.price.is_some() && field.is_none()
        });
        if targets.is_empty() {
            return Err(unpriced(repriced_by.map(|field| request.names.of(field))));
        }
    }
    let amounts: Vec<Amount> = targets.iter().map(|target| estimate(target, request, input_tokens)).collect();
    take_in(record, caller, &amounts, targets, further, |target| format!("{}/{}", target.provider, target.name))
}

/// The same for embeddings.
///
/// # Errors
/// As [`admit`].
pub(super) fn admit_embeddings(
    record: &mut Record,
    caller: &Caller,
    targets: &mut Vec<EmbeddingTarget>,
    request: &EmbeddingsRequest,
) -> ApiResult<()> {
    let input = match &request.input {
        EmbeddingsInput::Texts(texts) => texts.iter().map(|text| text.len().div_ceil(BYTES_PER_TOKEN)).sum(),
        EmbeddingsInput::Tokens(lists) => lists.iter().map(Vec::len).sum::<usize>(),
    };
    let input_tokens = u64::try_from(input).unwrap_or(u64::MAX);
    record.spending.input_tokens = input_tokens;
    if has_budget(caller) {
        targets.retain(|target| target.price().is_some());
        if targets.is_empty() {
            return Err(unpriced(None));
        }
    }
    let amounts: Vec<Amount> = targets.iter().map(|target| target.amount(input_tokens)).collect();
    take_in(record, caller, &amounts, targets, 0, |target| format!("{}/{}", target.provider, target.name)).map(drop)
}

fn has_budget(caller: &Caller) -> bool {
    [&caller.limits, &caller.workspace.limits].iter().any(|limits| limits.monthly_budget_nano_usd.is_some())
}

/// The workspace's sums are kept though it has no limits: it may be given some while the month goes on. A key
/// has the limits that it was made with.
fn take_in<T>(
    record: &mut Record,
    caller: &Caller,
    amounts: &[Amount],
    targets: &mut Vec<T>,
    further: u64,
    name: impl Fn(&T) -> String,
) -> ApiResult<Vec<Permit>> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let mut limited = vec![(Holder::Workspace(caller.workspace_id), caller.workspace.limits)];
    if caller.limits != UsageLimits::default() {
        limited.push((Holder::Key(caller.key_id), caller.limits));
    }
    let Admitted { mut permits, fits, headers } =
        record.app.limits.admit(&limited, amounts, further.saturating_add(1))?;
    record.limit_headers = headers;
    record.permit = permits.pop();
    if let (Some(false), Some(best)) = (fits.first(), targets.first()) {
        let message = format!("{} is left out: it may come to more than what is left of a month's limit", name(best));
        record.told.warnings.push(Warning::new(Source::Router, None, message));
    }
    let mut fits = fits.into_iter();
    targets.retain(|_| fits.next().unwrap_or(false));
    Ok(permits)
}

/// `sold_otherwise`: the field that asks for what has no price in the catalog.
fn unpriced(sold_otherwise: Option<String>) -> ApiError {
    let (param, what) = match sold_otherwise {
        Some(field) => {
            let what = format!("what `{field}` makes of the price is not known");
            (field, what)
        }
        None => ("model".to_owned(), "the price of this model is not known".to_owned()),
    };
    let message = format!("there is a budget to keep, and {what}: the request could not be counted");
    ApiError { param: Some(param), ..ApiError::new(Code::ModelNotAllowed, message) }
}
