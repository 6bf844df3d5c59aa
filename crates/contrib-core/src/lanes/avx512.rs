//! Vectors for x86-64 with AVX-512F: one register of sixteen `f32`, two of eight `f64`.

use super::x86::{each_register, x86_lanes, x86_load_as};
use half::{bf16, f16};
#[expect(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::{f32x16, f64x8};

/// AVX-512F.
pub(crate) struct Avx512;

impl super::Vectors for Avx512 {
    type F32 = F32;
    type F64 = F64;
}

x86_lanes!(
    F32: 1 * f32x16, __m512, f32,
    splat: |x| _mm512_set1_ps(x),
    load: |from| _mm512_loadu_ps(from),
    store: |to, v| _mm512_storeu_ps(to, v),
    add: |a, b| _mm512_add_ps(a, b),
    sub: |a, b| _mm512_sub_ps(a, b),
    mul: |a, b| _mm512_mul_ps(a, b),
    abs: |v| _mm512_abs_ps(v),
    max_magnitude: |a, b| _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))),
    // SAFETY: `vector` shows that the instruction set is there.
    widen: |vector| each_register!(F64, i => unsafe {
            let all = _mm512_castps_pd(vector.register(0));
            _mm512_cvtps_pd(_mm256_castpd_ps(match i {
                0 => _mm512_castpd512_pd256(all),
                _ => _mm512_extractf64x4_pd::<1>(all),
            }))
    })
);

x86_lanes!(
    F64: 2 * f64x8, __m512d, f64,
    splat: |x| _mm512_set1_pd(x),
    load: |from| _mm512_loadu_pd(from),
    store: |to, v| _mm512_storeu_pd(to, v),
    add: |a, b| _mm512_add_pd(a, b),
    sub: |a, b| _mm512_sub_pd(a, b),
    mul: |a, b| _mm512_mul_pd(a, b),
    abs: |v| _mm512_abs_pd(v),
    max_magnitude: |a, b| _mm512_castsi512_pd(_mm512_max_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b))),
    widen: |vector| vector
);

x86_load_as!(
    F32,
    f32 => |from| _mm512_loadu_ps(from),
    f16 => |from| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())),
    bf16 => |from| {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))))
    },
);

x86_load_as!(
    F64,
    f64 => |from| _mm512_loadu_pd(from),
    f32 => |from| _mm512_cvtps_pd(_mm256_loadu_ps(from)),
    f16 => |from| _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(from.cast()))),
    bf16 => |from| {
        _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(
            from.cast(),
        )))))
    },
);
