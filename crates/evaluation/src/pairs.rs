//! Every pair of models that are apart, each told apart by a predictor that never saw the two: one pair says little, since
//! which it is decides much.

use crate::common::{Common, Known};
use crate::domain::Domain;
use crate::outcomes::Outcomes;
use crate::pair::{PairReport, Tradeoff};
use crate::parts::Parts;
use crate::report::{Interval, Options, OptionsError, told};
use crate::sight::Sight;

use serde::Serialize;

/// Pairs whose scores are no further apart than this have no gap to recover.
const APART: f64 = 0.05;

/// What costs more than this share of another costs about as much.
const CHEAPER: f64 = 0.75;

#[derive(Clone, Debug, Serialize)]
pub struct PairApgr {
    pub strong: String,
    pub weak: String,
    /// Of their mean scores.
    pub gap: f64,
    /// Where one ability of each is known, and nothing else.
    pub apgr: f64,
    /// Where its ability at each task that the gateway recognises is known, as a table of abilities tells it.
    pub apgr_by_task: f64,
}

/// How the APGR of all pairs is spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub least: f64,
    pub quartiles: [f64; 3],
    pub most: f64,
    pub below_0_55: usize,
    pub below_0_50: usize,
}

/// A pair that a rule names, whatever comes of it.
#[derive(Clone, Debug, Serialize)]
pub struct ByRule {
    pub strong: String,
    pub weak: String,
    pub apgr: Option<Interval>,
    pub apgr_by_task: Option<Interval>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PairsReport {
    pub pairs: Vec<PairApgr>,
    pub spread: Spread,
    pub spread_by_task: Spread,
    /// The same with the prompts dealt out anew among the outcomes of each part, so that they tell nothing.
    pub dealt_out: Spread,
    pub dealt_out_by_task: Spread,
    /// The best model over the worst.
    pub best_over_worst: ByRule,
    /// The best model over the cheaper one whose cost is nearest to half of its.
    pub best_over_half_cost: ByRule,
}

/// # Errors
/// When the options ask for what is not there.
pub fn all_pairs(outcomes: &Outcomes, options: &Options) -> Result<PairsReport, OptionsError> {
    let parts = Parts::of(outcomes, options)?;
    let dealt = outcomes.dealt_out([&parts.train, &parts.rows], options.seed);
    let (real, nothing) = (Ground::new(outcomes, &parts, options), Ground::new(&dealt, &parts, options));
    let mut by_score: Vec<usize> = parts.pool.clone();
    by_score.sort_by(|a, b| real.mean(*b).total_cmp(&real.mean(*a)));
    let apart = |strong: usize, weak: usize| real.mean(strong) - real.mean(weak) > APART;
    let pairs: Vec<(usize, usize)> = by_score
        .iter()
        .flat_map(|strong| by_score.iter().map(move |weak| (*strong, *weak)))
        .filter(|(strong, weak)| apart(*strong, *weak))
        .collect();
    let (Some(best), Some(worst)) = (by_score.first(), by_score.last()) else { return Err(OptionsError::OneModel) };
    if pairs.is_empty() {
        return Err(OptionsError::Nothing { what: "tell apart: no two models are more than 0.05 apart" });
    }
    let share = |model: usize| real.cost(model) / real.cost(*best).max(1e-12);
    let far = |model: &usize| (share(*model) * 2.0).max(1e-12).ln().abs();
    let cheaper = by_score.iter().filter(|model| share(**model) <= CHEAPER);
    let half = cheaper.min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(worst);
    let (told, nothing) = (real.all(&pairs), nothing.all(&pairs));
    let spread = |of: &[[f64; 2]], which: usize| Spread::of(of.iter().map(|both| both[which]).collect());
    let named = |model: usize| outcomes.models[model].clone();
    Ok(PairsReport {
        spread: spread(&told, 0),
        spread_by_task: spread(&told, 1),
        dealt_out: spread(&nothing, 0),
        dealt_out_by_task: spread(&nothing, 1),
        best_over_worst: real.by_rule(*best, *worst, options),
        best_over_half_cost: real.by_rule(*best, *half, options),
        pairs: pairs
            .iter()
            .zip(&told)
            .map(|((strong, weak), both)| PairApgr {
                strong: named(*strong),
                weak: named(*weak),
                gap: real.mean(*strong) - real.mean(*weak),
                apgr: both[0],
                apgr_by_task: both[1],
            })
            .collect(),
    })
}

struct Ground<'a> {
    outcomes: &'a Outcomes,
    parts: &'a Parts,
    sight: Sight<'a>,
    /// Of each row that is measured on.
    likeness: Vec<f32>,
    seed: u64,
}

impl<'a> Ground<'a> {
    fn new(outcomes: &'a Outcomes, parts: &'a Parts, options: &Options) -> Self {
        let sight = Sight::of(outcomes);
        let domain = Domain::of(outcomes, &sight.features, &parts.train).alone();
        let likeness = parts.rows.iter().map(|row| domain.weigh(&sight.features[*row]).weight).collect();
        Self { outcomes, parts, sight, likeness, seed: options.seed }
    }

    fn score(&self, row: usize, model: usize) -> f64 {
        self.outcomes.rows[row].outcomes[model].map_or(0.0, |outcome| f64::from(outcome.score))
    }

    fn mean(&self, model: usize) -> f64 {
        self.parts.rows.iter().map(|row| self.score(*row, model)).sum::<f64>() / self.parts.rows.len() as f64
    }

    fn cost(&self, model: usize) -> f64 {
        let costs = self.parts.rows.iter().filter_map(|row| Some(self.outcomes.rows[*row].outcomes[model]?.cost));
        costs.sum::<f64>() / self.parts.rows.len() as f64
    }

    /// By the abilities over all, and by those at each task.
    fn tradeoffs(&self, strong: usize, weak: usize) -> [Vec<Tradeoff>; 2] {
        let Parts { train, rows, pool, .. } = self.parts;
        let others: Vec<usize> = pool.iter().copied().filter(|model| *model != strong && *model != weak).collect();
        let common = Common::learn(&self.sight, train, &others, self.seed);
        let known = [strong, weak].map(|model| Known::of(&self.sight, train, model));
        let told = |expect: &dyn Fn(usize, f32, &Known) -> f32| -> Vec<Tradeoff> {
            let of = |(row, likeness): (&usize, &f32)| {
                let [for_strong, for_weak] = known.each_ref().map(|known| expect(*row, *likeness, known));
                let (strong, weak) = (self.score(*row, strong), self.score(*row, weak));
                Tradeoff { strong, weak, for_strong: f64::from(for_strong - for_weak) }
            };
            rows.iter().zip(&self.likeness).map(of).collect()
        };
        [
            told(&|row, likeness, known| common.expect(&self.sight, row, likeness, known)),
            told(&|row, likeness, known| common.expect_at(&self.sight, row, likeness, known)),
        ]
    }

    /// The APGR of each pair, both ways; on as many processors as there are.
    fn all(&self, pairs: &[(usize, usize)]) -> Vec<[f64; 2]> {
        let one = |(strong, weak): &(usize, usize)| {
            self.tradeoffs(*strong, *weak).map(|prompts| {
                let order = PairReport::order(&prompts);
                PairReport::of(&prompts, &order, &vec![1.0; prompts.len()]).map_or(0.5, |report| report.apgr)
            })
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let parts = pairs.chunks(pairs.len().div_ceil(threads).max(1));
            let running: Vec<_> =
                parts.map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
            running
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn by_rule(&self, strong: usize, weak: usize, options: &Options) -> ByRule {
        let [apgr, apgr_by_task] = self.tradeoffs(strong, weak).map(|prompts| told(&prompts, options).1);
        let name = |model: usize| self.outcomes.models[model].clone();
        ByRule { strong: name(strong), weak: name(weak), apgr, apgr_by_task }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get((share * values.len().saturating_sub(1) as f64).round() as usize).copied();
        let at = |share: f64| at(share).unwrap_or_default();
        let below = |least: f64| values.iter().filter(|value| **value < least).count();
        Self {
            least: at(0.0),
            quartiles: [at(0.25), at(0.5), at(0.75)],
            most: at(1.0),
            below_0_55: below(0.55),
            below_0_50: below(0.5),
        }
    }
}
