//! The exponential function, with the same bits on every instruction set.

use crate::lanes::{LANES, Number};
use std::ops::{Add, Mul, Sub};

/// A number that the exponential function is calculated in.
///
/// `exp(x) = 2^n exp(r)` with `n` the integer nearest to `x / ln 2`, and `exp(r)` by its Taylor series, since `|r|` is at most
/// `ln 2 / 2`.
pub(crate) trait Exponential: Number + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Terms of the Taylor series beside the first, after which the next one is less than a rounding.
    const TERMS: usize;
    /// `ln 2`, of which the first number has few enough bits that its product with any `n` is exact.
    const LN_2: [Self; 2];
    /// A number to which an integer can be added so that it becomes the lowest bits of the sum.
    const INTEGERS: Self;
    /// Of smaller numbers the exponential is taken to be that of this one, which is still greater than 0.
    const LEAST: Self;
    const MINUS_INFINITY: Self;

    /// `2^n` for the sum of [`Exponential::INTEGERS`] and `n`.
    fn power_of_two(sum: Self) -> Self;
}

macro_rules! exponential {
    ($number:ty, $mantissa:literal, $terms:literal, $ln_2:expr, $integers:expr, $least:expr) => {
        impl Exponential for $number {
            const TERMS: usize = $terms;
            const LN_2: [Self; 2] = $ln_2;
            const INTEGERS: Self = $integers;
            const LEAST: Self = $least;
            const MINUS_INFINITY: Self = Self::NEG_INFINITY;

            #[inline(always)]
            fn power_of_two(sum: Self) -> Self {
                <$number>::from_bits((sum.to_bits() << $mantissa).wrapping_add((1.0 as $number).to_bits()))
            }
        }
    };
}

// The first part of ln 2 has 15 significant bits, or 32; n has at most 8, or 11.
exponential!(f32, 23, 7, [0.693_145_75, 1.428_606_8e-6], 12_582_912.0, -69.0);
exponential!(f64, 52, 13, [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10], 6_755_399_441_055_744.0, -690.0);

/// The exponentials of some numbers that are at most about 80; of minus infinity 0, and of other numbers more than 0.
///
/// Loops over arrays, which become vector code in an entry point.
#[inline(always)]
pub(crate) fn exponentials<N: Exponential>(x: [N; LANES]) -> [N; LANES] {
    let mut result = [N::ZERO; LANES];
    let mut lane = 0;
    while lane < LANES {
        // NaN stays NaN.
        let number = if x[lane] < N::LEAST { N::LEAST } else { x[lane] };
        let sum = number * N::of(std::f64::consts::LOG2_E) + N::INTEGERS;
        let n = sum - N::INTEGERS;
        let r = number - n * N::LN_2[0] - n * N::LN_2[1];
        // Horner's scheme: 1 + r (1 + r / 2 (1 + r / 3 (1 + ..))).
        let mut series = N::of(1.0);
        let mut term = N::TERMS;
        while term > 0 {
            series = N::of(1.0) + series * r * N::of(1.0 / term as f64);
            term -= 1;
        }
        let exponential = series * N::power_of_two(sum);
        result[lane] = if x[lane] == N::MINUS_INFINITY { N::ZERO } else { exponential };
        lane += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_within_two_roundings() {
        let mut x = -69.0;
        while x < 10.0 {
            let expected = f64::exp(x);
            let found = exponentials([x; LANES])[LANES - 1];
            assert!((found - expected).abs() <= 5e-16 * expected, "{x}: {found:e}, expected {expected:e}");
            let x32 = x as f32;
            let expected = f64::from(x32).exp();
            let found = f64::from(exponentials([x32; LANES])[0]);
            assert!((found - expected).abs() <= 2e-7 * expected, "{x32}: {found:e}, expected {expected:e}");
            x += 0.001_7;
        }
    }

    #[test]
    fn only_the_exponential_of_minus_infinity_is_zero() {
        assert_eq!(exponentials([f32::NEG_INFINITY; LANES]), [0.0; LANES]);
        assert_eq!(exponentials([f64::NEG_INFINITY; LANES]), [0.0; LANES]);
        assert!(exponentials([f32::MIN; LANES])[0] > 0.0 && exponentials([f32::MIN; LANES])[0] < 1e-29);
        assert!(exponentials([f64::MIN; LANES])[0] > 0.0 && exponentials([f64::MIN; LANES])[0] < 1e-299);
        assert!(exponentials([f32::NAN; LANES])[0].is_nan() && exponentials([f64::NAN; LANES])[0].is_nan());
        assert_eq!((exponentials([0.0_f32; LANES])[0], exponentials([0.0_f64; LANES])[0]), (1.0, 1.0));
    }
}
