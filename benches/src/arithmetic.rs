//! How fast this machine calculates, at best, what the 1-norm needs for one element of one part.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// The sum of `|c x - w|` over elements that stay in registers: for each register one multiplication with subtraction, one
/// `and`, one addition, and nothing to load. All that looks at every element of every part in `f32`, with registers of AVX2,
/// does at least this.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn distance_in_registers(elements: u64) -> f32 {
    // Elements of a register of AVX.
    const LANES: u64 = 8;
    // Sums that do not wait for each other: at least the latency of an addition times the additions that a core starts in a
    // cycle. With element, coefficient, whole, mask and difference they still find room in the sixteen registers; two more
    // do not, and take two and a half times as long.
    const SUMS: u64 = 10;
    use std::arch::asm;
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_and_ps, _mm256_castsi256_ps, _mm256_fmsub_ps, _mm256_set1_epi32, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mask = _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX));
    let (coefficient, whole) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.25)));
    let mut element = _mm256_set1_ps(1.0);
    let mut sums = [_mm256_setzero_ps(); SUMS as usize];
    for _ in 0..elements.div_ceil(SUMS * LANES) {
        for sum in &mut sums {
            // SAFETY: there is no instruction in it. It makes the compiler take the element for another one each time.
            unsafe { asm!("/* {0} */", inout(ymm_reg) element, options(pure, nomem, nostack, preserves_flags)) };
            let difference = _mm256_and_ps(_mm256_fmsub_ps(coefficient, element, whole), mask);
            *sum = _mm256_add_ps(*sum, difference);
        }
    }
    let total = sums.into_iter().fold(_mm256_setzero_ps(), |total, sum| _mm256_add_ps(total, sum));
    let mut lanes = [0.0; LANES as usize];
    // SAFETY: `lanes` has room for eight.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), total) };
    lanes.iter().sum()
}

/// Measures at least so many elements, which never leave their registers. `None` where the processor lacks the instructions.
fn distance(elements: u64) -> Option<f32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: just detected.
        return Some(unsafe { distance_in_registers(elements) });
    }
    let _ = elements;
    None
}

/// How long it takes `threads` threads at the same time to measure at least `elements` elements each, in registers of AVX2.
/// `None` where the processor has none.
#[must_use]
pub fn time_of_arithmetic(elements: u64, threads: usize) -> Option<Duration> {
    // All begin together, so that none has the machine to itself.
    let start = Barrier::new(threads);
    let time = || {
        start.wait();
        let start = Instant::now();
        black_box(distance(elements)).map(|_| start.elapsed())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(time)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).max()
    })
}
