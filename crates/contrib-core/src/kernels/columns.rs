//! The loop that reads parts that lie side by side: neighbours in memory are elements of different parts, as the columns of
//! a row-major matrix are. A vector holds one element of each part.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use super::rows::{BLOCK, CHAINS, Piece};
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs, Number, Vectors};

/// The most parts that are read together: their elements of one index fill a few cache lines, and their chains half of the
/// first-level cache.
pub(crate) const COLUMNS: usize = 4 * LANES;

/// Bytes of a cache line, on most processors.
const CACHE_LINE: usize = 64;

/// Steps of at least so many bytes are too long for a processor to see a stream in them.
const LONG_STEP: usize = 16 * CACHE_LINE;

/// In long steps, how many elements of each part ahead are fetched.
const AHEAD: isize = 8;

/// The totals of up to [`COLUMNS`] parts: for each of [`super::rows::Totals`] one number a part.
pub(crate) type ColumnTotals = [[f64; COLUMNS]; LANES];

/// Room for the chains of a block of up to [`COLUMNS`] parts, in the measure's own type.
pub(crate) type ColumnChains = [[f64; COLUMNS]; CHAINS * LANES];

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

/// Adds to `totals` what the measure makes of `len` elements of each of the parts and of the prepared whole.
///
/// Each addition is the one that [`super::rows::rows`] makes, in the same order: the results have the same bits.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` of each of the parts can be read, and `len`
/// numbers at `whole`; `chains` and `totals` can be written, and totals read unless this is the first piece.
#[inline(always)]
pub(crate) unsafe fn columns<V: Vectors, T: Element, M: Measure>(
    parameters: Parameters,
    piece: Piece,
    parts: SideBySide,
    whole: *const M::Number,
    len: usize,
    chains: *mut ColumnChains,
    totals: *mut ColumnTotals,
) where
    <M::Number as Number>::Lanes<V>: LoadAs<T>,
{
    type L<M, V> = <<M as Measure>::Number as Number>::Lanes<V>;
    let measure = M::new(parameters);
    let SideBySide { first, count, stride } = parts;
    let first = first.cast::<T>();
    let chains = chains.cast::<M::Number>();
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
    // shown above; and chains and totals are as many as whole vectors of parts.
    unsafe {
        if piece.first {
            fill_zero::<V::Doubles>(totals, LANES, vectors);
        }
        for start in (0..len).step_by(BLOCK) {
            fill_zero::<L<M, V>>(chains, CHAINS * LANES, vectors);
            for index in start..len.min(start + BLOCK) {
                let own: L<M, V> = Lanes::splat(*whole.add(index));
                let from = first.offset(index as isize * stride);
                let chains = chains.add(index % (CHAINS * LANES) * COLUMNS);
                let ahead = from.wrapping_offset(AHEAD * stride).cast::<u8>();
                for line in (0..fetched).step_by(CACHE_LINE) {
                    V::prefetch(ahead.wrapping_add(line));
                }
                for vector in 0..vectors {
                    let (from, chain) = (from.add(vector * LANES), chains.add(vector * LANES));
                    let elements = if index < full_vectors || vector < vectors - 1 {
                        LoadAs::<T>::load(from)
                    } else {
                        load_partial::<_, T>(from, count - vector * LANES)
                    };
                    let sum: L<M, V> = LoadAs::load(chain);
                    measure.add(sum, elements, own).store(chain);
                }
            }
            for lane in 0..LANES {
                for vector in 0..vectors {
                    let even = chains.add(lane * COLUMNS + vector * LANES);
                    let odd = even.add(LANES * COLUMNS);
                    let joined: L<M, V> = M::join(LoadAs::load(even), LoadAs::load(odd));
                    let total = totals.add(lane * COLUMNS + vector * LANES);
                    M::join(V::Doubles::load(total), M::Number::widened::<V>(joined)).store(total);
                }
            }
        }
        if piece.last {
            let mut half = LANES / 2;
            while half > 0 {
                for lower in 0..half {
                    for vector in 0..vectors {
                        let total = totals.add(lower * COLUMNS + vector * LANES);
                        let other: V::Doubles = LoadAs::<f64>::load(total.add(half * COLUMNS));
                        M::join(LoadAs::<f64>::load(total), other).store(total);
                    }
                }
                half /= 2;
            }
        }
    }
}

/// Writes zeros to `rows` rows of [`COLUMNS`] numbers, as many vectors of each.
///
/// # Safety
/// The processor has the instruction set of `L`, and the rows can be written.
#[inline(always)]
unsafe fn fill_zero<L: Lanes>(numbers: *mut L::Number, rows: usize, vectors: usize) {
    // Row by row it would become a call of `memset`.
    for vector in 0..vectors {
        for row in 0..rows {
            // SAFETY: the caller's promise.
            unsafe { L::splat(L::Number::ZERO).store(numbers.add(row * COLUMNS + vector * LANES)) };
        }
    }
}
