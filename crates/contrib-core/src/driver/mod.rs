//! From groups of parts to their contributions: which vectors are read when, and on which thread.
//!
//! [`run`] goes through the batch entries; [`entry`] knows the formula of one whole, [`surplus`] how a part is measured
//! beside it; [`totals`] brings tiles of parts to the kernels; [`pack`] copies what does not lie contiguous. Everything that is handed in was checked.

mod entry;
mod pack;
mod route;
mod surplus;
mod totals;

use crate::axes::Axes;
use crate::context::{Context, Threads};
use crate::dtype::DType;
use crate::error::{Argument, Cause, Error};
use crate::floating_point::DefaultSettings;
use crate::options::Options;
use crate::tensor::Tensor;
use entry::Entry;
use route::Route;
use std::slice;
use surplus::Routes;

/// Vectors of one length, with their axes of parts and of batch entries.
#[derive(Clone, Copy)]
struct Vectors {
    data: *const u8,
    dtype: DType,
    parts: Axes,
    batch: Axes,
    /// Elements of one vector, and the step between them.
    len: usize,
    stride: isize,
}

/// Where the results of a group go: an element for each part and batch entry.
#[derive(Clone, Copy)]
struct Results {
    data: *mut u8,
    dtype: DType,
    parts: Axes,
    batch: Axes,
}

/// One group of parts and the place of its results.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    vectors: Vectors,
    results: Results,
    count: usize,
    routes: Routes,
}

// SAFETY: the pointers come from views whose elements may be read (or, for results, written) for as long as the call
// lasts, from any thread; the tasks of one call write disjoint elements.
unsafe impl Sync for Group {}
// SAFETY: as above.
unsafe impl Send for Group {}

/// A whole for each batch entry.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    vectors: Vectors,
    batch_axes: usize,
    entries: usize,
    /// To the wholes' own norms.
    to_norm: Route,
    /// To the distances of zero vectors from the wholes, which are the norms of prepared wholes.
    of_prepared: Route,
}

// SAFETY: as for `Group`; wholes are only read.
unsafe impl Sync for Whole {}
// SAFETY: as above.
unsafe impl Send for Whole {}

impl Vectors {
    /// Splits the axes of `[p.., v.., d]` after the first `part_axes`.
    fn new(tensor: &Tensor<'_>, part_axes: usize) -> Self {
        let last = tensor.shape().len() - 1;
        Vectors {
            data: tensor.data(),
            dtype: tensor.dtype(),
            parts: tensor.axes.range(0, part_axes).merged(),
            batch: tensor.axes.range(part_axes, last).merged(),
            len: tensor.shape()[last],
            stride: tensor.strides()[last],
        }
    }

    /// One vector of zeros.
    fn zero(len: usize) -> Self {
        static ZERO: f64 = 0.0;
        let none = Axes::row_major(&[]);
        Vectors { data: (&raw const ZERO).cast(), dtype: DType::F64, parts: none, batch: none, len, stride: 0 }
    }

    /// Whether a vector's elements lie one after the other.
    fn is_contiguous(&self) -> bool {
        self.stride == 1 || self.len == 1
    }

    /// How many parts from `first` on lie side by side, element by element: at most as many as their last axis has.
    fn neighbours(&self, first: usize) -> usize {
        match (self.parts.extents.last(), self.parts.strides.last()) {
            (Some(&extent), Some(1)) if extent > 0 => extent - first % extent,
            _ => 1,
        }
    }

    /// How many parts a task measures, where one whole has enough of them to share out: about as many as are worth it, and
    /// no fewer of those that lie side by side than do.
    fn parts_a_task(&self) -> usize {
        let side_by_side = self.neighbours(0);
        if side_by_side < PARTS_A_TASK { PARTS_A_TASK / side_by_side * side_by_side } else { PARTS_A_TASK }
    }
}

impl Whole {
    /// The wholes of a tensor `[v.., d]`.
    pub(crate) fn new(whole: &Tensor<'_>, options: &Options<'_>) -> Self {
        let vectors = Vectors::new(whole, 0);
        let batch_axes = whole.shape().len() - 1;
        Whole {
            vectors,
            batch_axes,
            entries: whole.axes.range(0, batch_axes).count(),
            to_norm: Route::to_distances(options, vectors.dtype, vectors.dtype),
            of_prepared: Route::to_distances(options, DType::F64, vectors.dtype),
        }
    }
}

impl Group {
    /// The group of dense parts `[p.., v.., d]`, with results `[p.., v..]`, of wholes `[v.., d]`. `out` is the view of a
    /// `TensorMut`.
    pub(crate) fn dense(parts: &Tensor<'_>, out: &Tensor<'_>, whole: &Whole, options: &Options<'_>) -> Self {
        let part_axes = out.shape().len() - whole.batch_axes;
        let vectors = Vectors::new(parts, part_axes);
        Group {
            vectors,
            results: Results {
                data: out.data(),
                dtype: out.dtype(),
                parts: out.axes.range(0, part_axes).merged(),
                batch: out.axes.range(part_axes, out.shape().len()).merged(),
            },
            count: out.axes.range(0, part_axes).count(),
            routes: Routes {
                to_distances: Route::to_distances(options, vectors.dtype, whole.vectors.dtype),
                to_gains: Route::to_gains(options, vectors.dtype, whole.vectors.dtype),
            },
        }
    }
}

/// Parts that one task measures where one whole has enough of them to share out.
const PARTS_A_TASK: usize = 128;

/// The surpluses of so few parts are kept on the stack.
const STACK_SURPLUSES: usize = 256;

/// Computes the contributions of all groups to all wholes and writes them out.
///
/// # Errors
/// [`Cause::OutOfMemory`], before anything is written.
pub(crate) fn run(whole: &Whole, groups: &[Group], context: Option<&Context>) -> Result<(), Error> {
    if whole.entries == 0 {
        return Ok(());
    }
    let parts: usize = groups.iter().map(|group| group.count).sum();
    if parts == 0 {
        return Ok(());
    }
    let entry = Entry::new(whole, groups);
    let work = whole.entries.saturating_mul(parts).saturating_mul(whole.vectors.len.max(1));
    let threads = Threads::for_work(work, context);
    // Either every thread takes whole batch entries, or all threads share the parts of one entry after the other.
    let share_parts = whole.entries < 4 * threads.count() && parts > PARTS_A_TASK;
    let slots = if share_parts { 1 } else { threads.count() };

    let room = slots.saturating_mul(parts);

    if room <= STACK_SURPLUSES {
        spread(&entry, whole.entries, parts, threads, share_parts, &mut [0.0; STACK_SURPLUSES]);
    } else {
        let mut surpluses = Vec::new();
        if surpluses.try_reserve_exact(room).is_err() {
            let cause = Cause::OutOfMemory { bytes: room.saturating_mul(size_of::<f64>()) };
            return Err(Error::new(Argument::named("contributions"), cause));
        }
        surpluses.resize(room, 0.0);
        spread(&entry, whole.entries, parts, threads, share_parts, &mut surpluses);
    }
    Ok(())
}

/// Goes through the batch entries, with room for a number a part in `surpluses` for each slot of the threads.
fn spread(
    entry: &Entry<'_>,
    entries: usize,
    parts: usize,
    threads: Threads<'_>,
    share_parts: bool,
    surpluses: &mut [f64],
) {
    let _settings = DefaultSettings::enter();
    if share_parts {
        for index in 0..entries {
            entry.contributions(index, threads, &mut surpluses[..parts]);
        }
        return;
    }
    let slots = Slots::new(surpluses, parts);
    threads.for_each(entries, |slot, index| {
        // SAFETY: no other task has this slot now, and `surpluses` outlives all the tasks.
        let surpluses = unsafe { slots.slot(slot) };
        entry.contributions(index, Threads::Inline, surpluses);
    });
}

/// A buffer cut into pieces, for tasks that run at the same time.
#[derive(Clone, Copy)]
struct Slots {
    data: *mut f64,
    total: usize,
    len: usize,
}

// SAFETY: who takes a slot vouches that it is the only one to have it.
unsafe impl Sync for Slots {}

impl Slots {
    /// Pieces of `len` numbers; the last one may be shorter.
    fn new(buffer: &mut [f64], len: usize) -> Self {
        Slots { data: buffer.as_mut_ptr(), total: buffer.len(), len }
    }

    /// The piece with this number.
    ///
    /// # Safety
    /// The buffer outlives the slice, and nobody else has this piece meanwhile.
    unsafe fn slot<'a>(self, number: usize) -> &'a mut [f64] {
        let start = number * self.len;
        assert!(start < self.total, "there is no slot {number}");
        // SAFETY: the piece lies inside the buffer, and the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.data.add(start), self.len.min(self.total - start)) }
    }
}
