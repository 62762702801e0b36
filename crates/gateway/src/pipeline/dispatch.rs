//! Stage 7: asks one target after the other until one begins to answer.
//!
//! **A target may be changed until the first byte is handed to the caller.** A stream counts as
//! begun with the first event that says something: what fails before that is tried elsewhere.

use super::field::Field;
use super::plan::Plan;
use super::record::Record;
use super::spending::{Sale, Spending, estimate};
use super::told::{Attempt, usd};
use crate::accounts::{Account, Accounts};
use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_protocol::{ModelEvent, Request};
use tokenrouter_providers::{self as providers, AnswerChecks, DecodeError, Encoded, Loss, StreamDecoder};
use tokenrouter_routing::{ModelInfo, Target};
use tokenrouter_upstream::{Asked, Class, Ejection, EventStream, Failure, LOST_BEFORE_ANSWER};

pub(super) struct Dispatched {
    pub provider: String,
    pub model: Arc<ModelInfo>,
    /// The model's name as it was sent.
    pub name: Arc<str>,
    pub sale: Sale,
    pub losses: Vec<Loss>,
    pub checks: AnswerChecks,
    pub account: Arc<Account>,
    pub answer: Answered,
}

pub(super) enum Answered {
    /// All of the answer.
    Plain(Vec<ModelEvent>),
    /// The beginning of the answer, and where the rest comes from.
    Stream(Begun),
}

/// A streamed answer that has begun.
pub(super) struct Begun {
    pub first: Vec<ModelEvent>,
    pub events: Box<EventStream>,
    pub decoder: Box<StreamDecoder>,
    /// To be told how it ends.
    pub asked: Asked,
}

/// What an attempt gave.
enum Attempted {
    Plain(Vec<ModelEvent>),
    Stream(Vec<ModelEvent>, Box<EventStream>, Box<StreamDecoder>),
}

/// Before the same target is asked once more, whose connection broke.
const SECOND_TRY_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn dispatch(app: &App, plan: &Plan, request: &Request, record: &mut Record) -> ApiResult<Dispatched> {
    let mut last = ApiError::new(Code::NoEligibleModel, "there is no target to send this request to");
    app.health.request(record.workspace_id(), Instant::now());
    let field = Field::of(&app.health, &plan.accounts, &plan.targets, Instant::now());
    let mut skipped = field.ejected().peekable();
    let mut order = Order::new(&field, plan, request);
    // Targets, and of each the keys that it may be asked with.
    let mut asked = 0;
    while asked < app.max_attempts
        && let Some((place, target)) = order.next()
    {
        while let Some((_, ejected, ejection)) = skipped.next_if(|(ahead, ..)| *ahead < place) {
            tell_ejected(record, ejected, ejection);
        }
        let Some(account) = order.account(app, &plan.accounts, (place, target)) else { continue };
        if let Err(error) = record.reserve(estimate(target, request, record.spending.input_tokens)) {
            last = error;
            continue;
        }
        let encoded = match encode(&account, target, request) {
            Ok(encoded) => encoded,
            Err(error) => {
                last = error;
                continue;
            }
        };
        if !order.is_first() && !app.health.retry(record.workspace_id(), Instant::now()) {
            tracing::warn!(request_id = %record.told.request_id, "the budget for further attempts is spent");
            break;
        }
        asked += order.asks(place);
        let repriced_by = tokenrouter_providers::repriced_by(account.kind, request);
        let sale = Sale { price: target.model.price, repriced_by };
        record.asks(target, sale, request);
        let started = Instant::now();
        let mut health = app.health.ask(Arc::clone(&account.scope), Arc::clone(&target.name), started);
        let sent = Sent { account: &account, encoded: &encoded, stream: request.stream };
        let result = before(record.deadline, sent.attempt(app, &mut record.spending)).await;
        let took = started.elapsed();
        let lost = match &result {
            Err(failure) if failure.error.kind != OUT_OF_TIME => record.spending.failed(!request.stream),
            _ => None,
        };
        let outcome = result.as_ref().map_or_else(|failure| failure.class.outcome(), |_| "ok");
        record.told.attempts.push(Attempt {
            provider: target.provider.to_string(),
            model: target.name.to_string(),
            outcome,
            reason: None,
            provider_key_id: account.key_id,
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            usage: lost.map(|lost| lost.usage),
            cost_usd: lost.and_then(|lost| lost.cost_nano_usd()).map(usd),
        });
        let ended = match &result {
            Ok(Attempted::Plain(_)) => Some(None),
            // How a stream ends is not known yet.
            Ok(Attempted::Stream(..)) => None,
            Err(failure) => (failure.error.kind != OUT_OF_TIME).then_some(Some(failure.class)),
        };
        if let Some(failure) = ended {
            app.learned.observe(record.workspace_id(), &target.provider, &target.model.id, failure);
        }
        match result {
            Ok(answer) => {
                observe(app, target, &answer, took);
                let answer = match answer {
                    Attempted::Plain(events) => {
                        health.succeeded(Instant::now());
                        Answered::Plain(events)
                    }
                    Attempted::Stream(first, events, decoder) => {
                        health.began(Instant::now());
                        Answered::Stream(Begun { first, events, decoder, asked: health })
                    }
                };
                return Ok(Dispatched {
                    provider: target.provider.to_string(),
                    model: Arc::clone(&target.model),
                    name: Arc::clone(&target.name),
                    sale,
                    losses: encoded.1.warnings,
                    checks: encoded.1.checks,
                    account,
                    answer,
                });
            }
            Err(failure) => {
                tracing::warn!(
                    request_id = %record.told.request_id, provider = %target.provider, model = %target.name,
                    class = ?failure.class, status = failure.error.status, kind = %failure.error.kind,
                    "an attempt failed"
                );
                last = ApiError::provider(&target.provider, account.owner(), &failure);
                if failure.error.kind == OUT_OF_TIME {
                    // The caller's impatience says nothing of the target.
                    break;
                }
                health.failed(&failure, Instant::now());
                if !failure.class.try_next() {
                    break;
                }
                if order.failed_with_key(app, &plan.accounts, (place, target), &account, &failure) {
                    continue;
                }
                order.failed(place, target, &failure);
                if order.comes_back(place) && before(record.deadline, pause()).await.is_err() {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// The kind of the failure of a request that may not take longer.
pub(super) const OUT_OF_TIME: &str = "total_time";

/// What `work` gives, if it does so before the deadline.
pub(super) async fn before<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(deadline) = deadline else { return work.await };
    let timely = tokio::time::timeout_at(deadline.into(), work).await;
    timely.unwrap_or_else(|_| Err(Failure::new(Class::Timeout, OUT_OF_TIME)))
}

async fn pause() -> Result<(), Failure> {
    tokio::time::sleep(SECOND_TRY_AFTER).await;
    Ok(())
}

/// A provider that is ejected as a whole is told of once.
fn tell_ejected(record: &mut Record, target: &Target, ejection: Ejection) {
    let reason = ejection.reason;
    let attempts = &mut record.told.attempts;
    let known = |told: &Attempt| told.provider == *target.provider && told.reason == Some(reason.as_str());
    if reason.concerns_provider() && attempts.iter().any(known) {
        return;
    }
    attempts.push(Attempt {
        provider: target.provider.to_string(),
        model: target.name.to_string(),
        outcome: "skipped",
        reason: Some(reason.as_str()),
        provider_key_id: None,
        latency_ms: 0,
        usage: None,
        cost_usd: None,
    });
}

/// Best first; but where a provider has failed as a whole, its other models come last.
struct Order<'a> {
    left: Vec<(usize, &'a Target)>,
    avoided: Vec<&'a str>,
    plan: &'a Plan,
    /// One connection that broke is tried again, where there is nothing else.
    second: Option<usize>,
    /// Accounts that have nothing for the target at a place, or for any: the key was refused, or is used up.
    refused: Vec<(Option<usize>, Arc<str>)>,
    request: &'a Request,
    /// The target that was asked last.
    last: Option<usize>,
}

impl<'a> Order<'a> {
    fn new(field: &Field<'a>, plan: &'a Plan, request: &'a Request) -> Self {
        let (avoided, refused) = (Vec::new(), Vec::new());
        Self { left: field.standing().collect(), avoided, plan, second: None, refused, request, last: None }
    }

    fn next(&mut self) -> Option<(usize, &'a Target)> {
        let healthy = self.left.iter().position(|(_, target)| !self.avoided.contains(&&*target.provider));
        (!self.left.is_empty()).then(|| self.left.remove(healthy.unwrap_or(0)))
    }

    /// The account that the target is to be asked with.
    fn account(&self, app: &App, accounts: &Accounts, (place, target): (usize, &Target)) -> Option<Arc<Account>> {
        let (provider, name) = (&target.provider, &target.name);
        let here = self.refused.iter().filter(|(at, _)| at.is_none_or(|at| at == place));
        let refused: Vec<&str> = here.map(|(_, scope)| &**scope).collect();
        let preferred = || {
            let last_key = self.plan.last_key.as_ref().filter(|(at, _)| **at == **provider).map(|(_, key)| *key);
            providers::reasoning_account(self.request, provider, name).or(last_key)
        };
        let has_choice = accounts.of(provider).len() > 1;
        let preferred = has_choice.then(preferred).flatten();
        accounts.pick(&app.health, provider, name, &refused, preferred, Instant::now())
    }

    fn is_first(&self) -> bool {
        self.last.is_none()
    }

    /// Takes note that the target at this place is asked; gives how many targets more that makes.
    fn asks(&mut self, place: usize) -> usize {
        usize::from(self.last.replace(place) != Some(place) || self.second == Some(place))
    }

    /// Whether it is the key that failed, and the same target is next with another one.
    fn failed_with_key(
        &mut self,
        app: &App,
        accounts: &Accounts,
        target: (usize, &'a Target),
        account: &Account,
        failure: &Failure,
    ) -> bool {
        if !failure.class.concerns_key() {
            return false;
        }
        let place = Some(target.0).filter(|_| !failure.concerns_account());
        self.refused.push((place, Arc::clone(&account.scope)));
        let has_another = self.account(app, accounts, target).is_some();
        if has_another {
            self.left.insert(0, target);
        }
        has_another
    }

    /// Whether the target that has just failed is the next one again.
    fn comes_back(&self, place: usize) -> bool {
        self.second == Some(place) && !self.left.is_empty()
    }

    fn failed(&mut self, place: usize, target: &'a Target, failure: &Failure) {
        if failure.class == Class::Policy {
            self.left.retain(|(_, other)| !same_model(&target.model, &other.model));
        }
        if failure.class.concerns_provider() && !self.plan.order_stands {
            self.avoided.push(&target.provider);
        }
        if failure.error.kind == LOST_BEFORE_ANSWER && self.left.is_empty() && self.second.is_none() {
            self.second = Some(place);
            self.left.push((place, target));
        }
    }
}

/// The same model, whoever serves it and by whatever name.
fn same_model(a: &ModelInfo, b: &ModelInfo) -> bool {
    a.id == b.id || (a.shared_name.is_some() && a.shared_name == b.shared_name)
}

type KindAndBody = (providers::Kind, Encoded);

fn encode(account: &Account, target: &Target, request: &Request) -> ApiResult<KindAndBody> {
    let kind = account.kind;
    let aim = providers::Target {
        kind,
        provider: &target.provider,
        model: &target.name,
        account: account.key_id,
        max_output_tokens: Some(target.model.max_output_tokens).filter(|n| *n > 0),
        reasoning: target.model.capabilities.reasoning,
        stream: request.stream,
    };
    let mut encoded = providers::encode(&aim, request)
        .map_err(|error| ApiError::parameter(request.names.of(&error.param), error.message))?;
    for loss in &mut encoded.warnings {
        loss.param = request.names.of(&loss.param);
    }
    if let Some(loss) = encoded.warnings.first().filter(|_| request.router.strict) {
        let message = format!("{} cannot carry `{}` as it is: {}", target.provider, loss.param, loss.message);
        return Err(ApiError::parameter(loss.param.clone(), message));
    }
    encoded.warnings.retain(|loss| !loss.harmless);
    Ok((kind, encoded))
}

/// A request on its way to one target.
struct Sent<'a> {
    account: &'a Account,
    encoded: &'a KindAndBody,
    stream: bool,
}

impl Sent<'_> {
    /// `spending` hears what the target has used, whether or not it fails then.
    async fn attempt(&self, app: &App, spending: &mut Spending) -> Result<Attempted, Failure> {
        let Self { account, encoded: (kind, encoded), stream } = *self;
        let kind = *kind;
        let body = encoded.body.clone();
        let answer = app.client.post(kind, &account.endpoint, &encoded.path, &encoded.headers, body).await?;
        if !stream {
            let bytes = answer.bytes().await?;
            let events = providers::decode_response(kind, &bytes, &encoded.translation).map_err(garbage)?;
            spending.hears(&events);
            // Whatever it holds, nothing of it has gone to the caller.
            return match reported(account, &events) {
                Some(failure) => Err(failure),
                None if events.iter().any(|event| matches!(event, ModelEvent::Finished(_))) => {
                    Ok(Attempted::Plain(events))
                }
                None => Err(garbage(DecodeError::Truncated)),
            };
        }
        let mut events = answer.events();
        let mut decoder = StreamDecoder::new(kind, encoded.translation.clone());
        let mut first = Vec::new();
        loop {
            let event = events.next().await?;
            let has_ended = event.is_none();
            let decoded = match event {
                Some(event) => decoder.event(&event.name, &event.data, &mut first),
                None => decoder.end(&mut first),
            };
            spending.hears(&first);
            decoded.map_err(garbage)?;
            let says_something = |event| !matches!(event, &ModelEvent::Started { .. } | &ModelEvent::Usage(_));
            if has_ended || first.iter().any(says_something) {
                break;
            }
        }
        match reported(account, &first) {
            Some(failure) => Err(failure),
            None => Ok(Attempted::Stream(first, Box::new(events), Box::new(decoder))),
        }
    }
}

/// An error that the provider reports in place of an answer, or behind a part of one.
fn reported(account: &Account, events: &[ModelEvent]) -> Option<Failure> {
    events.iter().find_map(|event| match event {
        ModelEvent::Failed(error) => Some(account.reported(error.clone())),
        _ => None,
    })
}

pub(super) fn garbage(error: DecodeError) -> Failure {
    match error {
        DecodeError::Truncated => Failure::new(Class::Transient, "truncated"),
        _ => Failure::new(Class::Garbage, "bad_answer"),
    }
}

/// Teaches the router how quick this target is. A plain answer tells of the whole only.
fn observe(app: &App, target: &Target, answer: &Attempted, took: Duration) {
    let ms = took.as_secs_f64() * 1_000.0;
    if let Attempted::Stream(..) = answer {
        app.latency.observe(&target.provider, &target.model.id, Some(ms), None);
        return;
    }
    let Attempted::Plain(events) = answer else { return };
    let output = events.iter().rev().find_map(|event| match event {
        ModelEvent::Usage(usage) => Some(usage.output),
        _ => None,
    });
    if let Some(output) = output.filter(|n| *n > 0) {
        #[allow(clippy::cast_precision_loss)]
        let per_second = output as f64 / took.as_secs_f64().max(1e-4);
        app.latency.observe(&target.provider, &target.model.id, None, Some(per_second));
    }
}
