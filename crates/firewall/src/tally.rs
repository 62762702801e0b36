//! How often each rule has matched, over a whole request.

use crate::{Action, Scope};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub rule_id: i64,
    /// The rule's place among those of its scope, in the order in which they run.
    pub rank: usize,
    pub name: Arc<str>,
    pub action: Action,
    pub scope: Scope,
    pub matches: u64,
    /// The rule ran out of its budget; it may match more often than was counted.
    pub exhausted: bool,
}

/// Rules of the prompt first, then those of the response, each in the order in which they run: the same
/// for a stream as for the whole text, where another rule may be the first to match.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    hits: Vec<Hit>,
}

impl Tally {
    pub(crate) fn record(&mut self, hit: Hit) {
        match self.hits.iter_mut().find(|known| known.rule_id == hit.rule_id) {
            Some(known) => {
                known.matches += hit.matches;
                known.exhausted |= hit.exhausted;
            }
            None => {
                let place = (hit.scope == Scope::Response, hit.rank);
                let at = self.hits.partition_point(|known| (known.scope == Scope::Response, known.rank) < place);
                self.hits.insert(at, hit);
            }
        }
    }

    /// Adds another's hits.
    pub fn merge(&mut self, other: &Self) {
        other.hits.iter().for_each(|hit| self.record(hit.clone()));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter()
    }
}
