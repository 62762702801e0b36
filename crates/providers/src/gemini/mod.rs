//! Google's Gemini: `generateContent` and `streamGenerateContent`.
//!
//! The model's name stands in the path, so it is percent-encoded: whatever it is, path and host stay
//! ours. The key goes into a header, never into the address.

mod decode;
mod encode;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use decode::{Stream, decode};
pub(crate) use encode::encode;

use crate::encode::Target;
use std::fmt::Write;

/// Taken in place of a signature for a call that another model, or nobody, signed
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Which part a signature in the envelope belongs to: the one that follows the reasoning item …
const NEXT_PART: &str = "next";
/// … or a part of its own, without text, where it stands.
const OWN_PART: &str = "own";

/// To append to the base URL.
pub(crate) fn path(target: &Target) -> String {
    let mut path = String::from("/models/");
    for byte in target.model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path.push_str(if target.stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" });
    path
}

/// From the third generation on a model is told a level of thinking, not a number of tokens; its
/// calls must come back with their signatures, and tools and a schema go together.
fn is_third_generation(model: &str) -> bool {
    generation(model).is_some_and(|(major, _)| major >= 3)
}

/// Whether the least level of thinking is `minimal`: of Flash before 3.7 and of Flash-Lite; elsewhere it is `low`, and
/// `minimal` is an error (<https://ai.google.dev/gemini-api/docs/generate-content/thinking>,
/// <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thinking>).
fn takes_minimal(model: &str) -> bool {
    model.contains("flash-lite") || model.contains("flash") && generation(model).is_some_and(|it| it < (3, 7))
}

/// Major and minor of `gemini-3.8-flash`.
fn generation(model: &str) -> Option<(u32, u32)> {
    let mut numbers = model.strip_prefix("gemini-")?.split('-').next()?.split('.').map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod path_tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn no_name_of_a_model_leaves_its_place_in_the_path() {
        let cases = [
            ("gemini-2.5-flash", false, "/models/gemini-2.5-flash:generateContent"),
            ("gemini-2.5-flash", true, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
            ("../../v1/files?x#y", false, "/models/..%2F..%2Fv1%2Ffiles%3Fx%23y:generateContent"),
            ("a:b@host/ü", false, "/models/a%3Ab%40host%2F%C3%BC:generateContent"),
            ("a%2Fb\r\n", false, "/models/a%252Fb%0D%0A:generateContent"),
        ];
        for (model, stream, wanted) in cases {
            let target = Target {
                kind: Kind::Gemini,
                provider: "gemini",
                model,
                account: None,
                max_output_tokens: None,
                reasoning: true,
                stream,
            };
            assert_eq!(path(&target), wanted);
        }
    }

    #[test]
    fn generations_are_told_apart_by_the_models_name() {
        for (model, third) in [
            ("gemini-1.5-pro", false),
            ("gemini-2.5-flash", false),
            ("gemini-3-flash-preview", true),
            ("gemini-3.1-pro-preview", true),
            ("gemini-4-argon", true),
            ("gemini-12", true),
            ("gemma-3-27b-it", false),
        ] {
            assert_eq!(is_third_generation(model), third, "{model}");
        }
    }

    #[test]
    fn the_least_level_of_thinking_is_told_by_the_models_name() {
        for (model, minimal) in [
            ("gemini-3-flash-preview", true),
            ("gemini-3.6-flash", true),
            ("gemini-3.7-flash", false),
            ("gemini-3.8-flash", false),
            ("gemini-3.9-flash-lite", true),
            ("gemini-3.1-pro-preview", false),
            ("gemini-4-argon", false),
            ("gemini-4-flash", false),
        ] {
            assert_eq!(takes_minimal(model), minimal, "{model}");
        }
    }
}
