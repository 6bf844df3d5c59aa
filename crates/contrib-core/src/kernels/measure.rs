//! What is summed over the elements of a part and its whole: powers of differences, the largest of them, or reductions of
//! the distance.

use super::power::power;
use crate::lanes::{LANES, Lanes, LoadAs, Number};

/// A running total over the elements of a part.
///
/// Measures in `f64` total differences, from which a distance follows. Those in `f32` total the *distance reduction*: the
/// norm of the whole minus the distance between part and whole, element by element. No two large numbers are subtracted
/// there: with the prepared whole `w`, roundings are in proportion to the part, however small it is beside the whole.
/// Distances in `f32` would be rounded in proportion to the whole, and thousands of such errors would add up in the sum
/// that divides all contributions.
pub(crate) trait Measure: Copy {
    /// What it calculates in.
    type Number: Number;

    /// The measure with these parameters. Those that a measure does not need it ignores.
    fn new(parameters: Parameters) -> Self;

    /// The total with some elements of a part and the prepared ones of its whole added.
    fn add<L: Lanes<Number = Self::Number>>(self, total: L, part: L, whole: L) -> L;

    /// Two totals reduced to one: their sum, but for a measure that says something else.
    #[inline(always)]
    fn reduce<L: Lanes>(total: L, other: L) -> L {
        total.add(other)
    }

    /// Two totals reduced to one: what [`Measure::reduce`] does in each lane.
    #[inline(always)]
    fn reduce_numbers(total: f64, other: f64) -> f64 {
        total + other
    }
}

/// What some measures need to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// The exponent of the power.
    pub(crate) exponent: f64,
    /// By what differences are divided first: 1, or the largest magnitude among them, which keeps their powers inside the
    /// range of `f64`. A division makes that magnitude exactly 1, whose every power is 1; a multiplication would not.
    pub(crate) unit: f64,
}

/// Sum of magnitudes of differences: the 1-norm.
#[derive(Clone, Copy)]
pub(crate) struct MagnitudeSum;

/// Sum of squares of differences: the 2-norm.
#[derive(Clone, Copy)]
pub(crate) struct SquareSum;

/// Sum of an integer power >= 1 of magnitudes of differences.
///
/// From the second highest bit of the exponent down, the power so far is squared for each bit, and multiplied by the
/// magnitude where the bit is set. A cube takes two multiplications, a 64th power six.
#[derive(Clone, Copy)]
pub(crate) struct IntegerPowerSum {
    exponent: u32,
    /// The second highest bit of the exponent, 0 where there is none.
    second_bit: u32,
}

/// Sum of any power >= 1 of scaled magnitudes of differences.
#[derive(Clone, Copy)]
pub(crate) struct PowerSum(Parameters);

/// Largest magnitude of a difference: the maximum norm.
#[derive(Clone, Copy)]
pub(crate) struct LargestMagnitude;

/// Distance reduction in the 1-norm, `||w|| - ||x - w||`. With `y` equal to `x` where `w` is positive and to `-x` where it
/// is negative, `|w| - |x - w| = min(y, 2|w| - y)`. The prepared whole is `2w`.
#[derive(Clone, Copy)]
pub(crate) struct DistanceReduction;

/// Reduction of the squared distance in the 2-norm, `||w||^2 - ||x - w||^2`, the sum of `x (2w - x)`. The prepared whole
/// is `2w`.
#[derive(Clone, Copy)]
pub(crate) struct SquaredDistanceReduction;

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
        }
    };
}

plain_sum!(MagnitudeSum in f64, x, w => x.sub(w).abs());
plain_sum!(SquareSum in f64, x, w => {
    let d = x.sub(w);
    d.mul(d)
});
plain_sum!(DistanceReduction in f32, x, w => {
    let y = x.negated_where_negative(w);
    // `min` gives its second operand where either is NaN. That one is NaN, too, where `y` is.
    y.min(w.abs().sub(y))
});
plain_sum!(SquaredDistanceReduction in f32, x, w => x.mul(w.sub(x)));

impl Measure for IntegerPowerSum {
    type Number = f64;

    #[inline(always)]
    fn new(parameters: Parameters) -> Self {
        let exponent = parameters.exponent as u32;
        IntegerPowerSum { exponent, second_bit: exponent.checked_ilog2().map_or(0, |highest| (1 << highest) >> 1) }
    }

    #[inline(always)]
    fn add<L: Lanes<Number = f64>>(self, total: L, part: L, whole: L) -> L {
        let magnitude = part.sub(whole).abs();
        let mut power = magnitude;
        let mut bit = self.second_bit;
        while bit != 0 {
            power = power.mul(power);
            if self.exponent & bit != 0 {
                power = power.mul(magnitude);
            }
            bit >>= 1;
        }
        total.add(power)
    }
}

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
        // SAFETY: `terms` has as many numbers as a vector; `total` shows that the processor has the instruction set.
        total.add(unsafe { LoadAs::<f64>::load(terms.as_ptr()) })
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
    fn reduce<L: Lanes>(total: L, other: L) -> L {
        total.max_magnitude(other)
    }

    #[inline(always)]
    fn reduce_numbers(total: f64, other: f64) -> f64 {
        // NaN where either is, as in `max_magnitude`.
        if total > other || total.is_nan() { total } else { other }
    }
}
