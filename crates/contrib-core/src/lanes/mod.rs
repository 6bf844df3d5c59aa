//! Vectors of [`LANES`] numbers: the only words that the kernels are written in.
//!
//! A kernel is written once, generic over [`Lanes`]; an instruction set is a module here that implements the trait for
//! two types, one of `f32` and one of `f64`. All of them have the same number of lanes, whatever the width of the
//! registers, and none of them fuses a multiplication with an addition: so a kernel gives the same bits on each.
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

use half::{bf16, f16};

/// Numbers in a vector.
pub(crate) const LANES: usize = 16;

/// A vector of [`LANES`] numbers on some instruction set.
///
/// Every function is `#[inline(always)]` and has no `#[target_feature]`: it becomes part of an entry point that has.
pub(crate) trait Lanes: Copy {
    /// The type of one number: `f32` or `f64`.
    type Scalar: Copy;
    /// The vector of `f64` on the same instruction set.
    type Wide: Lanes<Scalar = f64, Wide = Self::Wide>;

    /// How many totals a kernel keeps at the same time, 2 or 4: enough to hide the latency of an addition, and few enough
    /// for the registers of the least instruction set. It is the same on all, as the order of additions depends on it.
    const CHAINS: usize = if size_of::<Self::Scalar>() == 4 { 4 } else { 2 };

    /// The same number in each lane.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(number: f64) -> Self;

    /// The numbers at `from` and after.
    ///
    /// # Safety
    /// The processor has the instruction set, and [`LANES`] numbers can be read at `from`, which need not be aligned.
    unsafe fn load(from: *const Self::Scalar) -> Self;

    /// Writes the numbers to `to` and after.
    ///
    /// # Safety
    /// [`LANES`] numbers can be written at `to`, which need not be aligned.
    unsafe fn store(self, to: *mut Self::Scalar);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn abs(self) -> Self;

    /// In each lane the larger of two numbers; NaN where either is NaN. Neither may have its sign bit set.
    fn max_magnitude(self, other: Self) -> Self;

    /// The same numbers as `f64`.
    fn widen(self) -> Self::Wide;
}

/// A vector that can be loaded from elements of type `T`, widened exactly.
pub(crate) trait LoadAs<T>: Lanes {
    /// The elements at `from` and after.
    ///
    /// # Safety
    /// The processor has the instruction set, and [`LANES`] elements can be read at `from`, which need not be aligned.
    unsafe fn load_as(from: *const T) -> Self;
}

/// An instruction set's two vectors, for all the element types that each can hold exactly.
pub(crate) trait Vectors {
    type F32: LoadAs<f32> + LoadAs<f16> + LoadAs<bf16> + Lanes<Scalar = f32, Wide = Self::F64>;
    type F64: LoadAs<f32> + LoadAs<f64> + LoadAs<f16> + LoadAs<bf16> + Lanes<Scalar = f64, Wide = Self::F64>;
}
