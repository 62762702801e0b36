//! `tokenrouter workspaces list|limit|set`.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, find_workspace, open_store, table};
use clap::Subcommand;
use serde_json::{Value, json};
use tokenrouter_gateway::{read_workspace_settings, workspace_json};
use tokenrouter_store::WorkspaceRow;

#[derive(Subcommand)]
pub(super) enum WorkspacesCommand {
    /// List the workspaces, what all keys of each may do together, and what they set.
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long)]
        json: bool,
    },
    /// Limit what all keys of a workspace may do together. Running gateways notice within a second.
    Limit {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        #[command(flatten)]
        limits: Box<LimitArgs>,
        #[arg(long)]
        json: bool,
    },
    /// Set how a workspace's requests are handled. Running gateways notice within a second.
    Set {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// From which confidence on, 0 to 100, its routing rules on `task` fire; `none`: as in the gateway's settings.
        #[arg(long, value_name = "N", value_parser = limit, required = true)]
        task_confidence_percent: Value,
        #[arg(long)]
        json: bool,
    },
}

/// What is not given stays as it is; `none` takes a limit away.
#[derive(clap::Args)]
pub(super) struct LimitArgs {
    #[arg(long, value_name = "N", value_parser = limit)]
    requests_per_minute: Option<Value>,
    #[arg(long, value_name = "N", value_parser = limit)]
    tokens_per_minute: Option<Value>,
    /// Requests at the same time.
    #[arg(long, value_name = "N", value_parser = limit)]
    max_in_flight: Option<Value>,
    /// Tokens by calendar month, in UTC.
    #[arg(long, value_name = "N", value_parser = limit)]
    monthly_tokens: Option<Value>,
    /// US dollars by calendar month, in UTC.
    #[arg(long, value_name = "USD", value_parser = limit)]
    monthly_budget_usd: Option<Value>,
}

fn limit(text: &str) -> Result<Value, &'static str> {
    match text {
        "none" => Ok(Value::Null),
        _ => serde_json::from_str(text).ok().filter(Value::is_number).ok_or("must be a number, or `none`"),
    }
}

const COLUMNS: [&str; 5] =
    ["requests_per_minute", "tokens_per_minute", "max_in_flight", "monthly_tokens", "monthly_budget_usd"];

impl LimitArgs {
    fn fields(self) -> Value {
        let given = [
            self.requests_per_minute,
            self.tokens_per_minute,
            self.max_in_flight,
            self.monthly_tokens,
            self.monthly_budget_usd,
        ];
        let mut fields = json!({});
        for (field, limit) in COLUMNS.into_iter().zip(given) {
            if let Some(limit) = limit {
                fields[field] = limit;
            }
        }
        fields
    }
}

pub(super) async fn run(command: WorkspacesCommand) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::List { settings, json } => {
            let store = open_store(&settings.load(None)?).await?;
            let rows = store.list_workspaces().await.map_err(Failure::of)?;
            print(&rows, json)
        }
        WorkspacesCommand::Limit { settings, workspace, limits, json } => {
            change(&settings, &workspace, limits.fields(), json).await
        }
        WorkspacesCommand::Set { settings, workspace, task_confidence_percent, json } => {
            let fields = json!({ "task_confidence_percent": task_confidence_percent });
            change(&settings, &workspace, fields, json).await
        }
    }
}

async fn change(settings: &SettingsArgs, workspace: &str, fields: Value, json: bool) -> Result<(), Failure> {
    let store = open_store(&settings.load(None)?).await?;
    let id = find_workspace(&store, workspace).await?;
    let row =
        store.change_workspace(id, |before| read_workspace_settings(fields, before)).await.map_err(Failure::of)?;
    let row = row.ok_or_else(|| Failure::of("the workspace has gone"))?;
    let row = row.map_err(|error| Failure::Other(error.message))?;
    store.close().await;
    tell!("workspace {workspace}:");
    print(&[row], json)
}

fn print(rows: &[WorkspaceRow], json: bool) -> Result<(), Failure> {
    if json {
        return output::line(Value::from(rows.iter().map(workspace_json).collect::<Vec<_>>()));
    }
    let cells = |row: &WorkspaceRow| {
        let shown = workspace_json(row);
        let mut cells = vec![row.id.to_string(), row.name.clone()];
        let columns = COLUMNS.into_iter().chain(["task_confidence_percent"]);
        cells.extend(columns.map(|column| table::cell(&shown, column)));
        cells
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    table::print(
        &["ID", "NAME", "REQUESTS/MIN", "TOKENS/MIN", "IN FLIGHT", "TOKENS/MONTH", "USD/MONTH", "TASK %"],
        &rows,
    )
}
