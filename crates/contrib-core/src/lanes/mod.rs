//! Vectors of [`LANES`] numbers: the operations that the kernels are written in.
//!
//! A kernel is written once, generic over [`Vectors`]. An instruction set is a module here that implements the trait. All
//! have the same number of lanes, whatever the width of the registers, and none fuses a multiplication with an addition,
//! so that a kernel gives the same bits on each.
//!
//! # Safety
//! Only `unsafe` functions make a vector, and they require that the processor has the instruction set. A vector is
//! therefore a proof of that, and calculating with it needs no `unsafe`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use crate::dtype::Element;
use half::{bf16, f16};

/// Numbers in a vector.
pub(crate) const LANES: usize = 16;

/// Lines of a vector of `len` numbers, of which there is at least one.
pub(crate) const fn lines(len: usize) -> usize {
    let lines = len.div_ceil(LANES);
    if lines == 0 { 1 } else { lines }
}

/// A vector in memory, aligned so that loads and stores do not cross a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line<N>(pub(crate) [N; LANES]);

impl<N> Line<N> {
    /// The numbers of some lines: of `f32` or `f64`, which fill a line without padding.
    pub(crate) fn numbers_mut(lines: &mut [Self]) -> &mut [N] {
        const { assert!(size_of::<Self>() == LANES * size_of::<N>(), "a line of such numbers has padding") };
        // SAFETY: a line consists of its numbers, without padding, as was just asserted; so `lines` are as many numbers,
        // one after the other, borrowed for as long.
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

/// A type that kernels calculate in: `f32` or `f64`.
pub(crate) trait Number: Element + PartialOrd {
    /// Its vectors.
    type Lanes<V: Vectors>: Lanes<Number = Self>;

    /// The nearest number.
    fn of(value: f64) -> Self;

    /// Whether its sign bit is set.
    fn is_sign_negative(self) -> bool;

    /// The same numbers in `f64`.
    fn widened<V: Vectors>(lanes: Self::Lanes<V>) -> V::Doubles;

    /// The nearest numbers.
    fn narrowed<V: Vectors>(lanes: V::Doubles) -> Self::Lanes<V>;
}

impl Number for f32 {
    type Lanes<V: Vectors> = V::Singles;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn is_sign_negative(self) -> bool {
        self.is_sign_negative()
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

    #[inline(always)]
    fn narrowed<V: Vectors>(lanes: V::Doubles) -> V::Singles {
        let (mut numbers, mut narrowed) = ([0.0_f64; LANES], [0.0_f32; LANES]);
        // SAFETY: `numbers` has room for a vector, and `lanes` shows that the processor has the instruction set.
        unsafe {
            lanes.store(numbers.as_mut_ptr());
            let mut lane = 0;
            while lane < LANES {
                narrowed[lane] = numbers[lane] as f32;
                lane += 1;
            }
            LoadAs::<f32>::load(narrowed.as_ptr())
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
    fn is_sign_negative(self) -> bool {
        self.is_sign_negative()
    }

    #[inline(always)]
    fn widened<V: Vectors>(lanes: V::Doubles) -> V::Doubles {
        lanes
    }

    #[inline(always)]
    fn narrowed<V: Vectors>(lanes: V::Doubles) -> V::Doubles {
        lanes
    }
}

/// A [`Number`] to which elements of type `T` widen exactly.
///
/// It states for a number what [`LoadAs`] states for each of its vectors, so that a kernel, whose instruction set is a
/// parameter of a method, can state it as a bound of an implementation.
pub(crate) trait Reads<T>: Number {
    /// The elements at `from` and after, widened.
    ///
    /// # Safety
    /// As [`LoadAs::load`].
    unsafe fn load<V: Vectors>(from: *const T) -> Self::Lanes<V>;
}

macro_rules! reads {
    ($($number:ty: $($element:ty),*;)*) => { $($(
        impl Reads<$element> for $number {
            #[inline(always)]
            unsafe fn load<V: Vectors>(from: *const $element) -> Self::Lanes<V> {
                // SAFETY: the conditions are the same.
                unsafe { LoadAs::<$element>::load(from) }
            }
        }
    )*)* };
}

reads! {
    f32: f32, f16, bf16;
    f64: f64, f32, f16, bf16;
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
    fn div(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;

    /// In each lane the smaller of two numbers; `other` where either is NaN or both are equal, such as two zeros.
    fn min(self, other: Self) -> Self;

    /// In each lane the larger of two numbers; `other` where either is NaN or both are equal, such as two zeros.
    fn max(self, other: Self) -> Self;

    /// In each lane the larger of two numbers; NaN where either is NaN. Neither may have its sign bit set.
    fn max_magnitude(self, other: Self) -> Self;

    /// In each lane the number, or its negative where the sign bit of `other` is set.
    fn negated_where_negative(self, other: Self) -> Self;

    /// In each lane the number, or 0 where `other` is 0.
    fn zero_where_zero(self, other: Self) -> Self;

    /// The numbers of both vectors in turn, beginning with the first of `self`: the first half of them all, and the second
    /// half.
    #[inline(always)]
    fn zip(self, other: Self) -> (Self, Self) {
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

    /// Transposes a square of numbers.
    ///
    /// The index of a number in the square has the four bits of its row and then the four bits of its lane. Zipping row `i`
    /// with row `i + 8`, into rows `2i` and `2i + 1`, moves each bit up by one and the first bit to the end. After four such
    /// rounds the bits of row and lane have been swapped.
    #[inline(always)]
    fn transpose(square: &mut [Self; LANES]) {
        let mut bits = LANES.ilog2();
        while bits > 0 {
            let before = *square;
            let mut row = 0;
            while row < LANES / 2 {
                (square[2 * row], square[2 * row + 1]) = before[row].zip(before[row + LANES / 2]);
                row += 1;
            }
            bits -= 1;
        }
    }
}

/// A vector that can be loaded from elements of type `T`, widened exactly.
pub(crate) trait LoadAs<T>: Copy {
    /// The elements at `from` and after.
    ///
    /// # Safety
    /// - The processor has the instruction set.
    /// - [`LANES`] elements can be read at `from`, which need not be aligned.
    unsafe fn load(from: *const T) -> Self;
}
