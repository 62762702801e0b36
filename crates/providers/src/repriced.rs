//! What of a request makes a provider charge something else than its standard price, which is the one that
//! the catalog has.

use crate::Kind;
use crate::anthropic::native;
use tokenrouter_protocol::Request;

/// The field that does so, if the provider is sent one. Which fields and values: OpenAI's "Flex processing"
/// and "Priority processing", Anthropic's "Fast mode" and "Data residency".
#[must_use]
pub fn repriced_by(kind: Kind, request: &Request) -> Option<&'static str> {
    let is_standard = |value: &str| matches!(value, "auto" | "default" | "standard" | "standard_only" | "global");
    match kind {
        Kind::OpenAi => {
            let tier = request.service_tier.as_deref();
            tier.is_some_and(|tier| !is_standard(tier)).then_some("service_tier")
        }
        Kind::Anthropic => {
            let own = native::of(&request.extra)?;
            ["speed", "service_tier", "inference_geo"].into_iter().find(|name| {
                own.get(*name).is_some_and(|value| !value.is_null() && !value.as_str().is_some_and(is_standard))
            })
        }
        // They are sent no such field.
        Kind::Gemini | Kind::Mistral | Kind::DeepSeek | Kind::OpenAiCompatible => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(kind: Kind, fields: &Value, wanted: Option<&'static str>) {
        let mut body = json!({ "model": "m", "input": "Hello" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(repriced_by(kind, &Request::parse(body).unwrap()), wanted, "{kind:?} {fields}");
    }

    #[test]
    fn only_what_is_sent_and_is_not_the_standard_changes_the_price() {
        let (priority, fast) = (json!({"service_tier": "priority"}), json!({"anthropic": {"speed": "fast"}}));
        check(Kind::OpenAi, &priority, Some("service_tier"));
        check(Kind::OpenAi, &json!({"service_tier": "flex"}), Some("service_tier"));
        check(Kind::OpenAi, &json!({"service_tier": "default"}), None);
        check(Kind::OpenAi, &json!({"service_tier": "auto"}), None);
        check(Kind::OpenAi, &json!({}), None);
        check(Kind::OpenAi, &fast, None);
        check(Kind::Anthropic, &fast, Some("speed"));
        check(Kind::Anthropic, &json!({"anthropic": {"inference_geo": "us"}}), Some("inference_geo"));
        check(Kind::Anthropic, &json!({"anthropic": {"speed": "standard", "service_tier": "standard_only"}}), None);
        check(Kind::Anthropic, &priority, None);
        for kind in [Kind::Gemini, Kind::Mistral, Kind::DeepSeek, Kind::OpenAiCompatible] {
            check(kind, &priority, None);
            check(kind, &fast, None);
        }
    }
}
