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
//! In the 2-norm the square of a projected direction is as short, too: `|v W|^2 = v (W W') v'`.
//!
//! ```text
//! for each block of wholes                                            as many as 32 MB a thread hold      [here]
//!     for each whole                                                  threads share them
//!         measure its norm
//!     for each factored group                                                                             [schedule]
//!         for each whole: signs or doubles, sorted elements           threads share them                  [wholes]
//!         for each span of parts that share W, such as a head         threads share them                  [task]
//!             pack W, unless it is prepared
//!             project the signs of all wholes back: U = S W'          matrix product
//!             with queries Q and keys K: coefficients, into the rows                                      [scores]
//!                 for each panel of 16 keys: scores = Q K'            matrix product
//!                 for each row: softmax
//!             for each panel of 16 parts
//!                 read their values V                                 stays in the first-level cache      [directions]
//!                 for each strip of 32 wholes
//!                     coefficients of the panel                       given, or from the rows
//!                     products = U V'                                 matrix product
//!                     excess of the parts whose bound says so                                             [excess]
//!                     proximities, into the rows                      in the type of the calculation      [rows]
//!                     materialise in f64 what is not accurate         rare                                [materialise]
//!     for each whole                                                  threads share them
//!         the row, and proximities of dense parts, in f64
//!         contributions, written out
//! ```
//!
//! A row has the panels that its whole may see and no others: those of a causal query end with its own position. Panels that a
//! whole does not see, and coefficients that are all 0 for a strip, cost no product.
//!
//! Few wholes, such as one new query, take as long as reading keys and values does. Their products with all of those, `U V'`,
//! are calculated before the spans, in the order of memory ([`one_pass`]); and what a panel's few large parts exceed them by
//! from the directions of those parts alone.
//!
//! Parts of other norms, or with a scale, are all materialised.
//!
//! A whole whose contributions would not be accurate in `f32` (their sum is small beside the norm) is calculated again, with
//! all its parts, in `f64`: the same code for another type of numbers. What a whole gets depends on nothing but itself and its
//! parts: neither on the block, nor on the threads, nor on which elements of directions were calculated for others.

mod coefficients;
mod directions;
mod excess;
mod found;
mod kernels;
mod materialise;
mod one_pass;
mod panels;
mod rows;
mod schedule;
mod scores;
mod task;
mod wholes;

use super::memory::{Buffer, Shared, WorkingMemory, list};
use super::normalise::Normaliser;
use super::plan::{GroupPlan, WholePlan, count_parts, most_candidates};
use super::proximity::{Precision, WholeNorm, dense_proximities};
use super::totals::{Buffers, Workspace};
use crate::context::threads::Threads;
use crate::dispatch::Arithmetic;
use crate::error::Error;
use crate::floating_point::DefaultSettings;
use crate::lanes::{LANES, Line};
use crate::options::Options;
use rows::STRIP;
use schedule::{Memory, Schedule};
use std::ops::Range;

/// Bytes for each thread that the wholes of one block, and the proximities of their parts, may take.
const BYTES_A_THREAD: usize = 32 << 20;

/// The same for wholes that are calculated again in `f64`.
const BYTES_IN_F64: usize = 4 << 20;

/// About how many wholes take as long as reading factored parts does.
const WHOLES_A_READ: usize = 16;

/// Computes the contributions of all groups to all wholes and writes them.
pub(super) fn run(whole: &WholePlan<'_>, groups: &[GroupPlan<'_>], options: &Options<'_>) -> Result<(), Error> {
    let mut factored = groups.iter().filter_map(GroupPlan::factored_parts);
    // Parts that are materialised are measured in `f64`.
    if factored.any(|plan| plan.in_f64 || plan.reduction.is_none()) {
        Blocks::<f64>::new(whole, groups, options)?.run();
    } else {
        Blocks::<f32>::new(whole, groups, options)?.run();
    }
    Ok(())
}

/// A call that calculates in `N`.
struct Blocks<'a, N> {
    whole: &'a WholePlan<'a>,
    normaliser: Normaliser<'a>,
    threads: Threads<'a>,
    /// Parts of all groups.
    parts: usize,
    /// Where blocks of wholes end.
    ends: Vec<usize>,
    norms: Vec<WholeNorm>,
    /// Whether the contributions to each whole of the block still have to be calculated in `f64`.
    is_open: Vec<bool>,
    /// For each slot of the threads the proximities of all parts to one whole, and a line more.
    proximities: Buffer<'a, f64>,
    candidates: Buffer<'a, usize>,
    /// For measuring norms and dense parts, one for each slot of the threads. (Some hosts give a thread a stack of 64 KiB.)
    buffers: Buffer<'a, Buffers>,
    /// Of the factored groups, in order.
    schedules: Vec<Schedule<'a>>,
    memories: Vec<Memory<'a, N>>,
    /// The same in `f64`, for blocks of at most so many wholes; where `N` is not `f64`.
    in_f64: Vec<Memory<'a, f64>>,
    block_in_f64: usize,
}

impl<'a, N: Arithmetic> Blocks<'a, N> {
    fn new(whole: &'a WholePlan<'a>, groups: &'a [GroupPlan<'a>], options: &'a Options<'_>) -> Result<Self, Error> {
        let parts = count_parts(groups)?;
        let work = parts.saturating_mul(whole.vectors.len.max(1)).saturating_mul((whole.items / WHOLES_A_READ).max(1));
        let threads = Threads::for_work(work, options.context);
        let memory = WorkingMemory::of(options.context);
        let factored = || groups.iter().filter_map(|group| Some((group.factored_parts()?, group.count)));
        let mut schedules = Vec::new();
        let (mut memories, mut in_f64) = (Vec::new(), Vec::new());
        let count = factored().count();
        if schedules
            .try_reserve_exact(count)
            .and_then(|()| memories.try_reserve_exact(count))
            .and_then(|()| in_f64.try_reserve_exact(count))
            .is_err()
        {
            return Err(Error::out_of_memory(count * size_of::<Memory<'_, N>>()));
        }
        for (plan, count) in factored() {
            schedules.push(Schedule::new(plan, whole, count)?);
        }
        let ends = ends_of_blocks::<N>(&schedules, whole.items, threads.count())?;
        let starts = || std::iter::once(&0).chain(&ends);
        let block = starts().zip(&ends).map(|(start, end)| end - start).max().unwrap_or(0);
        let lines_of_whole = schedules.iter().map(Schedule::lines_of_longest_row).fold(0, usize::saturating_add);
        let bytes_in_f64 = lines_of_whole.saturating_mul(size_of::<Line<f64>>());
        let block_in_f64 = (BYTES_IN_F64 / bytes_in_f64.max(1)).clamp(1, block.clamp(1, 4 * STRIP));
        for schedule in &schedules {
            let lines_of_block = |(&start, &end): (&usize, &usize)| {
                (start..end).fold(0_usize, |lines, item| lines.saturating_add(schedule.lines_of_row(item)))
            };
            let lines = starts().zip(&ends).map(lines_of_block).max().unwrap_or(0);
            memories.push(Memory::new(schedule, block, lines, threads, memory)?);
            if size_of::<N>() < size_of::<f64>() {
                let lines = block_in_f64.saturating_mul(schedule.lines_of_longest_row());
                in_f64.push(Memory::new(schedule, block_in_f64, lines, threads, memory)?);
            }
        }
        let slots = threads.count();
        Ok(Blocks {
            whole,
            normaliser: Normaliser::new(groups, options),
            threads,
            parts,
            ends,
            norms: list(block, WholeNorm::default())?,
            is_open: list(block, false)?,
            proximities: memory.unset(slots.saturating_mul(parts.saturating_add(LANES)))?,
            candidates: memory.unset(slots.saturating_mul(most_candidates(groups)))?,
            buffers: memory.unset(slots)?,
            schedules,
            memories,
            in_f64,
            block_in_f64,
        })
    }

    fn run(mut self) {
        let _settings = DefaultSettings::enter();
        let mut start = 0;
        for number in 0..self.ends.len() {
            let end = self.ends[number];
            self.block(start, end - start);
            start = end;
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
        for (memory, schedule) in self.memories.iter_mut().zip(&self.schedules) {
            memory.proximities(schedule, start, &self.norms[..count], threads);
        }
        // In `f64` nothing is left open.
        if self.in_f64.is_empty() {
            self.finish(start, 0..count, Precision::F64);
            return;
        }
        self.finish(start, 0..count, Precision::F32);
        let mut first = 0;
        while first < count {
            let rest = self.is_open[first..count].iter().take(self.block_in_f64);
            let open = rest.take_while(|&&is_open| is_open).count();
            if open == 0 {
                first += 1;
                continue;
            }
            for (memory, schedule) in self.in_f64.iter_mut().zip(&self.schedules) {
                memory.proximities(schedule, start + first, &self.norms[first..first + open], threads);
            }
            self.finish(start, first..first + open, Precision::F64);
            first += open;
        }
    }

    /// Brings the proximities of all groups to these wholes of the block together, makes contributions of them and writes
    /// them; but in `F32` not those that are not accurate, which are left open.
    fn finish(&mut self, start: usize, numbers: Range<usize>, precision: Precision) {
        let (whole, parts, normaliser) = (self.whole, self.parts, self.normaliser);
        let (norms, schedules, memories, in_f64) = (&self.norms, &self.schedules, &self.memories, &self.in_f64);
        let len_of_candidates = self.candidates.len() / self.threads.count();
        let repeats = precision == Precision::F64 && !in_f64.is_empty();
        let proximities = Shared::new(&mut self.proximities);
        let (candidates, buffers) = (Shared::new(&mut self.candidates), Shared::new(&mut self.buffers));
        let is_open = Shared::new(&mut self.is_open);
        self.threads.for_each(numbers.len(), |slot, task| {
            let number = numbers.start + task;
            // SAFETY: each number comes once, and no two tasks at a time have the same slot.
            let (row, candidates, buffers, is_open) = unsafe {
                let row = proximities.piece(slot, parts + LANES);
                (row, candidates.piece(slot, len_of_candidates), buffers.one(slot), is_open.one(number))
            };
            let norm = &norms[number];
            let (mut begins, mut index) = (0, 0);
            for group in normaliser.groups {
                if let Some(dense) = group.dense_parts() {
                    let own = &mut row[begins..begins + group.count];
                    let item = (start + number, norm);
                    dense_proximities(&mut Workspace::new(buffers), whole, item, dense, precision, 0, own);
                } else {
                    let own = &mut row[begins..];
                    if repeats {
                        in_f64[index].widen(&schedules[index], task, norm, own);
                    } else {
                        memories[index].widen(&schedules[index], number, norm, own);
                    }
                    index += 1;
                }
                begins += group.count;
            }
            let is_accurate =
                |sum: f64| precision == Precision::F64 || (norm.is_in_range_of_f32() && norm.is_accurate_in_f32(sum));
            *is_open = !normaliser.finish(start + number, &mut row[..parts], candidates, is_accurate);
        });
    }
}

/// Where blocks of wholes end, each of which needs no more memory than threads have, where one whole does not.
fn ends_of_blocks<N: Arithmetic>(
    schedules: &[Schedule<'_>],
    items: usize,
    threads: usize,
) -> Result<Vec<usize>, Error> {
    let fixed: usize = schedules.iter().map(|schedule| schedule.bytes_of_whole::<N>(threads)).sum();
    let bytes_of_whole = |item: usize| {
        let lines = schedules.iter().fold(0_usize, |lines, own| lines.saturating_add(own.lines_of_row(item)));
        lines.saturating_mul(size_of::<Line<N>>()).saturating_add(fixed)
    };
    let all = (0..items).fold(0_usize, |bytes, item| bytes.saturating_add(bytes_of_whole(item)));
    // Blocks of about the same size.
    let blocks = all.div_ceil(threads * BYTES_A_THREAD).clamp(1, items);
    let limit = all.div_ceil(blocks);
    let mut ends = Vec::new();
    let mut bytes = 0_usize;
    for item in 0..items {
        let own = bytes_of_whole(item);
        if bytes > 0 && bytes.saturating_add(own) > limit {
            push(&mut ends, item)?;
            bytes = 0;
        }
        bytes = bytes.saturating_add(own);
    }
    push(&mut ends, items)?;
    Ok(ends)
}

fn push(ends: &mut Vec<usize>, end: usize) -> Result<(), Error> {
    ends.try_reserve(1).map_err(|_| Error::out_of_memory(size_of::<usize>()))?;
    ends.push(end);
    Ok(())
}
