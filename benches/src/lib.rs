//! What the benches compare with: how fast this machine reads memory and calculates; and inputs for them.

pub mod arithmetic;
pub mod factored;
pub mod realistic;
pub mod report;
pub mod sgemm;
pub mod statistics;

use contrib_testing::Random;
use std::hint::black_box;
use std::thread;

/// The sum of the elements with eight accumulators of the widest registers that AVX has: as fast as one core reads
/// memory, which takes a request for each page some pages ahead.
#[cfg(target_arch = "x86_64")]
fn sum(elements: &[f32]) -> f32 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    #[target_feature(enable = "avx")]
    fn sum_avx(elements: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for chunk in elements.chunks_exact(64) {
            let ahead = chunk.as_ptr().wrapping_add(8 << 10);
            if ahead.addr() % (4 << 10) < size_of_val(chunk) {
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            }
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
    if threads == 1 {
        // Starting a thread takes as long as reading a megabyte from the caches.
        black_box(sum(elements));
        return;
    }
    thread::scope(|scope| {
        for share in elements.chunks(elements.len().div_ceil(threads)) {
            scope.spawn(move || black_box(sum(share)));
        }
    });
}

/// Normally distributed numbers, the same each time.
#[must_use]
pub fn normal(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..len).map(|_| random.normal() as f32).collect()
}
