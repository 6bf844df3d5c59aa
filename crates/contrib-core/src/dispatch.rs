//! The instruction set that a kernel runs with: the one module that chooses it, and the one that has target features.
//!
//! [`entry_point`] compiles any [`Kernel`] for every instruction set. All else here chooses the types of a kernel.

use crate::dtype::{DType, Element, with_element, with_single_element};
use crate::instruction_set::InstructionSet;
use crate::kernels::Kernel;
use crate::kernels::columns::{Columns, ColumnsArguments};
use crate::kernels::exponential::Exponential;
use crate::kernels::measure::{
    DistanceReduction, IntegerPowerSum, LargestMagnitude, MagnitudeSum, Measure, PowerSum, SquareSum,
    SquaredDistanceReduction,
};
use crate::kernels::panel::{PackPanel, PackPanelArguments};
use crate::kernels::prepare::{Prepare, PrepareArguments};
use crate::kernels::rows::{Rows, RowsArguments};
use crate::kernels::widen::{Widen, WidenArguments};
use crate::lanes::Reads;
use crate::lanes::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2::Avx2, avx512::Avx512};

/// A kernel that is compiled for one instruction set.
///
/// # Safety
/// - The processor has the instruction set that [`entry_point`] was asked for. [`InstructionSet::best`] names one that it
///   has, and a context holds none that is greater.
/// - The arguments are valid, as their type says.
pub(crate) type EntryPoint<A> = unsafe fn(A);

/// The entry point of a kernel for an instruction set.
pub(crate) fn entry_point<K: Kernel>(set: InstructionSet) -> EntryPoint<K::Arguments> {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2_entry_point::<K>,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512_entry_point::<K>,
        _ => K::run::<Portable>,
    }
}

/// # Safety
/// - The processor has AVX2, FMA and F16C.
/// - The arguments are valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2_entry_point<K: Kernel>(arguments: K::Arguments) {
    // SAFETY: both conditions of `run` are those of this function.
    unsafe { K::run::<Avx2>(arguments) }
}

/// # Safety
/// - The processor has AVX-512F beside AVX2, FMA and F16C.
/// - The arguments are valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
unsafe fn avx512_entry_point<K: Kernel>(arguments: K::Arguments) {
    // SAFETY: both conditions of `run` are those of this function.
    unsafe { K::run::<Avx512>(arguments) }
}

/// The measures of [`crate::kernels::measure`], as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasureKind {
    MagnitudeSum,
    SquareSum,
    IntegerPowerSum,
    PowerSum,
    LargestMagnitude,
    DistanceReduction,
    SquaredDistanceReduction,
}

/// The kernels that read parts, for one element type and measure.
#[derive(Clone, Copy)]
pub(crate) struct PartKernels {
    /// [`Rows`].
    pub(crate) rows: EntryPoint<RowsArguments>,
    /// [`Columns`].
    pub(crate) columns: EntryPoint<ColumnsArguments>,
}

/// The kernels that total parts of type `parts`. Distance reductions, which are calculated in `f32`, are not taken of
/// `f64`.
pub(crate) fn part_kernels(set: InstructionSet, parts: DType, measure: MeasureKind) -> PartKernels {
    fn of<T: Element, M: Measure>(set: InstructionSet) -> PartKernels
    where
        M::Number: Reads<T>,
    {
        PartKernels { rows: entry_point::<Rows<T, M>>(set), columns: entry_point::<Columns<T, M>>(set) }
    }
    fn in_f64<M: Measure<Number = f64>>(set: InstructionSet, parts: DType) -> PartKernels {
        with_element!(parts, T => of::<T, M>(set))
    }
    fn in_f32<M: Measure<Number = f32>>(set: InstructionSet, parts: DType) -> PartKernels {
        with_single_element!(parts, T => of::<T, M>(set))
    }
    match measure {
        MeasureKind::MagnitudeSum => in_f64::<MagnitudeSum>(set, parts),
        MeasureKind::SquareSum => in_f64::<SquareSum>(set, parts),
        MeasureKind::IntegerPowerSum => in_f64::<IntegerPowerSum>(set, parts),
        MeasureKind::PowerSum => in_f64::<PowerSum>(set, parts),
        MeasureKind::LargestMagnitude => in_f64::<LargestMagnitude>(set, parts),
        MeasureKind::DistanceReduction => in_f32::<DistanceReduction>(set, parts),
        MeasureKind::SquaredDistanceReduction => in_f32::<SquaredDistanceReduction>(set, parts),
    }
}

/// A number whose kernels can be chosen by the type of the elements that they read: `f64` reads all, `f32` all but `f64`.
pub(crate) trait Arithmetic: Exponential {
    /// The kernel that prepares a whole of this type.
    fn prepare(set: InstructionSet, whole: DType) -> EntryPoint<PrepareArguments>;

    /// The kernel that packs vectors of this type into panels.
    fn pack_panel(set: InstructionSet, vectors: DType) -> EntryPoint<PackPanelArguments<Self>>;

    /// The kernel that widens elements of this type.
    fn widen(set: InstructionSet, elements: DType) -> EntryPoint<WidenArguments<Self>>;

    /// The kernel that widens such numbers to `f64`.
    fn widen_to_f64(set: InstructionSet) -> EntryPoint<WidenArguments<f64>>;
}

macro_rules! arithmetic {
    ($number:ty, $with_element:ident) => {
        impl Arithmetic for $number {
            fn prepare(set: InstructionSet, whole: DType) -> EntryPoint<PrepareArguments> {
                $with_element!(whole, T => entry_point::<Prepare<T, Self>>(set))
            }

            fn pack_panel(set: InstructionSet, vectors: DType) -> EntryPoint<PackPanelArguments<Self>> {
                $with_element!(vectors, T => entry_point::<PackPanel<T, Self>>(set))
            }

            fn widen(set: InstructionSet, elements: DType) -> EntryPoint<WidenArguments<Self>> {
                $with_element!(elements, T => entry_point::<Widen<T, Self>>(set))
            }

            fn widen_to_f64(set: InstructionSet) -> EntryPoint<WidenArguments<f64>> {
                entry_point::<Widen<Self, f64>>(set)
            }
        }
    };
}

arithmetic!(f32, with_single_element);
arithmetic!(f64, with_element);
