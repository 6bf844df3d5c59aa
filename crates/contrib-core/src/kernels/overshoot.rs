//! By how much parts go beyond their whole: what separates a gain in the 1-norm from an inner product.
//!
//! With a part `p` and the prepared whole `w`, `|w| - |p - w| = sign(w) p - 2 max(sign(w) p - |w|, 0)`. The first term,
//! summed, is an inner product; the second is zero but where an element of the part has the sign of the whole's and is
//! larger. Parts are mostly small beside their whole, so that most vectors of elements need not be looked at: those in
//! which the largest of the part is not above the least of the whole.

use super::rows::{BLOCK, sum_of_lanes};
use crate::lanes::{LANES, Lanes, LoadAs, Number, Vectors};

/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;

/// Elements of which this many are one bound each: what a row of bounds is rounded up to.
pub(crate) const BOUNDED: usize = LANES;

/// Bounds that are looked at together: what their number is rounded up to.
pub(crate) const BOUNDS: usize = VECTORS;

/// Blocks whose vectors are chosen together.
const GROUP: usize = u64::BITS as usize / VECTORS;

/// With more vectors of a group to look at than this, all are; so that no more are added in `f32`.
const FEW: u32 = VECTORS as u32;

/// A direction. Zeros fill the last block.
#[derive(Clone, Copy)]
pub(crate) struct Direction {
    pub(crate) elements: *const f32,
    /// The largest magnitude of each [`BOUNDED`] elements.
    pub(crate) bounds: *const f32,
    /// Blocks of [`BLOCK`] elements.
    pub(crate) blocks: usize,
}

impl Direction {
    /// The direction so many after this one, where one follows the other.
    #[inline(always)]
    pub(crate) fn next(self, number: usize) -> Self {
        let elements = self.elements.wrapping_add(number * self.blocks * BLOCK);
        Direction { elements, bounds: self.bounds.wrapping_add(number * self.blocks * BOUNDS), ..self }
    }
}

/// A prepared whole. Zeros, and infinite bounds, fill the last block.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) elements: *const f32,
    /// The least magnitude of each [`BOUNDED`] elements.
    pub(crate) bounds: *const f32,
}

/// `max(sign(w) p - |w|, 0)`, summed, for the part `p` that is `coefficient` times the direction.
///
/// # Safety
/// The processor has the instruction set of `V`. Whole blocks of elements, and bounds for them, can be read of both.
#[inline(always)]
pub(crate) unsafe fn overshoot<V: Vectors>(coefficient: f32, direction: Direction, whole: Whole) -> f64 {
    // SAFETY: the caller's promise; every index stays inside whole blocks.
    unsafe {
        let mut total = V::Doubles::splat(0.0);
        let mut any = false;
        let factor = V::Singles::splat(coefficient);
        for group in (0..direction.blocks).step_by(GROUP) {
            let blocks = group..direction.blocks.min(group + GROUP);
            let mut vectors = 0;
            for block in blocks.clone() {
                let largest = V::Singles::load(direction.bounds.add(block * BOUNDS)).mul(factor.abs());
                let above = largest.above(V::Singles::load(whole.bounds.add(block * BOUNDS)));
                vectors |= u64::from(above) << ((block - group) * VECTORS);
            }
            if vectors == 0 {
                continue;
            }
            any = true;
            if vectors.count_ones() <= FEW {
                let mut sum = V::Singles::splat(0.0);
                while vectors != 0 {
                    let index = group * BLOCK + vectors.trailing_zeros() as usize * LANES;
                    sum = sum.add(beyond::<V>(factor, direction, whole, index));
                    vectors &= vectors - 1;
                }
                total = total.add(<f32 as Number>::widened::<V>(sum));
                continue;
            }
            for block in blocks {
                let mut sum = V::Singles::splat(0.0);
                for vector in 0..VECTORS {
                    sum = sum.add(beyond::<V>(factor, direction, whole, block * BLOCK + vector * LANES));
                }
                total = total.add(<f32 as Number>::widened::<V>(sum));
            }
        }
        if !any {
            return 0.0;
        }
        sum_of_lanes::<V>(total)
    }
}

/// By how much the elements from `index` on go beyond the whole's.
///
/// # Safety
/// As for [`overshoot`].
#[inline(always)]
unsafe fn beyond<V: Vectors>(factor: V::Singles, direction: Direction, whole: Whole, index: usize) -> V::Singles {
    // SAFETY: the caller's promise.
    unsafe {
        let part = V::Singles::load(direction.elements.add(index)).mul(factor);
        let own = V::Singles::load(whole.elements.add(index));
        part.negated_where_negative(own).sub(own.abs()).max(V::Singles::splat(0.0))
    }
}
