//! Elements widened to the numbers that kernels calculate in.

use super::Kernel;
use super::prepare::load_partial;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, Reads, Vectors};
use std::marker::PhantomData;

/// Widens elements of type `T` to numbers of type `N`. Zeros fill the last vector.
pub(crate) struct Widen<T, N>(PhantomData<(T, N)>);

/// The arguments of [`Widen`].
#[derive(Clone, Copy)]
pub(crate) struct WidenArguments<N> {
    /// `len` elements of type `T`, which can be read.
    pub(crate) from: *const u8,
    pub(crate) len: usize,
    /// Memory for `len` numbers, rounded up to whole vectors, which can be written.
    pub(crate) to: *mut N,
}

impl<T: Element, N: Reads<T>> Kernel for Widen<T, N> {
    type Arguments = WidenArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: WidenArguments<N>) {
        let WidenArguments { from, len, to } = arguments;
        let from = from.cast::<T>();
        let full = len - len % LANES;
        // SAFETY: the processor has the instruction set. Elements are read below `len`, and numbers written below `len`
        // rounded up to whole vectors.
        unsafe {
            for index in (0..full).step_by(LANES) {
                N::load::<V>(from.add(index)).store(to.add(index));
            }
            if full < len {
                load_partial::<V, T, N>(from.add(full), len - full).store(to.add(full));
            }
        }
    }
}
