//! What a model must be and be able to do to be a candidate at all.

use super::{Pool, Request};
use crate::ModelInfo;
use std::sync::Arc;

/// Why a model is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    NoKey,
    NotAllowed,
    Tools,
    Images,
    Files,
    JsonSchema,
    Reasoning,
    Ended,
    Context,
    Length,
    /// A routing rule names where the request may go.
    NotAFallback,
}

impl Filter {
    const ALL: [Self; 11] = [
        Self::NoKey,
        Self::NotAllowed,
        Self::Tools,
        Self::Images,
        Self::Files,
        Self::JsonSchema,
        Self::Reasoning,
        Self::Ended,
        Self::Context,
        Self::Length,
        Self::NotAFallback,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NotAllowed => "not_allowed",
            Self::Tools => "tools",
            Self::Images => "images",
            Self::Files => "files",
            Self::JsonSchema => "json_schema",
            Self::Reasoning => "reasoning",
            Self::Ended => "ended",
            Self::Context => "context",
            Self::Length => "length",
            Self::NotAFallback => "not_a_fallback",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.as_str() == name)
    }

    /// In words that go on from the model's name.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::NoKey => "is of a provider that is not set up",
            Self::NotAllowed => "may not be used with this API key",
            Self::Tools => "cannot use tools",
            Self::Images => "cannot see images",
            Self::Files => "cannot read files",
            Self::JsonSchema => "cannot answer by a JSON schema",
            Self::Reasoning => "cannot reason",
            Self::Ended => "was ended by its provider",
            Self::Context => "has too small a context window",
            Self::Length => "cannot answer at such length",
            Self::NotAFallback => "is not among those that a routing rule names",
        }
    }
}

/// A model that was thought of and is no candidate.
#[derive(Clone, Debug)]
pub struct Filtered {
    pub provider: Arc<str>,
    pub model: Arc<ModelInfo>,
    pub filter: Filter,
}

impl Pool {
    /// What was asked for and cannot be had, when all else is decided.
    pub(super) fn filtered(&self, request: &Request, named: bool) -> Vec<Filtered> {
        let provider = request.provider.as_deref();
        let considered = match &request.model {
            Some(model) if named => self.of_model(model),
            _ => self.of_provider(provider),
        };
        considered
            .into_iter()
            .filter(|candidate| provider.is_none_or(|name| *candidate.provider == *name))
            .filter_map(|candidate| {
                let filter = if !candidate.ready {
                    Some(Filter::NoKey)
                } else if !request.allowed.allows(&candidate.provider, &candidate.model) {
                    Some(Filter::NotAllowed)
                } else {
                    lacks(&candidate.model, request, named)
                };
                let (provider, model) = (&candidate.provider, &candidate.model);
                filter.map(|filter| Filtered { provider: Arc::clone(provider), model: Arc::clone(model), filter })
            })
            .collect()
    }
}

/// Why the model cannot take the request. A model that was ended is tried when it is named: the provider
/// knows best whether it is.
pub(super) fn lacks(model: &ModelInfo, request: &Request, named: bool) -> Option<Filter> {
    let (can, needs) = (&model.capabilities, &request.needs);
    let checks = [
        (needs.tools && !can.tools, Filter::Tools),
        (needs.images && !can.images, Filter::Images),
        (needs.files && !can.files, Filter::Files),
        (needs.json_schema && !can.json_schema, Filter::JsonSchema),
        (needs.reasoning && !can.reasoning, Filter::Reasoning),
        (!named && model.is_deprecated(&request.day), Filter::Ended),
    ];
    if let Some((_, filter)) = checks.into_iter().find(|(lacking, _)| *lacking) {
        return Some(filter);
    }
    let output = needs.max_output_tokens.unwrap_or(0);
    if needs.input_tokens_estimate.saturating_add(output) > model.context_window
        || model.max_input_tokens.is_some_and(|most| needs.input_tokens_estimate > most)
    {
        return Some(Filter::Context);
    }
    (model.max_output_tokens > 0 && output > model.max_output_tokens).then_some(Filter::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_goes_by_its_name() {
        for filter in Filter::ALL {
            assert_eq!(Filter::parse(filter.as_str()), Some(filter));
            assert!(!filter.why().is_empty());
        }
        assert_eq!(Filter::parse("nothing"), None);
    }
}
