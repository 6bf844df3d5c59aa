//! What the benches compare with: how fast this machine reads memory, and loops that others would write.

use std::hint::black_box;
use std::thread;

/// The sum of the elements with eight accumulators of the widest registers that AVX has: as fast as one core reads
/// memory.
#[cfg(target_arch = "x86_64")]
fn sum(elements: &[f32]) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps};
    #[target_feature(enable = "avx")]
    fn sum_avx(elements: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for chunk in elements.chunks_exact(64) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: eight of the chunk's 64 elements.
                *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(chunk.as_ptr().add(8 * i)) });
            }
        }
        let mut lanes = [0.0; 8];
        for sum in sums {
            let mut own = [0.0_f32; 8];
            // SAFETY: `own` has room for eight.
            unsafe { _mm256_storeu_ps(own.as_mut_ptr(), sum) };
            lanes.iter_mut().zip(own).for_each(|(lane, own)| *lane += own);
        }
        lanes.iter().sum()
    }
    assert!(is_x86_feature_detected!("avx"));
    // SAFETY: just detected.
    unsafe { sum_avx(elements) }
}

/// The sum of the elements.
#[cfg(not(target_arch = "x86_64"))]
fn sum(elements: &[f32]) -> f32 {
    let mut sums = [0.0; 64];
    for chunk in elements.chunks_exact(64) {
        sums.iter_mut().zip(chunk).for_each(|(sum, element)| *sum += element);
    }
    sums.iter().sum()
}

/// Reads the elements once, each of `threads` threads its share: the bandwidth that a kernel can reach at best.
pub fn read_all(elements: &[f32], threads: usize) {
    thread::scope(|scope| {
        for share in elements.chunks(elements.len().div_ceil(threads)) {
            scope.spawn(move || black_box(sum(share)));
        }
    });
}

/// Numbers that look like a normal distribution and are the same each time (SplitMix64, and the sum of four of its
/// uniform numbers).
#[must_use]
pub fn normal(len: usize, mut seed: u64) -> Vec<f32> {
    let mut uniform = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as f64 / u64::MAX as f64 - 0.5
    };
    (0..len).map(|_| ((uniform() + uniform() + uniform() + uniform()) * 3.0_f64.sqrt()) as f32).collect()
}
