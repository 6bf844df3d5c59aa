//! The directions of a panel of parts: read, or projected only as far as they are needed.
//!
//! A projected direction is `value @ matrix`. Its inner product with a whole needs the value alone, once the whole has been
//! projected back. Its elements are needed where the part may exceed the whole: for the few smallest elements of each whole.
//! Elements of one index, of all sixteen parts, are calculated when they are first needed, and kept for other wholes.

use super::kernels::{Gemm, Kernels};
use super::panels::{self, PanelReader};
use super::wholes::lines;
use crate::dispatch::{Arithmetic, EntryPoint};
use crate::driver::memory::{buffer, zeroed};
use crate::driver::plan::Projection;
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::panel::{PackPanelArguments, PanelSizesArguments};
use crate::kernels::project_value::ProjectValueArguments;
use crate::lanes::{LANES, Line};
use crate::norm::Reduction;
use std::array::from_fn;

/// By what upper bounds are enlarged, so that no rounding makes them too small.
pub(super) const SLACK: f64 = 1.0 + 1e-4;

/// Elements of directions beyond this magnitude are left to `f64`.
const LARGEST_ELEMENT: f64 = 1e37;

/// Once one in so many lines was needed, all are calculated: the others are soon needed, too, and the largest elements are
/// then known, which are smaller than their bounds.
pub(super) const WORTH_ALL: usize = 8;

/// Lines of a panel that are calculated together.
const MISSING: usize = 4 * MR;

const _: () = assert!(LANES.is_multiple_of(MISSING), "values are whole blocks of so many lines");

/// The matrix that the values of some parts are projected through.
pub(super) struct Matrix<N> {
    /// Elements of a direction.
    len: usize,
    /// Lines of a value.
    value_lines: usize,
    /// The columns, in lines of [`LANES`] rows: for each such line that of every column.
    columns: Vec<Line<N>>,
    /// The reciprocals of upper bounds of the columns' 2-norms, and the largest of these bounds.
    reciprocals: Vec<f64>,
    largest_norm: f64,
    /// Sums of squares of the columns.
    squares: Vec<Line<f64>>,
    /// In the 2-norm: the inner products of the rows with each other.
    row_products: Vec<Line<N>>,
}

impl<N: Arithmetic> Matrix<N> {
    /// Memory for a matrix of `rows` rows of `len` elements.
    pub(super) fn new(rows: usize, len: usize, reduction: Reduction) -> Result<Self, Error> {
        let value_lines = lines(rows);
        let row_products =
            if reduction == Reduction::Squares { value_lines.saturating_mul(LANES * value_lines) } else { 0 };
        Ok(Matrix {
            len,
            value_lines,
            columns: zeroed(value_lines * lines(len) * LANES)?,
            reciprocals: zeroed(len)?,
            largest_norm: 0.0,
            squares: zeroed(lines(len))?,
            row_products: zeroed(row_products)?,
        })
    }

    /// Packs the matrix that begins at `offset` of the projection, with the kernel for its elements.
    pub(super) fn load(
        &mut self,
        pack_matrix: EntryPoint<PackPanelArguments<N>>,
        projection: &Projection,
        offset: isize,
    ) {
        let padded = lines(self.len) * LANES;
        let squares = Line::numbers_mut(&mut self.squares);
        squares.fill(0.0);
        for (block, panel) in self.columns.chunks_exact_mut(padded).enumerate() {
            let rows = projection.rows.saturating_sub(block * LANES).min(LANES);
            if rows == 0 {
                panel.fill(Line([N::ZERO; LANES]));
                continue;
            }
            let starts: [_; LANES] = from_fn(|lane| projection.row(offset, block * LANES + lane.min(rows - 1)));
            let arguments = PackPanelArguments {
                starts: &raw const starts,
                stride: projection.stride,
                len: self.len,
                panel: panel.as_mut_ptr(),
            };
            // SAFETY: the rows belong to the projection, and the panel has a line for each element of a row.
            unsafe { pack_matrix(arguments) };
            for (line, square) in panel.iter_mut().zip(&mut *squares) {
                if rows < LANES {
                    line.0[rows..].fill(N::ZERO);
                }
                *square += line.0.iter().map(|number| number.to_f64() * number.to_f64()).sum::<f64>();
            }
        }
        self.largest_norm = 0.0;
        for (square, reciprocal) in squares.iter().zip(&mut self.reciprocals) {
            // No column counts as zero, so that there is a reciprocal.
            let bound = (square.sqrt() * SLACK).max(f64::from(f32::MIN_POSITIVE));
            let bound = if square.is_nan() { f64::INFINITY } else { bound };
            self.largest_norm = self.largest_norm.max(bound);
            *reciprocal = bound.recip();
        }
    }

    /// Multiplies the rows with each other, of which `packed` has memory for [`MR`].
    pub(super) fn multiply_rows(&mut self, gemm: Gemm<N>, packed: &mut [Line<N>]) {
        let lines_of_row = lines(self.len);
        for first in (0..self.value_lines * LANES).step_by(MR) {
            for (row, to) in packed.chunks_exact_mut(lines_of_row).enumerate().take(MR) {
                let panel = &self.columns[(first + row) / LANES * lines_of_row * LANES..];
                for (to, column) in Line::numbers_mut(to).iter_mut().zip(panel) {
                    *to = column.0[(first + row) % LANES];
                }
            }
            for block in 0..self.value_lines {
                let mut products = [[Line([0.0; LANES]); MR]];
                let packed = packed.as_ptr();
                // SAFETY: the rows have as many lines as a row of the matrix.
                unsafe {
                    gemm.multiply(
                        (|_| from_fn(|row| packed.wrapping_add(row * lines_of_row).cast()), LANES),
                        self.panel_of_rows(block),
                        lines_of_row,
                        &mut products,
                    );
                }
                for (row, products) in products[0].iter().enumerate() {
                    self.row_products[(first + row) * self.value_lines + block].0 = products.0.map(N::of);
                }
            }
        }
    }

    /// The first line of a column; the others are [`Matrix::stride`] numbers apart.
    fn column(&self, index: usize) -> *const N {
        self.columns[index..].as_ptr().cast()
    }

    fn stride(&self) -> usize {
        lines(self.len) * LANES * LANES
    }

    /// Lines of a value.
    pub(super) fn value_lines(&self) -> usize {
        self.value_lines
    }

    /// An upper bound of the 2-norms of all columns.
    pub(super) fn largest_norm(&self) -> f64 {
        self.largest_norm
    }

    /// The reciprocal of an upper bound of the 2-norm of a column.
    pub(super) fn reciprocal(&self, index: usize) -> f64 {
        self.reciprocals[index]
    }

    /// This block of [`LANES`] rows as a panel whose columns they are.
    pub(super) fn panel_of_rows(&self, block: usize) -> *const Line<N> {
        let padded = lines(self.len) * LANES;
        self.columns[block * padded..][..padded].as_ptr()
    }
}

/// Where the values or directions of a panel come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) vectors: &'a Vectors,
    /// The number of the panel in its span.
    pub(super) number: usize,
    /// Where the values or directions begin; the last once more for each that is missing.
    pub(super) starts: &'a [*const u8; LANES],
}

/// The directions of the parts of a panel.
pub(super) struct PanelDirections<N> {
    /// Elements of a direction.
    len: usize,
    /// Where values are projected: reads them.
    values: Option<PanelReader<N>>,
    /// Otherwise: directions that are not numbers side by side, widened.
    widened: Vec<Line<N>>,
    /// What the magnitudes of a direction's elements are at most: times the norm of a column, until they `are_exact`.
    pub(super) bounds: Line<N>,
    pub(super) are_exact: bool,
    /// A bit for each part whose elements may be too large for `f32`, whatever was calculated of them.
    pub(super) out_of_reach: u32,
    /// The directions as a panel, and which of its lines are there.
    elements: Vec<Line<N>>,
    is_there: Vec<bool>,
    /// How many lines are there.
    count: usize,
    /// A bit for each part whose elements are all there.
    complete: u32,
    /// One value, and its direction.
    value: Vec<Line<N>>,
    direction: Vec<Line<N>>,
    /// In the 2-norm: the squares of the directions' norms.
    pub(super) squares: Line<f64>,
}

impl<N: Arithmetic> PanelDirections<N> {
    /// Memory for a panel of directions of `len` elements, which are these vectors, or their projections where they
    /// `are_projected`. A span has at most so many panels.
    pub(super) fn new(vectors: &Vectors, len: usize, are_projected: bool, panels: usize) -> Result<Self, Error> {
        Ok(PanelDirections {
            len,
            values: if are_projected { Some(PanelReader::new(vectors, panels)?) } else { None },
            widened: zeroed(if are_projected { 0 } else { LANES * lines(len) })?,
            bounds: Line([N::ZERO; LANES]),
            are_exact: false,
            out_of_reach: 0,
            elements: zeroed(lines(len) * LANES)?,
            is_there: buffer(len, false)?,
            count: 0,
            complete: 0,
            value: zeroed(if are_projected { lines(vectors.len) } else { 0 })?,
            direction: zeroed(if are_projected { lines(len) } else { 0 })?,
            squares: Line([0.0; LANES]),
        })
    }

    /// Takes the values or directions of a panel, and reads them; but not values whose squares of 2-norms are given.
    pub(super) fn load(
        &mut self,
        kernels: &Kernels<N>,
        source: &Source<'_>,
        matrix: Option<&Matrix<N>>,
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
    pub(super) fn reader(&mut self) -> Option<&mut PanelReader<N>> {
        self.values.as_mut()
    }

    /// Takes bounds of the directions' elements: times the norm of a column, where there is a matrix. Those of directions that
    /// are out of reach are 0, so that they are not those of the others.
    fn bound(&mut self, bounds: [f64; LANES], matrix: Option<&Matrix<N>>) {
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
        self.values.as_ref().map_or(&self.elements, PanelReader::panel)
    }

    /// The directions as a panel, whose lines with these indices are there. Values that are projected were read.
    pub(super) fn elements(
        &mut self,
        kernels: &Kernels<N>,
        matrix: Option<&Matrix<N>>,
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
    pub(super) fn elements_of(&mut self, kernels: &Kernels<N>, matrix: &Matrix<N>, parts: u32) -> &[Line<N>] {
        let missing = parts & !self.complete;
        for lane in (0..LANES).filter(|lane| missing >> lane & 1 != 0) {
            let Some(values) = &self.values else { break };
            for (number, line) in Line::numbers_mut(&mut self.value).iter_mut().zip(values.panel()) {
                *number = line.0[lane];
            }
            let direction = Line::numbers_mut(&mut self.direction);
            let arguments = ProjectValueArguments {
                value: self.value.as_ptr().cast(),
                lines: matrix.value_lines,
                matrix: matrix.columns.as_ptr(),
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
    fn add(&mut self, kernels: &Kernels<N>, matrix: &Matrix<N>, indices: impl Iterator<Item = usize>) {
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
    fn project(&mut self, kernels: &Kernels<N>, matrix: &Matrix<N>, indices: &[usize]) {
        let Some(values) = self.values.as_ref().filter(|_| !indices.is_empty()) else { return };
        let (column, line_stride) =
            (|number: usize| matrix.column(indices[number.min(indices.len() - 1)]), matrix.stride());
        let mut products = [[Line([0.0; LANES]); MR]; MISSING / MR];
        // SAFETY: columns of the matrix and values have as many lines.
        unsafe {
            kernels.multiply(
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
    pub(super) fn measure_squares(&mut self, kernels: &Kernels<N>, matrix: Option<&Matrix<N>>) {
        let (Some(matrix), Some(values)) = (matrix, &self.values) else {
            let (panel, len) = (self.elements.as_ptr(), self.len);
            // SAFETY: the panel has a line for each element.
            return unsafe { (kernels.squares)(PanelSizesArguments { panel, len, sizes: &raw mut self.squares }) };
        };
        self.squares = Line([0.0; LANES]);
        let value_lines = matrix.value_lines;
        let panel = values.panel();
        for (first, values) in panel.chunks_exact(MISSING).enumerate() {
            let mut products = [[Line([0.0; LANES]); MR]; MISSING / MR];
            let rows = matrix.row_products[first * MISSING * value_lines..].as_ptr();
            // SAFETY: a row has a number for each line of the values, in whole lines.
            unsafe {
                kernels.multiply(
                    (|block| from_fn(|row| rows.wrapping_add((block * MR + row) * value_lines).cast()), LANES),
                    panel.as_ptr(),
                    value_lines,
                    &mut products,
                );
            }
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
