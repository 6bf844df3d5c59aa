//! The path of a call with factored parts: a block of wholes at a time, since many wholes share the directions of parts.
//!
//! # The algorithm
//!
//! With the prepared whole `w` (less epsilon) and a part `c x`, a coefficient times a direction, the distance reduction is
//!
//! ```text
//! 1-norm    |w| - |c x - w|     = c <sign(w), x> - 2 sum of max(sign(w) c x - |w|, 0)        the excess
//! 2-norm    |w|^2 - |c x - w|^2 = c (<2 w, x> - c |x|^2)
//! ```
//!
//! No two large numbers are subtracted, so that roundings are in proportion to the part. The inner product is a matrix
//! product of wholes and directions. Where directions are projected values, `x = v W`, it is as short as a value, once the whole
//! has been projected back: `<s, v W> = <W s, v>`. The excess is zero but where a part is larger than its whole, which
//! [`excess`] finds out without the direction for most parts.
//!
//! ```text
//! for each block of wholes                                            as many as 16 MB a thread hold      [here]
//!     for each whole                                                  threads share them
//!         measure its norm, and the proximities of dense parts
//!     for each factored group                                                                             [schedule]
//!         for each whole: signs or doubles, sorted elements           threads share them                  [wholes]
//!         for each span of parts that share W, such as a head         threads share them                  [task]
//!             pack W; project the signs of all wholes back: U = S W'  matrix product
//!             for each panel of 16 parts
//!                 read their values V                                 stays in the first-level cache      [directions]
//!                 for each strip of 32 wholes
//!                     products = U V'                                 matrix product
//!                     for each whole
//!                         excess of the parts whose bound says so                                         [excess]
//!                         proximities, into the row of the whole
//!                         materialise in f64 what is not accurate     rare                                [materialise]
//!     for each whole                                                  threads share them
//!         contributions of the row, written out
//! ```
//!
//! Parts of other norms, or with a scale, are all materialised.
//!
//! A whole whose contributions would not be accurate in `f32` (their sum is small beside the norm) is calculated again, with
//! all its parts, in `f64`: the same code for another type of numbers. What a whole gets depends on nothing but itself and its
//! parts: neither on the block, nor on the threads, nor on which elements of directions were calculated for others.

mod coefficients;
mod directions;
mod excess;
mod kernels;
mod materialise;
mod schedule;
mod task;
mod wholes;

use super::memory::{Shared, buffer, uninit};
use super::normalise::Normaliser;
use super::plan::{GroupPlan, WholePlan, count_parts, most_candidates};
use super::proximity::{Precision, WholeNorm, dense_proximities};
use super::totals::{Buffers, Workspace};
use crate::dispatch::Arithmetic;
use crate::dtype::DType;
use crate::error::Error;
use crate::floating_point::DefaultSettings;
use crate::lanes::LANES;
use crate::options::Options;
use crate::threads::Threads;
use schedule::Schedule;
use std::mem::MaybeUninit;
use std::ops::Range;
use task::STRIP;

/// Bytes for each thread that the wholes of one block, and the proximities of their parts, may take.
const BYTES_A_THREAD: usize = 31 << 19;

/// About how many wholes take as long as reading factored parts does.
const WHOLES_A_READ: usize = 16;

/// Computes the contributions of all groups to all wholes and writes them.
pub(super) fn run(whole: &WholePlan, groups: &[GroupPlan], options: &Options<'_>) -> Result<(), Error> {
    if groups.iter().filter_map(GroupPlan::factored_parts).any(|plan| plan.in_f64) {
        Blocks::<f64>::new(whole, groups, options)?.run();
    } else {
        Blocks::<f32>::new(whole, groups, options)?.run();
    }
    Ok(())
}

/// A call that calculates in `N`.
struct Blocks<'a, N> {
    whole: &'a WholePlan,
    normaliser: Normaliser<'a>,
    threads: Threads<'a>,
    /// Parts of all groups, and the distance of the rows of proximities.
    parts: usize,
    row_len: usize,
    /// Wholes of a block.
    block: usize,
    rows: Vec<f64>,
    norms: Vec<WholeNorm>,
    /// Whether the contributions to each whole of the block still have to be calculated in `f64`.
    is_open: Vec<bool>,
    candidates: Vec<usize>,
    /// For measuring norms and dense parts, one for each slot of the threads. (Some hosts give a thread a stack of 64 KiB.)
    buffers: Vec<MaybeUninit<Buffers>>,
    schedules: Vec<Schedule<'a, N>>,
    /// The same in `f64`, for blocks of at most [`STRIP`] wholes.
    in_f64: Vec<Schedule<'a, f64>>,
}

impl<'a, N: Arithmetic> Blocks<'a, N> {
    fn new(whole: &'a WholePlan, groups: &'a [GroupPlan], options: &'a Options<'_>) -> Result<Self, Error> {
        let parts = count_parts(groups)?;
        let len = whole.vectors.len;
        let work = parts.saturating_mul(len.max(1)).saturating_mul((whole.items / WHOLES_A_READ).max(1));
        let threads = Threads::for_work(work, options.context);
        let factored = || {
            let mut first = 0;
            groups.iter().filter_map(move |group| {
                let begins = first;
                first += group.count;
                group.factored_parts().map(|plan| (plan, (begins, group.count)))
            })
        };
        // An odd number of cache lines a row: with a power of two between them, those of all wholes would share few sets of
        // the caches.
        let row_len = (parts.div_ceil(LANES) | 1).saturating_mul(LANES);
        let bytes_of_whole = factored().map(|(plan, _)| Schedule::<N>::bytes_of_whole(plan, len, threads.count()));
        let bytes = row_len.saturating_mul(size_of::<f64>()).saturating_add(bytes_of_whole.sum());
        let fit = (threads.count() * BYTES_A_THREAD / bytes).clamp(1, whole.items);
        // Blocks of one size, or nearly.
        let block = whole.items.div_ceil(whole.items.div_ceil(fit));
        let mut schedules = Vec::new();
        let mut in_f64 = Vec::new();
        let count = factored().count();
        if schedules.try_reserve_exact(count).and_then(|()| in_f64.try_reserve_exact(count)).is_err() {
            return Err(Error::out_of_memory(count * size_of::<Schedule<'_, N>>()));
        }
        for (plan, parts) in factored() {
            schedules.push(Schedule::new(plan, whole, parts, block, threads)?);
            if N::DTYPE != DType::F64 {
                in_f64.push(Schedule::new(plan, whole, parts, block.min(STRIP), threads)?);
            }
        }
        Ok(Blocks {
            whole,
            normaliser: Normaliser { groups, threshold: options.threshold },
            threads,
            parts,
            row_len,
            block,
            rows: buffer(block.checked_mul(row_len).ok_or_else(|| Error::out_of_memory(usize::MAX))?, 0.0)?,
            norms: buffer(block, WholeNorm::default())?,
            is_open: buffer(block, false)?,
            candidates: buffer(threads.count().saturating_mul(most_candidates(groups)), 0)?,
            buffers: uninit(threads.count())?,
            schedules,
            in_f64,
        })
    }

    fn run(mut self) {
        let _settings = DefaultSettings::enter();
        for start in (0..self.whole.items).step_by(self.block) {
            self.block(start, self.block.min(self.whole.items - start));
        }
    }

    /// The contributions to the `count` wholes from `start` on.
    fn block(&mut self, start: usize, count: usize) {
        let (threads, whole) = (self.threads, self.whole);
        let norms = Shared::new(&mut self.norms);
        let buffers = Shared::new(&mut self.buffers);
        threads.for_each(count, |slot, number| {
            // SAFETY: each number comes once, and no two tasks at a time have the same slot.
            let (norm, buffers) = unsafe { (norms.one(number), buffers.one(slot)) };
            *norm = WholeNorm::measure(&mut Workspace::new(buffers), whole, start + number, true);
        });
        self.dense(start, 0..count, Precision::F32);
        let (rows, row_len) = (Shared::new(&mut self.rows), self.row_len);
        for schedule in &mut self.schedules {
            schedule.proximities(start, &self.norms[..count], rows, row_len, threads);
        }
        // In `f64` nothing is left open.
        let may_be_open = !self.in_f64.is_empty();
        self.finish(start, 0..count, may_be_open);
        let mut first = 0;
        while may_be_open && first < count {
            let open = self.is_open[first..count].iter().take(STRIP).take_while(|&&is_open| is_open).count();
            if open == 0 {
                first += 1;
                continue;
            }
            self.dense(start, first..first + open, Precision::F64);
            let rows = Shared::new(&mut self.rows[first * row_len..(first + open) * row_len]);
            for schedule in &mut self.in_f64 {
                schedule.proximities(start + first, &self.norms[first..first + open], rows, row_len, threads);
            }
            self.finish(start, first..first + open, false);
            first += open;
        }
    }

    /// Puts the proximities of dense parts to these wholes of the block where they belong.
    fn dense(&mut self, start: usize, numbers: Range<usize>, precision: Precision) {
        let (groups, row_len, whole, norms) = (self.normaliser.groups, self.row_len, self.whole, &self.norms);
        if groups.iter().all(|group| group.dense_parts().is_none()) {
            return;
        }
        let (rows, buffers) = (Shared::new(&mut self.rows), Shared::new(&mut self.buffers));
        self.threads.for_each(numbers.len(), |slot, task| {
            let number = numbers.start + task;
            // SAFETY: no two tasks at a time have the same slot.
            let workspace = &mut Workspace::new(unsafe { buffers.one(slot) });
            let mut begins = 0;
            for group in groups {
                // SAFETY: the rows of different wholes are disjoint.
                let own = unsafe { rows.range(number * row_len + begins..number * row_len + begins + group.count) };
                begins += group.count;
                let Some(dense) = group.dense_parts() else { continue };
                let item = (start + number, &norms[number]);
                dense_proximities(workspace, whole, item, dense, precision, 0, own);
            }
        });
    }

    /// Makes contributions of the proximities to these wholes of the block and writes them, but for those that are not
    /// accurate where they `may_be_open`.
    fn finish(&mut self, start: usize, numbers: Range<usize>, may_be_open: bool) {
        let (row_len, parts, norms, normaliser) = (self.row_len, self.parts, &self.norms, self.normaliser);
        let len_of_candidates = self.candidates.len() / self.threads.count();
        let (rows, candidates) = (Shared::new(&mut self.rows), Shared::new(&mut self.candidates));
        let is_open = Shared::new(&mut self.is_open);
        self.threads.for_each(numbers.len(), |slot, task| {
            let number = numbers.start + task;
            // SAFETY: rows of different wholes are disjoint, and no two tasks at a time have the same slot.
            let (row, candidates, is_open) = unsafe {
                let row = rows.range(number * row_len..number * row_len + parts);
                (row, candidates.piece(slot, len_of_candidates), is_open.one(number))
            };
            let norm = &norms[number];
            let is_accurate = |sum: f64| !may_be_open || (norm.is_in_range_of_f32() && norm.is_accurate_in_f32(sum));
            *is_open = !normaliser.finish(start + number, row, candidates, is_accurate);
        });
    }
}
