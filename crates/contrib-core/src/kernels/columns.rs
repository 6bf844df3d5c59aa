//! The loop over parts that are adjacent columns: neighbours in memory are elements of different parts, as in the columns
//! of a row-major matrix. A vector holds one element of each of sixteen parts.

use super::Kernel;
use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use super::rows::{ACCUMULATORS, AHEAD, BLOCK, Piece};
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs, Number, Reads, Vectors};
use std::marker::PhantomData;

/// The most parts that are read in one pass: their elements of one index fill a few cache lines, and their accumulators
/// half of the first-level cache.
pub(crate) const COLUMNS: usize = 4 * LANES;

/// Bytes of a cache line, on most processors.
const CACHE_LINE: usize = 64;

/// Processors do not prefetch a stream whose steps are at least so many bytes, so that the kernel asks for its lines.
const LONG_STEP: usize = 16 * CACHE_LINE;

/// How many elements of each part ahead are fetched where steps are long.
const STEPS_AHEAD: isize = 8;

/// The totals of up to [`COLUMNS`] parts: for each of [`super::rows::Totals`] one number a part.
pub(crate) type ColumnTotals = [[f64; COLUMNS]; LANES];

/// Memory for the accumulators of a block of up to [`COLUMNS`] parts, in the measure's own type.
pub(crate) type ColumnAccumulators = [[f64; COLUMNS]; ACCUMULATORS * LANES];

/// Adds to the totals of adjacent columns, whose elements are of type `T`, what the measure `M` makes of them and of the
/// prepared whole.
///
/// Each addition is one that [`super::rows::Rows`] makes, in the same order, so that the results have the same bits.
pub(crate) struct Columns<T, M>(PhantomData<(T, M)>);

/// The arguments of [`Columns`].
#[derive(Clone, Copy)]
pub(crate) struct ColumnsArguments {
    pub(crate) parameters: Parameters,
    pub(crate) piece: Piece,
    /// The first element, of type `T`, of the first part. Those of the others follow it. `len` elements of each part can
    /// be read.
    pub(crate) first: *const u8,
    /// How many parts there are: at most [`COLUMNS`].
    pub(crate) count: usize,
    /// Elements from one element of a part to its next.
    pub(crate) stride: isize,
    /// `len` numbers of the type of `M`, which can be read.
    pub(crate) whole: *const u8,
    pub(crate) len: usize,
    /// Working memory, which can be written.
    pub(crate) accumulators: *mut ColumnAccumulators,
    /// The totals, which can be written; and read, unless the piece is the first.
    pub(crate) totals: *mut ColumnTotals,
}

impl<T: Element, M: Measure> Kernel for Columns<T, M>
where
    M::Number: Reads<T>,
{
    type Arguments = ColumnsArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ColumnsArguments) {
        // SAFETY: the conditions are the same, and COLUMNS parts are four vectors.
        unsafe {
            match arguments.count.div_ceil(LANES) {
                0 | 1 => columns::<V, T, M, 1>(arguments),
                2 => columns::<V, T, M, 2>(arguments),
                3 => columns::<V, T, M, 3>(arguments),
                _ => columns::<V, T, M, 4>(arguments),
            }
        }
    }
}

/// The kernel for parts that are so many vectors: a constant, so that the loop over elements has no loop over vectors in it.
///
/// # Safety
/// - The processor has the instruction set of `V`.
/// - The arguments are valid, and their parts are `VECTORS` vectors, the last of which may have fewer.
#[inline(always)]
unsafe fn columns<V: Vectors, T: Element, M: Measure, const VECTORS: usize>(arguments: ColumnsArguments)
where
    M::Number: Reads<T>,
{
    let ColumnsArguments { parameters, piece, first, count, stride, whole, len, accumulators, totals } = arguments;
    let measure = M::new(parameters);
    let (first, whole) = (first.cast::<T>(), whole.cast::<M::Number>());
    let (accumulators, totals) = (accumulators.cast::<M::Number>(), totals.cast::<f64>());
    // The last vector may have fewer parts than lanes. A whole vector is read there where what follows the parts in
    // memory are elements of the same parts: where there is no gap between rows of elements, and but for the last
    // rows. Else its elements are read one by one.
    let full_vectors = match usize::try_from(stride) {
        _ if count % LANES == 0 => len,
        Ok(stride) if (1..=count).contains(&stride) => len.saturating_sub((VECTORS * LANES - count).div_ceil(stride)),
        _ => 0,
    };
    // The same as VECTORS, but not to the compiler, which would make one call of `memset` of clearing all of COLUMNS.
    let vectors = count.div_ceil(LANES);
    let in_last = count - (VECTORS - 1) * LANES;
    let fetched = if stride.unsigned_abs() >= LONG_STEP / size_of::<T>() { count * size_of::<T>() } else { 0 };
    // SAFETY: the processor has the instruction set. Elements are read at an index below `len`, and of the parts
    // alone: below `full_vectors` what a vector reads after its own parts are elements of the parts, too, as shown
    // above. Accumulators and totals have room for COLUMNS parts, which is a multiple of LANES; totals are read
    // after they were written, by this or an earlier piece.
    unsafe {
        if piece.first {
            fill_zero::<V::Doubles>(totals, LANES, vectors);
        }
        let mut start = 0;
        while start < len {
            fill_zero::<<M::Number as Number>::Lanes<V>>(accumulators, ACCUMULATORS * LANES, vectors);
            let end = len.min(start + BLOCK);
            let mut index = start;
            while index < end {
                let from = first.offset(index as isize * stride);
                let ahead = from.wrapping_offset(STEPS_AHEAD * stride).cast::<u8>();
                let mut line = 0;
                while line < fetched {
                    V::prefetch(ahead.wrapping_add(line));
                    line += CACHE_LINE;
                }
                if fetched == 0 && index % LANES == 0 {
                    V::prefetch(from.cast::<u8>().wrapping_add(AHEAD));
                }
                let accumulators = accumulators.add(index % (ACCUMULATORS * LANES) * COLUMNS);
                let own = Lanes::splat(*whole.add(index));
                if index < full_vectors {
                    add_elements::<V, T, M, VECTORS>(measure, from, LANES, own, accumulators);
                } else {
                    add_elements::<V, T, M, VECTORS>(measure, from, in_last, own, accumulators);
                }
                index += 1;
            }
            for lane in 0..LANES {
                for vector in 0..VECTORS {
                    let even = accumulators.add(lane * COLUMNS + vector * LANES);
                    let odd = even.add(LANES * COLUMNS);
                    let reduced: <M::Number as Number>::Lanes<V> = M::reduce(LoadAs::load(even), LoadAs::load(odd));
                    let total = totals.add(lane * COLUMNS + vector * LANES);
                    M::reduce(V::Doubles::load(total), M::Number::widened::<V>(reduced)).store(total);
                }
            }
            start += BLOCK;
        }
        if piece.last {
            let mut half = LANES / 2;
            while half > 0 {
                for lower in 0..half {
                    for vector in 0..VECTORS {
                        let total = totals.add(lower * COLUMNS + vector * LANES);
                        let other: V::Doubles = LoadAs::<f64>::load(total.add(half * COLUMNS));
                        M::reduce(LoadAs::<f64>::load(total), other).store(total);
                    }
                }
                half /= 2;
            }
        }
    }
}

/// Adds one element of each part to its accumulator. `in_last` are the parts of the last vector.
///
/// # Safety
/// - The processor has the instruction set of `V`.
/// - At `from` the elements can be read, and the accumulators can be read and written.
#[inline(always)]
unsafe fn add_elements<V: Vectors, T: Element, M: Measure, const VECTORS: usize>(
    measure: M,
    from: *const T,
    in_last: usize,
    own: <M::Number as Number>::Lanes<V>,
    accumulators: *mut M::Number,
) where
    M::Number: Reads<T>,
{
    let mut vector = 0;
    while vector < VECTORS {
        // SAFETY: the processor has the instruction set, and each vector's elements and accumulators are those of its parts.
        unsafe {
            let (from, accumulator) = (from.add(vector * LANES), accumulators.add(vector * LANES));
            let elements = if in_last == LANES || vector < VECTORS - 1 {
                M::Number::load::<V>(from)
            } else {
                load_partial::<V, T, M::Number>(from, in_last)
            };
            measure.add(LoadAs::load(accumulator), elements, own).store(accumulator);
        }
        vector += 1;
    }
}

/// Writes zeros to `rows` rows of [`COLUMNS`] numbers, as many vectors of each.
///
/// # Safety
/// - The processor has the instruction set of `L`.
/// - The rows can be written.
#[inline(always)]
unsafe fn fill_zero<L: Lanes>(numbers: *mut L::Number, rows: usize, vectors: usize) {
    // Row by row it would become a call of `memset`.
    for vector in 0..vectors {
        for row in 0..rows {
            // SAFETY: the processor has the instruction set, and the vector lies inside its row.
            unsafe { L::splat(L::Number::ZERO).store(numbers.add(row * COLUMNS + vector * LANES)) };
        }
    }
}
