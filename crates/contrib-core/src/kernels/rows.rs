//! The loop that reads parts whose elements lie one after the other: totals of a measure over a part and its prepared
//! whole.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs, Number, Vectors};

/// Vectors that are totalled apart, which hides the latency of addition.
pub(crate) const CHAINS: usize = 2;

/// Elements whose terms are added in the measure's own type before they join the totals, which are in `f64`: few, so that
/// roundings in `f32` stay few.
///
/// Element `i` of a block is added to number `i % (CHAINS * LANES)` of the chains, in order; the chains join, and then the
/// totals of their lanes; and after the last block the upper half of the totals joins the lower half until one is left:
/// on every instruction set and for every layout.
pub(crate) const BLOCK: usize = 256;

/// The totals of one part, which pass from one piece of it to the next.
pub(crate) type Totals = [f64; LANES];

/// Which pieces of their vectors a kernel is handed. All but the last have a multiple of [`BLOCK`] elements.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// The totals begin with zero, whatever they hold.
    pub(crate) first: bool,
    /// All totals become one, the first.
    pub(crate) last: bool,
}

/// Adds to the totals of each part what the measure makes of `len` of its elements and those of the prepared whole.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` can be read at each of the `parts`, and `len`
/// numbers, rounded up to whole vectors, at `whole`; totals can be written for each part, and read unless this is the
/// first piece.
#[inline(always)]
pub(crate) unsafe fn rows<V: Vectors, T: Element, M: Measure>(
    parameters: Parameters,
    piece: Piece,
    parts: &[*const u8],
    whole: *const M::Number,
    len: usize,
    totals: *mut Totals,
) where
    <M::Number as Number>::Lanes<V>: LoadAs<T>,
{
    let measure = M::new(parameters);
    for (number, part) in parts.iter().enumerate() {
        let part = part.cast::<T>();
        let totals = totals.wrapping_add(number).cast::<f64>();
        // SAFETY: the caller's promise; every index stays inside `len`, the whole's rounded up to a vector.
        unsafe {
            let mut total = if piece.first { V::Doubles::splat(0.0) } else { V::Doubles::load(totals) };
            let mut start = 0;
            while start + BLOCK <= len {
                total = M::join(total, full_block::<V, T, M>(measure, part.add(start), whole.add(start)));
                start += BLOCK;
            }
            if start < len {
                let rest = last_block::<V, T, M>(measure, part.add(start), whole.add(start), len - start);
                total = M::join(total, rest);
            }
            if piece.last {
                let mut lanes = [0.0; LANES];
                total.store(lanes.as_mut_ptr());
                *totals = join_lanes(lanes, M::join_numbers);
            } else {
                total.store(totals);
            }
        }
    }
}

/// The joined chains of a whole block.
///
/// # Safety
/// As for [`rows`], for [`BLOCK`] elements.
#[inline(always)]
unsafe fn full_block<V: Vectors, T: Element, M: Measure>(
    measure: M,
    part: *const T,
    whole: *const M::Number,
) -> V::Doubles
where
    <M::Number as Number>::Lanes<V>: LoadAs<T>,
{
    // SAFETY: the caller's promise.
    unsafe {
        let (mut even, mut odd) = zero_chains::<V, M>();
        let mut index = 0;
        while index < BLOCK {
            even = measure.add(even, LoadAs::<T>::load(part.add(index)), LoadAs::load(whole.add(index)));
            let index_of_odd = index + LANES;
            odd = measure.add(odd, LoadAs::<T>::load(part.add(index_of_odd)), LoadAs::load(whole.add(index_of_odd)));
            index += CHAINS * LANES;
        }
        M::Number::widened::<V>(M::join(even, odd))
    }
}

/// The joined chains of a block of fewer elements.
///
/// # Safety
/// As for [`rows`].
#[inline(always)]
unsafe fn last_block<V: Vectors, T: Element, M: Measure>(
    measure: M,
    part: *const T,
    whole: *const M::Number,
    len: usize,
) -> V::Doubles
where
    <M::Number as Number>::Lanes<V>: LoadAs<T>,
{
    // SAFETY: the caller's promise; the last vector reads the elements that are left of the part, and a vector of the
    // whole.
    unsafe {
        let (mut even, mut odd) = zero_chains::<V, M>();
        let full = len - len % LANES;
        let mut index = 0;
        while index < full {
            let (own, of_whole) = (LoadAs::<T>::load(part.add(index)), LoadAs::load(whole.add(index)));
            if index % (CHAINS * LANES) == 0 {
                even = measure.add(even, own, of_whole);
            } else {
                odd = measure.add(odd, own, of_whole);
            }
            index += LANES;
        }
        if full < len {
            let (own, of_whole) = (load_partial::<_, T>(part.add(full), len - full), LoadAs::load(whole.add(full)));
            if full.is_multiple_of(CHAINS * LANES) {
                even = measure.add(even, own, of_whole);
            } else {
                odd = measure.add(odd, own, of_whole);
            }
        }
        M::Number::widened::<V>(M::join(even, odd))
    }
}

/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn zero_chains<V: Vectors, M: Measure>() -> (<M::Number as Number>::Lanes<V>, <M::Number as Number>::Lanes<V>) {
    // SAFETY: the caller's promise.
    unsafe { (Lanes::splat(M::Number::ZERO), Lanes::splat(M::Number::ZERO)) }
}

/// All lanes as one: the upper half joins the lower half until one is left.
#[inline(always)]
fn join_lanes(mut lanes: [f64; LANES], join: fn(f64, f64) -> f64) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}
