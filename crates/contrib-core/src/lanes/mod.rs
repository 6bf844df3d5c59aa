//! Vectors of [`LANES`] numbers: the only words that the kernels are written in.
//!
//! A kernel is written once, generic over [`Vectors`]; an instruction set is a module here that implements the trait. All
//! have the same number of lanes, whatever the width of the registers, and none fuses a multiplication with an addition:
//! so a kernel gives the same bits on each.
//!
//! # Safety
//! A vector can only be made by the `unsafe` functions, whose caller vouches that the processor has the instruction
//! set. Whoever holds a vector therefore may calculate with it, which needs no `unsafe`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::dtype::Element;
use half::{bf16, f16};

/// Numbers in a vector.
pub(crate) const LANES: usize = 16;

/// A vector in memory, where it is loaded from and stored to without crossing a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line<N>(pub(crate) [N; LANES]);

impl<N> Line<N> {
    /// The numbers of some lines.
    pub(crate) fn numbers_mut(lines: &mut [Self]) -> &mut [N] {
        // SAFETY: a line is its numbers and nothing else: they are as large as a cache line, or a multiple of it.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
    }
}

/// The vectors of some instruction set.
pub(crate) trait Vectors: Sized + 'static {
    /// Vectors of `f32`.
    type Singles: Lanes<Number = f32> + LoadAs<f16> + LoadAs<bf16>;
    /// Vectors of `f64`.
    type Doubles: Lanes<Number = f64> + LoadAs<f32> + LoadAs<f16> + LoadAs<bf16>;

    /// Asks for the cache line at `from` to be fetched, where there is an instruction for it. Any address will do.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn prefetch(from: *const u8);
}

/// A type that kernels calculate in.
pub(crate) trait Number: Element {
    /// Its vectors.
    type Lanes<V: Vectors>: Lanes<Number = Self>;

    /// The nearest number.
    fn of(value: f64) -> Self;

    /// The same numbers in `f64`.
    fn widened<V: Vectors>(lanes: Self::Lanes<V>) -> V::Doubles;
}

impl Number for f32 {
    type Lanes<V: Vectors> = V::Singles;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn widened<V: Vectors>(lanes: V::Singles) -> V::Doubles {
        let mut numbers = [0.0_f32; LANES];
        // SAFETY: `numbers` has room for a vector, and `lanes` shows that the processor has the instruction set.
        unsafe {
            lanes.store(numbers.as_mut_ptr());
            LoadAs::<f32>::load(numbers.as_ptr())
        }
    }
}

impl Number for f64 {
    type Lanes<V: Vectors> = V::Doubles;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn widened<V: Vectors>(lanes: V::Doubles) -> V::Doubles {
        lanes
    }
}

/// A vector of [`LANES`] numbers on some instruction set.
///
/// Every function is `#[inline(always)]` and has no `#[target_feature]`: it becomes part of an entry point that has.
pub(crate) trait Lanes: LoadAs<Self::Number> {
    /// The type of the numbers.
    type Number: Number;

    /// The same number in each lane.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(number: Self::Number) -> Self;

    /// Writes the numbers to `to` and after.
    ///
    /// # Safety
    /// [`LANES`] numbers can be written at `to`, which need not be aligned.
    unsafe fn store(self, to: *mut Self::Number);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn abs(self) -> Self;

    /// In each lane the smaller of two numbers; `other` where either is NaN.
    fn min(self, other: Self) -> Self;

    /// In each lane the larger of two numbers; `other` where either is NaN.
    fn max(self, other: Self) -> Self;

    /// In each lane the larger of two numbers; NaN where either is NaN. Neither may have its sign bit set.
    fn max_magnitude(self, other: Self) -> Self;

    /// In each lane the number, or its negative where the sign bit of `other` is set.
    fn negated_where_negative(self, other: Self) -> Self;

    /// The numbers of both vectors taking turns, `self`'s first: the first half of them all, and the second half.
    #[inline(always)]
    fn interleaved(self, other: Self) -> (Self, Self) {
        let (mut own, mut others) = ([Self::Number::ZERO; LANES], [Self::Number::ZERO; LANES]);
        let (mut low, mut high) = (own, own);
        // SAFETY: each array has room for a vector, and `self` shows that the processor has the instruction set.
        unsafe {
            self.store(own.as_mut_ptr());
            other.store(others.as_mut_ptr());
            for i in 0..LANES / 2 {
                (low[2 * i], low[2 * i + 1]) = (own[i], others[i]);
                (high[2 * i], high[2 * i + 1]) = (own[LANES / 2 + i], others[LANES / 2 + i]);
            }
            (Self::load(low.as_ptr()), Self::load(high.as_ptr()))
        }
    }
}

/// A vector that can be loaded from elements of type `T`, widened exactly.
pub(crate) trait LoadAs<T>: Copy {
    /// The elements at `from` and after.
    ///
    /// # Safety
    /// The processor has the instruction set, and [`LANES`] elements can be read at `from`, which need not be aligned.
    unsafe fn load(from: *const T) -> Self;
}
