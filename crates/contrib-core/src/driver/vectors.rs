//! Vectors of one length inside a tensor.

use crate::axes::{Dim, Dims, Storage, Walk};
use crate::dtype::DType;
use crate::lanes::LANES;
use crate::tensor::Tensor;

/// Vectors of one length, with their axes of parts and of batch items.
#[derive(Clone, Copy)]
pub(super) struct Vectors<'a> {
    pub(super) data: *const u8,
    pub(super) dtype: DType,
    pub(super) parts: Dims<'a>,
    pub(super) batch: Dims<'a>,
    /// Elements of one vector, and the step between them.
    pub(super) len: usize,
    pub(super) stride: isize,
}

// SAFETY: vectors are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Vectors<'_> {}

impl<'a> Vectors<'a> {
    /// Splits the axes of `[p.., v.., d]` after the first `part_axes`. The merged ones go to `storage`.
    pub(super) fn new(tensor: &Tensor<'_>, part_axes: usize, storage: &mut Storage<'a>) -> Self {
        let last = tensor.shape().len() - 1;
        Vectors {
            data: tensor.data(),
            dtype: tensor.dtype(),
            parts: tensor.axes.merged(0..part_axes, storage),
            batch: tensor.axes.merged(part_axes..last, storage),
            len: tensor.shape()[last],
            stride: tensor.strides()[last],
        }
    }

    /// One vector.
    pub(super) fn of_numbers(numbers: &[f64]) -> Self {
        let (data, none) = (numbers.as_ptr().cast(), Dims::default());
        Vectors { data, dtype: DType::F64, parts: none, batch: none, len: numbers.len(), stride: 1 }
    }

    /// Where the first vector of the batch item with this index begins.
    pub(super) fn start(&self, item: usize) -> *const u8 {
        self.data.wrapping_offset(self.batch.offset(item) * self.dtype.size() as isize)
    }

    /// Whether a vector's elements lie one after the other.
    pub(super) fn is_contiguous(&self) -> bool {
        self.stride == 1 || self.len == 1
    }

    /// How many parts from `first` on are adjacent, element by element: at most as many as their last axis has.
    pub(super) fn adjacent(&self, first: usize) -> usize {
        match self.parts.0.last() {
            Some(&Dim { extent, stride: 1 }) if extent > 0 => extent - first % extent,
            _ => 1,
        }
    }

    /// Where the next `count` parts of a walk begin, of the batch item whose first part begins at `start`; the last of them once
    /// more for each that is missing in a panel.
    pub(super) fn next_starts(&self, start: *const u8, walk: &mut Walk<'_>, count: usize) -> [*const u8; LANES] {
        let mut starts = [start; LANES];
        for lane in 0..LANES {
            starts[lane] = if lane < count {
                start.wrapping_offset(walk.next_offset() * self.dtype.size() as isize)
            } else {
                starts[lane - 1]
            };
        }
        starts
    }
}
