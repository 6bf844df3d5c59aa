//! The excess of parts over their whole: the term that the reduction of the distance in the 1-norm has beside an inner
//! product.
//!
//! With an element `p` of a part and `w` of the prepared whole, `|w| - |p - w| = sign(w) p - 2 max(sign(w) p - |w|, 0)`.
//! The first term, summed over the elements, is an inner product. The second, `max(sign(w) p - |w|, 0)`, is the excess. It
//! is zero unless `p` has the sign of `w` and a larger magnitude. Parts are mostly small beside their whole, so that most
//! elements need not be read: those of the whole are sorted by magnitude once, and only those are read whose magnitude is
//! less than the largest of any part.

use super::Kernel;
use crate::lanes::{Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Sorted elements whose excess is added in its own type before the sums are added to those in `f64`.
pub(crate) const DEPTH: usize = 32;

/// Buckets of magnitudes, of which there are four for each power of two. The first takes all that are smaller.
const BUCKETS: usize = 64;

/// An element of a whole. It is packed so that it has no padding with any type of number.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(crate) struct SortedElement<N> {
    /// The prepared element.
    pub(crate) number: N,
    /// Its index in the whole.
    pub(crate) index: u32,
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
    pub(crate) fn sort<N: Number>(&mut self, whole: &[N], sorted: &mut [SortedElement<N>]) {
        // Rounding to `f32` keeps the order of magnitudes.
        let magnitude = |number: N| number.to_f64() as f32;
        let largest = whole.iter().map(|&number| bucket_bits(magnitude(number))).max().unwrap_or(0);
        self.least = largest.saturating_sub(BUCKETS as u32 - 1);
        let mut counts = [0; BUCKETS];
        for &number in whole {
            counts[self.bucket(magnitude(number))] += 1;
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
            let next = &mut next[self.bucket(magnitude(number))];
            sorted[*next as usize] = SortedElement { number, index };
            *next += 1;
        }
    }

    /// What the magnitude of an element, and of all that are sorted after it, is at least.
    pub(crate) fn floor<N: Number>(&self, element: &SortedElement<N>) -> f32 {
        let magnitude = element.number.to_f64() as f32;
        match self.bucket(magnitude) {
            0 => 0.0,
            _ => f32::from_bits(bucket_bits(magnitude) << (f32::MANTISSA_DIGITS - 3)).min(f32::MAX),
        }
    }

    /// How many of the sorted elements may be smaller than this magnitude. No element after them is.
    #[inline(always)]
    pub(crate) fn count_below(&self, magnitude: f32) -> usize {
        self.ends[self.bucket(magnitude)] as usize
    }
}

/// Writes the excess of each part of a panel, which is its coefficient times its direction, summed over some sorted elements
/// of the whole. An element of a part that is NaN has no excess.
pub(crate) struct Excess<N>(PhantomData<N>);

/// The arguments of [`Excess`].
#[derive(Clone, Copy)]
pub(crate) struct ExcessArguments<N> {
    /// The coefficients, which can be read.
    pub(crate) coefficients: *const Line<N>,
    /// The directions: a line for each element of the whole, which can be read.
    pub(crate) panel: *const Line<N>,
    /// `count` elements of the whole, sorted by [`Buckets::sort`], which can be read. Their indices are those of lines of the
    /// panel.
    pub(crate) sorted: *const SortedElement<N>,
    pub(crate) count: usize,
    /// The result, which can be written.
    pub(crate) excess: *mut Line<f64>,
}

impl<N: Number> Kernel for Excess<N> {
    type Arguments = ExcessArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ExcessArguments<N>) {
        let ExcessArguments { coefficients, panel, sorted, count, excess } = arguments;
        // SAFETY: the processor has the instruction set. Sorted elements are read below `count`, and the index of each is
        // that of a line of the panel.
        unsafe {
            let factors: N::Lanes<V> = LoadAs::<N>::load(coefficients.cast());
            let mut position = 0;
            let (zero, mut total) = (N::Lanes::<V>::splat(N::ZERO), V::Doubles::splat(0.0));
            while position < count {
                let end = count.min(position + DEPTH);
                let mut sum = zero;
                while position < end {
                    let SortedElement { number, index } = *sorted.add(position);
                    let direction: N::Lanes<V> = LoadAs::<N>::load(panel.add(index as usize).cast());
                    let own = N::Lanes::<V>::splat(number);
                    let part = direction.mul(factors);
                    sum = sum.add(part.sub(own).negated_where_negative(own).max(zero));
                    position += 1;
                }
                total = total.add(N::widened::<V>(sum));
            }
            total.store(excess.cast());
        }
    }
}
