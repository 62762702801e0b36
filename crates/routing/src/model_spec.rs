//! The `model` string of a request (contract §3).

use crate::Mode;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelRequest {
    /// None: any provider that serves the model.
    pub provider: Option<String>,
    /// None: any model (`auto`).
    pub model: Option<String>,
    pub mode: Option<Mode>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelSpecError {
    #[error("the model must not be empty; leave it out or say `auto` to let the router choose")]
    Empty,
    #[error("`auto:{0}` is not a mode; the modes are {names}", names = Mode::NAMES)]
    UnknownMode(String),
}

/// Reads `auto`, `auto:mode`, `model`, `model:mode`, `provider/model`, `provider/model:mode` and
/// `provider/auto`. Only a mode's name is a suffix, and only a known provider's name a prefix:
/// `llama3:8b` and `meta-llama/Llama-3` are models.
///
/// # Errors
/// When it is empty, or `auto` has a suffix that is not a mode.
pub fn parse_model(text: Option<&str>, known_provider: impl Fn(&str) -> bool) -> Result<ModelRequest, ModelSpecError> {
    let Some(text) = text else { return Ok(ModelRequest::default()) };
    let text = text.trim();
    let (provider, rest) = match text.split_once('/') {
        Some((head, rest)) if known_provider(head) => (Some(head.to_owned()), rest),
        _ => (None, text),
    };
    let (name, suffix) = rest.rsplit_once(':').map_or((rest, None), |(name, suffix)| (name, Some(suffix)));
    let mode = suffix.and_then(Mode::parse);
    let (name, mode) = match (suffix, mode) {
        (Some(suffix), None) if is_auto(name) => return Err(ModelSpecError::UnknownMode(suffix.to_owned())),
        (Some(_), None) => (rest, None),
        (_, mode) => (name, mode),
    };
    if name.is_empty() {
        return Err(ModelSpecError::Empty);
    }
    Ok(ModelRequest { provider, model: (!is_auto(name)).then(|| name.to_owned()), mode })
}

fn is_auto(name: &str) -> bool {
    name.eq_ignore_ascii_case("auto")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<ModelRequest, ModelSpecError> {
        parse_model(Some(text), |name| ["openai", "anthropic", "groq"].contains(&name))
    }

    #[test]
    fn a_model_string_names_provider_model_and_mode() {
        let cases = [
            ("auto", None, None, None),
            ("Auto", None, None, None),
            ("auto:balance", None, None, Some(Mode::Balance)),
            ("auto:balanced", None, None, Some(Mode::Balance)),
            ("auto:FAST", None, None, Some(Mode::Latency)),
            ("gpt-4o", None, Some("gpt-4o"), None),
            (" gpt-4o ", None, Some("gpt-4o"), None),
            ("gpt-4o:quality", None, Some("gpt-4o"), Some(Mode::Quality)),
            ("llama3:8b", None, Some("llama3:8b"), None),
            ("llama3:8b:cost", None, Some("llama3:8b"), Some(Mode::Cost)),
            ("openai/gpt-4o", Some("openai"), Some("gpt-4o"), None),
            ("anthropic/claude-haiku-4-5:cost", Some("anthropic"), Some("claude-haiku-4-5"), Some(Mode::Cost)),
            ("groq/openai/gpt-oss-120b", Some("groq"), Some("openai/gpt-oss-120b"), None),
            ("openai/auto", Some("openai"), None, None),
            ("openai/auto:cost", Some("openai"), None, Some(Mode::Cost)),
            ("meta-llama/Llama-3", None, Some("meta-llama/Llama-3"), None),
            ("cost", None, Some("cost"), None),
        ];
        for (text, provider, model, mode) in cases {
            let wanted = ModelRequest { provider: provider.map(Into::into), model: model.map(Into::into), mode };
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
        assert_eq!(parse_model(None, |_| false), Ok(ModelRequest::default()));
    }

    #[test]
    fn what_names_no_model_is_an_error() {
        for empty in ["", " ", ":cost", "openai/", "openai/:cost"] {
            assert_eq!(parse(empty), Err(ModelSpecError::Empty), "{empty:?}");
        }
        let error = parse("auto:best").unwrap_err();
        assert_eq!(error, ModelSpecError::UnknownMode("best".to_owned()));
        assert!(error.to_string().contains("balance, cost, quality, latency"));
        assert_eq!(parse("openai/auto:"), Err(ModelSpecError::UnknownMode(String::new())));
    }

    proptest! {
        #[test]
        fn any_name_that_ends_in_no_mode_is_kept_whole(name in "[a-z0-9.-]{1,12}(/[a-z0-9.]{1,8})?(:[0-9]{1,3}b)?") {
            prop_assume!(!name.starts_with("auto") && Mode::parse(&name).is_none());
            let found = parse_model(Some(&name), |_| false);
            prop_assert_eq!(found, Ok(ModelRequest { provider: None, model: Some(name), mode: None }));
        }
    }
}
