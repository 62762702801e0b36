//! The curve of cost and quality, and what lies under it.
//!
//! As RouterBench has it (Hu et al., 2024, arXiv:2403.12031): the points that a router can reach, their non-decreasing
//! convex hull, and its mean height between the costs of the cheapest and the dearest single model (AIQ).

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// US dollars a prompt, in the mean.
    pub cost: f64,
    /// The mean score, 0 to 1.
    pub quality: f64,
}

/// A hull: rising, and ever less steeply. What lies between two points is reached by taking each for a part of the
/// prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curve(Vec<Point>);

impl Curve {
    #[must_use]
    pub fn hull(points: &[Point]) -> Self {
        Self(corners(points).iter().filter_map(|at| points.get(*at).copied()).collect())
    }

    /// Through these points as they are, in the order of their costs: no hull.
    #[must_use]
    pub fn through(points: &[Point]) -> Self {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        Self(points)
    }

    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.0
    }

    /// The best quality at no more than this cost; what costs less than the first point is worth as much as that.
    #[must_use]
    pub fn at(&self, cost: f64) -> f64 {
        let after = self.0.partition_point(|point| point.cost <= cost);
        match (after.checked_sub(1).and_then(|i| self.0.get(i)), self.0.get(after)) {
            (Some(a), Some(b)) => a.quality + (b.quality - a.quality) * (cost - a.cost) / (b.cost - a.cost),
            (Some(a), None) => a.quality,
            (None, first) => first.map_or(0.0, |first| first.quality),
        }
    }

    /// The least cost of this quality, if it is reached.
    #[must_use]
    pub fn cost_of(&self, quality: f64) -> Option<f64> {
        let reached = self.0.iter().position(|point| point.quality >= quality - 1e-12)?;
        let b = self.0.get(reached)?;
        let Some(a) = reached.checked_sub(1).and_then(|i| self.0.get(i)) else { return Some(b.cost) };
        Some(a.cost + (b.cost - a.cost) * (quality - a.quality) / (b.quality - a.quality))
    }

    /// The mean height between these costs.
    #[must_use]
    pub fn mean_between(&self, low: f64, high: f64) -> f64 {
        if high <= low {
            return self.at(high);
        }
        let mut corners: Vec<f64> = self.0.iter().map(|point| point.cost).filter(|c| (low..high).contains(c)).collect();
        corners.extend([low, high]);
        corners.sort_by(f64::total_cmp);
        let area: f64 = corners
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) * f64::midpoint(self.at(pair[0]), self.at(pair[1])))
            .sum();
        area / (high - low)
    }
}

/// Which points are the hull's, from the cheapest to the dearest.
pub(crate) fn corners(points: &[Point]) -> Vec<usize> {
    let mut sorted: Vec<(usize, Point)> = points.iter().copied().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
    let mut hull: Vec<(usize, Point)> = Vec::new();
    for (at, point) in sorted {
        if hull.last().is_some_and(|(_, last)| point.quality <= last.quality) {
            continue;
        }
        while let [.., (_, a), (_, b)] = hull[..] {
            let rise = |from: Point, to: Point| (to.quality - from.quality, to.cost - from.cost);
            let ((q1, c1), (q2, c2)) = (rise(a, b), rise(b, point));
            if q1 * c2 > q2 * c1 {
                break;
            }
            hull.pop();
        }
        hull.push((at, point));
    }
    hull.into_iter().map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(pairs: &[(f64, f64)]) -> Vec<Point> {
        pairs.iter().map(|(cost, quality)| Point { cost: *cost, quality: *quality }).collect()
    }

    #[test]
    fn a_hull_leaves_out_what_a_mixture_beats() {
        let hull = Curve::hull(&points(&[(1.0, 0.2), (2.0, 0.25), (3.0, 0.8), (4.0, 0.7), (5.0, 0.9)]));
        assert_eq!(hull.points(), points(&[(1.0, 0.2), (3.0, 0.8), (5.0, 0.9)]));
        assert!((hull.at(2.0) - 0.5).abs() < 1e-12);
        assert!((hull.at(9.0) - 0.9).abs() < 1e-12);
        assert!((hull.cost_of(0.85).unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(hull.cost_of(0.95), None);
        // Two trapezia: (0.2 + 0.8) / 2 × 2 and (0.8 + 0.9) / 2 × 2, over 4.
        assert!((hull.mean_between(1.0, 5.0) - (1.0 + 1.7) / 4.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_hull_is_above_every_point_and_more_points_never_lower_it(
            pairs in prop::collection::vec((0.0_f64..10.0, 0.0_f64..1.0), 1..40),
        ) {
            let all = points(&pairs);
            let (hull, fewer) = (Curve::hull(&all), Curve::hull(&all[..all.len().div_ceil(2)]));
            for point in &all {
                prop_assert!(hull.at(point.cost) >= point.quality - 1e-9);
                prop_assert!(hull.at(point.cost) >= fewer.at(point.cost) - 1e-9 || point.cost < fewer.points()[0].cost);
            }
            prop_assert!(hull.points().windows(2).all(|w| w[0].cost < w[1].cost && w[0].quality < w[1].quality));
        }
    }
}
