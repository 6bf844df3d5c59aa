//! The loop over parts whose elements are contiguous: totals of a measure over a part and its prepared whole.

use super::Kernel;
use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs, Number, Reads, Vectors};
use std::marker::PhantomData;

/// Vectors of sums that do not depend on each other, which hides the latency of addition.
pub(crate) const ACCUMULATORS: usize = 2;

/// Elements whose terms are added in the measure's own type before the sums are added to the totals, which are in `f64`.
/// They are few, so that few roundings are in `f32`.
///
/// The order of additions is the same on every instruction set and for every layout:
/// - element `i` of a block is added to number `i % (ACCUMULATORS * LANES)` of the accumulators, in order of `i`;
/// - after each block the second accumulator is added to the first, and the first to the vector of totals;
/// - after the last block the upper half of the totals is added to the lower half until one is left.
pub(crate) const BLOCK: usize = 256;

/// Bytes ahead of each page of which one cache line is fetched. The processor fetches lines in order by itself, but waits at
/// each page for its address; so much ahead, the address is known in time. To ask for more lines would take longer.
pub(crate) const AHEAD: usize = 32 << 10;

/// Bytes of the smallest pages that systems have.
const PAGE: usize = 4 << 10;

/// The totals of one part, which pass from one piece of it to the next.
pub(crate) type Totals = [f64; LANES];

/// Which piece of its vectors a kernel is given. All pieces but the last have a multiple of [`BLOCK`] elements.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// The totals begin with zero, whatever they hold.
    pub(crate) first: bool,
    /// The totals are reduced to one number, the first.
    pub(crate) last: bool,
}

/// Adds to the totals of each part, whose elements are of type `T`, what the measure `M` makes of them and of the
/// prepared whole.
pub(crate) struct Rows<T, M>(PhantomData<(T, M)>);

/// The arguments of [`Rows`].
#[derive(Clone, Copy)]
pub(crate) struct RowsArguments {
    pub(crate) parameters: Parameters,
    pub(crate) piece: Piece,
    /// Pointers to `len` elements of type `T` each, which can be read.
    pub(crate) parts: *const [*const u8],
    /// `len` numbers of the type of `M`, rounded up to whole vectors, which can be read.
    pub(crate) whole: *const u8,
    pub(crate) len: usize,
    /// For each part its totals, which can be written; and read, unless the piece is the first.
    pub(crate) totals: *mut Totals,
}

impl<T: Element, M: Measure> Kernel for Rows<T, M>
where
    M::Number: Reads<T>,
{
    type Arguments = RowsArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: RowsArguments) {
        let RowsArguments { parameters, piece, parts, whole, len, totals } = arguments;
        let measure = M::new(parameters);
        let whole = whole.cast::<M::Number>();
        // SAFETY: the pointers to the parts can be read.
        let parts = unsafe { &*parts };
        for (number, part) in parts.iter().enumerate() {
            let part = part.cast::<T>();
            let totals = totals.wrapping_add(number).cast::<f64>();
            // SAFETY: the processor has the instruction set. Blocks begin below `len`, and end there at the latest. The
            // totals of this part can be written, and are read only where the piece is not the first.
            unsafe {
                let mut total = if piece.first { V::Doubles::splat(0.0) } else { V::Doubles::load(totals) };
                let mut start = 0;
                while start < len {
                    let (part, whole) = (part.add(start), whole.add(start));
                    let ahead = part.cast::<u8>().wrapping_add(AHEAD);
                    if ahead.addr() % PAGE < BLOCK * size_of::<T>() {
                        V::prefetch(ahead);
                    }
                    total = M::reduce(total, block::<V, T, M>(measure, part, whole, BLOCK.min(len - start)));
                    start += BLOCK;
                }
                if piece.last {
                    let mut lanes = [0.0; LANES];
                    total.store(lanes.as_mut_ptr());
                    *totals = reduce_lanes(lanes, M::reduce_numbers);
                } else {
                    total.store(totals);
                }
            }
        }
    }
}

/// The reduced accumulators of a block of `len` elements.
///
/// # Safety
/// - The processor has the instruction set of `V`.
/// - `len` elements of the part can be read, and `len` numbers of the whole, rounded up to whole vectors.
#[inline(always)]
unsafe fn block<V: Vectors, T: Element, M: Measure>(
    measure: M,
    part: *const T,
    whole: *const M::Number,
    len: usize,
) -> V::Doubles
where
    M::Number: Reads<T>,
{
    // SAFETY: the processor has the instruction set. Whole vectors end at `len` at the latest; `load_partial` reads the
    // elements after them, and the whole is read up to `len` rounded up to whole vectors.
    unsafe {
        let zero: <M::Number as Number>::Lanes<V> = Lanes::splat(M::Number::ZERO);
        let (mut even, mut odd) = (zero, zero);
        let mut index = 0;
        while index + ACCUMULATORS * LANES <= len {
            even = measure.add(even, M::Number::load::<V>(part.add(index)), LoadAs::load(whole.add(index)));
            let index_of_odd = index + LANES;
            odd = measure.add(odd, M::Number::load::<V>(part.add(index_of_odd)), LoadAs::load(whole.add(index_of_odd)));
            index += ACCUMULATORS * LANES;
        }
        if index + LANES <= len {
            even = measure.add(even, M::Number::load::<V>(part.add(index)), LoadAs::load(whole.add(index)));
            index += LANES;
            // What follows is odd. The order of the two makes no difference in the end.
            (even, odd) = (odd, even);
        }
        if index < len {
            let own = load_partial::<V, T, M::Number>(part.add(index), len - index);
            even = measure.add(even, own, LoadAs::load(whole.add(index)));
        }
        M::Number::widened::<V>(M::reduce(even, odd))
    }
}

/// Reduces the lanes to one number: the upper half is added to the lower half until one is left.
#[inline(always)]
fn reduce_lanes(mut lanes: [f64; LANES], reduce: fn(f64, f64) -> f64) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = reduce(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}
