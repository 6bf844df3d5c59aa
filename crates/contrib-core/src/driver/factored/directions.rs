//! The directions of a panel of parts: read, or projected only as far as they are needed.
//!
//! A projected direction is `value @ matrix`. Its inner product with a whole needs the value alone, once the whole has been
//! projected back. Its elements are needed where the part may exceed the whole: for the few smallest elements of each whole.
//! Elements of one index, of all sixteen parts, are calculated when they are first needed, and kept for other wholes.

use super::kernels::Kernels;
use super::panels::{self, PanelReader};
use crate::dispatch::Arithmetic;
use crate::driver::matrix::{Matrix, SLACK};
use crate::driver::memory::{Buffer, WorkingMemory, list};
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::panel::PanelSizesArguments;
use crate::kernels::project_value::ProjectValueArguments;
use crate::lanes::{LANES, Line, lines};
use std::array::from_fn;

/// Elements of directions beyond this magnitude are left to `f64`.
const LARGEST_ELEMENT: f64 = 1e37;

/// Once one in so many lines was needed, all are calculated: the others are soon needed, too, and the largest elements are
/// then known, which are smaller than their bounds.
pub(super) const WORTH_ALL: usize = 8;

/// Lines of a panel that are calculated together.
const MISSING: usize = 4 * MR;

const _: () = assert!(LANES.is_multiple_of(MISSING), "values are whole blocks of so many lines");

/// Where the values or directions of a panel come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) vectors: &'a Vectors<'a>,
    /// The number of the panel in its span.
    pub(super) number: usize,
    /// Where the values or directions begin; the last once more for each that is missing.
    pub(super) starts: &'a [*const u8; LANES],
}

/// The directions of the parts of a panel.
pub(super) struct PanelDirections<'m, N> {
    /// Elements of a direction.
    len: usize,
    /// Where values are projected: reads them.
    values: Option<PanelReader<'m, N>>,
    /// Otherwise: directions that are not numbers side by side, widened.
    widened: Buffer<'m, Line<N>>,
    /// What the magnitudes of a direction's elements are at most: times the norm of a column, until they `are_exact`.
    pub(super) bounds: Line<N>,
    pub(super) are_exact: bool,
    /// A bit for each part whose elements may be too large for `f32`, whatever was calculated of them.
    pub(super) out_of_reach: u32,
    /// The directions as a panel, and which of its lines are there.
    elements: Buffer<'m, Line<N>>,
    is_there: Vec<bool>,
    /// How many lines are there.
    count: usize,
    /// A bit for each part whose elements are all there.
    complete: u32,
    /// One value, and its direction.
    value: Buffer<'m, Line<N>>,
    direction: Buffer<'m, Line<N>>,
    /// In the 2-norm: the squares of the directions' norms.
    pub(super) squares: Line<f64>,
}

impl<'m, N: Arithmetic> PanelDirections<'m, N> {
    /// Memory for a panel of directions of `len` elements, which are these vectors, or their projections where they
    /// `are_projected`. A span has at most so many panels.
    pub(super) fn new(
        vectors: &Vectors<'_>,
        len: usize,
        are_projected: bool,
        panels: usize,
        memory: WorkingMemory<'m>,
    ) -> Result<Self, Error> {
        Ok(PanelDirections {
            len,
            values: if are_projected { Some(PanelReader::new(vectors, panels, memory)?) } else { None },
            widened: memory.vectors(if are_projected { 0 } else { LANES }, len)?,
            bounds: Line([N::ZERO; LANES]),
            are_exact: false,
            out_of_reach: 0,
            elements: memory.unset(lines(len) * LANES)?,
            is_there: list(len, false)?,
            count: 0,
            complete: 0,
            value: memory.unset(if are_projected { lines(vectors.len) } else { 0 })?,
            direction: memory.unset(if are_projected { lines(len) } else { 0 })?,
            squares: Line([0.0; LANES]),
        })
    }

    /// Takes the values or directions of a panel, and reads them; but not values whose squares of 2-norms are given.
    pub(super) fn load(
        &mut self,
        kernels: &Kernels<N>,
        source: &Source<'_>,
        matrix: Option<&Matrix<'_, N>>,
        squares: Option<&Line<f64>>,
    ) {
        self.are_exact = false;
        self.out_of_reach = 0;
        self.complete = 0;
        if self.values.is_none() {
            self.is_there.fill(true);
            self.count = self.len;
            let (widen, pack_rows, panel) = (kernels.widen, kernels.pack_rows, &mut self.elements);
            let Source { vectors, starts, .. } = source;
            // SAFETY: the directions can be read, and have as many elements as the panel has lines, but for padding.
            unsafe { panels::read(&mut self.widened, self.len, widen, pack_rows, vectors, starts, panel) };
            return self.measure_largest(kernels);
        }
        if self.count > 0 {
            self.is_there.fill(false);
        }
        self.count = 0;
        let squares = squares.copied().unwrap_or_else(|| {
            self.read_values(kernels, source);
            let (panel, mut squares) = (self.panel(), Line([0.0; LANES]));
            let (panel, len) = (panel.as_ptr(), panel.len());
            // SAFETY: the panel has `len` lines.
            unsafe { (kernels.squares)(PanelSizesArguments { panel, len, sizes: &raw mut squares }) };
            squares
        });
        self.bound(squares.0.map(|square| square.sqrt() * SLACK), matrix);
    }

    /// Reads the values of the panel, unless they were.
    pub(super) fn read_values(&mut self, kernels: &Kernels<N>, source: &Source<'_>) {
        let Some(values) = &mut self.values else { return };
        let &Source { vectors, number, starts } = source;
        // SAFETY: the values can be read, for as long as the call lasts.
        unsafe { values.read(kernels.widen, kernels.pack_rows, vectors, number, starts) };
    }

    /// What reads the values, where they are projected.
    pub(super) fn reader(&mut self) -> Option<&mut PanelReader<'m, N>> {
        self.values.as_mut()
    }

    /// Takes bounds of the directions' elements: times the norm of a column, where there is a matrix. Those of directions that
    /// are out of reach are 0, so that they are not those of the others.
    fn bound(&mut self, bounds: [f64; LANES], matrix: Option<&Matrix<'_, N>>) {
        let norm = matrix.map_or(1.0, Matrix::largest_norm);
        self.out_of_reach = 0;
        for (lane, (bound, own)) in bounds.into_iter().zip(&mut self.bounds.0).enumerate() {
            // NaN is out of reach, too.
            let is_in_reach = bound * norm < LARGEST_ELEMENT;
            self.out_of_reach |= u32::from(!is_in_reach) << lane;
            *own = N::of(if is_in_reach { bound } else { 0.0 });
        }
    }

    /// Measures the elements of the directions, all of which are there.
    fn measure_largest(&mut self, kernels: &Kernels<N>) {
        let mut sizes = Line([0.0; LANES]);
        let (panel, len) = (self.elements.as_ptr(), self.len);
        // SAFETY: the panel has a line for each element.
        unsafe { (kernels.largest)(PanelSizesArguments { panel, len, sizes: &raw mut sizes }) };
        let out_of_reach = self.out_of_reach;
        self.bound(sizes.0, None);
        self.out_of_reach |= out_of_reach;
        self.are_exact = true;
    }

    /// What wholes are multiplied with: the values that are projected, or the directions.
    pub(super) fn panel(&self) -> &[Line<N>] {
        self.values.as_ref().map_or(&*self.elements, PanelReader::panel)
    }

    /// The directions as a panel, whose lines with these indices are there. Values that are projected were read.
    pub(super) fn elements(
        &mut self,
        kernels: &Kernels<N>,
        matrix: Option<&Matrix<'_, N>>,
        indices: impl Iterator<Item = usize>,
    ) -> &[Line<N>] {
        let matrix = matrix.filter(|_| self.count < self.len);
        if let Some(matrix) = matrix {
            self.add(kernels, matrix, indices);
            if self.count > self.len / WORTH_ALL {
                self.add(kernels, matrix, 0..self.len);
                self.measure_largest(kernels);
            }
        }
        &self.elements
    }

    /// The directions as a panel, where all elements of the parts with these bits are there; others need not be.
    pub(super) fn elements_of(&mut self, kernels: &Kernels<N>, matrix: &Matrix<'_, N>, parts: u32) -> &[Line<N>] {
        let missing = parts & !self.complete;
        for lane in (0..LANES).filter(|lane| missing >> lane & 1 != 0) {
            let Some(values) = &self.values else { break };
            for (number, line) in Line::numbers_mut(&mut self.value).iter_mut().zip(values.panel()) {
                *number = line.0[lane];
            }
            let direction = Line::numbers_mut(&mut self.direction);
            let arguments = ProjectValueArguments {
                value: self.value.as_ptr().cast(),
                lines: matrix.value_lines(),
                matrix: matrix.column(0).cast(),
                columns: direction.len(),
                direction: direction.as_mut_ptr(),
            };
            // SAFETY: the value has as many lines as columns of the matrix, and there is a number for each column.
            unsafe { (kernels.project_value)(arguments) };
            for (line, &number) in self.elements.iter_mut().zip(&*direction) {
                line.0[lane] = number;
            }
        }
        self.complete |= missing;
        &self.elements
    }

    /// Calculates those of the lines with these indices that are not there.
    fn add(&mut self, kernels: &Kernels<N>, matrix: &Matrix<'_, N>, indices: impl Iterator<Item = usize>) {
        let mut missing = [0; MISSING];
        let mut count = 0;
        for index in indices {
            if !self.is_there[index] {
                self.is_there[index] = true;
                missing[count] = index;
                count += 1;
                if count == MISSING {
                    self.project(kernels, matrix, &missing);
                    count = 0;
                }
            }
        }
        self.project(kernels, matrix, &missing[..count]);
    }

    /// Calculates the lines with these indices, at most [`MISSING`].
    fn project(&mut self, kernels: &Kernels<N>, matrix: &Matrix<'_, N>, indices: &[usize]) {
        let Some(values) = self.values.as_ref().filter(|_| !indices.is_empty()) else { return };
        let (column, line_stride) =
            (|number: usize| matrix.column(indices[number.min(indices.len() - 1)]), matrix.stride());
        let mut products = [[Line([0.0; LANES]); MR]; MISSING / MR];
        // SAFETY: columns of the matrix and values have as many lines.
        unsafe {
            kernels.gemm.multiply(
                (|block| from_fn(|row| column(block * MR + row)), line_stride),
                values.panel().as_ptr(),
                values.row_lines(),
                &mut products[..indices.len().div_ceil(MR)],
            );
        }
        for (&index, products) in indices.iter().zip(products.as_flattened()) {
            self.elements[index].0 = products.0.map(N::of);
        }
        self.count += indices.len();
    }

    /// Measures the directions for the 2-norm. That of a projected value `v` is `v W W' v'`, which needs the inner products of
    /// the rows of `W` alone.
    pub(super) fn measure_squares(&mut self, kernels: &Kernels<N>, matrix: Option<&Matrix<'_, N>>) {
        let (Some(matrix), Some(values)) = (matrix, &self.values) else {
            let (panel, len) = (self.elements.as_ptr(), self.len);
            // SAFETY: the panel has a line for each element.
            return unsafe { (kernels.squares)(PanelSizesArguments { panel, len, sizes: &raw mut self.squares }) };
        };
        self.squares = Line([0.0; LANES]);
        let value_lines = matrix.value_lines();
        let panel = values.panel();
        for (first, values) in panel.chunks_exact(MISSING).enumerate() {
            let mut products = [[Line([0.0; LANES]); MR]; MISSING / MR];
            let rows = matrix.row_products(first * MISSING);
            let row = |index: usize| rows.wrapping_add(index * value_lines).cast();
            // SAFETY: a row has a number for each line of the values, in whole lines.
            unsafe { kernels.gemm.multiply_rows((row, MISSING), panel.as_ptr(), value_lines, &mut products) };
            for (values, products) in values.iter().zip(products.as_flattened()) {
                for ((square, value), product) in self.squares.0.iter_mut().zip(&values.0).zip(&products.0) {
                    *square += value.to_f64() * product;
                }
            }
        }
        // Roundings must not make a square negative.
        self.squares.0 = self.squares.0.map(|square| if square < 0.0 { 0.0 } else { square });
    }
}
