//! The proximities of some parts that share a projection to some wholes that share their directions.

use super::coefficients::{Offsets, any};
use super::directions::{Matrix, PanelDirections};
use super::excess::{PanelExcess, least_bound};
use super::kernels::Kernels;
use super::materialise::{Materialised, Memory};
use super::wholes::{Wholes, lines};
use crate::dispatch::Arithmetic;
use crate::driver::memory::{Shared, buffer, zeroed};
use crate::driver::plan::{FactoredPlan, WholePlan};
use crate::driver::proximity::{WholeNorm, clamped};
use crate::dtype::DType;
use crate::error::Error;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::reduction::ReductionsArguments;
use crate::lanes::{LANES, Line, Number};
use crate::norm::Reduction;
use std::array::from_fn;
use std::ops::Range;

/// Wholes that are multiplied with one panel before the next wholes are.
pub(super) const STRIP: usize = 8 * MR;

/// Working memory of a thread for the parts of one group.
pub(super) struct Workspace<N> {
    matrix: Option<Matrix<N>>,
    /// The factors of each whole, projected back to the length of a value.
    projected: Vec<Line<N>>,
    /// [`least_bound`] of each whole, where values are projected.
    least: Vec<f64>,
    directions: Option<PanelDirections<N>>,
    /// The coefficients and products of a panel with a strip of wholes.
    coefficients: Vec<Line<N>>,
    products: Vec<Line<f64>>,
    materialised: Memory,
}

impl<N: Arithmetic> Workspace<N> {
    /// Memory for tasks with so many wholes of `len` elements.
    pub(super) fn new(plan: &FactoredPlan, len: usize, wholes: usize) -> Result<Self, Error> {
        let rows = plan.projection.map(|projection| projection.rows);
        let reduces = plan.reduction.is_some();
        let matrix = rows.filter(|_| reduces).map(|rows| Matrix::new(rows, len)).transpose()?;
        let projected = if matrix.is_some() { wholes * lines(rows.unwrap_or(0)) } else { 0 };
        let directions =
            if reduces { Some(PanelDirections::new(len, rows.unwrap_or(len), rows.is_some())?) } else { None };
        Ok(Workspace {
            projected: zeroed(projected)?,
            least: zeroed(if matrix.is_some() { wholes } else { 0 })?,
            matrix,
            directions,
            coefficients: buffer(STRIP, Line([N::ZERO; LANES]))?,
            products: buffer(STRIP, Line([0.0; LANES]))?,
            materialised: Memory::new(len, rows.unwrap_or(0))?,
        })
    }

    /// Bytes for each whole.
    pub(super) fn bytes_of_whole(plan: &FactoredPlan) -> usize {
        let projected = plan.projection.map_or(0, |projection| lines(projection.rows) * size_of::<Line<N>>());
        projected + size_of::<f64>()
    }
}

/// What the tasks of a group and a block of wholes have in common.
pub(super) struct Tasks<'a, N> {
    pub(super) plan: &'a FactoredPlan,
    pub(super) whole: &'a WholePlan,
    pub(super) kernels: &'a Kernels<N>,
    /// Where distance reductions are measured.
    pub(super) wholes: Option<&'a Wholes<N>>,
    /// The index of the first whole, and the norm of each.
    pub(super) start: usize,
    pub(super) norms: &'a [WholeNorm],
    /// Where the coefficients of each whole begin, in elements.
    pub(super) bases: &'a [isize],
    /// The proximities of all parts of all groups to each whole, of which those of this group begin at `first`.
    pub(super) rows: Shared<'a, f64>,
    pub(super) row_len: usize,
    pub(super) first: usize,
}

/// One panel of parts.
struct Panel {
    /// The number of its first part in the group.
    first: usize,
    offsets: Offsets,
    /// Where the values or directions begin; the last once more for each that is missing.
    starts: [*const u8; LANES],
    /// Where the matrix begins, in elements.
    matrix: isize,
}

impl<N: Arithmetic> Tasks<'_, N> {
    /// Puts the proximities of `parts` to `wholes`, numbers in the block, where they belong.
    pub(super) fn run(&self, workspace: &mut Workspace<N>, parts: Range<usize>, wholes: Range<usize>) {
        let plan = self.plan;
        let offset = plan.projection.as_ref().map_or(0, |projection| projection.parts.offset(parts.start));
        if let (Some(matrix), Some(projection)) = (&mut workspace.matrix, &plan.projection) {
            matrix.load(self.kernels, projection, offset);
        }
        if let Some(prepared) = self.wholes {
            self.project(workspace, prepared, wholes.clone());
        }
        let vectors = &plan.directions;
        let start = vectors.start(self.start + wholes.start);
        let (mut coefficients, mut directions) =
            (plan.coefficients.parts.walk_from(parts.start), vectors.parts.walk_from(parts.start));
        for first in parts.clone().step_by(LANES) {
            let count = LANES.min(parts.end - first);
            let mut starts = [start; LANES];
            for lane in 0..LANES {
                starts[lane] = if lane < count {
                    start.wrapping_offset(directions.next_offset() * vectors.dtype.size() as isize)
                } else {
                    starts[lane - 1]
                };
            }
            let panel = Panel { first, offsets: Offsets::next(&mut coefficients, count), starts, matrix: offset };
            match (self.wholes, plan.reduction) {
                (Some(prepared), Some(reduction)) => {
                    self.reduce_panel(workspace, prepared, reduction, &panel, wholes.clone());
                }
                _ => self.materialise_panel(workspace, &panel, wholes.clone()),
            }
        }
    }

    /// Projects the factors of the wholes back to the length of values, where values are projected.
    fn project(&self, workspace: &mut Workspace<N>, prepared: &Wholes<N>, wholes: Range<usize>) {
        let Workspace { matrix, projected, least, .. } = workspace;
        let Some(matrix) = matrix else { return };
        let value_lines = matrix.value_lines();
        let len = lines(self.whole.vectors.len);
        let mut products = [[Line([0.0; LANES]); MR]; STRIP / MR];
        for block in 0..value_lines {
            for strip in wholes.clone().step_by(STRIP) {
                let count = STRIP.min(wholes.end - strip);
                let products = &mut products[..count.div_ceil(MR)];
                let row = |number: usize| prepared.factors(strip + number.min(count - 1));
                // SAFETY: the wholes have as many lines as a row of the matrix.
                unsafe {
                    self.kernels.multiply(
                        (|block| from_fn(|row_of_block| row(block * MR + row_of_block)), LANES),
                        matrix.panel_of_rows(block),
                        len,
                        products,
                    );
                }
                for (number, products) in products.as_flattened().iter().enumerate().take(count) {
                    let to = (strip - wholes.start + number) * value_lines + block;
                    projected[to].0 = products.0.map(N::of);
                }
            }
        }
        for (number, least) in wholes.zip(least) {
            *least = least_bound(&prepared.get(number), matrix);
        }
    }

    /// Puts the proximities of a panel of parts where they belong, from distance reductions.
    fn reduce_panel(
        &self,
        workspace: &mut Workspace<N>,
        prepared: &Wholes<N>,
        reduction: Reduction,
        panel: &Panel,
        wholes: Range<usize>,
    ) {
        let mut is_loaded = false;
        for strip in wholes.clone().step_by(STRIP) {
            let numbers = strip..wholes.end.min(strip + STRIP);
            if !self.read_coefficients(workspace, panel, numbers.clone()) {
                for number in numbers {
                    self.write(number, panel, &[self.of_zero(&self.norms[number]); LANES]);
                }
                continue;
            }
            let Workspace { matrix, projected, least, directions, coefficients, products, materialised } = workspace;
            let Some(directions) = directions else { continue };
            let matrix = matrix.as_ref();
            if !is_loaded {
                directions.load(self.kernels, &self.plan.directions, &panel.starts, matrix);
                if reduction == Reduction::Squares {
                    directions.measure_squares(self.kernels, matrix);
                }
                is_loaded = true;
            }
            let products = &mut products[..numbers.len().next_multiple_of(MR)];
            self.multiply(prepared, matrix, projected, directions, (numbers.clone(), wholes.start), products);
            for ((number, coefficients), products) in numbers.zip(&*coefficients).zip(&*products) {
                let norm = &self.norms[number];
                let of_zero = self.of_zero(norm);
                if N::DTYPE == DType::F32 && !norm.is_in_range_of_f32() || !any(coefficients) {
                    self.write(number, panel, &[of_zero; LANES]);
                    continue;
                }
                let (mut own, inaccurate) = match reduction {
                    Reduction::Magnitudes => {
                        let least = least.get(number - wholes.start).copied().unwrap_or(0.0);
                        let mut excess = PanelExcess { kernels: self.kernels, matrix, directions };
                        magnitudes(&mut excess, prepared, number, norm, least, coefficients, products)
                    }
                    Reduction::Squares => squares(norm, coefficients, products, &directions.squares),
                };
                if inaccurate != 0 {
                    for lane in (0..LANES).filter(|lane| inaccurate >> lane & 1 == 1) {
                        let coefficient = coefficients.0[lane].to_f64();
                        if coefficient == 0.0 {
                            continue;
                        }
                        let (plan, start) = (self.plan, panel.starts[lane]);
                        let mut part = Materialised::new(plan, self.whole, start, panel.matrix, materialised);
                        own[lane] = part.unclamped(self.start + number, norm, coefficient);
                    }
                }
                for (own, coefficient) in own.iter_mut().zip(&coefficients.0) {
                    *own = if *coefficient == N::ZERO { of_zero } else { clamped(*own) };
                }
                self.write(number, panel, &own);
            }
        }
    }

    /// The inner products of a panel with a strip of wholes: numbers in the block, and the number that begins the task.
    fn multiply(
        &self,
        prepared: &Wholes<N>,
        matrix: Option<&Matrix<N>>,
        projected: &[Line<N>],
        directions: &PanelDirections<N>,
        (numbers, first): (Range<usize>, usize),
        products: &mut [Line<f64>],
    ) {
        let last = numbers.len() - 1;
        let row = |number: usize| match matrix {
            None => prepared.factors(numbers.start + number.min(last)),
            Some(matrix) => {
                let row = numbers.start + number.min(last) - first;
                projected[row * matrix.value_lines()..].as_ptr().cast()
            }
        };
        let lines = matrix.map_or(lines(self.whole.vectors.len), Matrix::value_lines);
        let products = products.as_chunks_mut::<MR>().0;
        // SAFETY: wholes, projected or not, and the panel have as many lines.
        unsafe {
            self.kernels.multiply(
                (|block| from_fn(|row_of_block| row(block * MR + row_of_block)), LANES),
                directions.panel(),
                lines,
                products,
            );
        }
    }

    /// Puts the proximities of a panel of parts where they belong, each materialised.
    fn materialise_panel(&self, workspace: &mut Workspace<N>, panel: &Panel, wholes: Range<usize>) {
        for strip in wholes.clone().step_by(STRIP) {
            let numbers = strip..wholes.end.min(strip + STRIP);
            self.read_coefficients(workspace, panel, numbers.clone());
            let Workspace { coefficients, products, materialised, .. } = workspace;
            for lane in 0..panel.offsets.count {
                let (plan, start) = (self.plan, panel.starts[lane]);
                let is_needed = coefficients[..numbers.len()].iter().any(|of_whole| of_whole.0[lane] != N::ZERO);
                let mut part =
                    is_needed.then(|| Materialised::new(plan, self.whole, start, panel.matrix, materialised));
                for ((number, of_whole), own) in numbers.clone().zip(&*coefficients).zip(&mut *products) {
                    let (coefficient, norm) = (of_whole.0[lane], &self.norms[number]);
                    own.0[lane] = match &mut part {
                        Some(part) if coefficient != N::ZERO => {
                            clamped(part.unclamped(self.start + number, norm, coefficient.to_f64()))
                        }
                        _ => self.of_zero(norm),
                    };
                }
            }
            for (number, own) in numbers.zip(&*products) {
                self.write(number, panel, &own.0);
            }
        }
    }

    /// Reads the coefficients of a panel for a strip of wholes, and returns whether any is not zero.
    fn read_coefficients(&self, workspace: &mut Workspace<N>, panel: &Panel, numbers: Range<usize>) -> bool {
        let mut any_is_there = false;
        for (number, coefficients) in numbers.zip(&mut workspace.coefficients) {
            self.plan.coefficients.read(self.bases[number], &panel.offsets, coefficients);
            any_is_there |= any(coefficients);
        }
        any_is_there
    }

    /// The proximity of a part whose coefficient is 0.
    fn of_zero(&self, norm: &WholeNorm) -> f64 {
        if self.plan.leave_out_zeros { 0.0 } else { clamped(norm.of_zero_vector()) }
    }

    /// Writes the proximities of a panel of parts to one whole.
    fn write(&self, number: usize, panel: &Panel, own: &[f64; LANES]) {
        let start = number * self.row_len + self.first + panel.first;
        // SAFETY: the parts of a panel belong to one task, and so do the wholes of it.
        let to = unsafe { self.rows.range(start..start + panel.offsets.count) };
        to.copy_from_slice(&own[..to.len()]);
    }
}

/// The unclamped proximities of a panel in the 1-norm, and a bit for each that is not accurate.
fn magnitudes<N: Arithmetic>(
    panel: &mut PanelExcess<'_, N>,
    prepared: &Wholes<N>,
    number: usize,
    norm: &WholeNorm,
    least: f64,
    coefficients: &Line<N>,
    products: &Line<f64>,
) -> ([f64; LANES], u32) {
    let PanelDirections { bounds, out_of_reach, .. } = &*panel.directions;
    let (mut reductions, mut largest) = (Line([0.0; LANES]), 0.0);
    let arguments = ReductionsArguments {
        coefficients,
        products,
        bounds,
        reductions: &raw mut reductions,
        largest: &raw mut largest,
    };
    // SAFETY: all lines can be read or written.
    unsafe { (panel.kernels.reductions)(arguments) };
    let mut own = reductions.0;
    let mut inaccurate = *out_of_reach;
    if inaccurate != 0 || largest.is_nan() {
        // The bounds of the others still hold.
        let in_reach = (0..LANES).filter(|lane| out_of_reach >> lane & 1 == 0);
        largest =
            in_reach.fold(0.0, |largest, lane| (coefficients.0[lane].to_f64().abs() * bounds.0[lane]).max(largest));
    }
    let excess = panel.of(&prepared.get(number), least, coefficients, largest);
    let mut all_accurate = true;
    for (own, excess) in own.iter_mut().zip(&excess.0) {
        let (unclamped, is_accurate) = norm.of_magnitudes(*own - 2.0 * excess);
        *own = unclamped;
        all_accurate &= is_accurate;
    }
    if !all_accurate {
        for (lane, own) in own.iter().enumerate() {
            inaccurate |= u32::from(!own.is_finite()) << lane;
        }
    }
    (own, inaccurate)
}

/// The same in the 2-norm.
fn squares<N: Number>(
    norm: &WholeNorm,
    coefficients: &Line<N>,
    products: &Line<f64>,
    squares: &Line<f64>,
) -> ([f64; LANES], u32) {
    let mut inaccurate = 0;
    let own = from_fn(|lane| {
        let coefficient = coefficients.0[lane].to_f64();
        let reduction = coefficient * (products.0[lane] - coefficient * squares.0[lane]);
        let (unclamped, is_accurate) = norm.of_squares(reduction);
        inaccurate |= u32::from(!is_accurate) << lane;
        unclamped
    });
    (own, inaccurate)
}
