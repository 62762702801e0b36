//! `tokenrouter serve`.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, new_key, now_ms, open_store};
use crate::config::Settings;
use std::net::SocketAddr;
use tokenrouter_gateway::{App, ProviderOptions};
use tokenrouter_providers::Kind;
use tokenrouter_routing::Catalog;
use tokenrouter_store::{BootstrapKey, Store};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where to listen, such as 127.0.0.1:8000.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Put the simulator in the place of every provider: no keys, no network.
    #[arg(long)]
    simulate: bool,
}

pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let mut settings = args.settings.load_all(args.listen)?;
    start_log(&settings);
    // How often we were told to stop.
    let (told, stopped) = watch::channel(0_u8);
    // Before anything is announced: who reads that we listen may tell us to stop at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::of)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::of)?;
    tokio::spawn(async move {
        while !told.is_closed() {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.send_modify(|times| *times = times.saturating_add(1));
        }
    });
    let listener = listen(&settings.listen).await?;
    let admin = if settings.admin_listen.is_empty() { None } else { Some(listen(&settings.admin_listen).await?) };
    let store = open_store(&settings).await?;
    bootstrap(&store).await?;
    let mut simulator = None;
    if args.simulate {
        simulator = Some(simulate(&mut settings, stopped.clone()).await?);
    } else if settings.options.providers.is_empty() {
        tell!("no provider is set up: requests will be answered with an error");
        tell!("hint: set OPENAI_API_KEY or the like, add [[providers]] to the settings, or try --simulate");
    }
    let app = App::new(store, settings.options).await.map_err(Failure::of)?;
    let address = listener.local_addr().map_err(Failure::of)?;
    if let Some(admin) = &admin {
        tell!("managing on http://{}", admin.local_addr().map_err(Failure::of)?);
    }
    tell!("listening on http://{address}");
    // Told twice, we wait for nobody any more.
    tokenrouter_gateway::serve(app, listener, admin, wait(stopped.clone(), 1), wait(stopped, 2)).await;
    if let Some(simulator) = simulator {
        simulator.abort();
    }
    tell!("stopped");
    Ok(())
}

async fn wait(mut stopped: watch::Receiver<u8>, times: u8) {
    // An error means that nobody can say stop any more, which is to stop as well.
    let _ = stopped.wait_for(|told| *told >= times).await;
}

/// Connections that the system holds until they are taken. With the usual 128 some of a thousand at once are reset.
const BACKLOG: u32 = 4_096;

pub(super) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    bind(address).await.map_err(|error| Failure::Other(format!("cannot listen on {address}: {error}")))
}

async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let mut failed = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into()))
}

fn start_log(settings: &Settings) {
    let filter = EnvFilter::new(format!("{},hyper=warn,rustls=warn", settings.log_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if settings.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}

/// The first start makes a workspace and a key, which is shown once.
async fn bootstrap(store: &Store) -> Result<(), Failure> {
    let given = std::env::var("TOKENROUTER_BOOTSTRAP_KEY").ok().filter(|key| !key.is_empty());
    if given.as_ref().is_some_and(|key| !key.starts_with("tr_") || key.len() < 8) {
        return Err(Failure::of("TOKENROUTER_BOOTSTRAP_KEY must begin with tr_ and have at least 8 characters"));
    }
    let new_key = new_key();
    let bootstrap = store.bootstrap(given.as_deref(), &new_key, now_ms()).await.map_err(Failure::of)?;
    match bootstrap.key {
        BootstrapKey::Generated(_) => {
            tell!("your API key, shown this once:");
            output::key(&new_key, "`tokenrouter keys create` makes another")?;
        }
        BootstrapKey::Given(_) | BootstrapKey::Existing => {}
        BootstrapKey::Revoked => {
            tell!("warning: the key in TOKENROUTER_BOOTSTRAP_KEY was revoked and stays revoked");
        }
    }
    Ok(())
}

/// Starts the simulator and puts it in the place of every provider, under the providers' own names.
async fn simulate(
    settings: &mut Settings,
    stopped: watch::Receiver<u8>,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let listener = listen("127.0.0.1:0").await?;
    let address = listener.local_addr().map_err(Failure::of)?;
    let mut providers: Vec<ProviderOptions> = Vec::new();
    for provider in settings.options.providers.drain(..) {
        // What listens on this very machine is real, and stays: it stands beside the simulator.
        providers.push(if tokenrouter_upstream::is_loopback(&provider.base_url) {
            provider
        } else {
            simulated(&provider.name, provider.kind, address, provider.models)
        });
    }
    for model in Catalog::builtin().models() {
        if providers.iter().any(|known| known.name == model.provider) {
            continue;
        }
        let kind = Kind::parse(&model.provider).unwrap_or(Kind::OpenAiCompatible);
        providers.push(simulated(&model.provider, kind, address, Vec::new()));
    }
    settings.options.providers = providers;
    // Nothing real is reached, with nobody's key.
    settings.options.known_providers.clear();
    tell!("simulator on http://{address}");
    let task = tokio::spawn(async move {
        // The simulator outlives the gateway's last request: it is dropped with the process.
        let _stopped = stopped;
        let options = tokenrouter_simulator::Options::default();
        if let Err(error) = tokenrouter_simulator::serve(listener, options, std::future::pending()).await {
            tracing::error!(%error, "the simulator failed");
        }
    });
    Ok(task)
}

fn simulated(
    name: &str,
    kind: Kind,
    address: SocketAddr,
    models: Vec<tokenrouter_routing::ModelInfo>,
) -> ProviderOptions {
    let version = if kind == Kind::Gemini { "v1beta" } else { "v1" };
    ProviderOptions {
        name: name.to_owned(),
        kind,
        base_url: format!("http://{address}/{name}/{version}"),
        key: Some("simulated".into()),
        auth: kind.auth(),
        models,
        simulated: true,
    }
}
