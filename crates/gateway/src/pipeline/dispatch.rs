//! Stage 7: asks one target after the other until one begins to answer.
//!
//! **A target may be changed until the first byte is handed to the caller.** A stream counts as
//! begun with the first event that says something: what fails before that is tried elsewhere.

use super::record::{Attempt, Record};
use crate::app::App;
use crate::error::{ApiError, ApiResult, Code};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokenrouter_protocol::{ModelEvent, Request};
use tokenrouter_providers::{self as providers, DecodeError, Encoded, Loss, StreamDecoder};
use tokenrouter_routing::{ModelInfo, Target};
use tokenrouter_upstream::{Class, EventStream, Failure};

pub(super) struct Dispatched {
    pub provider: String,
    pub model: Arc<ModelInfo>,
    /// The model's name as it was sent.
    pub name: Arc<str>,
    pub losses: Vec<Loss>,
    pub answer: Answered,
}

pub(super) enum Answered {
    /// All of the answer.
    Plain(Vec<ModelEvent>),
    /// The beginning of the answer, and where the rest comes from.
    Stream { first: Vec<ModelEvent>, events: Box<EventStream>, decoder: Box<StreamDecoder> },
}

pub(super) async fn dispatch(
    app: &App,
    targets: &[Target],
    request: &Request,
    record: &mut Record,
) -> ApiResult<Dispatched> {
    let mut last = ApiError::new(Code::NoEligibleModel, "there is no target to send this request to");
    let mut order = Order::new(targets);
    while record.told.attempts.len() < app.max_attempts
        && let Some(target) = order.next()
    {
        if let Err(error) = record.reserve_for(target, request) {
            last = error;
            continue;
        }
        let encoded = match encode(app, target, request) {
            Ok(encoded) => encoded,
            Err(error) => {
                last = error;
                continue;
            }
        };
        let started = Instant::now();
        let result = attempt(app, target, &encoded.1, request.stream).await;
        let took = started.elapsed();
        let outcome = result.as_ref().map_or_else(|failure| failure.class.outcome(), |_| "ok");
        record.told.attempts.push(Attempt {
            provider: target.provider.to_string(),
            model: target.name.to_string(),
            outcome,
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        match result {
            Ok(answer) => {
                observe(app, target, &answer, took);
                return Ok(Dispatched {
                    provider: target.provider.to_string(),
                    model: Arc::clone(&target.model),
                    name: Arc::clone(&target.name),
                    losses: encoded.1.warnings,
                    answer,
                });
            }
            Err(failure) => {
                tracing::warn!(
                    request_id = %record.told.request_id, provider = %target.provider, model = %target.name,
                    class = ?failure.class, status = failure.error.status, kind = %failure.error.kind,
                    "an attempt failed"
                );
                last = ApiError::provider(&target.provider, &failure);
                if !failure.class.try_next() {
                    break;
                }
                if failure.class.concerns_provider() {
                    order.avoid(&target.provider);
                }
            }
        }
    }
    Err(last)
}

/// Best first; but where a provider has failed as a whole, its other models come last.
struct Order<'a> {
    left: Vec<&'a Target>,
    avoided: Vec<&'a str>,
}

impl<'a> Order<'a> {
    fn new(targets: &'a [Target]) -> Self {
        Self { left: targets.iter().collect(), avoided: Vec::new() }
    }

    fn next(&mut self) -> Option<&'a Target> {
        let healthy = self.left.iter().position(|target| !self.avoided.contains(&&*target.provider));
        (!self.left.is_empty()).then(|| self.left.remove(healthy.unwrap_or(0)))
    }

    fn avoid(&mut self, provider: &'a str) {
        self.avoided.push(provider);
    }
}

type KindAndBody = (providers::Kind, Encoded);

fn encode(app: &App, target: &Target, request: &Request) -> ApiResult<KindAndBody> {
    let provider = app
        .providers
        .get(&*target.provider)
        .ok_or_else(|| ApiError::new(Code::ProviderKeyMissing, format!("{} is not set up", target.provider)))?;
    let aim = providers::Target {
        kind: provider.kind,
        provider: &target.provider,
        model: &target.name,
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
    Ok((provider.kind, encoded))
}

async fn attempt(app: &App, target: &Target, encoded: &Encoded, stream: bool) -> Result<Answered, Failure> {
    let provider = app.providers.get(&*target.provider).ok_or_else(|| Failure::new(Class::Unreachable, "unknown"))?;
    let kind = provider.kind;
    let body = encoded.body.clone();
    let answer = app.client.post(kind, &provider.endpoint, &encoded.path, &encoded.headers, body).await?;
    if !stream {
        let bytes = answer.bytes().await?;
        let events = providers::decode_response(kind, &bytes, &encoded.translation).map_err(garbage)?;
        return match failed(app, target, &events) {
            Some(failure) => Err(failure),
            None => Ok(Answered::Plain(events)),
        };
    }
    let mut events = answer.events();
    let mut decoder = StreamDecoder::new(kind, encoded.translation.clone());
    let mut first = Vec::new();
    loop {
        match events.next().await? {
            Some(event) => decoder.event(&event.name, &event.data, &mut first).map_err(garbage)?,
            None => {
                decoder.end(&mut first).map_err(garbage)?;
                break;
            }
        }
        if first.iter().any(|event| !matches!(event, ModelEvent::Started { .. } | ModelEvent::Usage(_))) {
            break;
        }
    }
    match failed(app, target, &first) {
        Some(failure) => Err(failure),
        None => Ok(Answered::Stream { first, events: Box::new(events), decoder: Box::new(decoder) }),
    }
}

/// An error that the provider reports in place of an answer.
fn failed(app: &App, target: &Target, events: &[ModelEvent]) -> Option<Failure> {
    let said_nothing = !events.iter().any(|event| matches!(event, ModelEvent::Delta { .. }));
    events.iter().find_map(|event| match event {
        ModelEvent::Failed(error) if said_nothing => Some(app.reported(&target.provider, error.clone())),
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
fn observe(app: &App, target: &Target, answer: &Answered, took: Duration) {
    let ms = took.as_secs_f64() * 1_000.0;
    if let Answered::Stream { .. } = answer {
        app.latency.observe(&target.provider, &target.model.id, Some(ms), None);
        return;
    }
    let Answered::Plain(events) = answer else { return };
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
