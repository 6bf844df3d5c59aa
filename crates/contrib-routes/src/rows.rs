//! Some positions of a tensor, one after the other.

use crate::allocate::filled;
use crate::error::Error;
use contrib_core::{DType, Element, MAX_NDIM, Tensor};

/// What a tensor has at some positions, on its axis of positions. Where they follow one another nothing is copied. Copies of
/// halves are `f32`, which is exact.
pub(crate) enum Rows<'a> {
    View(Tensor<'a>),
    Single(Copied<f32>),
    Double(Copied<f64>),
}

/// The elements, row-major, with the axis of positions before all others.
pub(crate) struct Copied<T> {
    elements: Vec<T>,
    /// As many extents as the tensor has axes.
    shape: [usize; MAX_NDIM],
    ndim: usize,
    axis: usize,
}

/// The first of positions that follow one another, where they do.
pub(crate) fn consecutive(positions: &[u32]) -> Option<usize> {
    let (first, last) = (*positions.first()? as usize, *positions.last()? as usize);
    (last - first + 1 == positions.len()).then_some(first)
}

impl<'a> Rows<'a> {
    /// What `tensor` has at `positions`, which ascend, on this axis. An extent of 1 is the same at all positions.
    pub(crate) fn new(tensor: &Tensor<'a>, axis: usize, positions: &[u32]) -> Result<Self, Error> {
        let is_shared = tensor.shape()[axis] == 1 && positions != [0];
        match consecutive(positions) {
            Some(first) if !is_shared => Ok(Rows::View(tensor.narrowed(axis, first..first + positions.len()))),
            _ if tensor.dtype() == DType::F64 => Ok(Rows::Double(Copied::new(tensor, axis, positions)?)),
            _ => Ok(Rows::Single(Copied::new(tensor, axis, positions)?)),
        }
    }

    /// The tensor with these positions and no others.
    pub(crate) fn tensor(&self) -> Result<Tensor<'_>, Error> {
        match self {
            Rows::View(tensor) => Ok(*tensor),
            Rows::Single(copied) => copied.tensor(),
            Rows::Double(copied) => copied.tensor(),
        }
    }
}

impl<T: Element> Copied<T> {
    fn new(tensor: &Tensor<'_>, axis: usize, positions: &[u32]) -> Result<Self, Error> {
        let (extent, ndim) = (tensor.shape()[axis], tensor.shape().len());
        let mut shape = [positions.len(); MAX_NDIM];
        shape[1..=axis].copy_from_slice(&tensor.shape()[..axis]);
        shape[axis + 1..ndim].copy_from_slice(&tensor.shape()[axis + 1..]);
        let row_len: usize = shape[1..ndim].iter().product();
        let mut elements = filled(T::ZERO, positions.len().saturating_mul(row_len))?;
        if row_len > 0 {
            for (row, &position) in elements.chunks_exact_mut(row_len).zip(positions) {
                let index = (position as usize).min(extent - 1);
                tensor.narrowed(axis, index..index + 1).copy_to(row);
            }
        }
        Ok(Copied { elements, shape, ndim, axis })
    }

    fn tensor(&self) -> Result<Tensor<'_>, Error> {
        let tensor = Tensor::new(&self.elements, &self.shape[..self.ndim])?;
        let mut order = [0; MAX_NDIM];
        let order = &mut order[..self.ndim];
        for (axis, from) in order.iter_mut().enumerate() {
            *from = match axis {
                axis if axis < self.axis => axis + 1,
                axis if axis == self.axis => 0,
                axis => axis,
            };
        }
        Ok(tensor.permuted(order))
    }
}
