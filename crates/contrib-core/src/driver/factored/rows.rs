//! The proximities of a group's parts to the wholes of a block, until all groups of a whole are normalised together.
//!
//! The row of a whole has the parts of one span after the other, each in whole lines. With queries and keys, only those panels of
//! a span are there that the query may see, and coefficients are there before proximities.

use crate::driver::memory::{Buffer, Shared, WorkingMemory, list};
use crate::error::Error;
use crate::kernels::gemm_microkernel::MR;
use crate::lanes::{LANES, Line, Number};
use std::ops::Range;

/// Wholes that are multiplied with one panel before the next wholes are.
pub(super) const STRIP: usize = 2 * LANES;

const _: () = assert!(STRIP.is_multiple_of(MR), "strips are whole blocks of the micro-kernel");

/// Parts that share a projection, or the lack of one; with queries and keys, the parts of one query.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) parts: Range<usize>,
    /// The number of its first panel among those of all spans.
    pub(super) first_panel: usize,
}

impl Span {
    /// How many panels it has.
    pub(super) fn panels(&self) -> usize {
        self.parts.len().div_ceil(LANES)
    }
}

/// Lines of a row of so many, and to the next row: an odd number. With a power of two between them, the rows of all wholes
/// would share few sets of the caches.
pub(super) const fn padded(lines: usize) -> usize {
    lines | 1
}

/// The row of one whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    start: usize,
    /// Where the whole may see only some parts of each span: which.
    seen: Option<Range<usize>>,
}

/// The panels that have these parts of a span.
pub(super) fn panels_of(seen: &Range<usize>) -> Range<usize> {
    let first = seen.start / LANES;
    first..seen.end.div_ceil(LANES).max(first)
}

impl Row {
    /// The panels of a span that are there.
    pub(super) fn visible(&self, span: &Span) -> Range<usize> {
        self.seen.as_ref().map_or(0..span.panels(), panels_of)
    }

    /// Whether the whole may see all of these parts of a span.
    pub(super) fn sees_all(&self, parts: &Range<usize>) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.start <= parts.start && parts.end <= seen.end)
    }

    /// The line of a panel of the span with this index; `None` where it is not there.
    pub(super) fn line(&self, (index, span): (usize, &Span), panel: usize) -> Option<usize> {
        let Some(seen) = &self.seen else { return Some(self.start + span.first_panel + panel) };
        let visible = panels_of(seen);
        visible.contains(&panel).then(|| self.start + index * visible.len() + panel - visible.start)
    }
}

/// The rows of the wholes of a block.
pub(super) struct Rows<'m, N> {
    lines: Buffer<'m, Line<N>>,
    rows: Vec<Row>,
}

impl<'m, N: Number> Rows<'m, N> {
    /// Memory for so many rows, which have so many lines together.
    pub(super) fn new(rows: usize, lines: usize, memory: WorkingMemory<'m>) -> Result<Self, Error> {
        Ok(Rows { lines: memory.unset(lines)?, rows: list(rows, Row::default())? })
    }

    /// Gives rows their lines: as many as each has, and the parts of each span that its whole may see.
    pub(super) fn lay_out(&mut self, rows: impl Iterator<Item = (usize, Option<Range<usize>>)>) {
        let mut start = 0;
        for (row, (lines, seen)) in self.rows.iter_mut().zip(rows) {
            *row = Row { start, seen };
            start += lines;
        }
        assert!(start <= self.lines.len(), "{start} lines in memory for {}", self.lines.len());
    }

    /// The rows, of which tasks take disjoint lines.
    pub(super) fn shared(&mut self) -> SharedRows<'_, N> {
        SharedRows { rows: &self.rows, lines: Shared::new(&mut self.lines) }
    }

    /// The lines of the visible panels of a span, of the whole with this number in the block; and which panels those are.
    pub(super) fn span(&self, number: usize, (index, span): (usize, &Span)) -> (Range<usize>, &[Line<N>]) {
        let row = &self.rows[number];
        let visible = row.visible(span);
        let start = row.line((index, span), visible.start).unwrap_or(0);
        (visible.clone(), &self.lines[start..][..visible.len()])
    }
}

/// The rows of the wholes of a block, of which tasks that run at the same time take disjoint lines.
#[derive(Clone, Copy)]
pub(super) struct SharedRows<'a, N> {
    rows: &'a [Row],
    lines: Shared<'a, Line<N>>,
}

impl<'a, N> SharedRows<'a, N> {
    /// The rows of the wholes with these numbers in the block.
    pub(super) fn rows(&self, numbers: Range<usize>) -> &'a [Row] {
        &self.rows[numbers]
    }

    /// Where the lines of a panel are in the rows of a strip of wholes, or `outside` where a row has none; and whether any has
    /// one.
    ///
    /// # Safety
    /// - As long as the pointers are used, nobody else uses these lines.
    pub(super) unsafe fn lines_of_strip(
        &self,
        span: (usize, &Span),
        panel: usize,
        numbers: Range<usize>,
        outside: &mut Line<N>,
    ) -> ([*mut N; STRIP], bool) {
        let mut lines = [outside.0.as_mut_ptr(); STRIP];
        let mut any_is_there = false;
        for (row, to) in self.rows[numbers].iter().zip(&mut lines) {
            if let Some(line) = row.line(span, panel) {
                // SAFETY: this function's contract.
                *to = unsafe { self.lines.one(line) }.0.as_mut_ptr();
                any_is_there = true;
            }
        }
        (lines, any_is_there)
    }

    /// The lines of the visible panels of a span, of the whole with this number in the block.
    ///
    /// # Safety
    /// - As long as the lines are used, nobody else uses them.
    pub(super) unsafe fn span(&self, number: usize, span: (usize, &Span)) -> &'a mut [Line<N>] {
        let row = &self.rows[number];
        let visible = row.visible(span.1);
        // Where no panel is visible, no line is.
        let start = row.line(span, visible.start).unwrap_or(0);
        // SAFETY: this function's contract.
        unsafe { self.lines.range(start..start + visible.len()) }
    }
}
