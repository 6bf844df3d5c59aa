//! How a norm is measured: which power is summed, in which arithmetic, and what the sum means.

use crate::dispatch::{Arithmetic, MeasureKind};
use crate::dtype::DType;
use crate::kernels::accumulate::Totals;
use crate::kernels::measure::Parameters;
use crate::kernels::power::power;
use crate::norm::Norm;

/// Below this a sum of powers may have lost terms to underflow. Far above the least `f64`, far below any sum of
/// squares or cubes of `f32` numbers.
const LEAST_POWER_SUM: f64 = 1e-200;

/// Vectors shorter than this are measured in `f64`: they have too few roundings for those to cancel out.
const MIN_F32_LEN: usize = 256;

/// A measure with its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    pub(crate) measure: MeasureKind,
    pub(crate) parameters: Parameters,
}

impl Kernel {
    /// The kernel whose totals give this norm.
    pub(crate) fn of_norm(norm: Norm) -> Self {
        let p = norm.p();
        let measure = if p == 1.0 {
            MeasureKind::MagnitudeSum
        } else if p == 2.0 {
            MeasureKind::SquareSum
        } else if p == 3.0 {
            MeasureKind::CubeSum
        } else if p.is_infinite() {
            MeasureKind::LargestMagnitude
        } else {
            MeasureKind::PowerSum
        };
        Kernel { measure, parameters: Parameters { exponent: p, scale: 1.0 } }
    }

    /// The kernel that finds the largest magnitude, and the one that measures the same norm as this one once
    /// magnitudes are known to be about `largest`.
    pub(crate) fn rescue(self, largest: f64) -> (Kernel, Kernel) {
        let with = |measure, scale| Kernel { measure, parameters: Parameters { scale, ..self.parameters } };
        (with(MeasureKind::LargestMagnitude, 1.0), with(MeasureKind::PowerSum, inverse_power_of_two(largest)))
    }

    /// The arithmetic in which parts of this type are compared with wholes of that type.
    ///
    /// `f32` where that is as exact as results in `f32` need it (see [`super::entry`] for what is measured again):
    /// the roundings of the differences are independent and cancel out in a sum of magnitudes. In a sum of squares
    /// each weighs twice its difference, and a maximum has nothing to cancel it; there only `f64` will do.
    pub(crate) fn arithmetic(self, parts: DType, whole: DType, len: usize) -> Arithmetic {
        let wide = parts == DType::F64 || whole == DType::F64 || len < MIN_F32_LEN;
        if wide || self.measure != MeasureKind::MagnitudeSum { Arithmetic::F64 } else { Arithmetic::F32 }
    }

    /// The totals of all lanes as one, in a fixed order.
    pub(crate) fn join(self, totals: &Totals) -> f64 {
        let join = |a: f64, b: f64| match self.measure {
            MeasureKind::LargestMagnitude if a > b || a.is_nan() => a,
            MeasureKind::LargestMagnitude => b,
            _ => a + b,
        };
        let mut totals = *totals;
        let mut lanes = totals.len();
        while lanes > 1 {
            lanes /= 2;
            for lane in 0..lanes {
                totals[lane] = join(totals[lane], totals[lane + lanes]);
            }
        }
        totals[0]
    }

    /// Whether a joined total is safe from overflow and underflow. One that is not may also be right: it comes from
    /// vectors that are zero, infinite or NaN.
    pub(crate) fn is_in_range(self, total: f64) -> bool {
        let least = match self.measure {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => 0.0,
            _ => LEAST_POWER_SUM,
        };
        total >= least && total < f64::INFINITY
    }

    /// The norm whose joined total this is.
    pub(crate) fn norm(self, total: f64) -> f64 {
        match self.measure {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => total,
            MeasureKind::SquareSum => total.sqrt(),
            MeasureKind::CubeSum | MeasureKind::PowerSum => {
                power(total, self.parameters.exponent.recip()) / self.parameters.scale
            }
        }
    }
}

/// A power of two near `1 / x`, for a positive finite `x`; within the range in which it and its inverse are normal.
fn inverse_power_of_two(x: f64) -> f64 {
    let exponent = (x.to_bits() >> 52).clamp(1, 2045);
    f64::from_bits((2046 - exponent) << 52)
}
