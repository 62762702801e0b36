//! `tokenrouter requests list|show|tail`.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, find_workspace, open_store, table, tell_of_waiting_records};
use clap::Subcommand;
use serde_json::Value;
use std::time::Duration;
use tokenrouter_gateway::report::{captured_request_json, read_moment, request_json};
use tokenrouter_store::{LedgerEntry, RequestFilter};

/// How often the ledger is looked at for new entries.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum RequestsCommand {
    /// List requests, newest first.
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        filter: FilterArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only those before this request, in the list's order.
        #[arg(long, value_name = "REQUEST_ID")]
        after: Option<String>,
        /// A JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one request whole, as JSON: decision, attempts, warnings, usage, cost and price.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// A request's id, or a response's.
        id: String,
    },
    /// Print requests as they end, until interrupted.
    Tail {
        #[command(flatten)]
        settings: SettingsArgs,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// A JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Which requests are meant.
#[derive(clap::Args)]
pub(super) struct FilterArgs {
    /// completed, incomplete, cancelled, blocked or failed.
    #[arg(long, value_parser = ["completed", "incomplete", "cancelled", "blocked", "failed"])]
    outcome: Option<String>,
    #[arg(long)]
    provider: Option<String>,
    #[arg(long)]
    model: Option<String>,
    /// The id of the key that was used.
    #[arg(long, value_name = "ID")]
    key_id: Option<i64>,
    /// The first moment: a day as 2026-11-24, a moment as 2026-11-24T12:00:00Z, or seconds since 1970.
    #[arg(long, value_name = "WHEN", value_parser = read_moment)]
    since: Option<i64>,
    /// The first moment after.
    #[arg(long, value_name = "WHEN", value_parser = read_moment)]
    until: Option<i64>,
}

impl FilterArgs {
    pub fn filter(self) -> RequestFilter {
        RequestFilter {
            outcome: self.outcome,
            provider: self.provider,
            model: self.model,
            key_id: self.key_id,
            since_ms: self.since,
            until_ms: self.until,
        }
    }
}

const HEADINGS: [&str; 8] = ["REQUEST", "TIME", "OUTCOME", "STATUS", "MODEL", "TOKENS", "COST", "MS"];

fn row(entry: &LedgerEntry) -> Vec<String> {
    let request = request_json(entry);
    let model = match (&entry.provider, &entry.model) {
        (Some(provider), Some(model)) => format!("{provider}/{model}"),
        _ => "-".to_owned(),
    };
    vec![
        entry.request_id.clone(),
        table::cell(&request, "created_at"),
        entry.outcome.clone(),
        entry.error_code.clone().unwrap_or_else(|| entry.http_status.to_string()),
        model,
        format!("{}+{}", entry.input_tokens, entry.output_tokens),
        request["cost_usd"].as_f64().map_or_else(|| "-".to_owned(), |cost| format!("${cost:.6}")),
        entry.latency_ms.to_string(),
    ]
}

fn print(entries: &[LedgerEntry], json: bool) -> Result<(), Failure> {
    if json {
        return entries.iter().try_for_each(|entry| output::line(request_json(entry)));
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    table::print(&HEADINGS, &rows)
}

pub(super) async fn run(command: RequestsCommand) -> Result<(), Failure> {
    match command {
        RequestsCommand::List { settings, filter, workspace, limit, after, json } => {
            let store = open_store(&settings.load(None)?).await?;
            tell_of_waiting_records(&store);
            let id = find_workspace(&store, &workspace).await?;
            let found = store.find_requests(id, filter.filter(), limit, after.as_deref()).await.map_err(Failure::of)?;
            let entries =
                found.ok_or_else(|| Failure::Other(format!("there is no request `{}`", after.unwrap_or_default())))?;
            print(&entries, json)
        }
        RequestsCommand::Show { settings, workspace, id } => {
            let store = open_store(&settings.load(None)?).await?;
            tell_of_waiting_records(&store);
            let workspace_id = find_workspace(&store, &workspace).await?;
            let found = if id.starts_with("resp_") {
                store.get_request_of_response(workspace_id, &id).await
            } else {
                store.get_request(workspace_id, &id).await
            };
            let entry = found
                .map_err(Failure::of)?
                .ok_or_else(|| Failure::Other(format!("workspace {workspace} has no request `{id}`")))?;
            let capture = store.get_capture(workspace_id, &entry.request_id).await.map_err(Failure::of)?;
            let request: Value = captured_request_json(&entry, capture.as_ref()).map_err(Failure::of)?;
            output::line(format_args!("{request:#}"))
        }
        RequestsCommand::Tail { settings, workspace, json } => {
            let store = open_store(&settings.load(None)?).await?;
            tell_of_waiting_records(&store);
            let id = find_workspace(&store, &workspace).await?;
            let mut last = store.last_record().await.map_err(Failure::of)?;
            tell!("waiting for requests of workspace {workspace}");
            loop {
                let new = store.list_recorded(id, last, 1_000).await.map_err(Failure::of)?;
                last = new.last().map_or(last, |(number, _)| *number);
                let entries: Vec<_> = new.into_iter().map(|(_, entry)| entry).collect();
                if entries.is_empty() {
                    tokio::time::sleep(LOOK).await;
                } else {
                    print(&entries, json)?;
                }
            }
        }
    }
}
