//! `tokenrouter migrate`: brings the database to this program's schema, as every start does by itself.

use super::output::tell;
use super::{Failure, SettingsArgs, open_store};

#[derive(clap::Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: MigrateArgs) -> Result<(), Failure> {
    let store = open_store(&args.settings.load(None)?).await?;
    let version = store.schema_version().await.map_err(Failure::of)?;
    store.close().await;
    tell!("the database is of schema {version}, which this program knows");
    Ok(())
}
