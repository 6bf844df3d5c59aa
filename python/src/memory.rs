//! Where the elements of an array lie, as whoever holds them says.

use crate::dlpack;
use crate::elements::Elements;
use crate::error::error;
use contrib_core::{DType, IndexType, Indices, IndicesMut, Tensor, TensorMut};
use pyo3::prelude::*;
use smallvec::SmallVec;
use std::ffi::c_void;
use std::fmt::Display;

/// Extents or strides. Those of most arrays need no heap.
pub(crate) type Extents<T> = SmallVec<[T; 8]>;

/// An array's elements: their address, type, extents, and strides in elements.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) data: *mut c_void,
    pub(crate) elements: Elements,
    pub(crate) shape: Extents<usize>,
    pub(crate) strides: Extents<isize>,
}

impl Memory {
    /// What a DLPack tensor says.
    ///
    /// # Safety
    /// `tensor` has as many extents, and strides unless that is null, as it says.
    pub(crate) unsafe fn of_dlpack(py: Python<'_>, name: impl Display, tensor: &dlpack::Tensor) -> PyResult<Self> {
        check_device(py, name, tensor.device)?;
        let mut shape = Extents::new();
        let mut strides = Extents::new();
        let ndim = usize::try_from(tensor.ndim).unwrap_or(0);
        for axis in 0..ndim {
            // SAFETY: the axis is below `ndim`, and there are so many extents.
            shape.push(usize::try_from(unsafe { *tensor.shape.add(axis) }).unwrap_or(0));
        }
        if tensor.strides.is_null() {
            strides = row_major(&shape);
        } else {
            // SAFETY: as above.
            strides.extend((0..ndim).map(|axis| unsafe { *tensor.strides.add(axis) } as isize));
        }
        let data = tensor.data.wrapping_byte_add(tensor.byte_offset as usize);
        Ok(Memory { data, elements: tensor.dtype.into(), shape, strides })
    }

    /// The same with so many axes of one element before the others.
    fn led_by(&self, ones: usize) -> (Extents<usize>, Extents<isize>) {
        let mut shape: Extents<usize> = SmallVec::from_elem(1, ones);
        let mut strides: Extents<isize> = SmallVec::from_elem(0, ones);
        shape.extend_from_slice(&self.shape);
        strides.extend_from_slice(&self.strides);
        (shape, strides)
    }

    /// A view of these elements.
    ///
    /// # Safety
    /// They can be read for `'a`, and nobody writes to any of them meanwhile.
    pub(crate) unsafe fn tensor<'a>(&self, dtype: DType) -> Result<Tensor<'a>, contrib_core::Error> {
        // SAFETY: the same contract.
        unsafe { Tensor::from_raw_parts(self.data, dtype, &self.shape, Some(&self.strides)) }
    }

    /// A view of these elements to write, with so many axes of one element before the others.
    ///
    /// # Safety
    /// They can be written for `'a`, and nobody else reads or writes any of them meanwhile.
    pub(crate) unsafe fn tensor_mut<'a>(
        &self,
        dtype: DType,
        ones: usize,
    ) -> Result<TensorMut<'a>, contrib_core::Error> {
        let (shape, strides) = self.led_by(ones);
        // SAFETY: the same contract.
        unsafe { TensorMut::from_raw_parts(self.data, dtype, &shape, Some(&strides)) }
    }

    /// A view of these integers.
    ///
    /// # Safety
    /// As [`Memory::tensor`].
    pub(crate) unsafe fn indices<'a>(
        &self,
        index_type: IndexType,
        ones: usize,
    ) -> Result<Indices<'a>, contrib_core::Error> {
        let (shape, strides) = self.led_by(ones);
        // SAFETY: the same contract.
        unsafe { Indices::from_raw_parts(self.data, index_type, &shape, Some(&strides)) }
    }

    /// A view of these integers to write.
    ///
    /// # Safety
    /// As [`Memory::tensor_mut`].
    pub(crate) unsafe fn indices_mut<'a>(
        &self,
        index_type: IndexType,
        ones: usize,
    ) -> Result<IndicesMut<'a>, contrib_core::Error> {
        let (shape, strides) = self.led_by(ones);
        // SAFETY: the same contract.
        unsafe { IndicesMut::from_raw_parts(self.data, index_type, &shape, Some(&strides)) }
    }
}

/// An error where the host cannot read a device's memory.
pub(crate) fn check_device(py: Python<'_>, name: impl Display, device: dlpack::Device) -> PyResult<()> {
    if device.is_read_by_the_host() {
        return Ok(());
    }
    let dlpack::Device { kind, id } = device;
    let problem = format!(
        "expected memory that the host can read, got an array on another device (DLPack's type {kind}, number {id}): copy it to \
         the host first, in PyTorch with .cpu()"
    );
    Err(error(py, "device", name, problem))
}

/// The strides of a row-major array. They wrap only where the array cannot exist.
pub(crate) fn row_major(shape: &[usize]) -> Extents<isize> {
    let mut strides: Extents<isize> = SmallVec::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis].max(1) as isize);
    }
    strides
}
