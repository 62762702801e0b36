//! `tokenrouter models`.

use super::{Failure, SettingsArgs, output, table};
use serde_json::json;
use tokenrouter_gateway::report::abilities_json;
use tokenrouter_gateway::set_abilities;
use tokenrouter_routing::{Catalog, ModelInfo, Task};

#[derive(clap::Args)]
pub(super) struct ModelsArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only models of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// How able each is, over all tasks and at those of which more is known, from 0 to 1.
    #[arg(long)]
    abilities: bool,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ModelsArgs) -> Result<(), Failure> {
    let settings = args.settings.load_all(None)?;
    let known = Catalog::builtin().models().iter().filter(|m| args.provider.as_ref().is_none_or(|p| *p == m.provider));
    let mut models: Vec<ModelInfo> = known.cloned().collect();
    set_abilities(&mut models, &settings.options.abilities);
    if let (Some(provider), true) = (&args.provider, models.is_empty()) {
        return Err(Failure::Other(format!("the catalog has no provider `{provider}`")));
    }
    if args.abilities && !args.json {
        return print_abilities(&models);
    }
    for model in &models {
        let name = format!("{}/{}", model.provider, model.id);
        let prices = model.price.as_ref().map(|p| (p.input_usd_per_million(), p.output_usd_per_million()));
        if args.json {
            output::line(
                json!({ "id": name, "context_window": model.context_window, "max_output_tokens": model.max_output_tokens,
                        "input_usd_per_million": prices.map(|p| p.0), "output_usd_per_million": prices.map(|p| p.1),
                        "abilities": abilities_json(model), "deprecated_on": model.deprecated_on,
                        "source": model.source }),
            )?;
        } else {
            let price =
                prices.map_or_else(|| "price unknown".to_owned(), |(i, o)| format!("${i} in, ${o} out per million"));
            output::line(format_args!("{name}\t{} tokens\t{price}", model.context_window))?;
        }
    }
    Ok(())
}

fn print_abilities(models: &[ModelInfo]) -> Result<(), Failure> {
    let number = |ability: f32| format!("{ability:.2}");
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            let by_task = Task::ALL.into_iter().map(|task| model.quality_by_task.get(&task));
            let by_task = by_task.map(|ability| ability.copied().map_or_else(|| "-".to_owned(), number));
            let name = format!("{}/{}", model.provider, model.id);
            [name, number(model.quality)].into_iter().chain(by_task).chain([model.quality_source.clone()]).collect()
        })
        .collect();
    let tasks: Vec<String> = Task::ALL.into_iter().map(|task| task.as_str().to_uppercase()).collect();
    let headings: Vec<&str> =
        ["MODEL", "OVERALL"].into_iter().chain(tasks.iter().map(String::as_str)).chain(["SOURCE"]).collect();
    table::print(&headings, &rows)
}
