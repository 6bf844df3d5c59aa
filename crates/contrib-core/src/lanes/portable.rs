//! Vectors for any machine, with the instructions that the crate was compiled for: SSE2 on x86-64, NEON on 64-bit Arm,
//! SIMD128 in WebAssembly.

use super::{LANES, Lanes, LoadAs};
use crate::dtype::{widen_bf16, widen_f16};
use half::{bf16, f16};
use std::array::from_fn;
use wide::{f64x4, i64x4};

/// Four of `wide`'s vectors.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f64x4; 4]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(number: f64) -> Self {
        Portable([f64x4::splat(number); 4])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        let numbers: [[f64; 4]; 4] = self.0.map(f64x4::to_array);
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[[f64; 4]; 4]>().write_unaligned(numbers) }
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Portable(from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Portable(from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Portable(from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Portable(self.0.map(f64x4::abs))
    }

    #[inline(always)]
    fn max_magnitude(self, other: Self) -> Self {
        // The bits of numbers that are not negative, read as integers, have the order of the numbers, and those of
        // NaN are above infinity's.
        Portable(from_fn(|i| {
            let bits = |vector: f64x4| i64x4::new(vector.to_array().map(|number| number.to_bits() as i64));
            let larger = bits(self.0[i]).max(bits(other.0[i]));
            f64x4::new(larger.to_array().map(|bits| f64::from_bits(bits as u64)))
        }))
    }
}

/// Implements [`LoadAs`] by widening each element on its own, in a loop that the compiler turns into vector code.
macro_rules! load_as {
    ($($element:ty => $widen:expr),* $(,)?) => { $(
        impl LoadAs<$element> for Portable {
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                let elements = unsafe { from.cast::<[$element; LANES]>().read_unaligned() };
                let numbers: [f64; LANES] = elements.map($widen);
                Portable(from_fn(|i| f64x4::new(from_fn(|lane| numbers[4 * i + lane]))))
            }
        }
    )* };
}

load_as!(
    f64 => |x| x,
    f32 => f64::from,
    f16 => |x: f16| f64::from(widen_f16(x.to_bits())),
    bf16 => |x: bf16| f64::from(widen_bf16(x.to_bits())),
);
