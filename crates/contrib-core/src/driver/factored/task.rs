//! The proximities of the parts of one span to some wholes that share their directions.

use super::coefficients::Offsets;
use super::directions::{PanelDirections, Source};
use super::excess::{PanelExcess, least_bound};
use super::found::{Found, Kind};
use super::kernels::Kernels;
use super::materialise::{Materialised, Memory};
use super::panels::PanelReader;
use super::rows::{STRIP, SharedRows, Span};
use super::scores::{self, Scores};
use super::wholes::Wholes;
use crate::dispatch::Arithmetic;
use crate::driver::matrix::Matrix;
use crate::driver::memory::{Buffer, WorkingMemory};
use crate::driver::plan::{CoefficientsPlan, FactoredPlan, WholePlan};
use crate::driver::proximity::{WholeNorm, clamped};
use crate::dtype::DType;
use crate::error::Error;
use crate::kernels::gather::GatherArguments;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::proximities::ProximitiesArguments;
use crate::lanes::{LANES, Line, lines};
use crate::norm::Reduction;
use std::ops::Range;

/// Working memory of a thread for the parts of one group.
pub(super) struct Workspace<'m, N> {
    /// Of the span, where the caller has none prepared.
    matrix: Option<Matrix<'m, N>>,
    /// The factors of each whole, projected back to the length of a value.
    projected: Buffer<'m, Line<N>>,
    /// [`least_bound`] of each whole, where values are projected.
    least: Buffer<'m, f64>,
    directions: Option<PanelDirections<'m, N>>,
    /// The coefficients and products of a panel with a strip of wholes.
    coefficients: Buffer<'m, Line<N>>,
    products: Buffer<'m, Line<f64>>,
    /// Some rows of the matrix.
    rows: Buffer<'m, Line<N>>,
    /// Of each whole of a strip the excess of the parts of a panel.
    excess: Buffer<'m, Line<f64>>,
    materialised: Memory<'m>,
    scores: Option<scores::Workspace<'m, N>>,
}

impl<'m, N: Arithmetic> Workspace<'m, N> {
    /// Memory for tasks with so many wholes of `len` elements, and spans of at most so many panels.
    pub(super) fn new(
        plan: &FactoredPlan<'_>,
        len: usize,
        wholes: usize,
        panels: usize,
        memory: WorkingMemory<'m>,
    ) -> Result<Self, Error> {
        let rows = plan.projection.map(|projection| projection.rows);
        let reduces = plan.reduction.is_some();
        let matrix = match (rows, plan.reduction) {
            (Some(rows), Some(reduction)) if plan.prepared::<N>().is_none() => {
                Some(Matrix::new(rows, len, reduction, memory)?)
            }
            _ => None,
        };
        let multiplies_rows = matrix.is_some() && plan.reduction == Some(Reduction::Squares);
        let projects = reduces && rows.is_some();
        let projected = if projects { wholes * lines(rows.unwrap_or(0)) } else { 0 };
        let directions = if reduces {
            Some(PanelDirections::new(&plan.directions, len, rows.is_some(), panels, memory)?)
        } else {
            None
        };
        Ok(Workspace {
            projected: memory.unset(projected)?,
            least: memory.unset(if projects { wholes } else { 0 })?,
            matrix,
            directions,
            coefficients: memory.unset(STRIP)?,
            products: memory.unset(STRIP)?,
            rows: memory.unset(if multiplies_rows { MR * lines(len) } else { 0 })?,
            excess: memory.unset(STRIP)?,
            materialised: Memory::new(len, rows.unwrap_or(0), memory)?,
            scores: match &plan.coefficients {
                CoefficientsPlan::Given(_) => None,
                CoefficientsPlan::Softmax(scores) => Some(scores::Workspace::new(scores, wholes, memory)?),
            },
        })
    }

    /// What reads the keys, and what reads the values.
    pub(super) fn reader(&mut self, vectors: Kind) -> Option<&mut PanelReader<'m, N>> {
        match vectors {
            Kind::Keys => self.scores.as_mut().map(|scores| &mut scores.keys),
            Kind::Values => self.directions.as_mut()?.reader(),
        }
    }

    /// Bytes for each whole.
    pub(super) fn bytes_of_whole(plan: &FactoredPlan<'_>) -> usize {
        let projected = plan.projection.map_or(0, |projection| lines(projection.rows) * size_of::<Line<N>>());
        let queries = match &plan.coefficients {
            CoefficientsPlan::Given(_) => 0,
            CoefficientsPlan::Softmax(scores) => scores::Workspace::<'_, N>::bytes_of_query(scores),
        };
        projected + queries + size_of::<f64>()
    }
}

/// What the tasks of a group and a block of wholes have in common.
#[derive(Clone, Copy)]
pub(super) struct Tasks<'a, N> {
    pub(super) plan: &'a FactoredPlan<'a>,
    pub(super) whole: &'a WholePlan<'a>,
    pub(super) kernels: &'a Kernels<N>,
    /// Where distance reductions are measured.
    pub(super) wholes: Option<&'a Wholes<'a, N>>,
    /// The index of the first whole, and the norm of each.
    pub(super) start: usize,
    pub(super) norms: &'a [WholeNorm],
    /// Where given coefficients of each whole begin, in elements.
    pub(super) bases: &'a [isize],
    pub(super) rows: SharedRows<'a, N>,
    /// The inner products with keys, and with values, that were found before, where wholes are few.
    pub(super) of_keys: Option<Found<'a>>,
    pub(super) of_values: Option<Found<'a>>,
}

/// One panel of the parts of a span.
struct Panel<'a> {
    span: (usize, &'a Span),
    /// The number of the panel in the span.
    number: usize,
    /// Its parts: fewer than [`LANES`] at the end of the span.
    count: usize,
    /// Where given coefficients are.
    offsets: Option<Offsets>,
    /// Where the values or directions begin; the last once more for each that is missing.
    starts: [*const u8; LANES],
    /// Where the matrix begins, in elements.
    matrix: isize,
}

impl<N: Arithmetic> Tasks<'_, N> {
    /// Puts the proximities of some panels of a span to `wholes`, numbers in the block, into their rows.
    ///
    /// # Safety
    /// - Nobody else uses these panels' lines in the rows of these wholes meanwhile; with queries and keys, of all panels.
    pub(super) unsafe fn run(
        &self,
        workspace: &mut Workspace<'_, N>,
        span: (usize, &Span),
        panels: Range<usize>,
        wholes: Range<usize>,
    ) {
        let plan = self.plan;
        let parts = &span.1.parts;
        let offset = plan.projection.as_ref().map_or(0, |projection| projection.parts.offset(parts.start));
        let mut own = workspace.matrix.take();
        if let (Some(own), Some(projection), Some(pack)) = (&mut own, &plan.projection, self.kernels.pack_matrix) {
            own.load(pack, projection, offset);
            if plan.reduction == Some(Reduction::Squares) {
                own.multiply_rows(self.kernels.gemm, &mut workspace.rows);
            }
        }
        let matrix = plan.prepared().map(|prepared| prepared.get(offset)).or(own.as_ref());
        if let (Some(prepared), Some(matrix)) = (self.wholes, matrix) {
            if self.of_values.is_none() {
                self.project(&mut workspace.projected, prepared, matrix, wholes.clone());
            }
            for (number, least) in wholes.clone().zip(workspace.least.iter_mut()) {
                *least = least_bound(&prepared.get(number), matrix);
            }
        }
        let mut offsets = match &plan.coefficients {
            CoefficientsPlan::Given(given) => Some(given.parts.walk_from(parts.start + panels.start * LANES)),
            CoefficientsPlan::Softmax(_) => {
                if let (Some(workspace), Some(scores)) = (&mut workspace.scores, self.scores(span)) {
                    // SAFETY: this function's contract.
                    unsafe { scores.coefficients(workspace, wholes.clone()) };
                }
                None
            }
        };
        let vectors = &plan.directions;
        let start = vectors.start(self.start + wholes.start);
        let mut directions = vectors.parts.walk_from(parts.start + panels.start * LANES);
        for number in panels {
            let count = LANES.min(parts.len() - number * LANES);
            let starts = vectors.next_starts(start, &mut directions, count);
            let offsets = offsets.as_mut().map(|offsets| Offsets::next(offsets, count));
            let panel = Panel { span, number, count, offsets, starts, matrix: offset };
            // SAFETY: this function's contract.
            unsafe {
                match (self.wholes, plan.reduction) {
                    (Some(prepared), Some(reduction)) => {
                        self.reduce_panel(workspace, prepared, matrix, reduction, &panel, wholes.clone());
                    }
                    _ => self.materialise_panel(workspace, &panel, wholes.clone()),
                }
            }
        }
        workspace.matrix = own;
    }

    /// The scores of a span, with queries and keys.
    fn scores<'a>(&'a self, span: (usize, &'a Span)) -> Option<Scores<'a, N>> {
        let (CoefficientsPlan::Softmax(plan), Some(score_kernels)) = (&self.plan.coefficients, &self.kernels.scores)
        else {
            return None;
        };
        let Tasks { kernels, start, rows, of_keys: found, .. } = *self;
        Some(Scores { plan, kernels, score_kernels, span, start, rows, found })
    }

    /// Puts what some wholes are multiplied with, for the vectors of a span, into `rows`: queries, or projected factors where
    /// matrices are prepared.
    pub(super) fn read_rows(&self, vectors: Kind, span: (usize, &Span), wholes: Range<usize>, rows: &mut [Line<N>]) {
        match vectors {
            Kind::Keys => {
                if let Some(scores) = self.scores(span) {
                    scores.read_queries(wholes, rows);
                }
            }
            Kind::Values => {
                if let (Some(prepared), Some(matrices), Some(projection)) =
                    (self.wholes, self.plan.prepared(), &self.plan.projection)
                {
                    let matrix = matrices.get(projection.parts.offset(span.1.parts.start));
                    self.project(rows, prepared, matrix, wholes);
                }
            }
        }
    }

    /// Projects the factors of the wholes back to the length of values.
    fn project(
        &self,
        projected: &mut [Line<N>],
        prepared: &Wholes<'_, N>,
        matrix: &Matrix<'_, N>,
        wholes: Range<usize>,
    ) {
        let value_lines = matrix.value_lines();
        let len = lines(self.whole.vectors.len);
        let mut products = [[Line([0.0; LANES]); MR]; STRIP / MR];
        for block in 0..value_lines {
            for strip in wholes.clone().step_by(STRIP) {
                let count = STRIP.min(wholes.end - strip);
                let row = |number: usize| prepared.factors(strip + number);
                // SAFETY: the wholes have as many lines as a row of the matrix.
                unsafe {
                    self.kernels.gemm.multiply_rows((row, count), matrix.panel_of_rows(block), len, &mut products);
                }
                for (number, products) in products.as_flattened().iter().enumerate().take(count) {
                    let to = (strip - wholes.start + number) * value_lines + block;
                    projected[to].0 = products.0.map(N::of);
                }
            }
        }
    }

    /// Puts the proximities of a panel of parts into the rows, from distance reductions.
    ///
    /// # Safety
    /// As [`Tasks::run`].
    unsafe fn reduce_panel(
        &self,
        workspace: &mut Workspace<'_, N>,
        prepared: &Wholes<'_, N>,
        matrix: Option<&Matrix<'_, N>>,
        reduction: Reduction,
        panel: &Panel<'_>,
        wholes: Range<usize>,
    ) {
        let mut is_loaded = false;
        let source = Source { vectors: &self.plan.directions, number: panel.number, starts: &panel.starts };
        for strip in wholes.clone().step_by(STRIP) {
            let numbers = strip..wholes.end.min(strip + STRIP);
            let mut outside = Line([N::ZERO; LANES]);
            // SAFETY: this function's contract.
            let (to, _) = unsafe { self.rows.lines_of_strip(panel.span, panel.number, numbers.clone(), &mut outside) };
            if !self.read_coefficients(workspace, panel, numbers.clone(), &to) {
                for (&to, norm) in to.iter().zip(&self.norms[numbers]) {
                    // SAFETY: `to` points to a line that can be written.
                    unsafe { to.cast::<[N; LANES]>().write([N::of(self.plan.of_zero(norm)); LANES]) };
                }
                continue;
            }
            let Workspace { projected, least, directions, coefficients, products, excess, materialised, .. } =
                &mut *workspace;
            let Some(directions) = directions else { continue };
            if !is_loaded {
                let squares = self.of_values.as_ref().map(|found| found.squares(panel.span.1, panel.number));
                directions.load(self.kernels, &source, matrix, squares);
                if reduction == Reduction::Squares {
                    directions.measure_squares(self.kernels, matrix);
                }
                is_loaded = true;
            }
            if let Some(found) = &self.of_values {
                let found = found.products(panel.span.1, panel.number, &numbers);
                products[..numbers.len()].copy_from_slice(found);
            } else {
                self.multiply(prepared, matrix, projected, directions, (numbers.clone(), wholes.start), products);
            }
            let norms = &self.norms[numbers.clone()];
            let corrections: &[Line<f64>] = match reduction {
                Reduction::Magnitudes => {
                    let least = |number: usize| least.get(number - wholes.start).copied().unwrap_or(0.0);
                    let are_few = self.of_values.is_some();
                    let mut panel = PanelExcess { kernels: self.kernels, matrix, directions, source, are_few };
                    panel.of_strip(prepared, numbers.clone(), least, coefficients, excess);
                    excess
                }
                Reduction::Squares => std::slice::from_ref(&directions.squares),
            };
            let mut are_accurate = true;
            let arguments = ProximitiesArguments {
                coefficients: coefficients.as_ptr(),
                products: products.as_ptr(),
                norms: norms.as_ptr(),
                count: norms.len(),
                corrections: corrections.as_ptr(),
                leave_out_zeros: self.plan.leave_out_zeros,
                proximities: to.as_ptr(),
                are_accurate: &raw mut are_accurate,
            };
            // SAFETY: there is a line of each kind for every whole of the strip, and `to` points to lines that can be written.
            unsafe { (self.kernels.proximities)(arguments) };
            let is_in_range = |norm: &WholeNorm| N::DTYPE == DType::F64 || norm.is_in_range_of_f32();
            if are_accurate && directions.out_of_reach == 0 && norms.iter().all(is_in_range) {
                continue;
            }
            for (index, norm) in norms.iter().enumerate() {
                if !is_in_range(norm) {
                    // The whole is calculated again in `f64`.
                    continue;
                }
                for lane in 0..panel.count {
                    let (coefficient, product) = (coefficients[index].0[lane].to_f64(), products[index].0[lane]);
                    let (unclamped, is_accurate) = match reduction {
                        Reduction::Magnitudes => {
                            norm.of_magnitudes(coefficient * product - 2.0 * corrections[index].0[lane])
                        }
                        Reduction::Squares => {
                            norm.of_squares(coefficient * (product - coefficient * corrections[0].0[lane]))
                        }
                    };
                    let own = if coefficient == 0.0 {
                        self.plan.of_zero(norm)
                    } else if is_accurate && directions.out_of_reach >> lane & 1 == 0 {
                        clamped(unclamped)
                    } else {
                        let start = panel.starts[lane];
                        let mut part = Materialised::new(self.plan, self.whole, start, panel.matrix, materialised);
                        clamped(part.unclamped(self.start + numbers.start + index, norm, coefficient))
                    };
                    // SAFETY: `to` points to a line that can be written.
                    unsafe { to[index].add(lane).write(N::of(own)) };
                }
            }
        }
    }

    /// The inner products of a panel with a strip of wholes: numbers in the block, and the number that begins the task.
    fn multiply(
        &self,
        prepared: &Wholes<'_, N>,
        matrix: Option<&Matrix<'_, N>>,
        projected: &[Line<N>],
        directions: &PanelDirections<'_, N>,
        (numbers, first): (Range<usize>, usize),
        products: &mut [Line<f64>],
    ) {
        let row = |number: usize| match matrix {
            None => prepared.factors(numbers.start + number),
            Some(matrix) => projected[(numbers.start + number - first) * matrix.value_lines()..].as_ptr().cast(),
        };
        let lines = matrix.map_or(lines(self.whole.vectors.len), Matrix::value_lines);
        let (panel, products) = (directions.panel().as_ptr(), products.as_chunks_mut().0);
        // SAFETY: wholes, projected or not, and the panel have as many lines.
        unsafe { self.kernels.gemm.multiply_rows((row, numbers.len()), panel, lines, products) };
    }

    /// Puts the proximities of a panel of parts into the rows, each materialised.
    ///
    /// # Safety
    /// As [`Tasks::run`].
    unsafe fn materialise_panel(&self, workspace: &mut Workspace<'_, N>, panel: &Panel<'_>, wholes: Range<usize>) {
        for strip in wholes.clone().step_by(STRIP) {
            let numbers = strip..wholes.end.min(strip + STRIP);
            let mut outside = Line([N::ZERO; LANES]);
            // SAFETY: this function's contract.
            let (to, _) = unsafe { self.rows.lines_of_strip(panel.span, panel.number, numbers.clone(), &mut outside) };
            self.read_coefficients(workspace, panel, numbers.clone(), &to);
            let Workspace { coefficients, materialised, .. } = &mut *workspace;
            for lane in 0..panel.count {
                let (plan, start) = (self.plan, panel.starts[lane]);
                let is_needed = coefficients[..numbers.len()].iter().any(|of_whole| of_whole.0[lane] != N::ZERO);
                let mut part =
                    is_needed.then(|| Materialised::new(plan, self.whole, start, panel.matrix, materialised));
                for ((number, of_whole), &to) in numbers.clone().zip(coefficients.iter()).zip(&to) {
                    let (coefficient, norm) = (of_whole.0[lane], &self.norms[number]);
                    let own = match &mut part {
                        Some(part) if coefficient != N::ZERO => {
                            clamped(part.unclamped(self.start + number, norm, coefficient.to_f64()))
                        }
                        _ => self.plan.of_zero(norm),
                    };
                    // SAFETY: `to` points to a line that can be written.
                    unsafe { to.add(lane).write(N::of(own)) };
                }
            }
        }
    }

    /// Reads the coefficients of a panel for a strip of wholes, and returns whether any is not zero.
    fn read_coefficients(
        &self,
        workspace: &mut Workspace<'_, N>,
        panel: &Panel<'_>,
        numbers: Range<usize>,
        lines: &[*mut N; STRIP],
    ) -> bool {
        let (to, count) = (workspace.coefficients[..numbers.len()].as_mut_ptr(), numbers.len());
        let mut from = lines.map(<*mut N>::cast_const);
        if let (CoefficientsPlan::Given(given), Some(offsets)) = (&self.plan.coefficients, &panel.offsets) {
            for (index, (&base, from)) in self.bases[numbers].iter().zip(&mut from).enumerate() {
                *from = given.in_place(base, offsets).unwrap_or_else(|| {
                    let line = to.wrapping_add(index);
                    // SAFETY: there is a line for each whole, and no other borrow of it.
                    given.read(base, offsets, unsafe { &mut *line });
                    line.cast()
                });
            }
        }
        let mut largest = Line([N::ZERO; LANES]);
        let arguments = GatherArguments { from: from.as_ptr(), count, to, largest: &raw mut largest };
        // SAFETY: sixteen numbers can be read at each pointer: elements of the checked tensor, or a line. There is a line for
        // each whole; one that is copied to itself is read before it is written.
        unsafe { (self.kernels.gather)(arguments) };
        largest.0.iter().any(|&number| number != N::ZERO)
    }
}

impl FactoredPlan<'_> {
    /// The proximity of a part whose coefficient is 0.
    pub(super) fn of_zero(&self, norm: &WholeNorm) -> f64 {
        if self.leave_out_zeros { 0.0 } else { clamped(norm.of_zero_vector()) }
    }
}
