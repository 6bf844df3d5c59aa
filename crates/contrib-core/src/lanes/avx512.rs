//! Vectors for x86-64 with AVX-512F.

use super::LANES;
use super::x86::{x86_lanes, x86_vectors};
use half::{bf16, f16};
#[allow(clippy::wildcard_imports, reason = "the names of intrinsics are prefixed")]
use std::arch::x86_64::*;
use wide::{f32x16, f64x8};

/// The instruction set.
pub(crate) struct Avx512;

x86_vectors!(Avx512: Singles, Doubles);

/// Transposes a square of numbers, with half of the instructions that take numbers from all of two registers.
///
/// Four rows are transposed in each quarter of a register, so that a quarter has the numbers of four rows that have one index.
/// Then quarters are gathered from four registers each.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn transpose(rows: &mut [Singles; LANES]) {
    // SAFETY: the processor has AVX-512F.
    unsafe {
        let (mut pairs, mut fours) = ([_mm512_setzero_pd(); LANES], [_mm512_setzero_ps(); LANES]);
        let mut row = 0;
        while row < LANES {
            let (even, odd) = (rows[row].register(0), rows[row + 1].register(0));
            pairs[row] = _mm512_castps_pd(_mm512_unpacklo_ps(even, odd));
            pairs[row + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(even, odd));
            row += 2;
        }
        // Register `4j + i` of `fours` has, in quarter `k`, the numbers of rows `4j` to `4j + 3` with index `4k + i`.
        row = 0;
        while row < LANES {
            let first = row / 4 * 4 + row % 4 / 2;
            let (upper, lower) = (pairs[first], pairs[first + 2]);
            fours[row] = _mm512_castpd_ps(_mm512_unpacklo_pd(upper, lower));
            fours[row + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(upper, lower));
            row += 2;
        }
        row = 0;
        while row < 4 {
            let [a, b, c, d] = [fours[row], fours[4 + row], fours[8 + row], fours[12 + row]];
            // The first two quarters of two registers, and then the last two.
            let (upper, lower) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
            rows[row] = Singles([_mm512_shuffle_f32x4::<0x88>(upper, lower).into()]);
            rows[4 + row] = Singles([_mm512_shuffle_f32x4::<0xdd>(upper, lower).into()]);
            let (upper, lower) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
            rows[8 + row] = Singles([_mm512_shuffle_f32x4::<0x88>(upper, lower).into()]);
            rows[12 + row] = Singles([_mm512_shuffle_f32x4::<0xdd>(upper, lower).into()]);
            row += 1;
        }
    }
}

x86_lanes!(
    /// One register of sixteen numbers.
    Singles: 1 * f32x16, __m512, f32,
    splat: |number| _mm512_set1_ps(number),
    store: |to, x| _mm512_storeu_ps(to, x),
    unary: {
        abs => |x| _mm512_abs_ps(x),
        sqrt => |x| _mm512_sqrt_ps(x),
    },
    zip: |a, b| {
        // Numbers from 16 on are those of the second register.
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        ([_mm512_permutex2var_ps(a[0], low, b[0])], [_mm512_permutex2var_ps(a[0], high, b[0])])
    },
    transpose: |square| transpose(square),
    binary: {
        add => |a, b| _mm512_add_ps(a, b),
        sub => |a, b| _mm512_sub_ps(a, b),
        mul => |a, b| _mm512_mul_ps(a, b),
        div => |a, b| _mm512_div_ps(a, b),
        min => |a, b| _mm512_min_ps(a, b),
        max => |a, b| _mm512_max_ps(a, b),
        zero_where_zero => |a, b| {
            _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(b, _mm512_setzero_ps()), a)
        },
        max_magnitude => |a, b| _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))),
        // a ^ (b & sign), in one instruction.
        negated_where_negative => |a, b| _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0b0111_1000>(
            _mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_set1_epi32(i32::MIN),
        )),
    },
    load: {
        f32 => |from| _mm512_loadu_ps(from),
        f16 => |from| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())),
        bf16 => |from| {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        },
    }
);

x86_lanes!(
    /// Two registers of eight numbers.
    Doubles: 2 * f64x8, __m512d, f64,
    splat: |number| _mm512_set1_pd(number),
    store: |to, x| _mm512_storeu_pd(to, x),
    unary: {
        abs => |x| _mm512_abs_pd(x),
        sqrt => |x| _mm512_sqrt_pd(x),
    },
    binary: {
        add => |a, b| _mm512_add_pd(a, b),
        sub => |a, b| _mm512_sub_pd(a, b),
        mul => |a, b| _mm512_mul_pd(a, b),
        div => |a, b| _mm512_div_pd(a, b),
        min => |a, b| _mm512_min_pd(a, b),
        max => |a, b| _mm512_max_pd(a, b),
        zero_where_zero => |a, b| {
            _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_NEQ_UQ>(b, _mm512_setzero_pd()), a)
        },
        max_magnitude => |a, b| _mm512_castsi512_pd(_mm512_max_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b))),
        negated_where_negative => |a, b| _mm512_castsi512_pd(_mm512_ternarylogic_epi64::<0b0111_1000>(
            _mm512_castpd_si512(a), _mm512_castpd_si512(b), _mm512_set1_epi64(i64::MIN),
        )),
    },
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
