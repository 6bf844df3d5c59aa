//! A short list without a heap: the extents or strides of a tensor.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::slice;

/// The most axes that a tensor can have.
pub const MAX_NDIM: usize = 16;

/// At most [`MAX_NDIM`] values.
///
/// A list is larger than most calls need. What makes one is inlined, and leaves what it does not need uninitialised, so that
/// lists are made in their place and not cleared before.
#[derive(Clone, Copy)]
pub(crate) struct List<T: Copy> {
    /// The first `len` are initialised.
    items: [MaybeUninit<T>; MAX_NDIM],
    len: usize,
}

impl<T: Copy> List<T> {
    /// A list of no values.
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        List { items: [const { MaybeUninit::uninit() }; MAX_NDIM], len: 0 }
    }

    /// A list of these values.
    ///
    /// # Panics
    /// With more than [`MAX_NDIM`] values.
    #[inline(always)]
    pub(crate) fn new(items: &[T]) -> Self {
        Self::from_fn(items.len(), |index| items[index])
    }

    /// A list of what `item` gives for each index.
    ///
    /// # Panics
    /// With more than [`MAX_NDIM`] values.
    #[inline(always)]
    pub(crate) fn from_fn(len: usize, mut item: impl FnMut(usize) -> T) -> Self {
        let mut list = Self::empty();
        for index in 0..len {
            list.push(item(index));
        }
        list
    }

    /// Adds a value after the others.
    ///
    /// # Panics
    /// Where there are [`MAX_NDIM`] values already.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) {
        self.items[self.len].write(item);
        self.len += 1;
    }
}

impl<T: Copy> Deref for List<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` items are initialised.
        unsafe { slice::from_raw_parts(self.items.as_ptr().cast(), self.len) }
    }
}

impl<T: Copy> DerefMut for List<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the first `len` items are initialised.
        unsafe { slice::from_raw_parts_mut(self.items.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Copy + PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Copy + Eq> Eq for List<T> {}
