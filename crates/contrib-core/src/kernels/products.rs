//! Inner products of a few rows with sixteen columns at a time: the micro-kernel of a matrix product. Factored parts need
//! it three times: to project values, and wholes, through a matrix, and for the inner products of wholes with directions.

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
