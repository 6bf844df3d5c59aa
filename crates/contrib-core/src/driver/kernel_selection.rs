//! How a norm is measured: what is totalled, what the total means, and by which kernels. Selected once for a call.

use crate::dispatch::{self, Arithmetic as _, EntryPoint, MeasureKind, PartKernels};
use crate::dtype::DType;
use crate::instruction_set::InstructionSet;
use crate::kernels::measure::Parameters;
use crate::kernels::power::power;
use crate::kernels::prepare::PrepareArguments;
use crate::norm::{Norm, Reduction};
use crate::options::Options;

/// Below this a sum of powers may have lost terms to underflow. Far above the least `f64`, far below any sum of
/// squares or cubes of `f32` numbers.
const LEAST_POWER_SUM: f64 = 1e-200;

/// The greatest exponent whose powers are multiplied out. Greater powers of numbers such as 0.001 and 1000 leave the range
/// of `f64`, and are calculated in units of the largest magnitude.
const LARGEST_INTEGER_EXPONENT: f64 = 64.0;

/// A measure with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormMeasure {
    kind: MeasureKind,
    pub(super) parameters: Parameters,
}

impl NormMeasure {
    /// The measure whose totals give this norm.
    fn of_norm(norm: Norm) -> Self {
        let p = norm.p();
        let kind = if p == 1.0 {
            MeasureKind::MagnitudeSum
        } else if p == 2.0 {
            MeasureKind::SquareSum
        } else if p.is_infinite() {
            MeasureKind::LargestMagnitude
        } else if p.fract() == 0.0 && p <= LARGEST_INTEGER_EXPONENT {
            MeasureKind::IntegerPowerSum
        } else {
            MeasureKind::PowerSum
        };
        NormMeasure { kind, parameters: Parameters { exponent: p, unit: 1.0 } }
    }

    /// The measure of the same norm where the largest magnitude is `largest`.
    fn scaled(self, largest: f64) -> Self {
        NormMeasure { kind: MeasureKind::PowerSum, parameters: Parameters { unit: largest, ..self.parameters } }
    }

    /// Whether a total is safe from overflow and underflow. One that is not may also be right: it comes from
    /// vectors that are zero, infinite or NaN.
    pub(super) fn is_in_range(self, total: f64) -> bool {
        let least = match self.kind {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => 0.0,
            _ => LEAST_POWER_SUM,
        };
        total >= least && total < f64::INFINITY
    }

    /// Whether the total is of squares.
    pub(super) fn is_square(self) -> bool {
        matches!(self.kind, MeasureKind::SquareSum | MeasureKind::SquaredDistanceReduction)
    }

    /// The norm whose total this is.
    pub(super) fn norm(self, total: f64) -> f64 {
        match self.kind {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => total,
            MeasureKind::SquareSum => total.sqrt(),
            MeasureKind::IntegerPowerSum | MeasureKind::PowerSum => {
                power(total, self.parameters.exponent.recip()) * self.parameters.unit
            }
            MeasureKind::DistanceReduction | MeasureKind::SquaredDistanceReduction => {
                unreachable!("a distance reduction is no norm")
            }
        }
    }
}

/// In what kernels calculate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// Distance reductions.
    F32,
    /// Distances.
    F64,
}

impl Arithmetic {
    /// By what a prepared whole is multiplied: the kernels of distance reductions are given twice the whole.
    pub(super) const fn factor(self) -> f64 {
        match self {
            Arithmetic::F32 => 2.0,
            Arithmetic::F64 => 1.0,
        }
    }
}

/// The kernels that total vectors of one type compared with wholes of another.
#[derive(Clone, Copy)]
pub(super) struct KernelSelection {
    pub(super) measure: NormMeasure,
    pub(super) kernels: PartKernels,
    pub(super) prepare: EntryPoint<PrepareArguments>,
    pub(super) arithmetic: Arithmetic,
    set: InstructionSet,
    parts: DType,
}

impl KernelSelection {
    /// Those for distances, in `f64`.
    pub(super) fn to_distances(options: &Options<'_>, parts: DType, whole: DType) -> Self {
        let set = options.instruction_set();
        let measure = NormMeasure::of_norm(options.norm);
        KernelSelection {
            measure,
            kernels: dispatch::part_kernels(set, parts, measure.kind),
            prepare: f64::prepare(set, whole),
            arithmetic: Arithmetic::F64,
            set,
            parts,
        }
    }

    /// Those for distance reductions, in `f32`, where the norm has one and neither type is `f64`.
    pub(super) fn to_reductions(options: &Options<'_>, parts: DType, whole: DType) -> Option<Self> {
        let kind = match options.norm.reduction()? {
            Reduction::Magnitudes => MeasureKind::DistanceReduction,
            Reduction::Squares => MeasureKind::SquaredDistanceReduction,
        };
        if parts == DType::F64 || whole == DType::F64 {
            return None;
        }
        let set = options.instruction_set();
        Some(KernelSelection {
            measure: NormMeasure { kind, ..NormMeasure::of_norm(options.norm) },
            kernels: dispatch::part_kernels(set, parts, kind),
            prepare: f32::prepare(set, whole),
            arithmetic: Arithmetic::F32,
            set,
            parts,
        })
    }

    /// Those for the largest magnitude.
    pub(super) fn largest(self) -> Self {
        self.with(NormMeasure { kind: MeasureKind::LargestMagnitude, ..self.measure })
    }

    /// Those for vectors whose powers leave the range of `f64`, and whose largest magnitude is `largest`.
    pub(super) fn scaled(self, largest: f64) -> Self {
        self.with(self.measure.scaled(largest))
    }

    fn with(self, measure: NormMeasure) -> Self {
        KernelSelection { measure, kernels: dispatch::part_kernels(self.set, self.parts, measure.kind), ..self }
    }
}
