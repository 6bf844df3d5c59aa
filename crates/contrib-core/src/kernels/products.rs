//! Inner products: the micro-kernel of matrix products.
//!
//! It takes a few rows and sixteen columns at a time. Factored parts need it three times: to project values, and wholes,
//! through a matrix, and for the inner products of wholes with directions or values.

use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};

/// Rows that are multiplied together: as many sums as registers hold beside a column.
pub(crate) const ROWS: usize = 4;

/// Lines of a row that are added in their own type before they join the products, which are in `f64`.
pub(crate) const DEPTH: usize = 4;

/// What each row gives with each column.
pub(crate) type Products = [Line<f64>; ROWS];

/// Rows of numbers in lines of [`LANES`], the first of which begin at `starts`, and each `step` numbers after the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Rows<N> {
    pub(crate) starts: [*const N; ROWS],
    pub(crate) step: usize,
}

/// Puts the inner products of the rows with the columns of a panel, which has their elements of one index together, into
/// `products`, or adds them to those where they are `continued`. The order of additions depends on the number of lines alone,
/// where all but the last call have a multiple of [`DEPTH`].
///
/// # Safety
/// The processor has the instruction set of `V`. `lines` lines of numbers can be read of each row, and [`LANES`] times as
/// many of the panel; the products can be read and written.
#[inline(always)]
pub(crate) unsafe fn products<V: Vectors, N: Number>(
    rows: Rows<N>,
    panel: *const Line<N>,
    lines: usize,
    continued: bool,
    products: *mut Products,
) {
    let (panel, products) = (panel.cast::<N>(), products.cast::<f64>());
    // SAFETY: the caller's promise; every index stays below `lines`.
    unsafe {
        let mut totals = [V::Doubles::splat(0.0); ROWS];
        if continued {
            let mut row = 0;
            while row < ROWS {
                totals[row] = LoadAs::<f64>::load(products.add(row * LANES));
                row += 1;
            }
        }
        let mut line = 0;
        while line < lines {
            let end = lines.min(line + DEPTH);
            let mut sums = [<N::Lanes<V> as Lanes>::splat(N::ZERO); ROWS];
            while line < end {
                let mut index = 0;
                while index < LANES {
                    let column: N::Lanes<V> = LoadAs::load(panel.add((line * LANES + index) * LANES));
                    let mut row = 0;
                    while row < ROWS {
                        let number = *rows.starts[row].add(line * rows.step + index);
                        sums[row] = sums[row].add(column.mul(Lanes::splat(number)));
                        row += 1;
                    }
                    index += 1;
                }
                line += 1;
            }
            let mut row = 0;
            while row < ROWS {
                totals[row] = totals[row].add(N::widened::<V>(sums[row]));
                row += 1;
            }
        }
        let mut row = 0;
        while row < ROWS {
            totals[row].store(products.add(row * LANES));
            row += 1;
        }
    }
}
