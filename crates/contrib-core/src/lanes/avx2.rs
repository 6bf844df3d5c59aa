//! Vectors for x86-64 with AVX2, FMA and F16C.

use super::x86::{x86_lanes, x86_vectors};
use half::{bf16, f16};
#[allow(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::{f32x8, f64x4};

/// The instruction set.
pub(crate) struct Avx2;

x86_vectors!(Avx2: Singles, Doubles);

/// Half of the numbers of two registers, zipped. The unpack instructions zip inside each half of a register;
/// `_mm256_permute2f128_ps` then takes the lower halves of both results, or the upper halves.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn halves<const CHOICE: i32>(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the processor has AVX2, and with it AVX.
    unsafe { _mm256_permute2f128_ps::<CHOICE>(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)) }
}

x86_lanes!(
    /// Two registers of eight numbers.
    Singles: 2 * f32x8, __m256, f32,
    splat: |number| _mm256_set1_ps(number),
    store: |to, x| _mm256_storeu_ps(to, x),
    unary: {
        abs => |x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x),
        sqrt => |x| _mm256_sqrt_ps(x),
    },
    zip: |a, b| (
        [halves::<0x20>(a[0], b[0]), halves::<0x31>(a[0], b[0])],
        [halves::<0x20>(a[1], b[1]), halves::<0x31>(a[1], b[1])],
    ),
    binary: {
        add => |a, b| _mm256_add_ps(a, b),
        sub => |a, b| _mm256_sub_ps(a, b),
        mul => |a, b| _mm256_mul_ps(a, b),
        div => |a, b| _mm256_div_ps(a, b),
        min => |a, b| _mm256_min_ps(a, b),
        max => |a, b| _mm256_max_ps(a, b),
        // The bits of numbers that are not negative, read as integers, have the order of the numbers, and those of NaN
        // are above infinity's.
        max_magnitude => |a, b| {
            _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
        },
        zero_where_zero => |a, b| {
            _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_NEQ_UQ>(b, _mm256_setzero_ps()))
        },
        negated_where_negative => |a, b| _mm256_xor_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0), b)),
    },
    load: {
        f32 => |from| _mm256_loadu_ps(from),
        f16 => |from| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
        bf16 => |from| {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        },
    }
);

x86_lanes!(
    /// Four registers of four numbers.
    Doubles: 4 * f64x4, __m256d, f64,
    splat: |number| _mm256_set1_pd(number),
    store: |to, x| _mm256_storeu_pd(to, x),
    unary: {
        abs => |x| _mm256_andnot_pd(_mm256_set1_pd(-0.0), x),
        sqrt => |x| _mm256_sqrt_pd(x),
    },
    binary: {
        add => |a, b| _mm256_add_pd(a, b),
        sub => |a, b| _mm256_sub_pd(a, b),
        mul => |a, b| _mm256_mul_pd(a, b),
        div => |a, b| _mm256_div_pd(a, b),
        min => |a, b| _mm256_min_pd(a, b),
        max => |a, b| _mm256_max_pd(a, b),
        max_magnitude => |a, b| {
            let a_is_larger = _mm256_cmpgt_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
            _mm256_blendv_pd(b, a, _mm256_castsi256_pd(a_is_larger))
        },
        zero_where_zero => |a, b| {
            _mm256_and_pd(a, _mm256_cmp_pd::<_CMP_NEQ_UQ>(b, _mm256_setzero_pd()))
        },
        negated_where_negative => |a, b| _mm256_xor_pd(a, _mm256_and_pd(_mm256_set1_pd(-0.0), b)),
    },
    load: {
        f64 => |from| _mm256_loadu_pd(from),
        f32 => |from| _mm256_cvtps_pd(_mm_loadu_ps(from)),
        f16 => |from| _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(from.cast()))),
        bf16 => |from| {
            let bits = _mm_cvtepu16_epi32(_mm_loadl_epi64(from.cast()));
            _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32::<16>(bits)))
        },
    }
);
