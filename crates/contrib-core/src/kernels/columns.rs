//! The loop that reads parts that lie side by side: neighbours in memory are elements of different parts, as the columns of
//! a row-major matrix are. A vector holds one element of each part.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use super::rows::{Piece, TOTALS};
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// The totals of up to [`LANES`] parts: for each of [`super::rows::Totals`] one number a part.
pub(crate) type ColumnTotals = [[f64; LANES]; TOTALS];

/// Parts that lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct SideBySide {
    /// The first element of the first part; those of the others follow it.
    pub(crate) first: *const u8,
    /// How many parts, at most [`LANES`].
    pub(crate) count: usize,
    /// Elements from one element of a part to its next.
    pub(crate) stride: isize,
}

/// Adds to `totals` what the norm makes of `len` elements of each of the parts less the prepared whole.
///
/// Each addition is the one that [`super::rows::rows`] makes, in the same order: the results have the same bits.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` of each of the parts can be read, and `len`
/// numbers at `whole`.
#[inline(always)]
pub(crate) unsafe fn columns<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
    parameters: Parameters,
    piece: Piece,
    parts: SideBySide,
    whole: *const f64,
    len: usize,
    totals: &mut ColumnTotals,
) {
    let measure = M::new(parameters);
    let SideBySide { first, count, stride } = parts;
    let first = first.cast::<T>();
    // With fewer parts than lanes, a full vector reads beyond them: where there is no gap, into the following elements of
    // the same parts, unless it would reach past the last.
    let full_vectors = match usize::try_from(stride) {
        _ if count == LANES => len,
        Ok(stride) if (1..=count).contains(&stride) => len.saturating_sub((LANES - count).div_ceil(stride)),
        _ => 0,
    };
    if piece.first {
        *totals = [[0.0; LANES]; TOTALS];
    }
    for index in 0..len {
        let totals = totals[index % TOTALS].as_mut_ptr();
        // SAFETY: the caller's promise; what a full vector reads beyond its own `count` are elements of the parts, too, as
        // shown above.
        unsafe {
            let from = first.offset(index as isize * stride);
            let elements: V = if index < full_vectors { LoadAs::<T>::load(from) } else { load_partial(from, count) };
            let total: V = LoadAs::<f64>::load(totals);
            measure.add(total, elements.sub(V::splat(*whole.add(index)))).store(totals);
        }
    }
    if piece.last {
        let mut half = TOTALS / 2;
        while half > 0 {
            for lower in 0..half {
                // SAFETY: each of the totals is a vector's worth of numbers, and the caller has the instruction set.
                unsafe {
                    let other: V = LoadAs::<f64>::load(totals[lower + half].as_ptr());
                    M::join(LoadAs::<f64>::load(totals[lower].as_ptr()), other).store(totals[lower].as_mut_ptr());
                }
            }
            half /= 2;
        }
    }
}
