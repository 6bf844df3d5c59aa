//! Proximities to contributions: the sum of a row, and its shares of the sum.

use super::Kernel;
use crate::lanes::{LANES, Lanes, LoadAs, Vectors};

/// Adds up some numbers: those whose indices are alike but for a multiple of [`LANES`] first, and then these sums, in order.
pub(crate) struct Sum;

/// Divides some numbers by their sum, in place. More than [`LANES`] of them are multiplied by its reciprocal instead, which takes
/// a tenth of the time, and may differ by a rounding.
pub(crate) struct Shares;

/// The arguments of [`Sum`] and [`Shares`].
#[derive(Clone, Copy)]
pub(crate) struct SharesArguments {
    /// `len` numbers, which can be read; and written by [`Shares`].
    pub(crate) numbers: *mut f64,
    pub(crate) len: usize,
    /// Their sum, which can be written by [`Sum`] and read by [`Shares`].
    pub(crate) sum: *mut f64,
}

impl Kernel for Sum {
    type Arguments = SharesArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: SharesArguments) {
        let SharesArguments { numbers, len, sum } = arguments;
        // SAFETY: the processor has the instruction set, and numbers are read below `len`.
        unsafe {
            // Even and odd vectors have an accumulator each, which hides the latency of addition.
            let mut sums = [V::Doubles::splat(0.0); 2];
            let mut done = 0;
            while done + 2 * LANES <= len {
                sums[0] = sums[0].add(LoadAs::<f64>::load(numbers.add(done)));
                sums[1] = sums[1].add(LoadAs::<f64>::load(numbers.add(done + LANES)));
                done += 2 * LANES;
            }
            let mut totals = [0.0; LANES];
            sums[0].add(sums[1]).store(totals.as_mut_ptr());
            let mut index = 0;
            while done + index < len {
                totals[index % LANES] += *numbers.add(done + index);
                index += 1;
            }
            let mut total = 0.0;
            index = 0;
            while index < LANES {
                total += totals[index];
                index += 1;
            }
            *sum = total;
        }
    }
}

impl Kernel for Shares {
    type Arguments = SharesArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: SharesArguments) {
        let SharesArguments { numbers, len, sum } = arguments;
        // SAFETY: the processor has the instruction set, and numbers are read and written below `len`.
        unsafe {
            let mut done = 0;
            if len > LANES {
                let factor = 1.0 / *sum;
                let factors = V::Doubles::splat(factor);
                while done + LANES <= len {
                    let own: V::Doubles = LoadAs::<f64>::load(numbers.add(done));
                    own.mul(factors).store(numbers.add(done));
                    done += LANES;
                }
                while done < len {
                    *numbers.add(done) *= factor;
                    done += 1;
                }
            }
            while done < len {
                *numbers.add(done) /= *sum;
                done += 1;
            }
        }
    }
}
