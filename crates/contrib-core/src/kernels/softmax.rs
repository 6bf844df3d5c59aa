//! Scores to coefficients.

use super::Kernel;
use super::exponential::{Exponential, exponentials};
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Multiplies inner products of queries and keys by a scale: the scores, in numbers of type `N`.
pub(crate) struct Scores<N>(PhantomData<N>);

/// The arguments of [`Scores`].
#[derive(Clone, Copy)]
pub(crate) struct ScoresArguments<N> {
    /// `count` lines of products, one for each query, which can be read.
    pub(crate) products: *const Line<f64>,
    pub(crate) count: usize,
    pub(crate) scale: f64,
    /// A pointer for each query to [`LANES`] numbers, which can be written.
    pub(crate) scores: *const *mut N,
}

impl<N: Number> Kernel for Scores<N> {
    type Arguments = ScoresArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ScoresArguments<N>) {
        let ScoresArguments { products, count, scale, scores } = arguments;
        // SAFETY: the processor has the instruction set. Products are read below `count`, and as many scores written.
        unsafe {
            let scale = V::Doubles::splat(scale);
            let mut query = 0;
            while query < count {
                let products: V::Doubles = LoadAs::<f64>::load(products.add(query).cast());
                N::narrowed::<V>(products.mul(scale)).store(*scores.add(query));
                query += 1;
            }
        }
    }
}

/// Makes coefficients of the scores of one query, in place: `exp(score - largest) / sum`, where the sum is that of all
/// exponentials and of `exp(sink - largest)`, and the largest that of all scores and of the sink. Where all scores and the sink
/// are minus infinity, the coefficients are 0.
pub(crate) struct Softmax<N>(PhantomData<N>);

/// The arguments of [`Softmax`].
#[derive(Clone, Copy)]
pub(crate) struct SoftmaxArguments<N> {
    /// `lines` times [`LANES`] scores, which can be read and written. What is not allowed is minus infinity.
    pub(crate) scores: *mut N,
    pub(crate) lines: usize,
    /// Minus infinity: there is no sink.
    pub(crate) sink: N,
}

impl<N: Exponential> Kernel for Softmax<N> {
    type Arguments = SoftmaxArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: SoftmaxArguments<N>) {
        let SoftmaxArguments { scores, lines, sink } = arguments;
        // SAFETY: the processor has the instruction set. Scores are read and written below `lines` lines.
        unsafe {
            let mut largest_of_lanes = N::Lanes::<V>::splat(sink);
            let mut index = 0;
            while index < lines {
                let own: N::Lanes<V> = LoadAs::load(scores.add(index * LANES));
                // NaN in either stays or is passed over: the sum below is NaN then.
                largest_of_lanes = largest_of_lanes.max(own);
                index += 1;
            }
            let mut numbers = [N::ZERO; LANES];
            largest_of_lanes.store(numbers.as_mut_ptr());
            let mut largest = sink;
            let mut lane = 0;
            while lane < LANES {
                largest = if numbers[lane] > largest { numbers[lane] } else { largest };
                lane += 1;
            }
            if largest == N::MINUS_INFINITY {
                // Nothing is allowed, but for NaN.
                largest = N::ZERO;
            }
            let largest_of_all = N::Lanes::<V>::splat(largest);
            let mut sums = V::Doubles::splat(0.0);
            index = 0;
            while index < lines {
                let own: N::Lanes<V> = LoadAs::load(scores.add(index * LANES));
                own.sub(largest_of_all).store(numbers.as_mut_ptr());
                numbers = exponentials(numbers);
                let own: N::Lanes<V> = LoadAs::load(numbers.as_ptr());
                own.store(scores.add(index * LANES));
                sums = sums.add(N::widened::<V>(own));
                index += 1;
            }
            let mut totals = [0.0; LANES];
            sums.store(totals.as_mut_ptr());
            let mut sum = exponentials([sink - largest; LANES])[0].to_f64();
            lane = 0;
            while lane < LANES {
                sum += totals[lane];
                lane += 1;
            }
            let share = V::Doubles::splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
            index = 0;
            while index < lines {
                let own: N::Lanes<V> = LoadAs::load(scores.add(index * LANES));
                N::narrowed::<V>(N::widened::<V>(own).mul(share)).store(scores.add(index * LANES));
                index += 1;
            }
        }
    }
}
