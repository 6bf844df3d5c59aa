//! One whole and all its parts: proximities, contributions, written out. The formula of "Information Flow Routes" (Ferrando &
//! Voita, arXiv 2403.00824) with the proximity of ALTI (arXiv 2203.04212).

use super::surplus::{WholeNorm, surpluses};
use super::totals::{Buffers, Origin, Workspace};
use super::{DenseParts, PlannedGroup, PlannedParts, Slots, Vectors, Whole};
use crate::context::Threads;
use crate::options::kept;

/// The least proximity of a part.
const LEAST_PROXIMITY: f64 = 1e-5;

/// What is the same for every batch entry.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) whole: &'a Whole,
    pub(super) groups: &'a [PlannedGroup],
    /// Contributions that are not greater become 0.
    threshold: f64,
}

/// The proximity of a part whose distance from the whole is smaller than the whole's norm by `surplus`. NaN stays NaN.
#[inline(always)]
pub(super) fn proximity(surplus: f64) -> f64 {
    if surplus < LEAST_PROXIMITY { LEAST_PROXIMITY } else { surplus }
}

/// The sum, in eight parts that are added apart and joined in order, which hides the latency of addition.
fn sum(numbers: impl Fn(usize) -> f64, count: usize) -> f64 {
    let mut sums = [0.0; 8];
    let full = count - count % sums.len();
    for start in (0..full).step_by(sums.len()) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += numbers(start + lane);
        }
    }
    for index in full..count {
        sums[index - full] += numbers(index);
    }
    sums.iter().sum()
}

impl<'a> Entry<'a> {
    pub(super) fn new(whole: &'a Whole, groups: &'a [PlannedGroup], threshold: f64) -> Self {
        Entry { whole, groups, threshold }
    }

    /// Computes and writes the contributions to the whole with this index, all of whose parts are dense. `proximities` has
    /// room for a number a part, and `indices` for an index, where they are needed.
    pub(super) fn contributions(
        &self,
        index: usize,
        threads: Threads<'_>,
        proximities: &mut [f64],
        indices: &mut [usize],
    ) {
        let norm = self.norm_of_whole(index);
        self.proximities_of_dense(index, &norm, threads, proximities);
        self.write(index, proximities, indices);
    }

    // Out of line, as `proximities_of_chunk` is, so that the buffers of both are not on the stack at the same time.
    #[inline(never)]
    pub(super) fn norm_of_whole(&self, index: usize) -> WholeNorm {
        let Whole { vectors, to_norm, of_prepared, .. } = self.whole;
        let needs_zero = |group: &PlannedGroup| match &group.parts {
            PlannedParts::Dense(dense) => dense.routes.to_gains.is_some(),
            PlannedParts::Factored(_) => true,
        };
        WholeNorm::measure(
            &mut Workspace::new(&mut Buffers::uninit()),
            to_norm,
            self.groups.iter().any(needs_zero).then_some(of_prepared),
            vectors,
            vectors.start(index),
        )
    }

    /// Puts the proximities of dense parts where they belong among those of all parts.
    pub(super) fn proximities_of_dense(
        &self,
        index: usize,
        norm: &WholeNorm,
        threads: Threads<'_>,
        proximities: &mut [f64],
    ) {
        let mut rest = proximities;
        for group in self.groups {
            let (own, others) = rest.split_at_mut(group.count);
            rest = others;
            let PlannedParts::Dense(dense) = &group.parts else { continue };
            let parts_a_task = dense.vectors.parts_a_task();
            let chunks = Slots::new(own, parts_a_task);
            threads.for_each(group.count.div_ceil(parts_a_task), |_, task| {
                // SAFETY: each number comes once, and `own` outlives all the tasks.
                let chunk = unsafe { chunks.slot(task) };
                self.proximities_of_chunk(index, norm, dense, task * parts_a_task, chunk);
            });
        }
    }

    /// Puts into `proximities` those of the parts of one group from `first` on.
    #[inline(never)]
    fn proximities_of_chunk(
        &self,
        index: usize,
        norm: &WholeNorm,
        dense: &DenseParts,
        first: usize,
        proximities: &mut [f64],
    ) {
        let origin = Origin::Whole(&self.whole.vectors, self.whole.vectors.start(index));
        surpluses(
            &mut Workspace::new(&mut Buffers::uninit()),
            &dense.routes,
            norm,
            (origin, &dense.vectors),
            dense.vectors.start(index),
            first,
            proximities,
        );
        for surplus in proximities {
            *surplus = proximity(*surplus);
        }
    }

    /// Writes the contributions to the whole with this index, whose parts have these proximities.
    pub(super) fn write(&self, index: usize, proximities: &mut [f64], indices: &mut [usize]) {
        let total = sum(|part| proximities[part], proximities.len());
        let threshold = self.threshold;
        let kept = |proximity: f64| kept(proximity / total, threshold);
        let left = if threshold == 0.0 { 1.0 } else { sum(|part| kept(proximities[part]), proximities.len()) };
        let mut rest = proximities;
        for group in self.groups {
            let (own, others) = rest.split_at_mut(group.count);
            rest = others;
            // SAFETY: the results of one index are written by one task, and their views outlive the call.
            unsafe {
                if threshold == 0.0 {
                    group.results.write(index, own, indices, |proximity| proximity / total);
                } else {
                    group.results.write(index, own, indices, |proximity| kept(proximity) / left);
                }
            }
        }
    }
}

impl Vectors {
    /// Where the first vector of the batch entry with this index begins.
    pub(super) fn start(&self, index: usize) -> *const u8 {
        self.data.wrapping_offset(self.batch.offset(index) * self.dtype.size() as isize)
    }
}
