//! Vectors for x86-64 with AVX2, FMA and F16C.

use super::x86::x86_lanes;
use half::{bf16, f16};
#[allow(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::f64x4;

x86_lanes!(
    /// Four registers of four numbers.
    Avx2: 4 * f64x4, __m256d,
    splat: |number| _mm256_set1_pd(number),
    store: |to, x| _mm256_storeu_pd(to, x),
    add: |a, b| _mm256_add_pd(a, b),
    sub: |a, b| _mm256_sub_pd(a, b),
    mul: |a, b| _mm256_mul_pd(a, b),
    abs: |x| _mm256_andnot_pd(_mm256_set1_pd(-0.0), x),
    max_magnitude: |a, b| {
        let a_is_larger = _mm256_cmpgt_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
        _mm256_blendv_pd(b, a, _mm256_castsi256_pd(a_is_larger))
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
