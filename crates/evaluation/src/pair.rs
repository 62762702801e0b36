//! Two models, a strong and a weak one: which prompts need the strong one?
//!
//! As RouteLLM has it (Ong et al., 2024, arXiv:2406.18665). The performance gap recovered (PGR) at a share of strong
//! calls is how far the quality is from the weak model's towards the strong one's; APGR is its mean over all shares,
//! 0.5 by chance; CPT(x) is the least share of strong calls that recovers x of the gap.

use serde::Serialize;

/// What each of the two scored on a prompt, and how much the router would give for the strong one.
#[derive(Clone, Copy, Debug)]
pub struct Tradeoff {
    pub strong: f64,
    pub weak: f64,
    pub for_strong: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PairReport {
    pub prompts: usize,
    pub strong_quality: f64,
    pub weak_quality: f64,
    pub apgr: f64,
    /// 0 to 1; none if it is never recovered.
    pub cpt_50: Option<f64>,
    pub cpt_80: Option<f64>,
}

impl PairReport {
    /// `times`: how often each prompt counts. None where the strong model is no better.
    pub(crate) fn of(prompts: &[Tradeoff], order: &[usize], times: &[f64]) -> Option<Self> {
        let all: f64 = times.iter().sum();
        let mean = |of: fn(&Tradeoff) -> f64| prompts.iter().zip(times).map(|(p, n)| n * of(p)).sum::<f64>() / all;
        let (strong, weak) = (mean(|p| p.strong), mean(|p| p.weak));
        let gap = strong - weak;
        if gap <= 1e-9 {
            return None;
        }
        let (mut calls, mut recovered, mut area) = (0.0, 0.0, 0.0);
        let mut cpt = [(0.5, None), (0.8, None)];
        // Of those for which as much would be given, any one may come first: between the ends of them it is a straight
        // line, in whatever order they stood in the file.
        for equals in order.chunk_by(|a, b| prompts[*a].for_strong.total_cmp(&prompts[*b].for_strong).is_eq()) {
            let share: f64 = equals.iter().map(|at| times[*at] / all).sum();
            let gain: f64 =
                equals.iter().map(|at| times[*at] / all * (prompts[*at].strong - prompts[*at].weak) / gap).sum();
            for (wanted, found) in &mut cpt {
                if found.is_none() && recovered + gain >= *wanted - 1e-9 {
                    *found = Some(calls + share * ((*wanted - recovered) / gain).clamp(0.0, 1.0));
                }
            }
            area += share * (recovered + gain / 2.0);
            recovered += gain;
            calls += share;
        }
        Some(Self {
            prompts: prompts.len(),
            strong_quality: strong,
            weak_quality: weak,
            apgr: area,
            cpt_50: cpt[0].1,
            cpt_80: cpt[1].1,
        })
    }

    /// Those first for which most would be given.
    pub(crate) fn order(prompts: &[Tradeoff]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by(|a, b| prompts[*b].for_strong.total_cmp(&prompts[*a].for_strong));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(for_strong: impl Fn(usize) -> f64) -> PairReport {
        // The strong model is needed for every fourth.
        let prompts: Vec<Tradeoff> = (0..400)
            .map(|i| Tradeoff { strong: 1.0, weak: f64::from(u8::from(i % 4 != 0)), for_strong: for_strong(i) })
            .collect();
        PairReport::of(&prompts, &PairReport::order(&prompts), &vec![1.0; 400]).unwrap()
    }

    #[test]
    fn knowing_all_is_near_one_knowing_nothing_is_a_half_and_knowing_wrong_is_below() {
        let perfect = report(|i| f64::from(u8::from(i % 4 == 0)));
        assert!((perfect.apgr - (1.0 - 0.125)).abs() < 1e-9, "{perfect:?}");
        let close = |share: Option<f64>, wanted: f64| share.is_some_and(|share| (share - wanted).abs() < 1e-9);
        assert!(close(perfect.cpt_50, 0.125) && close(perfect.cpt_80, 0.2), "{perfect:?}");
        assert!((report(|_| 0.0).apgr - 0.5).abs() < 1e-9);
        assert!((report(|i| f64::from(u8::from(i % 4 != 0))).apgr - 0.125).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_the_file_says_nothing_of_prompts_for_which_as_much_would_be_given() {
        for hard_first in [true, false] {
            let prompts: Vec<Tradeoff> = (0..400)
                .map(|i| Tradeoff { strong: 1.0, weak: f64::from(u8::from((i < 200) != hard_first)), for_strong: 0.25 })
                .collect();
            let report = PairReport::of(&prompts, &PairReport::order(&prompts), &vec![1.0; 400]).unwrap();
            assert!((report.apgr - 0.5).abs() < 1e-9, "{report:?}");
            let close = |share: Option<f64>, wanted: f64| share.is_some_and(|share| (share - wanted).abs() < 1e-9);
            assert!(close(report.cpt_50, 0.5) && close(report.cpt_80, 0.8), "{report:?}");
        }
    }

    #[test]
    fn there_is_nothing_to_recover_where_the_strong_one_is_no_better() {
        let same = [Tradeoff { strong: 0.5, weak: 0.5, for_strong: 1.0 }];
        assert_eq!(PairReport::of(&same, &[0], &[1.0]), None);
    }
}
