//! The whole, made ready to be compared with many parts.

use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, LoadAs};

/// Added to every signed difference, as PyTorch's `pairwise_distance` does: `x - w + 1e-6`.
pub(crate) const DIFFERENCE_EPSILON: f64 = 1e-6;

/// Widens `len` elements of a whole into `prepared`, subtracts [`DIFFERENCE_EPSILON`] from each, so that a kernel needs one
/// subtraction for a difference (`x - (w - e)` instead of `(x - w) + e`), and multiplies by `factor`. Zeros fill the
/// last vector.
///
/// # Safety
/// The processor has the instruction set of `L`. `len` elements can be read at `whole`, and `len` numbers, rounded up
/// to whole vectors, written at `prepared`.
#[inline(always)]
pub(crate) unsafe fn prepare<L: Lanes + LoadAs<T>, T: Element>(
    whole: *const T,
    len: usize,
    factor: f64,
    prepared: *mut L::Number,
) {
    let full = len - len % LANES;
    // SAFETY: the caller's promise; `full` and the vector after it, if any, are inside what may be read and written.
    unsafe {
        let epsilon = L::splat(L::Number::from_f64(DIFFERENCE_EPSILON));
        let factor = L::splat(L::Number::from_f64(factor));
        for index in (0..full).step_by(LANES) {
            let elements: L = LoadAs::<T>::load(whole.add(index));
            elements.sub(epsilon).mul(factor).store(prepared.add(index));
        }
        if full < len {
            load_partial::<L, T>(whole.add(full), len - full).sub(epsilon).mul(factor).store(prepared.add(full));
            // The numbers after the last must be zero, not zero less epsilon.
            for index in len..full + LANES {
                prepared.add(index).write(L::Number::ZERO);
            }
        }
    }
}

/// The `len` elements at `from`, and zeros in the lanes after them.
///
/// # Safety
/// The processor has the instruction set of `L`, and `len` elements, at most [`LANES`], can be read at `from`.
#[inline(always)]
pub(crate) unsafe fn load_partial<L: LoadAs<T>, T: Element>(from: *const T, len: usize) -> L {
    // One element at a time, rather than by a copy of `len` elements, which would be a call.
    let mut elements = [T::ZERO; LANES];
    for (index, element) in elements.iter_mut().enumerate() {
        if index < len {
            // SAFETY: the caller's promise.
            *element = unsafe { *from.add(index) };
        }
    }
    // SAFETY: the caller's promise; `elements` is a vector's worth of elements.
    unsafe { L::load(elements.as_ptr()) }
}
