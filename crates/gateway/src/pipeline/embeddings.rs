//! The life of a request for embeddings: the same stages as a response's, but for those that choose.
//!
//! A vector is of use only beside vectors of the same model, so there is no `auto` and no routing rule
//! here: the model that was named answers, from any provider that the settings have it at, or nothing.

use super::background::{abandoned, stopped};
use super::dispatch::{OUT_OF_TIME, before};
use super::field::spare;
use super::record::{Outcome, Record};
use super::spending::{Sale, amount};
use super::told::Attempt;
use super::{admission, screen};
use crate::accounts::{Account, Accounts};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use crate::limits::Amount;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tokenrouter_firewall::Scope;
use tokenrouter_protocol::{EmbeddingsInput, EmbeddingsRequest, Item, Message, Part, Request, Role, Usage};
use tokenrouter_providers::{self as providers, Embeddings, Kind};
use tokenrouter_routing::{ModelInfo, Price, parse_model};
use tokenrouter_upstream::{Class, Failure};

/// What the caller gets, and what the router tells of it.
pub(crate) struct Embedded {
    pub provider: String,
    pub model: String,
    pub embeddings: Embeddings,
    pub tokenrouter: Value,
}

pub(super) struct EmbeddingTarget {
    pub provider: String,
    /// As it is sent.
    pub name: String,
    /// What the settings know of the model.
    info: Option<Arc<ModelInfo>>,
}

impl EmbeddingTarget {
    pub fn price(&self) -> Option<Price> {
        self.info.as_ref().and_then(|info| info.price)
    }

    /// What a prompt of this length comes to.
    pub fn amount(&self, input_tokens: u64) -> Amount {
        let usage = Usage { uncached_input: input_tokens, ..Usage::default() };
        amount(self.price().as_ref(), &usage)
    }
}

/// # Errors
/// Any of the contract's §7.
pub(crate) async fn embed(
    app: &Arc<App>,
    caller: &Caller,
    request_id: &str,
    mut request: EmbeddingsRequest,
) -> ApiResult<Embedded> {
    let known = Request { model: request.model.clone(), ..Request::default() };
    let mut record = Record::begin(Arc::clone(app), caller, request_id, &known);
    "embedding".clone_into(&mut record.told.task);
    match road(app, caller, &mut record, &mut request).await {
        Ok(embedded) => Ok(embedded),
        Err(error) => {
            let error = error.with_request_id(request_id);
            record.settle_failure(&error).await;
            Err(error)
        }
    }
}

async fn road(app: &App, caller: &Caller, record: &mut Record, request: &mut EmbeddingsRequest) -> ApiResult<Embedded> {
    app.can_record()?;
    let mut targets = targets(&caller.accounts, request)?;
    targets.retain(|target| match &target.info {
        Some(info) => caller.models.allows(&target.provider, info),
        None => caller.models.allows_name(&target.provider, &target.name),
    });
    if targets.is_empty() {
        let message = "this API key may not use this model";
        return Err(ApiError { param: Some("model".to_owned()), ..ApiError::new(Code::ModelNotAllowed, message) });
    }
    record.told.confidence = 1.0;
    screen_input(caller, record, request)?;
    admission::admit_embeddings(record, caller, &mut targets, request)?;
    let mut last = ApiError::new(Code::NoEligibleModel, "there is no target to send this request to");
    let accounts = &caller.accounts;
    let targets = standing(app, accounts, targets);
    app.health.request(record.workspace_id(), Instant::now());
    // With none of the targets may these be asked again.
    let mut gone: Vec<Arc<Account>> = Vec::new();
    for target in targets.iter().take(app.max_attempts) {
        let sent = match encode(accounts, target, request) {
            Ok(sent) => sent,
            Err(error) => {
                last = error;
                continue;
            }
        };
        if let Err(error) = record.reserve(target.amount(record.spending.input_tokens)) {
            last = error;
            continue;
        }
        let mut refused = gone.clone();
        while let Some(account) = account(app, accounts, target, &refused) {
            if !record.told.attempts.is_empty() && !app.health.retry(record.workspace_id(), Instant::now()) {
                return Err(last);
            }
            match ask(app, record, target, &account, &sent, request.input.count()).await? {
                Ok(embeddings) => {
                    let sale = Sale { price: target.price(), repriced_by: None };
                    record.chose(&target.provider, &target.name, &target.name, sale, &sent.warnings);
                    if let Some(usage) = embeddings.usage {
                        record.spending.tells(usage);
                    }
                    record.spending.is_whole();
                    let tokenrouter = record.told_at_the_end();
                    record.settle(Outcome::Completed, None, None).await?;
                    let (provider, model) = (target.provider.clone(), target.name.clone());
                    return Ok(Embedded { provider, model, embeddings, tokenrouter });
                }
                Err(failure) => {
                    last = told(target, &account, &failure);
                    if failure.error.kind == OUT_OF_TIME || !failure.class.try_next() {
                        return Err(last);
                    }
                    if !failure.class.concerns_key() {
                        break;
                    }
                    if failure.concerns_account() {
                        gone.push(Arc::clone(&account));
                    }
                    refused.push(account);
                }
            }
        }
    }
    Err(last)
}

/// The account for the next attempt on the target.
fn account(app: &App, accounts: &Accounts, target: &EmbeddingTarget, refused: &[Arc<Account>]) -> Option<Arc<Account>> {
    let refused: Vec<&str> = refused.iter().map(|account| &*account.scope).collect();
    accounts.pick(&app.health, &target.provider, &target.name, &refused, None, Instant::now())
}

/// One attempt, of which health and the record are told.
///
/// # Errors
/// When the gateway stops.
async fn ask(
    app: &App,
    record: &mut Record,
    target: &EmbeddingTarget,
    account: &Account,
    sent: &providers::EncodedEmbeddings,
    count: usize,
) -> ApiResult<Result<Embeddings, Failure>> {
    record.spending.asks_for_embeddings(&target.provider, &target.name, target.price());
    let started = Instant::now();
    let health = app.health.ask(Arc::clone(&account.scope), &*target.name, started);
    let mut cut = Some(app.cut.subscribe());
    let answer = tokio::select! {
        biased;
        _ = stopped(&mut cut) => return Err(abandoned()),
        answer = before(record.deadline, attempt(app, account, sent, count)) => answer,
    };
    record.told.attempts.push(Attempt {
        provider: target.provider.clone(),
        model: target.name.clone(),
        outcome: answer.as_ref().map_or_else(|failure| failure.class.outcome(), |_| "ok"),
        reason: None,
        provider_key_id: account.key_id,
        latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        usage: None,
        cost_usd: None,
    });
    match &answer {
        Ok(_) => health.succeeded(Instant::now()),
        Err(failure) => {
            tracing::warn!(
                request_id = %record.told.request_id, provider = %target.provider, model = %target.name,
                class = ?failure.class, status = failure.error.status, kind = %failure.error.kind,
                "an attempt failed"
            );
            // The caller's impatience says nothing of the target.
            if failure.error.kind != OUT_OF_TIME {
                record.spending.failed(false);
                health.failed(failure, Instant::now());
            }
        }
    }
    Ok(answer)
}

/// Those that have answered well enough of late; all, if those are too few.
fn standing(app: &App, accounts: &Accounts, targets: Vec<EmbeddingTarget>) -> Vec<EmbeddingTarget> {
    let now = Instant::now();
    let names = targets.iter().map(|target| (&*target.provider, &*target.name));
    let mut ejections = accounts.ejections(&app.health, names, now);
    spare(&mut ejections);
    targets.into_iter().zip(ejections).filter(|(_, ejection)| ejection.is_none()).map(|(target, _)| target).collect()
}

/// The catalog has no embedding models, so only the provider knows that it does not have this one.
fn told(target: &EmbeddingTarget, account: &Account, failure: &Failure) -> ApiError {
    let mut error = ApiError::provider(&target.provider, account.owner(), failure);
    if failure.class == Class::ModelMissing {
        error.code = Code::ModelNotFound;
        error.message = format!("{} has no embedding model `{}`", target.provider, target.name);
        error.param = Some("model".to_owned());
    }
    error
}

fn encode(
    accounts: &Accounts,
    target: &EmbeddingTarget,
    request: &EmbeddingsRequest,
) -> ApiResult<providers::EncodedEmbeddings> {
    let Some(kind) = accounts.kind(&target.provider).filter(|kind| kind.has_embeddings()) else {
        let message = format!("{} has no embeddings", target.provider);
        return Err(ApiError::new(Code::NoEligibleModel, message));
    };
    let sent = providers::encode_embeddings(kind, &target.name, request)
        .map_err(|error| ApiError::parameter(error.param, error.message))?;
    if let Some(loss) = sent.warnings.first().filter(|_| request.router.strict) {
        let message = format!("{} cannot carry `{}` as it is: {}", target.provider, loss.param, loss.message);
        return Err(ApiError::parameter(loss.param.clone(), message));
    }
    Ok(sent)
}

async fn attempt(
    app: &App,
    account: &Account,
    sent: &providers::EncodedEmbeddings,
    count: usize,
) -> Result<Embeddings, Failure> {
    let answer = app.client.post(account.kind, &account.endpoint, "/embeddings", &[], sent.body.clone()).await?;
    let bytes = answer.bytes().await?;
    providers::decode_embeddings(&bytes, count).map_err(super::dispatch::garbage)
}

/// `provider/model` is taken at its word where the provider is set up. A name alone is a model that the
/// settings list, or one whose maker the name tells.
fn targets(accounts: &Accounts, request: &EmbeddingsRequest) -> ApiResult<Vec<EmbeddingTarget>> {
    let (text, param) = match &request.router.model {
        Some(model) => (Some(model.as_str()), "router_model"),
        None => (request.model.as_deref(), "model"),
    };
    let known = |name: &str| accounts.is_set_up(name) || accounts.pool.has_provider(name);
    let asked = parse_model(text, known).map_err(|error| ApiError::parameter(param, error.to_string()))?;
    let Some(name) = asked.model else {
        let message = "name the model, as `provider/model`: vectors of different models do not go together, \
                       so the router chooses none";
        return Err(ApiError::parameter(param, message));
    };
    let target = |provider: &str, info| EmbeddingTarget { provider: provider.to_owned(), name: name.clone(), info };
    let listed = |provider: Option<&str>| {
        let candidates =
            accounts.pool.candidates().iter().filter(|c| c.ready && provider.is_none_or(|p| *c.provider == *p));
        let named = candidates.filter(|c| c.model.id == name || c.model.aliases.contains(&name));
        named.map(|c| target(&c.provider, Some(Arc::clone(&c.model)))).collect::<Vec<_>>()
    };
    if let Some(provider) = request.router.provider.as_deref().or(asked.provider.as_deref()) {
        if !accounts.is_set_up(provider) {
            let param = if request.router.provider.is_some() { "router_provider" } else { param };
            return Err(not_set_up(accounts, provider, param));
        }
        let mut targets = listed(Some(provider));
        if targets.is_empty() {
            targets.push(target(provider, None));
        }
        return Ok(targets);
    }
    let mut targets = listed(None);
    if let Some(kind) = maker(&name).filter(|_| targets.is_empty()) {
        targets.extend(accounts.of_kind(kind).iter().map(|provider| target(provider, None)));
        if targets.is_empty() {
            return Err(not_set_up(accounts, kind.as_str(), param));
        }
    }
    if targets.is_empty() {
        let message = format!("there is no embedding model `{name}`; say whose it is, as `provider/{name}`");
        return Err(ApiError { param: Some(param.to_owned()), ..ApiError::new(Code::ModelNotFound, message) });
    }
    Ok(targets)
}

fn not_set_up(accounts: &Accounts, provider: &str, param: &str) -> ApiError {
    if accounts.pool.has_provider(provider) {
        let message = accounts.problem(provider).unwrap_or_else(|| format!("the gateway has no key for {provider}"));
        return ApiError { provider: Some(provider.to_owned()), ..ApiError::new(Code::ProviderKeyMissing, message) };
    }
    let message = format!("there is no provider `{provider}`");
    ApiError { param: Some(param.to_owned()), ..ApiError::new(Code::ModelNotFound, message) }
}

/// Whose API has models of such a name.
fn maker(name: &str) -> Option<Kind> {
    match name {
        name if name.starts_with("text-embedding-") => Some(Kind::OpenAi),
        name if name.starts_with("mistral-embed") || name.starts_with("codestral-embed") => Some(Kind::Mistral),
        _ => None,
    }
}

/// Screens the texts in place. Tokens are a text that the firewall cannot read: where there are rules to
/// keep, they are refused.
fn screen_input(caller: &Caller, record: &mut Record, request: &mut EmbeddingsRequest) -> ApiResult<()> {
    let rules = &caller.rules.firewall;
    let texts = match &mut request.input {
        EmbeddingsInput::Texts(texts) => texts,
        EmbeddingsInput::Tokens(_) if rules.is_empty(Scope::Prompt) => return Ok(()),
        EmbeddingsInput::Tokens(_) => {
            let message = "this workspace has firewall rules for prompts, which cannot read tokens: send texts";
            return Err(ApiError::parameter("input", message));
        }
    };
    let content = texts.drain(..).map(Part::text).collect();
    let message = Message { content, ..Message::new(Role::User, "") };
    let mut prompt = Request { input: vec![Item::Message(message)], ..Request::default() };
    screen::prompt(rules, &mut prompt, &mut record.tally)?;
    for item in prompt.input {
        let Item::Message(message) = item else { continue };
        texts.extend(message.content.into_iter().filter_map(|part| match part {
            Part::Text { text, .. } => Some(text),
            _ => None,
        }));
    }
    Ok(())
}
