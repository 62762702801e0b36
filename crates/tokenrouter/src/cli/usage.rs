//! `tokenrouter usage`.

use super::requests::FilterArgs;
use super::{Failure, SettingsArgs, find_workspace, open_store, output, table, tell_of_waiting_records};
use clap::ValueEnum;
use tokenrouter_gateway::report::usage_json;
use tokenrouter_store::UsageGroup;

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Day,
    Model,
    Provider,
    Key,
}

#[derive(clap::Args)]
pub(super) struct UsageArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[arg(long, default_value = "default")]
    workspace: String,
    /// What the requests are put together by.
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// A JSON object a line.
    #[arg(long)]
    json: bool,
}

const COLUMNS: [(&str, &str); 7] = [
    ("GROUP", "group"),
    ("REQUESTS", "requests"),
    ("ANSWERED", "answered_requests"),
    ("INPUT", "input_tokens"),
    ("OUTPUT", "output_tokens"),
    ("USD", "cost_usd"),
    ("UNPRICED", "unpriced_requests"),
];

pub(super) async fn run(args: UsageArgs) -> Result<(), Failure> {
    let store = open_store(&args.settings.load(None)?).await?;
    tell_of_waiting_records(&store);
    let id = find_workspace(&store, &args.workspace).await?;
    let group = match args.by {
        By::Day => UsageGroup::Day,
        By::Model => UsageGroup::Model,
        By::Provider => UsageGroup::Provider,
        By::Key => UsageGroup::Key,
    };
    let rows = store.usage(id, args.filter.filter(), group).await.map_err(Failure::of)?;
    let mut rows = rows.iter().map(usage_json);
    if args.json {
        return rows.try_for_each(output::line);
    }
    let cells = rows.map(|row| COLUMNS.iter().map(|(_, field)| table::cell(&row, field)).collect());
    table::print(&COLUMNS.map(|(heading, _)| heading), &cells.collect::<Vec<_>>())
}
