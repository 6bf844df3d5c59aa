//! The wholes of a block, prepared once for all parts of all groups.

use super::kernels::Kernels;
use crate::context::threads::Threads;
use crate::dispatch::Arithmetic;
use crate::driver::memory::{Buffer, Shared, WorkingMemory};
use crate::driver::pack::pack;
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::excess::{Buckets, SortedElement};
use crate::kernels::prepare::PrepareArguments;
use crate::lanes::{Line, lines};
use crate::norm::Reduction;
use std::slice;

/// What the kernels need to know of some wholes.
pub(super) struct Wholes<'m, N> {
    reduction: Reduction,
    len: usize,
    /// What is multiplied with directions: in the 1-norm the signs of the prepared whole, as 1 or -1; in the 2-norm twice the
    /// prepared whole.
    factors: Buffer<'m, Line<N>>,
    /// In the 1-norm: the elements of the prepared whole, sorted by magnitude.
    sorted: Buffer<'m, SortedElement<N>>,
    buckets: Buffer<'m, Buckets>,
    /// Wholes whose elements are not contiguous are packed here, one for each slot of the threads.
    packed: Buffer<'m, Line<f64>>,
}

/// One whole.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a, N> {
    pub(super) sorted: &'a [SortedElement<N>],
    pub(super) buckets: Option<&'a Buckets>,
}

impl<'m, N: Arithmetic> Wholes<'m, N> {
    /// Memory for `count` wholes of `len` elements.
    pub(super) fn new(
        reduction: Reduction,
        vectors: &Vectors<'_>,
        count: usize,
        threads: Threads<'_>,
        memory: WorkingMemory<'m>,
    ) -> Result<Self, Error> {
        let len = vectors.len;
        let sorted = if reduction == Reduction::Magnitudes { count } else { 0 };
        let packed = if vectors.is_contiguous() { 0 } else { threads.count() };
        Ok(Wholes {
            reduction,
            len,
            factors: memory.vectors(count, len)?,
            sorted: memory.unset(sorted * len)?,
            buckets: memory.unset(sorted)?,
            packed: memory.unset(packed * lines(len))?,
        })
    }

    /// Bytes of one whole.
    pub(super) fn bytes_of_one(reduction: Reduction, len: usize) -> usize {
        let factors = lines(len) * size_of::<Line<N>>();
        match reduction {
            Reduction::Magnitudes => factors + len * size_of::<SortedElement<N>>() + size_of::<Buckets>(),
            Reduction::Squares => factors,
        }
    }

    /// Prepares the wholes from `first` on, as many as `count`.
    pub(super) fn prepare(
        &mut self,
        kernels: &Kernels<N>,
        vectors: &Vectors<'_>,
        (first, count): (usize, usize),
        threads: Threads<'_>,
    ) {
        let (len, lines, reduction) = (self.len, lines(self.len), self.reduction);
        let of_magnitudes = usize::from(reduction == Reduction::Magnitudes);
        let factor = if reduction == Reduction::Squares { 2.0 } else { 1.0 };
        let (factors, sorted) = (Shared::new(&mut self.factors), Shared::new(&mut self.sorted));
        let (buckets, packed) = (Shared::new(&mut self.buckets), Shared::new(&mut self.packed));
        threads.for_step(count * len).for_each(count, |slot, number| {
            let mut whole = vectors.start(first + number);
            // SAFETY: each number comes once, and no two tasks at a time have the same slot.
            let (factors, sorted, buckets) = unsafe {
                (
                    factors.piece(number, lines),
                    sorted.piece(number, of_magnitudes * len),
                    buckets.piece(number, of_magnitudes),
                )
            };
            if !vectors.is_contiguous() {
                // SAFETY: the vector can be read, and there are enough lines of `f64` for elements of any type.
                whole = unsafe {
                    let packed: *mut u8 = packed.piece(slot, lines).as_mut_ptr().cast();
                    pack(vectors.dtype.size(), &[whole], vectors.stride, len, packed);
                    packed
                };
            }
            let prepared = factors.as_mut_ptr().cast::<N>();
            // SAFETY: the vector can be read, and there are enough lines for it.
            let prepared = unsafe {
                (kernels.prepare)(PrepareArguments { whole, len, factor, prepared: prepared.cast() });
                slice::from_raw_parts_mut(prepared, len)
            };
            if let [buckets] = buckets {
                buckets.sort(prepared, sorted);
                for number in prepared {
                    *number = if number.is_sign_negative() { N::of(-1.0) } else { N::of(1.0) };
                }
            }
        });
    }

    /// The whole with this number in the block.
    pub(super) fn get(&self, number: usize) -> Whole<'_, N> {
        let of_magnitudes = self.reduction == Reduction::Magnitudes;
        let sorted = if of_magnitudes { &self.sorted[number * self.len..][..self.len] } else { &[] };
        Whole { sorted, buckets: self.buckets.get(number) }
    }

    /// The factors of the whole with this number.
    pub(super) fn factors(&self, number: usize) -> *const N {
        let lines = lines(self.len);
        self.factors[number * lines..][..lines].as_ptr().cast()
    }
}
