//! The models that a request may go to: what the catalog knows of every provider, what the settings
//! add, and which of the providers are at hand.

use crate::app::{Abilities, ProviderOptions};
use std::collections::HashSet;
use std::sync::Arc;
use tokenrouter_providers::Kind;
use tokenrouter_routing::{AllowedModels, Candidate, Catalog, LearnedModel, ModelInfo, Pool};

/// Of the providers given, each ready or known alone.
pub(crate) fn build<'a>(
    providers: impl IntoIterator<Item = (&'a ProviderOptions, bool)>,
    abilities: &Abilities,
) -> Pool {
    let catalog = Catalog::builtin();
    let mut candidates = Vec::new();
    let mut configured = HashSet::new();
    for (provider, ready) in providers {
        configured.insert(provider.name.as_str());
        let name: Arc<str> = provider.name.as_str().into();
        let mut known = HashSet::new();
        for model in &provider.models {
            known.insert(model.id.clone());
            candidates.push(candidate(&name, model.clone(), ready, abilities));
        }
        for model in catalog.models() {
            if model.provider == catalog_name(provider) && !known.contains(&model.id) {
                candidates.push(candidate(&name, model.clone(), ready, abilities));
            }
        }
    }
    // What nobody configured is known, but not ready: asking for it is answered with what is missing.
    for model in catalog.models() {
        if !configured.contains(model.provider.as_str()) {
            candidates.push(candidate(&model.provider.as_str().into(), model.clone(), false, abilities));
        }
    }
    Pool::new(candidates)
}

/// A provider of any name that speaks OpenAI's own API serves OpenAI's models; an
/// `openai-compatible` one serves what the catalog has under its name.
fn catalog_name(provider: &ProviderOptions) -> &str {
    match provider.kind {
        Kind::OpenAiCompatible => &provider.name,
        kind => kind.as_str(),
    }
}

fn candidate(provider: &Arc<str>, mut model: ModelInfo, ready: bool, abilities: &Abilities) -> Candidate {
    model.provider = provider.to_string();
    set_abilities(&mut model, abilities);
    Candidate { provider: Arc::clone(provider), model: Arc::new(model), ready }
}

/// Whether outcomes that go by this name are this model's: `gpt-4o` at any provider, `openai/gpt-4o` at one.
#[must_use]
pub fn names_model(name: &str, model: &ModelInfo) -> bool {
    !name.contains('*') && AllowedModels::new(&[name.to_owned()]).allows(&model.provider, model)
}

/// What the predictor learned of a model beats the catalog, and what the settings say beats both; of two that say
/// something, the later.
pub fn set_abilities(model: &mut ModelInfo, abilities: &Abilities) {
    let provider = model.provider.clone();
    let learned = abilities.predictor.iter().flat_map(|predictor| predictor.models());
    let learned: Vec<&LearnedModel> = learned.filter(|learned| names_model(&learned.model, model)).collect();
    for learned in learned {
        model.learn(learned);
    }
    for set in abilities.set.iter().filter(|set| set.models.allows(&provider, model)).cloned().collect::<Vec<_>>() {
        model.set_ability(set.task, set.ability);
    }
}
