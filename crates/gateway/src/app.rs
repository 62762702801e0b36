//! What the gateway holds while it runs.

use crate::accounts::{KeyProblem, Providers};
use crate::clock::now_ms;
use crate::connections;
use crate::error::{ApiError, ApiResult, Code};
use crate::http::{Idempotency, InFlight, Sessions};
use crate::learned::LearnedBook;
use crate::limits::{Amount, Holder, Limits as KeyLimits};
use crate::metrics::Metrics;
use crate::pipeline::background::{Background, Stop};
use crate::pipeline::conversation::Conversations;
use crate::pipeline::left;
use crate::pipeline::recent::RecentTurns;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::vault::{MasterKey, Vault};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokenrouter_providers::{Auth, Kind};
use tokenrouter_routing::{AllowedModels, LatencyTracker, ModelInfo, Predictor, Task};
use tokenrouter_store::{Charge, Recording, Store, WorkspaceSettings};
use tokenrouter_upstream::{Client, EndpointError, Health, HealthOptions, Limits};
use tokio::sync::watch;

/// A provider as the settings give it.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    pub name: String,
    pub kind: Kind,
    pub base_url: String,
    pub key: Option<SecretString>,
    /// How it wants its key; [`Kind::auth`] unless the settings say otherwise.
    pub auth: Auth,
    /// Models besides those that the catalog knows for this name.
    pub models: Vec<ModelInfo>,
    /// It is the simulator in the provider's place.
    pub simulated: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    pub connect: Duration,
    /// Until a provider begins to answer.
    pub first_event: Duration,
    /// Between two pieces of a streamed answer.
    pub between_events: Duration,
    /// From the request to the end of its answer.
    pub total: Duration,
    /// A stream that is silent for so long gives a sign of life; zero: it does not.
    pub heartbeat: Duration,
    /// How long a connection may be without a request, or with half of one's head.
    pub header: Duration,
    /// How long a caller may take no byte of what waits for it.
    pub write: Duration,
    /// Between the signal to stop and the last connection that is taken.
    pub stop_delay: Duration,
    /// How long running requests may go on after that.
    pub drain: Duration,
    /// How long a WebSocket may be open.
    pub websocket: Duration,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub providers: Vec<ProviderOptions>,
    /// Those that only a workspace's own key sets up.
    pub known_providers: Vec<ProviderOptions>,
    /// What workspaces' own provider keys are encrypted with, by version.
    pub master_keys: BTreeMap<u32, MasterKey>,
    pub max_body_bytes: usize,
    pub max_answer_bytes: usize,
    /// How many targets one request may try.
    pub max_attempts: usize,
    /// From which confidence on, 0 to 1, a recognised task counts for routing rules.
    pub task_confidence: f32,
    /// How many responses may run in the background at once.
    pub max_background: usize,
    /// How many requests may be under way at once, streams until their end.
    pub max_in_flight: usize,
    /// How many more may wait a moment.
    pub max_waiting: usize,
    /// How many WebSockets may be open at once.
    pub max_websockets: usize,
    pub time: TimeLimits,
    pub health: HealthOptions,
    pub abilities: Abilities,
}

/// How able models are, where more is known than the catalog tells.
#[derive(Clone, Debug, Default)]
pub struct Abilities {
    /// As the settings say; of two that say something of a model, the later counts. Beats all else.
    pub set: Vec<AbilityOptions>,
    /// What was learned of the operator's own outcomes (`routing.predictor`).
    pub predictor: Option<Arc<Predictor>>,
}

/// How able a model is, as the settings say.
#[derive(Clone, Debug)]
pub struct AbilityOptions {
    pub models: AllowedModels,
    /// None: at every task.
    pub task: Option<Task>,
    /// 0 to 1.
    pub ability: f32,
}

/// How many may read the metrics at once. They are read by few, without a key, and however busy the gateway is.
const MOST_MEASURING: usize = 16;

pub struct App {
    pub(crate) store: Store,
    pub(crate) snapshot: SnapshotCell,
    pub(crate) client: Client,
    pub(crate) providers: Arc<Providers>,
    pub(crate) latency: LatencyTracker,
    pub(crate) learned: LearnedBook,
    pub(crate) health: Arc<Health>,
    pub(crate) conversations: Conversations,
    pub(crate) recent: RecentTurns,
    pub(crate) background: Background,
    pub(crate) limits: Arc<KeyLimits>,
    pub(crate) metrics: Metrics,
    /// The open WebSocket connections.
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_attempts: usize,
    /// Of workspaces that set none.
    task_confidence: f32,
    pub(crate) connections: connections::Limits,
    pub(crate) stop_delay: Duration,
    pub(crate) drain: Duration,
    pub(crate) total_time: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) in_flight: InFlight,
    /// Metrics that are being read.
    pub(crate) measuring: InFlight,
    pub(crate) idempotency: Idempotency,
    /// Told to every running request when the time to drain is over.
    pub(crate) cut: watch::Sender<Option<Stop>>,
    /// The requests that have begun and are not in the ledger yet.
    pub(crate) unrecorded: AtomicUsize,
    /// Set when the gateway is told to stop: readiness goes first.
    pub(crate) stopping: AtomicBool,
    started_ms: i64,
    /// What a gateway before has left undone is still to be ended.
    has_abandoned: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("provider `{name}`: {source}")]
    Endpoint { name: String, source: EndpointError },
    #[error(
        "provider key {id} of workspace {workspace}, for {provider}: {source}\nhint: give the master key that encrypted it \
         in `vault.master_keys`, or delete it with `tokenrouter providers remove {id} --workspace {}`",
        in_a_shell(workspace)
    )]
    ProviderKey { id: i64, workspace: String, provider: String, source: KeyProblem },
    #[error(transparent)]
    Store(#[from] tokenrouter_store::StoreError),
}

/// The word as a shell reads it.
fn in_a_shell(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl App {
    /// Loads the first snapshot, lays out the candidates, and ends what a gateway before has left undone.
    ///
    /// # Errors
    /// When a provider's address is not one, the store cannot be read, or a workspace's own provider key cannot be
    /// opened.
    pub async fn new(store: Store, options: Options) -> Result<Arc<Self>, StartError> {
        let app = Self::idle(store, options).await?;
        // Nothing has been promised yet: better no gateway than one that has lost its workspaces' keys.
        let closed = app.snapshot.load().useless_keys.iter().find_map(|useless| match &useless.problem {
            source @ KeyProblem::Vault(_) => {
                Some((useless.key_id, useless.workspace_id, useless.provider.clone(), source.clone()))
            }
            _ => None,
        });
        if let Some((id, workspace_id, provider, source)) = closed {
            let row = app.store.get_workspace(workspace_id).await?;
            let workspace = row.map(|row| row.name).unwrap_or_default();
            return Err(StartError::ProviderKey { id, workspace, provider, source });
        }
        app.end_abandoned().await?;
        Ok(app)
    }

    /// From which confidence on a workspace's rules on `task` fire, 0 to 1.
    pub(crate) fn task_confidence_of(&self, workspace: &WorkspaceSettings) -> f32 {
        workspace.task_confidence_percent.map_or(self.task_confidence, |percent| f32::from(percent) / 100.0)
    }

    /// Ends what a gateway before has left undone, once: when its records are in the database, of which one may be the
    /// end of what looks undone.
    pub(crate) async fn end_abandoned(&self) -> Result<(), tokenrouter_store::StoreError> {
        if self.has_abandoned.load(Ordering::Acquire) && !self.store.has_left_records() {
            left::fail_abandoned(&self.store, &self.limits, self.started_ms).await?;
            self.has_abandoned.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Counts against limits what a gateway before has left in the spool, and the sums of the start could not have. What
    /// this one has put there it has counted.
    pub(crate) fn charge_left(&self, charges: &[Charge]) {
        for charge in charges.iter().filter(|charge| charge.created_at_ms < self.started_ms) {
            let holders = [Holder::Key(charge.key_id), Holder::Workspace(charge.workspace_id)];
            let used = Amount { tokens: charge.tokens, cost_nano_usd: charge.cost_nano_usd };
            self.limits.charge(&holders, used, charge.created_at_ms);
        }
    }

    /// The same beside a gateway that may be running: for dry runs, not to be served.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for keys that cannot be opened: what needs them is answered with an error.
    pub async fn idle(store: Store, options: Options) -> Result<Arc<Self>, StartError> {
        let vault = Vault::new(&options.master_keys);
        let providers = Arc::new(Providers::new(options.providers, options.known_providers, options.abilities, vault)?);
        let snapshot = Snapshot::load(&store, &providers, None).await?;
        let health = Arc::new(Health::new(options.health, Instant::now()));
        let key_limits = Arc::new(KeyLimits::load(&store).await?);
        let learned = LearnedBook::load(&store).await?;
        let limits = Limits {
            first_byte: options.time.first_event,
            between_events: options.time.between_events,
            max_answer_bytes: options.max_answer_bytes,
        };
        Ok(Arc::new(Self {
            store,
            snapshot: SnapshotCell::new(snapshot, Arc::clone(&providers), Arc::clone(&health)),
            client: Client::new(options.time.connect, limits),
            providers,
            latency: LatencyTracker::default(),
            learned,
            health,
            conversations: Conversations::default(),
            recent: RecentTurns::default(),
            background: Background::new(options.max_background),
            limits: key_limits,
            metrics: Metrics::default(),
            sessions: Arc::new(Sessions::new(options.max_websockets, options.time.websocket)),
            max_body_bytes: options.max_body_bytes,
            max_attempts: options.max_attempts.max(1),
            task_confidence: options.task_confidence,
            connections: connections::Limits { header_timeout: options.time.header, write_timeout: options.time.write },
            stop_delay: options.time.stop_delay,
            drain: options.time.drain,
            total_time: options.time.total,
            heartbeat: options.time.heartbeat,
            in_flight: InFlight::new(options.max_in_flight, options.max_waiting),
            measuring: InFlight::new(MOST_MEASURING, MOST_MEASURING),
            idempotency: Idempotency::default(),
            cut: watch::Sender::new(None),
            unrecorded: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            started_ms: now_ms(),
            has_abandoned: AtomicBool::new(true),
        }))
    }

    /// Comes back when every request that has begun has left its record, or handed it to the store.
    pub(crate) async fn until_recorded(&self) {
        while self.unrecorded.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// # Errors
    /// 503 where what is asked could not be recorded.
    pub(crate) fn can_record(&self) -> ApiResult<()> {
        if self.store.recording() != Recording::Refused {
            return Ok(());
        }
        let message = "the gateway cannot reach its database, and has no room left to record requests elsewhere";
        Err(ApiError { retry_after_seconds: Some(5), ..ApiError::new(Code::Unavailable, message) })
    }

    /// Makes a change to keys or rules count from the next request on. It is written: where it cannot be read back
    /// now, it counts as soon as it can ([`serve`](crate::serve) looks every second), and nothing has failed.
    pub(crate) async fn refresh(&self) {
        if let Err(error) = self.snapshot.refresh(&self.store).await {
            tracing::error!(%error, "a change is written, and does not count yet: keys and rules could not be read");
        }
    }
}
