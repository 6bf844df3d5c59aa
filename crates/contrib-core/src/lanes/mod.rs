//! Vectors of [`LANES`] numbers: the only words that the kernels are written in.
//!
//! A kernel is written once, generic over [`Lanes`]; an instruction set is a module here that implements the trait.
//! All have the same number of lanes, whatever the width of the registers, and none fuses a multiplication with an
//! addition: so a kernel gives the same bits on each. The numbers are `f64` for every element type: in `f32`, the
//! roundings of thousands of parts of one whole add up, in the sum that divides them all, to more than the last digits
//! of a result in `f32`.
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
pub(crate) trait Lanes: LoadAs<f64> {
    /// The same number in each lane.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(number: f64) -> Self;

    /// Writes the numbers to `to` and after.
    ///
    /// # Safety
    /// [`LANES`] numbers can be written at `to`, which need not be aligned.
    unsafe fn store(self, to: *mut f64);

    /// Asks for the cache line at `from` to be fetched, where there is an instruction for it. Any address will do.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn prefetch(from: *const u8);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn abs(self) -> Self;

    /// In each lane the larger of two numbers; NaN where either is NaN. Neither may have its sign bit set.
    fn max_magnitude(self, other: Self) -> Self;
}

/// A vector that can be loaded from elements of type `T`, widened exactly.
pub(crate) trait LoadAs<T>: Copy {
    /// The elements at `from` and after.
    ///
    /// # Safety
    /// The processor has the instruction set, and [`LANES`] elements can be read at `from`, which need not be aligned.
    unsafe fn load(from: *const T) -> Self;
}

/// A vector that can be loaded from every element type.
pub(crate) trait LoadAny: Lanes + LoadAs<f32> + LoadAs<f16> + LoadAs<bf16> {}

impl<V: Lanes + LoadAs<f32> + LoadAs<f16> + LoadAs<bf16>> LoadAny for V {}
