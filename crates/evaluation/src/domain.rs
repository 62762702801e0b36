//! How much a prompt is like those that were learned from: like one of their groups, and unlike requests of all kinds.

use crate::background::Background;
use crate::outcomes::Outcomes;
use tokenrouter_routing::{
    MOST_GROUPS, Predictor, PredictorWeights, PromptFeatures, SKILLS, feature_rows, near_row, near_rows,
};

/// As `tokenrouter_routing::PredictorWeights` has them.
pub(crate) struct Domain {
    pub like: Vec<f32>,
    pub like_all: f32,
    pub near_rows: Vec<[f32; 1 + MOST_GROUPS]>,
    pub near: [f32; 2],
}

/// Of the prompts that were learned from, so many of a hundred are taken to be less than wholly like them.
const UNLIKE_PERCENT: usize = 25;
/// The share of prompts that have a feature counts as if so many requests of all kinds were among them.
const SMOOTH: f32 = 20.0;
/// Half as near to a group as those is not near at all.
const NONE: f32 = 0.5;

impl Domain {
    pub fn of(outcomes: &Outcomes, features: &[PromptFeatures], rows: &[usize]) -> Self {
        let (like, like_all) = like(features, rows);
        let (near_rows, near) = near(&groups(outcomes, rows), features, rows);
        Self { like, like_all, near_rows, near }
    }

    /// A predictor that knows of no model, and so can tell only what a prompt is like.
    pub fn alone(self) -> Predictor {
        let Self { like, like_all, near_rows, near } = self;
        let (ease, skills) = (vec![0.0; feature_rows()], vec![[0.0; SKILLS]; feature_rows()]);
        Predictor::of(PredictorWeights {
            prompts: 0,
            models: Vec::new(),
            like,
            like_all,
            ease,
            skills,
            near_rows,
            near,
        })
    }
}

/// What three quarters of the prompts have at least.
fn usual(mut own: Vec<f32>) -> f32 {
    own.sort_by(f32::total_cmp);
    own.get(own.len() * UNLIKE_PERCENT / 100).copied().unwrap_or_default()
}

/// For each row of the table of features how much it speaks for a prompt like these, against requests of all kinds: the
/// logarithm of the ratio of their shares, as in naive Bayes. For the counts nothing. And the mean of a prompt's features
/// from which on it is wholly like them.
fn like(features: &[PromptFeatures], rows: &[usize]) -> (Vec<f32>, f32) {
    let mut hits = vec![0.0_f32; feature_rows()];
    for bucket in rows.iter().flat_map(|row| features[*row].buckets()) {
        hits[bucket] += 1.0;
    }
    let all = hits.iter().sum::<f32>();
    let smooth = SMOOTH * all / rows.len().max(1) as f32;
    let share = |hits: f32, background: f32| (hits + smooth * background) / (all + smooth);
    let ratio = |(hits, background): (&f32, f32)| (share(*hits, background) / background).ln();
    let mut like: Vec<f32> = hits.iter().zip(Background::builtin().shares()).map(ratio).collect();
    like.resize(feature_rows(), 0.0);
    let mean = |row: &usize| {
        let buckets = features[*row].buckets();
        let count = buckets.len().max(1) as f32;
        buckets.map(|bucket| like[bucket]).sum::<f32>() / count
    };
    let like_all = usual(rows.iter().map(mean).collect()).max(1e-3);
    (like, like_all)
}

/// For each of the rows the number of its group: the largest groups, and all others as one.
fn groups(outcomes: &Outcomes, rows: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0_usize; outcomes.groups.len()];
    rows.iter().for_each(|row| sizes[outcomes.rows[*row].group] += 1);
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by_key(|group| std::cmp::Reverse(sizes[*group]));
    let mut number = vec![0; sizes.len()];
    by_size.iter().enumerate().for_each(|(place, group)| number[*group] = place.min(MOST_GROUPS - 1));
    rows.iter().map(|row| number[outcomes.rows[*row].group]).collect()
}

/// The rows of the table of groups, and between which cosines to the nearest group a prompt begins to be and is wholly like
/// it. A row counts the more the fewer prompts have it (tf-idf).
fn near(groups: &[usize], features: &[PromptFeatures], rows: &[usize]) -> (Vec<[f32; 1 + MOST_GROUPS]>, [f32; 2]) {
    let mut hits = vec![0.0_f32; near_rows()];
    let mut shares = vec![[0.0_f32; MOST_GROUPS]; near_rows()];
    let mut sizes = [0.0_f32; MOST_GROUPS];
    for (row, group) in rows.iter().zip(groups) {
        sizes[*group] += 1.0;
        for at in features[*row].buckets().map(near_row) {
            hits[at] += 1.0;
            shares[at][*group] += 1.0;
        }
    }
    let all = rows.len() as f32;
    let counts: Vec<f32> = hits.iter().map(|hits| ((all + 1.0) / (hits + 1.0)).ln().max(0.0)).collect();
    let mut squares = [1e-9_f32; MOST_GROUPS];
    for (shares, counts) in shares.iter_mut().zip(&counts) {
        for ((share, size), square) in shares.iter_mut().zip(&sizes).zip(&mut squares) {
            *share *= counts / size.max(1.0);
            *square += *share * *share;
        }
    }
    let row = |(shares, counts): (&[f32; MOST_GROUPS], &f32)| {
        std::array::from_fn(|column| match column.checked_sub(1) {
            None => counts * counts,
            Some(group) => counts * shares[group] / squares[group].sqrt(),
        })
    };
    let table: Vec<[f32; 1 + MOST_GROUPS]> = shares.iter().zip(&counts).map(row).collect();
    let cosine = |(row, group): (&usize, &usize)| {
        let at = || features[*row].buckets().map(near_row);
        let length = at().map(|at| table[at][0]).sum::<f32>().sqrt().max(1e-6);
        at().map(|at| table[at][1 + group]).sum::<f32>() / length
    };
    let own = usual(rows.iter().zip(groups).map(cosine).collect());
    (table, [NONE * own, own.max(1e-3)])
}
