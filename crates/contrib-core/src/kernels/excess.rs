//! The excess of parts over their whole: the term that the reduction of the distance in the 1-norm has beside an inner
//! product.
//!
//! With an element `p` of a part and `w` of the prepared whole, `|w| - |p - w| = sign(w) p - 2 max(sign(w) p - |w|, 0)`.
//! The first term, summed over the elements, is an inner product. The second, `max(sign(w) p - |w|, 0)`, is the excess. It
//! is zero unless `p` has the sign of `w` and a larger magnitude. Parts are mostly small beside their whole, so that most
//! elements need not be read: those of the whole are sorted by magnitude once, and only those are read whose magnitude is
//! less than the largest of any part.

use super::Kernel;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};

/// Elements that are added in `f32` before the sums are added to those in `f64`.
const DEPTH: usize = 32;

/// Buckets of magnitudes, of which there are four for each power of two. The first takes all that are smaller.
const BUCKETS: usize = 64;

/// An element of a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SortedElement {
    number: f32,
    index: u32,
}

/// Where the buckets of magnitudes end among the sorted elements of a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    /// What [`bucket_bits`] of a magnitude in the first bucket are at most.
    least: u32,
    ends: [u32; BUCKETS],
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets { least: 0, ends: [0; BUCKETS] }
    }
}

/// The leading bits of a magnitude, which decide on its bucket. They have the order of magnitudes.
fn bucket_bits(magnitude: f32) -> u32 {
    magnitude.abs().to_bits() >> (f32::MANTISSA_DIGITS - 3)
}

impl Buckets {
    fn bucket(&self, magnitude: f32) -> usize {
        (bucket_bits(magnitude).saturating_sub(self.least) as usize).min(BUCKETS - 1)
    }

    /// Sorts the elements of a whole by bucket, which is a counting sort.
    pub(crate) fn sort(&mut self, whole: &[f32], sorted: &mut [SortedElement]) {
        let largest = whole.iter().map(|&number| bucket_bits(number)).max().unwrap_or(0);
        self.least = largest.saturating_sub(BUCKETS as u32 - 1);
        let mut counts = [0; BUCKETS];
        for &number in whole {
            counts[self.bucket(number)] += 1;
        }
        let mut end = 0;
        // The index at which the next element of each bucket goes.
        let mut next = [0; BUCKETS];
        for ((count, next), bucket_end) in counts.iter().zip(&mut next).zip(&mut self.ends) {
            *next = end;
            end += count;
            *bucket_end = end;
        }
        for (index, &number) in (0..).zip(whole) {
            let next = &mut next[self.bucket(number)];
            sorted[*next as usize] = SortedElement { number, index };
            *next += 1;
        }
    }

    /// How many of the sorted elements may be smaller than this magnitude. No element after them is.
    #[inline(always)]
    fn count_below(&self, magnitude: f32) -> usize {
        self.ends[self.bucket(magnitude)] as usize
    }
}

/// Writes the excess of each part of a panel, which is its coefficient times its direction, summed over the elements. What
/// it writes for a part whose coefficient is 0 means nothing. It writes NaN for all parts where an element of a part whose
/// coefficient is not 0 may not be finite.
pub(crate) struct Excess;

/// The arguments of [`Excess`].
#[derive(Clone, Copy)]
pub(crate) struct ExcessArguments {
    /// The coefficients, which can be read.
    pub(crate) coefficients: *const Line<f32>,
    /// The largest magnitudes of the directions' elements, which can be read.
    pub(crate) largest: *const Line<f32>,
    /// The directions: a line for each element of the whole, which can be read.
    pub(crate) panel: *const Line<f32>,
    /// The result of [`Buckets::sort`] for the whole, which can be read.
    pub(crate) buckets: *const Buckets,
    /// All elements of the whole, sorted by [`Buckets::sort`], which can be read.
    pub(crate) sorted: *const SortedElement,
    /// The result, which can be written.
    pub(crate) excess: *mut Line<f64>,
}

impl Kernel for Excess {
    type Arguments = ExcessArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ExcessArguments) {
        let ExcessArguments { coefficients, largest, panel, buckets, sorted, excess } = arguments;
        let excess = excess.cast::<f64>();
        // SAFETY: the processor has the instruction set. Sorted elements are read below the number of elements of the
        // whole, at which the last bucket ends, and the index of each is that of a line of the panel.
        unsafe {
            let factors: V::Singles = LoadAs::<f32>::load(coefficients.cast());
            let mut bounds = [0.0_f32; LANES];
            factors.mul(LoadAs::<f32>::load(largest.cast())).store(bounds.as_mut_ptr());
            // Magnitudes are compared by their bits, which have the same order, with those that are not finite last.
            let coefficients = (*coefficients).0;
            let bits = |lane: usize| if coefficients[lane] == 0.0 { 0 } else { bounds[lane].abs().to_bits() };
            let bound = f32::from_bits((0..LANES).fold(0, |bound, lane| bound.max(bits(lane))));
            if !bound.is_finite() {
                V::Doubles::splat(f64::NAN).store(excess);
                return;
            }
            let (mut position, count) = (0, if bound > 0.0 { (*buckets).count_below(bound) } else { 0 });
            let (zero, mut total) = (V::Singles::splat(0.0), V::Doubles::splat(0.0));
            while position < count {
                let end = count.min(position + DEPTH);
                let mut sum = zero;
                while position < end {
                    let SortedElement { number, index } = *sorted.add(position);
                    let part = <V::Singles as LoadAs<f32>>::load(panel.add(index as usize).cast()).mul(factors);
                    let own = V::Singles::splat(number);
                    sum = sum.add(part.sub(own).negated_where_negative(own).max(zero));
                    position += 1;
                }
                total = total.add(<f32 as Number>::widened::<V>(sum));
            }
            total.store(excess);
        }
    }
}
