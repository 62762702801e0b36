//! HTTP in: one file a resource.

mod api_keys;
mod body;
mod capture;
pub(crate) mod chat_completions;
mod conversations;
mod csv;
mod embeddings;
mod extract;
mod feedback;
mod firewall_rules;
mod health;
mod idempotency;
mod in_flight;
mod input_tokens;
mod limit_fields;
pub(crate) mod messages;
mod models;
mod openapi;
mod operations;
mod page;
mod provider_keys;
mod replay;
mod request_filter;
mod request_id;
mod requests;
mod responses;
mod route;
mod routing_rules;
mod rule_fields;
pub(crate) mod sse;
mod usage;
mod websocket;
mod workspace;

pub use api_keys::{api_key_json, read_api_key};
pub use firewall_rules::{firewall_rule_json, read_firewall_rule};
pub(crate) use idempotency::Idempotency;
pub(crate) use in_flight::{InFlight, Place};
pub use provider_keys::{NewKey, read_provider_key};
pub use routing_rules::{read_routing_rule, routing_rule_json};
pub(crate) use websocket::Sessions;
pub use workspace::{read_workspace_settings, workspace_json};

use crate::app::App;
use crate::error::{ApiError, Code};
use axum::Router;
use operations::{Access, Operations};
use serde_json::Value;
use std::sync::Arc;

/// Which operations an address answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// All of them.
    Everything,
    /// Those that use models, where the others have an address of their own.
    Using,
    /// Those that manage the workspace, and metrics.
    Managing,
}

fn using() -> Operations {
    Operations::new(Access::Caller)
        .post("/v1/responses", responses::create_response)
        .get("/v1/responses", websocket::open_responses_socket)
        .get("/v1/responses/{id}", responses::get_response)
        .post("/v1/responses/{id}", responses::replay_response)
        .delete("/v1/responses/{id}", responses::delete_response)
        .post("/v1/responses/input_tokens", input_tokens::count_input_tokens)
        .get("/v1/responses/{id}/input_items", responses::list_input_items)
        .get("/v1/responses/{id}/route", requests::get_response_route)
        .get("/v1/responses/{id}/feedback", feedback::get_feedback)
        .post("/v1/responses/{id}/feedback", feedback::create_feedback)
        .post("/v1/responses/{id}/cancel", responses::cancel_response)
        .post("/v1/chat/completions", chat_completions::create_chat_completion)
        .post("/v1/embeddings", embeddings::create_embeddings)
        .post("/v1/messages", messages::create_message)
        .post("/v1/messages/count_tokens", messages::count_message_tokens)
        .post("/v1/conversations", conversations::create_conversation)
        .get("/v1/conversations/{id}", conversations::get_conversation)
        .post("/v1/conversations/{id}", conversations::update_conversation)
        .delete("/v1/conversations/{id}", conversations::delete_conversation)
        .get("/v1/conversations/{id}/items", conversations::list_conversation_items)
        .post("/v1/conversations/{id}/items", conversations::create_conversation_items)
        .get("/v1/conversations/{id}/items/{item_id}", conversations::get_conversation_item)
        .delete("/v1/conversations/{id}/items/{item_id}", conversations::delete_conversation_item)
        .post("/v1/route", route::route_request)
        .get("/v1/models", models::list_models)
        .get("/v1/models/{*id}", models::get_model)
}

fn managing() -> Operations {
    Operations::new(Access::Admin)
        .get("/v1/workspace", workspace::get_workspace)
        .patch("/v1/workspace", workspace::update_workspace)
        .get("/v1/api-keys", api_keys::list_api_keys)
        .post("/v1/api-keys", api_keys::create_api_key)
        .delete("/v1/api-keys/{id}", api_keys::delete_api_key)
        .get("/v1/provider-keys", provider_keys::list_provider_keys)
        .post("/v1/provider-keys", provider_keys::create_provider_key)
        .get("/v1/provider-keys/{id}", provider_keys::get_provider_key)
        .patch("/v1/provider-keys/{id}", provider_keys::update_provider_key)
        .delete("/v1/provider-keys/{id}", provider_keys::delete_provider_key)
        .post("/v1/provider-keys/{id}/test", provider_keys::test_provider_key)
        .get("/v1/capture", capture::get_capture)
        .patch("/v1/capture", capture::update_capture)
        .delete("/v1/capture", capture::delete_capture)
        .get("/v1/requests", requests::list_requests)
        .get("/v1/requests/{id}", requests::get_request)
        .get("/v1/usage", usage::get_usage)
        .get("/v1/routing-rules", routing_rules::list_routing_rules)
        .post("/v1/routing-rules", routing_rules::create_routing_rule)
        .get("/v1/routing-rules/{id}", routing_rules::get_routing_rule)
        .patch("/v1/routing-rules/{id}", routing_rules::update_routing_rule)
        .delete("/v1/routing-rules/{id}", routing_rules::delete_routing_rule)
        .get("/v1/firewall-rules", firewall_rules::list_firewall_rules)
        .post("/v1/firewall-rules", firewall_rules::create_firewall_rule)
        .post("/v1/firewall-rules/test", firewall_rules::test_firewall_rule)
        .get("/v1/firewall-rules/{id}", firewall_rules::get_firewall_rule)
        .patch("/v1/firewall-rules/{id}", firewall_rules::update_firewall_rule)
        .delete("/v1/firewall-rules/{id}", firewall_rules::delete_firewall_rule)
}

fn living() -> Operations {
    Operations::new(Access::Public).get("/healthz", health::check_health).get("/readyz", health::check_readiness)
}

fn measuring() -> Operations {
    Operations::new(Access::Public).get("/metrics", health::get_metrics)
}

/// The OpenAPI document of all that the gateway answers to.
///
/// # Errors
/// Never, but for a mistake of ours in what describes it.
pub fn openapi() -> serde_json::Result<Value> {
    using().and(managing()).and(living()).and(measuring()).document()
}

pub(crate) fn router(app: Arc<App>, surface: Surface) -> Router {
    let limited = match surface {
        Surface::Everything => using().and(managing()),
        Surface::Using => using(),
        Surface::Managing => managing(),
    };
    let limited = limited.router.layer(axum::middleware::from_fn_with_state(Arc::clone(&app), in_flight::admit));
    // These are answered however busy the gateway is.
    let free = match surface {
        Surface::Everything | Surface::Managing => {
            let admit = axum::middleware::from_fn_with_state(Arc::clone(&app), in_flight::admit_measuring);
            living().router.merge(measuring().router.layer(admit))
        }
        Surface::Using => living().router,
    };
    limited
        .merge(free)
        .fallback(async || ApiError::not_found("such path; the API is under /v1"))
        .method_not_allowed_fallback(async || {
            ApiError::new(Code::MethodNotAllowed, "this path does not answer to that method")
        })
        .layer(axum::middleware::from_fn(request_id::assign))
        .with_state(app)
}
