//! Every model of every provider, and how it is found by name.

use crate::ModelInfo;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Candidate {
    pub provider: Arc<str>,
    pub model: Arc<ModelInfo>,
    /// The provider is set up. What is not is known, so that asking for it can be answered well.
    pub ready: bool,
}

pub struct Pool {
    candidates: Vec<Candidate>,
    /// By name, alias or shared name, in lower case.
    by_name: HashMap<String, Vec<usize>>,
    providers: BTreeSet<Arc<str>>,
}

impl Pool {
    #[must_use]
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut providers = BTreeSet::new();
        for (i, candidate) in candidates.iter().enumerate() {
            providers.insert(Arc::clone(&candidate.provider));
            let model = &candidate.model;
            for name in model.aliases.iter().chain([&model.id]).chain(&model.shared_name) {
                let list = by_name.entry(name.to_lowercase()).or_default();
                if !list.contains(&i) {
                    list.push(i);
                }
            }
        }
        Self { candidates, by_name, providers }
    }

    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whether any candidate is of this provider, set up or not.
    #[must_use]
    pub fn has_provider(&self, name: &str) -> bool {
        self.providers.contains(name)
    }

    /// The catalog's id of the model that a provider calls by this name.
    #[must_use]
    pub fn id_of(&self, provider: &str, name: &str) -> Option<String> {
        let found = self.of_model(name).into_iter().find(|candidate| *candidate.provider == *provider);
        found.map(|candidate| candidate.model.id.clone())
    }

    pub(super) fn ready_providers(&self) -> Vec<String> {
        let ready: BTreeSet<&str> = self.candidates.iter().filter(|c| c.ready).map(|c| &*c.provider).collect();
        ready.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn of_provider(&self, provider: Option<&str>) -> Vec<&Candidate> {
        self.candidates.iter().filter(|c| provider.is_none_or(|p| *c.provider == *p)).collect()
    }

    pub(super) fn of_model(&self, name: &str) -> Vec<&Candidate> {
        let found = self.by_name.get(name).or_else(|| self.by_name.get(&name.to_lowercase()));
        found.into_iter().flatten().filter_map(|i| self.candidates.get(*i)).collect()
    }

    pub(super) fn knows_model(&self, name: &str) -> bool {
        self.by_name.contains_key(&name.to_lowercase())
    }

    /// The names most like this one, at most three; none that has little to do with it.
    pub(super) fn closest(&self, name: &str) -> Vec<String> {
        let name: String = name.to_lowercase().chars().take(64).collect();
        let limit = (name.chars().count() / 2).max(2);
        let mut near: Vec<(usize, &str)> = self
            .candidates
            .iter()
            .filter(|c| c.ready)
            .map(|c| c.model.id.as_str())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|id| (distance(&name, &id.to_lowercase()), id))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, id)| id.to_owned()).collect()
    }
}

/// Levenshtein's: how many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
