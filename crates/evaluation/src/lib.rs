//! How good a choice of models is, on outcomes that are known: prompts, and what each model scored and cost on each.
//!
//! It learns a predictor on one part of the outcomes and measures it on the rest: the curve of cost and quality and what
//! lies under it, what is saved, and how a pair of models is told apart; each beside what a person could do without a
//! router, and with intervals. Pure: values in, values out, and everything follows from a seed.

// Counts become shares here, and weights are kept small on purpose.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod background;
mod common;
mod curve;
mod domain;
mod gateway;
mod outcomes;
mod pair;
mod pairs;
mod parts;
mod plot;
mod report;
mod seed;
mod sight;
mod train;

pub use background::background_of;
pub use curve::{Curve, Point};
pub use outcomes::{Outcomes, ReadError, Split};
pub use pair::{PairReport, Tradeoff};
pub use pairs::{ByRule, PairApgr, PairsReport, Spread, all_pairs};
pub use plot::svg;
pub use report::{Interval, Options, OptionsError, Report, Single, evaluate};
pub use train::{LEAST_OUTCOMES, Trained, train};
