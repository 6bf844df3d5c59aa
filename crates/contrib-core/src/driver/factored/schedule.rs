//! The order in which the parts of one group meet a block of wholes, and on which threads.
//!
//! Parts that share a projection are a span, such as the keys of one head. A task takes a span, or a piece of one that has no
//! projection, and all wholes of the block that share their directions, or some of them where there would be too few tasks.

use super::kernels::Kernels;
use super::task::{STRIP, Tasks, Workspace};
use super::wholes::Wholes;
use crate::axes::Walk;
use crate::dispatch::Arithmetic;
use crate::driver::memory::{Shared, buffer};
use crate::driver::plan::{FactoredPlan, WholePlan};
use crate::driver::proximity::WholeNorm;
use crate::error::Error;
use crate::threads::Threads;
use std::ops::Range;

/// Parts of a piece of a span without projection.
const PARTS_OF_PIECE: usize = 256;

/// Tasks for each thread, so that all end at about the same time.
const TASKS_A_THREAD: usize = 3;

/// One group of factored parts: working memory, and what is selected for it.
pub(super) struct Schedule<'a, N> {
    plan: &'a FactoredPlan,
    whole: &'a WholePlan,
    kernels: Kernels<N>,
    wholes: Option<Wholes<N>>,
    /// Where the coefficients of each whole of the block begin.
    bases: Vec<isize>,
    spans: Vec<Range<usize>>,
    /// One for each slot of the threads.
    workspaces: Vec<Workspace<N>>,
    /// The number of its first part among the parts of all groups.
    first: usize,
}

impl<'a, N: Arithmetic> Schedule<'a, N> {
    /// Memory for the group whose `count` parts begin with number `first` among all, and blocks of so many wholes.
    pub(super) fn new(
        plan: &'a FactoredPlan,
        whole: &'a WholePlan,
        (first, count): (usize, usize),
        block: usize,
        threads: Threads<'_>,
    ) -> Result<Self, Error> {
        let wholes =
            plan.reduction.map(|reduction| Wholes::new(reduction, &whole.vectors, block, threads)).transpose()?;
        let mut workspaces = Vec::new();
        if workspaces.try_reserve_exact(threads.count()).is_err() {
            return Err(Error::out_of_memory(threads.count() * size_of::<Workspace<N>>()));
        }
        for _ in 0..threads.count() {
            workspaces.push(Workspace::new(plan, whole.vectors.len, block)?);
        }
        Ok(Schedule {
            plan,
            whole,
            kernels: Kernels::new(plan, whole.vectors.dtype),
            wholes,
            bases: buffer(block, 0)?,
            spans: spans(plan, count)?,
            workspaces,
            first,
        })
    }

    /// Bytes for each whole of a block, where so many threads have a workspace.
    pub(super) fn bytes_of_whole(plan: &FactoredPlan, len: usize, threads: usize) -> usize {
        let prepared = plan.reduction.map_or(0, |reduction| Wholes::<N>::bytes_of_one(reduction, len));
        prepared + size_of::<isize>() + threads * Workspace::<N>::bytes_of_whole(plan)
    }

    /// Puts the proximities of the group's parts to the wholes from `start` on, which have these norms, where they belong in
    /// `rows`: the proximities of all parts of all groups to each whole.
    pub(super) fn proximities(
        &mut self,
        start: usize,
        norms: &[WholeNorm],
        rows: Shared<'_, f64>,
        row_len: usize,
        threads: Threads<'_>,
    ) {
        if let Some(wholes) = &mut self.wholes {
            wholes.prepare(&self.kernels, &self.whole.vectors, (start, norms.len()), threads);
        }
        for (number, base) in self.bases.iter_mut().enumerate().take(norms.len()) {
            *base = self.plan.coefficients.batch.offset(start + number);
        }
        let tasks = Tasks {
            plan: self.plan,
            whole: self.whole,
            kernels: &self.kernels,
            wholes: self.wholes.as_ref(),
            start,
            norms,
            bases: &self.bases,
            rows,
            row_len,
            first: self.first,
        };
        let workspaces = Shared::new(&mut self.workspaces);
        let directions_of = |number: usize| self.plan.directions.batch.offset(start + number);
        let mut first = 0;
        while first < norms.len() {
            let shared = directions_of(first);
            let count = (first..norms.len()).take_while(|&number| directions_of(number) == shared).count();
            let pieces = Pieces::new(&self.spans, self.plan.projection.is_none(), count, threads.count());
            threads.for_each(pieces.count(), |slot, task| {
                let (parts, wholes) = pieces.get(task);
                // SAFETY: no two tasks that run at the same time have the same slot.
                let workspace = unsafe { workspaces.one(slot) };
                tasks.run(workspace, parts, first + wholes.start..first + wholes.end);
            });
            first += count;
        }
    }
}

/// How spans and wholes are cut into tasks.
struct Pieces<'a> {
    spans: &'a [Range<usize>],
    /// Where there is one span that can be cut, into how many pieces.
    cuts_of_span: usize,
    wholes: usize,
    /// Wholes of one task.
    wholes_of_task: usize,
}

impl<'a> Pieces<'a> {
    fn new(spans: &'a [Range<usize>], can_cut_spans: bool, wholes: usize, threads: usize) -> Self {
        let parts = if can_cut_spans { spans.first().map_or(0, Range::len) } else { 1 };
        let cuts_of_span = parts.div_ceil(PARTS_OF_PIECE).max(1);
        let tasks = spans.len() * cuts_of_span;
        let cuts = if threads == 1 { 1 } else { (TASKS_A_THREAD * threads).div_ceil(tasks.max(1)) };
        let wholes_of_task = wholes.div_ceil(cuts).next_multiple_of(STRIP);
        Pieces { spans, cuts_of_span, wholes, wholes_of_task }
    }

    fn count(&self) -> usize {
        self.spans.len() * self.cuts_of_span * self.wholes.div_ceil(self.wholes_of_task.max(1))
    }

    /// The parts and wholes of the task with this number.
    fn get(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let pieces = self.spans.len() * self.cuts_of_span;
        let (cut, piece) = (task / pieces, task % pieces);
        let span = &self.spans[piece / self.cuts_of_span];
        let parts = if self.cuts_of_span == 1 {
            span.clone()
        } else {
            let first = span.start + piece % self.cuts_of_span * PARTS_OF_PIECE;
            first..span.end.min(first + PARTS_OF_PIECE)
        };
        let first = cut * self.wholes_of_task;
        (parts, first..self.wholes.min(first + self.wholes_of_task))
    }
}

/// Parts that share a projection, or the lack of one.
fn spans(plan: &FactoredPlan, count: usize) -> Result<Vec<Range<usize>>, Error> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    if count == 0 {
        return Ok(spans);
    }
    let mut push = |span: Range<usize>| {
        spans.try_reserve(1).map_err(|_| Error::out_of_memory(size_of::<Range<usize>>()))?;
        spans.push(span);
        Ok(())
    };
    let Some(projection) = &plan.projection else {
        push(0..count)?;
        return Ok(spans);
    };
    let mut walk: Walk<'_> = projection.parts.walk_from(0);
    let (mut first, mut offset) = (0, 0);
    for part in 0..count {
        let own = walk.next_offset();
        if part > first && own != offset {
            push(first..part)?;
            first = part;
        }
        offset = own;
    }
    push(first..count)?;
    Ok(spans)
}
