//! HTTP in: one file a resource.

mod api_keys;
mod body;
mod chat_completions;
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
mod messages;
mod models;
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

pub use api_keys::{api_key_json, read_api_key};
pub use firewall_rules::{firewall_rule_json, read_firewall_rule};
pub(crate) use idempotency::Idempotency;
pub(crate) use in_flight::InFlight;
pub use provider_keys::{NewKey, read_provider_key};
pub use routing_rules::{read_routing_rule, routing_rule_json};
pub(crate) use websocket::Sessions;

use crate::app::App;
use crate::error::{ApiError, Code};
use axum::Router;
use axum::routing::{delete, get, post};
use std::sync::Arc;

/// Every route of the gateway.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/responses", post(responses::create_response).get(websocket::open_responses_socket))
        .route(
            "/v1/responses/{id}",
            get(responses::get_response).post(responses::replay_response).delete(responses::delete_response),
        )
        .route("/v1/responses/input_tokens", post(input_tokens::count_input_tokens))
        .route("/v1/responses/{id}/input_items", get(responses::list_input_items))
        .route("/v1/responses/{id}/route", get(requests::get_response_route))
        .route("/v1/responses/{id}/feedback", get(feedback::get_feedback).post(feedback::create_feedback))
        .route("/v1/responses/{id}/cancel", post(responses::cancel_response))
        .route("/v1/chat/completions", post(chat_completions::create_chat_completion))
        .route("/v1/embeddings", post(embeddings::create_embeddings))
        .route("/v1/messages", post(messages::create_message))
        .route("/v1/messages/count_tokens", post(messages::count_message_tokens))
        .route("/v1/conversations", post(conversations::create_conversation))
        .route(
            "/v1/conversations/{id}",
            get(conversations::get_conversation)
                .post(conversations::update_conversation)
                .delete(conversations::delete_conversation),
        )
        .route(
            "/v1/conversations/{id}/items",
            get(conversations::list_conversation_items).post(conversations::create_conversation_items),
        )
        .route(
            "/v1/conversations/{id}/items/{item_id}",
            get(conversations::get_conversation_item).delete(conversations::delete_conversation_item),
        )
        .route("/v1/route", post(route::route_request))
        .route("/v1/api-keys", get(api_keys::list_api_keys).post(api_keys::create_api_key))
        .route("/v1/api-keys/{id}", delete(api_keys::delete_api_key))
        .route("/v1/provider-keys", get(provider_keys::list_provider_keys).post(provider_keys::create_provider_key))
        .route(
            "/v1/provider-keys/{id}",
            get(provider_keys::get_provider_key)
                .patch(provider_keys::update_provider_key)
                .delete(provider_keys::delete_provider_key),
        )
        .route("/v1/provider-keys/{id}/test", post(provider_keys::test_provider_key))
        .route("/v1/requests", get(requests::list_requests))
        .route("/v1/requests/{id}", get(requests::get_request))
        .route("/v1/usage", get(usage::get_usage))
        .route("/v1/models", get(models::list_models))
        .route("/v1/models/{*id}", get(models::get_model))
        .route("/v1/routing-rules", get(routing_rules::list_routing_rules).post(routing_rules::create_routing_rule))
        .route(
            "/v1/routing-rules/{id}",
            get(routing_rules::get_routing_rule)
                .patch(routing_rules::update_routing_rule)
                .delete(routing_rules::delete_routing_rule),
        )
        .route(
            "/v1/firewall-rules",
            get(firewall_rules::list_firewall_rules).post(firewall_rules::create_firewall_rule),
        )
        .route("/v1/firewall-rules/test", post(firewall_rules::test_firewall_rule))
        .route(
            "/v1/firewall-rules/{id}",
            get(firewall_rules::get_firewall_rule)
                .patch(firewall_rules::update_firewall_rule)
                .delete(firewall_rules::delete_firewall_rule),
        )
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), in_flight::admit))
        // What stands below is answered however busy the gateway is.
        .route("/healthz", get(health::check_health))
        .route("/metrics", get(health::get_metrics))
        .route("/readyz", get(health::check_readiness))
        .fallback(async || ApiError::not_found("such path; the API is under /v1"))
        .method_not_allowed_fallback(async || {
            ApiError::new(Code::MethodNotAllowed, "this path does not answer to that method")
        })
        .layer(axum::middleware::from_fn(request_id::assign))
        .with_state(app)
}
