//! What a routing rule's `fallbacks` make of the order of targets: the chosen one, then those that the
//! rule names, then nothing. A rule that says where a request may go says it for all of its attempts.

use super::told::{Source, Warning};
use crate::app::App;
use tokenrouter_routing::{self as routing, Decision, Filter, Filtered, Pool, Set, Target};

/// Gives a warning for each fallback that cannot take the request.
pub(super) fn apply(
    app: &App,
    pool: &Pool,
    set: &Set<Vec<String>>,
    request: &routing::Request,
    decision: &mut Decision,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut others = decision.targets.split_off(decision.targets.len().min(1));
    for name in &set.value {
        match target(app, pool, name, request) {
            Ok(target) if decision.targets.iter().any(|known| same(known, &target)) => {}
            Ok(target) => decision.targets.push(target),
            Err(why) => {
                let message = format!("the fallback {name} is left out: {why}");
                warnings.push(Warning::new(Source::RoutingRule, Some(set.rule_id), message));
            }
        }
    }
    others.retain(|other| !decision.targets.iter().any(|known| same(known, other)));
    decision.filtered.extend(others.into_iter().map(|other| Filtered {
        provider: other.provider,
        model: other.model,
        filter: Filter::NotAFallback,
    }));
    warnings
}

fn same(a: &Target, b: &Target) -> bool {
    a.provider == b.provider && a.name == b.name
}

/// The best target that the model string stands for.
fn target(app: &App, pool: &Pool, name: &str, request: &routing::Request) -> Result<Target, String> {
    let asked =
        routing::parse_model(Some(name), |provider| pool.has_provider(provider)).map_err(|error| error.to_string())?;
    let select = routing::Request {
        provider: asked.provider,
        model: asked.model,
        mode: asked.mode.unwrap_or(request.mode),
        provider_by_rule: true,
        model_by_rule: true,
        ..request.clone()
    };
    let decision = routing::select(pool, &select, &app.latency).map_err(|error| error.to_string())?;
    decision.targets.into_iter().next().ok_or_else(|| "there is no such model".to_owned())
}
