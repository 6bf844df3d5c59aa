//! Tensors of integers: indices to write, and positions to read.

use crate::dtype::DType;
use crate::error::Error;
use crate::tensor::{Tensor, TensorMut};
use std::ffi::c_void;

/// The integers that indices are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexType {
    /// 32 bits, signed.
    I32,
    /// 64 bits, signed.
    I64,
}

impl IndexType {
    /// The largest index.
    pub(crate) const fn largest(self) -> u64 {
        match self {
            IndexType::I32 => i32::MAX as u64,
            IndexType::I64 => i64::MAX as u64,
        }
    }

    /// A type of elements that take as much memory.
    const fn as_large(self) -> DType {
        match self {
            IndexType::I32 => DType::F32,
            IndexType::I64 => DType::F64,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
}

/// A Rust type that indices are written as: `i32` or `i64`.
pub trait Index: sealed::Sealed + Copy {
    /// The same type, as a value.
    const TYPE: IndexType;
}

impl Index for i32 {
    const TYPE: IndexType = IndexType::I32;
}

impl Index for i64 {
    const TYPE: IndexType = IndexType::I64;
}

/// A tensor of integers to read: as [`Tensor`], of `i32` or `i64`.
#[derive(Clone, Copy, Debug)]
pub struct Indices<'a> {
    /// Elements of the same size, which are never read as such.
    view: Tensor<'a>,
    index_type: IndexType,
}

impl<'a> Indices<'a> {
    /// A row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn new<I: Index>(data: &'a [I], shape: &[usize]) -> Result<Self, Error> {
        let (start, len) = (data.as_ptr(), data.len());
        // SAFETY: `data` stays borrowed for 'a.
        let view = unsafe { Tensor::of_slice(start.cast(), len, I::TYPE.as_large(), 0, shape, None)? };
        Ok(Indices { view, index_type: I::TYPE })
    }

    /// A view of memory that is known by its address, as a C caller has it. Without strides it is row-major.
    ///
    /// # Errors
    /// As [`Tensor::from_raw_parts`].
    ///
    /// # Safety
    /// As [`Tensor::from_raw_parts`].
    pub unsafe fn from_raw_parts(
        data: *const c_void,
        index_type: IndexType,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: the same contract.
        let view = unsafe { Tensor::from_raw_parts(data, index_type.as_large(), shape, strides)? };
        Ok(Indices { view, index_type })
    }

    /// The extents of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.view.shape()
    }

    pub(crate) const fn index_type(&self) -> IndexType {
        self.index_type
    }

    /// A tensor that lies where the integers do.
    pub(crate) const fn as_tensor(&self) -> &Tensor<'a> {
        &self.view
    }

    /// The same integers, seen as this tensor.
    pub(crate) const fn seen_as(&self, view: &Tensor<'a>) -> Self {
        Indices { view: *view, index_type: self.index_type }
    }
}

/// A tensor of indices to write: as [`TensorMut`], of `i32` or `i64`.
#[derive(Debug)]
pub struct IndicesMut<'a> {
    /// Elements of the same size, which are never read or written as such.
    view: TensorMut<'a>,
    index_type: IndexType,
    /// The order of part axes in which indices are row-major, where it is not their own.
    order: Option<&'static [usize]>,
}

impl<'a> IndicesMut<'a> {
    /// A row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn new<I: Index>(data: &'a mut [I], shape: &[usize]) -> Result<Self, Error> {
        let (start, len) = (data.as_mut_ptr(), data.len());
        // SAFETY: the borrow of `data` is exclusive, and lasts for 'a.
        let view = unsafe { TensorMut::of_slice(start.cast(), len, I::TYPE.as_large(), 0, shape, None)? };
        Ok(IndicesMut { view, index_type: I::TYPE, order: None })
    }

    /// A view of memory that is known by its address, as a C caller has it. Without strides it is row-major.
    ///
    /// # Errors
    /// As [`Tensor::from_raw_parts`].
    ///
    /// # Safety
    /// As [`TensorMut::from_raw_parts`].
    pub unsafe fn from_raw_parts(
        data: *mut c_void,
        index_type: IndexType,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: the same contract.
        let view = unsafe { TensorMut::from_raw_parts(data, index_type.as_large(), shape, strides)? };
        Ok(IndicesMut { view, index_type, order: None })
    }

    /// The extents of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.view.as_tensor().shape()
    }

    pub(crate) const fn index_type(&self) -> IndexType {
        self.index_type
    }

    /// The same, for indices that are row-major in the part axes of a group once these are in this order: the first is the axis
    /// `order[0]` of the group. Sums are not over any of them.
    pub(crate) const fn in_order(self, order: &'static [usize]) -> Self {
        IndicesMut { order: Some(order), ..self }
    }

    pub(crate) const fn order(&self) -> Option<&'static [usize]> {
        self.order
    }

    /// A tensor that lies where the indices do.
    pub(crate) const fn as_tensor(&self) -> &Tensor<'a> {
        self.view.as_tensor()
    }
}
