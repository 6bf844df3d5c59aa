//! The one loop that reads the parts: totals of a norm over the differences between parts and a prepared whole.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// Elements that are totalled in the vectors' own type before they are added to `f64` totals. With
/// [`Lanes::CHAINS`] independent totals each lane makes 4 additions in `f32`, so that the rounding of sums stays below
/// that of the differences themselves.
pub(crate) const BLOCK: usize = 16 * LANES;

/// The most totals that a block has.
const MAX_CHAINS: usize = 4;

/// The totals of one part, a lane each. They pass from one call to the next, so that a part can come in pieces.
pub(crate) type Totals = [f64; LANES];

/// Adds to `totals[i]` what the norm makes of `len` elements of `parts[i]` less the prepared whole.
///
/// The order of all additions depends on `len` alone: for a part that comes in pieces, all but the last a multiple of
/// [`BLOCK`] long, on the length of the part.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements of type `T` can be read at each of the `parts`, in
/// total as many as `totals`; and `len` numbers, rounded up to whole vectors, at `whole`.
#[inline(always)]
pub(crate) unsafe fn accumulate<V: LoadAs<T>, T: Element, M: Measure<V>>(
    parameters: Parameters,
    parts: &[*const u8],
    whole: *const V::Scalar,
    len: usize,
    totals: &mut [Totals],
) {
    let measure = M::new(parameters);
    for (part, totals) in parts.iter().zip(totals) {
        let part = part.cast::<T>();
        // SAFETY: the caller's promise; every index below stays inside `len`, the whole's rounded up to a vector.
        unsafe {
            let mut total = V::Wide::load(totals.as_ptr());
            let mut start = 0;
            while start < len {
                let sums = block::<V, T, M>(measure, part.add(start), whole.add(start), BLOCK.min(len - start));
                let mut sum = M::join(sums[0], sums[1]);
                if V::CHAINS == MAX_CHAINS {
                    sum = M::join(sum, M::join(sums[2], sums[3]));
                }
                total = M::join(total, sum.widen());
                start += BLOCK;
            }
            total.store(totals.as_mut_ptr());
        }
    }
}

/// The totals of a block: in `sums[i]` that of every vector whose index is `i` after division by [`Lanes::CHAINS`].
///
/// # Safety
/// As for [`accumulate`], for `len` elements, at most [`BLOCK`].
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the chains are fewer than the sums that there is room for")]
unsafe fn block<V: LoadAs<T>, T: Element, M: Measure<V>>(
    measure: M,
    part: *const T,
    whole: *const V::Scalar,
    len: usize,
) -> [V; MAX_CHAINS] {
    // SAFETY: the caller's promise.
    unsafe {
        // Indexed by constants alone, once loops over chains are unrolled, so that it stays in registers.
        let mut sums = [V::splat(0.0); MAX_CHAINS];
        let vectors = len / LANES;
        let mut vector = 0;
        while vector + V::CHAINS <= vectors {
            for chain in 0..V::CHAINS {
                sums[chain] = measure.add(sums[chain], difference(part, whole, vector + chain));
            }
            vector += V::CHAINS;
        }
        for chain in 0..V::CHAINS - 1 {
            if vector + chain < vectors {
                sums[chain] = measure.add(sums[chain], difference(part, whole, vector + chain));
            }
        }
        let full = vectors * LANES;
        if full < len {
            let rest = load_partial::<V, T>(part.add(full), len - full).sub(V::load(whole.add(full)));
            for chain in 0..V::CHAINS {
                if vectors % V::CHAINS == chain {
                    sums[chain] = measure.add(sums[chain], rest);
                }
            }
        }
        sums
    }
}

/// The differences of the vector with this index.
///
/// # Safety
/// As for [`accumulate`], for `(vector + 1) * LANES` elements.
#[inline(always)]
unsafe fn difference<V: LoadAs<T>, T: Element>(part: *const T, whole: *const V::Scalar, vector: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { V::load_as(part.add(vector * LANES)).sub(V::load(whole.add(vector * LANES))) }
}
