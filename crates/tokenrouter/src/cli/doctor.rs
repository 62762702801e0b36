//! `tokenrouter doctor`: whether what the gateway needs is there. Nothing is sent to a provider but the
//! request for a connection.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, open_store, table};
use serde_json::json;
use std::time::Duration;
use tokenrouter_gateway::{App, Options, ProviderOptions, known_models, names_model};
use tokenrouter_providers::Kind;
use tokenrouter_routing::LearnedModel;
use tokenrouter_upstream::Endpoint;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one provider's address may take.
const CONNECT: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// A JSON object a check.
    #[arg(long)]
    json: bool,
}

struct Check {
    what: String,
    good: bool,
    detail: String,
}

/// Of how many models of the predictor that the settings name anything can be told; none where they name none.
fn predictor(options: &Options) -> Option<Check> {
    let predictor = options.abilities.predictor.as_ref()?;
    let models = known_models(&options.providers);
    let known = |model: &&LearnedModel| models.iter().any(|info| names_model(&model.model, info));
    let (all, known) = (predictor.models().len(), predictor.models().iter().filter(known).count());
    let detail = format!("{known} of its {all} models are known, learned from {} prompts", predictor.prompts());
    Some(Check { what: "predictor".to_owned(), good: known > 0, detail })
}

pub(super) async fn run(args: DoctorArgs) -> Result<(), Failure> {
    // Mistakes in the settings are told as every command tells them: all at once, each with its place.
    let settings = args.settings.load_all(None)?;
    let mut checks = vec![Check { what: "settings".to_owned(), good: true, detail: "no mistake".to_owned() }];
    let (database, keys) = match open_store(&settings).await {
        Ok(store) => {
            let version = store.schema_version().await.map_err(|error| error.to_string());
            let app = App::idle(store, settings.options.clone()).await;
            (version, app.map(|app| app.provider_key_problems()).map_err(|error| error.to_string()))
        }
        Err(Failure::Other(message)) => (Err(message.clone()), Err(message)),
        Err(failure) => return Err(failure),
    };
    let (good, detail) = match database {
        Ok(version) => (true, format!("reachable, schema {version}")),
        Err(message) => (false, message),
    };
    checks.push(Check { what: "database".to_owned(), good, detail });
    let (good, detail) = match keys {
        Ok(problems) if problems.is_empty() => (true, "all can be used".to_owned()),
        Ok(problems) => (false, problems.join("; ")),
        Err(message) => (false, message),
    };
    checks.push(Check { what: "workspaces' provider keys".to_owned(), good, detail });
    checks.extend(predictor(&settings.options));
    if settings.options.providers.is_empty() {
        tell!("no provider is set up: set OPENAI_API_KEY or the like, or add [[providers]] to the settings");
    }
    let (mut started, mut providers) = (Vec::new(), Vec::new());
    for provider in settings.options.providers {
        started.push(tokio::spawn(async move { check(&provider).await }));
    }
    for one in started {
        providers.push(one.await.map_err(Failure::of)?);
    }
    checks.extend(providers.into_iter().flatten());
    let bad = checks.iter().filter(|check| !check.good).count();
    if args.json {
        for check in &checks {
            output::line(json!({ "check": check.what, "ok": check.good, "detail": check.detail }))?;
        }
    } else {
        let row = |check: &Check| {
            let state = if check.good { "ok" } else { "FAILED" };
            vec![state.to_owned(), check.what.clone(), check.detail.clone()]
        };
        table::print(&["", "CHECK", "DETAIL"], &checks.iter().map(row).collect::<Vec<_>>())?;
    }
    if bad > 0 { Err(Failure::Other(format!("{bad} of {} checks failed", checks.len()))) } else { Ok(()) }
}

async fn check(provider: &ProviderOptions) -> [Check; 2] {
    let name = |of: &str| format!("{} {of}", provider.name);
    // A server of one's own may need none.
    let needed = provider.kind != Kind::OpenAiCompatible;
    let (good, detail) = match (&provider.key, needed) {
        (Some(_), _) => (true, "there"),
        (None, false) => (true, "none, and none may be needed"),
        (None, true) => (false, "missing"),
    };
    let key = Check { what: name("key"), good, detail: detail.to_owned() };
    let (good, detail) = match reach(provider).await {
        Ok(place) => (true, format!("{place} is reachable")),
        Err(message) => (false, message),
    };
    [key, Check { what: name("address"), good, detail }]
}

async fn reach(provider: &ProviderOptions) -> Result<String, String> {
    let endpoint = Endpoint::with_auth(provider.kind, provider.auth, &provider.base_url, provider.key.as_ref())
        .map_err(|error| error.to_string())?;
    let (host, port) = endpoint.host_and_port();
    let place = format!("{host}:{port}");
    match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(place),
        Ok(Err(error)) => Err(format!("{place} cannot be reached: {error}")),
        Err(_) => Err(format!("{place} did not answer within {} s", CONNECT.as_secs())),
    }
}
