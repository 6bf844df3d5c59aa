//! How a norm is measured: which power is summed, in which arithmetic, and what the sum means.

use super::Vectors;
use crate::dispatch::{self, Accumulate, Arithmetic, MeasureKind, Prepare};
use crate::dtype::DType;
use crate::instruction_set::InstructionSet;
use crate::kernels::accumulate::Totals;
use crate::kernels::measure::Parameters;
use crate::kernels::power::power;
use crate::lanes::LANES;
use crate::norm::Norm;
use crate::options::Options;

/// Below this a sum of powers may have lost terms to underflow. Far above the least `f64`, far below any sum of
/// squares or cubes of `f32` numbers.
const LEAST_POWER_SUM: f64 = 1e-200;

/// Vectors shorter than this are measured in `f64`: they have too few roundings for those to cancel out.
const MIN_F32_LEN: usize = 256;

/// A measure with its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    measure: MeasureKind,
    pub(crate) parameters: Parameters,
}

impl Kernel {
    /// The kernel whose totals give this norm.
    fn of_norm(norm: Norm) -> Self {
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

    /// The kernel that measures the same norm as this one where the largest magnitude is about `largest`.
    fn scaled(self, largest: f64) -> Self {
        let scale = inverse_power_of_two(largest);
        Kernel { measure: MeasureKind::PowerSum, parameters: Parameters { scale, ..self.parameters } }
    }

    /// The arithmetic in which parts of this type are compared with wholes of that type.
    ///
    /// `f32` where that is as exact as results in `f32` need it (see [`super::entry`] for what is measured again):
    /// the roundings of the differences are independent and cancel out in a sum of magnitudes. In a sum of squares
    /// each weighs twice its difference, and a maximum has nothing to cancel it; there only `f64` will do.
    fn arithmetic(self, parts: DType, whole: DType, len: usize) -> Arithmetic {
        let wide = parts == DType::F64 || whole == DType::F64 || len < MIN_F32_LEN;
        if wide || self.measure != MeasureKind::MagnitudeSum { Arithmetic::F64 } else { Arithmetic::F32 }
    }

    /// The totals of all lanes as one, in a fixed order.
    pub(crate) fn join(self, totals: &Totals) -> f64 {
        match self.measure {
            MeasureKind::LargestMagnitude => join_lanes(totals, |a, b| if a > b || a.is_nan() { a } else { b }),
            _ => join_lanes(totals, |a, b| a + b),
        }
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

/// A tree over the lanes: the upper half joins the lower half until one is left.
fn join_lanes(totals: &Totals, join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut totals = *totals;
    for half in [8, 4, 2, 1] {
        const { assert!(LANES == 16) };
        for lane in 0..half {
            totals[lane] = join(totals[lane], totals[lane + half]);
        }
    }
    totals[0]
}

/// The way from vectors of one type to their distance from wholes of another: entry points, chosen once for a call.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) kernel: Kernel,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) accumulate: Accumulate,
    pub(crate) prepare: Prepare,
    set: InstructionSet,
    parts: DType,
    whole: DType,
}

impl Route {
    fn new(set: InstructionSet, kernel: Kernel, arithmetic: Arithmetic, parts: DType, whole: DType) -> Self {
        let accumulate = dispatch::accumulate(set, parts, arithmetic, kernel.measure);
        let prepare = dispatch::prepare(set, whole, arithmetic);
        Route { kernel, arithmetic, accumulate, prepare, set, parts, whole }
    }

    /// The usual way.
    pub(super) fn usual(options: &Options<'_>, parts: &Vectors, whole: &Vectors) -> Self {
        let kernel = Kernel::of_norm(options.norm);
        let arithmetic = kernel.arithmetic(parts.dtype, whole.dtype, whole.len);
        Self::new(options.instruction_set(), kernel, arithmetic, parts.dtype, whole.dtype)
    }

    /// The same in `f64`.
    pub(crate) fn exact(self) -> Self {
        Self::new(self.set, self.kernel, Arithmetic::F64, self.parts, self.whole)
    }

    /// The way to the largest magnitude.
    pub(crate) fn largest(self) -> Self {
        let kernel = Kernel { measure: MeasureKind::LargestMagnitude, ..self.kernel };
        Self::new(self.set, kernel, Arithmetic::F64, self.parts, self.whole)
    }

    /// The way for vectors whose powers leave the range of `f64`, and whose largest magnitude is `largest`.
    pub(crate) fn scaled(self, largest: f64) -> Self {
        Self::new(self.set, self.kernel.scaled(largest), Arithmetic::F64, self.parts, self.whole)
    }
}

/// A power of two near `1 / x`, for a positive finite `x`; within the range in which it and its inverse are normal.
fn inverse_power_of_two(x: f64) -> f64 {
    let exponent = (x.to_bits() >> 52).clamp(1, 2045);
    f64::from_bits((2046 - exponent) << 52)
}
