//! Pages of items, as OpenAI's API lists them: `after`, `limit`, `order`.

use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Value, json};
use tokenrouter_store::ItemOrder;

#[derive(Deserialize)]
pub(super) struct PageQuery {
    after: Option<String>,
    limit: Option<String>,
    order: Option<String>,
}

/// Newest first unless `order=asc`.
pub(super) struct Page {
    pub after: Option<String>,
    pub limit: usize,
    pub order: ItemOrder,
}

impl Page {
    pub fn of(query: PageQuery) -> ApiResult<Self> {
        let limit = match query.limit.as_deref().map(str::parse::<usize>) {
            None => 20,
            Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
            Some(_) => return Err(ApiError::parameter("limit", "`limit` must be a whole number from 1 to 100")),
        };
        let order = match query.order.as_deref() {
            None | Some("desc") => ItemOrder::NewestFirst,
            Some("asc") => ItemOrder::OldestFirst,
            Some(_) => return Err(ApiError::parameter("order", "`order` must be asc or desc")),
        };
        Ok(Self { after: query.after, limit, order })
    }

    pub fn no_such_item(&self) -> ApiError {
        let after = self.after.as_deref().unwrap_or_default();
        ApiError::parameter("after", format!("there is no item `{after}` in this list"))
    }

    /// The page of `items`, which are those from its beginning on, at least one more than it holds if
    /// there are more.
    pub fn list(&self, mut items: Vec<Value>) -> Value {
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        json!({
            "object": "list",
            "first_id": id_of(items.first()),
            "last_id": id_of(items.last()),
            "has_more": has_more,
            "data": items,
        })
    }
}
