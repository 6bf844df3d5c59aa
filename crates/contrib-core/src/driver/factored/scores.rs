//! Coefficients from queries and keys: the softmax of the scores of each query, in the rows that proximities come into later.

use super::coefficients::Offsets;
use super::found::{FEW, Found};
use super::kernels::{Kernels, ScoreKernels};
use super::panels::{PanelReader, widen_row};
use super::rows::{STRIP, SharedRows, Span};
use crate::dispatch::Arithmetic;
use crate::driver::memory::{Buffer, WorkingMemory};
use crate::driver::plan::{Numbers, ScoresPlan};
use crate::dtype::{Element, with_element};
use crate::error::Error;
use crate::kernels::exponential::exponentials;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::softmax::{ScoresArguments, SoftmaxArguments};
use crate::lanes::{LANES, Line, lines};
use std::ops::Range;

/// Working memory of a thread for scores.
pub(super) struct Workspace<'m, N> {
    /// The queries of a span, widened.
    queries: Buffer<'m, Line<N>>,
    pub(super) keys: PanelReader<'m, N>,
}

impl<'m, N: Arithmetic> Workspace<'m, N> {
    /// Memory for so many queries.
    pub(super) fn new(plan: &ScoresPlan<'_>, queries: usize, memory: WorkingMemory<'m>) -> Result<Self, Error> {
        // Few queries are multiplied with the keys of all spans in one pass, which needs each panel once.
        let panels = if queries <= FEW { 0 } else { plan.count.div_ceil(LANES) };
        Ok(Workspace {
            queries: memory.vectors(queries, plan.keys.len)?,
            keys: PanelReader::new(&plan.keys, panels, memory)?,
        })
    }

    /// Bytes for each query.
    pub(super) fn bytes_of_query(plan: &ScoresPlan<'_>) -> usize {
        lines(plan.keys.len) * size_of::<Line<N>>()
    }
}

/// The scores of the parts of one span to some wholes, whose queries share keys.
pub(super) struct Scores<'a, N> {
    pub(super) plan: &'a ScoresPlan<'a>,
    pub(super) kernels: &'a Kernels<N>,
    pub(super) score_kernels: &'a ScoreKernels<N>,
    pub(super) span: (usize, &'a Span),
    /// The index of the first whole of the block.
    pub(super) start: usize,
    pub(super) rows: SharedRows<'a, N>,
    /// Where queries and keys were multiplied before: their inner products.
    pub(super) found: Option<Found<'a>>,
}

impl<N: Arithmetic> Scores<'_, N> {
    /// Puts the coefficients of these wholes of the block into their rows.
    ///
    /// # Safety
    /// - Nobody else uses the lines of the span in these rows meanwhile.
    pub(super) unsafe fn coefficients(&self, workspace: &mut Workspace<'_, N>, wholes: Range<usize>) {
        let plan = self.plan;
        let row_lines = workspace.keys.row_lines();
        let parts = &self.span.1.parts;
        if self.found.is_none() {
            self.read_queries(wholes.clone(), &mut workspace.queries);
        }
        let first = plan.keys.start(self.start + wholes.start);
        let mut keys = plan.keys.parts.walk_from(parts.start);
        let mut mask = plan.mask.as_ref().map(|mask| mask.parts.walk_from(parts.start));
        let mut products = [[Line([0.0; LANES]); MR]; STRIP / MR];
        for panel in 0..self.span.1.panels() {
            let count = LANES.min(parts.len() - panel * LANES);
            let starts = self.found.is_none().then(|| plan.keys.next_starts(first, &mut keys, count));
            let mask = mask.as_mut().map(|mask| Offsets::next(mask, count));
            let mut is_read = false;
            for strip in wholes.clone().step_by(STRIP) {
                let numbers = strip..wholes.end.min(strip + STRIP);
                let mut outside = Line([N::ZERO; LANES]);
                // SAFETY: this function's contract.
                let (to, is_seen) =
                    unsafe { self.rows.lines_of_strip(self.span, panel, numbers.clone(), &mut outside) };
                if !is_seen {
                    continue;
                }
                if let Some(starts) = starts.as_ref().filter(|_| !is_read) {
                    let ScoreKernels { widen_keys, .. } = *self.score_kernels;
                    // SAFETY: the keys can be read, for as long as the call lasts.
                    unsafe { workspace.keys.read(widen_keys, self.kernels.pack_rows, &plan.keys, panel, starts) };
                    is_read = true;
                }
                if self.found.is_none() {
                    let first = strip - wholes.start;
                    let row = |number: usize| workspace.queries[(first + number) * row_lines..].as_ptr().cast::<N>();
                    let keys = workspace.keys.panel().as_ptr();
                    // SAFETY: queries and keys have as many lines.
                    unsafe {
                        self.kernels.gemm.multiply_rows((row, numbers.len()), keys, row_lines, &mut products);
                    }
                }
                let products = &mut products.as_flattened_mut()[..numbers.len()];
                if let Some(found) = &self.found {
                    products.copy_from_slice(found.products(self.span.1, panel, &numbers));
                }
                let is_adjusted = self.adjust(products, numbers.start, panel, count, mask.as_ref());
                let arguments = ScoresArguments {
                    products: products.as_ptr(),
                    count: products.len(),
                    scale: if is_adjusted { 1.0 } else { plan.score_scale },
                    scores: to.as_ptr(),
                };
                // SAFETY: there is a line of products for each of the wholes, and memory for a line of scores.
                unsafe { (self.score_kernels.scores)(arguments) };
            }
        }
        let sink = self.of_span(plan.sinks.as_ref(), self.start + wholes.start).unwrap_or(f64::NEG_INFINITY);
        for number in wholes {
            // SAFETY: this function's contract.
            let lines = unsafe { self.rows.span(number, self.span) };
            let arguments =
                SoftmaxArguments { scores: lines.as_mut_ptr().cast(), lines: lines.len(), sink: N::of(sink) };
            // SAFETY: the lines can be read and written.
            unsafe { (self.score_kernels.softmax)(arguments) };
        }
    }

    /// Reads the queries of the span, of these wholes of the block, into whole lines.
    pub(super) fn read_queries(&self, wholes: Range<usize>, to: &mut [Line<N>]) {
        let queries = &self.plan.queries;
        let offset = queries.parts.offset(self.span.1.parts.start) * queries.dtype.size() as isize;
        for (number, to) in wholes.zip(to.chunks_exact_mut(lines(queries.len))) {
            let start = queries.start(self.start + number).wrapping_offset(offset);
            // SAFETY: the query can be read, and has as many lines.
            unsafe { widen_row(self.score_kernels.widen_queries, queries, start, to) };
        }
    }

    /// Makes scores of the products of some wholes with a panel of `count` keys, and minus infinity of those that are not
    /// allowed. Where they need nothing but the scale, it does nothing, and returns `false`.
    fn adjust(
        &self,
        products: &mut [Line<f64>],
        first: usize,
        panel: usize,
        count: usize,
        mask: Option<&Offsets>,
    ) -> bool {
        let plan = self.plan;
        let keys = panel * LANES..panel * LANES + count;
        let of_whole = |number: usize| self.start + first + number;
        let needs_positions = plan.slopes.is_some() || plan.has_given_keys();
        let rows = self.rows.rows(first..first + products.len());
        if plan.soft_cap.is_none()
            && mask.is_none()
            && !needs_positions
            && rows.iter().all(|row| row.sees_all(&(keys.start..keys.start + LANES)))
        {
            return false;
        }
        let slope = self.of_span(plan.slopes.as_ref(), of_whole(0)).unwrap_or(0.0);
        for (number, scores) in products.iter_mut().enumerate() {
            let item = of_whole(number);
            for score in &mut scores.0 {
                *score *= plan.score_scale;
            }
            if let Some(cap) = plan.soft_cap {
                soften(&mut scores.0, cap);
            }
            let query = plan.query_positions.get(0, item);
            let mut added = Line([0.0; LANES]);
            if let (Some(offsets), Some(mask)) = (mask, &plan.mask) {
                mask.read(mask.batch.offset(item), offsets, &mut added);
            }
            for (lane, (score, added)) in scores.0.iter_mut().zip(added.0).enumerate() {
                let key = if lane < count { plan.key_positions.get(keys.start + lane, item) } else { -1 };
                // What a mask does not allow may have a score that is no number.
                if plan.allows(query, key) && added != f64::NEG_INFINITY {
                    if plan.slopes.is_some() {
                        *score += slope * (key as f64 - query as f64);
                    }
                    *score += added;
                } else {
                    *score = f64::NEG_INFINITY;
                }
            }
        }
        true
    }

    /// The number that belongs to the span, of a batch item.
    fn of_span(&self, numbers: Option<&Numbers<'_>>, item: usize) -> Option<f64> {
        let numbers = numbers?;
        let offset = numbers.parts.offset(self.span.0) + numbers.batch.offset(item);
        with_element!(numbers.dtype, T => {
            // SAFETY: there is an element for each span, of this type.
            Some(unsafe { numbers.data.cast::<T>().wrapping_offset(offset).read() }.to_f64())
        })
    }
}

/// Makes `cap * tanh(score / cap)` of scores.
fn soften(scores: &mut [f64; LANES], cap: f64) {
    /// Below it the terms of the series after the fourth are less than a rounding, and above it differences of exponentials
    /// lose no more than two digits.
    const SMALL: f64 = 0.01;
    let exponentials = exponentials(scores.map(|score| -2.0 * (score / cap).abs()));
    for (score, exponential) in scores.iter_mut().zip(exponentials) {
        let ratio = *score / cap;
        *score = if ratio.abs() < SMALL {
            let square = ratio * ratio;
            *score * (1.0 + square * (-1.0 / 3.0 + square * (2.0 / 15.0 - square * (17.0 / 315.0))))
        } else {
            (cap * (1.0 - exponential) / (1.0 + exponential)).copysign(*score)
        };
    }
}
