//! Which instruction set's copy of a kernel runs: the one place that chooses.

use crate::dtype::{DType, Element, with_element, with_single_element};
use crate::instruction_set::InstructionSet;
use crate::kernels::columns::{ColumnChains, ColumnTotals, SideBySide, columns};
use crate::kernels::measure::{
    CubeSum, LargestMagnitude, MagnitudeGain, MagnitudeSum, Measure, Parameters, PowerSum, SquareGain, SquareSum,
};
use crate::kernels::overshoot::{self, Ranks, overshoots};
use crate::kernels::panel::{Sizes, largest, panel, squares};
use crate::kernels::prepare::prepare;
use crate::kernels::products::{Products, Rows, products};
use crate::kernels::rows::{Piece, Totals, rows};
use crate::lanes::portable::Portable;
use crate::lanes::{LANES, Line, LoadAs, Number, Vectors};
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
    MagnitudeGain,
    SquareGain,
}

/// The kernels that read parts, for one element type and measure. Pointers to elements are those of that type; those to
/// the prepared whole are to the measure's numbers.
#[derive(Clone, Copy)]
pub(crate) struct PartKernels {
    /// [`rows`].
    pub(crate) rows: unsafe fn(Parameters, Piece, &[*const u8], *const u8, usize, *mut Totals),
    /// [`columns`].
    pub(crate) columns:
        unsafe fn(Parameters, Piece, SideBySide, *const u8, usize, *mut ColumnChains, *mut ColumnTotals),
}

/// [`prepare`] for one element type of wholes and type of numbers.
pub(crate) type Prepare = unsafe fn(*const u8, usize, f64, *mut u8);

/// [`panel`] for one element type, which is the type of what the pointers point to, and type of numbers.
pub(crate) type Panel<N> = unsafe fn(&[*const u8; LANES], isize, usize, *mut Line<N>);

/// [`products`] of numbers of type `N`.
pub(crate) type ProductsOf<N> = unsafe fn(Rows<N>, *const Line<N>, usize, bool, *mut Products);

/// [`largest`] or [`squares`].
pub(crate) type Measurer = unsafe fn(*const Line<f32>, usize, &mut Sizes);

/// [`overshoots`].
pub(crate) type Overshoots =
    unsafe fn(&Line<f32>, &Line<f32>, *const Line<f32>, (&Ranks, *const overshoot::Element), &mut Line<f64>);

/// The kernels that gains of factored parts need beside [`ProductsOf`].
#[derive(Clone, Copy)]
pub(crate) struct GainKernels {
    pub(crate) largest: Measurer,
    pub(crate) squares: Measurer,
    pub(crate) overshoots: Overshoots,
}

/// The kernels on one instruction set.
trait EntryPoints: Vectors {
    fn part_kernels<T: Element, M: Measure>() -> PartKernels
    where
        <M::Number as Number>::Lanes<Self>: LoadAs<T>;

    fn prepare<T: Element, N: Number>() -> Prepare
    where
        N::Lanes<Self>: LoadAs<T>;

    fn panel<T: Element, N: Number>() -> Panel<N>
    where
        N::Lanes<Self>: LoadAs<T>;

    fn products<N: Number>() -> ProductsOf<N>;

    fn gain_kernels() -> GainKernels;
}

/// Implements [`EntryPoints`] with functions that are compiled for these target features. Nothing but an entry point
/// has target features; the kernel and the vectors that it uses are inlined into it.
macro_rules! entry_points {
    ($set:ty $(, $features:literal)?) => {
        impl EntryPoints for $set {
            fn part_kernels<T: Element, M: Measure>() -> PartKernels
            where
                <M::Number as Number>::Lanes<Self>: LoadAs<T>,
            {
                /// # Safety
                /// As [`rows`].
                $(#[target_feature(enable = $features)])?
                unsafe fn rows_entry<V: Vectors, T: Element, M: Measure>(
                    parameters: Parameters,
                    piece: Piece,
                    parts: &[*const u8],
                    whole: *const u8,
                    len: usize,
                    totals: *mut Totals,
                ) where
                    <M::Number as Number>::Lanes<V>: LoadAs<T>,
                {
                    // SAFETY: the caller's promise.
                    unsafe { rows::<V, T, M>(parameters, piece, parts, whole.cast(), len, totals) }
                }

                /// # Safety
                /// As [`columns`].
                $(#[target_feature(enable = $features)])?
                unsafe fn columns_entry<V: Vectors, T: Element, M: Measure>(
                    parameters: Parameters,
                    piece: Piece,
                    parts: SideBySide,
                    whole: *const u8,
                    len: usize,
                    chains: *mut ColumnChains,
                    totals: *mut ColumnTotals,
                ) where
                    <M::Number as Number>::Lanes<V>: LoadAs<T>,
                {
                    // SAFETY: the caller's promise.
                    unsafe { columns::<V, T, M>(parameters, piece, parts, whole.cast(), len, chains, totals) }
                }

                PartKernels { rows: rows_entry::<Self, T, M>, columns: columns_entry::<Self, T, M> }
            }

            fn prepare<T: Element, N: Number>() -> Prepare
            where
                N::Lanes<Self>: LoadAs<T>,
            {
                /// # Safety
                /// As [`prepare`].
                $(#[target_feature(enable = $features)])?
                unsafe fn prepare_entry<V: Vectors, T: Element, N: Number>(
                    whole: *const u8,
                    len: usize,
                    factor: f64,
                    prepared: *mut u8,
                ) where
                    N::Lanes<V>: LoadAs<T>,
                {
                    // SAFETY: the caller's promise.
                    unsafe { prepare::<N::Lanes<V>, T>(whole.cast(), len, factor, prepared.cast()) }
                }
                prepare_entry::<Self, T, N>
            }

            fn panel<T: Element, N: Number>() -> Panel<N>
            where
                N::Lanes<Self>: LoadAs<T>,
            {
                /// # Safety
                /// As [`panel`].
                $(#[target_feature(enable = $features)])?
                unsafe fn panel_entry<V: Vectors, T: Element, N: Number>(
                    starts: &[*const u8; LANES],
                    stride: isize,
                    len: usize,
                    to: *mut Line<N>,
                ) where
                    N::Lanes<V>: LoadAs<T>,
                {
                    // SAFETY: the caller's promise.
                    unsafe { panel::<V, T, N>(&starts.map(<*const u8>::cast), stride, len, to) }
                }
                panel_entry::<Self, T, N>
            }

            fn products<N: Number>() -> ProductsOf<N> {
                /// # Safety
                /// As [`products`].
                $(#[target_feature(enable = $features)])?
                unsafe fn products_entry<V: Vectors, N: Number>(
                    rows: Rows<N>,
                    panel: *const Line<N>,
                    lines: usize,
                    continued: bool,
                    to: *mut Products,
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { products::<V, N>(rows, panel, lines, continued, to) }
                }
                products_entry::<Self, N>
            }

            fn gain_kernels() -> GainKernels {
                /// # Safety
                /// As [`largest`].
                $(#[target_feature(enable = $features)])?
                unsafe fn largest_entry<V: Vectors>(panel: *const Line<f32>, len: usize, to: &mut Sizes) {
                    // SAFETY: the caller's promise.
                    unsafe { largest::<V>(panel, len, to) }
                }

                /// # Safety
                /// As [`squares`].
                $(#[target_feature(enable = $features)])?
                unsafe fn squares_entry<V: Vectors>(panel: *const Line<f32>, len: usize, to: &mut Sizes) {
                    // SAFETY: the caller's promise.
                    unsafe { squares::<V>(panel, len, to) }
                }

                /// # Safety
                /// As [`overshoots`].
                $(#[target_feature(enable = $features)])?
                unsafe fn overshoots_entry<V: Vectors>(
                    coefficients: &Line<f32>,
                    largest: &Line<f32>,
                    panel: *const Line<f32>,
                    whole: (&Ranks, *const overshoot::Element),
                    to: &mut Line<f64>,
                ) {
                    // SAFETY: the caller's promise.
                    unsafe { overshoots::<V>(coefficients, largest, panel, whole, to) }
                }

                GainKernels {
                    largest: largest_entry::<Self>,
                    squares: squares_entry::<Self>,
                    overshoots: overshoots_entry::<Self>,
                }
            }
        }
    };
}

entry_points!(Portable);
#[cfg(target_arch = "x86_64")]
entry_points!(Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
entry_points!(Avx512, "avx512f,avx2,fma,f16c");

/// Runs `$body` with the type alias `$vectors` standing for the vectors of `$set`. Contexts hold no set that is greater
/// than [`InstructionSet::best`], so that none comes here that the processor does not have.
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

/// The kernels that total parts of type `parts`. Gains, whose kernels calculate in `f32`, are not taken of `f64`.
pub(crate) fn part_kernels(set: InstructionSet, parts: DType, measure: MeasureKind) -> PartKernels {
    fn in_f64<V: EntryPoints, M: Measure<Number = f64>>(parts: DType) -> PartKernels {
        with_element!(parts, T => V::part_kernels::<T, M>())
    }
    fn in_f32<V: EntryPoints, M: Measure<Number = f32>>(parts: DType) -> PartKernels {
        with_single_element!(parts, T => V::part_kernels::<T, M>())
    }
    with_vectors!(set, V => match measure {
        MeasureKind::MagnitudeSum => in_f64::<V, MagnitudeSum>(parts),
        MeasureKind::SquareSum => in_f64::<V, SquareSum>(parts),
        MeasureKind::CubeSum => in_f64::<V, CubeSum>(parts),
        MeasureKind::PowerSum => in_f64::<V, PowerSum>(parts),
        MeasureKind::LargestMagnitude => in_f64::<V, LargestMagnitude>(parts),
        MeasureKind::MagnitudeGain => in_f32::<V, MagnitudeGain>(parts),
        MeasureKind::SquareGain => in_f32::<V, SquareGain>(parts),
    })
}

/// The kernel that prepares a whole of type `whole` in `f64`.
pub(crate) fn prepare_in_f64(set: InstructionSet, whole: DType) -> Prepare {
    with_vectors!(set, V => with_element!(whole, T => <V as EntryPoints>::prepare::<T, f64>()))
}

/// The kernel that prepares a whole of type `whole`, which is not `f64`, in `f32`.
pub(crate) fn prepare_in_f32(set: InstructionSet, whole: DType) -> Prepare {
    with_vectors!(set, V => with_single_element!(whole, T => <V as EntryPoints>::prepare::<T, f32>()))
}

/// The kernel that writes vectors of type `vectors` as panels of `f64`.
pub(crate) fn panel_in_f64(set: InstructionSet, vectors: DType) -> Panel<f64> {
    with_vectors!(set, V => with_element!(vectors, T => <V as EntryPoints>::panel::<T, f64>()))
}

/// The kernel that writes vectors of type `vectors`, which is not `f64`, as panels of `f32`.
pub(crate) fn panel_in_f32(set: InstructionSet, vectors: DType) -> Panel<f32> {
    with_vectors!(set, V => with_single_element!(vectors, T => <V as EntryPoints>::panel::<T, f32>()))
}

/// The kernel that multiplies rows with columns.
pub(crate) fn products_kernel<N: Number>(set: InstructionSet) -> ProductsOf<N> {
    with_vectors!(set, V => <V as EntryPoints>::products::<N>())
}

/// The kernels that gains of factored parts need.
pub(crate) fn gain_kernels(set: InstructionSet) -> GainKernels {
    with_vectors!(set, V => <V as EntryPoints>::gain_kernels())
}
