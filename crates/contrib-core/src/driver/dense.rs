//! The path of a call all of whose parts are dense: one batch item after the other, each part read once.

use super::memory::{Shared, WorkingMemory};
use super::normalise::Normaliser;
use super::plan::{DensePlan, GroupPlan, WholePlan, count_parts, most_candidates};
use super::proximity::{Precision, WholeNorm, dense_proximities};
use super::totals::{Buffers, Workspace};
use super::vectors::Vectors;
use crate::context::threads::Threads;
use crate::error::Error;
use crate::floating_point::DefaultSettings;
use crate::options::Options;
use std::mem::MaybeUninit;
use std::slice;

/// Parts that one task measures where one whole has enough of them to share out.
const PARTS_A_TASK: usize = 128;

/// The proximities of so few parts are kept on the stack.
const STACK_PROXIMITIES: usize = 256;

/// What is the same for every batch item.
struct Call<'a> {
    whole: &'a WholePlan<'a>,
    normaliser: Normaliser<'a>,
    /// Whether a group is measured by distance reductions, which need the distance of the zero vector.
    has_reductions: bool,
}

/// Computes the contributions of dense groups to all wholes and writes them.
pub(super) fn run(whole: &WholePlan<'_>, groups: &[GroupPlan<'_>], options: &Options<'_>) -> Result<(), Error> {
    let parts = count_parts(groups)?;
    let call = Call {
        whole,
        normaliser: Normaliser::new(groups, options),
        has_reductions: groups.iter().filter_map(GroupPlan::dense_parts).any(|dense| dense.to_reductions.is_some()),
    };
    let work = parts.saturating_mul(whole.vectors.len.max(1)).saturating_mul(whole.items);
    let threads = Threads::for_work(work, options.context);
    // Either every thread takes whole batch items, or all threads share the parts of one item after the other.
    let shares_parts = whole.items < 4 * threads.count() && parts > PARTS_A_TASK;
    let rows = if shares_parts { 1 } else { threads.count() };
    let len = rows.saturating_mul(parts);
    // To know what the context keeps would take a small call too long.
    let is_small = len <= STACK_PROXIMITIES;
    let memory = if is_small { WorkingMemory::ALLOCATOR } else { WorkingMemory::of(options.context) };
    let mut candidates = memory.unset(rows.saturating_mul(most_candidates(groups)))?;
    if is_small {
        // Those that no part needs are not cleared.
        let mut proximities = [MaybeUninit::uninit(); STACK_PROXIMITIES];
        let proximities = &mut proximities[..len];
        proximities.fill(MaybeUninit::new(0.0));
        // SAFETY: the slice is borrowed until it is used no more, and all of its numbers are initialised.
        let proximities = unsafe { slice::from_raw_parts_mut(proximities.as_mut_ptr().cast(), len) };
        call.all_items(parts, threads, shares_parts, proximities, &mut candidates);
    } else {
        call.all_items(parts, threads, shares_parts, &mut memory.unset(len)?, &mut candidates);
    }
    Ok(())
}

impl Call<'_> {
    /// Goes through the batch items. `proximities` has a number for each part, and `candidates` as many slots as results need:
    /// once, or for each slot of the threads.
    fn all_items(
        &self,
        parts: usize,
        threads: Threads<'_>,
        shares_parts: bool,
        proximities: &mut [f64],
        candidates: &mut [usize],
    ) {
        let _settings = DefaultSettings::enter();
        if shares_parts {
            for item in 0..self.whole.items {
                self.item(item, threads, proximities, candidates);
            }
            return;
        }
        let len_of_candidates = candidates.len() / threads.count();
        let (proximities, candidates) = (Shared::new(proximities), Shared::new(candidates));
        threads.for_each(self.whole.items, |slot, item| {
            // SAFETY: no two tasks that run at the same time have the same slot.
            let (proximities, candidates) =
                unsafe { (proximities.piece(slot, parts), candidates.piece(slot, len_of_candidates)) };
            self.item(item, Threads::Inline, proximities, candidates);
        });
    }

    /// Computes and writes the contributions to one whole.
    fn item(&self, item: usize, threads: Threads<'_>, proximities: &mut [f64], candidates: &mut [usize]) {
        let norm = self.norm(item);
        self.proximities(item, &norm, Precision::F32, threads, proximities);
        let is_accurate = |sum: f64| !self.has_reductions || norm.is_accurate_in_f32(sum);
        if !self.normaliser.finish(item, proximities, candidates, is_accurate) {
            self.proximities(item, &norm, Precision::F64, threads, proximities);
            self.normaliser.finish(item, proximities, candidates, |_| true);
        }
    }

    /// Puts the proximities of all parts to one whole into `proximities`.
    fn proximities(
        &self,
        item: usize,
        norm: &WholeNorm,
        precision: Precision,
        threads: Threads<'_>,
        proximities: &mut [f64],
    ) {
        if let Threads::Inline = threads {
            return self.proximities_of_item((item, norm), precision, proximities);
        }
        for (group, dense, own) in self.groups(proximities) {
            let len = parts_a_task(&dense.vectors);
            let shared = Shared::new(own);
            threads.for_each(group.count.div_ceil(len), |_, task| {
                let first = task * len;
                // SAFETY: tasks have disjoint ranges of parts.
                let own = unsafe { shared.range(first..group.count.min(first + len)) };
                self.proximities_of_task((item, norm), dense, precision, first, own);
            });
        }
    }

    /// The groups that have parts, with their slots in `proximities`. Strides of no parts may be anything.
    fn groups<'b>(
        &self,
        proximities: &'b mut [f64],
    ) -> impl Iterator<Item = (&GroupPlan<'_>, &DensePlan<'_>, &'b mut [f64])> {
        let mut rest = proximities;
        self.normaliser.groups.iter().filter_map(move |group| {
            let own = rest.split_off_mut(..group.count)?;
            Some((group, group.dense_parts().filter(|_| group.count > 0)?, own))
        })
    }

    // Each of the following is out of line, so that their buffers are not on the stack at the same time.

    #[inline(never)]
    fn norm(&self, item: usize) -> WholeNorm {
        let mut buffers = Buffers::uninit();
        WholeNorm::measure(&mut Workspace::on_stack(&mut buffers), self.whole, item, self.has_reductions)
    }

    /// Those of all parts of one whole, by one thread: what was prepared of the whole for one group serves the next.
    #[inline(never)]
    fn proximities_of_item(&self, whole: (usize, &WholeNorm), precision: Precision, proximities: &mut [f64]) {
        let mut buffers = Buffers::uninit();
        let workspace = &mut Workspace::on_stack(&mut buffers);
        for (_, dense, own) in self.groups(proximities) {
            dense_proximities(workspace, self.whole, whole, dense, precision, 0, own);
        }
    }

    #[inline(never)]
    fn proximities_of_task(
        &self,
        whole: (usize, &WholeNorm),
        dense: &DensePlan<'_>,
        precision: Precision,
        first: usize,
        proximities: &mut [f64],
    ) {
        let mut buffers = Buffers::uninit();
        let workspace = &mut Workspace::on_stack(&mut buffers);
        dense_proximities(workspace, self.whole, whole, dense, precision, first, proximities);
    }
}

/// How many parts a task measures, where one whole has enough of them to share out: about as many as are worth it, and no
/// fewer of those that are adjacent.
fn parts_a_task(vectors: &Vectors<'_>) -> usize {
    let adjacent = vectors.adjacent(0);
    if adjacent < PARTS_A_TASK { PARTS_A_TASK / adjacent * adjacent } else { PARTS_A_TASK }
}
