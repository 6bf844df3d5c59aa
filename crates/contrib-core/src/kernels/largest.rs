//! The largest magnitudes of the vectors of a panel.

use super::Kernel;
use crate::lanes::{Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Writes the largest magnitude of the elements of each vector of a panel of numbers of type `N`; NaN where one is NaN.
pub(crate) struct Largest<N>(PhantomData<N>);

/// The arguments of [`Largest`].
#[derive(Clone, Copy)]
pub(crate) struct LargestArguments<N> {
    /// `len` lines, which can be read.
    pub(crate) panel: *const Line<N>,
    pub(crate) len: usize,
    /// The magnitudes, which can be written.
    pub(crate) largest: *mut Line<f64>,
}

impl<N: Number> Kernel for Largest<N> {
    type Arguments = LargestArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: LargestArguments<N>) {
        let LargestArguments { panel, len, largest } = arguments;
        // SAFETY: the processor has the instruction set, lines are read below `len`, and the result can be written.
        unsafe {
            let mut magnitudes = N::Lanes::<V>::splat(N::ZERO);
            for index in 0..len {
                let numbers: N::Lanes<V> = LoadAs::<N>::load(panel.add(index).cast());
                magnitudes = magnitudes.max_magnitude(numbers.abs());
            }
            N::widened::<V>(magnitudes).store(largest.cast());
        }
    }
}
