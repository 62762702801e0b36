//! Stages 4 and 5: routing rules, then the choice of targets.

use super::considered::{self, Considered};
use super::fallbacks;
use super::field::Field;
use super::history;
use super::needs;
use super::screen;
use super::task;
use super::told::{Source, Warning};
use crate::accounts::Accounts;
use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Code};
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;
use tokenrouter_firewall::{RuleSet, Tally};
use tokenrouter_protocol::{Item, Object, Part, Request, Role};
use tokenrouter_routing::{
    self as routing, AllowedModels, Decision, Forecast, LastTurn, Learned, Mode, ModelRequest, Pool, SelectError,
    Target, Task, TaskGuess,
};

/// What the rules look at: the caller's own words, before any history is put in front of them.
pub(super) struct Facts {
    user_texts: Vec<String>,
}

impl Facts {
    pub fn of(request: &Request) -> Self {
        let mut facts = Self { user_texts: Vec::new() };
        for item in &request.input {
            let Item::Message(message) = item else { continue };
            if message.role != Role::User {
                continue;
            }
            for part in &message.content {
                if let Part::Text { text, .. } = part {
                    facts.user_texts.push(text.clone());
                }
            }
        }
        facts
    }
}

/// What was decided, and why.
pub(super) struct Plan {
    pub mode: Mode,
    pub task: String,
    pub confidence: f32,
    pub rules: Vec<i64>,
    pub warnings: Vec<Warning>,
    /// Best first.
    pub targets: Vec<Target>,
    /// A rule said what comes after the first: the order stands, whatever fails.
    pub order_stands: bool,
    pub accounts: Arc<Accounts>,
    /// The provider that is likely to have the turns before in its prompt cache, and the workspace's own key there
    /// whose account has them.
    pub last_key: Option<(String, i64)>,
    /// Of the prompt with its history, about.
    pub input_tokens: u64,
    /// For the record.
    pub route: Option<Considered>,
}

/// Whose request it is: what may be chosen for it, and by which rules.
struct Side<'a> {
    rules: &'a routing::RoutingRules,
    allowed: &'a Arc<AllowedModels>,
    accounts: &'a Accounts,
    learned: Arc<Learned>,
    /// From which confidence on rules on `task` fire, 0 to 1.
    task_confidence: f32,
}

pub(super) fn decide(
    app: &App,
    caller: &Caller,
    request: &Request,
    facts: &Facts,
    last_turn: Option<LastTurn>,
) -> ApiResult<Plan> {
    let accounts = &caller.accounts;
    let side = Side::of(app, caller);
    let cached = last_turn.as_ref().filter(|turn| turn.recent_tokens.max(turn.cached_tokens) > 0);
    let last_key = cached.and_then(|turn| Some((turn.provider.clone(), turn.provider_key_id?)));
    let (plan, decision) = consider(app, &side, request, facts, last_turn)?;
    let decision = decision.map_err(|error| select_error(error, &plan.origins, accounts))?;
    let field = Field::of(&app.health, accounts, &decision.targets, Instant::now());
    let moved = decision.stay.as_ref().and_then(|stay| field.moved(stay));
    let route = Considered::of(&decision, &field, plan.forecast, plan.ability_task);
    let mut warnings = plan.warnings;
    let told = decision.warnings.into_iter().chain(moved).chain(accounts.problems());
    warnings.extend(told.map(|message| Warning::new(Source::Router, None, message)));
    Ok(Plan {
        mode: plan.mode,
        task: plan.task,
        confidence: decision.confidence,
        rules: plan.rules,
        warnings,
        targets: decision.targets,
        order_stands: plan.order_stands,
        accounts: Arc::clone(accounts),
        last_key,
        input_tokens: plan.input_tokens,
        route: Some(route),
    })
}

impl<'a> Side<'a> {
    fn of(app: &App, caller: &'a Caller) -> Self {
        Self {
            rules: &caller.rules.routing,
            allowed: &caller.models,
            accounts: &caller.accounts,
            learned: app.learned.of(caller.workspace_id),
            task_confidence: app.task_confidence_of(&caller.workspace),
        }
    }
}

struct Chosen {
    mode: Mode,
    task: String,
    /// None: the caller told the task.
    task_confidence: Option<f32>,
    forecast: Forecast,
    ability_task: Task,
    input_tokens: u64,
    rules: Vec<i64>,
    warnings: Vec<Warning>,
    order_stands: bool,
    origins: Origins,
}

/// Who named the provider and the model: whose mistake it is when they cannot be had.
struct Origins {
    provider: Origin,
    model: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    /// The field of the request.
    Caller(&'static str),
    /// The routing rule's id.
    Rule(i64),
}

fn consider(
    app: &App,
    side: &Side<'_>,
    request: &Request,
    facts: &Facts,
    last_turn: Option<LastTurn>,
) -> ApiResult<(Chosen, Result<Decision, SelectError>)> {
    let pool = &side.accounts.pool;
    let asked = asked(pool, request)?;
    let mode = asked.mode.unwrap_or(Mode::Balance);
    let texts: Vec<&str> = facts.user_texts.iter().map(String::as_str).collect();
    let guess: OnceCell<TaskGuess> = OnceCell::new();
    let guess_task = || *guess.get_or_init(|| task::recognise(request));
    let recognised = || {
        let guess = guess_task();
        (guess.confidence >= side.task_confidence).then(|| guess.task.as_str())
    };
    let rule_facts = routing::Facts { input_text: &texts, metadata: &request.metadata, mode, task: &recognised };
    let rule_plan = side.rules.plan(&rule_facts);
    let guess = guess_task();
    let (task, task_confidence) = match request.metadata.get("task").and_then(Value::as_str) {
        Some(given) => (given.to_owned(), None),
        None => (guess.task.as_str().to_owned(), Some(guess.confidence)),
    };
    // A caller's own word that is no task of ours counts for rules; the choice goes by what was recognised.
    let told_task = task_confidence.is_none().then(|| Task::parse(&task)).flatten();
    let (provider_by_rule, model_by_rule) = (rule_plan.provider.is_some(), rule_plan.model.is_some());
    // A rule's model may be written as any model string: `gpt-4o:cost`, `openai/gpt-4o`.
    let ruled_model = match &rule_plan.model {
        Some(set) => Some(parse_model(pool, Some(&set.value), Origin::Rule(set.rule_id))?),
        None => None,
    };
    let set_mode = rule_plan.mode.as_ref().map(|set| set.value);
    let mode = set_mode.or(ruled_model.as_ref().and_then(|m| m.mode)).unwrap_or(mode);
    let model = ruled_model.as_ref().map_or(asked.model.clone(), |m| m.model.clone());
    let mut provider = rule_plan
        .provider
        .as_ref()
        .map(|set| set.value.clone())
        .or_else(|| ruled_model.as_ref().and_then(|m| m.provider.clone()));
    if provider.is_none() && !model_by_rule {
        provider.clone_from(&asked.provider);
    }
    let model_field = if request.router.model.is_some() { "router_model" } else { "model" };
    let provider_field = if request.router.provider.is_some() { "router_provider" } else { model_field };
    let model_origin = rule_plan.model.as_ref().map_or(Origin::Caller(model_field), |set| Origin::Rule(set.rule_id));
    let provider_origin = match &rule_plan.provider {
        Some(set) => Origin::Rule(set.rule_id),
        None if model_by_rule => model_origin,
        None => Origin::Caller(provider_field),
    };
    let select = routing::Request {
        provider,
        model,
        mode,
        needs: needs::of(request, guess, told_task, app.providers.predictor())?,
        provider_by_rule,
        model_by_rule,
        allowed: Arc::clone(side.allowed),
        day: crate::clock::today(),
        last_turn,
        learned: Arc::clone(&side.learned),
    };
    let mut decision = routing::select(pool, &select, &app.latency);
    let mut warnings: Vec<Warning> =
        rule_plan.warnings.into_iter().map(|w| Warning::new(Source::RoutingRule, Some(w.rule_id), w.message)).collect();
    if let (Ok(decision), Some(set)) = (&mut decision, &rule_plan.fallbacks) {
        warnings.extend(fallbacks::apply(app, pool, set, &select, decision));
        // The rule says where the request may go.
        decision.stay = None;
    }
    let order_stands = rule_plan.fallbacks.is_some();
    let origins = Origins { provider: provider_origin, model: model_origin };
    let routing::Needs { forecast, task: ability_task, input_tokens_estimate: input_tokens, .. } = select.needs;
    let rules = rule_plan.matched;
    let chosen = Chosen {
        mode,
        task,
        task_confidence,
        forecast,
        ability_task,
        input_tokens,
        rules,
        warnings,
        origins,
        order_stands,
    };
    Ok((chosen, decision))
}

/// The model string, and what `router_mode`, `router_model` and `router_provider` change of it.
fn asked(pool: &Pool, request: &Request) -> ApiResult<ModelRequest> {
    let mut asked = match &request.router.model {
        Some(model) => parse_model(pool, Some(model), Origin::Caller("router_model"))?,
        None => parse_model(pool, request.model.as_deref(), Origin::Caller("model"))?,
    };
    if let Some(provider) = &request.router.provider {
        asked.provider = Some(provider.clone());
    }
    if let Some(mode) = &request.router.mode {
        asked.mode = Some(Mode::parse(mode).ok_or_else(|| {
            let message = format!("`router_mode` must be one of balance, cost, quality, latency, not `{mode}`");
            ApiError::parameter("router_mode", message)
        })?);
    }
    Ok(asked)
}

fn parse_model(pool: &Pool, model: Option<&str>, origin: Origin) -> ApiResult<ModelRequest> {
    routing::parse_model(model, |name| pool.has_provider(name)).map_err(|error| match origin {
        Origin::Caller(param) => ApiError::parameter(param, error.to_string()),
        Origin::Rule(id) => blame(Code::RoutingConflict, &error.to_string(), "model", id),
    })
}

/// A mistake in a rule is its owner's, not the caller's: no field of the request is at fault.
fn blame(code: Code, message: &str, set: &str, rule_id: i64) -> ApiError {
    ApiError::new(code, format!("routing rule {rule_id} sets the {set}: {message}"))
}

/// What English text comes to.
pub(super) const BYTES_PER_TOKEN: usize = 4;
/// A middling figure between what providers count for a small and for a large picture.
pub(super) const IMAGE_TOKENS: usize = 800;

fn select_error(error: SelectError, origins: &Origins, accounts: &Accounts) -> ApiError {
    let problem = match &error {
        SelectError::ProviderNotConfigured { name } => accounts.problem(name),
        _ => None,
    };
    let message = problem.unwrap_or_else(|| error.to_string());
    let missing = |origin: Origin, what: &str| match origin {
        Origin::Caller(param) => {
            ApiError { param: Some(param.to_owned()), ..ApiError::new(Code::ModelNotFound, message.as_str()) }
        }
        Origin::Rule(id) => blame(Code::RoutingConflict, &message, what, id),
    };
    match error {
        SelectError::ModelNotFound { .. } => missing(origins.model, "model"),
        SelectError::ProviderUnknown { .. } => missing(origins.provider, "provider"),
        SelectError::NoEligible { .. } => ApiError::new(Code::NoEligibleModel, message),
        SelectError::NotAllowed { .. } => {
            ApiError { param: Some("model".to_owned()), ..ApiError::new(Code::ModelNotAllowed, message) }
        }
        SelectError::ProviderModelMismatch { .. } => match (origins.provider, origins.model) {
            (Origin::Rule(id), Origin::Caller(_)) => blame(Code::RoutingConflict, &message, "provider", id),
            (_, Origin::Rule(id)) => blame(Code::RoutingConflict, &message, "model", id),
            (Origin::Caller(param), Origin::Caller(_)) => {
                ApiError { param: Some(param.to_owned()), ..ApiError::new(Code::RoutingConflict, message) }
            }
        },
        SelectError::ProviderNotConfigured { name } => {
            let mut error = match origins.provider {
                Origin::Rule(id) => blame(Code::ProviderKeyMissing, &message, "provider", id),
                Origin::Caller(_) => ApiError::new(Code::ProviderKeyMissing, message),
            };
            error.provider = Some(name);
            error
        }
    }
}

/// The dry run: what would be decided, with all that was considered, and what the firewall would do to the prompt.
pub(crate) async fn explain(app: &App, caller: &Caller, mut request: Request) -> ApiResult<Object> {
    let facts = Facts::of(&request);
    let last_turn = history::prepend_turns(app, caller, &mut request, None).await?.last_turn;
    explained(app, &Side::of(app, caller), &caller.rules.firewall, request, &facts, last_turn)
}

fn explained(
    app: &App,
    side: &Side<'_>,
    firewall: &Arc<RuleSet>,
    mut request: Request,
    facts: &Facts,
    last_turn: Option<LastTurn>,
) -> ApiResult<Object> {
    let (chosen, decision) = consider(app, side, &request, facts, last_turn)?;
    let decision = decision.map_err(|error| select_error(error, &chosen.origins, side.accounts))?;
    let field = Field::of(&app.health, side.accounts, &decision.targets, Instant::now());
    let moved = decision.stay.as_ref().and_then(|stay| field.moved(stay));
    let mut warnings = chosen.warnings;
    let told = decision.warnings.iter().cloned().chain(moved).chain(side.accounts.problems());
    warnings.extend(told.map(|message| Warning::new(Source::Router, None, message)));
    let best = field.first();
    let mut answer = Object::new();
    let mut tell = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    tell("object", json!("route"));
    tell("provider", json!(best.map(|t| t.provider.to_string())));
    tell("model", json!(best.map(|t| t.name.to_string())));
    tell("mode", json!(chosen.mode.as_str()));
    tell("task", json!(chosen.task));
    tell("task_confidence", json!(chosen.task_confidence));
    tell("task_rules_from", json!((f64::from(side.task_confidence) * 100.0).round() / 100.0));
    tell("confidence", json!(decision.confidence));
    tell("routing_rules", json!(chosen.rules));
    tell("warnings", json!(warnings));
    tell("firewall", firewall_view(firewall, &mut request));
    let route = Considered::of(&decision, &field, chosen.forecast, chosen.ability_task);
    let route = serde_json::to_value(route).map_err(|e| ApiError::internal(&e))?;
    match considered::considered_json(&route) {
        Some(Value::Object(told)) => answer.extend(told),
        _ => return Err(ApiError::internal(&"what was considered cannot be told")),
    }
    Ok(answer)
}

/// What the rules for prompts would do, shadow rules among them; the request is screened in place.
fn firewall_view(rules: &Arc<RuleSet>, request: &mut Request) -> Value {
    let mut tally = Tally::default();
    let blocked = screen::prompt(rules, request, &mut tally).err();
    let hits: Vec<Value> = tally
        .iter()
        .map(|hit| {
            json!({
                "rule_id": hit.rule_id, "name": &*hit.name, "action": hit.action.as_str(),
                "scope": hit.scope.as_str(), "matches": hit.matches,
            })
        })
        .collect();
    json!({ "blocked": blocked.map(|error| error.message), "hits": hits })
}

/// [`explain`] for the command line: the body of a request, under a workspace's rules.
///
/// # Errors
/// As `POST /v1/route` gives them.
pub fn dry_run(app: &App, workspace_id: i64, body: Value) -> ApiResult<Value> {
    let request = Request::parse(body)?;
    let snapshot = app.snapshot.load();
    let facts = Facts::of(&request);
    let (rules, accounts) = (snapshot.rules(workspace_id), snapshot.accounts(workspace_id));
    let learned = app.learned.of(workspace_id);
    let task_confidence = app.task_confidence_of(&snapshot.settings(workspace_id));
    let side = Side { rules: &rules.routing, allowed: &Arc::default(), accounts, learned, task_confidence };
    explained(app, &side, &rules.firewall, request, &facts, None).map(Value::Object)
}
