//! The whole measurement: learned on one part, told of the other.

use crate::common::{Common, Known};
use crate::curve::{Curve, Point, corners};
use crate::gateway::{Gateway, Seen};
use crate::outcomes::{Outcome, Outcomes};
use crate::pair::{PairReport, Tradeoff};
use crate::parts::Parts;
use crate::seed::Random;
use crate::sight::Sight;
use crate::train::train_on;
use serde::Serialize;
use tokenrouter_routing::Predictor;

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// Of the rows of which the file does not say it, so many are kept apart. 0 to 1.
    pub held_out: f64,
    pub resamples: usize,
    /// The strong model and the weak one.
    pub pair: Option<(String, String)>,
    /// Learns nothing from this group, and measures on nothing else.
    pub leave_out: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, held_out: 0.3, resamples: 1_000, pair: None, leave_out: None }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    #[error("there is no model `{name}`; there are {known}")]
    NoModel { name: String, known: String },
    #[error("there is no group `{name}`; there are {known}")]
    NoGroup { name: String, known: String },
    #[error("no model has {least} outcomes that are not kept apart")]
    TooFew { least: usize },
    #[error("there are more than {most} models")]
    TooMany { most: usize },
    #[error("there is nothing to {what}")]
    Nothing { what: &'static str },
    #[error("fewer than two models answered every prompt that is kept apart")]
    OneModel,
    #[error("`{name}` did not answer every prompt that is kept apart")]
    NotAnswered { name: String },
}

/// A figure, and between which two 95 of 100 resamples of the prompts have it. The settings that make a curve, and the
/// best single model, are those of all prompts: a resample that chose them anew would choose by its own luck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Single {
    pub model: String,
    #[serde(flatten)]
    pub point: Point,
}

#[derive(Clone, Debug, Serialize)]
pub struct Saving {
    /// Of the best single model's quality.
    pub percent: u32,
    /// Of the best single model's cost, 0 to 1; none if the quality is not reached.
    pub router: Option<Interval>,
    pub mixture: Option<f64>,
}

/// The pair told apart by a predictor that learned from both, and by one that learned from neither.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    pub strong: String,
    pub weak: String,
    pub seen: Option<PairReport>,
    pub seen_apgr: Option<Interval>,
    pub unseen: Option<PairReport>,
    pub unseen_apgr: Option<Interval>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub learned_from: usize,
    pub measured_on: usize,
    /// Rows that were kept apart and that some model of the pool did not answer.
    pub left_out: usize,
    pub models: Vec<Single>,
    pub best_single: Single,
    /// A model by lot among the cheapest one, two, three and so on: what chance gives.
    pub chance: Vec<Point>,
    pub aiq_router: Interval,
    /// By the gateway's own forecast, which learned nothing from these outcomes but the mean score of each model at each task
    /// that the gateway recognises.
    pub aiq_forecast: Interval,
    /// What that is above the mixture.
    pub forecast_gain: Interval,
    /// Of the best mixture of single models: their hull.
    pub aiq_mixture: Interval,
    pub aiq_chance: f64,
    pub aiq_oracle: f64,
    /// What the router is above chance.
    pub aiq_above_chance: Interval,
    /// What the router is above the mixture.
    pub aiq_gain: Interval,
    pub savings: Vec<Saving>,
    pub pair: Option<Pair>,
    /// How much the prompts are like those that were learned from, in the mean: 0 to 1.
    pub likeness: f64,
    pub router: Curve,
    pub forecast: Curve,
    pub mixture: Curve,
    pub oracle: Curve,
}

/// What a dollar is worth: the router's points are those of its choices at each of these.
const STEPS: usize = 60;

/// # Errors
/// When the options ask for what is not there.
pub fn evaluate(outcomes: &Outcomes, options: &Options) -> Result<Report, OptionsError> {
    let Parts { train, rows, left_out, pool } = Parts::of(outcomes, options)?;
    let sight = Sight::of(outcomes);
    let predictor = train_on(&sight, &train, &pool, options.seed);
    let known: Vec<Vec<Outcome>> =
        rows.iter().map(|row| pool.iter().filter_map(|model| outcomes.rows[*row].outcomes[*model]).collect()).collect();
    let costs = expected_costs(outcomes, &train, &pool, &known);
    let predicted: Vec<Vec<f32>> = rows.iter().map(|row| predict(&sight, &predictor, *row)).collect();
    let router = choices(&predicted, &costs, &known);
    let single: Vec<Vec<Outcome>> =
        (0..pool.len()).map(|model| known.iter().map(|outcomes| outcomes[model]).collect()).collect();
    let actual: Vec<Vec<f32>> =
        known.iter().map(|outcomes| outcomes.iter().map(|outcome| outcome.score).collect()).collect();
    let oracle = choices(&actual, &costs, &known);
    let gateway = Gateway::new(&sight, &train, &pool);
    let foreseen: Vec<Vec<f32>> = rows.iter().map(|row| gateway.predict(sight.seen[*row])).collect();
    let measured = Measured { router, forecast: choices(&foreseen, &costs, &known), single, oracle };
    let pair = match &options.pair {
        Some((strong, weak)) => {
            Some(pair(&sight, (&predictor, &predicted), (&train, &rows, &pool), options, (strong, weak))?)
        }
        None => None,
    };
    let likeness = rows.iter().map(|row| f64::from(predictor.weigh(&sight.features[*row]).weight)).sum::<f64>();
    let mut report = measured.report(outcomes, &pool, options);
    report.learned_from = train.len();
    report.left_out = left_out;
    report.pair = pair;
    report.likeness = likeness / rows.len() as f64;
    Ok(report)
}

/// Of each model that it was trained for, how likely it is to answer this row's prompt well: as the gateway expects it.
fn predict(sight: &Sight<'_>, predictor: &Predictor, row: usize) -> Vec<f32> {
    let Seen { task, difficulty } = sight.seen[row];
    let predicted = predictor.weigh(&sight.features[row]);
    predictor.models().iter().map(|model| Predictor::expect(model, task, difficulty, &predicted)).collect()
}

/// What each model costs in the mean where it was learned from; where it was not, on the prompts measured on, as a
/// price list would tell.
fn expected_costs(outcomes: &Outcomes, train: &[usize], pool: &[usize], known: &[Vec<Outcome>]) -> Vec<f64> {
    let mean = |costs: Vec<f64>| (!costs.is_empty()).then(|| costs.iter().sum::<f64>() / costs.len() as f64);
    pool.iter()
        .enumerate()
        .map(|(place, model)| {
            let learned = train.iter().filter_map(|row| outcomes.rows[*row].outcomes[*model]).map(|o| o.cost).collect();
            mean(learned).or_else(|| mean(known.iter().map(|outcomes| outcomes[place].cost).collect())).unwrap_or(0.0)
        })
        .collect()
}

/// For each of the values of a dollar, what is chosen for each prompt.
fn choices(quality: &[Vec<f32>], costs: &[f64], known: &[Vec<Outcome>]) -> Vec<Vec<Outcome>> {
    let most = costs.iter().copied().fold(1e-12, f64::max);
    let prices = (0..=STEPS).map(|step| match step {
        0 => 0.0,
        // From a thousandth of a whole score for the dearest model to a thousand of them.
        _ => 10_f64.powf(6.0 * (step - 1) as f64 / (STEPS - 1) as f64 - 3.0) / most,
    });
    prices
        .map(|price| {
            let of = |(quality, known): (&Vec<f32>, &Vec<Outcome>)| {
                let worth = |place: usize| f64::from(quality[place]) - price * costs[place];
                let best = (0..known.len())
                    .max_by(|a, b| worth(*a).total_cmp(&worth(*b)).then(costs[*b].total_cmp(&costs[*a])));
                known[best.unwrap_or(0)]
            };
            quality.iter().zip(known).map(of).collect()
        })
        .collect()
}

/// What was had for each prompt: by each setting of the router, by each model, and by who knows the scores.
struct Measured {
    router: Vec<Vec<Outcome>>,
    forecast: Vec<Vec<Outcome>>,
    single: Vec<Vec<Outcome>>,
    oracle: Vec<Vec<Outcome>>,
}

fn point(had: &[Outcome], times: &[f64]) -> Point {
    let mut sum = Point::default();
    let mut all = 0.0;
    for (outcome, times) in had.iter().zip(times) {
        sum.cost += times * outcome.cost;
        sum.quality += times * f64::from(outcome.score);
        all += times;
    }
    Point { cost: sum.cost / all, quality: sum.quality / all }
}

/// What was chosen by all the prompts: of the settings and of the models, those that are corners of a hull, and the best
/// model, of equals the cheapest.
struct Corners {
    router: Vec<usize>,
    forecast: Vec<usize>,
    mixture: Vec<usize>,
    best: usize,
}

/// The figures of one resample.
struct Figures {
    singles: Vec<Point>,
    best: usize,
    mixture: Curve,
    router: Curve,
    forecast: Curve,
    chance: Vec<Point>,
    range: (f64, f64),
}

/// The mean of the cheapest one, of the cheapest two, and so on.
fn chance(singles: &[Point]) -> Vec<Point> {
    let mut by_cost = singles.to_vec();
    by_cost.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let mut sum = Point::default();
    (1..)
        .zip(by_cost)
        .map(|(count, point)| {
            sum = Point { cost: sum.cost + point.cost, quality: sum.quality + point.quality };
            Point { cost: sum.cost / f64::from(count), quality: sum.quality / f64::from(count) }
        })
        .collect()
}

impl Figures {
    fn aiq(&self, curve: &Curve) -> f64 {
        curve.mean_between(self.range.0, self.range.1)
    }

    fn aiq_chance(&self) -> f64 {
        Curve::through(&self.chance).mean_between(self.range.0, self.range.1)
    }
}

impl Measured {
    fn corners(&self, times: &[f64]) -> Corners {
        let points = |of: &[Vec<Outcome>]| of.iter().map(|had| point(had, times)).collect::<Vec<Point>>();
        let singles = points(&self.single);
        let by_quality = |a: &Point, b: &Point| a.quality.total_cmp(&b.quality).then(b.cost.total_cmp(&a.cost));
        Corners {
            router: corners(&points(&self.router)),
            forecast: corners(&points(&self.forecast)),
            mixture: corners(&singles),
            best: (0..singles.len()).max_by(|a, b| by_quality(&singles[*a], &singles[*b])).unwrap_or(0),
        }
    }

    fn figures(&self, corners: &Corners, times: &[f64]) -> Figures {
        let singles: Vec<Point> = self.single.iter().map(|had| point(had, times)).collect();
        let curve = |of: &[Vec<Outcome>], corners: &[usize]| {
            Curve::through(&corners.iter().map(|at| point(&of[*at], times)).collect::<Vec<_>>())
        };
        let low = singles.iter().map(|point| point.cost).fold(f64::INFINITY, f64::min);
        let high = singles.iter().map(|point| point.cost).fold(0.0, f64::max);
        let chance = chance(&singles);
        Figures {
            mixture: curve(&self.single, &corners.mixture),
            router: curve(&self.router, &corners.router),
            forecast: curve(&self.forecast, &corners.forecast),
            singles,
            best: corners.best,
            chance,
            range: (low, high),
        }
    }

    fn report(&self, outcomes: &Outcomes, pool: &[usize], options: &Options) -> Report {
        let prompts = self.single[0].len();
        let once = vec![1.0; prompts];
        let corners = self.corners(&once);
        let figures = self.figures(&corners, &once);
        let resamples = resamples(prompts, options);
        let resampled: Vec<Figures> = resamples.iter().map(|times| self.figures(&corners, times)).collect();
        let interval = |of: &dyn Fn(&Figures) -> f64| Interval::of(of(&figures), resampled.iter().map(of).collect());
        let oracle = Curve::hull(&self.oracle.iter().map(|had| point(had, &once)).collect::<Vec<_>>());
        let name = |place: usize| outcomes.models[pool[place]].clone();
        let models: Vec<Single> =
            figures.singles.iter().enumerate().map(|(i, p)| Single { model: name(i), point: *p }).collect();
        Report {
            learned_from: 0,
            measured_on: prompts,
            left_out: 0,
            best_single: models[figures.best].clone(),
            models,
            aiq_router: interval(&|f| f.aiq(&f.router)),
            aiq_forecast: interval(&|f| f.aiq(&f.forecast)),
            forecast_gain: interval(&|f| f.aiq(&f.forecast) - f.aiq(&f.mixture)),
            aiq_mixture: interval(&|f| f.aiq(&f.mixture)),
            aiq_chance: figures.aiq_chance(),
            aiq_oracle: figures.aiq(&oracle),
            aiq_above_chance: interval(&|f| f.aiq(&f.router) - f.aiq_chance()),
            aiq_gain: interval(&|f| f.aiq(&f.router) - f.aiq(&f.mixture)),
            savings: [100, 98, 95].map(|percent| saving(&figures, &resampled, percent)).to_vec(),
            pair: None,
            likeness: 0.0,
            chance: figures.chance,
            router: figures.router,
            forecast: figures.forecast,
            mixture: figures.mixture,
            oracle,
        }
    }
}

fn saving(figures: &Figures, resampled: &[Figures], percent: u32) -> Saving {
    let saved = |figures: &Figures, curve: fn(&Figures) -> &Curve| {
        let best = figures.singles[figures.best];
        let cost = curve(figures).cost_of(best.quality * f64::from(percent) / 100.0)?;
        Some(1.0 - cost / best.cost)
    };
    let router = saved(figures, |f| &f.router).map(|value| {
        // Where a resample does not reach the quality, nothing is saved.
        let resampled = resampled.iter().map(|f| saved(f, |f| &f.router).unwrap_or(0.0)).collect();
        Interval::of(value, resampled)
    });
    Saving { percent, router, mixture: saved(figures, |f| &f.mixture) }
}

/// How often each prompt is drawn when as many are drawn as there are.
fn resamples(prompts: usize, options: &Options) -> Vec<Vec<f64>> {
    let mut random = Random::new(options.seed ^ 0x5eed);
    (0..options.resamples)
        .map(|_| {
            let mut times = vec![0.0; prompts];
            (0..prompts).for_each(|_| times[random.below(prompts)] += 1.0);
            times
        })
        .collect()
}

impl Interval {
    fn of(value: f64, mut resampled: Vec<f64>) -> Self {
        resampled.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * resampled.len().saturating_sub(1) as f64).round() as usize;
            resampled.get(place).copied().unwrap_or(value)
        };
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

fn pair(
    sight: &Sight<'_>,
    (predictor, predicted): (&Predictor, &[Vec<f32>]),
    (train, rows, pool): (&[usize], &[usize], &[usize]),
    options: &Options,
    (strong, weak): (&String, &String),
) -> Result<Pair, OptionsError> {
    let outcomes = sight.outcomes;
    let place = |name: &String| {
        let known = || outcomes.models.join(", ");
        let model = outcomes.model(name).ok_or_else(|| OptionsError::NoModel { name: name.clone(), known: known() })?;
        let place = pool.iter().position(|known| *known == model);
        place.ok_or_else(|| OptionsError::NotAnswered { name: name.clone() })
    };
    let (s, w) = (place(strong)?, place(weak)?);
    let others: Vec<usize> = pool.iter().copied().filter(|model| *model != pool[s] && *model != pool[w]).collect();
    let score = |row: usize, place: usize| outcomes.rows[row].outcomes[pool[place]].map_or(0.0, |o| f64::from(o.score));
    let tradeoffs = |for_strong: &dyn Fn(usize) -> f32| -> Vec<Tradeoff> {
        let of = |(at, row): (usize, &usize)| Tradeoff {
            strong: score(*row, s),
            weak: score(*row, w),
            for_strong: f64::from(for_strong(at)),
        };
        rows.iter().enumerate().map(of).collect()
    };
    let seen = tradeoffs(&|at| predicted[at][s] - predicted[at][w]);
    let (report, apgr) = told(&seen, options);
    let mut pair = Pair {
        strong: strong.clone(),
        weak: weak.clone(),
        seen: report,
        seen_apgr: apgr,
        unseen: None,
        unseen_apgr: None,
    };
    if !others.is_empty() {
        let common = Common::learn(sight, train, &others, options.seed);
        // Of the two it knows how able they are, as a table of abilities would tell, and nothing else.
        let known = [s, w].map(|place| Known::of(sight, train, pool[place]));
        let unseen = tradeoffs(&|at| {
            let likeness = predictor.weigh(&sight.features[rows[at]]).weight;
            let [strong, weak] = known.each_ref().map(|known| common.expect(sight, rows[at], likeness, known));
            strong - weak
        });
        (pair.unseen, pair.unseen_apgr) = told(&unseen, options);
    }
    Ok(pair)
}

pub(crate) fn told(prompts: &[Tradeoff], options: &Options) -> (Option<PairReport>, Option<Interval>) {
    let order = PairReport::order(prompts);
    let report = PairReport::of(prompts, &order, &vec![1.0; prompts.len()]);
    let resampled = resamples(prompts.len(), options);
    let apgr = |times: &Vec<f64>| PairReport::of(prompts, &order, times).map(|report| report.apgr);
    let interval = report.as_ref().map(|report| Interval::of(report.apgr, resampled.iter().filter_map(apgr).collect()));
    (report, interval)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
