//! The direction of one value: its product with a packed matrix.

use super::Kernel;
use super::gemm_microkernel::DEPTH;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Writes the inner products of a value with all columns of a matrix, of numbers of type `N`. Additions have the order of
/// [`GemmMicrokernel`](super::gemm_microkernel::GemmMicrokernel)'s, so that the products have the same bits.
pub(crate) struct ProjectValue<N>(PhantomData<N>);

/// The arguments of [`ProjectValue`].
#[derive(Clone, Copy)]
pub(crate) struct ProjectValueArguments<N> {
    /// `lines * LANES` numbers, which can be read.
    pub(crate) value: *const N,
    pub(crate) lines: usize,
    /// For each [`LANES`] rows of the matrix a line of every column, which can be read.
    pub(crate) matrix: *const Line<N>,
    /// A multiple of [`LANES`].
    pub(crate) columns: usize,
    /// A number for each column, which can be written.
    pub(crate) direction: *mut N,
}

impl<N: Number> Kernel for ProjectValue<N> {
    type Arguments = ProjectValueArguments<N>;

    // Loops are `while` loops: closures and iterators might not be inlined into the entry point.
    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ProjectValueArguments<N>) {
        let ProjectValueArguments { value, lines, matrix, columns, direction } = arguments;
        // SAFETY: the processor has the instruction set. The value is read at a line below `lines` and an index below LANES,
        // the matrix at such a line and a column below `columns`, and as many numbers are written.
        unsafe {
            let mut column = 0;
            while column < columns {
                let mut totals = V::Doubles::splat(0.0);
                let mut line = 0;
                while line < lines {
                    let end = lines.min(line + DEPTH);
                    let mut sums = N::Lanes::<V>::splat(N::ZERO);
                    while line < end {
                        let columns = matrix.add(line * columns + column);
                        let mut row = 0;
                        // Squares of f64 would not fit into the registers.
                        if size_of::<N>() == size_of::<f32>() {
                            let mut square = [sums; LANES];
                            while row < LANES {
                                square[row] = LoadAs::<N>::load(columns.add(row).cast());
                                row += 1;
                            }
                            Lanes::transpose(&mut square);
                            row = 0;
                            while row < LANES {
                                let number = Lanes::splat(*value.add(line * LANES + row));
                                sums = sums.add(square[row].mul(number));
                                row += 1;
                            }
                        }
                        while row < LANES {
                            let mut numbers = [N::ZERO; LANES];
                            let mut index = 0;
                            while index < LANES {
                                numbers[index] = *columns.add(index).cast::<N>().add(row);
                                index += 1;
                            }
                            let number = Lanes::splat(*value.add(line * LANES + row));
                            let own: N::Lanes<V> = LoadAs::<N>::load(numbers.as_ptr());
                            sums = sums.add(own.mul(number));
                            row += 1;
                        }
                        line += 1;
                    }
                    totals = totals.add(N::widened::<V>(sums));
                }
                N::narrowed::<V>(totals).store(direction.add(column));
                column += LANES;
            }
        }
    }
}
