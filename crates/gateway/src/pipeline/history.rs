//! `previous_response_id` and `conversation`: the turns before, from our own store, whichever provider
//! gave them.

use super::conversation::{self, Lease};
use super::local::Local;
use super::recent::{CACHE_MS, Mark, cached_by_itself};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use serde_json::Value;
use tokenrouter_protocol::{Item, Request};
use tokenrouter_routing::LastTurn;
use tokenrouter_store::StoredResponse;

/// The longest chain that is followed.
const MAX_TURNS: u32 = 1_000;

/// What [`expand`] found.
pub(super) struct History {
    /// Where in the input the request's own items begin.
    pub first_own: usize,
    /// Of the request's conversation, to be held until the response is recorded.
    pub lease: Option<Lease>,
    /// Where the turn before went.
    pub last_turn: Option<LastTurn>,
    /// What the next turn recognises this one by, where no response's id tells.
    pub mark: Option<Mark>,
    /// The turns before are kept by the connection, and not all of them are stored.
    pub is_local: bool,
}

/// Puts the items of the turns before in front of the request's own.
pub(super) async fn expand(
    app: &App,
    caller: &Caller,
    request: &mut Request,
    local: Option<&Local>,
) -> ApiResult<History> {
    // Before the items are read, so that they are those of all responses before.
    let lease = match &request.conversation {
        Some(id) if request.previous_response_id.is_none() => Some(app.conversations.lease(caller.workspace_id, id)?),
        _ => None,
    };
    let history = prepend_turns(app, caller, request, local).await?;
    Ok(History { lease, ..history })
}

/// The same for a request that adds nothing.
pub(super) async fn prepend_turns(
    app: &App,
    caller: &Caller,
    request: &mut Request,
    local: Option<&Local>,
) -> ApiResult<History> {
    let workspace_id = caller.workspace_id;
    let mut is_local = false;
    let (before, last, mark) = match (&request.conversation, &request.previous_response_id) {
        (Some(_), Some(_)) => {
            let message = "`conversation` and `previous_response_id` cannot be used together";
            return Err(ApiError::parameter("conversation", message));
        }
        (Some(id), None) => {
            let items = conversation::items(app, workspace_id, id).await?;
            conversation::refuse_known_items(&items, &request.input)?;
            let (last, mark) = app.recent.of_conversation(workspace_id, id);
            (items, last, Some(mark))
        }
        (None, Some(id)) => {
            let (items, last) = match local.map(|local| local.turns().find(id)).transpose()?.flatten() {
                Some(kept) => {
                    is_local = true;
                    kept
                }
                None => chain(app, workspace_id, id).await?,
            };
            (items, last, None)
        }
        (None, None) => {
            let (last, mark) = app.recent.of_history(workspace_id, caller.key_id, request);
            (Vec::new(), last, Some(mark))
        }
    };
    let first_own = before.len();
    prepend(request, before)?;
    Ok(History { first_own, lease: None, last_turn: last, mark, is_local })
}

fn prepend(request: &mut Request, mut items: Vec<Item>) -> ApiResult<()> {
    let own = std::mem::take(&mut request.input);
    for (i, item) in own.into_iter().enumerate() {
        if let Item::Reference(id) = &item {
            // The item stands in the history already.
            if items.iter().any(|known| known.id() == Some(id)) {
                continue;
            }
            let message = if request.previous_response_id.is_none() && request.conversation.is_none() {
                "an `item_reference` can only name an item of the turns before, by `previous_response_id` or \
                 `conversation`"
                    .to_owned()
            } else {
                format!("there is no item `{id}` in the turns before")
            };
            return Err(ApiError::parameter(format!("input[{i}]"), message));
        }
        items.push(item);
    }
    request.input = items;
    Ok(())
}

/// The items of a response and of all those before it, and where that response came from.
async fn chain(app: &App, workspace_id: i64, id: &str) -> ApiResult<(Vec<Item>, Option<LastTurn>)> {
    let turns = app.store.get_chain(workspace_id, id, MAX_TURNS).await?;
    let Some(oldest) = turns.last() else { return Err(missing(id)) };
    if let Some(previous) = &oldest.previous_response_id {
        return Err(if turns.len() == MAX_TURNS as usize {
            ApiError::parameter("previous_response_id", "the chain of responses is too long")
        } else {
            missing(previous)
        });
    }
    let mut items = match &oldest.conversation_id {
        Some(conversation) => before_turn(app, workspace_id, conversation, oldest).await?,
        None => Vec::new(),
    };
    let mut last = None;
    for turn in turns.iter().rev() {
        let mut body = body_of(turn)?;
        last = last_turn(turn, &body);
        items.extend(items_in(turn, &mut body)?);
    }
    Ok((items, last))
}

/// None of a response that has failed: there is nothing to stay with.
fn last_turn(turn: &StoredResponse, body: &Value) -> Option<LastTurn> {
    if !matches!(body["status"].as_str(), Some("completed" | "incomplete")) {
        return None;
    }
    let (target, usage) = (&body["tokenrouter"], &body["usage"]);
    // Nobody was asked: the request was kept to go on from.
    if target["provider"] == "" {
        return None;
    }
    let kept = crate::clock::now_ms() - turn.created_at_ms < CACHE_MS;
    let count = |tokens: &Value| tokens.as_u64().filter(|_| kept).unwrap_or(0);
    let all = count(&usage["input_tokens"]).saturating_add(count(&usage["output_tokens"]));
    let details = &usage["input_tokens_details"];
    Some(LastTurn {
        provider: target["provider"].as_str()?.to_owned(),
        model: target["model"].as_str()?.to_owned(),
        provider_key_id: target["attempts"].as_array().and_then(|all| all.last()?["provider_key_id"].as_i64()),
        recent_tokens: cached_by_itself(all),
        cached_tokens: count(&details["cached_tokens"]).saturating_add(count(&details["cache_write_tokens"])),
    })
}

/// What stood in a conversation before the response that the chain begins with. Nothing, if the
/// conversation or those items have been deleted.
async fn before_turn(app: &App, workspace_id: i64, conversation: &str, turn: &StoredResponse) -> ApiResult<Vec<Item>> {
    let Some(items) = app.store.get_conversation_items(workspace_id, conversation).await? else {
        return Ok(Vec::new());
    };
    let own: Vec<Item> = items_in(turn, &mut body_of(turn)?)?;
    let first = items.iter().position(|item| own.iter().any(|known| known.id() == Some(&item.id)));
    conversation::parse(items.get(..first.unwrap_or(0)).unwrap_or_default())
}

fn missing(id: &str) -> ApiError {
    let message = format!("there is no stored response `{id}` to go on from");
    ApiError {
        param: Some("previous_response_id".to_owned()),
        ..ApiError::new(Code::PreviousResponseNotFound, message)
    }
}

fn body_of(turn: &StoredResponse) -> ApiResult<Value> {
    serde_json::from_slice(&turn.body).map_err(|e| ApiError::internal(&e))
}

/// Input and output of a stored turn, the output taken out of its body.
fn items_in(turn: &StoredResponse, body: &mut Value) -> ApiResult<Vec<Item>> {
    let input: Vec<Value> = serde_json::from_slice(&turn.input).map_err(|e| ApiError::internal(&e))?;
    if matches!(body["status"].as_str(), Some("queued" | "in_progress")) {
        let message = format!("the response `{}` is still being made: wait for its end to go on from it", turn.id);
        return Err(ApiError::parameter("previous_response_id", message));
    }
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
