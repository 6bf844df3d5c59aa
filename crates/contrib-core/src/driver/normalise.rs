//! The proximities of all parts of one whole, normalised to contributions.

use super::plan::GroupPlan;
use crate::options::kept;

/// By what proximities are multiplied where their sum is beyond `f64`: enough for as many parts as there can be.
const BEYOND: f64 = 1.0 / (1_u128 << 64) as f64;

/// How contributions are made and where they go, the same for every batch item.
#[derive(Clone, Copy)]
pub(super) struct Normaliser<'a> {
    pub(super) groups: &'a [GroupPlan],
    /// Contributions that are not greater become 0.
    pub(super) threshold: f64,
}

/// The sum, in eight parts that are added apart and then in order, which hides the latency of addition.
fn sum(numbers: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let (full, rest) = numbers.as_chunks::<8>();
    for eight in full {
        for (sum, number) in sums.iter_mut().zip(eight) {
            *sum += term(*number);
        }
    }
    for (sum, number) in sums.iter_mut().zip(rest) {
        *sum += term(*number);
    }
    sums.iter().sum()
}

impl Normaliser<'_> {
    /// Makes contributions of the proximities of all parts to the whole with this index, in the same memory, and writes them.
    /// `candidates` has as many slots as [`most_candidates`](super::plan::most_candidates) says. Returns whether their sum `is_accurate`: otherwise nothing
    /// has changed.
    pub(super) fn finish(
        &self,
        item: usize,
        proximities: &mut [f64],
        candidates: &mut [usize],
        is_accurate: impl Fn(f64) -> bool,
    ) -> bool {
        let mut total = sum(proximities, |proximity| proximity);
        if !is_accurate(total) {
            return false;
        }
        let mut scale = 1.0;
        if total.is_infinite() {
            scale = BEYOND;
            total = sum(proximities, |proximity| proximity * scale);
        }
        let threshold = self.threshold;
        let share = |proximity: f64| kept(proximity * scale / total, threshold);
        let left = if threshold == 0.0 { 1.0 } else { sum(proximities, share) };
        for proximity in &mut *proximities {
            *proximity = share(*proximity) / left;
        }
        let mut contributions = proximities;
        for group in self.groups {
            let (own, others) = contributions.split_at_mut(group.count);
            contributions = others;
            // SAFETY: the results of a batch item are written by one task, once, and their views outlive the call.
            unsafe { group.results.write(item, own, candidates) };
        }
        true
    }
}
