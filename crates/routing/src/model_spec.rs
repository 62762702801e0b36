//! The `model` string of a request (contract §3).

use crate::Mode;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelRequest {
    pub provider: Option<String>,
    /// None: any model (`auto`).
    pub model: Option<String>,
    pub mode: Option<Mode>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelSpecError {
    #[error("the model must not be empty; leave it out or say `auto` to let the router choose")]
    Empty,
    #[error("`auto:{0}` is not a mode; the modes are balance, cost, quality, latency")]
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
    if text.is_empty() {
        return Err(ModelSpecError::Empty);
    }
    let (provider, rest) = match text.split_once('/') {
        Some((head, rest)) if known_provider(head) => (Some(head.to_owned()), rest),
        _ => (None, text),
    };
    if let Some(suffix) = rest.strip_prefix("auto:") {
        let mode = Mode::parse(suffix).ok_or_else(|| ModelSpecError::UnknownMode(suffix.to_owned()))?;
        return Ok(ModelRequest { provider, model: None, mode: Some(mode) });
    }
    let (model, mode) = match rest.rsplit_once(':').and_then(|(model, suffix)| Some((model, Mode::parse(suffix)?))) {
        Some((model, mode)) => (model, Some(mode)),
        None => (rest, None),
    };
    if model.is_empty() {
        return Err(ModelSpecError::Empty);
    }
    let model = (model != "auto").then(|| model.to_owned());
    Ok(ModelRequest { provider, model, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, provider: Option<&str>, model: Option<&str>, mode: Option<Mode>) {
        let found = parse_model(Some(text), |name| ["openai", "anthropic"].contains(&name)).unwrap();
        let wanted = ModelRequest { provider: provider.map(Into::into), model: model.map(Into::into), mode };
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn a_model_string_names_provider_model_and_mode() {
        check("auto", None, None, None);
        check("auto:balanced", None, None, Some(Mode::Balance));
        check("auto:FAST", None, None, Some(Mode::Latency));
        check("gpt-4o", None, Some("gpt-4o"), None);
        check("gpt-4o:quality", None, Some("gpt-4o"), Some(Mode::Quality));
        check("llama3:8b", None, Some("llama3:8b"), None);
        check("llama3:8b:cost", None, Some("llama3:8b"), Some(Mode::Cost));
        check("openai/gpt-4o", Some("openai"), Some("gpt-4o"), None);
        check("openai/auto", Some("openai"), None, None);
        check("openai/auto:cost", Some("openai"), None, Some(Mode::Cost));
        check("meta-llama/Llama-3", None, Some("meta-llama/Llama-3"), None);
        assert_eq!(parse_model(None, |_| false).unwrap(), ModelRequest::default());
        assert_eq!(parse_model(Some(" "), |_| false), Err(ModelSpecError::Empty));
        assert!(parse_model(Some("auto:best"), |_| false).is_err());
    }
}
