//! Which instruction set's copy of a kernel runs: the one place that chooses.

use crate::dtype::{DType, Element, with_element};
use crate::instruction_set::InstructionSet;
use crate::kernels::columns::{ColumnTotals, SideBySide, columns};
use crate::kernels::measure::{CubeSum, LargestMagnitude, MagnitudeSum, Measure, Parameters, PowerSum, SquareSum};
use crate::kernels::prepare::prepare;
use crate::kernels::rows::{Piece, Totals, rows};
use crate::lanes::portable::Portable;
use crate::lanes::{Lanes, LoadAny, LoadAs};
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2::Avx2, avx512::Avx512};

/// The measures of [`crate::kernels::measure`], as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasureKind {
    MagnitudeSum,
    SquareSum,
    CubeSum,
    PowerSum,
    LargestMagnitude,
}

/// The kernels that read parts, for one element type and measure. Pointers to elements are those of that type.
#[derive(Clone, Copy)]
pub(crate) struct PartKernels {
    /// [`rows`].
    pub(crate) rows: unsafe fn(Parameters, Piece, &[*const u8], *const f64, usize, *mut Totals),
    /// [`columns`].
    pub(crate) columns: unsafe fn(Parameters, Piece, SideBySide, *const f64, usize, *mut ColumnTotals),
}

/// [`prepare`] for one element type.
pub(crate) type Prepare = unsafe fn(*const u8, usize, *mut f64);

/// The kernels on one instruction set.
trait EntryPoints: LoadAny {
    fn part_kernels<T: Element, M: Measure>() -> PartKernels
    where
        Self: LoadAs<T>;

    fn prepare<T: Element>() -> Prepare
    where
        Self: LoadAs<T>;
}

/// Implements [`EntryPoints`] with functions that are compiled for these target features. Nothing but an entry point
/// has target features; the kernel and the vectors that it uses are inlined into it.
macro_rules! entry_points {
    ($vector:ty $(, $features:literal)?) => {
        impl EntryPoints for $vector {
            fn part_kernels<T: Element, M: Measure>() -> PartKernels
            where
                Self: LoadAs<T>,
            {
                /// # Safety
                /// As [`rows`].
                $(#[target_feature(enable = $features)])?
                unsafe fn rows_entry<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
                    parameters: Parameters,
                    piece: Piece,
                    parts: &[*const u8],
                    whole: *const f64,
                    len: usize,
                    totals: *mut Totals,
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { rows::<V, T, M>(parameters, piece, parts, whole, len, totals) }
                }

                /// # Safety
                /// As [`columns`].
                $(#[target_feature(enable = $features)])?
                unsafe fn columns_entry<V: Lanes + LoadAs<T>, T: Element, M: Measure>(
                    parameters: Parameters,
                    piece: Piece,
                    parts: SideBySide,
                    whole: *const f64,
                    len: usize,
                    totals: *mut ColumnTotals,
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { columns::<V, T, M>(parameters, piece, parts, whole, len, totals) }
                }

                PartKernels { rows: rows_entry::<Self, T, M>, columns: columns_entry::<Self, T, M> }
            }

            fn prepare<T: Element>() -> Prepare
            where
                Self: LoadAs<T>,
            {
                /// # Safety
                /// As [`prepare`].
                $(#[target_feature(enable = $features)])?
                unsafe fn prepare_entry<V: Lanes + LoadAs<T>, T: Element>(
                    whole: *const u8,
                    len: usize,
                    prepared: *mut f64,
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { prepare::<V, T>(whole.cast(), len, prepared) }
                }
                prepare_entry::<Self, T>
            }
        }
    };
}

entry_points!(Portable);
#[cfg(target_arch = "x86_64")]
entry_points!(Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
entry_points!(Avx512, "avx512f,avx2,fma,f16c");

/// Runs `$body` with the type alias `$vector` standing for the vectors of `$set`. Contexts hold no set that is greater
/// than [`InstructionSet::best`], so that none comes here that the processor does not have.
macro_rules! with_vector {
    ($set:expr, $vector:ident => $body:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                type $vector = Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                type $vector = Avx512;
                $body
            }
            _ => {
                type $vector = Portable;
                $body
            }
        }
    };
}

/// The kernels that total parts of type `parts`.
pub(crate) fn part_kernels(set: InstructionSet, parts: DType, measure: MeasureKind) -> PartKernels {
    with_vector!(set, V => with_element!(parts, T => match measure {
        MeasureKind::MagnitudeSum => V::part_kernels::<T, MagnitudeSum>(),
        MeasureKind::SquareSum => V::part_kernels::<T, SquareSum>(),
        MeasureKind::CubeSum => V::part_kernels::<T, CubeSum>(),
        MeasureKind::PowerSum => V::part_kernels::<T, PowerSum>(),
        MeasureKind::LargestMagnitude => V::part_kernels::<T, LargestMagnitude>(),
    }))
}

/// The kernel that prepares a whole of type `whole`.
pub(crate) fn prepare_kernel(set: InstructionSet, whole: DType) -> Prepare {
    with_vector!(set, V => with_element!(whole, T => <V as EntryPoints>::prepare::<T>()))
}
