//! From groups of parts to their contributions: which vectors are read when, and on which thread.
//!
//! [`run`] goes through the batch entries, one at a time where all parts are dense ([`entry`]), and some at a time where
//! parts are factored ([`factored`]). [`entry`] knows the formula of one whole, [`surplus`] how a part is
//! measured beside it; [`totals`] brings tiles of dense parts to the kernels; [`pack`] copies what does not lie
//! contiguous; [`results`] writes. Everything that is handed in was checked.

mod entry;
mod factored;
mod pack;
mod results;
mod route;
mod surplus;
mod totals;

pub(crate) use factored::FactoredTensors;
pub(crate) use results::Results;

use crate::axes::{Axes, count};
use crate::context::Threads;
use crate::dtype::DType;
use crate::error::{Argument, Cause, Error};
use crate::floating_point::DefaultSettings;
use crate::options::Options;
use crate::tensor::Tensor;
use entry::Entry;
use factored::FactoredParts;
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

// SAFETY: vectors are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Vectors {}

/// One group of parts and the place of its results.
pub(crate) struct PlannedGroup {
    parts: PlannedParts,
    results: Results,
    count: usize,
}

/// The parts of a group. Dense ones need no heap, and factored ones no room on a stack where all are dense.
enum PlannedParts {
    Dense(DenseParts),
    Factored(Box<FactoredParts>),
}

/// Parts that are given as they are.
struct DenseParts {
    vectors: Vectors,
    routes: Routes,
}

/// A whole for each batch entry.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    vectors: Vectors,
    entries: usize,
    /// To the wholes' own norms.
    to_norm: Route,
    /// To the distances of zero vectors from the wholes, which are the norms of prepared wholes.
    of_prepared: Route,
}

impl Vectors {
    /// Splits the axes of `[p.., v.., d]` after the first `part_axes`.
    fn new(tensor: &Tensor<'_>, part_axes: usize) -> Self {
        let last = tensor.shape().len() - 1;
        Vectors {
            data: tensor.data(),
            dtype: tensor.dtype(),
            parts: tensor.axes.merged(0..part_axes),
            batch: tensor.axes.merged(part_axes..last),
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

    /// So many vectors, of whose elements those of the same index are together.
    fn panel(numbers: &[f64], count: usize) -> Self {
        let parts = Axes::row_major(&[count]);
        let (len, stride) = (numbers.len() / count, count as isize);
        Vectors { data: numbers.as_ptr().cast(), parts, len, stride, ..Self::zero(0) }
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
            entries: count(&whole.shape()[..batch_axes]),
            to_norm: Route::to_distances(options, vectors.dtype, vectors.dtype),
            of_prepared: Route::to_distances(options, DType::F64, vectors.dtype),
        }
    }
}

impl PlannedGroup {
    /// The group of dense parts `[p.., v.., d]`, with so many part axes, of wholes `[v.., d]`.
    pub(crate) fn dense(
        parts: &Tensor<'_>,
        part_axes: usize,
        results: Results,
        whole: &Whole,
        options: &Options<'_>,
    ) -> Self {
        let vectors = Vectors::new(parts, part_axes);
        let routes = Routes {
            to_distances: Route::to_distances(options, vectors.dtype, whole.vectors.dtype),
            to_gains: Route::to_gains(options, vectors.dtype, whole.vectors.dtype),
        };
        let count = count(&parts.shape()[..part_axes]);
        PlannedGroup { parts: PlannedParts::Dense(DenseParts { vectors, routes }), results, count }
    }

    /// The group of factored parts whose coefficients are `[p.., v..]`, with so many part axes, of wholes `[v.., d]`.
    pub(crate) fn factored(
        tensors: &FactoredTensors<'_>,
        part_axes: usize,
        results: Results,
        whole: &Whole,
        options: &Options<'_>,
    ) -> Self {
        let count = count(&tensors.coefficients.shape()[..part_axes]);
        let parts = FactoredParts::new(tensors, part_axes, &whole.vectors, options);
        PlannedGroup { parts: PlannedParts::Factored(Box::new(parts)), results, count }
    }
}

/// Parts that one task measures where one whole has enough of them to share out.
const PARTS_A_TASK: usize = 128;

/// How many wholes take as long beside factored parts as those take to be read.
const FACTORED: usize = 16;

/// The proximities of so few parts are kept on the stack.
const STACK_PROXIMITIES: usize = 256;

/// Computes the contributions of all groups to all wholes and writes them out.
///
/// # Errors
/// [`Cause::OutOfMemory`], before anything is written.
pub(crate) fn run(whole: &Whole, groups: &[PlannedGroup], options: &Options<'_>) -> Result<(), Error> {
    let Some(parts) = groups.iter().try_fold(0_usize, |parts, group| parts.checked_add(group.count)) else {
        return Err(out_of_memory(usize::MAX));
    };
    let entry = Entry::new(whole, groups, options.threshold);
    if parts == 0 && groups.iter().any(|group| group.results.are_sums()) {
        // Sums over no parts, of which there is an element for each entry; other results have no elements.
        (0..whole.entries).for_each(|index| entry.write(index, &mut [], &mut []));
    }
    if whole.entries == 0 || parts == 0 {
        return Ok(());
    }
    let of_one = parts.saturating_mul(whole.vectors.len.max(1));
    if groups.iter().any(|group| matches!(group.parts, PlannedParts::Factored(_))) {
        let work = of_one.saturating_mul((whole.entries / FACTORED).max(1));
        let threads = Threads::for_work(work, options.context);
        return factored::chunk::run(&entry, parts, threads);
    }
    let threads = Threads::for_work(of_one.saturating_mul(whole.entries), options.context);
    // Either every thread takes whole batch entries, or all threads share the parts of one entry after the other.
    let share_parts = whole.entries < 4 * threads.count() && parts > PARTS_A_TASK;
    let slots = if share_parts { 1 } else { threads.count() };
    let room = slots.saturating_mul(parts);
    let mut indices = room_for_indices(groups, room)?;
    if room <= STACK_PROXIMITIES {
        let proximities = &mut [0.0; STACK_PROXIMITIES][..room];
        spread(&entry, parts, threads, share_parts, proximities, &mut indices);
    } else {
        spread(&entry, parts, threads, share_parts, &mut buffer(room, 0.0)?, &mut indices);
    }
    Ok(())
}

/// Room for as many indices, where a group needs them.
fn room_for_indices(groups: &[PlannedGroup], room: usize) -> Result<Vec<usize>, Error> {
    buffer(if groups.iter().any(|group| group.results.needs_indices()) { room } else { 0 }, 0)
}

fn out_of_memory(bytes: usize) -> Error {
    Error::new(Argument::named("contributions"), Cause::OutOfMemory { bytes })
}

/// Working memory for so many values, or an error.
fn buffer<T: Clone>(len: usize, value: T) -> Result<Vec<T>, Error> {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(len).is_err() {
        return Err(out_of_memory(len.saturating_mul(size_of::<T>())));
    }
    buffer.resize(len, value);
    Ok(buffer)
}

/// Goes through the batch entries, with room for a number a part in `proximities`, and an index in `indices`, for each slot
/// of the threads.
fn spread(
    entry: &Entry<'_>,
    parts: usize,
    threads: Threads<'_>,
    share_parts: bool,
    proximities: &mut [f64],
    indices: &mut [usize],
) {
    let _settings = DefaultSettings::enter();
    if share_parts {
        for index in 0..entry.whole.entries {
            entry.contributions(index, threads, proximities, indices);
        }
        return;
    }
    let (proximities, indices) = (Slots::new(proximities, parts), Slots::new(indices, parts));
    threads.for_each(entry.whole.entries, |slot, index| {
        // SAFETY: no other task has this slot now, and the buffers outlive all the tasks.
        let (proximities, indices) = unsafe { (proximities.slot(slot), indices.slot_or_none(slot)) };
        entry.contributions(index, Threads::Inline, proximities, indices);
    });
}

/// A buffer cut into pieces, for tasks that run at the same time.
#[derive(Clone, Copy)]
struct Slots<T> {
    data: *mut T,
    total: usize,
    len: usize,
}

// SAFETY: who takes a slot vouches that it is the only one to have it.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// Pieces of `len` values; the last one may be shorter.
    fn new(buffer: &mut [T], len: usize) -> Self {
        Slots { data: buffer.as_mut_ptr(), total: buffer.len(), len }
    }

    /// Where the piece with this number begins.
    fn pointer(&self, number: usize) -> *mut T {
        assert!(number * self.len < self.total, "there is no slot {number}");
        self.data.wrapping_add(number * self.len)
    }

    /// The piece with this number.
    ///
    /// # Safety
    /// The buffer outlives the slice, and nobody else has this piece meanwhile.
    unsafe fn slot<'a>(&self, number: usize) -> &'a mut [T] {
        let len = self.len.min(self.total - number * self.len);
        // SAFETY: the piece lies inside the buffer, and the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.pointer(number), len) }
    }

    /// The piece with this number, or nothing where the buffer is empty.
    ///
    /// # Safety
    /// As [`Slots::slot`].
    unsafe fn slot_or_none<'a>(&self, number: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        if self.total == 0 { &mut [] } else { unsafe { self.slot(number) } }
    }
}
