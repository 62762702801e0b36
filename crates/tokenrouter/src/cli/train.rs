//! `tokenrouter train`: a predictor for the gateway, learned from outcomes of the operator's own prompts.

use super::evaluate::{of_file, read};
use super::output::{self, tell};
use super::{Failure, SettingsArgs};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokenrouter_evaluation::{LEAST_OUTCOMES, Trained};
use tokenrouter_gateway::{known_models, names_model};
use tokenrouter_routing::{ModelInfo, Predictor};

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
    /// The same seed and outcomes, the same predictor, by the same build.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let settings = args.settings.load(None)?;
    if args.out.is_dir() {
        return Err(of_file(&args.out, &"it is a folder"));
    }
    let outcomes = read(&args.file)?;
    let Trained { predictor, weight, left_out } =
        tokenrouter_evaluation::train(&outcomes, args.seed).map_err(Failure::of)?;
    let bytes = predictor.write().map_err(Failure::of)?;
    // What a gateway would refuse takes no predictor's place.
    let predictor = Predictor::read(&bytes).map_err(Failure::of)?;
    write(&args.out, &bytes).map_err(|error| of_file(&args.out, &error))?;
    let known = known_models(&settings.options.providers);
    let of = |name: &str| known.iter().filter(|model| names_model(name, model)).collect::<Vec<&ModelInfo>>();
    let (found, unknown): (Vec<&str>, Vec<&str>) =
        predictor.models().iter().map(|model| model.model.as_str()).partition(|name| !of(name).is_empty());
    if args.json {
        return output::line(json!({
            "prompts": predictor.prompts(), "weight": weight, "models": found, "unknown_models": unknown,
            "left_out": left_out.iter().map(|(model, _)| model).collect::<Vec<_>>(), "bytes": bytes.len(),
            "file": args.out.display().to_string(),
        }));
    }
    tell!(
        "learned from {} prompts what models are good at: {} of {} are known; mean weight on the prompts themselves {weight:.2}",
        predictor.prompts(),
        found.len(),
        predictor.models().len()
    );
    for (model, answered) in &left_out {
        tell!("warning: {} is left out: {answered} outcomes, and {LEAST_OUTCOMES} are the least", output::shown(model));
    }
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.iter().map(|name| output::shown(name)).collect();
        tell!("warning: neither the catalog nor your settings have {}", unknown.join(", "));
    }
    for (place, name) in found.iter().enumerate() {
        for other in &found[..place] {
            if of(name).iter().any(|model| of(other).contains(model)) {
                let (name, other) = (output::shown(name), output::shown(other));
                tell!(
                    "warning: {other} and {name} are names of one model; one with its provider counts before one without"
                );
            }
        }
    }
    tell!("{} is written; name it in the settings: [routing] predictor = \"...\"", args.out.display());
    Ok(())
}

/// Whole or not at all: a gateway may be reading the one before.
fn write(out: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // A link stays one: what it names is replaced.
    file.persist(std::fs::canonicalize(out).unwrap_or_else(|_| out.to_owned()))?;
    Ok(())
}

/// Nothing in it is secret, and a gateway may run as another user.
fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}
