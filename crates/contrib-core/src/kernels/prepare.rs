//! The whole, prepared once for the comparison with many parts.

use super::Kernel;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, Reads, Vectors};
use std::marker::PhantomData;

/// Added to every signed difference, as PyTorch's `pairwise_distance` does: `x - w + 1e-6`.
pub(crate) const DIFFERENCE_EPSILON: f64 = 1e-6;

/// Widens the elements of a whole, of type `T`, to `N`, subtracts [`DIFFERENCE_EPSILON`] from each and multiplies by a
/// factor. A kernel then needs one subtraction for a difference: `x - (w - e)` instead of `(x - w) + e`. Zeros fill the
/// last vector.
pub(crate) struct Prepare<T, N>(PhantomData<(T, N)>);

/// The arguments of [`Prepare`].
#[derive(Clone, Copy)]
pub(crate) struct PrepareArguments {
    /// `len` elements of type `T`, which can be read.
    pub(crate) whole: *const u8,
    pub(crate) len: usize,
    pub(crate) factor: f64,
    /// Memory for `len` numbers of type `N`, rounded up to whole vectors, which can be written.
    pub(crate) prepared: *mut u8,
}

impl<T: Element, N: Reads<T>> Kernel for Prepare<T, N> {
    type Arguments = PrepareArguments;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: PrepareArguments) {
        let PrepareArguments { whole, len, factor, prepared } = arguments;
        let (whole, prepared) = (whole.cast::<T>(), prepared.cast::<N>());
        let full = len - len % LANES;
        // SAFETY: the processor has the instruction set. Each vector before `full` lies inside the `len` elements;
        // `load_partial` reads the `len - full` elements after it; the last vector that is written ends at `len` rounded
        // up to whole vectors.
        unsafe {
            let epsilon = N::Lanes::<V>::splat(N::of(DIFFERENCE_EPSILON));
            let factor = N::Lanes::<V>::splat(N::of(factor));
            for index in (0..full).step_by(LANES) {
                let elements = N::load::<V>(whole.add(index));
                elements.sub(epsilon).mul(factor).store(prepared.add(index));
            }
            if full < len {
                let elements = load_partial::<V, T, N>(whole.add(full), len - full);
                elements.sub(epsilon).mul(factor).store(prepared.add(full));
                // The numbers after the last must be zero, not zero less epsilon.
                for index in len..full + LANES {
                    prepared.add(index).write(N::ZERO);
                }
            }
        }
    }
}

/// The `len` elements at `from`, and zeros in the lanes after them.
///
/// # Safety
/// - The processor has the instruction set of `V`.
/// - `len` elements can be read at `from`; `len` is at most [`LANES`].
#[inline(always)]
pub(crate) unsafe fn load_partial<V: Vectors, T: Element, N: Reads<T>>(from: *const T, len: usize) -> N::Lanes<V> {
    // The loop copies one element at a time, because a copy of `len` elements would become a call of `memcpy`.
    let mut elements = [T::ZERO; LANES];
    for (index, element) in elements.iter_mut().enumerate() {
        if index < len {
            // SAFETY: `index` is less than `len`.
            *element = unsafe { *from.add(index) };
        }
    }
    // SAFETY: the processor has the instruction set, and `elements` has as many elements as a vector.
    unsafe { N::load::<V>(elements.as_ptr()) }
}
