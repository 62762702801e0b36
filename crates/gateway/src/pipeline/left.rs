//! Responses in the background that a gateway has left because it died: what they used is gone with it, so **what
//! they may have come to was written down before anybody was asked**, and is what the ledger says and limits count.

use super::background::{Prepared, abandoned};
use super::considered::Considered;
use super::record::{Outcome, Record, nano};
use super::spending::{Sale, amount, estimate, expected_usage};
use crate::clock::now_ms;
use crate::limits::{Amount, Holder, Limits};
use bytes::Bytes;
use serde_json::{Value, json};
use tokenrouter_store::{LedgerEntry, Store, StoreError};

/// What the ledger is to say if the gateway dies while it makes the response: that it failed, with the tokens and the
/// cost that were expected of its first target. Against limits counts what was reserved for that one.
pub(super) fn entry(record: &Record, Prepared { request, plan, .. }: &Prepared) -> LedgerEntry {
    let entry = record.entry(Outcome::Failed, Some(&abandoned()));
    let Some(target) = plan.targets.first() else { return entry };
    let input_tokens = record.spending.input_tokens;
    let kind = plan.accounts.kind(&target.provider);
    let repriced_by = kind.and_then(|kind| tokenrouter_providers::repriced_by(kind, request));
    let sale = Sale { price: target.model.price, repriced_by };
    let output = record.route.as_ref().map(Considered::expected_output_tokens);
    let usage = expected_usage(target, request, input_tokens, output);
    let reserved = estimate(target, request, input_tokens);
    LedgerEntry {
        provider: Some(target.provider.to_string()),
        model: Some(target.name.to_string()),
        input_tokens: usage.input_total(),
        output_tokens: usage.output,
        cost_nano_usd: sale.known_price().map(|price| nano(amount(Some(&price), &usage).cost_nano_usd)),
        usage_is_estimate: true,
        charged_tokens: reserved.tokens,
        charged_nano_usd: reserved.cost_nano_usd,
        ..entry
    }
}

/// Marks what a gateway that died has left as failed, enters it in the ledger and counts it against limits: what was
/// begun before `before_ms`.
pub(crate) async fn fail_abandoned(store: &Store, limits: &Limits, before_ms: i64) -> Result<(), StoreError> {
    let mut left = store.unfinished_responses().await?;
    left.retain(|(_, response)| response.created_at_ms < before_ms);
    if !left.is_empty() {
        tracing::warn!(responses = left.len(), "responses in the background were left by a gateway that died");
    }
    for (mut entry, mut response) in left {
        response.body = failed(&entry.request_id, &response.body)?;
        entry.latency_ms = now_ms().saturating_sub(entry.created_at_ms).max(0);
        let holders = [Holder::Key(entry.key_id), Holder::Workspace(entry.workspace_id)];
        let charged = Amount { tokens: entry.charged_tokens, cost_nano_usd: entry.charged_nano_usd };
        let created_at_ms = entry.created_at_ms;
        store.record(entry, Some(response)).await?;
        limits.charge(&holders, charged, created_at_ms);
    }
    Ok(())
}

fn failed(request_id: &str, body: &[u8]) -> Result<Bytes, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { reason: format!("a stored response: {error}") };
    let mut body: Value = serde_json::from_slice(body).map_err(corrupt)?;
    body["status"] = json!("failed");
    body["error"] = serde_json::to_value(abandoned().with_request_id(request_id).body()).map_err(corrupt)?;
    Ok(serde_json::to_vec(&body).map_err(corrupt)?.into())
}
