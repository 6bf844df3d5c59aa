//! Matrix products: inner products of rows with the columns of a panel, by a micro-kernel.

use crate::dispatch::{Arithmetic, EntryPoint, entry_point};
use crate::instruction_set::InstructionSet;
use crate::kernels::gemm_microkernel::{DEPTH, GemmArguments, GemmMicrokernel, MR, Products};
use crate::lanes::{LANES, Line};
use std::array::from_fn;

/// Lines of rows that are multiplied with a panel before the next, so that they stay in the first-level cache. A multiple of
/// the micro-kernel's [`DEPTH`], so that the order of additions does not depend on it.
const SLICE: usize = 2 * DEPTH;

/// The kernel of matrix products.
#[derive(Clone, Copy)]
pub(super) struct Gemm<N>(EntryPoint<GemmArguments<N>>);

impl<N: Arithmetic> Gemm<N> {
    pub(super) fn new(set: InstructionSet) -> Self {
        Gemm(entry_point::<GemmMicrokernel<N>>(set))
    }

    /// Puts the inner products of `count` rows with the columns of a panel into `products`. `row` gives where the row with an
    /// index begins, whose lines are contiguous.
    ///
    /// # Safety
    /// As [`Gemm::multiply`].
    pub(super) unsafe fn multiply_rows(
        &self,
        (row, count): (impl Fn(usize) -> *const N, usize),
        panel: *const Line<N>,
        lines: usize,
        products: &mut [Products],
    ) {
        // The last row fills the last block.
        let rows = |block: usize| from_fn(|row_of_block| row((block * MR + row_of_block).min(count - 1)));
        // SAFETY: the same contract.
        unsafe { self.multiply((rows, LANES), panel, lines, &mut products[..count.div_ceil(MR)]) };
    }

    /// Puts the inner products of blocks of [`MR`] rows with the columns of a panel into `products`. `rows` gives the rows of
    /// a block, whose lines are `line_stride` numbers apart.
    ///
    /// # Safety
    /// - `lines` lines of each row can be read, and [`LANES`] times as many of the panel.
    pub(super) unsafe fn multiply(
        &self,
        (rows, line_stride): (impl Fn(usize) -> [*const N; MR], usize),
        panel: *const Line<N>,
        lines: usize,
        products: &mut [Products],
    ) {
        for start in (0..lines).step_by(SLICE) {
            for (block, products) in products.iter_mut().enumerate() {
                let arguments = GemmArguments {
                    rows: rows(block).map(|row| row.wrapping_add(start * line_stride)),
                    line_stride,
                    panel: panel.wrapping_add(start * LANES),
                    lines: SLICE.min(lines - start),
                    accumulate: start > 0,
                    products,
                };
                // SAFETY: the lines of the slice are among those that can be read.
                unsafe { (self.0)(arguments) };
            }
        }
    }
}
