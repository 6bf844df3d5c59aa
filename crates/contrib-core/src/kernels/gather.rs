//! Coefficients of a panel, gathered for some wholes.

use super::Kernel;
use crate::lanes::{Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Copies a vector of numbers of type `N` for each whole, and finds the largest magnitude in each lane; NaN where one is NaN.
pub(crate) struct Gather<N>(PhantomData<N>);

/// The arguments of [`Gather`].
#[derive(Clone, Copy)]
pub(crate) struct GatherArguments<N> {
    /// `count` pointers to [`LANES`](crate::lanes::LANES) numbers each, which can be read.
    pub(crate) from: *const *const N,
    pub(crate) count: usize,
    /// As many lines, which can be written.
    pub(crate) to: *mut Line<N>,
    /// A line, which can be written.
    pub(crate) largest: *mut Line<N>,
}

impl<N: Number> Kernel for Gather<N> {
    type Arguments = GatherArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: GatherArguments<N>) {
        let GatherArguments { from, count, to, largest } = arguments;
        // SAFETY: the processor has the instruction set. Pointers are read below `count`, and as many lines written.
        unsafe {
            let mut magnitudes = N::Lanes::<V>::splat(N::ZERO);
            let mut whole = 0;
            while whole < count {
                let own: N::Lanes<V> = LoadAs::load(*from.add(whole));
                own.store(to.add(whole).cast());
                magnitudes = magnitudes.max_magnitude(own.abs());
                whole += 1;
            }
            magnitudes.store(largest.cast());
        }
    }
}
