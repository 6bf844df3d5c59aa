//! One whole and all its parts: distance, proximity, contribution, written out. The formula of "Information Flow
//! Routes" (Ferrando & Voita, arXiv 2403.00824) with the proximity of ALTI (arXiv 2203.04212).

use super::distance::{Buffers, Origin, Workspace, distances};
use super::kernel::Route;
use super::{Group, PARTS_A_TASK, Results, Slots, Vectors, Whole};
use crate::context::Threads;
use crate::dispatch::Arithmetic;
use crate::dtype::{Element, with_element};
use std::slice;

/// The least proximity of a part.
const LEAST_PROXIMITY: f64 = 1e-5;

/// Where the proximities of a whole sum to less than this much of its norm, its parts are measured again in `f64`.
///
/// A difference in `f32` is off by at most 2^-24 of the operands, so that a distance, and with it a proximity, is off by
/// about that much of the norm at most, even if all roundings go the same way; a contribution is that over the sum of
/// proximities, hence off by about 4 * 2^-24 at most, 2.4e-7.
const LEAST_F32_SUM: f64 = 0.25;

/// A part that is further from the whole than the norm, by this much of the norm, has the least proximity for certain,
/// whatever the roundings of `f32`.
const CERTAINLY_LEAST: f64 = 1e-5;

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
        self.each_chunk(threads, surpluses, |workspace, group, first, chunk| {
            self.measure(workspace, index, norm, &group.route, group, first, chunk);
        });
        if self.has_f32() && sum_of_proximities(surpluses) < LEAST_F32_SUM * norm {
            self.each_chunk(threads, surpluses, |workspace, group, first, chunk| {
                if group.route.arithmetic == Arithmetic::F64 {
                    return;
                }
                let exact = group.route.exact();
                for (number, surplus) in chunk.iter_mut().enumerate() {
                    if *surplus < -CERTAINLY_LEAST * norm {
                        continue;
                    }
                    let part = slice::from_mut(surplus);
                    self.measure(workspace, index, norm, &exact, group, first + number, part);
                }
            });
        }
        let sum = sum_of_proximities(surpluses);
        let mut rest = &*surpluses;
        for group in self.groups {
            let (own, others) = rest.split_at(group.count);
            group.results.write(index, own, sum);
            rest = others;
        }
    }

    fn norm_of_whole(&self, index: usize) -> f64 {
        let vectors = &self.whole.vectors;
        let mut norm = 0.0;
        distances(
            &mut Workspace::new(&mut Buffers::uninit()),
            &self.whole.route,
            Origin::Zero,
            vectors,
            vectors.start(index),
            0,
            slice::from_mut(&mut norm),
        );
        norm
    }

    fn has_f32(&self) -> bool {
        self.groups.iter().any(|group| group.route.arithmetic == Arithmetic::F32)
    }

    /// Calls `task` for chunks of the parts of each group, with the number of the first part and the chunk's own
    /// surpluses.
    fn each_chunk(
        &self,
        threads: Threads<'_>,
        surpluses: &mut [f64],
        task: impl Fn(&mut Workspace<'_>, &Group, usize, &mut [f64]) + Sync,
    ) {
        let mut rest = surpluses;
        for group in self.groups {
            let (own, others) = rest.split_at_mut(group.count);
            rest = others;
            let chunks = Slots::new(own, PARTS_A_TASK);
            threads.for_each(group.count.div_ceil(PARTS_A_TASK), |_, number| {
                // SAFETY: each number comes once, and `own` outlives all the tasks.
                let chunk = unsafe { chunks.slot(number) };
                task(&mut Workspace::new(&mut Buffers::uninit()), group, number * PARTS_A_TASK, chunk);
            });
        }
    }

    /// Puts into `surpluses` by how much the distances of the parts from `first` on are smaller than the norm.
    #[expect(clippy::too_many_arguments, reason = "what varies between the two passes over the parts")]
    fn measure(
        &self,
        workspace: &mut Workspace<'_>,
        index: usize,
        norm: f64,
        route: &Route,
        group: &Group,
        first: usize,
        surpluses: &mut [f64],
    ) {
        let origin = Origin::Whole(&self.whole.vectors, self.whole.vectors.start(index));
        let entry = group.vectors.start(index);
        distances(workspace, route, origin, &group.vectors, entry, first, surpluses);
        for surplus in surpluses {
            *surplus = norm - *surplus;
        }
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
