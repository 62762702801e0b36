//! What a provider says when it refuses.

use crate::Kind;
use crate::wire::Text;
use serde::Deserialize;
use serde_json::Value;
use tokenrouter_protocol::ProviderError;

/// The error in a body with an error's status. Whatever the body is, there is an error to report:
/// from a body that makes no sense only the status is known.
#[must_use]
pub fn decode_error(kind: Kind, status: u16, body: &[u8]) -> ProviderError {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return ProviderError { status, ..ProviderError::default() };
    };
    let mut error = of_value(kind, &value);
    error.status = match (kind, error.kind.as_str()) {
        // Google's 400 for a key that is not one, and for an account that may not do this here.
        (Kind::Gemini, "API_KEY_INVALID") => 401,
        (Kind::Gemini, "FAILED_PRECONDITION") => 403,
        _ => status,
    };
    error
}

/// With a status only where a word of Gemini's stands for one. A stream that is not one of events
/// has Gemini's error in a list.
pub(crate) fn of_value(kind: Kind, value: &Value) -> ProviderError {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let error = match value.get("error") {
        Some(Value::String(message)) => return named(String::new(), message.clone()),
        Some(error) if error.is_object() => error,
        _ => value,
    };
    let word = |name: &str| error.get(name).and_then(Value::as_str).filter(|s| !s.is_empty());
    // OpenAI's code is the finer word, Anthropic has only a type, FastAPI neither.
    let kind = match kind {
        Kind::Anthropic => word("type").or_else(|| word("code")),
        Kind::Gemini => return gemini(error),
        _ => word("code").or_else(|| word("type")),
    };
    let message = ["message", "detail", "msg"].iter().find_map(|name| match error.get(*name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => list.first()?.get("msg")?.as_str().map(str::to_owned),
        Value::Object(inner) => inner.get("message").or_else(|| inner.get("detail"))?.as_str().map(str::to_owned),
        _ => None,
    });
    named(kind.unwrap_or_default().to_owned(), message.unwrap_or_default())
}

/// Google's: the status is the word, and the reason in the details is a finer one for a bad key.
fn gemini(error: &Value) -> ProviderError {
    let details = error["details"].as_array().into_iter().flatten();
    let bad_key = details.filter_map(|detail| detail["reason"].as_str()).find(|reason| *reason == "API_KEY_INVALID");
    let word = bad_key.or_else(|| error["status"].as_str()).unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let code = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    ProviderError {
        status: code.or_else(|| status_of(word)).unwrap_or(0),
        ..named(word.to_owned(), message.to_owned())
    }
}

/// A prompt that is too long has one name whoever reports it: only OpenAI has a code for it.
fn named(kind: String, message: String) -> ProviderError {
    const SIGNS: [&str; 7] = [
        "prompt is too long",
        "maximum context length",
        "exceeds the context window",
        "exceed context window",
        "exceeds the available context size",
        "too large for model",
        "exceeds the maximum number of tokens",
    ];
    let message: String = message.chars().take(2_000).collect();
    let lower = message.to_ascii_lowercase();
    let kind = if SIGNS.iter().any(|sign| lower.contains(sign)) { "context_length_exceeded".to_owned() } else { kind };
    ProviderError { kind, message, status: 0 }
}

/// An error as it stands inside an answer or a stream; all kinds of hosts use the same few fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InlineError<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub code: Text<'a>,
    #[serde(borrow)]
    pub message: Text<'a>,
}

impl InlineError<'_> {
    /// The error, with the status that its word stands for.
    pub(crate) fn report(&self, kind: Kind) -> ProviderError {
        let status = [&*self.code, &*self.kind].iter().find_map(|word| status_of(word)).unwrap_or(0);
        let word = match kind {
            Kind::Anthropic => self.kind.non_empty().or_else(|| self.code.non_empty()),
            // A bare number, as OpenRouter's code is one, says no more than the status does.
            _ => self.code.non_empty().filter(|code| code.parse::<u16>().is_err()).or_else(|| self.kind.non_empty()),
        };
        ProviderError { status, ..named(word.unwrap_or_default().to_owned(), self.message.to_string()) }
    }
}

/// The status that a provider's word for an error stands for.
fn status_of(word: &str) -> Option<u16> {
    Some(match word {
        "invalid_request_error"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "invalid_image"
        | "invalid_image_format"
        | "invalid_base64_image"
        | "invalid_image_url"
        | "image_too_large" => 400,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" | "API_KEY_INVALID" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => 404,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" | "RESOURCE_EXHAUSTED" => 429,
        "api_error" | "server_error" | "internal_server_error" | "INTERNAL" => 500,
        "insufficient_system_resource" | "service_unavailable" | "UNAVAILABLE" => 503,
        "timeout_error" | "vector_store_timeout" | "DEADLINE_EXCEEDED" => 504,
        "overloaded_error" => 529,
        number => return number.parse().ok().filter(|status| (400..600).contains(status)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_providers_words_are_understood() {
        let cases = [
            (
                Kind::OpenAi,
                429,
                r#"{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                "rate_limit_exceeded",
                "slow",
            ),
            (
                Kind::OpenAi,
                400,
                r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#,
                "invalid_request_error",
                "bad",
            ),
            (
                Kind::Anthropic,
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                "overloaded_error",
                "Overloaded",
            ),
            (
                Kind::Anthropic,
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#,
                "context_length_exceeded",
                "prompt is too long: 200001 tokens > 200000 maximum",
            ),
            (
                Kind::Mistral,
                400,
                r#"{"object":"error","message":"Bad id","type":"invalid_request_message_order","code":"3230"}"#,
                "3230",
                "Bad id",
            ),
            (
                Kind::Mistral,
                422,
                r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#,
                "",
                "Field required",
            ),
            (Kind::OpenAiCompatible, 404, r#"{"error":"model 'x' not found"}"#, "", "model 'x' not found"),
            (
                Kind::OpenAiCompatible,
                400,
                r#"{"error":{"code":400,"message":"no","type":"invalid_request_error"}}"#,
                "invalid_request_error",
                "no",
            ),
            (Kind::OpenAiCompatible, 401, r#"{"detail":"Unauthorized"}"#, "", "Unauthorized"),
            (Kind::DeepSeek, 502, "<html>Bad gateway</html>", "", ""),
            (Kind::DeepSeek, 500, "[1,2]", "", ""),
        ];
        for (kind, status, body, word, message) in cases {
            let wanted = ProviderError { kind: word.to_owned(), message: message.to_owned(), status };
            assert_eq!(decode_error(kind, status, body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn geminis_bad_key_is_no_mistake_of_the_callers() {
        let body = |status: &str, reason: &str| {
            format!(
                r#"[{{"error":{{"code":400,"message":"no","status":"{status}","details":[{{"@type":"x","reason":"{reason}"}}]}}}}]"#
            )
        };
        for (status, reason, wanted) in [
            ("INVALID_ARGUMENT", "API_KEY_INVALID", 401),
            ("INVALID_ARGUMENT", "FIELD", 400),
            ("FAILED_PRECONDITION", "BILLING_DISABLED", 403),
        ] {
            let error = decode_error(Kind::Gemini, 400, body(status, reason).as_bytes());
            assert_eq!((error.status, error.message.as_str()), (wanted, "no"), "{status} {reason}");
        }
        let long = br#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#;
        assert_eq!(decode_error(Kind::Gemini, 400, long).kind, "context_length_exceeded");
    }

    #[test]
    fn an_error_inside_a_stream_gets_the_status_that_its_word_stands_for() {
        for (word, status) in [("overloaded_error", 529), ("rate_limit_exceeded", 429), ("new_word", 0), ("503", 503)] {
            let error = InlineError { code: Text(word.into()), ..InlineError::default() };
            assert_eq!(error.report(Kind::OpenAi).status, status);
        }
    }
}
