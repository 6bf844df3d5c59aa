//! Vectors for any machine, with the instructions that the crate was compiled for: SSE2 on x86-64, NEON on 64-bit Arm,
//! SIMD128 in WebAssembly.

use super::{LANES, Lanes, LoadAs};
use crate::dtype::{widen_bf16, widen_f16};
use half::{bf16, f16};
use std::array::from_fn;
use wide::{f32x8, f64x4, i32x8, i64x4};

/// What the crate was compiled for.
pub(crate) struct Portable;

impl super::Vectors for Portable {
    type F32 = F32;
    type F64 = F64;
}

#[derive(Clone, Copy)]
pub(crate) struct F32([f32x8; 2]);

#[derive(Clone, Copy)]
pub(crate) struct F64([f64x4; 4]);

impl F32 {
    #[inline(always)]
    fn from_array(numbers: [f32; LANES]) -> Self {
        F32(from_fn(|i| f32x8::new(from_fn(|lane| numbers[8 * i + lane]))))
    }
}

impl F64 {
    #[inline(always)]
    fn from_array(numbers: [f64; LANES]) -> Self {
        F64(from_fn(|i| f64x4::new(from_fn(|lane| numbers[4 * i + lane]))))
    }
}

impl Lanes for F32 {
    type Scalar = f32;
    type Wide = F64;

    #[inline(always)]
    unsafe fn splat(number: f64) -> Self {
        F32([f32x8::splat(number as f32); 2])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::load_as(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        let numbers: [[f32; 8]; 2] = self.0.map(f32x8::to_array);
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[[f32; 8]; 2]>().write_unaligned(numbers) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F32(from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F32(from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F32(from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        F32(self.0.map(f32x8::abs))
    }

    #[inline(always)]
    fn max_magnitude(self, other: Self) -> Self {
        // The bits of numbers that are not negative, read as integers, have the order of the numbers, and those of
        // NaN are above infinity's.
        F32(from_fn(|i| {
            let bits = |vector: f32x8| i32x8::new(vector.to_array().map(|number| number.to_bits() as i32));
            let larger = bits(self.0[i]).max(bits(other.0[i]));
            f32x8::new(larger.to_array().map(|bits| f32::from_bits(bits as u32)))
        }))
    }

    #[inline(always)]
    fn widen(self) -> F64 {
        let numbers = self.0.map(f32x8::to_array);
        F64::from_array(from_fn(|lane| f64::from(numbers[lane / 8][lane % 8])))
    }
}

impl Lanes for F64 {
    type Scalar = f64;
    type Wide = F64;

    #[inline(always)]
    unsafe fn splat(number: f64) -> Self {
        F64([f64x4::splat(number); 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::load_as(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        let numbers: [[f64; 4]; 4] = self.0.map(f64x4::to_array);
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[[f64; 4]; 4]>().write_unaligned(numbers) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F64(from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F64(from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F64(from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        F64(self.0.map(f64x4::abs))
    }

    #[inline(always)]
    fn max_magnitude(self, other: Self) -> Self {
        // As for `F32`.
        F64(from_fn(|i| {
            let bits = |vector: f64x4| i64x4::new(vector.to_array().map(|number| number.to_bits() as i64));
            let larger = bits(self.0[i]).max(bits(other.0[i]));
            f64x4::new(larger.to_array().map(|bits| f64::from_bits(bits as u64)))
        }))
    }

    #[inline(always)]
    fn widen(self) -> F64 {
        self
    }
}

/// Implements [`LoadAs`] by widening each element on its own, in a loop that the compiler turns into vector code.
macro_rules! load_as {
    ($vector:ty, $($element:ty => $widen:expr),*) => { $(
        impl LoadAs<$element> for $vector {
            #[inline(always)]
            unsafe fn load_as(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                let elements = unsafe { from.cast::<[$element; LANES]>().read_unaligned() };
                Self::from_array(elements.map($widen))
            }
        }
    )* };
}

load_as!(F32, f32 => |x| x, f16 => |x: f16| widen_f16(x.to_bits()), bf16 => |x: bf16| widen_bf16(x.to_bits()));
load_as!(
    F64,
    f64 => |x| x,
    f32 => f64::from,
    f16 => |x: f16| f64::from(widen_f16(x.to_bits())),
    bf16 => |x: bf16| f64::from(widen_bf16(x.to_bits()))
);
