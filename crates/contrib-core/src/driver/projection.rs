//! The matrices that values are projected through, as a caller stores them.

use crate::axes::{Dims, Storage};
use crate::dtype::DType;
use crate::tensor::Tensor;

/// The matrices that values are projected through: `[p.., r, d]`.
#[derive(Clone, Copy)]
pub(super) struct Projection<'a> {
    pub(super) data: *const u8,
    pub(super) dtype: DType,
    pub(super) parts: Dims<'a>,
    pub(super) rows: usize,
    pub(super) row_stride: isize,
    pub(super) stride: isize,
}

// SAFETY: projections are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Projection<'_> {}

impl<'a> Projection<'a> {
    /// The matrices of a tensor `[p.., r, d]` with so many part axes. The merged ones go to `storage`.
    pub(super) fn new(tensor: &Tensor<'_>, part_axes: usize, storage: &mut Storage<'a>) -> Self {
        Projection {
            data: tensor.data(),
            dtype: tensor.dtype(),
            parts: tensor.axes.merged(0..part_axes, storage),
            rows: tensor.shape()[part_axes],
            row_stride: tensor.strides()[part_axes],
            stride: tensor.strides()[part_axes + 1],
        }
    }

    /// Where a row of the matrix begins that begins at `offset`, in elements.
    pub(super) fn row(&self, offset: isize, row: usize) -> *const u8 {
        self.data.wrapping_offset((offset + row as isize * self.row_stride) * self.dtype.size() as isize)
    }
}
