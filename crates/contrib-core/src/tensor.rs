//! Views of tensors that somebody else owns, checked once when they are made.

use crate::axes::{Axes, Dim, Storage};
use crate::dtype::{DType, Element, with_element};
use crate::error::{Argument, Cause, Error, Shape};
use crate::list::MAX_NDIM;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;

/// A tensor to read: a pointer, an element type, a shape, and a stride in elements for each axis.
///
/// Strides may be zero (an axis broadcast), negative, or in any order. The elements need no more alignment than
/// their own size. A view owns nothing and is cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    data: *mut u8,
    dtype: DType,
    pub(crate) axes: Axes,
    /// The addresses between which its bytes lie; none where it has no elements.
    addresses: (usize, usize),
    borrowed: PhantomData<&'a [u8]>,
}

// SAFETY: a `Tensor` is a shared borrow of plain numbers.
unsafe impl Send for Tensor<'_> {}
// SAFETY: as above; nothing is written through it.
unsafe impl Sync for Tensor<'_> {}

/// A tensor to write: as [`Tensor`], but exclusive, and no two of its elements may share memory.
#[derive(Debug)]
pub struct TensorMut<'a> {
    view: Tensor<'a>,
    exclusive: PhantomData<&'a mut [u8]>,
}

/// An axis of [`Tensor::with_axes`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Axis {
    /// An axis as it is.
    Own(usize),
    /// The slower one of the two axes into which an axis falls when the faster one gets this extent.
    Major(usize, usize),
    /// The faster one.
    Minor(usize, usize),
    /// An axis of this extent along which the one element repeats.
    Broadcast(usize),
}

const TENSOR: Argument = Argument::named("tensor");

impl<'a> Tensor<'a> {
    /// A row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// [`Cause::NdimOutOfRange`], [`Cause::SizeOverflow`], or [`Cause::OutOfBounds`] where `data` is too short.
    pub fn new<T: Element>(data: &'a [T], shape: &[usize]) -> Result<Self, Error> {
        Self::from_slice(data, 0, shape, None)
    }

    /// A view of `data` that begins at the index `offset` and steps `strides` elements along each axis.
    ///
    /// # Errors
    /// As [`Tensor::new`], and [`Cause::StridesLength`].
    pub fn strided<T: Element>(
        data: &'a [T],
        offset: usize,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Self, Error> {
        Self::from_slice(data, offset, shape, Some(strides))
    }

    fn from_slice<T: Element>(
        data: &'a [T],
        offset: usize,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: `data` stays borrowed for 'a.
        unsafe { Self::of_slice(data.as_ptr().cast(), data.len(), T::DTYPE, offset, shape, strides) }
    }

    /// A view of the `len` elements from `data` on that begins at the index `offset`.
    ///
    /// # Safety
    /// Those elements can be read for `'a`, and nobody writes to any of them meanwhile.
    pub(crate) unsafe fn of_slice(
        data: *const c_void,
        len: usize,
        dtype: DType,
        offset: usize,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        let start = data.wrapping_byte_add(offset.wrapping_mul(dtype.size()));
        Self::checked(start, dtype, shape, strides, |min, max| {
            let inside = |reach: isize| offset.checked_add_signed(reach).is_some_and(|index| index < len);
            if inside(min) && inside(max) {
                return Ok(());
            }
            let offset = offset as isize;
            Err(Cause::OutOfBounds { len, min: offset.saturating_add(min), max: offset.saturating_add(max) })
        })
    }

    /// A view of memory that is known by its address, as a C caller has it. Without strides it is row-major.
    ///
    /// # Errors
    /// [`Cause::NdimOutOfRange`], [`Cause::StridesLength`], [`Cause::SizeOverflow`], [`Cause::NullPointer`] (unless
    /// there are no elements), [`Cause::Misaligned`].
    ///
    /// # Safety
    /// Unless there are no elements, every element that `shape` and `strides` reach from `data` must be readable for
    /// `'a`, and nobody may write to any of them meanwhile.
    pub unsafe fn from_raw_parts(
        data: *const c_void,
        dtype: DType,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        Self::checked(data, dtype, shape, strides, |_, _| Ok(()))
    }

    /// A view of the elements that `shape` and `strides` reach from `data`, the first and the last of which, in elements from
    /// there, pass the check of whoever knows what memory there is.
    // Axes are large: what finds errors returns none, so that they are copied once.
    fn checked(
        data: *const c_void,
        dtype: DType,
        shape: &[usize],
        strides: Option<&[isize]>,
        check_reach: impl FnOnce(isize, isize) -> Result<(), Cause>,
    ) -> Result<Self, Error> {
        let error = |cause| Error::new(TENSOR, cause);
        check_lengths(shape, strides).map_err(error)?;
        let (data_of_view, axes) = (data.cast_mut().cast(), Axes::none());
        let mut view = Tensor { data: data_of_view, dtype, axes, addresses: (0, 0), borrowed: PhantomData };
        match strides {
            None => view.axes.make_row_major(shape),
            Some(strides) => shape.iter().zip(strides).for_each(|(&extent, &stride)| view.axes.push(extent, stride)),
        }
        if let Some((min, max)) = view.axes.span(dtype.size()).map_err(error)? {
            check_reach(min, max).map_err(error)?;
            view.addresses = addresses_between(data, dtype, min, max).map_err(error)?;
        }
        Ok(view)
    }

    /// The extents of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.axes.extents
    }

    /// The strides of the axes, in elements.
    #[must_use]
    pub fn strides(&self) -> &[isize] {
        &self.axes.strides
    }

    /// The type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same elements with the axes in another order: axis `i` of the result is axis `order[i]` of this view.
    ///
    /// # Panics
    /// Unless `order` names each axis once.
    #[must_use]
    pub fn permuted(&self, order: &[usize]) -> Self {
        let mut named = [false; MAX_NDIM];
        for &axis in order {
            named[axis] = true;
        }
        assert!(
            order.len() == self.axes.extents.len() && named[..order.len()].iter().all(|&named| named),
            "{order:?} is no order of {} axes",
            self.axes.extents.len()
        );
        Tensor { axes: self.axes.permuted(order), ..*self }
    }

    /// The same elements with one more axis, of one element, which comes to be at the place `at`: of `[pos, d_model]`, for
    /// example, `[1, pos, d_model]`.
    ///
    /// # Panics
    /// If there are fewer than `at` axes, or [`MAX_NDIM`] already.
    #[must_use]
    pub fn with_axis(&self, at: usize) -> Self {
        let ndim = self.shape().len();
        assert!(at <= ndim && ndim < MAX_NDIM, "no axis can be put at {at} of {ndim}");
        let mut axes = [Axis::Broadcast(1); MAX_NDIM];
        for own in 0..ndim {
            axes[own + usize::from(own >= at)] = Axis::Own(own);
        }
        self.with_axes(&axes[..=ndim])
    }

    /// The same elements without an axis of one element: of `[1, pos, d_model]`, for example, `[pos, d_model]`.
    ///
    /// # Panics
    /// If there is no such axis, or it has not one element.
    #[must_use]
    pub fn without_axis(&self, at: usize) -> Self {
        let ndim = self.shape().len();
        assert!(at < ndim && self.shape()[at] == 1, "no axis of one element at {at} of {:?}", self.shape());
        let mut axes = [Axis::Broadcast(1); MAX_NDIM];
        for (left, own) in (0..ndim).filter(|&own| own != at).enumerate() {
            axes[left] = Axis::Own(own);
        }
        self.with_axes(&axes[..ndim - 1])
    }

    /// The elements whose index on `axis` is in `range`.
    ///
    /// ```
    /// let tensor = contrib_core::Tensor::new(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])?;
    /// let mut last_rows = [0.0_f32; 4];
    /// tensor.narrowed(0, 1..3).copy_to(&mut last_rows);
    /// assert_eq!(last_rows, [3.0, 4.0, 5.0, 6.0]);
    /// # Ok::<(), contrib_core::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or it does not reach as far as `range`.
    #[must_use]
    pub fn narrowed(&self, axis: usize, range: Range<usize>) -> Self {
        let extent = self.shape()[axis];
        assert!(range.start <= range.end && range.end <= extent, "{range:?} is not within {extent} elements");
        let mut left = self.axes;
        left.extents[axis] = range.len();
        // An empty tensor's elements have no addresses that could be wrong.
        let Ok(Some((min, max))) = left.span(self.dtype.size()) else {
            return Tensor { axes: left, addresses: (0, 0), ..*self };
        };
        let size = self.dtype.size() as isize;
        let data = self.data.wrapping_offset(left.strides[axis] * range.start as isize * size);
        let first = data.addr().wrapping_add_signed(min * size);
        let last = data.addr().wrapping_add_signed((max + 1) * size);
        Tensor { data, axes: left, addresses: (first, last), ..*self }
    }

    /// Writes the elements to `out`, in row-major order, each as the nearest number of its type.
    ///
    /// # Panics
    /// Unless `out` has as many elements.
    pub fn copy_to<T: Element>(&self, out: &mut [T]) {
        assert_eq!(out.len(), self.axes.count(), "one element for each of the tensor's");
        let mut storage = [Dim::default(); MAX_NDIM];
        let mut walk = self.axes.merged(0..self.shape().len(), &mut Storage(&mut storage)).walk_from(0);
        with_element!(self.dtype, Own => {
            for out in out {
                let element = self.data.cast::<Own>().wrapping_offset(walk.next_offset());
                // SAFETY: the offset is that of one of the view's elements, which can be read for 'a.
                *out = T::nearest(unsafe { element.read() }.to_f64());
            }
        });
    }

    /// The same elements with the axes that `axes` gives: each an axis of this view, or one of the given extent along which
    /// nothing changes.
    pub(crate) fn with_axes(&self, axes: &[Axis]) -> Self {
        let mut view = Tensor { axes: Axes::none(), ..*self };
        for axis in axes {
            let (extent, stride) = match *axis {
                Axis::Own(own) => (self.axes.extents[own], self.axes.strides[own]),
                // Wraps only where there are no elements.
                Axis::Major(own, minor) => {
                    (self.axes.extents[own] / minor, self.axes.strides[own].wrapping_mul(minor as isize))
                }
                Axis::Minor(own, minor) => (minor, self.axes.strides[own]),
                Axis::Broadcast(extent) => (extent, 0),
            };
            view.axes.push(extent, stride);
        }
        view
    }

    pub(crate) const fn data(&self) -> *mut u8 {
        self.data
    }

    /// The addresses of the first byte of its elements and of the one after the last; the same where there are none.
    pub(crate) const fn addresses(&self) -> (usize, usize) {
        self.addresses
    }

    pub(crate) fn error_shape(&self) -> Shape {
        Shape::new(self.shape())
    }
}

impl<'a> TensorMut<'a> {
    /// A row-major view of the first elements of `data`.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn new<T: Element>(data: &'a mut [T], shape: &[usize]) -> Result<Self, Error> {
        Self::from_slice(data, 0, shape, None)
    }

    /// A view of `data` that begins at the index `offset` and steps `strides` elements along each axis. Whether two
    /// of its elements share memory is checked by the operation that writes to it.
    ///
    /// # Errors
    /// As [`Tensor::strided`].
    pub fn strided<T: Element>(
        data: &'a mut [T],
        offset: usize,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Self, Error> {
        Self::from_slice(data, offset, shape, Some(strides))
    }

    fn from_slice<T: Element>(
        data: &'a mut [T],
        offset: usize,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: the borrow of `data` is exclusive, and lasts for 'a.
        unsafe { Self::of_slice(data.as_mut_ptr().cast(), data.len(), T::DTYPE, offset, shape, strides) }
    }

    /// As [`Tensor::of_slice`].
    ///
    /// # Safety
    /// Those elements can be written for `'a`, and nobody else reads or writes any of them meanwhile.
    pub(crate) unsafe fn of_slice(
        data: *mut c_void,
        len: usize,
        dtype: DType,
        offset: usize,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: what is writable is readable.
        let view = unsafe { Tensor::of_slice(data, len, dtype, offset, shape, strides)? };
        Ok(TensorMut { view, exclusive: PhantomData })
    }

    /// A view of memory that is known by its address, as a C caller has it. Without strides it is row-major.
    ///
    /// # Errors
    /// As [`Tensor::from_raw_parts`].
    ///
    /// # Safety
    /// Unless there are no elements, every element that `shape` and `strides` reach from `data` must be writable for
    /// `'a`, and nobody else may read or write any of them meanwhile. Views that are handed to one operation may
    /// overlap: the operation finds out and refuses.
    pub unsafe fn from_raw_parts(
        data: *mut c_void,
        dtype: DType,
        shape: &[usize],
        strides: Option<&[isize]>,
    ) -> Result<Self, Error> {
        // SAFETY: what is writable is readable.
        let view = unsafe { Tensor::from_raw_parts(data, dtype, shape, strides)? };
        Ok(TensorMut { view, exclusive: PhantomData })
    }

    /// The same elements to read.
    #[must_use]
    pub const fn as_tensor(&self) -> &Tensor<'a> {
        &self.view
    }

    /// The same elements, borrowed for a shorter time.
    pub(crate) const fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { view: self.view, exclusive: PhantomData }
    }

    /// As [`Tensor::with_axes`].
    pub(crate) fn with_axes(&mut self, axes: &[Axis]) -> TensorMut<'_> {
        self.reborrow().into_axes(axes)
    }

    /// The same, borrowed for as long as this view.
    pub(crate) fn into_axes(self, axes: &[Axis]) -> Self {
        TensorMut { view: self.view.with_axes(axes), exclusive: PhantomData }
    }
}

/// An error unless a view can have such axes.
fn check_lengths(shape: &[usize], strides: Option<&[isize]>) -> Result<(), Cause> {
    if shape.len() > MAX_NDIM {
        return Err(Cause::NdimOutOfRange { got: shape.len() as i64 });
    }
    match strides {
        Some(strides) if strides.len() != shape.len() => {
            Err(Cause::StridesLength { shape: shape.len(), strides: strides.len() })
        }
        _ => Ok(()),
    }
}

/// The address of the element `min`, counted from `data`, and the one after the element `max`.
fn addresses_between(data: *const c_void, dtype: DType, min: isize, max: isize) -> Result<(usize, usize), Cause> {
    if data.is_null() {
        return Err(Cause::NullPointer);
    }
    if !data.addr().is_multiple_of(dtype.size()) {
        return Err(Cause::Misaligned { dtype });
    }
    let size = dtype.size() as isize;
    let first = data.addr().checked_add_signed(min * size);
    let last = data.addr().checked_add_signed(max * size).and_then(|last| last.checked_add(dtype.size()));
    first.zip(last).ok_or(Cause::SizeOverflow)
}
