//! Inner products: the micro-kernels of matrix products.
//!
//! [`products`] takes a few rows and sixteen columns at a time. Factored parts need it three times: to project values, and
//! wholes, through a matrix, and for the inner products of wholes with values. [`products_of_rows`] takes a few rows and
//! sixteen others, which need not be put in another order first: for wholes and directions, which may meet only once.

use super::rows::{BLOCK, sum_of_lanes};
use crate::lanes::{LANES, Lanes, LoadAs, Number, Vectors};

/// Rows that are multiplied together: as many sums as registers hold beside a column.
pub(crate) const ROWS: usize = 4;

/// Terms that are added in their own type before they join the products, which are in `f64`.
pub(crate) const DEPTH: usize = 32;

/// What each row gives with each column.
pub(crate) type Products = [[f64; LANES]; ROWS];

/// Adds to `products` the inner products of the rows with the [`LANES`] columns of a panel, which has their elements of one
/// index together: `len` terms each. The order of additions depends on `len` alone.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` numbers can be read at each of the rows, and [`LANES`] times as
/// many of the panel; the products can be read and written.
#[inline(always)]
pub(crate) unsafe fn products<V: Vectors, N: Number>(
    rows: [*const N; ROWS],
    panel: *const N,
    len: usize,
    products: *mut Products,
) {
    let products = products.cast::<f64>();
    // SAFETY: the caller's promise; every index stays below `len`.
    unsafe {
        let mut start = 0;
        while start < len {
            let end = len.min(start + DEPTH);
            let mut sums = [<N::Lanes<V> as Lanes>::splat(N::ZERO); ROWS];
            while start < end {
                let column: N::Lanes<V> = LoadAs::load(panel.add(start * LANES));
                let mut row = 0;
                while row < ROWS {
                    let term = column.mul(Lanes::splat(*rows[row].add(start)));
                    sums[row] = sums[row].add(term);
                    row += 1;
                }
                start += 1;
            }
            let mut row = 0;
            while row < ROWS {
                let place = products.add(row * LANES);
                let product: V::Doubles = LoadAs::<f64>::load(place);
                product.add(N::widened::<V>(sums[row])).store(place);
                row += 1;
            }
        }
    }
}

/// Elements of rows that are multiplied before the next ones, so that they stay in the first-level cache.
const SLICE: usize = 4 * BLOCK;

/// Adds to `products` the inner products of the rows with `count` others, the first of which begins at `others` and each
/// `len` after the one before it: `len` terms each. The order of additions depends on `len` alone.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` numbers, a multiple of [`BLOCK`], can be read of each row; the products
/// can be read and written; `count` is at most [`LANES`].
#[inline(always)]
pub(crate) unsafe fn products_of_rows<V: Vectors>(
    rows: [*const f32; ROWS],
    others: *const f32,
    count: usize,
    len: usize,
    products: *mut Products,
) {
    let products = products.cast::<f64>();
    let mut slice = 0;
    while slice < len {
        let end = len.min(slice + SLICE);
        for other in 0..count {
            // SAFETY: the caller's promise; every index stays below `len`.
            unsafe {
                let other_row = others.add(other * len);
                let mut totals = [V::Doubles::splat(0.0); ROWS];
                let mut start = slice;
                while start < end {
                    let mut sums = [V::Singles::splat(0.0); ROWS];
                    let mut index = start;
                    while index < start + BLOCK {
                        let own: V::Singles = LoadAs::<f32>::load(other_row.add(index));
                        let mut row = 0;
                        while row < ROWS {
                            sums[row] = sums[row].add(own.mul(LoadAs::<f32>::load(rows[row].add(index))));
                            row += 1;
                        }
                        index += LANES;
                    }
                    let mut row = 0;
                    while row < ROWS {
                        totals[row] = totals[row].add(<f32 as Number>::widened::<V>(sums[row]));
                        row += 1;
                    }
                    start += BLOCK;
                }
                let mut row = 0;
                while row < ROWS {
                    *products.add(row * LANES + other) += sum_of_lanes::<V>(totals[row]);
                    row += 1;
                }
            }
        }
        slice = end;
    }
}
