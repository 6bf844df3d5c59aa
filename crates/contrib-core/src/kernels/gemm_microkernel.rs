//! The micro-kernel of matrix products: `MR` rows times `NR` columns.
//!
//! Factored parts need it three times: to project values, and wholes, through a matrix, and for the inner products of
//! wholes with directions or values.

use super::Kernel;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Rows of one call: as many as there are registers for their sums beside a column.
pub(crate) const MR: usize = 4;

/// Columns of one call: a panel of them, one in each lane.
pub(crate) const NR: usize = LANES;

/// Lines of a row that are added in their own type before the sums are added to the products, which are in `f64`.
pub(crate) const DEPTH: usize = 4;

/// The inner products of each row with each column.
pub(crate) type Products = [Line<f64>; MR];

/// Writes the inner products of [`MR`] rows with the [`NR`] columns of a panel, of numbers of type `N`, or adds them to
/// those of an earlier call. A panel has the elements of all columns that have one index in one line.
///
/// The order of additions does not depend on how lines are shared out among calls, where all calls but the last have a
/// multiple of [`DEPTH`] lines.
pub(crate) struct GemmMicrokernel<N>(PhantomData<N>);

/// The arguments of [`GemmMicrokernel`].
#[derive(Clone, Copy)]
pub(crate) struct GemmArguments<N> {
    /// The first of the `lines` lines of [`LANES`] numbers of each row, which can be read.
    pub(crate) rows: [*const N; MR],
    /// Numbers from the beginning of a line of a row to that of its next line.
    pub(crate) line_stride: usize,
    /// `lines * LANES` lines, which can be read: one for each number of a row.
    pub(crate) panel: *const Line<N>,
    pub(crate) lines: usize,
    /// The products are added to what is there.
    pub(crate) accumulate: bool,
    /// The products, which can be written; and read, where they are added to.
    pub(crate) products: *mut Products,
}

impl<N: Number> Kernel for GemmMicrokernel<N> {
    type Arguments = GemmArguments<N>;

    // Loops over rows are `while` loops: closures and iterators might not be inlined into the entry point.
    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: GemmArguments<N>) {
        let GemmArguments { rows, line_stride, panel, lines, accumulate, products } = arguments;
        let (panel, products) = (panel.cast::<N>(), products.cast::<f64>());
        // SAFETY: the processor has the instruction set. Rows and panel are read at a line below `lines` and an index
        // below LANES; products at a row below MR, and only where they are added to.
        unsafe {
            let mut totals = [V::Doubles::splat(0.0); MR];
            if accumulate {
                let mut row = 0;
                while row < MR {
                    totals[row] = LoadAs::<f64>::load(products.add(row * NR));
                    row += 1;
                }
            }
            let mut line = 0;
            while line < lines {
                let end = lines.min(line + DEPTH);
                let mut sums = [N::Lanes::<V>::splat(N::ZERO); MR];
                while line < end {
                    let mut index = 0;
                    while index < LANES {
                        let column: N::Lanes<V> = LoadAs::load(panel.add((line * LANES + index) * NR));
                        let mut row = 0;
                        while row < MR {
                            let number = *rows[row].add(line * line_stride + index);
                            sums[row] = sums[row].add(column.mul(Lanes::splat(number)));
                            row += 1;
                        }
                        index += 1;
                    }
                    line += 1;
                }
                let mut row = 0;
                while row < MR {
                    totals[row] = totals[row].add(N::widened::<V>(sums[row]));
                    row += 1;
                }
            }
            let mut row = 0;
            while row < MR {
                totals[row].store(products.add(row * NR));
                row += 1;
            }
        }
    }
}
