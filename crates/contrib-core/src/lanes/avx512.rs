//! Vectors for x86-64 with AVX-512F.

use super::x86::x86_lanes;
use half::{bf16, f16};
#[allow(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::f64x8;

x86_lanes!(
    /// Two registers of eight numbers.
    Avx512: 2 * f64x8, __m512d,
    splat: |number| _mm512_set1_pd(number),
    store: |to, x| _mm512_storeu_pd(to, x),
    add: |a, b| _mm512_add_pd(a, b),
    sub: |a, b| _mm512_sub_pd(a, b),
    mul: |a, b| _mm512_mul_pd(a, b),
    abs: |x| _mm512_abs_pd(x),
    max_magnitude: |a, b| _mm512_castsi512_pd(_mm512_max_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b))),
    load: {
        f64 => |from| _mm512_loadu_pd(from),
        f32 => |from| _mm512_cvtps_pd(_mm256_loadu_ps(from)),
        f16 => |from| _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(from.cast()))),
        bf16 => |from| {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)))
        },
    }
);
