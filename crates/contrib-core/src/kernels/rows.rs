//! The loop that reads parts whose elements lie one after the other: totals of a norm over the differences between parts
//! and a prepared whole.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// Vectors that are totalled apart, which hides the latency of addition.
pub(crate) const CHAINS: usize = 2;

/// Totals of one part: element `i` is added to total `i % TOTALS`, in order, on every instruction set and for every
/// layout. They pass from one call to the next, so that a part can come in pieces.
pub(crate) const TOTALS: usize = CHAINS * LANES;

/// The totals of one part.
pub(crate) type Totals = [f64; TOTALS];

/// Adds to `totals[i]` what the norm makes of `len` elements of `parts[i]` less the prepared whole. Where a part comes
/// in pieces, all but the last have a multiple of [`TOTALS`] elements.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` can be read at each of the `parts`, in
/// total as many as `totals`; and `len` numbers, rounded up to whole vectors, at `whole`.
#[inline(always)]
pub(crate) unsafe fn rows<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
    parameters: Parameters,
    parts: &[*const u8],
    whole: *const f64,
    len: usize,
    totals: &mut [Totals],
) {
    let measure = M::new(parameters);
    for (part, totals) in parts.iter().zip(totals) {
        let part = part.cast::<T>();
        let totals = totals.as_mut_ptr();
        // SAFETY: the caller's promise; every index below stays inside `len`, the whole's rounded up to a vector.
        unsafe {
            let mut even: V = LoadAs::<f64>::load(totals);
            let mut odd: V = LoadAs::<f64>::load(totals.add(LANES));
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
            even.store(totals);
            odd.store(totals.add(LANES));
        }
    }
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
