//! Workspaces' own provider keys that have been opened, kept from one snapshot to the next.
//!
//! A change of any key or rule makes a new snapshot, and most provider keys are as they were: they are not
//! decrypted anew. **A key that was open stays in use while its row stands, though it has been sealed anew with a
//! master key that this process does not have**: another gateway has that one already, and must not take the keys
//! of this one away.

use crate::accounts::{Account, KeyProblem, Providers};
use crate::vault::VaultError;
use std::collections::HashMap;
use std::sync::Arc;
use tokenrouter_store::ProviderKeyRow;

/// By the ids of the keys, each with the row that it is of.
#[derive(Default)]
pub(crate) struct Opened(HashMap<i64, (ProviderKeyRow, Arc<Account>)>);

impl Opened {
    /// The account that a stored key stands for, which is opened only where it has to be.
    pub fn account(&self, providers: &Providers, row: &ProviderKeyRow) -> Result<Arc<Account>, KeyProblem> {
        // A key cannot be changed, so that of the same id is the same.
        let known = self.0.get(&row.id).filter(|(known, _)| is_bound_alike(known, row));
        let Some((known, account)) = known else { return providers.account(row).map(Arc::new) };
        if known.sealed == row.sealed {
            return Ok(weighted(account, row));
        }
        match providers.account(row) {
            Err(problem @ KeyProblem::Vault(VaultError::UnknownVersion(_))) => {
                tracing::error!(
                    workspace = row.workspace_id, key = row.id, provider = row.provider, %problem,
                    "a provider key was encrypted anew; it stays in use until this gateway stops"
                );
                Ok(weighted(account, row))
            }
            opened => opened.map(Arc::new),
        }
    }

    pub fn insert(&mut self, row: &ProviderKeyRow, account: Arc<Account>) {
        self.0.insert(row.id, (row.clone(), account));
    }

    /// What health knows the accounts by.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|(_, account)| &*account.scope)
    }
}

fn is_bound_alike(known: &ProviderKeyRow, row: &ProviderKeyRow) -> bool {
    (known.workspace_id, &known.provider, &known.origin) == (row.workspace_id, &row.provider, &row.origin)
}

fn weighted(account: &Arc<Account>, row: &ProviderKeyRow) -> Arc<Account> {
    if account.weight == row.weight { Arc::clone(account) } else { Arc::new(account.with_weight(row.weight)) }
}
