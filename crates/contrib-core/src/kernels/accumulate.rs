//! The one loop that reads the parts: totals of a norm over the differences between parts and a prepared whole.

use super::measure::{Measure, Parameters};
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// Elements that are totalled in the vectors' own type before they are added to `f64` totals. A vector of an even and
/// one of an odd index are totalled apart, which hides the latency of addition; each lane then makes 8 additions, so
/// that in `f32` the rounding of sums stays below that of the differences themselves.
pub(crate) const BLOCK: usize = 16 * LANES;

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
            while start + BLOCK <= len {
                let [even, odd] = full_vectors::<V, T, M>(measure, part.add(start), whole.add(start), BLOCK / LANES);
                total = M::join(total, M::join(even, odd).widen());
                start += BLOCK;
            }
            let rest = len - start;
            if rest > 0 {
                let vectors = rest / LANES;
                let mut sums = full_vectors::<V, T, M>(measure, part.add(start), whole.add(start), vectors);
                let full = vectors * LANES;
                if full < rest {
                    let elements = load_partial::<V, T>(part.add(start + full), rest - full);
                    let sum = &mut sums[vectors % 2];
                    *sum = measure.add(*sum, elements.sub(V::load(whole.add(start + full))));
                }
                total = M::join(total, M::join(sums[0], sums[1]).widen());
            }
            total.store(totals.as_mut_ptr());
        }
    }
}

/// The totals of the vectors of even and of odd index.
///
/// # Safety
/// As for [`accumulate`], for `vectors * LANES` elements.
#[inline(always)]
unsafe fn full_vectors<V: LoadAs<T>, T: Element, M: Measure<V>>(
    measure: M,
    part: *const T,
    whole: *const V::Scalar,
    vectors: usize,
) -> [V; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let difference = |vector: usize| V::load_as(part.add(vector * LANES)).sub(V::load(whole.add(vector * LANES)));
        let mut even = V::splat(0.0);
        let mut odd = V::splat(0.0);
        for pair in 0..vectors / 2 {
            even = measure.add(even, difference(2 * pair));
            odd = measure.add(odd, difference(2 * pair + 1));
        }
        if vectors % 2 == 1 {
            even = measure.add(even, difference(vectors - 1));
        }
        [even, odd]
    }
}
