//! `previous_response_id`: the turns before, from our own store, whichever provider gave them.

use crate::error::{ApiError, ApiResult, Code};
use serde_json::Value;
use tokenrouter_protocol::{Item, Request};
use tokenrouter_store::{Store, StoredResponse};

/// The longest chain that is followed.
const MAX_TURNS: usize = 1_000;

/// Puts the items of the turns before in front of the request's own.
pub(super) async fn expand(store: &Store, workspace_id: i64, request: &mut Request) -> ApiResult<()> {
    let Some(mut id) = request.previous_response_id.clone() else {
        return match request.input.iter().position(|item| matches!(item, Item::Reference(_))) {
            Some(i) => Err(ApiError::parameter(
                format!("input[{i}]"),
                "an `item_reference` can only name an item of the turns before, by `previous_response_id`",
            )),
            None => Ok(()),
        };
    };
    let mut turns = Vec::new();
    loop {
        let stored = store.get_response(workspace_id, &id).await?.ok_or_else(|| missing(&id))?;
        let previous = stored.previous_response_id.clone();
        turns.push(stored);
        match previous {
            Some(previous) if turns.len() < MAX_TURNS => id = previous,
            Some(_) => return Err(ApiError::parameter("previous_response_id", "the chain of responses is too long")),
            None => break,
        }
    }
    let mut items = Vec::new();
    for turn in turns.iter().rev() {
        items.extend(items_of(turn)?);
    }
    let own = std::mem::take(&mut request.input);
    for (i, item) in own.into_iter().enumerate() {
        if let Item::Reference(id) = &item {
            // The item stands in the history already.
            if !items.iter().any(|known| known.id() == Some(id)) {
                let message = format!("there is no item `{id}` in the turns before");
                return Err(ApiError::parameter(format!("input[{i}]"), message));
            }
            continue;
        }
        items.push(item);
    }
    request.input = items;
    Ok(())
}

fn missing(id: &str) -> ApiError {
    let message = format!("there is no stored response `{id}` to go on from");
    ApiError {
        param: Some("previous_response_id".to_owned()),
        ..ApiError::new(Code::PreviousResponseNotFound, message)
    }
}

/// Input and output of a stored turn.
fn items_of(turn: &StoredResponse) -> ApiResult<Vec<Item>> {
    let input: Vec<Value> = serde_json::from_slice(&turn.input).map_err(|e| ApiError::internal(&e))?;
    let mut body: Value = serde_json::from_slice(&turn.body).map_err(|e| ApiError::internal(&e))?;
    let output = match body.get_mut("output").map(Value::take) {
        Some(Value::Array(output)) => output,
        _ => Vec::new(),
    };
    input
        .into_iter()
        .chain(output)
        .map(|value| Item::parse(value, "item").map_err(|e| ApiError::internal(&e)))
        .collect()
}
