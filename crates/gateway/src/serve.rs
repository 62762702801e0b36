//! Listening, and stopping without cutting anybody off for as long as there is time: what runs in the background
//! is waited for too. What is cut when the time is over is told so, and recorded: **the store is closed last.**

use crate::app::App;
use crate::clock::now_ms;
use crate::connections;
use crate::http::{Surface, router};
use crate::pipeline::background::Stop;
use futures_util::FutureExt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How often changes by other processes (the command line) are looked for.
const WATCH: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How long requests that are cut may take to say so, to whoever still reads.
const CUT_TIME: Duration = Duration::from_secs(3);
/// How long it may take until every request that was cut has left its record.
const RECORD_TIME: Duration = Duration::from_secs(2);
/// How long nothing is accepted when the system has no more to give, such as files.
const NO_RESOURCES: Duration = Duration::from_secs(1);

/// Serves until `stop` is done; then says that it is not ready, takes no new connections once the settings' delay is
/// over, lets running requests finish, those in the background too, for as
/// long as the drain limit allows or until `hurry` is done, and flushes the store. What manages a workspace is answered
/// on `admin` alone, where there is one.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    stop: impl Future<Output = ()> + Send + 'static,
    hurry: impl Future<Output = ()> + Send + 'static,
) {
    let watcher = tokio::spawn(watch(Arc::clone(&app)));
    tokio::task::spawn_blocking(tokenrouter_routing::warm_up);
    let (stopping, _) = watch::channel(false);
    let hurry = hurry.shared();
    let mut connections = accept(&app, listener, admin, leaving(&app, stop, hurry.clone()), &stopping).await;
    app.sessions.stop();
    stopping.send_replace(true);
    let finished = tokio::select! {
        () = until_idle(&app, &mut connections) => true,
        () = tokio::time::sleep(app.drain) => false,
        () = hurry => false,
    };
    if !finished {
        tracing::warn!("requests were still running when the time to drain was over");
        app.cut.send_replace(Some(Stop::Shutdown));
        let idle = timeout(CUT_TIME, until_idle(&app, &mut connections));
        let (_, idle) = tokio::join!(app.background.stop_all(), idle);
        if idle.is_err() {
            tracing::warn!("connections whose callers read nothing were dropped");
        }
        connections.shutdown().await;
        if timeout(RECORD_TIME, app.until_recorded()).await.is_err() {
            tracing::error!("requests were still running when the store was closed: they are not in the ledger");
        }
    }
    watcher.abort();
    app.store.close().await;
}

/// Until no connection is to be taken any more. Readiness goes first, so that whoever sends requests here can stop it
/// before they are refused.
async fn leaving(app: &App, stop: impl Future<Output = ()>, hurry: impl Future<Output = ()>) {
    stop.await;
    app.stopping.store(true, Ordering::Relaxed);
    // An error means that the time is over.
    let _ = timeout(app.stop_delay, hurry).await;
}

/// Takes connections until `stop` is done; gives those that are open then.
async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    stop: impl Future<Output = ()>,
    stopping: &watch::Sender<bool>,
) -> JoinSet<()> {
    let surface = if admin.is_some() { Surface::Using } else { Surface::Everything };
    let (using, managing) = (router(Arc::clone(app), surface), router(Arc::clone(app), Surface::Managing));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (accepted, router) = tokio::select! {
            biased;
            () = stop.as_mut() => return connections,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accepted(admin.as_ref()) => (accepted, &managing),
            accepted = listener.accept() => (accepted, &using),
        };
        if let Some(stream) = taken(accepted).await {
            let served = connections::serve(stream, router.clone(), app.connections, stopping.subscribe());
            connections.spawn(served);
        }
    }
}

/// So much may wait unsent in the system's buffer, in bytes. By its own measure that takes megabytes, and a
/// third of it must have gone before it takes more: a slow caller could not be told from one that takes nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_UNSENT: u32 = 16 * 1024;

/// Where the system has no such bound, `write_timeout` is to be longer than a slow caller takes for that third.
fn hold_little(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MOST_UNSENT) {
        tracing::debug!(%error, "the buffer of a connection could not be bounded");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// Without a listener, never.
async fn accepted(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, std::net::SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn taken(accepted: std::io::Result<(TcpStream, std::net::SocketAddr)>) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            hold_little(&stream);
            Some(stream)
        }
        // Of the one connection, which is gone.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        Err(error) => {
            tracing::error!(%error, "no connection could be accepted");
            tokio::time::sleep(NO_RESOURCES).await;
            None
        }
    }
}

/// Until no request runs any more. One with an `Idempotency-Key` goes on when its connection has ended.
async fn until_idle(app: &App, connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
    app.sessions.until_closed().await;
    app.background.until_idle().await;
    app.until_recorded().await;
}

async fn watch(app: Arc<App>) {
    let mut forgiven = Instant::now();
    let mut expired: Option<Instant> = None;
    loop {
        tokio::time::sleep(WATCH).await;
        match app.store.recover().await {
            Ok(charges) => app.charge_left(&charges),
            Err(error) => tracing::error!(%error, "the database cannot be written to; records wait in the spool"),
        }
        if let Err(error) = app.end_abandoned().await {
            tracing::error!(%error, "responses that a gateway before has left could not be ended");
        }
        if forgiven.elapsed() >= MINUTE {
            forgiven = Instant::now();
            app.learned.forgive();
        }
        if app.snapshot.load().captures_any() && expired.is_none_or(|at| at.elapsed() >= MINUTE) {
            expired = Some(Instant::now());
            if let Err(error) = app.store.expire_captures(now_ms()).await {
                tracing::error!(%error, "prompts and answers whose time is over could not be deleted");
            }
        }
        if let Err(error) = app.snapshot.refresh_if_changed(&app.store).await {
            tracing::error!(%error, "keys and rules could not be looked up; the last known ones stay in force");
        }
    }
}
