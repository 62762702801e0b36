//! Stage 9, and what is gathered on the way to it: what the router did, for the caller
//! (`response.tokenrouter`, contract §6) and for the ledger.
//!
//! **A record is settled exactly once**, also when the caller goes away: then dropping it does it.

use super::admission::{self, Admitted};
use super::conversation::{self, Lease};
use super::dispatch::Dispatched;
use super::plan::Plan;
use crate::accounts::Account;
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::metrics::Hit;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokenrouter_firewall::{Action, Tally};
use tokenrouter_protocol::{FieldNames, Item, Object, ProviderError, Request, Response, Usage, new_ordered_id};
use tokenrouter_providers::{AnswerChecks, Loss};
use tokenrouter_routing::{Catalog, Mode, Price, TokenUsage};
use tokenrouter_store::{ConversationTurn, LedgerEntry, StoredResponse};
use tokenrouter_upstream::Failure;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    RoutingRule,
    Firewall,
    Router,
    Translation,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Warning {
    pub source: Source,
    pub rule_id: Option<i64>,
    pub message: String,
}

impl Warning {
    pub fn new(source: Source, rule_id: Option<i64>, message: impl Into<String>) -> Self {
        Self { source, rule_id, message: message.into() }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Attempt {
    pub provider: String,
    pub model: String,
    pub outcome: &'static str,
    /// Why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The workspace's own key that it was asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_key_id: Option<i64>,
    pub latency_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
struct FirewallHit {
    rule_id: i64,
    action: &'static str,
    scope: &'static str,
    matches: u64,
}

/// `response.tokenrouter`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Told {
    pub request_id: String,
    pub provider: String,
    pub model: String,
    pub mode: &'static str,
    pub task: String,
    pub confidence: f32,
    pub warnings: Vec<Warning>,
    pub routing_rules: Vec<i64>,
    firewall: Vec<FirewallHit>,
    pub attempts: Vec<Attempt>,
    /// Null while it is not known, and when the model's price is not.
    cost_usd: Option<f64>,
    latency_ms: u64,
}

/// What goes into the ledger as the decision: what the caller was told, and the price that the cost was
/// computed from.
#[derive(Serialize)]
struct DecisionRecord<'a> {
    #[serde(flatten)]
    told: &'a Told,
    /// Null: not known.
    price: Option<PriceRecord<'a>>,
}

/// Pico-dollars a token, as they hold for a prompt of this length.
#[derive(Serialize)]
struct PriceRecord<'a> {
    input_pico_usd: u64,
    output_pico_usd: u64,
    cache_read_pico_usd: u64,
    cache_write_pico_usd: u64,
    catalog_date: &'a str,
}

/// Dollars, for a person or a program to read; sums are kept in whole nano-dollars.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn usd(nano_usd: u64) -> f64 {
    nano_usd as f64 / 1e9
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Incomplete,
    Cancelled,
    Blocked,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// A request under way.
pub(super) struct Record {
    pub app: Arc<App>,
    pub told: Told,
    pub tally: Tally,
    pub started: Instant,
    /// When it must be over.
    pub deadline: Option<Instant>,
    workspace_id: i64,
    key_id: i64,
    created_at_ms: i64,
    response_id: String,
    requested_model: Option<String>,
    /// The caller's own.
    metadata: Object,
    /// The catalog's id of the model that answers, whatever name it was asked by.
    pub model_id: String,
    previous_response_id: Option<String>,
    stream: bool,
    store: bool,
    /// Held until the response is recorded.
    pub lease: Option<Lease>,
    conversation_id: Option<String>,
    /// What the conversation gets when the response is complete: its input, then its output.
    turn: Vec<Item>,
    input: Bytes,
    price: Option<Price>,
    /// Held until what was used is counted.
    pub admitted: Option<Admitted>,
    /// With which the answer came.
    pub account: Option<Arc<Account>>,
    pub limit_headers: Vec<(&'static str, String)>,
    /// Of the answer's text, for a request that ends before its usage is told.
    pub streamed_bytes: usize,
    pub usage: Option<Usage>,
    /// What the answer is to be held against when it is complete.
    pub checks: AnswerChecks,
    /// The caller wants nothing lost.
    pub strict: bool,
    /// What the caller calls its fields, but for the items.
    pub names: FieldNames,
    settled: bool,
}

impl Record {
    pub fn begin(app: Arc<App>, caller: &Caller, request_id: &str, request: &Request) -> Self {
        let created_at_ms = now_ms();
        let started = Instant::now();
        let limit = caller.time_limit.map_or(app.total_time, |own| own.min(app.total_time));
        app.unrecorded.fetch_add(1, Ordering::AcqRel);
        app.metrics.begin();
        Self {
            app,
            told: Told { request_id: request_id.to_owned(), mode: Mode::Balance.as_str(), ..Told::default() },
            tally: Tally::default(),
            started,
            deadline: started.checked_add(limit),
            workspace_id: caller.workspace_id,
            key_id: caller.key_id,
            created_at_ms,
            response_id: new_ordered_id("resp", created_at_ms),
            requested_model: request.model.clone(),
            metadata: request.metadata.clone(),
            model_id: String::new(),
            previous_response_id: request.previous_response_id.clone(),
            stream: request.stream,
            store: request.store,
            lease: None,
            conversation_id: request.conversation.clone(),
            turn: Vec::new(),
            input: Bytes::new(),
            price: None,
            admitted: None,
            account: None,
            limit_headers: Vec::new(),
            streamed_bytes: 0,
            usage: None,
            checks: AnswerChecks::default(),
            strict: request.router.strict,
            names: FieldNames { items: Vec::new(), fields: request.names.fields.clone() },
            settled: false,
        }
    }

    pub fn planned(&mut self, plan: &Plan) {
        self.told.mode = plan.mode.as_str();
        self.told.task.clone_from(&plan.task);
        self.told.confidence = plan.confidence;
        self.told.routing_rules.clone_from(&plan.rules);
        self.told.warnings.extend(plan.warnings.iter().cloned());
    }

    /// Keeps the request's own input items, as screened, for later turns.
    pub fn keep_input(&mut self, request: &Request, first_own: usize) {
        if !self.store && self.lease.is_none() {
            return;
        }
        let own = request.input.get(first_own..).unwrap_or_default();
        let mut items: Vec<Item> = own.to_vec();
        items.iter_mut().for_each(Item::ensure_id);
        if self.store {
            self.input = serde_json::to_vec(&items).unwrap_or_default().into();
        }
        if self.lease.is_some() {
            self.turn = items;
        }
    }

    pub fn chosen(&mut self, dispatched: &Dispatched) {
        let Dispatched { provider, name, model, losses, checks, account, .. } = dispatched;
        self.checks.clone_from(checks);
        self.account = Some(Arc::clone(account));
        self.chose(provider, name, &model.id, model.price, losses);
    }

    /// Who answers, under which of the model's names, and what was lost on the way there.
    pub fn chose(&mut self, provider: &str, name: &str, model_id: &str, price: Option<Price>, losses: &[Loss]) {
        provider.clone_into(&mut self.told.provider);
        name.clone_into(&mut self.told.model);
        model_id.clone_into(&mut self.model_id);
        self.price = price;
        let losses = losses
            .iter()
            .map(|loss| Warning::new(Source::Translation, None, format!("`{}`: {}", loss.param, loss.message)));
        self.told.warnings.extend(losses);
    }

    /// What the provider reports in the middle of its answer.
    pub fn reported(&self, error: ProviderError) -> Failure {
        match &self.account {
            Some(account) => account.reported(error),
            None => Failure::reported(error, None),
        }
    }

    /// What the caller is told of a failure of the provider that answers.
    pub fn failure(&self, failure: &Failure) -> ApiError {
        let owner = self.account.as_ref().map_or("the gateway", |account| account.owner());
        ApiError::provider(&self.told.provider, owner, failure)
    }

    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The response as it stands when the answer begins.
    pub fn begin_response(&self, request: &Request) -> Response {
        let model = self.told.model.clone();
        let mut response = Response::begin(request, self.response_id.clone(), model, self.created_at_ms / 1_000);
        self.tell(&mut response);
        response
    }

    pub fn workspace_id(&self) -> i64 {
        self.workspace_id
    }

    /// Says in the response who answers it, once that is known.
    pub fn describe(&self, response: &mut Response) {
        response.model.clone_from(&self.told.model);
        self.tell(response);
    }

    /// Stores how far the response is, durably; gives it as JSON.
    pub async fn store_unfinished(&self, response: &Response) -> ApiResult<Bytes> {
        let body: Bytes = serde_json::to_vec(response).map_err(|e| ApiError::internal(&e))?.into();
        let stored = self.stored(body.clone(), self.input.clone());
        self.app.store.put_unfinished_response(self.key_id, stored).await?;
        Ok(body)
    }

    fn stored(&self, body: Bytes, input: Bytes) -> StoredResponse {
        StoredResponse {
            id: self.response_id.clone(),
            workspace_id: self.workspace_id,
            created_at_ms: self.created_at_ms,
            previous_response_id: self.previous_response_id.clone(),
            conversation_id: self.conversation_id.clone(),
            body,
            input,
        }
    }

    /// Writes what is known by now into the response.
    fn tell(&self, response: &mut Response) {
        response.tokenrouter = serde_json::to_value(&self.told).unwrap_or_default();
        response.metadata = metadata(self.metadata.clone(), &self.told);
    }

    /// Takes in what is known at the end, and writes it into the response.
    pub fn conclude(&mut self, response: &mut Response) {
        self.usage = response.usage;
        if self.lease.is_some() {
            self.turn.extend(response.output.iter().cloned());
        }
        self.gather();
        self.tell(response);
    }

    /// What the router did, for an answer that is no response.
    pub fn told_at_the_end(&mut self) -> Value {
        self.gather();
        serde_json::to_value(&self.told).unwrap_or_default()
    }

    fn gather(&mut self) {
        self.told.latency_ms = self.elapsed_ms();
        self.told.cost_usd = self.cost_nano_usd().map(usd);
        if self.told.firewall.is_empty() {
            for hit in self.tally.iter().filter(|hit| hit.action != Action::Shadow) {
                let (action, scope) = (hit.action.as_str(), hit.scope.as_str());
                if hit.action == Action::Warn {
                    let message = format!("firewall rule \"{}\" matched the {scope}", hit.name);
                    self.told.warnings.push(Warning::new(Source::Firewall, Some(hit.rule_id), message));
                }
                self.told.firewall.push(FirewallHit { rule_id: hit.rule_id, action, scope, matches: hit.matches });
            }
        }
    }

    fn cost_nano_usd(&self) -> Option<u64> {
        let (price, usage) = (self.price.as_ref()?, self.usage?);
        Some(price.cost(&tokens(&usage)))
    }

    /// Reserves what another target may come to, if the key has limits.
    pub fn reserve_for(&mut self, target: &tokenrouter_routing::Target, request: &Request) -> ApiResult<()> {
        match &mut self.admitted {
            Some(admitted) => admitted.reserve_for(target, request),
            None => Ok(()),
        }
    }

    /// Counts what was used against the key's limits, and gives its place back.
    fn count(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            let answered = !self.told.provider.is_empty();
            let usage = self.usage.or_else(|| answered.then(|| admitted.guess(self.streamed_bytes)));
            admitted.settle(admission::amount(self.price.as_ref(), &usage.unwrap_or_default()));
        }
    }

    fn decision(&self) -> DecisionRecord<'_> {
        let price = self.price.map(|price| {
            let rates = price.rates(&tokens(&self.usage.unwrap_or_default()));
            PriceRecord {
                input_pico_usd: rates.input_pico_usd,
                output_pico_usd: rates.output_pico_usd,
                cache_read_pico_usd: rates.cache_read_pico_usd.unwrap_or(rates.input_pico_usd),
                cache_write_pico_usd: rates.cache_write_pico_usd.unwrap_or(rates.input_pico_usd),
                catalog_date: Catalog::builtin().date(),
            }
        });
        DecisionRecord { told: &self.told, price }
    }

    /// Writes the ledger entry and, if it is to be stored, the response. Comes back when both are
    /// durable.
    pub async fn settle(&mut self, outcome: Outcome, error: Option<&ApiError>, body: Option<Bytes>) -> ApiResult<()> {
        self.count_hits().await;
        let entry = self.entry(outcome, error);
        let input = std::mem::take(&mut self.input);
        let stored = body.filter(|_| self.store).map(|body| self.stored(body, input));
        let turn = self.turn(outcome)?;
        self.settled = true;
        self.measure(&entry);
        self.count();
        let recorded = match turn {
            Some(turn) => self.app.store.record_turn(entry, stored, turn).await,
            None => self.app.store.record(entry, stored).await,
        };
        // Whoever reads the last event may send the next request at once.
        self.lease = None;
        recorded.map_err(ApiError::from)
    }

    /// Adds to the counts of the rules that matched, shadow rules among them.
    async fn count_hits(&self) {
        let hits: Vec<(i64, u64)> =
            self.tally.iter().map(|hit| (hit.rule_id, hit.matches)).filter(|(_, matches)| *matches > 0).collect();
        if hits.is_empty() {
            return;
        }
        if let Err(error) = self.app.store.count_firewall_hits(hits, now_ms()).await {
            // The counts are for people to look at; the request is not to fail for them.
            tracing::error!(%error, "matches of firewall rules could not be counted");
        }
    }

    /// What goes into the conversation: all of the turn, or nothing if there was no answer.
    fn turn(&mut self, outcome: Outcome) -> ApiResult<Option<ConversationTurn>> {
        let Some(lease) = &self.lease else { return Ok(None) };
        if !matches!(outcome, Outcome::Completed | Outcome::Incomplete) {
            return Ok(None);
        }
        let items = std::mem::take(&mut self.turn);
        let items = items.into_iter().map(conversation::kept).collect::<ApiResult<Vec<_>>>()?;
        Ok(Some(ConversationTurn { conversation_id: lease.conversation_id().to_owned(), items }))
    }

    /// For a request that ends in an error before its answer begins.
    pub async fn settle_failure(&mut self, error: &ApiError) {
        if self.settled {
            return;
        }
        self.gather();
        let outcome = if error.code == Code::FirewallBlocked { Outcome::Blocked } else { Outcome::Failed };
        // The caller gets the error that there was; the store's own has been logged.
        let _ = self.settle(outcome, Some(error), None).await;
    }

    fn measure(&self, entry: &LedgerEntry) {
        let hits = self.tally.iter().map(|hit| Hit {
            rule_id: hit.rule_id,
            action: hit.action.as_str(),
            scope: hit.scope.as_str(),
            matches: hit.matches,
        });
        self.app.metrics.observe(entry, hits);
    }

    fn entry(&self, outcome: Outcome, error: Option<&ApiError>) -> LedgerEntry {
        let usage = self.usage.unwrap_or_default();
        LedgerEntry {
            request_id: self.told.request_id.clone(),
            workspace_id: self.workspace_id,
            key_id: self.key_id,
            response_id: Some(self.response_id.clone()),
            created_at_ms: self.created_at_ms,
            latency_ms: i64::try_from(self.elapsed_ms()).unwrap_or(i64::MAX),
            provider: some(&self.told.provider),
            model: some(&self.told.model),
            requested_model: self.requested_model.clone(),
            mode: self.told.mode.to_owned(),
            task: some(&self.told.task),
            stream: self.stream,
            outcome: outcome.as_str().to_owned(),
            http_status: error.map_or(200, ApiError::status),
            error_code: error.map(|error| error.code.row().code.to_owned()),
            input_tokens: usage.input_total(),
            cached_input_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            output_tokens: usage.output,
            reasoning_tokens: usage.reasoning,
            cost_nano_usd: self.cost_nano_usd().map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
            decision_json: serde_json::to_string(&self.decision()).unwrap_or_default(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.settled {
            self.gather();
            self.count();
            let entry = self.entry(Outcome::Cancelled, None);
            self.measure(&entry);
            // Queued here and now: whoever closes the store next finds it in the queue.
            let recorded = self.app.store.record(entry, None);
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    if let Err(error) = recorded.await {
                        tracing::error!(%error, "a cancelled request could not be recorded");
                    }
                });
            }
        }
        self.app.metrics.end();
        self.app.unrecorded.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) fn tokens(usage: &Usage) -> TokenUsage {
    TokenUsage {
        uncached_input: usage.uncached_input,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output,
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The caller's own pairs, which win, and what the router tells. Strings only: typed clients of OpenAI's
/// API read metadata as a map of strings, and fail on anything else.
fn metadata(mut metadata: Object, told: &Told) -> Object {
    let mut add = |name: &str, value: String| {
        if !metadata.contains_key(name) {
            metadata.insert(name.to_owned(), Value::String(value));
        }
    };
    add("provider", told.provider.clone());
    add("routing_mode", told.mode.to_owned());
    add("routing_confidence", told.confidence.to_string());
    add("request_id", told.request_id.clone());
    if !told.warnings.is_empty() {
        let messages: Vec<&str> = told.warnings.iter().map(|warning| warning.message.as_str()).collect();
        add("warnings", messages.join("\n"));
    }
    metadata
}
