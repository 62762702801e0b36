//! How often each rule has matched, over a whole request.

use crate::{Action, Scope};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub rule_id: i64,
    pub name: Arc<str>,
    pub action: Action,
    pub scope: Scope,
    pub matches: u64,
    /// The rule ran out of its budget; it may match more often than was counted.
    pub exhausted: bool,
}

/// In the order in which rules first matched.
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
            None => self.hits.push(hit),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter()
    }
}
