//! How a norm is measured: what is totalled, what the total means, and by which kernels.

use crate::dispatch::{self, EntryPoint, MeasureKind, PartKernels};
use crate::dtype::DType;
use crate::instruction_set::InstructionSet;
use crate::kernels::measure::Parameters;
use crate::kernels::power::power;
use crate::kernels::prepare::PrepareArguments;
use crate::norm::Norm;
use crate::options::Options;

/// Below this a sum of powers may have lost terms to underflow. Far above the least `f64`, far below any sum of
/// squares of `f32` numbers.
const LEAST_POWER_SUM: f64 = 1e-200;

/// A measure with its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormMeasure {
    kind: MeasureKind,
    pub(crate) parameters: Parameters,
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
        } else {
            MeasureKind::PowerSum
        };
        NormMeasure { kind, parameters: Parameters { exponent: p, unit: 1.0 } }
    }

    /// The measure of the same norm where the largest magnitude is `largest`.
    fn scaled(self, largest: f64) -> Self {
        NormMeasure { kind: MeasureKind::PowerSum, parameters: Parameters { unit: largest, ..self.parameters } }
    }

    /// Whether a joined total is safe from overflow and underflow. One that is not may also be right: it comes from
    /// vectors that are zero, infinite or NaN.
    pub(crate) fn is_in_range(self, total: f64) -> bool {
        let least = match self.kind {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => 0.0,
            _ => LEAST_POWER_SUM,
        };
        total >= least && total < f64::INFINITY
    }

    /// Whether the total is of squares.
    pub(crate) fn is_square(self) -> bool {
        matches!(self.kind, MeasureKind::SquareSum | MeasureKind::SquaredDistanceReduction)
    }

    /// The norm whose joined total this is.
    pub(crate) fn norm(self, total: f64) -> f64 {
        match self.kind {
            MeasureKind::MagnitudeSum | MeasureKind::LargestMagnitude => total,
            MeasureKind::SquareSum => total.sqrt(),
            MeasureKind::PowerSum => power(total, self.parameters.exponent.recip()) * self.parameters.unit,
            MeasureKind::DistanceReduction | MeasureKind::SquaredDistanceReduction => unreachable!("a gain is no norm"),
        }
    }
}

/// In what the kernels of a route calculate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Gains.
    F32,
    /// Distances.
    F64,
}

impl Arithmetic {
    /// By what a prepared whole is multiplied: the kernels of gains are given twice the whole.
    pub(crate) const fn factor(self) -> f64 {
        match self {
            Arithmetic::F32 => 2.0,
            Arithmetic::F64 => 1.0,
        }
    }
}

/// The way from vectors of one type to their totals beside wholes of another: entry points, chosen once for a call.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) measure: NormMeasure,
    pub(crate) kernels: PartKernels,
    pub(crate) prepare: EntryPoint<PrepareArguments>,
    pub(crate) arithmetic: Arithmetic,
    set: InstructionSet,
    parts: DType,
}

impl Route {
    /// The way to distances, in `f64`.
    pub(super) fn to_distances(options: &Options<'_>, parts: DType, whole: DType) -> Self {
        let set = options.instruction_set();
        let measure = NormMeasure::of_norm(options.norm);
        Route {
            measure,
            kernels: dispatch::part_kernels(set, parts, measure.kind),
            prepare: dispatch::prepare_in_f64(set, whole),
            arithmetic: Arithmetic::F64,
            set,
            parts,
        }
    }

    /// The way to gains, in `f32`, where the norm has one and neither type is `f64`.
    pub(super) fn to_gains(options: &Options<'_>, parts: DType, whole: DType) -> Option<Self> {
        let kind = match options.norm {
            Norm::ONE => MeasureKind::DistanceReduction,
            Norm::TWO => MeasureKind::SquaredDistanceReduction,
            _ => return None,
        };
        if parts == DType::F64 || whole == DType::F64 {
            return None;
        }
        let set = options.instruction_set();
        Some(Route {
            measure: NormMeasure { kind, ..NormMeasure::of_norm(options.norm) },
            kernels: dispatch::part_kernels(set, parts, kind),
            prepare: dispatch::prepare_in_f32(set, whole),
            arithmetic: Arithmetic::F32,
            set,
            parts,
        })
    }

    /// The way to the largest magnitude.
    pub(crate) fn largest(self) -> Self {
        self.with(NormMeasure { kind: MeasureKind::LargestMagnitude, ..self.measure })
    }

    /// The way for vectors whose powers leave the range of `f64`, and whose largest magnitude is `largest`.
    pub(crate) fn scaled(self, largest: f64) -> Self {
        self.with(self.measure.scaled(largest))
    }

    fn with(self, measure: NormMeasure) -> Self {
        Route { measure, kernels: dispatch::part_kernels(self.set, self.parts, measure.kind), ..self }
    }
}
