//! `tokenrouter simulator`.

use super::Failure;
use super::output::tell;
use super::serve::listen;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(super) struct SimulatorArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    listen: String,
    /// Milliseconds between the pieces of a streamed answer.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    token_delay_ms: u64,
}

pub(super) async fn run(args: SimulatorArgs) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::of)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::of)?;
    let listener = listen(&args.listen).await?;
    let address = listener.local_addr().map_err(Failure::of)?;
    tell!("simulator on http://{address}");
    let options = tokenrouter_simulator::Options { token_delay: Duration::from_millis(args.token_delay_ms) };
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokenrouter_simulator::serve(listener, options, stop).await.map_err(Failure::of)
}
