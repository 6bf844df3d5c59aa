//! Working memory of a call: allocations that can fail, and buffers of which tasks write disjoint ranges.

use crate::error::Error;
use crate::kernels::excess::{Buckets, SortedElement};
use crate::lanes::{Line, Number};
use std::alloc::{Layout, alloc_zeroed};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice;

/// Working memory for so many values, or an error.
pub(super) fn buffer<T: Clone>(len: usize, value: T) -> Result<Vec<T>, Error> {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(len).is_err() {
        return Err(Error::out_of_memory(len.saturating_mul(size_of::<T>())));
    }
    buffer.resize(len, value);
    Ok(buffer)
}

/// A type of which zeros are a value.
///
/// # Safety
/// All bytes of a value may be 0.
pub(super) unsafe trait Zero: Copy {}

// SAFETY: numbers, and arrays and structs of nothing but numbers.
unsafe impl Zero for f32 {}
// SAFETY: as above.
unsafe impl Zero for f64 {}
// SAFETY: as above.
unsafe impl<N: Number> Zero for Line<N> {}
// SAFETY: as above.
unsafe impl<N: Number> Zero for SortedElement<N> {}
// SAFETY: as above.
unsafe impl Zero for Buckets {}

/// Working memory for so many values, all of them zeros, or an error. The operating system clears its pages when they are
/// first used.
pub(super) fn zeroed<T: Zero>(len: usize) -> Result<Vec<T>, Error> {
    let layout = Layout::array::<T>(len).map_err(|_| Error::out_of_memory(len.saturating_mul(size_of::<T>())))?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout's size is not 0.
    let data = unsafe { alloc_zeroed(layout) };
    if data.is_null() {
        return Err(Error::out_of_memory(layout.size()));
    }
    #[expect(
        clippy::same_length_and_capacity,
        reason = "the allocation is for exactly so many values, and none is missing"
    )]
    // SAFETY: the allocator gave memory for `len` values with their layout, whose bytes are 0, which is a value.
    let zeros = unsafe { Vec::from_raw_parts(data.cast(), len, len) };
    Ok(zeros)
}

/// Memory for so many values that begin uninitialised, or an error.
pub(super) fn uninit<T>(len: usize) -> Result<Vec<MaybeUninit<T>>, Error> {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(len).is_err() {
        return Err(Error::out_of_memory(len.saturating_mul(size_of::<T>())));
    }
    buffer.resize_with(len, MaybeUninit::uninit);
    Ok(buffer)
}

/// A buffer of which tasks that run at the same time take disjoint ranges.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a, T> {
    data: *mut T,
    len: usize,
    exclusive: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for an exclusive borrow of the values, whose ranges are handed out to one task each.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// All of `buffer`.
    pub(super) fn new(buffer: &'a mut [T]) -> Self {
        Shared { data: buffer.as_mut_ptr(), len: buffer.len(), exclusive: PhantomData }
    }

    /// Whether there are no values.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values of a range.
    ///
    /// # Panics
    /// Where the range reaches past the end.
    ///
    /// # Safety
    /// - As long as the slice is used, nobody else takes a range that shares an index with it.
    pub(super) unsafe fn range(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} is no range of {}", self.len);
        // SAFETY: the range lies inside the buffer, which is borrowed exclusively for 'a; that nobody else has it meanwhile
        // is this function's contract.
        unsafe { slice::from_raw_parts_mut(self.data.add(range.start), range.len()) }
    }

    /// The `len` values of the piece with this number, where the buffer is pieces of that length.
    ///
    /// # Safety
    /// As [`Shared::range`].
    pub(super) unsafe fn piece(&self, number: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the same contract.
        unsafe { self.range(number * len..(number + 1) * len) }
    }

    /// The value with this index.
    ///
    /// # Safety
    /// As [`Shared::range`].
    pub(super) unsafe fn one(&self, index: usize) -> &'a mut T {
        // SAFETY: the same contract.
        unsafe { &mut self.range(index..index + 1)[0] }
    }
}
