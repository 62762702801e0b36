//! Whether a prompt is like those that were learned from.

use crate::features::{BUCKETS, Features};
use std::collections::BTreeMap;

/// What it learned from, group by group: how often each bucket is hit.
pub(crate) struct Domain {
    groups: Vec<Vec<f32>>,
    /// Rarer buckets count more.
    weight: Vec<f32>,
    /// Likeness to a group: at or under the first it is none, from the second on it is all.
    none: f32,
    all: f32,
}

/// Of the prompts that were learned from, so many of a hundred are taken to be less than wholly like their own group.
const UNLIKE_PERCENT: usize = 25;
/// Half as like as those is not like it at all.
const NONE: f32 = 0.5;

impl Domain {
    /// Of prompts with the number of their group.
    pub fn of(prompts: &[(usize, &Features)]) -> Self {
        let mut hits = vec![0.0_f32; BUCKETS];
        let mut groups: BTreeMap<usize, (f32, Vec<f32>)> = BTreeMap::new();
        for (group, features) in prompts {
            let (size, counts) = groups.entry(*group).or_insert_with(|| (0.0, vec![0.0; BUCKETS]));
            *size += 1.0;
            for bucket in &features.buckets {
                hits[*bucket as usize] += 1.0;
                counts[*bucket as usize] += 1.0;
            }
        }
        let all = prompts.len() as f32;
        let weight: Vec<f32> = hits.iter().map(|hits| ((all + 1.0) / (hits + 1.0)).ln()).collect();
        let groups: BTreeMap<usize, Vec<f32>> = groups
            .into_iter()
            .map(|(group, (size, mut counts))| {
                counts.iter_mut().zip(&weight).for_each(|(count, weight)| *count *= weight / size);
                let length = counts.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
                counts.iter_mut().for_each(|count| *count /= length);
                (group, counts)
            })
            .collect();
        let mut domain = Self { groups: Vec::new(), weight, none: 0.0, all: 0.0 };
        let mut own: Vec<f32> =
            prompts.iter().filter_map(|(group, features)| Some(domain.to(groups.get(group)?, features))).collect();
        own.sort_by(f32::total_cmp);
        domain.all = own.get(own.len() * UNLIKE_PERCENT / 100).copied().unwrap_or(0.0);
        domain.none = NONE * domain.all;
        domain.groups = groups.into_values().collect();
        domain
    }

    /// The cosine between the prompt and the group.
    fn to(&self, group: &[f32], features: &Features) -> f32 {
        let (mut product, mut square) = (0.0, 1e-9_f32);
        for bucket in &features.buckets {
            let weight = self.weight[*bucket as usize];
            product += weight * group[*bucket as usize];
            square += weight * weight;
        }
        product / square.sqrt()
    }

    /// 0 to 1: how like the prompt is to the group that it is most like.
    pub fn likeness(&self, features: &Features) -> f32 {
        let nearest = self.groups.iter().map(|group| self.to(group, features)).fold(0.0, f32::max);
        ((nearest - self.none) / (self.all - self.none).max(1e-9)).clamp(0.0, 1.0)
    }
}
