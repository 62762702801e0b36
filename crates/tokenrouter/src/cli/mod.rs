//! The command line. Data goes to standard output, words about it to standard error.

mod doctor;
mod evaluate;
mod evaluate_requests;
mod keys;
mod migrate;
mod models;
mod output;
mod providers;
mod requests;
mod route;
mod rules;
mod serve;
mod simulator;
mod table;
mod train;
mod usage;
mod workspaces;

use self::output::tell;
use crate::config::{self, Flags, Mistake, Settings};
use clap::{Parser, Subcommand};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// The gateway between your application and the LLM providers.
#[derive(Parser)]
#[command(name = "tokenrouter", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::ServeArgs),
    /// Run the simulator alone: providers that are not there.
    Simulator(simulator::SimulatorArgs),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// List workspaces, and limit what all keys of one may do together.
    #[command(subcommand)]
    Workspaces(workspaces::WorkspacesCommand),
    /// Add, list, test and remove workspaces' own provider keys.
    #[command(subcommand)]
    Providers(providers::ProvidersCommand),
    /// List the models that requests can name.
    Models(models::ModelsArgs),
    /// Show where a request would go, and why; no provider is called.
    Route(route::RouteArgs),
    /// Measure how good the choice of models is: on known outcomes, or on the workspace's own log.
    Evaluate(evaluate::EvaluateArgs),
    /// Learn from outcomes of your own prompts which model is good at what, for the gateway to choose by.
    Train(train::TrainArgs),
    /// Export and import routing and firewall rules.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Look at what requests did and cost.
    #[command(subcommand)]
    Requests(requests::RequestsCommand),
    /// Sum up requests, tokens and money.
    Usage(usage::UsageArgs),
    /// Check settings, database and providers.
    Doctor(doctor::DoctorArgs),
    /// Bring the database to this program's schema; every start does so by itself.
    Migrate(migrate::MigrateArgs),
    /// What scripts/make_reference.py makes the reference of errors of.
    #[command(hide = true)]
    ReferenceErrors,
    /// The OpenAPI document of docs/reference.
    #[command(hide = true)]
    ReferenceOpenapi,
}

/// Where settings come from; shared by the commands that need them.
#[derive(clap::Args)]
struct SettingsArgs {
    /// The settings file (TOML); every setting is in tokenrouter.default.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where data is kept: `sqlite:PATH`.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl SettingsArgs {
    fn load(&self, listen: Option<String>) -> Result<Settings, Failure> {
        self.load_with(Flags { listen, ..Flags::default() })
    }

    /// For those that choose models: with the predictor that the settings name.
    fn load_all(&self, listen: Option<String>) -> Result<Settings, Failure> {
        self.load_with(Flags { listen, reads_predictor: true, ..Flags::default() })
    }

    fn load_with(&self, flags: Flags) -> Result<Settings, Failure> {
        let environment: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let flags = Flags { database: self.database.clone(), ..flags };
        config::load(self.config.as_deref(), &environment, &flags).map_err(Failure::Settings)
    }
}

/// Why a command could not do its work.
enum Failure {
    Settings(Vec<Mistake>),
    /// Who read standard output has left; there is nobody to tell.
    NobodyReads,
    Other(String),
}

impl Failure {
    fn of(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    fn of_output(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Other(format!("standard output cannot be written: {error}"))
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!("error: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Simulator(args) => simulator::run(args).await,
            Command::Keys(command) => keys::run(command).await,
            Command::Workspaces(command) => workspaces::run(command).await,
            Command::Providers(command) => providers::run(command).await,
            Command::Models(args) => models::run(&args),
            Command::Route(args) => route::run(args).await,
            Command::Evaluate(args) => evaluate::run(args).await,
            Command::Train(args) => train::run(&args),
            Command::Rules(command) => rules::run(command).await,
            Command::Requests(command) => requests::run(command).await,
            Command::Usage(args) => usage::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::ReferenceOpenapi => {
                let document = tokenrouter_gateway::openapi().map_err(Failure::of)?;
                output::line(format_args!("{document:#}"))
            }
            Command::ReferenceErrors => {
                for code in tokenrouter_gateway::error::Code::ALL {
                    let row = code.row();
                    output::line(serde_json::json!([row.status, row.kind, row.code, row.meaning]))?;
                }
                Ok(())
            }
        }
    });
    match result {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Other(message)) => {
            tell!("error: {message}");
            ExitCode::FAILURE
        }
        Err(Failure::Settings(mistakes)) => {
            let count = mistakes.len();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            tell!("error: {count} {noun} in the settings");
            for mistake in mistakes {
                tell!("  {mistake}");
            }
            tell!("hint: tokenrouter.default.toml lists every setting");
            ExitCode::from(2)
        }
    }
}

/// Where data is kept when nobody says: the user's data directory.
fn default_database() -> Result<String, Failure> {
    let home = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .ok_or_else(|| Failure::of("there is no home directory; say where to keep data with --database sqlite:PATH"))?;
    Ok(format!("sqlite:{}", home.join("tokenrouter/tokenrouter.db").display()))
}

async fn open_store(settings: &Settings) -> Result<tokenrouter_store::Store, Failure> {
    let url = if settings.database_url.is_empty() { default_database()? } else { settings.database_url.clone() };
    tokenrouter_store::Store::open_with_spool(&url, settings.spool_bytes).await.map_err(Failure::of)
}

/// For what reads the request log.
fn tell_of_waiting_records(store: &tokenrouter_store::Store) {
    if store.records_wait() {
        tell!("warning: what was recorded of late waits in the spool until the database can be written to");
    }
}

async fn find_workspace(store: &tokenrouter_store::Store, name: &str) -> Result<i64, Failure> {
    let found = store.find_workspace(name).await.map_err(Failure::of)?;
    found.map(|w| w.workspace_id).ok_or_else(|| Failure::Other(format!("there is no workspace `{name}`")))
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A new API key: `tr_` and 192 random bits.
fn new_key() -> String {
    format!("tr_{}", tokenrouter_protocol::random_hex(24))
}
