//! Real powers of numbers that are not negative, without branches, tables or calls, so that a loop over them becomes
//! vector instructions and gives the same bits on any machine.

use std::f64::consts::{LN_2, SQRT_2};

/// 2^52: a whole number below it, added to it, stands in the low bits of the sum.
const WHOLE: f64 = 4_503_599_627_370_496.0;
const EXPONENT_BIAS: u64 = 1023;
const FRACTION_BITS: u32 = 52;

/// Terms of the series for the logarithm: with `|s| <= 0.172` the next would add less than 2^-55 of the whole.
const LOG_TERMS: usize = 11;
/// Terms of the series for the exponential: with `|x| <= 0.347` the next would add less than 2^-57.
const EXP_TERMS: usize = 15;

/// `2 / ((2 k + 1) ln 2)`: the series of `log2((1 + s) / (1 - s))` in odd powers of `s`.
const LOG_SERIES: [f64; LOG_TERMS] = {
    let mut series = [0.0; LOG_TERMS];
    let mut k = 0;
    while k < LOG_TERMS {
        series[k] = 2.0 / ((2 * k + 1) as f64 * LN_2);
        k += 1;
    }
    series
};

/// `1 / k!`: the series of `e^x`.
const EXP_SERIES: [f64; EXP_TERMS] = {
    let mut series = [1.0; EXP_TERMS];
    let mut k = 1;
    while k < EXP_TERMS {
        series[k] = series[k - 1] / k as f64;
        k += 1;
    }
    series
};

/// The polynomial with these coefficients, lowest first.
#[inline(always)]
fn polynomial<const TERMS: usize>(coefficients: [f64; TERMS], x: f64) -> f64 {
    let mut value = coefficients[TERMS - 1];
    let mut k = TERMS - 1;
    while k > 0 {
        k -= 1;
        value = value * x + coefficients[k];
    }
    value
}

/// `log2(x)` for a positive normal `x`: `x = 2^e m` with `m` between `sqrt(1/2)` and `sqrt(2)`, and for `m` the
/// series in `s = (m - 1) / (m + 1)`.
#[inline(always)]
fn log2(x: f64) -> f64 {
    const ONE: u64 = 1.0_f64.to_bits();
    const SQRT_HALF: u64 = (SQRT_2 / 2.0).to_bits();
    let biased = x.to_bits().wrapping_add(ONE - SQRT_HALF) >> FRACTION_BITS;
    let exponent = f64::from_bits(WHOLE.to_bits() | biased) - (WHOLE + EXPONENT_BIAS as f64);
    let m = f64::from_bits(x.to_bits().wrapping_sub(biased.wrapping_sub(EXPONENT_BIAS) << FRACTION_BITS));
    let s = (m - 1.0) / (m + 1.0);
    exponent + s * polynomial(LOG_SERIES, s * s)
}

/// `2^t`, infinity above 2^1024 and about the least normal number below 2^-1022.
#[inline(always)]
fn exp2(t: f64) -> f64 {
    /// Adding it rounds to a whole number, which then stands in the low bits, also where it is negative.
    const ROUND: f64 = 1.5 * WHOLE;
    let t = if t > 1024.0 { 1024.0 } else { t };
    let t = if t < -1022.0 { -1022.0 } else { t };
    let rounded = t + ROUND;
    let power_of_two = f64::from_bits(rounded.to_bits().wrapping_add(EXPONENT_BIAS) << FRACTION_BITS);
    polynomial(EXP_SERIES, (t - (rounded - ROUND)) * LN_2) * power_of_two
}

/// `base` to the power of `exponent`, for a base that is not negative and a positive exponent. Zero, infinity and NaN
/// give themselves. A result too small for a normal number is as good as zero, not exact.
#[inline(always)]
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    let raised = exp2(exponent * log2(base));
    if base > 0.0 && base < f64::INFINITY { raised } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_agree_with_the_standard_library() {
        for exponent in [1.0, 1.0 / 3.0, 1.5, 2.0, 3.0, 7.25, 0.01, 40.0] {
            for step in -600..600 {
                let base = (f64::from(step) * 0.11).exp() * 1.234_567;
                let (ours, theirs) = (power(base, exponent), base.powf(exponent));
                if !(1e-300..1e300).contains(&theirs) {
                    continue;
                }
                let allowed = 4e-16 * (1.0 + theirs.log2().abs());
                assert!((ours / theirs - 1.0).abs() <= allowed, "{base}^{exponent}: {ours}, expected {theirs}");
            }
        }
    }

    #[test]
    fn powers_of_the_ends_of_the_range() {
        assert_eq!(power(0.0, 2.5), 0.0);
        assert_eq!(power(f64::INFINITY, 2.5), f64::INFINITY);
        assert!(power(f64::NAN, 2.5).is_nan());
        assert_eq!(power(1e300, 2.0), f64::INFINITY);
        assert!(power(1e-300, 2.0) < 1e-300);
        assert_eq!(power(1.0, 1e6), 1.0);
    }
}
