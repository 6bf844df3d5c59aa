//! The coefficients of a panel of parts.

use crate::axes::Walk;
use crate::driver::plan::Numbers;
use crate::dtype::{Element, with_element};
use crate::lanes::{LANES, Line, Number};

/// How far the coefficients of a panel of parts lie from the first one of their whole, in elements.
#[derive(Clone, Copy, Default)]
pub(super) struct Offsets {
    all: [isize; LANES],
    pub(super) count: usize,
    /// Whether there are [`LANES`], one after the other.
    are_contiguous: bool,
}

impl Offsets {
    /// The next `count` offsets of a walk.
    pub(super) fn next(walk: &mut Walk<'_>, count: usize) -> Self {
        let mut all = [0; LANES];
        all[..count].fill_with(|| walk.next_offset());
        let are_contiguous = count == LANES && all.iter().zip(all[0]..).all(|(&offset, next)| offset == next);
        Offsets { all, count, are_contiguous }
    }
}

impl Numbers<'_> {
    /// Where those of a panel are that can be read as they are: sixteen numbers of type `N`, side by side.
    pub(super) fn in_place<N: Number>(&self, base: isize, offsets: &Offsets) -> Option<*const N> {
        let is_in_place = self.dtype == N::DTYPE && offsets.are_contiguous;
        is_in_place.then(|| self.data.cast::<N>().wrapping_offset(base.wrapping_add(offsets.all[0])))
    }

    /// Reads those of a panel, of the whole whose first coefficient is at `base`, in elements. Parts that do not exist get 0.
    #[inline]
    pub(super) fn read<N: Number>(&self, base: isize, offsets: &Offsets, to: &mut Line<N>) {
        with_element!(self.dtype, T => {
            let start = self.data.cast::<T>().wrapping_offset(base);
            if offsets.are_contiguous {
                // SAFETY: the coefficients of sixteen parts of one whole are elements of the checked tensor.
                let elements = unsafe { start.wrapping_offset(offsets.all[0]).cast::<[T; LANES]>().read() };
                to.0 = elements.map(|element| N::of(element.to_f64()));
            } else {
                to.0.fill(N::ZERO);
                for (to, &offset) in to.0.iter_mut().zip(&offsets.all[..offsets.count]) {
                    // SAFETY: as above, one by one.
                    *to = N::of(unsafe { start.wrapping_offset(offset).read() }.to_f64());
                }
            }
        });
    }
}
