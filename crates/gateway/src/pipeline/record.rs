//! Stage 9, and what is gathered on the way to it: a request under way, from its beginning to its entry in
//! the ledger. What it tells is in [`Told`], what it used in [`Spending`].
//!
//! **A record is settled exactly once**, also when the caller goes away: then dropping it does it.

use super::considered::Considered;
use super::conversation::{self, Lease};
use super::dispatch::Dispatched;
use super::local::Local;
use super::plan::Plan;
use super::recent::{self, Mark};
use super::spending::{Sale, Spending};
use super::told::{Source, Told, Warning, metadata, usd};
use crate::accounts::Account;
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::limits::{Amount, Permit};
use crate::metrics::Hit;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokenrouter_firewall::Tally;
use tokenrouter_protocol::{FieldNames, Item, Object, ProviderError, Request, Response, new_ordered_id};
use tokenrouter_providers::{AnswerChecks, Loss};
use tokenrouter_routing::{LatencyView, Mode, Target};
use tokenrouter_store::{Capture, ConversationTurn, LedgerEntry, RequestRecord, StoredResponse};
use tokenrouter_upstream::Failure;

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
    pub route: Option<Considered>,
    /// The catalog's id of the model that answers, whatever name it was asked by.
    pub model_id: String,
    previous_response_id: Option<String>,
    stream: bool,
    store: bool,
    /// Held until the response is recorded.
    pub lease: Option<Lease>,
    /// What the next turn recognises this one by.
    pub mark: Option<Mark>,
    /// Where the connection keeps this turn, if it does.
    pub local: Option<Local>,
    conversation_id: Option<String>,
    /// What the conversation gets when the response is complete: its input, then its output.
    turn: Vec<Item>,
    input: Bytes,
    /// The workspace keeps prompts and answers.
    captures: bool,
    /// What was asked, to be kept.
    captured: Option<Bytes>,
    /// Held until what was used is counted.
    pub permit: Option<Permit>,
    /// With which the answer came.
    pub account: Option<Arc<Account>>,
    pub limit_headers: Vec<(&'static str, String)>,
    pub spending: Spending,
    /// What the answer is to be held against when it is complete.
    pub checks: AnswerChecks,
    /// It was asked for, and may be told.
    pub wants_logprobs: bool,
    /// The caller wants nothing lost.
    pub strict: bool,
    /// Its stream stands unread until the others have begun: how fast it comes then says nothing of its target.
    pub is_one_of_several: bool,
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
            told: Told {
                request_id: request_id.to_owned(),
                mode: Mode::Balance.as_str(),
                warnings: request.emulated.iter().map(|(name, how)| translation(name, how)).collect(),
                ..Told::default()
            },
            tally: Tally::default(),
            started,
            deadline: started.checked_add(limit),
            workspace_id: caller.workspace_id,
            key_id: caller.key_id,
            created_at_ms,
            response_id: new_ordered_id("resp", created_at_ms),
            requested_model: request.model.clone(),
            metadata: request.metadata.clone(),
            route: None,
            model_id: String::new(),
            previous_response_id: request.previous_response_id.clone(),
            stream: request.stream,
            store: request.store,
            lease: None,
            mark: None,
            local: None,
            conversation_id: request.conversation.clone(),
            turn: Vec::new(),
            input: Bytes::new(),
            captures: caller.captures,
            captured: None,
            permit: None,
            account: None,
            limit_headers: Vec::new(),
            spending: Spending::default(),
            checks: AnswerChecks::default(),
            wants_logprobs: request.wants_logprobs(),
            strict: request.router.strict,
            is_one_of_several: false,
            names: FieldNames { items: Vec::new(), fields: request.names.fields.clone() },
            settled: false,
        }
    }

    /// Another answer to the same request, which has been planned, screened and let in with this one. A lease and a
    /// connection's turns are of one answer alone.
    pub fn another(&self, caller: &Caller, request_id: &str, request: &Request, permit: Option<Permit>) -> Self {
        let mut another = Self::begin(Arc::clone(&self.app), caller, request_id, request);
        another.told = Told { request_id: request_id.to_owned(), ..self.told.clone() };
        another.tally.clone_from(&self.tally);
        (another.started, another.deadline) = (self.started, self.deadline);
        another.route.clone_from(&self.route);
        another.mark.clone_from(&self.mark);
        another.input.clone_from(&self.input);
        another.captured.clone_from(&self.captured);
        another.permit = permit;
        another.limit_headers.clone_from(&self.limit_headers);
        another.spending.input_tokens = self.spending.input_tokens;
        another.wants_logprobs = self.wants_logprobs;
        another.is_one_of_several = self.is_one_of_several;
        another
    }

    pub fn planned(&mut self, plan: &mut Plan) {
        self.route = plan.route.take();
        self.told.mode = plan.mode.as_str();
        self.told.task.clone_from(&plan.task);
        self.told.confidence = plan.confidence;
        self.told.routing_rules.clone_from(&plan.rules);
        self.told.warnings.extend(plan.warnings.iter().cloned());
    }

    /// Keeps the request's own input items, as screened, for later turns.
    pub fn keep_input(&mut self, request: &Request, first_own: usize) -> ApiResult<()> {
        let own = request.input.get(first_own..).unwrap_or_default();
        if self.captures {
            let asked = json!({ "instructions": request.instructions, "input": own, "tools": request.tools });
            self.captured = Some(asked.to_string().into());
        }
        if !self.store && self.lease.is_none() && self.local.is_none() {
            return Ok(());
        }
        let mut items: Vec<Item> = own.to_vec();
        items.iter_mut().for_each(Item::ensure_id);
        if let Some(local) = &mut self.local {
            local.add(request.input.get(..first_own).unwrap_or_default());
            local.add(&items);
        }
        if self.store {
            self.input = serde_json::to_vec(&items).map_err(|error| ApiError::internal(&error))?.into();
        }
        if self.lease.is_some() {
            self.turn = items;
        }
        Ok(())
    }

    pub fn chosen(&mut self, dispatched: &Dispatched) {
        let Dispatched { provider, name, model, losses, sale, checks, account, .. } = dispatched;
        self.checks.clone_from(checks);
        self.account = Some(Arc::clone(account));
        self.chose(provider, name, &model.id, *sale, losses);
    }

    /// Who answers, under which of the model's names, at what price, and what was lost on the way there.
    pub fn chose(&mut self, provider: &str, name: &str, model_id: &str, sale: Sale, losses: &[Loss]) {
        provider.clone_into(&mut self.told.provider);
        name.clone_into(&mut self.told.model);
        model_id.clone_into(&mut self.model_id);
        // Once is enough.
        let include = self.names.of("include");
        self.wants_logprobs &= !losses.iter().any(|loss| loss.param == include);
        self.told.warnings.extend(losses.iter().map(|loss| translation(&loss.param, &loss.message)));
        if let Some(param) = sale.repriced_by {
            let message = format!("`{param}` changes what {provider} charges, and by how much is not known");
            self.told.warnings.push(Warning::new(Source::Router, None, message));
        }
        self.spending.answering(sale);
    }

    /// A target is about to be asked: if nobody waits for its answer, it is likely to be paid for.
    pub fn asks(&mut self, target: &Target, sale: Sale, request: &Request) {
        let seen = self.app.latency.observed(&target.provider, &target.model.id);
        self.spending.asks(target, seen, sale, request);
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

    /// Stores the response as it is before anybody is asked, durably, and what the ledger is to say if the gateway
    /// dies; gives the response as JSON.
    pub async fn store_queued(&self, response: &Response, if_left: LedgerEntry) -> ApiResult<Bytes> {
        let body = as_json(response)?;
        let stored = self.stored(body.clone(), self.input.clone());
        self.app.store.put_unfinished_response(if_left, stored).await?;
        Ok(body)
    }

    /// Stores how far the response is, durably.
    pub async fn store_in_progress(&self, response: &Response) -> ApiResult<()> {
        let body = as_json(response)?;
        Ok(self.app.store.update_unfinished_response(self.workspace_id, &self.response_id, body).await?)
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
        if self.lease.is_some() {
            self.turn.extend(response.output.iter().cloned());
        }
        if let Some(mark) = &mut self.mark {
            mark.answered(&response.output);
        }
        if let Some(local) = &mut self.local {
            local.add(&response.output);
        }
        self.gather();
        response.usage = self.spending.spent().map(|spent| spent.usage);
        self.tell(response);
    }

    /// What the router did, for an answer that is no response.
    pub fn told_at_the_end(&mut self) -> Value {
        self.gather();
        serde_json::to_value(&self.told).unwrap_or_default()
    }

    fn gather(&mut self) {
        if let Some((left, sale)) = self.spending.abandon() {
            // It was asked, and nobody waited: it is told of as who would have answered.
            self.chose(&left.provider, &left.name, &left.model_id, sale, &[]);
        }
        self.told.latency_ms = self.elapsed_ms();
        self.told.cost_usd = self.spending.cost_nano_usd().map(usd);
        self.told.usage_estimated = self.spending.total().is_some_and(|total| total.is_estimate);
        self.told.take_hits(&self.tally);
    }

    /// Reserves what another target may come to beside what those before have used, if there are limits.
    pub fn reserve(&mut self, amount: Amount) -> ApiResult<()> {
        let amount = amount.and(self.spending.lost());
        self.permit.as_mut().map_or(Ok(()), |permit| permit.change(amount))
    }

    /// Counts what was used against limits, and gives the place back.
    fn count(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.settle(self.spending.charged());
        }
    }

    /// Writes the ledger entry and, if it is to be stored, the response. Comes back when both are
    /// durable.
    pub async fn settle(&mut self, outcome: Outcome, error: Option<&ApiError>, body: Option<Bytes>) -> ApiResult<()> {
        let entry = self.entry(outcome, error);
        let input = std::mem::take(&mut self.input);
        let capture = self.capture(body.clone());
        let response = body.filter(|_| self.store).map(|body| self.stored(body, input));
        let (turn, firewall_hits) = (self.turn(outcome)?, self.firewall_hits());
        self.remember(outcome)?;
        self.settled = true;
        self.measure(&entry);
        self.count();
        let recorded =
            self.app.store.record_request(RequestRecord { entry, response, turn, capture, firewall_hits }).await;
        // Whoever reads the last event may send the next request at once.
        self.lease = None;
        recorded.map_err(ApiError::from)
    }

    /// Keeps where an answered turn went, and the turn itself where the connection does.
    fn remember(&mut self, outcome: Outcome) -> ApiResult<()> {
        let (mark, local) = (self.mark.take(), self.local.take());
        if !matches!(outcome, Outcome::Completed | Outcome::Incomplete) || mark.is_none() && local.is_none() {
            return Ok(());
        }
        // Where nobody was asked there is nothing to stay with.
        let last = (!self.told.provider.is_empty()).then(|| {
            let usage = self.spending.spent().map(|spent| spent.usage).unwrap_or_default();
            let key_id = self.account.as_ref().and_then(|account| account.key_id);
            recent::last_turn(&self.told.provider, &self.told.model, key_id, &usage)
        });
        if let (Some(mark), Some(last)) = (mark, &last) {
            self.app.recent.put(&mark, last.clone());
        }
        local.map_or(Ok(()), |local| local.keep(&self.response_id, last))
    }

    fn capture(&mut self, output: Option<Bytes>) -> Option<Capture> {
        let input = self.captured.take()?;
        Some(Capture { input, output: output.filter(|output| !output.is_empty()) })
    }

    /// The rules that matched, shadow rules among them.
    fn firewall_hits(&self) -> Vec<(i64, u64)> {
        self.tally.iter().map(|hit| (hit.rule_id, hit.matches)).filter(|(_, matches)| *matches > 0).collect()
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

    pub fn entry(&self, outcome: Outcome, error: Option<&ApiError>) -> LedgerEntry {
        let total = self.spending.total().unwrap_or_default();
        let (usage, charged) = (total.usage, self.spending.charged());
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
            cost_nano_usd: self.spending.cost_nano_usd().map(nano),
            usage_is_estimate: total.is_estimate,
            charged_tokens: charged.tokens,
            charged_nano_usd: charged.cost_nano_usd,
            decision_json: self.told.decision(self.spending.rates(), self.route.as_ref()),
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
            let (capture, firewall_hits) = (self.capture(None), self.firewall_hits());
            let record = RequestRecord { capture, firewall_hits, ..RequestRecord::of(entry) };
            let recorded = self.app.store.record_request(record);
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

fn translation(param: &str, message: &str) -> Warning {
    Warning::new(Source::Translation, None, format!("`{param}`: {message}"))
}

fn as_json(response: &Response) -> ApiResult<Bytes> {
    Ok(serde_json::to_vec(response).map_err(|error| ApiError::internal(&error))?.into())
}

/// In billionths of a US dollar, as the ledger has it.
pub(super) fn nano(usd: u64) -> i64 {
    i64::try_from(usd).unwrap_or(i64::MAX)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
