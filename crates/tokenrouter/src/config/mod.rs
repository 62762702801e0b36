//! Settings: the compiled-in defaults ← the user's TOML ← the environment ← flags.
//!
//! A mistake is reported with its place, and all mistakes at once. **Keys are read from where the
//! settings point (`env:`, `file:`), never written in them, and never shown.**

mod abilities;
mod hosts;
mod layers;
mod providers;
mod secrets;

pub use layers::Layers;
pub(crate) use secrets::read as secret;

use providers::providers;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokenrouter_gateway::{
    Abilities, BreakerOptions, BudgetOptions, HealthOptions, Options, ProviderOptions, TimeLimits,
};
use tokenrouter_routing::Predictor;

/// A mistake in the settings: where it stands and what is wrong.
#[derive(Clone, Debug)]
pub struct Mistake {
    pub place: String,
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

#[derive(Debug)]
pub struct Settings {
    pub listen: String,
    /// Where the workspaces are managed; empty: at `listen`.
    pub admin_listen: String,
    pub database_url: String,
    /// How much may wait while the database cannot be written to.
    pub spool_bytes: u64,
    pub log_level: String,
    pub log_json: bool,
    pub options: Options,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub listen: Option<String>,
    pub database: Option<String>,
    /// For a command that must work where master keys are lost.
    pub master_keys: MasterKeys,
    /// What `routing.predictor` names is read, and must be one: for those that choose models by it.
    pub reads_predictor: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MasterKeys {
    #[default]
    Read,
    Ignore,
}

/// Reads and checks all settings.
///
/// # Errors
/// Every mistake that was found.
pub fn load(
    file: Option<&Path>,
    environment: &HashMap<String, String>,
    flags: &Flags,
) -> Result<Settings, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut layers = Layers::defaults();
    let mut abilities = Vec::new();
    let mut configured: Vec<ProviderOptions> = providers::from_environment(environment, &mut mistakes);
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Err(error) => mistakes.push(Mistake { place: path.display().to_string(), message: error.to_string() }),
            Ok(text) => {
                let name = path.display().to_string();
                let lists = layers.add_file(&name, &text, &mut mistakes);
                abilities = abilities::abilities(&lists.abilities, &mut mistakes);
                for provider in providers(&lists.providers, environment, &mut mistakes) {
                    configured.retain(|known| known.name != provider.name);
                    configured.push(provider);
                }
            }
        }
    }
    layers.add_environment(environment, &mut mistakes);
    if let Some(listen) = &flags.listen {
        layers.set("server", "listen", listen.as_str().into(), "--listen");
    }
    if let Some(database) = &flags.database {
        layers.set("database", "url", database.as_str().into(), "--database");
    }
    let known = providers::known(environment, &configured, &mut mistakes);
    let mut settings = settings(&layers, configured, &mut mistakes);
    settings.options.known_providers = known;
    settings.options.abilities = Abilities {
        set: abilities,
        predictor: if flags.reads_predictor { predictor(&layers, &mut mistakes) } else { None },
    };
    let (master_keys, place) = layers.string("vault", "master_keys");
    match secrets::master_keys(&master_keys, environment) {
        _ if flags.master_keys == MasterKeys::Ignore => {}
        Ok(keys) => settings.options.master_keys = keys,
        Err(message) => mistakes.push(Mistake { place, message }),
    }
    if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
}

/// Its table has 200 KB, and what it says of a thousand models 400.
const MOST_PREDICTOR: u64 = 8 << 20;

/// What `routing.predictor` names, if anything.
fn predictor(layers: &Layers, mistakes: &mut Vec<Mistake>) -> Option<Arc<Predictor>> {
    let (path, place) = layers.string("routing", "predictor");
    if path.is_empty() {
        return None;
    }
    let read = || {
        let told = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        if !told.is_file() || told.len() > MOST_PREDICTOR {
            return Err("it is no file, or too long for a predictor".to_owned());
        }
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        Predictor::read(&bytes).map_err(|error| error.to_string())
    };
    match read() {
        Ok(predictor) => Some(Arc::new(predictor)),
        Err(error) => {
            mistakes.push(Mistake { place, message: format!("`routing.predictor`: {path}: {error}") });
            None
        }
    }
}

fn health(count: &mut dyn FnMut(&str, &str, u64) -> u64) -> HealthOptions {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    HealthOptions {
        breaker: BreakerOptions {
            window: Duration::from_millis(count("upstream", "breaker_window_ms", 1)),
            min_requests: small(count("upstream", "breaker_min_requests", 1)),
            failure_percent: small(count("upstream", "breaker_failure_percent", 1)),
            open: Duration::from_millis(count("upstream", "breaker_open_ms", 1)),
        },
        budget: BudgetOptions {
            percent: small(count("upstream", "retry_budget_percent", 0)),
            floor: small(count("upstream", "retry_budget_floor", 0)),
            total_floor: small(count("upstream", "retry_budget_total_floor", 0)),
        },
        refused: Duration::from_millis(count("upstream", "refused_provider_ms", 0)),
    }
}

fn settings(layers: &Layers, providers: Vec<ProviderOptions>, mistakes: &mut Vec<Mistake>) -> Settings {
    let mut count = |section: &str, key: &str, least: u64| {
        let (n, place) = layers.integer(section, key);
        u64::try_from(n).ok().filter(|n| *n >= least).unwrap_or_else(|| {
            mistakes.push(Mistake { place, message: format!("`{section}.{key}` must be at least {least}") });
            least
        })
    };
    let time = TimeLimits {
        connect: Duration::from_millis(count("upstream", "connect_timeout_ms", 1)),
        first_event: Duration::from_millis(count("upstream", "first_event_timeout_ms", 1)),
        between_events: Duration::from_millis(count("upstream", "between_events_timeout_ms", 1)),
        total: Duration::from_millis(count("upstream", "total_timeout_ms", 1)),
        heartbeat: Duration::from_millis(count("server", "heartbeat_ms", 0)),
        header: Duration::from_millis(count("server", "header_timeout_ms", 1)),
        write: Duration::from_millis(count("server", "write_timeout_ms", 1)),
        stop_delay: Duration::from_millis(count("server", "stop_delay_ms", 0)),
        drain: Duration::from_millis(count("server", "drain_timeout_ms", 0)),
        websocket: Duration::from_millis(count("server", "websocket_max_age_ms", 1)),
    };
    let health = health(&mut count);
    let spool_bytes = count("database", "spool_bytes", 0);
    let task_confidence =
        f32::from(u8::try_from(count("routing", "task_confidence_percent", 0)).unwrap_or(u8::MAX)) / 100.0;
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let options = Options {
        providers,
        known_providers: Vec::new(),
        master_keys: BTreeMap::new(),
        max_body_bytes: bytes(count("server", "max_body_bytes", 1_024)),
        max_answer_bytes: bytes(count("upstream", "max_answer_bytes", 1_024)),
        max_background: bytes(count("server", "max_background_responses", 0)),
        max_in_flight: bytes(count("server", "max_in_flight", 1)),
        max_waiting: bytes(count("server", "max_waiting", 0)),
        max_websockets: bytes(count("server", "max_websockets", 0)),
        max_attempts: bytes(count("upstream", "max_attempts", 1)),
        task_confidence,
        time,
        health,
        abilities: Abilities::default(),
    };
    let mut word = |section: &str, key: &str, known: &[&str]| {
        let (word, place) = layers.string(section, key);
        if !known.contains(&word.as_str()) {
            let message = format!("`{section}.{key}` must be one of {}, not `{word}`", known.join(", "));
            mistakes.push(Mistake { place, message });
        }
        word
    };
    let log_level = word("log", "level", &["error", "warn", "info", "debug", "trace"]);
    let log_json = word("log", "format", &["text", "json"]) == "json";
    let (listen, place) = layers.string("server", "listen");
    if !is_address(&listen) {
        let message = format!("`server.listen` must be a host and a port, as 127.0.0.1:8000, not `{listen}`");
        mistakes.push(Mistake { place, message });
    }
    let (admin_listen, place) = layers.string("server", "admin_listen");
    if !admin_listen.is_empty() && !is_address(&admin_listen) {
        let message = format!("`server.admin_listen` must be a host and a port, or empty, not `{admin_listen}`");
        mistakes.push(Mistake { place, message });
    }
    let (database_url, place) = layers.string("database", "url");
    // Empty: the user's data directory.
    if !database_url.is_empty()
        && let Err(error) = tokenrouter_store::check_url(&database_url)
    {
        mistakes.push(Mistake { place, message: format!("`database.url`: {error}") });
    }
    Settings { log_level, log_json, listen, admin_listen, database_url, spool_bytes, options }
}

/// Whether it is a host and a port. Whether there is such a host is seen when it is listened on.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_is_whole =
        if host.contains(':') { host.starts_with('[') && host.ends_with(']') } else { !host.is_empty() };
    host_is_whole && port.parse::<u16>().is_ok()
}
