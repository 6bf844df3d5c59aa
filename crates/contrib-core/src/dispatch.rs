//! Which instruction set's copy of a kernel runs: the one place that chooses.

use crate::dtype::{DType, Element};
use crate::kernels::accumulate::{self, Totals};
use crate::kernels::measure::{CubeSum, LargestMagnitude, MagnitudeSum, Measure, Parameters, PowerSum, SquareSum};
use crate::kernels::prepare;
use crate::lanes::portable::Portable;
use crate::lanes::{InstructionSet, LoadAs};
use half::{bf16, f16};

/// The type in which differences are taken and first totalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    F32,
    F64,
}

impl Arithmetic {
    /// Size of one number in bytes.
    pub(crate) const fn size(self) -> usize {
        match self {
            Arithmetic::F32 => 4,
            Arithmetic::F64 => 8,
        }
    }
}

/// The measures of [`crate::kernels::measure`], as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasureKind {
    MagnitudeSum,
    SquareSum,
    CubeSum,
    PowerSum,
    LargestMagnitude,
}

/// [`accumulate::accumulate`] for one element type, arithmetic and measure; the pointers are to that arithmetic's
/// numbers.
pub(crate) type Accumulate = unsafe fn(Parameters, &[*const u8], *const u8, usize, &mut [Totals]);

/// [`prepare::prepare`] for one element type and arithmetic; the pointers are to its elements and numbers.
pub(crate) type Prepare = unsafe fn(*const u8, usize, *mut u8);

/// The kernel that totals parts of type `parts`.
///
/// # Panics
/// Where `arithmetic` cannot hold the parts exactly, or for a measure that it has no kernel for: `f32` has only the
/// [`MeasureKind::MagnitudeSum`], since the other norms need `f64` to be exact (see `driver::kernel`).
pub(crate) fn accumulate(parts: DType, arithmetic: Arithmetic, measure: MeasureKind) -> Accumulate {
    match arithmetic {
        Arithmetic::F32 => {
            assert!(measure == MeasureKind::MagnitudeSum, "{measure:?} is not totalled in f32");
            accumulate_f32::<Portable>(parts)
        }
        Arithmetic::F64 => accumulate_f64::<Portable>(parts, measure),
    }
}

/// The kernel that prepares a whole of type `whole` for `arithmetic`.
///
/// # Panics
/// Where `arithmetic` cannot hold the whole exactly.
pub(crate) fn prepare(whole: DType, arithmetic: Arithmetic) -> Prepare {
    match arithmetic {
        Arithmetic::F32 => prepare_f32::<Portable>(whole),
        Arithmetic::F64 => prepare_f64::<Portable>(whole),
    }
}

const NOT_F64_IN_F32: &str = "f64 is not narrowed to f32 arithmetic";

fn accumulate_f32<S: InstructionSet>(parts: DType) -> Accumulate {
    match parts {
        DType::F32 => accumulate_entry::<S::F32, f32, MagnitudeSum>,
        DType::F16 => accumulate_entry::<S::F32, f16, MagnitudeSum>,
        DType::Bf16 => accumulate_entry::<S::F32, bf16, MagnitudeSum>,
        DType::F64 => unreachable!("{NOT_F64_IN_F32}"),
    }
}

fn accumulate_f64<S: InstructionSet>(parts: DType, measure: MeasureKind) -> Accumulate {
    match parts {
        DType::F32 => accumulate_measure::<S::F64, f32>(measure),
        DType::F64 => accumulate_measure::<S::F64, f64>(measure),
        DType::F16 => accumulate_measure::<S::F64, f16>(measure),
        DType::Bf16 => accumulate_measure::<S::F64, bf16>(measure),
    }
}

fn accumulate_measure<V: LoadAs<T, Scalar = f64>, T: Element>(measure: MeasureKind) -> Accumulate {
    match measure {
        MeasureKind::MagnitudeSum => accumulate_entry::<V, T, MagnitudeSum>,
        MeasureKind::SquareSum => accumulate_entry::<V, T, SquareSum>,
        MeasureKind::CubeSum => accumulate_entry::<V, T, CubeSum>,
        MeasureKind::PowerSum => accumulate_entry::<V, T, PowerSum>,
        MeasureKind::LargestMagnitude => accumulate_entry::<V, T, LargestMagnitude>,
    }
}

fn prepare_f32<S: InstructionSet>(whole: DType) -> Prepare {
    match whole {
        DType::F32 => prepare_entry::<S::F32, f32>,
        DType::F16 => prepare_entry::<S::F32, f16>,
        DType::Bf16 => prepare_entry::<S::F32, bf16>,
        DType::F64 => unreachable!("{NOT_F64_IN_F32}"),
    }
}

fn prepare_f64<S: InstructionSet>(whole: DType) -> Prepare {
    match whole {
        DType::F32 => prepare_entry::<S::F64, f32>,
        DType::F64 => prepare_entry::<S::F64, f64>,
        DType::F16 => prepare_entry::<S::F64, f16>,
        DType::Bf16 => prepare_entry::<S::F64, bf16>,
    }
}

/// # Safety
/// As [`accumulate::accumulate`].
unsafe fn accumulate_entry<V: LoadAs<T>, T: Element, M: Measure<V>>(
    parameters: Parameters,
    parts: &[*const u8],
    whole: *const u8,
    len: usize,
    totals: &mut [Totals],
) {
    // SAFETY: the caller's promise.
    unsafe { accumulate::accumulate::<V, T, M>(parameters, parts, whole.cast(), len, totals) }
}

/// # Safety
/// As [`prepare::prepare`].
unsafe fn prepare_entry<V: LoadAs<T>, T: Element>(whole: *const u8, len: usize, prepared: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { prepare::prepare::<V, T>(whole.cast(), len, prepared.cast()) }
}
