//! The models that a request may go to: what the catalog knows of every provider, what the settings
//! add, and which of the providers are at hand.

use crate::app::{Abilities, ProviderOptions};
use std::collections::HashSet;
use std::sync::Arc;
use tokenrouter_providers::Kind;
use tokenrouter_routing::{AllowedModels, Candidate, Catalog, LearnedModel, ModelInfo, Pool, Predictor, Task};

/// Of the providers given, each ready or known alone.
pub(crate) fn build<'a>(
    providers: impl IntoIterator<Item = (&'a ProviderOptions, bool)>,
    abilities: &Abilities,
) -> Pool {
    let (mut models, ready) = models(providers);
    set_abilities(&mut models, abilities);
    let candidate = |(model, ready): (ModelInfo, bool)| Candidate {
        provider: model.provider.as_str().into(),
        model: Arc::new(model),
        ready,
    };
    Pool::new(models.into_iter().zip(ready).map(candidate).collect())
}

/// The models that these providers may serve, and those of the catalog's other providers.
#[must_use]
pub fn known_models(providers: &[ProviderOptions]) -> Vec<ModelInfo> {
    models(providers.iter().map(|provider| (provider, true))).0
}

/// And whether each is of a provider that is set up.
fn models<'a>(providers: impl IntoIterator<Item = (&'a ProviderOptions, bool)>) -> (Vec<ModelInfo>, Vec<bool>) {
    let catalog = Catalog::builtin();
    let (mut models, mut ready) = (Vec::new(), Vec::new());
    let mut add = |provider: &str, model: &ModelInfo, is_ready: bool| {
        models.push(ModelInfo { provider: provider.to_owned(), ..model.clone() });
        ready.push(is_ready);
    };
    let mut configured = HashSet::new();
    for (provider, is_ready) in providers {
        configured.insert(provider.name.as_str());
        let mut known = HashSet::new();
        for model in &provider.models {
            known.insert(model.id.as_str());
            add(&provider.name, model, is_ready);
        }
        for model in catalog.models() {
            if model.provider == catalog_name(provider) && !known.contains(model.id.as_str()) {
                add(&provider.name, model, is_ready);
            }
        }
    }
    // What nobody configured is known, but not ready: asking for it is answered with what is missing.
    for model in catalog.models() {
        if !configured.contains(model.provider.as_str()) {
            add(&model.provider, model, false);
        }
    }
    (models, ready)
}

/// A provider of any name that speaks OpenAI's own API serves OpenAI's models; an
/// `openai-compatible` one serves what the catalog has under its name.
fn catalog_name(provider: &ProviderOptions) -> &str {
    match provider.kind {
        Kind::OpenAiCompatible => &provider.name,
        kind => kind.as_str(),
    }
}

/// Whether outcomes that go by this name are this model's: `gpt-4o` at any provider, `openai/gpt-4o` at one.
#[must_use]
pub fn names_model(name: &str, model: &ModelInfo) -> bool {
    named(name).is_some_and(|name| name.allows(&model.provider, model))
}

/// In an outcome's name a `*` stands for nothing but itself.
fn named(name: &str) -> Option<AllowedModels> {
    (!name.contains('*')).then(|| AllowedModels::new(&[name.to_owned()]))
}

/// What the predictor learned of a model, and above it what the settings say; of two that say something, the later.
pub fn set_abilities(models: &mut [ModelInfo], abilities: &Abilities) {
    if let Some(predictor) = &abilities.predictor {
        learn(models, predictor);
    }
    for model in models {
        for set in abilities.set.iter().filter(|set| set.models.allows(&model.provider, model)).collect::<Vec<_>>() {
            model.set_ability(set.task, set.ability);
        }
    }
}

/// Gives each model what was learned of it, and those of which nothing was how much abler or less able all others were than
/// is known of them. Where none of the models is here, nothing tells that, and nothing is learned.
fn learn(models: &mut [ModelInfo], predictor: &Predictor) {
    // A name with its provider is more exact, and so comes later.
    let mut names: Vec<(AllowedModels, &LearnedModel)> =
        predictor.models().iter().filter_map(|learned| Some((named(&learned.model)?, learned))).collect();
    names.sort_by_key(|(_, learned)| learned.model.contains('/'));
    let (mut sums, mut count) = ([0.0_f32; Task::ALL.len()], 0.0_f32);
    for model in models.iter_mut() {
        let found = names.iter().rev().find(|(name, _)| name.allows(&model.provider, model));
        let Some((_, learned)) = found else { continue };
        model.learn(learned);
        count += 1.0;
        for task in Task::ALL {
            sums[task as usize] += model.learned_at(task).unwrap_or_default() - model.quality_for(task);
        }
    }
    if count > 0.0 {
        let level = sums.map(|sum| sum / count);
        models.iter_mut().filter(|model| model.learned.is_none()).for_each(|model| model.learn_level(&level));
    }
}
