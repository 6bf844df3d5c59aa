//! The loop that reads parts whose elements lie one after the other: totals of a norm over the differences between parts
//! and a prepared whole.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// Vectors that are totalled apart, which hides the latency of addition.
pub(crate) const CHAINS: usize = 2;

/// Totals of one part: element `i` is added to total `i % TOTALS`, in order, and then the upper half of the totals joins
/// the lower half until one is left; on every instruction set and for every layout.
pub(crate) const TOTALS: usize = CHAINS * LANES;

/// The totals of one part, which pass from one piece of it to the next.
pub(crate) type Totals = [f64; TOTALS];

/// Which pieces of their vectors a kernel is handed. All but the last have a multiple of [`TOTALS`] elements.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// The totals begin with zero, whatever they hold.
    pub(crate) first: bool,
    /// All totals become one, the first.
    pub(crate) last: bool,
}

/// Adds to the totals of each part what the norm makes of `len` of its elements less the prepared whole.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` can be read at each of the `parts`, and `len`
/// numbers, rounded up to whole vectors, at `whole`; totals can be written for each part, and read unless this is the
/// first piece.
#[inline(always)]
pub(crate) unsafe fn rows<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
    parameters: Parameters,
    piece: Piece,
    parts: &[*const u8],
    whole: *const f64,
    len: usize,
    totals: *mut Totals,
) {
    let measure = M::new(parameters);
    for (number, part) in parts.iter().enumerate() {
        let part = part.cast::<T>();
        let totals = totals.wrapping_add(number).cast::<f64>();
        // SAFETY: the caller's promise; every index below stays inside `len`, the whole's rounded up to a vector.
        unsafe {
            let (mut even, mut odd) = if piece.first {
                (V::splat(0.0), V::splat(0.0))
            } else {
                (LoadAs::<f64>::load(totals), LoadAs::<f64>::load(totals.add(LANES)))
            };
            let mut index = 0;
            while index + TOTALS <= len {
                even = measure.add(even, difference::<V, T>(part, whole, index));
                odd = measure.add(odd, difference::<V, T>(part, whole, index + LANES));
                index += TOTALS;
            }
            if index + LANES <= len {
                even = measure.add(even, difference::<V, T>(part, whole, index));
                index += LANES;
                if index < len {
                    odd = measure.add(odd, last_difference::<V, T>(part, whole, index, len - index));
                }
            } else if index < len {
                even = measure.add(even, last_difference::<V, T>(part, whole, index, len - index));
            }
            if piece.last {
                let mut lanes = [0.0; LANES];
                M::join(even, odd).store(lanes.as_mut_ptr());
                *totals = join_lanes::<M>(lanes);
            } else {
                even.store(totals);
                odd.store(totals.add(LANES));
            }
        }
    }
}

/// All lanes as one.
#[inline(always)]
fn join_lanes<M: Measure>(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = M::join_numbers(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The differences of the vector that begins at `index`.
///
/// # Safety
/// As for [`rows`], for `index + LANES` elements.
#[inline(always)]
unsafe fn difference<V: Lanes + LoadAs<T>, T: Element>(part: *const T, whole: *const f64, index: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let elements: V = LoadAs::<T>::load(part.add(index));
        elements.sub(LoadAs::<f64>::load(whole.add(index)))
    }
}

/// The differences of the `count` elements from `index` on, and zeros after them.
///
/// # Safety
/// As for [`rows`], for `index + count` elements.
#[inline(always)]
unsafe fn last_difference<V: Lanes + LoadAs<T>, T: Element>(
    part: *const T,
    whole: *const f64,
    index: usize,
    count: usize,
) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let elements: V = load_partial::<V, T>(part.add(index), count);
        elements.sub(LoadAs::<f64>::load(whole.add(index)))
    }
}
