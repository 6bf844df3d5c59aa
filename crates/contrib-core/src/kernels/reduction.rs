//! Distance reductions of the sixteen parts of a panel in the 1-norm, but for their excess.

use super::Kernel;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// Multiplies coefficients of type `N` with inner products, and finds the largest bound of a part's elements.
pub(crate) struct Reductions<N>(PhantomData<N>);

/// The arguments of [`Reductions`].
#[derive(Clone, Copy)]
pub(crate) struct ReductionsArguments<N> {
    /// The coefficients, the inner products, and bounds of the directions' elements, which can be read.
    pub(crate) coefficients: *const Line<N>,
    pub(crate) products: *const Line<f64>,
    pub(crate) bounds: *const Line<f64>,
    /// The products of coefficients and inner products, which can be written.
    pub(crate) reductions: *mut Line<f64>,
    /// The largest product of a coefficient's magnitude and a bound, which can be written; NaN where one is NaN.
    pub(crate) largest: *mut f64,
}

impl<N: Number> Kernel for Reductions<N> {
    type Arguments = ReductionsArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ReductionsArguments<N>) {
        let ReductionsArguments { coefficients, products, bounds, reductions, largest } = arguments;
        // SAFETY: the processor has the instruction set, and each line can be read or written.
        unsafe {
            let coefficients = N::widened::<V>(LoadAs::<N>::load(coefficients.cast()));
            let products: V::Doubles = LoadAs::<f64>::load(products.cast());
            coefficients.mul(products).store(reductions.cast());
            let bounds: V::Doubles = LoadAs::<f64>::load(bounds.cast());
            // The product of zero and infinity is a NaN that may have its sign bit set.
            let mut bound = coefficients.mul(bounds).abs();
            // Of each two halves the larger numbers are left, twice, so that after four steps all are the largest.
            let mut steps = LANES.ilog2();
            while steps > 0 {
                let (low, high) = bound.zip(bound);
                bound = low.max_magnitude(high);
                steps -= 1;
            }
            let mut numbers = [0.0; LANES];
            bound.store(numbers.as_mut_ptr());
            *largest = numbers[0];
        }
    }
}
