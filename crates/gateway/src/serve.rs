//! Listening, and stopping without cutting anybody off: what runs in the background is waited for too.

use crate::app::App;
use crate::http::router;
use axum::serve::ListenerExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How often changes by other processes (the command line) are looked for.
const WATCH: Duration = Duration::from_secs(1);

/// Serves until `stop` is done; then takes no new connections, lets running requests finish, those in the background too, for as
/// long as the drain limit allows, and flushes the store.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let watcher = tokio::spawn(watch(Arc::clone(&app)));
    let (stopping, stopped) = oneshot::channel();
    let signal = {
        let app = Arc::clone(&app);
        async move {
            stop.await;
            app.stopping.store(true, Ordering::Relaxed);
            app.sessions.stop();
            let _ = stopping.send(());
        }
    };
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let service = router(Arc::clone(&app)).into_make_service();
    let server = axum::serve(listener, service).with_graceful_shutdown(signal);
    let drain = app.drain;
    let deadline = async move {
        if stopped.await.is_ok() {
            tokio::time::sleep(drain).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        result = async {
            let result = server.await;
            app.sessions.until_closed().await;
            app.background.until_idle().await;
            result
        } => result,
        () = deadline => {
            tracing::warn!("requests were still running when the time to drain was over");
            Ok(())
        }
    };
    app.background.stop_all().await;
    watcher.abort();
    app.store.close().await;
    result
}

async fn watch(app: Arc<App>) {
    loop {
        tokio::time::sleep(WATCH).await;
        if let Err(error) = app.snapshot.refresh_if_changed(&app.store).await {
            tracing::error!(%error, "keys and rules could not be looked up; the last known ones stay in force");
        }
    }
}
