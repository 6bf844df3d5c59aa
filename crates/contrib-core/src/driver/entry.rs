//! One whole and all its parts: distance, proximity, contribution, written out. The formula of "Information Flow
//! Routes" (Ferrando & Voita, arXiv 2403.00824) with the proximity of ALTI (arXiv 2203.04212).

use super::surplus::{WholeNorm, surpluses};
use super::totals::{Buffers, Origin, Workspace};
use super::{Group, Results, Slots, Vectors, Whole};
use crate::context::Threads;
use crate::dtype::{Element, with_element};

/// The least proximity of a part.
const LEAST_PROXIMITY: f64 = 1e-5;

/// What is the same for every batch entry.
pub(super) struct Entry<'a> {
    whole: &'a Whole,
    groups: &'a [Group],
}

/// The proximity of a part whose distance from the whole is smaller than the whole's norm by `surplus`. NaN stays NaN.
fn proximity(surplus: f64) -> f64 {
    if surplus < LEAST_PROXIMITY { LEAST_PROXIMITY } else { surplus }
}

fn sum_of_proximities(surpluses: &[f64]) -> f64 {
    surpluses.iter().map(|&surplus| proximity(surplus)).sum()
}

impl<'a> Entry<'a> {
    pub(super) fn new(whole: &'a Whole, groups: &'a [Group]) -> Self {
        Entry { whole, groups }
    }

    /// Computes and writes the contributions to the whole with this index. `surpluses` has room for a number a part.
    pub(super) fn contributions(&self, index: usize, threads: Threads<'_>, surpluses: &mut [f64]) {
        let norm = self.norm_of_whole(index);
        self.surpluses(index, &norm, threads, surpluses);
        let sum = sum_of_proximities(surpluses);
        let mut rest = &*surpluses;
        for group in self.groups {
            let (own, others) = rest.split_at(group.count);
            group.results.write(index, own, sum);
            rest = others;
        }
    }

    // Out of line, as `surpluses_of_chunk` is, so that the buffers of both are not on the stack at the same time.
    #[inline(never)]
    fn norm_of_whole(&self, index: usize) -> WholeNorm {
        let Whole { vectors, to_norm, of_prepared, .. } = self.whole;
        let needs_zero = self.groups.iter().any(|group| group.routes.to_gains.is_some());
        WholeNorm::measure(
            &mut Workspace::new(&mut Buffers::uninit()),
            to_norm,
            needs_zero.then_some(of_prepared),
            vectors,
            vectors.start(index),
        )
    }

    /// Puts into `surpluses` by how much the distance of each part of each group is smaller than the norm.
    fn surpluses(&self, index: usize, norm: &WholeNorm, threads: Threads<'_>, surpluses: &mut [f64]) {
        let mut rest = surpluses;
        for group in self.groups {
            let (own, others) = rest.split_at_mut(group.count);
            rest = others;
            let parts_a_task = group.vectors.parts_a_task();
            let chunks = Slots::new(own, parts_a_task);
            threads.for_each(group.count.div_ceil(parts_a_task), |_, task| {
                // SAFETY: each number comes once, and `own` outlives all the tasks.
                let chunk = unsafe { chunks.slot(task) };
                self.surpluses_of_chunk(index, norm, group, task * parts_a_task, chunk);
            });
        }
    }

    /// Puts into `surpluses` those of the parts of one group from `first` on.
    #[inline(never)]
    fn surpluses_of_chunk(&self, index: usize, norm: &WholeNorm, group: &Group, first: usize, of_parts: &mut [f64]) {
        let origin = Origin::Whole(&self.whole.vectors, self.whole.vectors.start(index));
        surpluses(
            &mut Workspace::new(&mut Buffers::uninit()),
            &group.routes,
            norm,
            (origin, &group.vectors),
            group.vectors.start(index),
            first,
            of_parts,
        );
    }
}

impl Vectors {
    /// Where the first vector of the batch entry with this index begins.
    fn start(&self, index: usize) -> *const u8 {
        self.data.wrapping_offset(self.batch.offset(index) * self.dtype.size() as isize)
    }
}

impl Results {
    /// Writes the contributions of the group's parts to the whole with this index.
    fn write(&self, index: usize, surpluses: &[f64], sum: f64) {
        let mut walk = self.parts.walk_from(0);
        with_element!(self.dtype, T => {
            let start = self.data.cast::<T>().wrapping_offset(self.batch.offset(index));
            for &surplus in surpluses {
                let contribution = T::from_f64(proximity(surplus) / sum);
                // SAFETY: the element belongs to the output's view, to this entry and part alone.
                unsafe { start.wrapping_offset(walk.next_offset()).write(contribution) };
            }
        });
    }
}
