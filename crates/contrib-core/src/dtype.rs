//! The element types of tensors: what they are called, how they widen, how results are narrowed to them.

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl DType {
    /// Size of one element in bytes, which is also its alignment.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            DType::F16 | DType::Bf16 => 2,
            DType::F32 => 4,
            DType::F64 => 8,
        }
    }

    /// The name that NumPy and PyTorch use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::F16 => "float16",
            DType::Bf16 => "bfloat16",
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor can hold: `f32`, `f64`, [`half::f16`] or [`half::bf16`].
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The same type, as a value.
    const DTYPE: DType;
    /// Positive zero.
    const ZERO: Self;
    /// The same number; every element type widens to `f64` exactly.
    fn to_f64(self) -> f64;
    /// The number of this type nearest to `value` (for halves, nearest to the `f32` nearest to it); every NaN becomes one
    /// and the same NaN, so that equal results have equal bits on every machine.
    // Not `from_f64`, which halves have already: it rounds what it has cut off 32 bits of, and a call that names the type gets
    // that one.
    fn nearest(value: f64) -> Self;
}

macro_rules! element {
    ($type:ty, $dtype:expr, $zero:expr, $nan:expr, $widen:expr, $narrow:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = $dtype;
            const ZERO: Self = $zero;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $widen(self)
            }
            #[inline(always)]
            fn nearest(value: f64) -> Self {
                if value.is_nan() { $nan } else { $narrow(value) }
            }
        }
    };
}

element!(f32, DType::F32, 0.0, f32::NAN, f64::from, |value| value as f32);
element!(f64, DType::F64, 0.0, f64::NAN, |value| value, |value| value);
element!(
    f16,
    DType::F16,
    f16::ZERO,
    f16::from_bits(0x7e00),
    |value: f16| f64::from(widen_f16(value.to_bits())),
    |value| f16::from_f32(value as f32)
);
element!(bf16, DType::Bf16, bf16::ZERO, bf16::NAN, |value: bf16| f64::from(widen_bf16(value.to_bits())), |value| {
    bf16::from_f32(value as f32)
});

/// The `f32` equal to a half given by its bits.
///
/// Without branches or tables, so that a loop over it becomes vector instructions on any machine. The half's
/// exponent and fraction, moved to where an `f32` has them, are a number too small by the difference of the two
/// biases, 2^112; multiplying by that is exact, for subnormal halves too. Infinity and NaN only need the exponent
/// that means them in an `f32`.
#[inline(always)]
pub(crate) fn widen_f16(bits: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(bits);
    let magnitude = (bits & 0x7fff) << 13;
    let scaled = (f32::from_bits(magnitude) * TWO_TO_112).to_bits();
    let not_finite = if magnitude >= 0x7c00 << 13 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled | not_finite | ((bits & 0x8000) << 16))
}

/// The `f32` equal to a bfloat16 given by its bits.
#[inline(always)]
pub(crate) fn widen_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Runs `$body` with the type alias `$element` standing for the Rust type of `$dtype`.
macro_rules! with_element {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F64 => {
                type $element = f64;
                $body
            }
            single => $crate::dtype::with_single_element!(single, $element => $body),
        }
    };
}
pub(crate) use with_element;

/// The same for the types that widen to `f32`.
macro_rules! with_single_element {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $element = f32;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $element = half::f16;
                $body
            }
            $crate::dtype::DType::Bf16 => {
                type $element = half::bf16;
                $body
            }
            $crate::dtype::DType::F64 => unreachable!("nothing reads float64 as float32"),
        }
    };
}
pub(crate) use with_single_element;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_what_the_half_crate_says() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (widen_f16(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "f16 {bits:#06x}");
            let (ours, theirs) = (widen_bf16(bits), bf16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "bf16 {bits:#06x}");
        }
    }

    #[test]
    fn narrowing_gives_the_nearest_value_and_one_nan() {
        assert_eq!(f16::nearest(1.0 / 3.0).to_f64(), 0.333_251_953_125);
        assert_eq!(bf16::nearest(1.0 / 3.0).to_f64(), 0.333_984_375);
        assert_eq!(f32::nearest(-f64::NAN).to_bits(), f32::NAN.to_bits());
        assert_eq!(f64::nearest(-f64::NAN).to_bits(), f64::NAN.to_bits());
        // Little more than halfway between two halves.
        let (low, high) = (0.125, 0.125 + 1.0 / 8192.0);
        assert_eq!(f16::nearest(0.125_061_122_892_283_1).to_f64(), high);
        assert_eq!(f16::nearest(0.125_061_035_156_25).to_f64(), low);
        assert_eq!(bf16::nearest(1.003_906_4).to_f64(), 1.007_812_5);
        assert_eq!(f16::nearest(f64::from_bits(0xfff8_0000_0000_0001)).to_bits(), f16::nearest(f64::NAN).to_bits());
    }
}
