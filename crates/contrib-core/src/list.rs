//! A short list without a heap: the extents or strides of a tensor.

use std::ops::{Deref, DerefMut};

/// The most axes that a tensor can have.
pub const MAX_NDIM: usize = 16;

/// At most [`MAX_NDIM`] values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<T> {
    items: [T; MAX_NDIM],
    len: usize,
}

impl<T: Copy + Default> List<T> {
    /// A list of these values.
    ///
    /// # Panics
    /// With more than [`MAX_NDIM`] values.
    pub(crate) fn new(items: &[T]) -> Self {
        let mut list = List { items: [T::default(); MAX_NDIM], len: items.len() };
        list.items[..items.len()].copy_from_slice(items);
        list
    }

    /// A list of what `item` gives for each index.
    pub(crate) fn from_fn(len: usize, mut item: impl FnMut(usize) -> T) -> Self {
        let mut list = List { items: [T::default(); MAX_NDIM], len };
        for (index, slot) in list.iter_mut().enumerate() {
            *slot = item(index);
        }
        list
    }

    pub(crate) fn push(&mut self, item: T) {
        self.items[self.len] = item;
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.last().copied()?;
        self.len -= 1;
        Some(last)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for List<T> {}
