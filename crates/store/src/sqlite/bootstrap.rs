//! The first start, and the key that the environment gives: which workspace there is, and which key
//! opens it.

use rusqlite::Transaction;

use super::api_keys::{self, Origin};
use super::workspaces;
use crate::error::Result;
use crate::keys::{Bootstrap, BootstrapKey, NewApiKey, Workspace};

const WORKSPACE_NAME: &str = "default";
const KEY_NAME: &str = "bootstrap";

pub(crate) fn bootstrap(
    transaction: &Transaction<'_>,
    given: Option<&str>,
    new_key: &str,
    now_ms: i64,
) -> Result<Bootstrap> {
    let new = NewApiKey { name: KEY_NAME.to_owned(), ..NewApiKey::default() };
    let found = workspaces::first(transaction)?;
    let workspace = match found {
        Some(workspace) => workspace,
        None => workspaces::create(transaction, WORKSPACE_NAME, now_ms)?,
    };
    let key = match (given, found) {
        (Some(given), _) => install(transaction, workspace, &new, given, now_ms)?,
        (None, Some(_)) => BootstrapKey::Existing,
        (None, None) => {
            BootstrapKey::Generated(api_keys::create(transaction, workspace, &new, new_key, Origin::Bootstrap, now_ms)?)
        }
    };
    Ok(Bootstrap { workspace_id: workspace.workspace_id, user_id: workspace.user_id, key })
}

/// Makes the given key the one, unless a person has revoked it.
fn install(
    transaction: &Transaction<'_>,
    workspace: Workspace,
    new: &NewApiKey,
    given: &str,
    now_ms: i64,
) -> Result<BootstrapKey> {
    let row = match api_keys::find(transaction, given)? {
        None => api_keys::create(transaction, workspace, new, given, Origin::Bootstrap, now_ms)?,
        Some(known) if known.row.revoked_at_ms.is_none() => return Ok(BootstrapKey::Existing),
        Some(known) if known.origin == Origin::Bootstrap => {
            api_keys::reinstate(transaction, known.row.workspace_id, known.row.id)?
        }
        Some(_) => return Ok(BootstrapKey::Revoked),
    };
    api_keys::retire_bootstrap_keys(transaction, row.workspace_id, row.id, now_ms)?;
    Ok(BootstrapKey::Given(row))
}
