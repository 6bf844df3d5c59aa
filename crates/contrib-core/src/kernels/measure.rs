//! What a norm makes of differences before its root is taken: a sum of powers, or the largest magnitude.

use super::power::power;
use crate::lanes::{LANES, Lanes, LoadAs};

/// The running total of a norm.
pub(crate) trait Measure: Copy {
    /// The measure with these parameters; those that a measure does not need it ignores.
    fn new(parameters: Parameters) -> Self;

    /// The total with these differences added.
    fn add<V: Lanes>(self, total: V, differences: V) -> V;

    /// Two totals as one.
    fn join<V: Lanes>(total: V, other: V) -> V;

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

/// Sum of magnitudes: the 1-norm.
#[derive(Clone, Copy)]
pub(crate) struct MagnitudeSum;

/// Sum of squares: the 2-norm.
#[derive(Clone, Copy)]
pub(crate) struct SquareSum;

/// Sum of cubes of magnitudes: the 3-norm.
#[derive(Clone, Copy)]
pub(crate) struct CubeSum;

/// Sum of any power >= 1 of scaled magnitudes.
#[derive(Clone, Copy)]
pub(crate) struct PowerSum(Parameters);

/// Largest magnitude: the maximum norm.
#[derive(Clone, Copy)]
pub(crate) struct LargestMagnitude;

/// Implements [`Measure`] for a sum whose terms need no parameters.
macro_rules! plain_sum {
    ($measure:ident, $differences:ident => $term:expr) => {
        impl Measure for $measure {
            #[inline(always)]
            fn new(_: Parameters) -> Self {
                $measure
            }
            #[inline(always)]
            fn add<V: Lanes>(self, total: V, $differences: V) -> V {
                total.add($term)
            }

            #[inline(always)]
            fn join<V: Lanes>(total: V, other: V) -> V {
                total.add(other)
            }

            #[inline(always)]
            fn join_numbers(total: f64, other: f64) -> f64 {
                total + other
            }
        }
    };
}

plain_sum!(MagnitudeSum, d => d.abs());
plain_sum!(SquareSum, d => d.mul(d));
plain_sum!(CubeSum, d => d.mul(d).mul(d.abs()));

impl Measure for PowerSum {
    #[inline(always)]
    fn new(parameters: Parameters) -> Self {
        PowerSum(parameters)
    }

    #[inline(always)]
    fn add<V: Lanes>(self, total: V, differences: V) -> V {
        let mut terms = [0.0; LANES];
        // SAFETY: `terms` has room for a vector.
        unsafe { differences.abs().store(terms.as_mut_ptr()) };
        for term in &mut terms {
            *term = power(*term / self.0.unit, self.0.exponent);
        }
        // SAFETY: `terms` is a vector's worth of numbers; `total` shows that the processor has the instruction set.
        total.add(unsafe { LoadAs::<f64>::load(terms.as_ptr()) })
    }

    #[inline(always)]
    fn join<V: Lanes>(total: V, other: V) -> V {
        total.add(other)
    }

    #[inline(always)]
    fn join_numbers(total: f64, other: f64) -> f64 {
        total + other
    }
}

impl Measure for LargestMagnitude {
    #[inline(always)]
    fn new(_: Parameters) -> Self {
        LargestMagnitude
    }

    #[inline(always)]
    fn add<V: Lanes>(self, total: V, differences: V) -> V {
        total.max_magnitude(differences.abs())
    }

    #[inline(always)]
    fn join<V: Lanes>(total: V, other: V) -> V {
        total.max_magnitude(other)
    }

    #[inline(always)]
    fn join_numbers(total: f64, other: f64) -> f64 {
        // NaN where either is, as in `max_magnitude`.
        if total > other || total.is_nan() { total } else { other }
    }
}
