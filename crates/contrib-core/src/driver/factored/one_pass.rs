//! The inner products of a few wholes with the vectors of all spans, in one pass over memory.
//!
//! With few wholes, such as one new query, a call takes as long as reading its keys and values does. Those of different heads
//! lie side by side: the vectors of one span have gaps between them, for which a processor does not read ahead. So all spans
//! are read together here, in the order of memory, and what heads share is packed once.

use super::found::{FEW, Found, Kind};
use super::kernels::Kernels;
use super::panels::PanelReader;
use super::rows::{STRIP, Span};
use super::task::{Tasks, Workspace};
use crate::axes::Dim;
use crate::context::threads::Threads;
use crate::dispatch::{Arithmetic, EntryPoint};
use crate::driver::memory::{Buffer, Shared, WorkingMemory};
use crate::driver::plan::{CoefficientsPlan, FactoredPlan};
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::gemm_microkernel::{MR, Products};
use crate::kernels::panel::PanelSizesArguments;
use crate::kernels::widen::WidenArguments;
use crate::lanes::{LANES, Line, lines};
use crate::norm::Reduction;
use std::ops::Range;

/// The distance between reads that reach every cache line.
const CACHE_LINE: usize = 64;

/// The most panels of a span that one task reads.
const PANELS_OF_TASK: usize = 16;

/// Working memory of a group for vectors of one kind, and a few wholes.
pub(super) struct OnePass<'m, N> {
    kind: Kind,
    /// What each whole is multiplied with, for each span: `[span, whole]`, in whole lines.
    rows: Buffer<'m, Line<N>>,
    row_lines: usize,
    /// For each panel of all spans the inner products of each whole: `[panel, whole]`.
    products: Buffer<'m, Line<f64>>,
    /// For each panel of values the squares of their 2-norms.
    squares: Buffer<'m, Line<f64>>,
    /// For each slot of the threads and each span the offsets of a panel's vectors, in bytes.
    offsets: Buffer<'m, [isize; LANES]>,
}

impl<'m, N: Arithmetic> OnePass<'m, N> {
    /// Memory for at most so many wholes, where the group has vectors of this kind that few wholes are multiplied with.
    pub(super) fn new(
        kind: Kind,
        plan: &FactoredPlan<'_>,
        spans: &[Span],
        wholes: usize,
        slots: usize,
        memory: WorkingMemory<'m>,
    ) -> Result<Option<Self>, Error> {
        let vectors = match (kind, &plan.coefficients) {
            (Kind::Keys, CoefficientsPlan::Softmax(scores)) => &scores.keys,
            // Without prepared matrices each would be packed twice. In the 2-norm each span needs all of its values.
            (Kind::Values, _) if plan.prepared::<N>().is_some() && plan.reduction == Some(Reduction::Magnitudes) => {
                &plan.directions
            }
            _ => return Ok(None),
        };
        let (wholes, row_lines) = (wholes.min(FEW), lines(vectors.len));
        let panels = spans.last().map_or(0, |last| last.first_panel + last.panels());
        Ok(Some(OnePass {
            kind,
            rows: memory.vectors(spans.len().saturating_mul(wholes), vectors.len)?,
            row_lines,
            products: memory.unset(panels.saturating_mul(wholes))?,
            squares: memory.unset(if kind == Kind::Values { panels } else { 0 })?,
            offsets: memory.unset(slots.saturating_mul(spans.len()))?,
        }))
    }

    /// Multiplies the wholes with these numbers in the block, at most [`FEW`], with all vectors that they may see.
    pub(super) fn run(
        &mut self,
        tasks: &Tasks<'_, N>,
        workspaces: &Shared<'_, Workspace<'_, N>>,
        spans: &[Span],
        numbers: &Range<usize>,
        threads: Threads<'_>,
    ) -> Found<'_> {
        let (kind, plan, kernels) = (self.kind, tasks.plan, tasks.kernels);
        let (wholes, row_lines) = (numbers.len(), self.row_lines);
        let rows = Shared::new(&mut self.rows);
        threads.for_each(spans.len(), |_, index| {
            // SAFETY: each index comes once.
            let rows = unsafe { rows.piece(index, wholes * row_lines) };
            tasks.read_rows(kind, (index, &spans[index]), numbers.clone(), rows);
        });
        let (vectors, widen) = match (kind, &plan.coefficients, &kernels.scores) {
            (Kind::Keys, CoefficientsPlan::Softmax(scores), Some(kernels)) => (&scores.keys, kernels.widen_keys),
            _ => (&plan.directions, kernels.widen),
        };
        let pass = Pass {
            kernels,
            widen,
            vectors,
            item: tasks.start + numbers.start,
            spans,
            wholes,
            rows: &self.rows,
            row_lines,
            products: Shared::new(&mut self.products),
            squares: Shared::new(&mut self.squares),
            offsets: Shared::new(&mut self.offsets),
        };
        let longest = spans.iter().max_by_key(|span| span.panels());
        let seen =
            longest.into_iter().flat_map(|span| tasks.rows.rows(numbers.clone()).iter().map(|row| row.visible(span)));
        let seen = seen.filter(|seen| !seen.is_empty());
        let (first, end) = seen.fold((usize::MAX, 0), |(first, end), seen| (first.min(seen.start), end.max(seen.end)));
        let panels = end.saturating_sub(first);
        threads.for_each(panels.div_ceil(PANELS_OF_TASK), |slot, task| {
            let start = first + task * PANELS_OF_TASK;
            // SAFETY: no two tasks at a time have the same slot, and each has other panels.
            unsafe {
                if let Some(reader) = workspaces.one(slot).reader(kind) {
                    pass.multiply(reader, slot, start..end.min(start + PANELS_OF_TASK));
                }
            }
        });
        Found::new(&self.products, &self.squares, numbers.start, wholes)
    }
}

/// A pass over vectors that all its wholes share.
pub(super) struct Pass<'a, N> {
    kernels: &'a Kernels<N>,
    widen: EntryPoint<WidenArguments<N>>,
    vectors: &'a Vectors<'a>,
    /// The index of the first whole.
    item: usize,
    spans: &'a [Span],
    wholes: usize,
    rows: &'a [Line<N>],
    row_lines: usize,
    products: Shared<'a, Line<f64>>,
    squares: Shared<'a, Line<f64>>,
    offsets: Shared<'a, [isize; LANES]>,
}

impl<N: Arithmetic> Pass<'_, N> {
    /// Multiplies the rows of all spans with the panels of these numbers in each span.
    ///
    /// # Safety
    /// - No other task has the slot, or one of the panels, at the same time.
    pub(super) unsafe fn multiply(&self, reader: &mut PanelReader<'_, N>, slot: usize, panels: Range<usize>) {
        let spans = self.spans;
        // SAFETY: this function's contract.
        let offsets = unsafe { self.offsets.piece(slot, spans.len()) };
        let mut products = [[Line([0.0; LANES]); MR]; STRIP / MR];
        for number in panels {
            for (span, offsets) in spans.iter().zip(&mut *offsets) {
                self.offsets_of_panel(span, number, offsets);
            }
            self.read_ahead(offsets);
            let mut first = 0;
            while first < spans.len() {
                let end = first + offsets[first..].iter().take_while(|&own| *own == offsets[first]).count();
                // SAFETY: this function's contract.
                unsafe { self.multiply_panel(reader, number, first..end, &offsets[first], &mut products) };
                first = end;
            }
        }
    }

    /// The offsets of the vectors of a panel; the last once more for each that is missing.
    fn offsets_of_panel(&self, span: &Span, number: usize, offsets: &mut [isize; LANES]) {
        let (dims, size) = (self.vectors.parts, self.vectors.dtype.size() as isize);
        let count = span.parts.len().saturating_sub(number * LANES).min(LANES);
        // Of a span that does not reach so far, the first vector stands for all.
        let first = span.parts.start + if count > 0 { number * LANES } else { 0 };
        match dims.0.last() {
            // All lie along the last axis, which is faster than to walk.
            Some(&Dim { extent, stride }) if first % extent.max(1) + count <= extent => {
                let start = dims.offset(first);
                for (lane, offset) in offsets.iter_mut().enumerate() {
                    *offset = (start + lane.min(count.saturating_sub(1)) as isize * stride) * size;
                }
            }
            _ => {
                let mut walk = dims.walk_from(first);
                for lane in 0..LANES {
                    offsets[lane] = if lane < count.max(1) { walk.next_offset() * size } else { offsets[lane - 1] };
                }
            }
        }
    }

    /// Reads a byte of each cache line of the vectors at these offsets of all spans, vector by vector: in the order of memory
    /// where the vectors of different spans lie side by side. Packing, which reads sixteen vectors at a time, would wait for
    /// each line; and instructions that prefetch do not make a processor read ahead.
    fn read_ahead(&self, offsets: &[[isize; LANES]]) {
        if !self.vectors.is_contiguous() {
            return;
        }
        let start = self.vectors.start(self.item);
        let bytes = self.vectors.len * self.vectors.dtype.size();
        for lane in 0..LANES {
            let mut last = None;
            for of_span in offsets {
                if last.replace(of_span[lane]) == Some(of_span[lane]) {
                    continue;
                }
                let vector = start.wrapping_offset(of_span[lane]);
                for byte in (0..bytes).step_by(CACHE_LINE) {
                    // SAFETY: the byte belongs to an element of the vector.
                    unsafe { vector.add(byte).read_volatile() };
                }
            }
        }
    }

    /// Multiplies the rows of some spans with the panel of this number, which they share.
    ///
    /// # Safety
    /// - No other task has the panel of one of the spans at the same time.
    unsafe fn multiply_panel(
        &self,
        reader: &mut PanelReader<'_, N>,
        number: usize,
        spans: Range<usize>,
        offsets: &[isize; LANES],
        products: &mut [Products; STRIP / MR],
    ) {
        let (kernels, wholes, row_lines) = (self.kernels, self.wholes, self.row_lines);
        let start = self.vectors.start(self.item);
        let starts = offsets.map(|offset| start.wrapping_offset(offset));
        // SAFETY: the vectors can be read, for as long as the call lasts.
        unsafe { reader.read(self.widen, kernels.pack_rows, self.vectors, 0, &starts) };
        let panel = reader.panel();
        let (mut squares, needs_squares) = (Line([0.0; LANES]), !self.squares.is_empty());
        if needs_squares {
            let arguments = PanelSizesArguments { panel: panel.as_ptr(), len: panel.len(), sizes: &raw mut squares };
            // SAFETY: the panel has so many lines.
            unsafe { (kernels.squares)(arguments) };
        }
        let rows = spans.start * wholes..spans.end * wholes;
        for strip in rows.clone().step_by(STRIP) {
            let count = STRIP.min(rows.end - strip);
            let row = |index: usize| self.rows[(strip + index) * row_lines..].as_ptr().cast::<N>();
            // SAFETY: rows and vectors have as many lines.
            unsafe { kernels.gemm.multiply_rows((row, count), panel.as_ptr(), row_lines, products) };
            for (index, products) in (strip..strip + count).zip(products.as_flattened()) {
                let span = &self.spans[index / wholes];
                if number < span.panels() {
                    let panel = span.first_panel + number;
                    // SAFETY: this function's contract.
                    unsafe { *self.products.one(panel * wholes + index % wholes) = *products };
                    if needs_squares {
                        // SAFETY: as above.
                        unsafe { *self.squares.one(panel) = squares };
                    }
                }
            }
        }
    }
}
