//! What is summed over the elements of a part and its whole: powers of differences, the largest of them, or gains.

use super::power::power;
use crate::lanes::{LANES, Lanes, LoadAs, Number};

/// A running total over the elements of a part.
///
/// Those in `f64` total differences, from which a distance follows. Those in `f32` total *gains*: by how much each element
/// of the part brings it nearer to the whole than the zero vector is, so that no two large numbers are subtracted: with
/// the prepared whole `w`, what is rounded is in proportion to the part, however small it is beside the whole. (Distances
/// in `f32` would be rounded in proportion to the whole, and thousands of such errors add up in the sum that divides all
/// contributions.)
pub(crate) trait Measure: Copy {
    /// What it calculates in.
    type Number: Number;

    /// The measure with these parameters; those that a measure does not need it ignores.
    fn new(parameters: Parameters) -> Self;

    /// The total with some elements of a part and the prepared ones of its whole added.
    fn add<L: Lanes<Number = Self::Number>>(self, total: L, part: L, whole: L) -> L;

    /// Two totals as one.
    fn join<L: Lanes>(total: L, other: L) -> L;

    /// Two totals as one: what [`Measure::join`] does in each lane.
    fn join_numbers(total: f64, other: f64) -> f64;
}

/// What some measures need to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// The exponent of the power.
    pub(crate) exponent: f64,
    /// By what differences are divided first: 1, or the largest magnitude among them, to keep their powers inside the range
    /// of `f64`. Only a division makes that magnitude exactly 1, whose every power is 1.
    pub(crate) unit: f64,
}

/// Sum of magnitudes of differences: the 1-norm.
#[derive(Clone, Copy)]
pub(crate) struct MagnitudeSum;

/// Sum of squares of differences: the 2-norm.
#[derive(Clone, Copy)]
pub(crate) struct SquareSum;

/// Sum of cubes of magnitudes of differences: the 3-norm.
#[derive(Clone, Copy)]
pub(crate) struct CubeSum;

/// Sum of any power >= 1 of scaled magnitudes of differences.
#[derive(Clone, Copy)]
pub(crate) struct PowerSum(Parameters);

/// Largest magnitude of a difference: the maximum norm.
#[derive(Clone, Copy)]
pub(crate) struct LargestMagnitude;

/// Gain in the 1-norm, `||w|| - ||x - w||`: with `y` the part's element where the whole's is positive and its negative
/// where that is negative, `|w| - |x - w| = min(y, 2|w| - y)`. The prepared whole is `2w`.
#[derive(Clone, Copy)]
pub(crate) struct MagnitudeGain;

/// Gain in the square of the 2-norm, `||w||^2 - ||x - w||^2`, the sum of `x (2w - x)`. The prepared whole is `2w`.
#[derive(Clone, Copy)]
pub(crate) struct SquareGain;

/// Implements [`Measure`] for a sum whose terms need no parameters.
macro_rules! plain_sum {
    ($measure:ident in $number:ty, $part:ident, $whole:ident => $term:expr) => {
        impl Measure for $measure {
            type Number = $number;

            #[inline(always)]
            fn new(_: Parameters) -> Self {
                $measure
            }

            #[inline(always)]
            fn add<L: Lanes<Number = $number>>(self, total: L, $part: L, $whole: L) -> L {
                total.add($term)
            }

            #[inline(always)]
            fn join<L: Lanes>(total: L, other: L) -> L {
                total.add(other)
            }

            #[inline(always)]
            fn join_numbers(total: f64, other: f64) -> f64 {
                total + other
            }
        }
    };
}

plain_sum!(MagnitudeSum in f64, x, w => x.sub(w).abs());
plain_sum!(SquareSum in f64, x, w => {
    let d = x.sub(w);
    d.mul(d)
});
plain_sum!(CubeSum in f64, x, w => {
    let d = x.sub(w);
    d.mul(d).mul(d.abs())
});
plain_sum!(MagnitudeGain in f32, x, w => {
    let y = x.negated_where_negative(w);
    // In this order: where y is NaN so is the second, which `min` then gives.
    y.min(w.abs().sub(y))
});
plain_sum!(SquareGain in f32, x, w => x.mul(w.sub(x)));

impl Measure for PowerSum {
    type Number = f64;

    #[inline(always)]
    fn new(parameters: Parameters) -> Self {
        PowerSum(parameters)
    }

    #[inline(always)]
    fn add<L: Lanes<Number = f64>>(self, total: L, part: L, whole: L) -> L {
        let mut terms = [0.0; LANES];
        // SAFETY: `terms` has room for a vector.
        unsafe { part.sub(whole).abs().store(terms.as_mut_ptr()) };
        for term in &mut terms {
            *term = power(*term / self.0.unit, self.0.exponent);
        }
        // SAFETY: `terms` is a vector's worth of numbers; `total` shows that the processor has the instruction set.
        total.add(unsafe { LoadAs::<f64>::load(terms.as_ptr()) })
    }

    #[inline(always)]
    fn join<L: Lanes>(total: L, other: L) -> L {
        total.add(other)
    }

    #[inline(always)]
    fn join_numbers(total: f64, other: f64) -> f64 {
        total + other
    }
}

impl Measure for LargestMagnitude {
    type Number = f64;

    #[inline(always)]
    fn new(_: Parameters) -> Self {
        LargestMagnitude
    }

    #[inline(always)]
    fn add<L: Lanes<Number = f64>>(self, total: L, part: L, whole: L) -> L {
        total.max_magnitude(part.sub(whole).abs())
    }

    #[inline(always)]
    fn join<L: Lanes>(total: L, other: L) -> L {
        total.max_magnitude(other)
    }

    #[inline(always)]
    fn join_numbers(total: f64, other: f64) -> f64 {
        // NaN where either is, as in `max_magnitude`.
        if total > other || total.is_nan() { total } else { other }
    }
}
