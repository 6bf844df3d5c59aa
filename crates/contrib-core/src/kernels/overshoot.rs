//! By how much parts go beyond their whole: what separates a gain in the 1-norm from an inner product.
//!
//! With a part `p` and the prepared whole `w`, `|w| - |p - w| = sign(w) p - 2 max(sign(w) p - |w|, 0)`. The first term,
//! summed, is an inner product; the second is zero but where an element of the part has the sign of the whole's and is
//! larger. Parts are mostly small beside their whole, so that most elements need not be looked at: the whole's are sorted by
//! magnitude, and only those come into question that are smaller than the largest of any part.

use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};

/// Elements that are added in `f32` before they join the sums, which are in `f64`.
const DEPTH: usize = 32;

/// Ranks of magnitudes, of which there are four for each power of two; the first takes all that are smaller.
const RANKS: usize = 64;

/// An element of a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Element {
    number: f32,
    index: u32,
}

/// How many elements of a whole have at most each rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranks {
    /// What the bits of a magnitude are lowered by.
    least: u32,
    ends: [u32; RANKS],
}

impl Default for Ranks {
    fn default() -> Self {
        Ranks { least: 0, ends: [0; RANKS] }
    }
}

/// The bits of a magnitude, which have the order of magnitudes, without those that a rank does not depend on.
fn bits_of_rank(magnitude: f32) -> u32 {
    magnitude.abs().to_bits() >> (f32::MANTISSA_DIGITS - 3)
}

impl Ranks {
    fn rank(&self, magnitude: f32) -> usize {
        (bits_of_rank(magnitude).saturating_sub(self.least) as usize).min(RANKS - 1)
    }

    /// Sorts the elements of a whole by rank.
    pub(crate) fn sort(&mut self, whole: &[f32], sorted: &mut [Element]) {
        let largest = whole.iter().map(|&number| bits_of_rank(number)).max().unwrap_or(0);
        self.least = largest.saturating_sub(RANKS as u32 - 1);
        let mut places = [0; RANKS];
        for &number in whole {
            places[self.rank(number)] += 1;
        }
        let mut end = 0;
        for (place, own) in places.iter_mut().zip(&mut self.ends) {
            let count = *place;
            *place = end;
            end += count;
            *own = end;
        }
        for (index, &number) in (0..).zip(whole) {
            let place = &mut places[self.rank(number)];
            sorted[*place as usize] = Element { number, index };
            *place += 1;
        }
    }

    /// How many of the sorted elements may be smaller than this magnitude: none that is after them is.
    #[inline(always)]
    fn smaller_than(&self, magnitude: f32) -> usize {
        self.ends[self.rank(magnitude)] as usize
    }
}

/// For each part of a panel `max(sign(w) p - |w|, 0)`, summed, where the part `p` is its coefficient times its direction. Of
/// parts whose coefficient is 0, anything; NaN for all where an element of another may not be finite. `largest` are the largest magnitudes of the directions' elements.
///
/// # Safety
/// The processor has the instruction set of `V`. The panel has as many lines as the whole has elements, which are `sorted`.
#[inline(always)]
pub(crate) unsafe fn overshoots<V: Vectors>(
    coefficients: &Line<f32>,
    largest: &Line<f32>,
    panel: *const Line<f32>,
    (ranks, sorted): (&Ranks, *const Element),
    to: &mut Line<f64>,
) {
    // SAFETY: the caller's promise; every index is one of the whole's elements.
    unsafe {
        let factors = <V::Singles as LoadAs<f32>>::load(coefficients.0.as_ptr());
        let mut bounds = [0.0_f32; LANES];
        factors.mul(LoadAs::<f32>::load(largest.0.as_ptr())).store(bounds.as_mut_ptr());
        // As bits, which have the same order, and those of what is not finite come last.
        let bits = |lane: usize| if coefficients.0[lane] == 0.0 { 0 } else { bounds[lane].abs().to_bits() };
        let bound = f32::from_bits((0..LANES).fold(0, |bound, lane| bound.max(bits(lane))));
        if !bound.is_finite() {
            V::Doubles::splat(f64::NAN).store(to.0.as_mut_ptr());
            return;
        }
        let (mut place, count) = (0, if bound > 0.0 { ranks.smaller_than(bound) } else { 0 });
        let (zero, mut total) = (V::Singles::splat(0.0), V::Doubles::splat(0.0));
        while place < count {
            let end = count.min(place + DEPTH);
            let mut sum = zero;
            while place < end {
                let Element { number, index } = *sorted.add(place);
                let part = <V::Singles as LoadAs<f32>>::load(panel.add(index as usize).cast()).mul(factors);
                let own = V::Singles::splat(number);
                sum = sum.add(part.sub(own).negated_where_negative(own).max(zero));
                place += 1;
            }
            total = total.add(<f32 as Number>::widened::<V>(sum));
        }
        total.store(to.0.as_mut_ptr());
    }
}
