//! Axes of a strided tensor: where its elements lie, and how to walk over them.

use crate::error::Cause;
use crate::list::List;
use std::ops::Range;

/// The axes of a tensor: an extent and a stride, in elements, for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    pub(crate) extents: List<usize>,
    pub(crate) strides: List<isize>,
}

/// One axis: an extent and a stride, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dim {
    pub(crate) extent: usize,
    pub(crate) stride: isize,
}

/// Axes to walk over: the [merged](Axes::merged) ones of a tensor, stored beside those of a call's other tensors. [`Axes`] hold
/// as many as a tensor can have, and copying them would be a quarter of a small call's time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dims<'a>(pub(crate) &'a [Dim]);

/// The product of the extents, or the most that a `usize` can count.
pub(crate) fn count(extents: &[usize]) -> usize {
    extents.iter().fold(1, |count: usize, &extent| count.saturating_mul(extent))
}

/// Memory for merged axes, of which each tensor takes what it needs.
pub(crate) struct Storage<'a>(pub(crate) &'a mut [Dim]);

impl Axes {
    /// Row-major axes: the last one contiguous.
    pub(crate) fn row_major(shape: &[usize]) -> Self {
        let mut axes = Self::none();
        axes.make_row_major(shape);
        axes
    }

    /// The same, in place of none.
    #[inline(always)]
    pub(crate) fn make_row_major(&mut self, shape: &[usize]) {
        for &extent in shape {
            self.push(extent, 1);
        }
        let mut stride = 1_isize;
        for (&extent, own) in shape.iter().zip(self.strides.iter_mut()).rev() {
            *own = stride;
            stride = stride.saturating_mul(extent.max(1) as isize);
        }
    }

    /// No axes, to which others are added.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Axes { extents: List::empty(), strides: List::empty() }
    }

    /// Adds an axis after the others.
    #[inline(always)]
    pub(crate) fn push(&mut self, extent: usize, stride: isize) {
        self.extents.push(extent);
        self.strides.push(stride);
    }

    /// The number of elements. A checked tensor has never more than an `isize` can count; some axes of one that has none
    /// may have more, and are said to have as many as a `usize` can.
    pub(crate) fn count(&self) -> usize {
        count(&self.extents)
    }

    /// The smallest and the largest offset of an element, in elements from the first; `None` without elements.
    ///
    /// An error where the elements or the bytes between them, `size` for each, are more than an `isize` can count.
    pub(crate) fn span(&self, size: usize) -> Result<Option<(isize, isize)>, Cause> {
        if self.extents.contains(&0) {
            return Ok(None);
        }
        let span = || {
            let mut bytes = size;
            let (mut min, mut max) = (0_isize, 0_isize);
            for (&extent, &stride) in self.extents.iter().zip(self.strides.iter()) {
                bytes = bytes.checked_mul(extent)?;
                let reach = isize::try_from(extent - 1).ok()?.checked_mul(stride)?;
                let end = if reach < 0 { &mut min } else { &mut max };
                *end = end.checked_add(reach)?;
            }
            max.checked_sub(min)?.checked_add(1)?.checked_mul(size as isize)?;
            isize::try_from(bytes).is_ok().then_some((min, max))
        };
        span().map(Some).ok_or(Cause::SizeOverflow)
    }

    /// The same axes in the order that `order` names.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        Axes {
            extents: List::from_fn(order.len(), |axis| self.extents[order[axis]]),
            strides: List::from_fn(order.len(), |axis| self.strides[order[axis]]),
        }
    }

    /// The fewest axes that give the same offsets in the same order as those of `range`: neighbours that one stride can walk
    /// are one axis, and axes of one element are none. They are stored at the beginning of `storage`, at most one for each of
    /// `range`, and `storage` becomes what is left.
    pub(crate) fn merged<'a>(&self, range: Range<usize>, storage: &mut Storage<'a>) -> Dims<'a> {
        let mut len = 0;
        for (&extent, &stride) in self.extents[range.clone()].iter().zip(&self.strides[range]) {
            if extent == 1 {
                continue;
            }
            match storage.0[..len].last_mut() {
                Some(outer) if outer.stride == stride.wrapping_mul(extent as isize) => {
                    // Wraps only where another extent is 0 and nothing is walked.
                    *outer = Dim { extent: outer.extent.wrapping_mul(extent), stride };
                }
                _ => {
                    storage.0[len] = Dim { extent, stride };
                    len += 1;
                }
            }
        }
        Dims(storage.0.split_off_mut(..len).unwrap_or_default())
    }
}

impl<'a> Dims<'a> {
    /// The number of elements, or the most that a `usize` can count.
    pub(crate) fn count(self) -> usize {
        self.0.iter().fold(1, |count: usize, dim| count.saturating_mul(dim.extent))
    }

    /// A walk over the offsets of all elements in row-major order, beginning with the element `start`.
    pub(crate) fn walk_from(self, start: usize) -> Walk<'a> {
        let mut walk = Walk { dims: self, next_row: start, offset: self.offset(start), left: usize::MAX, step: 0 };
        if let Some(&Dim { extent, stride }) = self.0.last() {
            (walk.left, walk.step) = (extent.saturating_sub(start % extent.max(1)), stride);
            walk.next_row += walk.left;
        }
        walk
    }

    /// The offset of the element `index` in row-major order.
    pub(crate) fn offset(self, index: usize) -> isize {
        let (mut rest, mut offset) = (index, 0_isize);
        for &Dim { extent, stride } in self.0.iter().rev() {
            let extent = extent.max(1);
            // Wraps only where another extent is 0 and nothing is walked.
            offset = offset.wrapping_add(stride.wrapping_mul((rest % extent) as isize));
            rest /= extent;
        }
        offset
    }
}

/// The offsets of the elements of some [`Dims`], one after the other. It has no end of its own: the caller knows how
/// many elements there are.
pub(crate) struct Walk<'a> {
    dims: Dims<'a>,
    /// The index of the first element of the next row: of the next element after those of the last axis.
    next_row: usize,
    offset: isize,
    /// Elements left on the last axis, and the step between them.
    left: usize,
    step: isize,
}

impl Walk<'_> {
    /// The offset of the element reached, then one step on.
    #[inline]
    pub(crate) fn next_offset(&mut self) -> isize {
        let here = self.offset;
        if self.left > 1 {
            self.left -= 1;
            self.offset += self.step;
        } else {
            *self = self.dims.walk_from(self.next_row);
        }
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(extents: &[usize], strides: &[isize]) -> Axes {
        Axes { extents: List::new(extents), strides: List::new(strides) }
    }

    fn offsets(axes: &Axes, start: usize) -> Vec<isize> {
        let dims: Vec<Dim> =
            axes.extents.iter().zip(&*axes.strides).map(|(&extent, &stride)| Dim { extent, stride }).collect();
        offsets_of(Dims(&dims), start, axes.count())
    }

    fn offsets_of(dims: Dims<'_>, start: usize, end: usize) -> Vec<isize> {
        let mut walk = dims.walk_from(start);
        (start..end).map(|_| walk.next_offset()).collect()
    }

    #[test]
    fn a_walk_visits_row_major_order_from_any_start() {
        let axes = axes(&[2, 3, 2], &[100, -10, 1]);
        let all: Vec<isize> =
            (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..2).map(move |k| 100 * i - 10 * j + k))).collect();
        for start in 0..12 {
            assert_eq!(offsets(&axes, start), all[start..]);
        }
    }

    #[test]
    fn merging_axes_keeps_every_offset() {
        for (given, merged_ndim) in [
            (axes(&[2, 3, 4], &[12, 4, 1]), 1),
            (axes(&[2, 3, 4], &[24, 8, 2]), 1),
            (axes(&[2, 3, 4], &[13, 4, 1]), 2),
            (axes(&[2, 1, 4], &[4, 77, 1]), 1),
            (axes(&[3, 4], &[0, 0]), 1),
            (axes(&[3, 4], &[-4, -1]), 1),
            (axes(&[1, 1], &[5, 5]), 0),
        ] {
            let mut storage = [Dim::default(); 3];
            let merged = given.merged(0..given.extents.len(), &mut Storage(&mut storage));
            assert_eq!(merged.0.len(), merged_ndim, "{given:?}");
            assert_eq!(offsets_of(merged, 0, given.count()), offsets(&given, 0), "{given:?}");
        }
    }

    #[test]
    fn spans_that_cannot_be_addressed_are_errors() {
        assert_eq!(axes(&[3, 4], &[-4, 1]).span(4), Ok(Some((-8, 3))));
        assert_eq!(axes(&[3, 0], &[isize::MAX, 1]).span(4), Ok(None));
        assert_eq!(axes(&[2], &[isize::MAX]).span(4), Err(Cause::SizeOverflow));
        assert_eq!(axes(&[2, 2], &[isize::MIN / 4, isize::MAX / 4]).span(4), Err(Cause::SizeOverflow));
        assert_eq!(axes(&[1 << 40, 1 << 40], &[0, 0]).span(4), Err(Cause::SizeOverflow));
    }
}
