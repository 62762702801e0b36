//! `tokenrouter evaluate`: how good a choice is, on outcomes that are known, or on what the workspace's log tells.

use super::output::{self, tell};
use super::{Failure, SettingsArgs, evaluate_requests, find_workspace, open_store};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tokenrouter_evaluation::{
    ByRule, Interval, Options, Outcomes, PairsReport, Report, Spread, all_pairs, evaluate, svg,
};

/// Learns from one part of known outcomes and measures on the rest; or sums up what the log and the feedback tell.
#[derive(clap::Args)]
pub(super) struct EvaluateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Outcomes, a JSON object a line: {"prompt", "group", "split": "train"|"test", "models": {NAME: {"score", "cost"}}}.
    #[arg(required_unless_present = "requests", conflicts_with = "requests")]
    file: Option<PathBuf>,
    /// The strong model and the weak one: how well are the prompts told apart that need the first?
    #[arg(long, num_args = 2, value_names = ["STRONG", "WEAK"])]
    pair: Option<Vec<String>>,
    /// Instead: the same for every pair of models that are apart, by a predictor that never saw the two.
    #[arg(long, conflicts_with_all = ["pair", "leave_out", "leave_one_out", "plot", "requests"])]
    all_pairs: bool,
    /// Learn from all groups but this one, and measure on it.
    #[arg(long, value_name = "GROUP", conflicts_with = "leave_one_out")]
    leave_out: Option<String>,
    /// The same for each group in turn.
    #[arg(long)]
    leave_one_out: bool,
    /// What is not drawn by lot: the same seed, the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much is kept apart of what the file says nothing of.
    #[arg(long, default_value_t = 0.3, value_parser = share)]
    held_out: f64,
    /// Of the prompts, for the intervals.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    resamples: usize,
    /// Where to draw the curve of cost and quality.
    #[arg(long, value_name = "FILE.svg", conflicts_with = "leave_one_out")]
    plot: Option<PathBuf>,
    /// Sum up the workspace's own requests instead of a file.
    #[arg(long)]
    requests: bool,
    #[arg(long, default_value = "default")]
    workspace: String,
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "must be a number between 0 and 1".to_owned())
}

pub(super) async fn run(args: EvaluateArgs) -> Result<(), Failure> {
    let Some(file) = &args.file else {
        let store = open_store(&args.settings.load(None)?).await?;
        let workspace = find_workspace(&store, &args.workspace).await?;
        return evaluate_requests::run(&store, workspace, args.json).await;
    };
    let outcomes = read(file)?;
    if args.all_pairs {
        let (seed, held_out, resamples) = (args.seed, args.held_out, args.resamples);
        let options = Options { seed, held_out, resamples, ..Options::default() };
        let report = all_pairs(&outcomes, &options).map_err(Failure::of)?;
        return if args.json {
            output::line(serde_json::to_string(&report).map_err(Failure::of)?)
        } else {
            output::line(pairs_text(&report))
        };
    }
    let groups: Vec<Option<String>> = if args.leave_one_out {
        outcomes.groups.iter().cloned().map(Some).collect()
    } else {
        vec![args.leave_out.clone()]
    };
    for leave_out in groups {
        let pair = args.pair.as_deref().and_then(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone())));
        let (seed, held_out, resamples) = (args.seed, args.held_out, args.resamples);
        let options = Options { seed, held_out, resamples, pair, leave_out: leave_out.clone() };
        let report = evaluate(&outcomes, &options).map_err(Failure::of)?;
        if let Some(plot) = &args.plot {
            std::fs::write(plot, svg(&report)).map_err(|error| of_file(plot, &error))?;
            tell!("the curve is in {}", plot.display());
        }
        match (args.json, &leave_out) {
            (true, None) => output::line(serde_json::to_string(&report).map_err(Failure::of)?)?,
            (true, Some(group)) => {
                output::line(serde_json::json!({ "left_out": group, "report": report }))?;
            }
            (false, None) => output::line(text(&report))?,
            (false, Some(group)) => output::line(format_args!("without {group}\n{}", text(&report)))?,
        }
    }
    Ok(())
}

pub(super) fn of_file(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

pub(super) fn read(file: &Path) -> Result<Outcomes, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| of_file(file, &error))?;
    Outcomes::read(&text).map_err(|error| of_file(file, &error))
}

fn interval(interval: &Interval) -> String {
    format!("{:.4}  [{:.4}, {:.4}]", interval.value, interval.low, interval.high)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut text, report);
    text
}

fn write_text(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "learned from {} prompts, measured on {} others ({} left out: not answered by all {} models); likeness {:.2}",
        report.learned_from,
        report.measured_on,
        report.left_out,
        report.models.len(),
        report.likeness
    )?;
    writeln!(out, "\nAIQ, the mean quality over the range of cost  [95 % interval]")?;
    writeln!(out, "  router                {}", interval(&report.aiq_router))?;
    writeln!(out, "  best mixture          {}", interval(&report.aiq_mixture))?;
    writeln!(out, "  router above mixture  {}", interval(&report.aiq_gain))?;
    writeln!(out, "  gateway's forecast    {}", interval(&report.aiq_forecast))?;
    writeln!(out, "  forecast over mixture {}", interval(&report.forecast_gain))?;
    writeln!(out, "  router above chance   {}", interval(&report.aiq_above_chance))?;
    writeln!(out, "  chance                {:.4}", report.aiq_chance)?;
    writeln!(out, "  oracle                {:.4}", report.aiq_oracle)?;
    let best = &report.best_single;
    writeln!(
        out,
        "\nbest single model: {}, score {:.4} at ${:.6} a prompt",
        output::shown(&best.model),
        best.point.quality,
        best.point.cost
    )?;
    for saving in &report.savings {
        let router = saving.router.as_ref().map_or_else(
            || "not reached".to_owned(),
            |saved| {
                let percent = [saved.value, saved.low, saved.high].map(|share| 100.0 * share);
                format!("{:.0} %  [{:.0}, {:.0}]", percent[0], percent[1], percent[2])
            },
        );
        let mixture = saving.mixture.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share.max(0.0)));
        writeln!(out, "  cost saved at {} % of its score: {router}; by a mixture {mixture}", saving.percent)?;
    }
    if let Some(pair) = &report.pair {
        writeln!(out, "\npair: {} over {}", output::shown(&pair.strong), output::shown(&pair.weak))?;
        for (name, report, apgr) in
            [("learned from", &pair.seen, &pair.seen_apgr), ("never seen", &pair.unseen, &pair.unseen_apgr)]
        {
            let (Some(report), Some(apgr)) = (report, apgr) else {
                writeln!(out, "  {name}: nothing to tell; the first is no better here")?;
                continue;
            };
            let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |s| format!("{:.0} %", 100.0 * s));
            writeln!(
                out,
                "  {name}: APGR {}  CPT(50 %) {}  CPT(80 %) {}",
                interval(apgr),
                share(report.cpt_50),
                share(report.cpt_80)
            )?;
        }
    }
    Ok(())
}

fn pairs_text(report: &PairsReport) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_pairs(&mut text, report);
    text
}

fn write_pairs(out: &mut String, report: &PairsReport) -> std::fmt::Result {
    let pairs = report.pairs.len();
    writeln!(
        out,
        "APGR of {pairs} pairs of models more than 0.05 apart, each by a predictor that never saw the two; 0.5 by chance"
    )?;
    writeln!(out, "                         least   1/4    1/2    3/4    most   below 0.55   below 0.5")?;
    for (name, spread) in [
        ("one ability each", &report.spread),
        ("abilities by task", &report.spread_by_task),
        ("prompts that tell nothing", &report.dealt_out),
        ("  and by task", &report.dealt_out_by_task),
    ] {
        let Spread { least, quartiles: [first, middle, third], most, below_0_55, below_0_50 } = spread;
        writeln!(
            out,
            "{name:<25} {least:.3}  {first:.3}  {middle:.3}  {third:.3}  {most:.3}  {below_0_55:>10}  {below_0_50:>10}"
        )?;
    }
    for (name, rule) in
        [("best over worst", &report.best_over_worst), ("best over half its cost", &report.best_over_half_cost)]
    {
        let ByRule { strong, weak, apgr, apgr_by_task } = rule;
        let told = |apgr: &Option<Interval>| apgr.as_ref().map_or_else(|| "no better here".to_owned(), interval);
        let (strong, weak) = (output::shown(strong), output::shown(weak));
        writeln!(out, "\n{name}: {strong} over {weak}")?;
        writeln!(out, "  one ability each   {}\n  abilities by task  {}", told(apgr), told(apgr_by_task))?;
    }
    Ok(())
}
