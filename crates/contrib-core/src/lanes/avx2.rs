//! Vectors for x86-64 with AVX2, FMA and F16C: two registers of eight `f32`, four of four `f64`.

use super::x86::{each_register, x86_lanes, x86_load_as};
use half::{bf16, f16};
#[expect(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::{f32x8, f64x4};

/// AVX2, FMA and F16C.
pub(crate) struct Avx2;

impl super::Vectors for Avx2 {
    type F32 = F32;
    type F64 = F64;
}

x86_lanes!(
    F32: 2 * f32x8, __m256, f32,
    splat: |x| _mm256_set1_ps(x),
    load: |from| _mm256_loadu_ps(from),
    store: |to, v| _mm256_storeu_ps(to, v),
    add: |a, b| _mm256_add_ps(a, b),
    sub: |a, b| _mm256_sub_ps(a, b),
    mul: |a, b| _mm256_mul_ps(a, b),
    abs: |v| _mm256_andnot_ps(_mm256_set1_ps(-0.0), v),
    max_magnitude: |a, b| _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))),
    // SAFETY: `vector` shows that the instruction set is there.
    widen: |vector| each_register!(F64, i => unsafe {
            let eight = vector.register(i / 2);
            _mm256_cvtps_pd(if i % 2 == 0 { _mm256_castps256_ps128(eight) } else { _mm256_extractf128_ps::<1>(eight) })
    })
);

x86_lanes!(
    F64: 4 * f64x4, __m256d, f64,
    splat: |x| _mm256_set1_pd(x),
    load: |from| _mm256_loadu_pd(from),
    store: |to, v| _mm256_storeu_pd(to, v),
    add: |a, b| _mm256_add_pd(a, b),
    sub: |a, b| _mm256_sub_pd(a, b),
    mul: |a, b| _mm256_mul_pd(a, b),
    abs: |v| _mm256_andnot_pd(_mm256_set1_pd(-0.0), v),
    max_magnitude: |a, b| {
        let a_is_larger = _mm256_cmpgt_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
        _mm256_blendv_pd(b, a, _mm256_castsi256_pd(a_is_larger))
    },
    widen: |vector| vector
);

x86_load_as!(
    F32,
    f32 => |from| _mm256_loadu_ps(from),
    f16 => |from| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
    bf16 => |from| {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
    },
);

x86_load_as!(
    F64,
    f64 => |from| _mm256_loadu_pd(from),
    f32 => |from| _mm256_cvtps_pd(_mm_loadu_ps(from)),
    f16 => |from| _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(from.cast()))),
    bf16 => |from| {
        _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32::<16>(_mm_cvtepu16_epi32(_mm_loadl_epi64(from.cast())))))
    },
);
