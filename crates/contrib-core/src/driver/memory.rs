//! Working memory of a call: what its context keeps or the allocator gives, which can fail, and buffers of which tasks write
//! disjoint ranges.

use crate::context::Context;
use crate::context::reserve::{ALIGNMENT, Block, Reserve};
use crate::error::Error;
use crate::kernels::excess::{Buckets, SortedElement};
use crate::lanes::{LANES, Line, Number, lines};
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut, Range};
use std::slice;

/// A list with memory for so many values, or an error. It is for what is not plain, or is little: none of it is kept.
pub(super) fn empty_list<T>(capacity: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    if list.try_reserve_exact(capacity).is_err() {
        return Err(Error::out_of_memory(capacity.saturating_mul(size_of::<T>())));
    }
    Ok(list)
}

/// A list of so many values, or an error.
pub(super) fn list<T: Clone>(len: usize, value: T) -> Result<Vec<T>, Error> {
    let mut list = empty_list(len)?;
    list.resize(len, value);
    Ok(list)
}

/// A type of which any initialised bytes are a value, and any value is initialised bytes.
///
/// # Safety
/// - A value may have any bytes.
/// - None of its bytes is padding.
pub(super) unsafe trait Plain {}

// SAFETY: a number.
unsafe impl Plain for f64 {}
// SAFETY: a number.
unsafe impl Plain for usize {}
// SAFETY: a number.
unsafe impl Plain for isize {}
// SAFETY: numbers, one after the other.
unsafe impl<T: Plain, const LEN: usize> Plain for [T; LEN] {}
// SAFETY: numbers, which are `f32` or `f64` and fill a line.
unsafe impl<N: Number> Plain for Line<N> {}
// SAFETY: two numbers, packed.
unsafe impl<N: Number> Plain for SortedElement<N> {}
// SAFETY: numbers of one type, one after the other.
unsafe impl Plain for Buckets {}

/// Where a call's working memory comes from: what its context keeps, or else the allocator.
#[derive(Clone, Copy)]
pub(super) struct WorkingMemory<'a> {
    reserve: Option<&'a Reserve>,
}

impl WorkingMemory<'static> {
    /// The allocator alone.
    pub(super) const ALLOCATOR: Self = WorkingMemory { reserve: None };
}

impl<'a> WorkingMemory<'a> {
    /// The working memory of calls with this context. To ask for it takes a system call.
    pub(super) fn of(context: Option<&'a Context>) -> Self {
        WorkingMemory { reserve: context.map(Context::reserve).filter(|reserve| reserve.is_of_use()) }
    }

    /// A buffer of so many values, or an error. They may be anything: whoever reads one has written it before.
    pub(super) fn unset<T: Plain>(self, len: usize) -> Result<Buffer<'a, T>, Error> {
        const { assert!(ALIGNMENT.is_multiple_of(align_of::<T>())) };
        let bytes = len.saturating_mul(size_of::<T>());
        let block = match self.reserve {
            Some(reserve) => reserve.take(bytes),
            None => Block::new(bytes),
        };
        let block = block.ok_or_else(|| Error::out_of_memory(bytes))?;
        if cfg!(debug_assertions) {
            // In numbers that are not numbers, and indices of nothing, it shows where one is read that nobody has written.
            // SAFETY: the block is nobody else's.
            unsafe { block.start().write_bytes(u8::MAX, block.len()) };
        }
        Ok(Buffer { block, len, reserve: self.reserve, values: PhantomData })
    }

    /// A buffer of so many vectors of `len` numbers each, in whole lines, or an error. The numbers may be anything; but where
    /// `len` is 0, each vector is a line of zeros, which nobody writes.
    pub(super) fn vectors<N: Number>(self, count: usize, len: usize) -> Result<Buffer<'a, Line<N>>, Error> {
        let mut vectors = self.unset(count.saturating_mul(lines(len)))?;
        if len == 0 {
            vectors.fill(Line([N::ZERO; LANES]));
        }
        Ok(vectors)
    }
}

/// Values in working memory, which goes back to where it came from.
pub(super) struct Buffer<'a, T> {
    block: Block,
    /// So many values lie in the block, from its beginning on.
    len: usize,
    reserve: Option<&'a Reserve>,
    values: PhantomData<T>,
}

impl<T> Deref for Buffer<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the block is this buffer's own, and is aligned for the values, as many of which it has bytes for. These are
        // initialised, and any such bytes are values: there is no buffer of a type that is not plain.
        unsafe { slice::from_raw_parts(self.block.start().cast().as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; what is written are plain values, which leave the bytes initialised.
        unsafe { slice::from_raw_parts_mut(self.block.start().cast().as_ptr(), self.len) }
    }
}

impl<T> Drop for Buffer<'_, T> {
    fn drop(&mut self) {
        let block = mem::replace(&mut self.block, Block::EMPTY);
        if let Some(reserve) = self.reserve {
            reserve.give(block);
        }
    }
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
