//! Vectors for any machine, with the instructions that the crate was compiled for: SSE2 on x86-64, NEON on 64-bit Arm,
//! SIMD128 in WebAssembly.

use super::{LANES, Lanes, LoadAs, Vectors};
use crate::dtype::{widen_bf16, widen_f16};
use half::{bf16, f16};
use std::array::from_fn;
use wide::{f32x8, f64x4, i32x8, i64x4};

/// What the crate was compiled for.
pub(crate) struct Portable;

impl Vectors for Portable {
    type Singles = Singles;
    type Doubles = Doubles;

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}

/// Declares a vector of `$count` of `wide`'s vectors, and implements [`Lanes`].
macro_rules! portable_lanes {
    ($(#[$doc:meta])* $name:ident: $count:literal * $register:ty, [$number:ty; $width:literal], $bits:ty as $signed:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name([$register; $count]);

        impl Lanes for $name {
            type Number = $number;

            #[inline(always)]
            unsafe fn splat(number: $number) -> Self {
                $name([<$register>::splat(number); $count])
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $number) {
                let numbers: [[$number; $width]; $count] = self.0.map(<$register>::to_array);
                // SAFETY: LANES numbers can be written at `to`, which is $count times $width.
                unsafe { to.cast::<[[$number; $width]; $count]>().write_unaligned(numbers) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i] + other.0[i]))
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i] - other.0[i]))
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i] * other.0[i]))
            }

            #[inline(always)]
            fn div(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i] / other.0[i]))
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $name(self.0.map(<$register>::abs))
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $name(self.0.map(<$register>::sqrt))
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i].simd_lt(other.0[i]).select(self.0[i], other.0[i])))
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i].simd_gt(other.0[i]).select(self.0[i], other.0[i])))
            }

            #[inline(always)]
            fn max_magnitude(self, other: Self) -> Self {
                // The bits of numbers that are not negative, read as integers, have the order of the numbers, and those
                // of NaN are above infinity's.
                $name(from_fn(|i| {
                    let bits = |vector: $register| <$bits>::new(vector.to_array().map(|x| x.to_bits() as $signed));
                    let larger = bits(self.0[i]).max(bits(other.0[i]));
                    <$register>::new(larger.to_array().map(|bits| <$number>::from_bits(bits.cast_unsigned())))
                }))
            }

            #[inline(always)]
            fn zero_where_zero(self, other: Self) -> Self {
                let zero = <$register>::ZERO;
                $name(from_fn(|i| other.0[i].simd_eq(zero).select(zero, self.0[i])))
            }

            #[inline(always)]
            fn negated_where_negative(self, other: Self) -> Self {
                $name(from_fn(|i| self.0[i] ^ (other.0[i] & <$register>::splat(-0.0))))
            }
        }
    };
}

portable_lanes!(
    /// Two of `wide`'s vectors.
    Singles: 2 * f32x8, [f32; 8], i32x8 as i32
);
portable_lanes!(
    /// Four of `wide`'s vectors.
    Doubles: 4 * f64x4, [f64; 4], i64x4 as i64
);

/// Implements [`LoadAs`] by widening each element on its own, in a loop that the compiler turns into vector code.
macro_rules! load_as {
    ($name:ident, [$register:ty; $width:literal]: $($element:ty => $widen:expr),* $(,)?) => { $(
        impl LoadAs<$element> for $name {
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: LANES elements can be read at `from`.
                let elements = unsafe { from.cast::<[$element; LANES]>().read_unaligned() };
                let numbers = elements.map($widen);
                $name(from_fn(|i| <$register>::new(from_fn(|lane| numbers[$width * i + lane]))))
            }
        }
    )* };
}

load_as!(
    Singles, [f32x8; 8]:
    f32 => |x| x,
    f16 => |x: f16| widen_f16(x.to_bits()),
    bf16 => |x: bf16| widen_bf16(x.to_bits()),
);
load_as!(
    Doubles, [f64x4; 4]:
    f64 => |x| x,
    f32 => f64::from,
    f16 => |x: f16| f64::from(widen_f16(x.to_bits())),
    bf16 => |x: bf16| f64::from(widen_bf16(x.to_bits())),
);
