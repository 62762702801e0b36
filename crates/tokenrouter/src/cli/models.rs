//! `tokenrouter models`.

use super::{Failure, output};
use serde_json::json;
use tokenrouter_routing::Catalog;

#[derive(clap::Args)]
pub(super) struct ModelsArgs {
    /// Only models of this provider.
    #[arg(long)]
    provider: Option<String>,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ModelsArgs) -> Result<(), Failure> {
    let models = Catalog::builtin().models().iter().filter(|m| args.provider.as_ref().is_none_or(|p| *p == m.provider));
    let mut count = 0;
    for model in models {
        count += 1;
        let name = format!("{}/{}", model.provider, model.id);
        let prices = model.price.as_ref().map(|p| (p.input_usd_per_million(), p.output_usd_per_million()));
        if args.json {
            output::line(
                json!({ "id": name, "context_window": model.context_window, "max_output_tokens": model.max_output_tokens,
                        "input_usd_per_million": prices.map(|p| p.0), "output_usd_per_million": prices.map(|p| p.1),
                        "deprecated_on": model.deprecated_on,
                        "source": model.source }),
            )?;
        } else {
            let price =
                prices.map_or_else(|| "price unknown".to_owned(), |(i, o)| format!("${i} in, ${o} out per million"));
            output::line(format_args!("{name}\t{} tokens\t{price}", model.context_window))?;
        }
    }
    match (&args.provider, count) {
        (Some(provider), 0) => Err(Failure::Other(format!("the catalog has no provider `{provider}`"))),
        _ => Ok(()),
    }
}
