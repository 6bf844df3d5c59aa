//! The loop over parts that are adjacent columns: neighbours in memory are elements of different parts, as in the columns
//! of a row-major matrix. A vector holds one element of each of sixteen parts.

use super::Kernel;
use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use super::rows::{ACCUMULATORS, BLOCK, Piece};
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
const AHEAD: isize = 8;

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
        type L<M, V> = <<M as Measure>::Number as Number>::Lanes<V>;
        let ColumnsArguments { parameters, piece, first, count, stride, whole, len, accumulators, totals } = arguments;
        let measure = M::new(parameters);
        let (first, whole) = (first.cast::<T>(), whole.cast::<M::Number>());
        let (accumulators, totals) = (accumulators.cast::<M::Number>(), totals.cast::<f64>());
        let vectors = count.div_ceil(LANES);
        // The last vector may have fewer parts than lanes. A whole vector is read there where what follows the parts in
        // memory are elements of the same parts: where there is no gap between rows of elements, and but for the last
        // rows. Else its elements are read one by one.
        let full_vectors = match usize::try_from(stride) {
            _ if count % LANES == 0 => len,
            Ok(stride) if (1..=count).contains(&stride) => {
                len.saturating_sub((vectors * LANES - count).div_ceil(stride))
            }
            _ => 0,
        };
        let fetched = if stride.unsigned_abs() >= LONG_STEP / size_of::<T>() { count * size_of::<T>() } else { 0 };
        // SAFETY: the processor has the instruction set. Elements are read at an index below `len`, and of the parts
        // alone: below `full_vectors` what a vector reads after its own parts are elements of the parts, too, as shown
        // above. Accumulators and totals have room for COLUMNS parts, which is a multiple of LANES; totals are read
        // after they were written, by this or an earlier piece.
        unsafe {
            if piece.first {
                fill_zero::<V::Doubles>(totals, LANES, vectors);
            }
            for start in (0..len).step_by(BLOCK) {
                fill_zero::<L<M, V>>(accumulators, ACCUMULATORS * LANES, vectors);
                for index in start..len.min(start + BLOCK) {
                    let own: L<M, V> = Lanes::splat(*whole.add(index));
                    let from = first.offset(index as isize * stride);
                    let accumulators = accumulators.add(index % (ACCUMULATORS * LANES) * COLUMNS);
                    let ahead = from.wrapping_offset(AHEAD * stride).cast::<u8>();
                    for line in (0..fetched).step_by(CACHE_LINE) {
                        V::prefetch(ahead.wrapping_add(line));
                    }
                    for vector in 0..vectors {
                        let (from, accumulator) = (from.add(vector * LANES), accumulators.add(vector * LANES));
                        let elements = if index < full_vectors || vector < vectors - 1 {
                            M::Number::load::<V>(from)
                        } else {
                            load_partial::<V, T, M::Number>(from, count - vector * LANES)
                        };
                        let sum: L<M, V> = LoadAs::load(accumulator);
                        measure.add(sum, elements, own).store(accumulator);
                    }
                }
                for lane in 0..LANES {
                    for vector in 0..vectors {
                        let even = accumulators.add(lane * COLUMNS + vector * LANES);
                        let odd = even.add(LANES * COLUMNS);
                        let reduced: L<M, V> = M::reduce(LoadAs::load(even), LoadAs::load(odd));
                        let total = totals.add(lane * COLUMNS + vector * LANES);
                        M::reduce(V::Doubles::load(total), M::Number::widened::<V>(reduced)).store(total);
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
                            M::reduce(LoadAs::<f64>::load(total), other).store(total);
                        }
                    }
                    half /= 2;
                }
            }
        }
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
