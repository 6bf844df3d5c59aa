//! The order in which the parts of one group meet a block of wholes, and on which threads.
//!
//! Parts that share a projection are a span, such as the keys of one head. A task takes a span, or a piece of one that has no
//! projection, and all wholes of the block that share their directions, or some of them where there would be too few tasks.

use super::found::{FEW, Kind};
use super::kernels::Kernels;
use super::one_pass::OnePass;
use super::rows::{Rows, STRIP, Span, padded, panels_of};
use super::task::{Tasks, Workspace};
use super::wholes::Wholes;
use crate::axes::Walk;
use crate::context::threads::Threads;
use crate::dispatch::Arithmetic;
use crate::driver::memory::{Buffer, Shared, WorkingMemory, empty_list};
use crate::driver::plan::{CoefficientsPlan, FactoredPlan, WholePlan};
use crate::driver::proximity::WholeNorm;
use crate::error::Error;
use crate::kernels::widen::WidenArguments;
use crate::lanes::LANES;
use std::ops::Range;

/// Panels of a piece of a span without projection.
const PANELS_OF_PIECE: usize = 16;

/// Tasks for each thread, so that all end at about the same time.
const TASKS_A_THREAD: usize = 3;

/// One group of factored parts: how its parts are shared out, and what is selected for it.
pub(super) struct Schedule<'a> {
    plan: &'a FactoredPlan<'a>,
    whole: &'a WholePlan<'a>,
    spans: Vec<Span>,
    panels: usize,
    lines_of_longest_row: usize,
}

impl<'a> Schedule<'a> {
    /// The schedule of a group of `count` parts.
    pub(super) fn new(plan: &'a FactoredPlan<'a>, whole: &'a WholePlan<'a>, count: usize) -> Result<Self, Error> {
        let spans = spans(plan, count)?;
        let panels = spans.last().map_or(0, |last| last.first_panel + last.panels());
        let mut schedule = Schedule { plan, whole, spans, panels, lines_of_longest_row: 0 };
        let lines_of_rows = (0..whole.items).map(|item| schedule.lines_of_row(item));
        schedule.lines_of_longest_row = lines_of_rows.max().unwrap_or(0);
        Ok(schedule)
    }

    /// Lines of the row of a whole; and the parts of each span that it may see, where that is known.
    fn row(&self, item: usize) -> (usize, Option<Range<usize>>) {
        match &self.plan.coefficients {
            CoefficientsPlan::Given(_) => (padded(self.panels), None),
            CoefficientsPlan::Softmax(scores) => {
                let seen = scores.visible(item);
                (padded(self.spans.len() * panels_of(&seen).len()), Some(seen))
            }
        }
    }

    /// Lines of the row of a whole.
    pub(super) fn lines_of_row(&self, item: usize) -> usize {
        self.row(item).0
    }

    /// Lines of the row of any whole, at most.
    pub(super) fn lines_of_longest_row(&self) -> usize {
        self.lines_of_longest_row
    }

    /// Bytes for each whole of a block beside its row, where so many threads have a workspace.
    pub(super) fn bytes_of_whole<N: Arithmetic>(&self, threads: usize) -> usize {
        let len = self.whole.vectors.len;
        let prepared = self.plan.reduction.map_or(0, |reduction| Wholes::<'_, N>::bytes_of_one(reduction, len));
        prepared + size_of::<isize>() + threads * Workspace::<'_, N>::bytes_of_whole(self.plan)
    }
}

/// The working memory of a group for one type of numbers.
pub(super) struct Memory<'m, N> {
    kernels: Kernels<N>,
    wholes: Option<Wholes<'m, N>>,
    /// Where given coefficients of each whole of the block begin.
    bases: Buffer<'m, isize>,
    rows: Rows<'m, N>,
    /// Where few wholes are multiplied with all keys, and with all values, in one pass.
    keys: Option<OnePass<'m, N>>,
    values: Option<OnePass<'m, N>>,
    /// One for each slot of the threads.
    workspaces: Vec<Workspace<'m, N>>,
}

impl<'m, N: Arithmetic> Memory<'m, N> {
    /// Memory for blocks of so many wholes, whose rows have so many lines together.
    pub(super) fn new(
        schedule: &Schedule<'_>,
        block: usize,
        lines: usize,
        threads: Threads<'_>,
        memory: WorkingMemory<'m>,
    ) -> Result<Self, Error> {
        let Schedule { plan, whole, .. } = schedule;
        let wholes = plan.reduction.map(|reduction| Wholes::new(reduction, &whole.vectors, block, threads, memory));
        let one_pass = |kind| OnePass::new(kind, plan, &schedule.spans, block, threads.count(), memory);
        let (keys, values) = (one_pass(Kind::Keys)?, one_pass(Kind::Values)?);
        // For few wholes it takes longer to keep panels than to read them again.
        let kept = if block <= FEW { 0 } else { schedule.spans.iter().map(Span::panels).max().unwrap_or(0) };
        let mut workspaces = empty_list(threads.count())?;
        for _ in 0..threads.count() {
            workspaces.push(Workspace::new(plan, whole.vectors.len, block, kept, memory)?);
        }
        Ok(Memory {
            kernels: Kernels::new(plan, whole.vectors.dtype),
            wholes: wholes.transpose()?,
            bases: memory.unset(block)?,
            rows: Rows::new(block, lines, memory)?,
            keys,
            values,
            workspaces,
        })
    }

    /// Puts the proximities of the group's parts to the wholes from `start` on, which have these norms, into their rows.
    pub(super) fn proximities(
        &mut self,
        schedule: &Schedule<'_>,
        start: usize,
        norms: &[WholeNorm],
        threads: Threads<'_>,
    ) {
        let Schedule { plan, whole, spans, .. } = schedule;
        if let Some(wholes) = &mut self.wholes {
            wholes.prepare(&self.kernels, &whole.vectors, (start, norms.len()), threads);
        }
        if let CoefficientsPlan::Given(given) = &plan.coefficients {
            for (number, base) in self.bases.iter_mut().enumerate().take(norms.len()) {
                *base = given.batch.offset(start + number);
            }
        }
        self.rows.lay_out((0..norms.len()).map(|number| schedule.row(start + number)));
        let tasks = Tasks {
            plan,
            whole,
            kernels: &self.kernels,
            wholes: self.wholes.as_ref(),
            start,
            norms,
            bases: &self.bases,
            rows: self.rows.shared(),
            of_keys: None,
            of_values: None,
        };
        let workspaces = Shared::new(&mut self.workspaces);
        let shared_by = |number: usize| {
            let keys = match &plan.coefficients {
                CoefficientsPlan::Given(_) => 0,
                CoefficientsPlan::Softmax(scores) => scores.keys.batch.offset(start + number),
            };
            (plan.directions.batch.offset(start + number), keys)
        };
        // With queries and keys, a task has all parts of a query.
        let can_cut_spans = plan.projection.is_none() && matches!(plan.coefficients, CoefficientsPlan::Given(_));
        let mut first = 0;
        while first < norms.len() {
            let shared = shared_by(first);
            let count = (first..norms.len()).take_while(|&number| shared_by(number) == shared).count();
            let mut tasks = tasks;
            if count <= FEW {
                let numbers = first..first + count;
                let keys = self.keys.as_mut();
                tasks.of_keys = keys.map(|keys| keys.run(&tasks, &workspaces, spans, &numbers, threads));
                let values = self.values.as_mut();
                tasks.of_values = values.map(|values| values.run(&tasks, &workspaces, spans, &numbers, threads));
            }
            let pieces = Pieces::new(spans, can_cut_spans, count, threads.count());
            threads.for_each(pieces.count(), |slot, task| {
                let (span, panels, wholes) = pieces.get(task);
                // SAFETY: no two tasks that run at the same time have the same slot, and none has a panel of a whole that
                // another has.
                unsafe {
                    tasks.run(workspaces.one(slot), span, panels, first + wholes.start..first + wholes.end);
                }
            });
            first += count;
        }
    }

    /// Widens the proximities of the group's parts to the whole with this number in the block, which has this norm. There is
    /// memory for a line after those of all parts.
    pub(super) fn widen(&self, schedule: &Schedule<'_>, number: usize, norm: &WholeNorm, to: &mut [f64]) {
        for (index, span) in schedule.spans.iter().enumerate() {
            let (visible, lines) = self.rows.span(number, (index, span));
            let own = &mut to[span.parts.start..];
            let (begins, ends) = (visible.start * LANES, (visible.end * LANES).min(span.parts.len()));
            // Rounded as those are that have a line.
            let of_zero = N::of(schedule.plan.of_zero(norm)).to_f64();
            own[..begins].fill(of_zero);
            let (from, len) = (lines.as_ptr().cast(), lines.len() * LANES);
            assert!(begins + len <= own.len(), "a span ends less than a line before the end");
            // SAFETY: the lines can be read, and as many numbers written.
            unsafe { (self.kernels.widen_row)(WidenArguments { from, len, to: own[begins..].as_mut_ptr() }) };
            own[ends.max(begins)..span.parts.len()].fill(of_zero);
        }
    }
}

/// How spans and wholes are cut into tasks.
struct Pieces<'a> {
    spans: &'a [Span],
    /// Where there is one span that can be cut, into how many pieces.
    cuts_of_span: usize,
    wholes: usize,
    /// Wholes of one task.
    wholes_of_task: usize,
}

impl<'a> Pieces<'a> {
    fn new(spans: &'a [Span], can_cut_spans: bool, wholes: usize, threads: usize) -> Self {
        let panels = if can_cut_spans { spans.first().map_or(0, Span::panels) } else { 1 };
        let cuts_of_span = panels.div_ceil(PANELS_OF_PIECE).max(1);
        let tasks = spans.len() * cuts_of_span;
        let cuts = if threads == 1 { 1 } else { (TASKS_A_THREAD * threads).div_ceil(tasks.max(1)) };
        let wholes_of_task = wholes.div_ceil(cuts).next_multiple_of(STRIP);
        Pieces { spans, cuts_of_span, wholes, wholes_of_task }
    }

    fn count(&self) -> usize {
        self.spans.len() * self.cuts_of_span * self.wholes.div_ceil(self.wholes_of_task.max(1))
    }

    /// The span, its panels, and the wholes of the task with this number.
    fn get(&self, task: usize) -> ((usize, &'a Span), Range<usize>, Range<usize>) {
        let pieces = self.spans.len() * self.cuts_of_span;
        let (cut, piece) = (task / pieces, task % pieces);
        let index = piece / self.cuts_of_span;
        let span = &self.spans[index];
        let panels = if self.cuts_of_span == 1 {
            0..span.panels()
        } else {
            let first = piece % self.cuts_of_span * PANELS_OF_PIECE;
            first..span.panels().min(first + PANELS_OF_PIECE)
        };
        let first = cut * self.wholes_of_task;
        ((index, span), panels, first..self.wholes.min(first + self.wholes_of_task))
    }
}

/// The spans of a group.
fn spans(plan: &FactoredPlan<'_>, count: usize) -> Result<Vec<Span>, Error> {
    let mut spans: Vec<Span> = Vec::new();
    if count == 0 {
        return Ok(spans);
    }
    let mut panels = 0;
    let mut push = |parts: Range<usize>| {
        spans.try_reserve(1).map_err(|_| Error::out_of_memory(size_of::<Span>()))?;
        let span = Span { parts, first_panel: panels };
        panels += span.panels();
        spans.push(span);
        Ok(())
    };
    if let CoefficientsPlan::Softmax(scores) = &plan.coefficients {
        for first in (0..count).step_by(scores.count) {
            push(first..first + scores.count)?;
        }
        return Ok(spans);
    }
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
