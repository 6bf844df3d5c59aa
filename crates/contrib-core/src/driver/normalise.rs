//! The proximities of all parts of one whole, normalised to contributions.

use super::plan::GroupPlan;
use crate::dispatch::{EntryPoint, entry_point};
use crate::kernels::shares::{Shares, SharesArguments, Sum};
use crate::options::{Options, kept};

/// By what proximities are multiplied where their sum is beyond `f64`: enough for as many parts as there can be.
const BEYOND: f64 = 1.0 / (1_u128 << 64) as f64;

/// How contributions are made and where they go, the same for every batch item.
#[derive(Clone, Copy)]
pub(super) struct Normaliser<'a> {
    pub(super) groups: &'a [GroupPlan<'a>],
    /// Contributions that are not greater become 0.
    pub(super) threshold: f64,
    sum: EntryPoint<SharesArguments>,
    shares: EntryPoint<SharesArguments>,
}

impl<'a> Normaliser<'a> {
    /// The normaliser of a call.
    pub(super) fn new(groups: &'a [GroupPlan<'a>], options: &Options<'_>) -> Self {
        let set = options.instruction_set();
        Normaliser {
            groups,
            threshold: options.threshold,
            sum: entry_point::<Sum>(set),
            shares: entry_point::<Shares>(set),
        }
    }

    /// The sum of some numbers.
    fn sum(&self, numbers: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        let arguments = SharesArguments { numbers: numbers.as_mut_ptr(), len: numbers.len(), sum: &raw mut sum };
        // SAFETY: the numbers can be read, and their sum written.
        unsafe { (self.sum)(arguments) };
        sum
    }

    /// Divides some numbers by their sum.
    fn share(&self, numbers: &mut [f64], mut sum: f64) {
        let arguments = SharesArguments { numbers: numbers.as_mut_ptr(), len: numbers.len(), sum: &raw mut sum };
        // SAFETY: the numbers can be read and written, and their sum read.
        unsafe { (self.shares)(arguments) };
    }

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
        let mut total = self.sum(proximities);
        if !is_accurate(total) {
            return false;
        }
        if total.is_infinite() {
            for proximity in &mut *proximities {
                *proximity *= BEYOND;
            }
            total = self.sum(proximities);
        }
        self.share(proximities, total);
        if self.threshold != 0.0 {
            for contribution in &mut *proximities {
                *contribution = kept(*contribution, self.threshold);
            }
            let left = self.sum(proximities);
            self.share(proximities, left);
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
