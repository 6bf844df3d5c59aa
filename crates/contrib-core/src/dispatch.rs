//! Which instruction set's copy of a kernel runs: the one place that chooses.

use crate::dtype::{DType, Element, with_element};
use crate::instruction_set::InstructionSet;
use crate::kernels::accumulate::{self, Totals};
use crate::kernels::measure::{CubeSum, LargestMagnitude, MagnitudeSum, Measure, Parameters, PowerSum, SquareSum};
use crate::kernels::prepare;
use crate::lanes::portable::Portable;
use crate::lanes::{LoadAs, Vectors};
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2::Avx2, avx512::Avx512};
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

/// Kernels for one element type and arithmetic, on one instruction set.
pub(crate) trait EntryPoints: Vectors {
    fn accumulate<V: LoadAs<T>, T: Element, M: Measure<V>>() -> Accumulate;
    fn prepare<V: LoadAs<T>, T: Element>() -> Prepare;
}

/// Implements [`EntryPoints`] with functions that are compiled for these target features. Nothing but an entry point
/// has target features; the kernel and the vectors that it uses are inlined into it.
macro_rules! entry_points {
    ($set:ty $(, $features:literal)?) => {
        impl EntryPoints for $set {
            fn accumulate<V: LoadAs<T>, T: Element, M: Measure<V>>() -> Accumulate {
                /// # Safety
                /// As [`accumulate::accumulate`].
                $(#[target_feature(enable = $features)])?
                unsafe fn entry<V: LoadAs<T>, T: Element, M: Measure<V>>(
                    parameters: Parameters,
                    parts: &[*const u8],
                    whole: *const u8,
                    len: usize,
                    totals: &mut [Totals],
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { accumulate::accumulate::<V, T, M>(parameters, parts, whole.cast(), len, totals) }
                }
                entry::<V, T, M>
            }

            fn prepare<V: LoadAs<T>, T: Element>() -> Prepare {
                /// # Safety
                /// As [`prepare::prepare`].
                $(#[target_feature(enable = $features)])?
                unsafe fn entry<V: LoadAs<T>, T: Element>(whole: *const u8, len: usize, prepared: *mut u8) {
                    // SAFETY: the caller's promise.
                    unsafe { prepare::prepare::<V, T>(whole.cast(), len, prepared.cast()) }
                }
                entry::<V, T>
            }
        }
    };
}

entry_points!(Portable);
#[cfg(target_arch = "x86_64")]
entry_points!(Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
entry_points!(Avx512, "avx512f,avx2,fma,f16c");

/// Runs `$body` with the type alias `$vectors` standing for the vectors of `$set`.
///
/// A value of [`InstructionSet`] that is not of this architecture does not come from
/// [`InstructionSet::best`], and contexts hold none that is greater.
macro_rules! with_vectors {
    ($set:expr, $vectors:ident => $body:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                type $vectors = Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                type $vectors = Avx512;
                $body
            }
            _ => {
                type $vectors = Portable;
                $body
            }
        }
    };
}

/// The kernel that totals parts of type `parts`.
///
/// # Panics
/// Where `arithmetic` cannot hold the parts exactly, or for a measure that it has no kernel for: `f32` has only the
/// [`MeasureKind::MagnitudeSum`], since the other norms need `f64` to be exact (see `driver::kernel`).
pub(crate) fn accumulate(
    set: InstructionSet,
    parts: DType,
    arithmetic: Arithmetic,
    measure: MeasureKind,
) -> Accumulate {
    with_vectors!(set, S => match arithmetic {
        Arithmetic::F32 => {
            assert!(measure == MeasureKind::MagnitudeSum, "{measure:?} is not totalled in f32");
            accumulate_f32::<S>(parts)
        }
        Arithmetic::F64 => with_element!(parts, T => accumulate_f64::<S, T>(measure)),
    })
}

/// The kernel that prepares a whole of type `whole` for `arithmetic`.
///
/// # Panics
/// Where `arithmetic` cannot hold the whole exactly.
pub(crate) fn prepare(set: InstructionSet, whole: DType, arithmetic: Arithmetic) -> Prepare {
    with_vectors!(set, S => match arithmetic {
        Arithmetic::F32 => prepare_f32::<S>(whole),
        Arithmetic::F64 => with_element!(whole, T => S::prepare::<<S as Vectors>::F64, T>()),
    })
}

const NOT_IN_F32: &str = "f64 is not narrowed to f32 arithmetic";

fn accumulate_f32<S: EntryPoints>(parts: DType) -> Accumulate {
    match parts {
        DType::F32 => S::accumulate::<S::F32, f32, MagnitudeSum>(),
        DType::F16 => S::accumulate::<S::F32, f16, MagnitudeSum>(),
        DType::Bf16 => S::accumulate::<S::F32, bf16, MagnitudeSum>(),
        DType::F64 => unreachable!("{NOT_IN_F32}"),
    }
}

fn accumulate_f64<S: EntryPoints, T: Element>(measure: MeasureKind) -> Accumulate
where
    S::F64: LoadAs<T>,
{
    match measure {
        MeasureKind::MagnitudeSum => S::accumulate::<S::F64, T, MagnitudeSum>(),
        MeasureKind::SquareSum => S::accumulate::<S::F64, T, SquareSum>(),
        MeasureKind::CubeSum => S::accumulate::<S::F64, T, CubeSum>(),
        MeasureKind::PowerSum => S::accumulate::<S::F64, T, PowerSum>(),
        MeasureKind::LargestMagnitude => S::accumulate::<S::F64, T, LargestMagnitude>(),
    }
}

fn prepare_f32<S: EntryPoints>(whole: DType) -> Prepare {
    match whole {
        DType::F32 => S::prepare::<S::F32, f32>(),
        DType::F16 => S::prepare::<S::F32, f16>(),
        DType::Bf16 => S::prepare::<S::F32, bf16>(),
        DType::F64 => unreachable!("{NOT_IN_F32}"),
    }
}
