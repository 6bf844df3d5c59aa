//! A matrix that values are projected through, packed for the kernels, with what bounds what it makes of values.

use super::gemm::Gemm;
use super::memory::{Buffer, WorkingMemory};
use super::projection::Projection;
use crate::dispatch::{Arithmetic, EntryPoint};
use crate::error::Error;
use crate::kernels::gemm_microkernel::MR;
use crate::kernels::panel::PackPanelArguments;
use crate::lanes::{LANES, Line, lines};
use crate::norm::Reduction;
use std::array::from_fn;

/// By what upper bounds are enlarged, so that no rounding makes them too small.
pub(super) const SLACK: f64 = 1.0 + 1e-4;

/// The matrix that the values of some parts are projected through.
pub(super) struct Matrix<'m, N> {
    /// Elements of a direction.
    len: usize,
    /// Lines of a value.
    value_lines: usize,
    /// The columns, in lines of [`LANES`] rows: for each such line that of every column.
    columns: Buffer<'m, Line<N>>,
    /// The reciprocals of upper bounds of the columns' 2-norms, and the largest of these bounds.
    reciprocals: Buffer<'m, f64>,
    largest_norm: f64,
    /// Sums of squares of the columns.
    squares: Buffer<'m, Line<f64>>,
    /// In the 2-norm: the inner products of the rows with each other.
    row_products: Buffer<'m, Line<N>>,
}

impl<'m, N: Arithmetic> Matrix<'m, N> {
    /// Memory for a matrix of `rows` rows of `len` elements.
    pub(super) fn new(rows: usize, len: usize, reduction: Reduction, memory: WorkingMemory<'m>) -> Result<Self, Error> {
        let value_lines = lines(rows);
        let row_products =
            if reduction == Reduction::Squares { value_lines.saturating_mul(LANES * value_lines) } else { 0 };
        Ok(Matrix {
            len,
            value_lines,
            columns: memory.vectors(value_lines * LANES, len)?,
            reciprocals: memory.unset(len)?,
            largest_norm: 0.0,
            squares: memory.unset(lines(len))?,
            row_products: memory.unset(row_products)?,
        })
    }

    /// Packs the matrix that begins at `offset` of the projection, with the kernel for its elements.
    pub(super) fn load(
        &mut self,
        pack_matrix: EntryPoint<PackPanelArguments<N>>,
        projection: &Projection<'_>,
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
        for (square, reciprocal) in squares.iter().zip(self.reciprocals.iter_mut()) {
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
                let row = |index: usize| packed.wrapping_add(index * lines_of_row).cast();
                // SAFETY: the rows have as many lines as a row of the matrix.
                unsafe {
                    gemm.multiply_rows((row, MR), self.panel_of_rows(block), lines_of_row, &mut products);
                }
                for (row, products) in products[0].iter().enumerate() {
                    self.row_products[(first + row) * self.value_lines + block].0 = products.0.map(N::of);
                }
            }
        }
    }

    /// The first line of a column; the others are [`Matrix::stride`] numbers apart.
    pub(super) fn column(&self, index: usize) -> *const N {
        self.columns[index..].as_ptr().cast()
    }

    /// Numbers from a line of a column to its next.
    pub(super) fn stride(&self) -> usize {
        lines(self.len) * LANES * LANES
    }

    /// The inner products of the rows from `first` on with all rows, each in as many lines as a value has.
    pub(super) fn row_products(&self, first: usize) -> *const Line<N> {
        self.row_products[first * self.value_lines..].as_ptr()
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
