//! The facade: what the rest of the product asks of a database, whichever database it is.

use std::sync::Arc;

use bytes::Bytes;

use crate::captures::Capture;
use crate::conversations::{ConversationItem, ConversationRow, ConversationTurn, ItemPage};
use crate::error::{Result, StoreError};
use crate::feedback::{FeedbackRow, FeedbackSum};
use crate::keys::{ApiKeyRow, Bootstrap, Charge, KeyUsage, NewApiKey, Workspace, WorkspaceRow, WorkspaceSettings};
use crate::ledger::{LedgerEntry, RequestRecord, StoredResponse};
use crate::provider_keys::{NewProviderKey, ProviderKeyPatch, ProviderKeyRow, SealedKey};
use crate::request_log::{RequestFilter, UsageGroup, UsageRow};
use crate::rules::{
    FirewallRulePatch, FirewallRuleRow, NewFirewallRule, NewRoutingRule, RoutingRulePatch, RoutingRuleRow, Snapshot,
};
use crate::sqlite::{
    Database, api_keys, bootstrap, captures, conversations, feedback, firewall_rules, ledger, migrations,
    provider_keys, responses, routing_rules, snapshot, workspaces,
};
use crate::url::DatabaseUrl;

/// How many bytes of records may wait for the database, unless somebody says otherwise.
pub const DEFAULT_SPOOL_BYTES: u64 = 256 << 20;

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Into the database.
    Direct,
    /// Into the spool, which has so many bytes by now: the database cannot be written to.
    Spooled { bytes: u64 },
    /// Nowhere: the spool is full.
    Refused,
}

/// The database. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `sqlite:PATH` or a plain path, creating folder (0700) and file (0600) as needed and
    /// migrating to this program's schema; `sqlite::memory:` is for tests.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with_spool(url, DEFAULT_SPOOL_BYTES).await
    }

    /// The same; of the records that come while the database cannot be written to, `spool_bytes` may wait in a file
    /// beside it, and go into the database later. 0: they are errors at once.
    pub async fn open_with_spool(url: &str, spool_bytes: u64) -> Result<Self> {
        let url = DatabaseUrl::parse(url)?;
        let opened = tokio::task::spawn_blocking(move || Database::open(url, spool_bytes)).await;
        let database = opened
            .unwrap_or_else(|_| Err(StoreError::Internal { reason: "opening the database did not finish".into() }))?;
        Ok(Self { database: Arc::new(database) })
    }

    /// How the writing of records stands.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let spool = self.database.spool();
        match (spool.is_full(), spool.is_active()) {
            (true, _) => Recording::Refused,
            (false, true) => Recording::Spooled { bytes: spool.bytes() },
            (false, false) => Recording::Direct,
        }
    }

    /// Tries whether the database takes records again and brings in those that wait; nothing to do where none wait.
    /// Gives what each of those counts as against limits.
    pub async fn recover(&self) -> Result<Vec<Charge>> {
        if !self.records_wait() {
            return Ok(Vec::new());
        }
        self.database.recover().await
    }

    /// Whether records that a process before has left wait for [`Store::recover`]: the database had not taken them
    /// when it was opened.
    #[must_use]
    pub fn has_left_records(&self) -> bool {
        self.database.spool().is_left()
    }

    /// Whether the database may lack what was recorded of late: it waits in the spool.
    #[must_use]
    pub fn records_wait(&self) -> bool {
        self.recording() != Recording::Direct || self.has_left_records()
    }

    /// What is not in the database may be in the spool: while records go there, nobody is told that it does not exist.
    /// To be asked before the database is: what is brought in between is in neither for who asks behind it.
    fn not_in_spool(&self) -> Result<()> {
        if !self.records_wait() {
            return Ok(());
        }
        Err(StoreError::Unavailable {
            reason: "it cannot be written to, and what was recorded of late is not at hand".into(),
        })
    }

    /// Writes all that is queued, brings the WAL home and closes. Later calls, on every clone, get
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// `spooled`: what [`Store::not_in_spool`] said before the database was asked.
fn or_in_spool<T>(found: Option<T>, spooled: Result<()>) -> Result<Option<T>> {
    if found.is_none() {
        spooled?;
    }
    Ok(found)
}

/// Workspaces and keys.
impl Store {
    /// At the first start makes a workspace, its user and its key: `key` (from the environment) if
    /// given, else `new_key`. Later, a `key` that is not known is added to the first workspace in the
    /// place of the bootstrap keys before it.
    pub async fn bootstrap(&self, key: Option<&str>, new_key: &str, now_ms: i64) -> Result<Bootstrap> {
        let (key, new_key) = (key.map(str::to_owned), new_key.to_owned());
        self.database.write(move |db| bootstrap::bootstrap(db, key.as_deref(), &new_key, now_ms)).await
    }

    pub async fn create_workspace(&self, name: &str, now_ms: i64) -> Result<Workspace> {
        let name = name.to_owned();
        self.database.write(move |db| Ok(workspaces::create(db, &name, now_ms)?)).await
    }

    /// Oldest first.
    pub async fn list_workspaces(&self) -> Result<Vec<WorkspaceRow>> {
        self.database.read(|db| workspaces::list(db)).await
    }

    pub async fn get_workspace(&self, workspace_id: i64) -> Result<Option<WorkspaceRow>> {
        self.database.read(move |db| workspaces::show(db, workspace_id)).await
    }

    /// Changes what a workspace sets for itself, from what it is when nobody else can write. The workspace as changed,
    /// or what `change` refuses; `None` if there is no such workspace.
    pub async fn change_workspace<E: Send + 'static>(
        &self,
        workspace_id: i64,
        change: impl FnOnce(WorkspaceSettings) -> std::result::Result<WorkspaceSettings, E> + Send + 'static,
    ) -> Result<Option<std::result::Result<WorkspaceRow, E>>> {
        let change = move |db: &rusqlite::Transaction<'_>| {
            let Some(before) = workspaces::show(db, workspace_id)? else { return Ok(None) };
            match change(before.settings) {
                Ok(settings) => Ok(workspaces::set(db, workspace_id, &settings)?.map(Ok)),
                Err(refused) => Ok(Some(Err(refused))),
            }
        };
        self.database.write(change).await
    }

    /// The oldest workspace of this name.
    pub async fn find_workspace(&self, name: &str) -> Result<Option<Workspace>> {
        let name = name.to_owned();
        self.database.read(move |db| workspaces::find(db, &name)).await
    }

    /// [`create_api_key`](Self::create_api_key) of a key without restrictions.
    pub async fn create_key(&self, workspace_id: i64, name: &str, key: &str, now_ms: i64) -> Result<ApiKeyRow> {
        let new = NewApiKey { name: name.to_owned(), ..NewApiKey::default() };
        self.create_api_key(workspace_id, new, key, now_ms).await
    }

    /// Stores the hash of `key`, in the name of the workspace's first user. A key that exists, in any
    /// workspace, and a workspace that does not are a [`StoreError::Conflict`].
    pub async fn create_api_key(&self, workspace_id: i64, new: NewApiKey, key: &str, now_ms: i64) -> Result<ApiKeyRow> {
        let key = key.to_owned();
        self.database
            .write(move |db| {
                let workspace = workspaces::get(db, workspace_id)?
                    .ok_or_else(|| StoreError::Conflict { reason: "there is no such workspace".into() })?;
                let origin = api_keys::Origin::Person;
                Ok(api_keys::create(db, workspace, &new, &key, origin, now_ms)?)
            })
            .await
    }

    /// Oldest first, the revoked ones too.
    pub async fn list_keys(&self, workspace_id: i64) -> Result<Vec<ApiKeyRow>> {
        self.database.read(move |db| api_keys::list(db, workspace_id)).await
    }

    /// False if the workspace has no such key in force.
    pub async fn revoke_key(&self, workspace_id: i64, id: i64, now_ms: i64) -> Result<bool> {
        self.database.write(move |db| Ok(api_keys::revoke(db, workspace_id, id, now_ms)?)).await
    }
}

/// Workspaces' own keys for providers.
impl Store {
    /// Stores a key in the name of a user of the workspace. `seal` is told the key's id and gives it sealed.
    /// More than `most` keys of the workspace for that provider are a [`StoreError::Conflict`].
    pub async fn create_provider_key(
        &self,
        workspace_id: i64,
        user_id: i64,
        new: NewProviderKey,
        most: u64,
        now_ms: i64,
        seal: impl FnOnce(i64) -> Result<SealedKey> + Send + 'static,
    ) -> Result<ProviderKeyRow> {
        self.database
            .write(move |db| {
                if provider_keys::count(db, workspace_id, &new.provider)? >= most {
                    let reason = format!("a workspace has at most {most} keys for a provider");
                    return Err(StoreError::Conflict { reason });
                }
                let id = provider_keys::create(db, workspace_id, user_id, &new, now_ms)?;
                Ok(provider_keys::seal(db, workspace_id, id, &seal(id)?)?)
            })
            .await
    }

    /// Oldest first.
    pub async fn list_provider_keys(&self, workspace_id: i64) -> Result<Vec<ProviderKeyRow>> {
        self.database.read(move |db| provider_keys::list(db, workspace_id)).await
    }

    pub async fn get_provider_key(&self, workspace_id: i64, id: i64) -> Result<Option<ProviderKeyRow>> {
        self.database.read(move |db| provider_keys::get(db, workspace_id, id)).await
    }

    /// The key as changed; `None` if the workspace has no such key.
    pub async fn update_provider_key(
        &self,
        workspace_id: i64,
        id: i64,
        patch: ProviderKeyPatch,
        now_ms: i64,
    ) -> Result<Option<ProviderKeyRow>> {
        self.database.write(move |db| Ok(provider_keys::update(db, workspace_id, id, &patch, now_ms)?)).await
    }

    /// False if the workspace has no such key.
    pub async fn delete_provider_key(&self, workspace_id: i64, id: i64) -> Result<bool> {
        self.database.write(move |db| Ok(provider_keys::delete(db, workspace_id, id)?)).await
    }

    /// Puts what `reseal` makes of each key, of every workspace, in its place; where it gives nothing the key
    /// stays. All or none; the number of those that changed.
    pub async fn reseal_provider_keys(
        &self,
        mut reseal: impl FnMut(&ProviderKeyRow) -> Result<Option<SealedKey>> + Send + 'static,
    ) -> Result<u64> {
        self.database
            .write(move |db| {
                let mut changed = 0;
                for row in provider_keys::list_all(db)? {
                    let Some(sealed) = reseal(&row)? else { continue };
                    provider_keys::seal(db, row.workspace_id, row.id, &sealed)?;
                    changed += 1;
                }
                Ok(changed)
            })
            .await
    }
}

/// What the data plane reads.
impl Store {
    pub async fn snapshot(&self) -> Result<Snapshot> {
        self.database.read(snapshot::read).await
    }

    /// The version that a snapshot taken now would have: cheap, to see whether another process (the
    /// command line) changed a key or a rule.
    pub async fn config_version(&self) -> Result<i64> {
        self.database.read(|db| snapshot::version(db)).await
    }
}

/// Routing rules.
impl Store {
    /// Highest priority first, then lowest id.
    pub async fn list_routing_rules(&self, workspace_id: i64) -> Result<Vec<RoutingRuleRow>> {
        self.database.read(move |db| routing_rules::list(db, workspace_id)).await
    }

    pub async fn get_routing_rule(&self, workspace_id: i64, id: i64) -> Result<Option<RoutingRuleRow>> {
        self.database.read(move |db| routing_rules::get(db, workspace_id, id)).await
    }

    pub async fn create_routing_rule(
        &self,
        workspace_id: i64,
        user_id: i64,
        new: NewRoutingRule,
        now_ms: i64,
    ) -> Result<RoutingRuleRow> {
        self.database.write(move |db| Ok(routing_rules::create(db, workspace_id, user_id, &new, now_ms)?)).await
    }

    /// The rule as changed; `None` if the workspace has no such rule.
    pub async fn update_routing_rule(
        &self,
        workspace_id: i64,
        id: i64,
        patch: RoutingRulePatch,
        now_ms: i64,
    ) -> Result<Option<RoutingRuleRow>> {
        self.database.write(move |db| Ok(routing_rules::update(db, workspace_id, id, &patch, now_ms)?)).await
    }

    /// False if the workspace has no such rule.
    pub async fn delete_routing_rule(&self, workspace_id: i64, id: i64) -> Result<bool> {
        self.database.write(move |db| Ok(routing_rules::delete(db, workspace_id, id)?)).await
    }
}

/// Firewall rules.
impl Store {
    /// Highest priority first, then lowest id.
    pub async fn list_firewall_rules(&self, workspace_id: i64) -> Result<Vec<FirewallRuleRow>> {
        self.database.read(move |db| firewall_rules::list(db, workspace_id)).await
    }

    pub async fn get_firewall_rule(&self, workspace_id: i64, id: i64) -> Result<Option<FirewallRuleRow>> {
        self.database.read(move |db| firewall_rules::get(db, workspace_id, id)).await
    }

    pub async fn create_firewall_rule(
        &self,
        workspace_id: i64,
        user_id: i64,
        new: NewFirewallRule,
        now_ms: i64,
    ) -> Result<FirewallRuleRow> {
        self.database.write(move |db| Ok(firewall_rules::create(db, workspace_id, user_id, &new, now_ms)?)).await
    }

    /// The rule as changed; `None` if the workspace has no such rule.
    pub async fn update_firewall_rule(
        &self,
        workspace_id: i64,
        id: i64,
        patch: FirewallRulePatch,
        now_ms: i64,
    ) -> Result<Option<FirewallRuleRow>> {
        self.database.write(move |db| Ok(firewall_rules::update(db, workspace_id, id, &patch, now_ms)?)).await
    }

    /// False if the workspace has no such rule.
    pub async fn delete_firewall_rule(&self, workspace_id: i64, id: i64) -> Result<bool> {
        self.database.write(move |db| Ok(firewall_rules::delete(db, workspace_id, id)?)).await
    }
}

/// What requests leave behind.
impl Store {
    /// Queues a request's entry and response, both or neither, and resolves when they are durable:
    /// from then on the death of the process cannot lose them. They are queued by the call itself and
    /// written even if the future is dropped. When the queue is full the future waits for room.
    pub fn record(
        &self,
        entry: LedgerEntry,
        response: Option<StoredResponse>,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        self.record_request(RequestRecord { response, ..RequestRecord::of(entry) })
    }

    /// The same for a response of a conversation, whose items are added to it with the rest. Nothing is
    /// added to a conversation that has been deleted meanwhile.
    pub fn record_turn(
        &self,
        entry: LedgerEntry,
        response: Option<StoredResponse>,
        turn: ConversationTurn,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        self.record_request(RequestRecord { response, turn: Some(turn), ..RequestRecord::of(entry) })
    }

    /// The same of all that a request can leave.
    pub fn record_request(&self, record: RequestRecord) -> impl Future<Output = Result<()>> + Send + use<> {
        self.database.record(record)
    }

    pub async fn get_capture(&self, workspace_id: i64, request_id: &str) -> Result<Option<Capture>> {
        let request_id = request_id.to_owned();
        let spooled = self.not_in_spool();
        let found = self.database.read(move |db| captures::get(db, workspace_id, &request_id)).await?;
        or_in_spool(found, spooled)
    }

    /// For how many days the workspace keeps prompts and answers; `None`: it captures none.
    pub async fn capture_days(&self, workspace_id: i64) -> Result<Option<u32>> {
        self.database.read(move |db| captures::days(db, workspace_id)).await
    }

    /// From now on; without days nothing more is captured, and what was is deleted.
    pub async fn set_capture_days(&self, workspace_id: i64, days: Option<u32>) -> Result<()> {
        self.database.write(move |db| Ok(captures::set_days(db, workspace_id, days)?)).await
    }

    /// Deletes the prompts and answers that are older than their workspaces keep them; gives how many those were.
    pub async fn expire_captures(&self, now_ms: i64) -> Result<usize> {
        self.database.write(move |db| Ok(captures::expire(db, now_ms)?)).await
    }

    /// Stores a response that is not finished, and the entry that the ledger is to get if nobody finishes it.
    /// [`Store::record`] with the same id finishes it. One that is there already is a [`StoreError::Conflict`].
    pub async fn put_unfinished_response(&self, if_left: LedgerEntry, response: StoredResponse) -> Result<()> {
        self.database.write(move |db| Ok(responses::put_unfinished(db, &if_left, &response)?)).await
    }

    /// How far a response is by now; one that is finished stays as it is.
    pub async fn update_unfinished_response(&self, workspace_id: i64, id: &str, body: Bytes) -> Result<()> {
        let id = id.to_owned();
        self.database.write(move |db| Ok(responses::update_unfinished(db, workspace_id, &id, &body)?)).await
    }

    /// The responses of all workspaces that are not finished, oldest first, each with what the ledger is to say of
    /// it if nobody finishes it.
    pub async fn unfinished_responses(&self) -> Result<Vec<(LedgerEntry, StoredResponse)>> {
        self.database.read(|db| responses::unfinished(db)).await
    }

    pub async fn get_response(&self, workspace_id: i64, id: &str) -> Result<Option<StoredResponse>> {
        let id = id.to_owned();
        let spooled = self.not_in_spool();
        let found = self.database.read(move |db| responses::get(db, workspace_id, &id)).await?;
        or_in_spool(found, spooled)
    }

    /// A response and those before it that `previous_response_id` leads to, newest first, at most `limit`
    /// of them; empty if the workspace has no such response. A link that leads nowhere ends the chain:
    /// then the last one has a `previous_response_id`.
    pub async fn get_chain(&self, workspace_id: i64, id: &str, limit: u32) -> Result<Vec<StoredResponse>> {
        let id = id.to_owned();
        let spooled = self.not_in_spool();
        let chain = self.database.read(move |db| responses::chain(db, workspace_id, &id, limit)).await?;
        if chain.last().is_none_or(|oldest| oldest.previous_response_id.is_some()) {
            spooled?;
        }
        Ok(chain)
    }

    /// False if the workspace has no such response.
    pub async fn delete_response(&self, workspace_id: i64, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.database.write(move |db| Ok(responses::delete(db, workspace_id, &id)?)).await
    }

    pub async fn count_responses(&self, workspace_id: i64) -> Result<u64> {
        self.database.read(move |db| responses::count(db, workspace_id)).await
    }

    pub async fn get_request(&self, workspace_id: i64, request_id: &str) -> Result<Option<LedgerEntry>> {
        let request_id = request_id.to_owned();
        let spooled = self.not_in_spool();
        let found = self.database.read(move |db| ledger::get(db, workspace_id, &request_id)).await?;
        or_in_spool(found, spooled)
    }

    /// Newest first. `before` is the request id that the page before ended with; one that is not there
    /// gives an empty page.
    pub async fn list_requests(&self, workspace_id: i64, limit: u32, before: Option<&str>) -> Result<Vec<LedgerEntry>> {
        let before = before.map(str::to_owned);
        self.database.read(move |db| ledger::list(db, workspace_id, limit, before.as_deref())).await
    }

    /// The request that made a response, whether the response was stored or not.
    pub async fn get_request_of_response(&self, workspace_id: i64, response_id: &str) -> Result<Option<LedgerEntry>> {
        let response_id = response_id.to_owned();
        let spooled = self.not_in_spool();
        let found = self.database.read(move |db| ledger::of_response(db, workspace_id, &response_id)).await?;
        or_in_spool(found, spooled)
    }

    /// Newest first, from behind the request `after`; `None` if the workspace has no such request.
    pub async fn find_requests(
        &self,
        workspace_id: i64,
        filter: RequestFilter,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Option<Vec<LedgerEntry>>> {
        let after = after.map(str::to_owned);
        self.database.read(move |db| ledger::find(db, workspace_id, &filter, limit, after.as_deref())).await
    }

    /// In the order in which they were recorded, which is that of their ends, from behind the record of
    /// that number; each with its number.
    pub async fn list_recorded(&self, workspace_id: i64, after: i64, limit: u32) -> Result<Vec<(i64, LedgerEntry)>> {
        self.database.read(move |db| ledger::recorded(db, workspace_id, after, limit)).await
    }

    /// The number of the newest record; 0 if there is none.
    pub async fn last_record(&self) -> Result<i64> {
        self.database.read(|db| ledger::last(db)).await
    }

    /// How many migrations the database has had.
    pub async fn schema_version(&self) -> Result<i64> {
        self.database.read(|db| migrations::version(db)).await
    }

    /// What each key, of every workspace, has used since then.
    pub async fn key_usage(&self, since_ms: i64) -> Result<Vec<KeyUsage>> {
        self.database.read(move |db| ledger::key_usage(db, since_ms)).await
    }

    /// What the requests come to, group by group, in the groups' order.
    pub async fn usage(&self, workspace_id: i64, filter: RequestFilter, group: UsageGroup) -> Result<Vec<UsageRow>> {
        self.database.read(move |db| ledger::usage(db, workspace_id, &filter, group)).await
    }

    pub async fn count_requests(&self, workspace_id: i64) -> Result<u64> {
        self.database.read(move |db| ledger::count(db, workspace_id)).await
    }
}

/// Feedback on responses.
impl Store {
    /// Takes the place of what was said of the response before. Whether there is such a response is the caller's
    /// matter.
    pub async fn put_feedback(&self, workspace_id: i64, feedback: FeedbackRow) -> Result<()> {
        self.database.write(move |db| Ok(feedback::put(db, workspace_id, &feedback)?)).await
    }

    pub async fn get_feedback(&self, workspace_id: i64, response_id: &str) -> Result<Option<FeedbackRow>> {
        let response_id = response_id.to_owned();
        self.database.read(move |db| feedback::get(db, workspace_id, &response_id)).await
    }

    /// Oldest first, at most `limit`.
    pub async fn list_feedback(&self, workspace_id: i64, limit: u32) -> Result<Vec<FeedbackRow>> {
        self.database.read(move |db| feedback::list(db, workspace_id, limit)).await
    }

    /// All that was said, by model and task: in one workspace, or in each.
    pub async fn feedback_sums(&self, workspace_id: Option<i64>) -> Result<Vec<FeedbackSum>> {
        self.database.read(move |db| feedback::sums(db, workspace_id)).await
    }
}

/// Conversations. Who changes one while a response is made upon it is the gateway's matter.
impl Store {
    pub async fn create_conversation(
        &self,
        workspace_id: i64,
        conversation: ConversationRow,
        items: Vec<ConversationItem>,
    ) -> Result<()> {
        self.database.write(move |db| Ok(conversations::create(db, workspace_id, &conversation, &items)?)).await
    }

    pub async fn get_conversation(&self, workspace_id: i64, id: &str) -> Result<Option<ConversationRow>> {
        let id = id.to_owned();
        self.database.read(move |db| conversations::get(db, workspace_id, &id)).await
    }

    /// The conversation as changed; `None` if the workspace has no such conversation.
    pub async fn set_conversation_metadata(
        &self,
        workspace_id: i64,
        id: &str,
        metadata: serde_json::Value,
    ) -> Result<Option<ConversationRow>> {
        let id = id.to_owned();
        self.database.write(move |db| Ok(conversations::set_metadata(db, workspace_id, &id, &metadata)?)).await
    }

    /// With its items. False if the workspace has no such conversation.
    pub async fn delete_conversation(&self, workspace_id: i64, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.database.write(move |db| Ok(conversations::delete(db, workspace_id, &id)?)).await
    }

    /// All items, oldest first; `None` if the workspace has no such conversation. An error while turns may be in the
    /// spool.
    pub async fn get_conversation_items(&self, workspace_id: i64, id: &str) -> Result<Option<Vec<ConversationItem>>> {
        self.not_in_spool()?;
        let id = id.to_owned();
        self.database.read(move |db| conversations::all_items(db, workspace_id, &id)).await
    }

    /// Adds items behind those that are there: all, or none with a [`StoreError::Conflict`] if the
    /// conversation has an item of the same id. False if the workspace has no such conversation.
    pub async fn add_conversation_items(
        &self,
        workspace_id: i64,
        id: &str,
        items: Vec<ConversationItem>,
    ) -> Result<bool> {
        let id = id.to_owned();
        self.database
            .write(move |db| {
                if conversations::get(db, workspace_id, &id)?.is_none() {
                    return Ok(false);
                }
                conversations::add_items(db, workspace_id, &id, &items)?;
                Ok(true)
            })
            .await
    }

    /// A page of items, and one more if there are more; `None` if there is no item that the page is to
    /// begin after. An error while turns may be in the spool.
    pub async fn list_conversation_items(
        &self,
        workspace_id: i64,
        id: &str,
        page: ItemPage,
    ) -> Result<Option<Vec<ConversationItem>>> {
        self.not_in_spool()?;
        let id = id.to_owned();
        self.database.read(move |db| conversations::list_items(db, workspace_id, &id, &page)).await
    }

    pub async fn get_conversation_item(
        &self,
        workspace_id: i64,
        id: &str,
        item_id: &str,
    ) -> Result<Option<ConversationItem>> {
        let (id, item_id) = (id.to_owned(), item_id.to_owned());
        let spooled = self.not_in_spool();
        let found = self.database.read(move |db| conversations::get_item(db, workspace_id, &id, &item_id)).await?;
        or_in_spool(found, spooled)
    }

    /// False if the conversation has no such item.
    pub async fn delete_conversation_item(&self, workspace_id: i64, id: &str, item_id: &str) -> Result<bool> {
        let (id, item_id) = (id.to_owned(), item_id.to_owned());
        self.database.write(move |db| Ok(conversations::delete_item(db, workspace_id, &id, &item_id)?)).await
    }
}
