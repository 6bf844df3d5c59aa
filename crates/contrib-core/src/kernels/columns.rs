//! The loop that reads parts that lie side by side: neighbours in memory are elements of different parts, as the columns of
//! a row-major matrix are. A vector holds one element of each part.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use super::rows::{Piece, TOTALS};
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// The most parts that are read together: their elements of one index fill a few cache lines, and their totals half of the
/// first-level cache.
pub(crate) const COLUMNS: usize = 4 * LANES;

/// Bytes of a cache line, on most processors.
const CACHE_LINE: usize = 64;

/// Steps of at least so many bytes are too long for a processor to see a stream in them.
const LONG_STEP: usize = 16 * CACHE_LINE;

/// In long steps, how many elements of each part ahead are fetched.
const AHEAD: isize = 8;

/// The totals of up to [`COLUMNS`] parts: for each of [`super::rows::Totals`] one number a part.
pub(crate) type ColumnTotals = [[f64; COLUMNS]; TOTALS];

/// Parts that lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct SideBySide {
    /// The first element of the first part; those of the others follow it.
    pub(crate) first: *const u8,
    /// How many parts, at most [`COLUMNS`].
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
/// numbers at `whole`; totals can be written, and read unless this is the first piece.
#[inline(always)]
pub(crate) unsafe fn columns<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
    parameters: Parameters,
    piece: Piece,
    parts: SideBySide,
    whole: *const f64,
    len: usize,
    totals: *mut ColumnTotals,
) {
    let measure = M::new(parameters);
    let SideBySide { first, count, stride } = parts;
    let first = first.cast::<T>();
    let totals = totals.cast::<f64>();
    let vectors = count.div_ceil(LANES);
    // The last vector may have fewer parts than lanes, and reads beyond them: where there is no gap, into the following
    // elements of the same parts, unless it would reach past the last.
    let full_vectors = match usize::try_from(stride) {
        _ if count % LANES == 0 => len,
        Ok(stride) if (1..=count).contains(&stride) => len.saturating_sub((vectors * LANES - count).div_ceil(stride)),
        _ => 0,
    };
    let fetched = if stride.unsigned_abs() >= LONG_STEP / size_of::<T>() { count * size_of::<T>() } else { 0 };
    // SAFETY: the caller's promise; what a full vector reads beyond its own parts are elements of the parts, too, as
    // shown above; and totals are as many as whole vectors of parts.
    unsafe {
        if piece.first {
            for total in 0..TOTALS {
                for vector in 0..vectors {
                    V::splat(0.0).store(totals.add(total * COLUMNS + vector * LANES));
                }
            }
        }
        for index in 0..len {
            let own = V::splat(*whole.add(index));
            let from = first.offset(index as isize * stride);
            let totals = totals.add(index % TOTALS * COLUMNS);
            let ahead = from.wrapping_offset(AHEAD * stride).cast::<u8>();
            for line in (0..fetched).step_by(CACHE_LINE) {
                V::prefetch(ahead.wrapping_add(line));
            }
            for vector in 0..vectors {
                let (from, totals) = (from.add(vector * LANES), totals.add(vector * LANES));
                let elements: V = if index < full_vectors || vector < vectors - 1 {
                    LoadAs::<T>::load(from)
                } else {
                    load_partial(from, count - vector * LANES)
                };
                let total: V = LoadAs::<f64>::load(totals);
                measure.add(total, elements.sub(own)).store(totals);
            }
        }
        if piece.last {
            let mut half = TOTALS / 2;
            while half > 0 {
                for lower in 0..half {
                    for vector in 0..vectors {
                        let total = totals.add(lower * COLUMNS + vector * LANES);
                        let other: V = LoadAs::<f64>::load(total.add(half * COLUMNS));
                        M::join(LoadAs::<f64>::load(total), other).store(total);
                    }
                }
                half /= 2;
            }
        }
    }
}
