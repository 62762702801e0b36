//! `tokenrouter route "prompt"`: where a request would go, with these settings, and why.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, find_workspace, open_store, table};
use serde_json::{Value, json};
use tokenrouter_gateway::{App, dry_run};

#[derive(clap::Args)]
pub(super) struct RouteArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Whose routing rules hold. Without a workspace yet, there are none.
    #[arg(long, default_value = "default")]
    workspace: String,
    /// As requests name it: auto, auto:cost, gpt-4o, openai/gpt-4o:quality.
    #[arg(long, default_value = "auto")]
    model: String,
    /// Print the whole answer, as POST /v1/route gives it.
    #[arg(long)]
    json: bool,
    prompt: String,
}

pub(super) async fn run(args: RouteArgs) -> Result<(), Failure> {
    let settings = args.settings.load_all(None)?;
    let store = open_store(&settings).await?;
    let workspace_id = if args.workspace == "default" {
        let found = store.find_workspace(&args.workspace).await.map_err(Failure::of)?;
        found.map_or(0, |workspace| workspace.workspace_id)
    } else {
        find_workspace(&store, &args.workspace).await?
    };
    let app = App::idle(store, settings.options).await.map_err(Failure::of)?;
    let body = json!({ "model": args.model, "input": args.prompt });
    let route = dry_run(&app, workspace_id, body).map_err(|error| Failure::Other(error.message))?;
    if args.json {
        return output::line(route);
    }
    tell!(
        "mode {}, task {}, confidence {:.2}, difficulty {:.2} ({:.2} by its signs alone), about {} tokens of answer",
        table::cell(&route, "mode"),
        table::cell(&route, "task"),
        route["confidence"].as_f64().unwrap_or_default(),
        route["difficulty"].as_f64().unwrap_or_default(),
        route["difficulty_prior"].as_f64().unwrap_or_default(),
        table::cell(&route, "expected_output_tokens"),
    );
    let weight = route["predictor_weight"].as_f64().unwrap_or_default();
    if weight > 0.0 {
        tell!("like the prompts that the predictor learned from by {weight:.2} (0 to 1): so much it counts");
    }
    for rule in route["routing_rules"].as_array().into_iter().flatten() {
        tell!("routing rule {rule} matched");
    }
    for warning in route["warnings"].as_array().into_iter().flatten() {
        tell!("warning: {}", output::shown(&table::cell(warning, "message")));
    }
    for hit in route["firewall"]["hits"].as_array().into_iter().flatten() {
        let (name, action) = (output::shown(&table::cell(hit, "name")), table::cell(hit, "action"));
        tell!("firewall rule {} \"{name}\" would {action}", hit["rule_id"]);
    }
    let rows = ["candidates", "filtered"].into_iter().flat_map(|list| route[list].as_array().into_iter().flatten());
    let rows: Vec<_> = rows.map(row).collect();
    let headings = ["PROVIDER", "MODEL", "UTILITY", "ABILITY", "COST", "QUALITY", "LATENCY", "USD", "MS", "WHY NOT"];
    table::print(&headings, &rows)
}

fn row(candidate: &Value) -> Vec<String> {
    let score = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"));
    let scores = &candidate["scores"];
    vec![
        table::cell(candidate, "provider"),
        table::cell(candidate, "model"),
        score(&candidate["utility"]),
        score(&candidate["ability"]),
        score(&scores["cost"]),
        score(&scores["quality"]),
        score(&scores["latency"]),
        candidate["estimated_cost_usd"].as_f64().map_or_else(|| "-".to_owned(), |usd| format!("{usd:.6}")),
        candidate["estimated_latency_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
        why_not(candidate),
    ]
}

fn why_not(candidate: &Value) -> String {
    match candidate["ejected"]["reason"].as_str() {
        Some(reason) => format!("ejected: {reason}"),
        None => table::cell(candidate, "filter"),
    }
}
