//! Blocks of memory that calls give back, kept for later calls.
//!
//! Where an allocator gives freed memory back to the operating system, each call would have its pages made and cleared anew,
//! which takes longer than what small calls calculate. A [`Reserve`] keeps what calls give back, up to a limit.
//!
//! It has a lock, which is held while a list is searched: never while a call calculates, nor while memory is freed. A forked
//! child, in which the lock may be held for ever, does not use the reserve: its calls go to the allocator.

use super::fork::Process;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::mem;
use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the address of each block is a multiple of: a line of numbers, and of a cache.
pub(crate) const ALIGNMENT: usize = 64;

/// What any allocator aligns to. It clears memory of a greater alignment itself, byte by byte, where the operating system
/// gives pages that are clear already.
const ALIGNMENT_OF_ALLOCATOR: usize = 2 * size_of::<usize>();

/// Blocks with fewer bytes are not kept: an allocator has them ready.
const LEAST_KEPT: usize = 1 << 12;

/// Memory of one owner. All of its bytes are initialised: they were cleared at first, and whoever had the block since then
/// wrote nothing but initialised bytes.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    len: usize,
    /// What the allocator gave, in which the block begins at a multiple of [`ALIGNMENT`]. Not used where `len` is 0.
    allocated: NonNull<u8>,
}

// SAFETY: a block is owned by one thread at a time, and memory may be freed by any.
unsafe impl Send for Block {}
// SAFETY: a shared block gives nothing but its address and length.
unsafe impl Sync for Block {}

impl Block {
    /// A block of no bytes.
    pub(crate) const EMPTY: Block = {
        let nowhere = NonNull::without_provenance(NonZero::new(ALIGNMENT).unwrap());
        Block { start: nowhere, len: 0, allocated: nowhere }
    };

    /// A block of so many bytes, all 0, or `None` where there is no memory for it.
    pub(crate) fn new(len: usize) -> Option<Self> {
        if len == 0 {
            return Some(Block::EMPTY);
        }
        // SAFETY: the layout has more bytes than `len`, which is not 0.
        let allocated = NonNull::new(unsafe { alloc_zeroed(Self::layout(len)?) })?;
        let step = allocated.as_ptr().addr().next_multiple_of(ALIGNMENT) - allocated.as_ptr().addr();
        // SAFETY: the address is a multiple of the allocator's alignment, so that the next multiple of ours is as near as
        // the layout has bytes beside `len`.
        let start = unsafe { allocated.add(step) };
        Some(Block { start, len, allocated })
    }

    /// What the allocator is asked for. `None` where there are more bytes than an object can have.
    fn layout(len: usize) -> Option<Layout> {
        const { assert!(ALIGNMENT.is_multiple_of(ALIGNMENT_OF_ALLOCATOR)) };
        let len = len.checked_add(ALIGNMENT - ALIGNMENT_OF_ALLOCATOR)?;
        Layout::from_size_align(len, ALIGNMENT_OF_ALLOCATOR).ok()
    }

    /// Its first byte, whose address is a multiple of [`ALIGNMENT`]. As many bytes as [`Block::len`] says can be read, and
    /// written by the owner.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.len).filter(|_| self.len > 0) {
            // SAFETY: the allocator gave it with this layout, and nobody else has it.
            unsafe { dealloc(self.allocated.as_ptr(), layout) };
        }
    }
}

/// Blocks that were given back, up to a limit.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// In bytes.
    limit: AtomicUsize,
    /// The process whose threads may use it. `None` where its forked children could not be told from it: nothing is kept then.
    process: Option<Process>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// In the order in which they were given back.
    blocks: Vec<Block>,
    /// Of all blocks.
    bytes: usize,
}

impl Reserve {
    /// One that keeps so many bytes at most.
    pub(crate) fn new(limit: usize) -> Self {
        Reserve { limit: AtomicUsize::new(limit), process: Process::current(), kept: Mutex::default() }
    }

    /// Whether calls of this process should take their memory here. To know the process takes a system call, so that a call
    /// asks once.
    pub(crate) fn is_of_use(&self) -> bool {
        self.limit.load(Ordering::Relaxed) > 0 && self.is_of_this_process()
    }

    fn is_of_this_process(&self) -> bool {
        self.process.is_some_and(Process::is_current)
    }

    /// Nothing that holds the lock panics.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of so many bytes or up to twice as many, whose bytes are any. Where none is kept that fits, a new one; for which
    /// all others are freed where memory is missing. `None` where it is missing then, too.
    ///
    /// The reserve [is of use](Reserve::is_of_use).
    pub(crate) fn take(&self, len: usize) -> Option<Block> {
        let kept = if len < LEAST_KEPT { None } else { self.lock().take(len) };
        kept.or_else(|| Block::new(len)).or_else(|| {
            drop(self.take_all());
            Block::new(len)
        })
    }

    /// Keeps a block, for which those go that were given back first where they are beyond the limit together. One that is
    /// beyond it alone is freed.
    ///
    /// The reserve [is of use](Reserve::is_of_use).
    pub(crate) fn give(&self, block: Block) {
        let limit = self.limit.load(Ordering::Relaxed);
        if (LEAST_KEPT..=limit).contains(&block.len) {
            let mut beyond = self.lock().give(block, limit);
            while let Some(block) = beyond {
                drop(block);
                beyond = self.take_beyond(limit);
            }
        }
    }

    /// Sets the limit, and frees what is beyond it.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        if self.is_of_this_process() {
            while let Some(block) = self.take_beyond(limit) {
                drop(block);
            }
        }
    }

    // Functions of their own, so that the lock is not held while blocks are freed.

    fn take_beyond(&self, limit: usize) -> Option<Block> {
        self.lock().take_beyond(limit)
    }

    fn take_all(&self) -> Kept {
        mem::take(&mut *self.lock())
    }

    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_of_this_process() { self.lock().bytes } else { 0 }
    }

    /// Frees all blocks that are kept.
    pub(crate) fn release(&self) {
        if self.is_of_this_process() {
            drop(self.take_all());
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // In a forked child the list may be halfway through a change.
        if !self.is_of_this_process() {
            mem::forget(mem::take(self.kept.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

impl Kept {
    /// The smallest block that has so many bytes, and not more than twice as many. Of equal ones the last that was given back,
    /// which is the likeliest to be in a cache.
    fn take(&mut self, len: usize) -> Option<Block> {
        let fits = len..=len.saturating_mul(2);
        let mut found: Option<(usize, usize)> = None;
        for (index, block) in self.blocks.iter().enumerate().rev() {
            if fits.contains(&block.len) && found.is_none_or(|(least, _)| block.len < least) {
                found = Some((block.len, index));
                if block.len == len {
                    break;
                }
            }
        }
        found.map(|(_, index)| self.remove(index))
    }

    /// Keeps a block, and returns one that is beyond the limit then: the one itself where there is no memory to list it.
    fn give(&mut self, block: Block, limit: usize) -> Option<Block> {
        if self.blocks.try_reserve(1).is_err() {
            return Some(block);
        }
        self.bytes += block.len;
        self.blocks.push(block);
        self.take_beyond(limit)
    }

    /// The block that was given back first, where the bytes of all are beyond the limit.
    fn take_beyond(&mut self, limit: usize) -> Option<Block> {
        (self.bytes > limit).then(|| self.remove(0))
    }

    fn remove(&mut self, index: usize) -> Block {
        let block = self.blocks.remove(index);
        self.bytes -= block.len;
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const KIB: usize = 1 << 10;

    fn reserve(limit: usize) -> Reserve {
        let reserve = Reserve::new(limit);
        assert!(reserve.is_of_use());
        reserve
    }

    /// Takes a block of so many bytes for each length, and gives all back; returns where they were.
    fn round(reserve: &Reserve, lens: &[usize]) -> Vec<NonNull<u8>> {
        let blocks: Vec<Block> = lens.iter().map(|&len| reserve.take(len).unwrap()).collect();
        let starts = blocks.iter().map(Block::start).collect();
        for block in blocks {
            reserve.give(block);
        }
        starts
    }

    fn bytes_of(block: &Block) -> &[u8] {
        // SAFETY: the block's bytes are initialised, and nobody writes to them meanwhile.
        unsafe { std::slice::from_raw_parts(block.start().as_ptr(), block.len()) }
    }

    #[test]
    fn new_blocks_are_aligned_and_clear() {
        for len in [1, 63, 64, 65, 4095, 4096, 4097, 100_000, 1 << 22] {
            let block = Block::new(len).unwrap();
            assert!(block.start().as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert_eq!(block.len(), len);
            assert!(bytes_of(&block).iter().all(|&byte| byte == 0));
        }
        assert_eq!(Block::new(0).unwrap().len(), 0);
        assert!(Block::EMPTY.start().as_ptr().addr().is_multiple_of(ALIGNMENT));
    }

    #[test]
    fn more_bytes_than_there_can_be_are_none() {
        for len in [usize::MAX, usize::MAX - ALIGNMENT, isize::MAX as usize, 1 << (usize::BITS - 3)] {
            assert!(Block::new(len).is_none());
            assert!(reserve(1 << 20).take(len).is_none());
        }
    }

    #[test]
    fn what_is_given_back_is_taken_again() {
        let reserve = reserve(1 << 20);
        let lens = [8 * KIB, 100 * KIB, 8 * KIB, 5000];
        let total: usize = lens.iter().sum();
        let mut first = round(&reserve, &lens);
        assert_eq!(reserve.bytes(), total);
        let mut again = round(&reserve, &lens);
        first.sort_unstable();
        again.sort_unstable();
        assert_eq!(first, again);
        assert_eq!(reserve.bytes(), total);
    }

    #[test]
    fn what_is_taken_is_not_kept_meanwhile() {
        let reserve = reserve(1 << 20);
        round(&reserve, &[8 * KIB, 100 * KIB]);
        let block = reserve.take(100 * KIB).unwrap();
        assert_eq!(reserve.bytes(), 8 * KIB);
        let other = reserve.take(100 * KIB).unwrap();
        assert_ne!(block.start(), other.start());
    }

    #[test]
    fn a_block_serves_what_is_no_less_than_half_of_it() {
        let reserve = reserve(1 << 20);
        let kept = round(&reserve, &[100 * KIB])[0];
        for (len, fits) in [(100 * KIB, true), (50 * KIB, true), (50 * KIB - 1, false), (100 * KIB + 1, false)] {
            let block = reserve.take(len).unwrap();
            assert!(block.len() >= len);
            assert_eq!(block.start() == kept, fits, "{len} bytes");
            if fits {
                reserve.give(block);
            }
        }
    }

    #[test]
    fn of_the_blocks_that_fit_the_smallest_is_taken() {
        let reserve = reserve(1 << 20);
        let kept = round(&reserve, &[90 * KIB, 60 * KIB, 100 * KIB, 40 * KIB]);
        assert_eq!(reserve.take(50 * KIB).unwrap().start(), kept[1]);
        assert_eq!(reserve.take(50 * KIB).unwrap().start(), kept[0]);
        assert_eq!(reserve.take(50 * KIB).unwrap().start(), kept[2]);
    }

    #[test]
    fn beyond_the_limit_the_first_blocks_are_freed() {
        let reserve = reserve(100 * KIB);
        let kept = round(&reserve, &[40 * KIB, 30 * KIB, 20 * KIB, 50 * KIB]);
        assert_eq!(reserve.bytes(), 100 * KIB);
        assert_eq!(reserve.take(50 * KIB).unwrap().start(), kept[3]);
        assert_eq!(reserve.take(30 * KIB).unwrap().start(), kept[1]);
        assert_eq!(reserve.bytes(), 20 * KIB);
        // This alone is beyond it, and drives nothing out.
        round(&reserve, &[101 * KIB]);
        assert_eq!(reserve.bytes(), 20 * KIB);
    }

    #[test]
    fn a_lower_limit_frees_what_is_beyond_it() {
        let reserve = reserve(100 * KIB);
        round(&reserve, &[40 * KIB, 30 * KIB, 20 * KIB]);
        reserve.set_limit(55 * KIB);
        assert_eq!(reserve.bytes(), 50 * KIB);
        reserve.set_limit(0);
        assert_eq!(reserve.bytes(), 0);
        assert!(!reserve.is_of_use());
    }

    #[test]
    fn a_limit_of_0_keeps_nothing() {
        let reserve = Reserve::new(0);
        round(&reserve, &[5000, 100 * KIB, 0]);
        assert_eq!(reserve.bytes(), 0);
    }

    #[test]
    fn small_blocks_are_not_kept() {
        let reserve = reserve(1 << 20);
        round(&reserve, &[0, 1, LEAST_KEPT - 1]);
        assert_eq!(reserve.bytes(), 0);
    }

    #[test]
    fn released_memory_is_gone_and_later_blocks_are_kept_again() {
        let reserve = reserve(1 << 20);
        round(&reserve, &[8 * KIB; 3]);
        reserve.release();
        assert_eq!(reserve.bytes(), 0);
        round(&reserve, &[8 * KIB; 3]);
        assert_eq!(reserve.bytes(), 24 * KIB);
    }

    #[test]
    fn where_memory_is_missing_what_is_kept_is_freed() {
        let reserve = reserve(1 << 20);
        round(&reserve, &[8 * KIB; 3]);
        assert!(reserve.take(isize::MAX as usize).is_none());
        assert_eq!(reserve.bytes(), 0);
    }

    #[test]
    fn no_two_threads_have_a_block_at_the_same_time() {
        let reserve = &reserve(300 * KIB);
        thread::scope(|scope| {
            for own in 1..=8_u8 {
                scope.spawn(move || {
                    for round in 0..500 {
                        let lens = [5000, 8 * KIB, (5 + round % 40) * KIB];
                        let blocks = lens.map(|len| reserve.take(len).unwrap());
                        for block in &blocks {
                            // SAFETY: the block is this thread's own.
                            unsafe { block.start().write_bytes(own, block.len()) };
                        }
                        thread::yield_now();
                        for block in blocks {
                            assert!(bytes_of(&block).iter().all(|&byte| byte == own));
                            reserve.give(block);
                        }
                        if own == 1 && round % 100 == 0 {
                            reserve.release();
                        }
                    }
                });
            }
        });
        assert!(reserve.bytes() <= 300 * KIB);
        let kept = reserve.lock();
        assert_eq!(kept.bytes, kept.blocks.iter().map(Block::len).sum::<usize>());
    }
}
