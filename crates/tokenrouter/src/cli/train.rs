//! `tokenrouter train`: a predictor for the gateway, learned from outcomes of the operator's own prompts.

use super::evaluate::{of_file, read};
use super::output::{self, tell};
use super::{Failure, SettingsArgs};
use serde_json::json;
use std::path::PathBuf;
use tokenrouter_evaluation::{LEAST_OUTCOMES, Trained};
use tokenrouter_gateway::names_model;
use tokenrouter_routing::{Catalog, ModelInfo};

/// Learns which model answers which prompt well, from outcomes of your own prompts, for `routing.predictor`.
#[derive(clap::Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Outcomes, as `tokenrouter evaluate` takes them; what is marked `"split": "test"` is not learned from.
    file: PathBuf,
    /// Where to write the predictor.
    #[arg(long, value_name = "PREDICTOR")]
    out: PathBuf,
    /// The same seed and outcomes, the same predictor.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let settings = args.settings.load(None)?;
    let outcomes = read(&args.file)?;
    let Trained { predictor, left_out } = tokenrouter_evaluation::train(&outcomes, args.seed).map_err(Failure::of)?;
    let bytes = predictor.write().map_err(Failure::of)?;
    // Whole or not at all: a gateway may be reading the one before.
    let mut beside = args.out.clone().into_os_string();
    beside.push(".new");
    std::fs::write(&beside, &bytes)
        .and_then(|()| std::fs::rename(&beside, &args.out))
        .map_err(|error| of_file(&args.out, &error))?;
    let own = settings.options.providers.iter().flat_map(|provider| &provider.models);
    let known: Vec<&ModelInfo> = Catalog::builtin().models().iter().chain(own).collect();
    let is_known = |name: &str| known.iter().any(|model| names_model(name, model));
    let (found, unknown): (Vec<&str>, Vec<&str>) =
        predictor.models().iter().map(|model| model.model.as_str()).partition(|name| is_known(name));
    if args.json {
        return output::line(json!({
            "prompts": predictor.prompts(), "models": found, "unknown_models": unknown,
            "left_out": left_out.iter().map(|(model, _)| model).collect::<Vec<_>>(), "bytes": bytes.len(),
            "file": args.out.display().to_string(),
        }));
    }
    tell!("learned from {} prompts what {} models are good at", predictor.prompts(), predictor.models().len());
    for (model, answered) in &left_out {
        tell!("warning: {} is left out: {answered} outcomes, and {LEAST_OUTCOMES} are the least", output::shown(model));
    }
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.iter().map(|name| output::shown(name)).collect();
        tell!("warning: neither the catalog nor your settings have {}", unknown.join(", "));
    }
    tell!("{} is written; name it in the settings: [routing] predictor = \"...\"", args.out.display());
    Ok(())
}
