//! What is written of the contributions of a group, and where.

use super::selection::{self, Selection, larger_first};
use crate::axes::{Axes, Dim, Dims, Storage, count};
use crate::dtype::{DType, Element, with_element};
use crate::groups::{Sparse, TopK};
use crate::indices::{IndexType, IndicesMut};
use crate::list::{List, MAX_NDIM};
use crate::memory::try_box;
use crate::tensor::Tensor;
use std::iter::repeat;
use std::ops::Range;

/// Where the results of a group go.
pub(crate) struct Results<'a> {
    contributions: Output<'a>,
    /// So many numbers, of parts `kept` apart, are added for each of the `kept` numbers of which results are made.
    rows: usize,
    kept: usize,
    form: Form<'a>,
}

/// What is written of the numbers of a batch item.
enum Form<'a> {
    /// All.
    All,
    /// The largest, and which they are.
    TopK(Box<ToIndices<'a>>),
    /// Those that are greater than a threshold, and the sum of the others.
    Sparse(Box<ToSparse<'a>>),
}

/// Where indices go.
struct ToIndices<'a> {
    output: Output<'a>,
    index_type: IndexType,
    /// The part axes of the numbers, with strides that give the index of each.
    order: List<Dim>,
}

/// Where all but the contributions goes of those that are greater than a threshold.
struct ToSparse<'a> {
    above: f64,
    indices: ToIndices<'a>,
    counts: ToIndices<'a>,
    left_out: Output<'a>,
}

/// The elements of an output: some for each batch item.
struct Output<'a> {
    data: *mut u8,
    dtype: DType,
    /// All but the last of the axes of one batch item, and the last.
    outer: Dims<'a>,
    extent: usize,
    stride: isize,
    batch: Dims<'a>,
    /// Elements of one batch item.
    count: usize,
}

// SAFETY: the tasks of one call write disjoint elements.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// The elements of a tensor whose axes `own` are those of one batch item: the first or the last ones.
    fn new(tensor: &Tensor<'_>, own: Range<usize>, storage: &mut Storage<'a>) -> Self {
        let ndim = tensor.shape().len();
        let batch = if own.start == 0 { own.end..ndim } else { 0..own.start };
        let dims = tensor.axes.merged(own.clone(), storage).0;
        let (&Dim { extent, stride }, outer) = dims.split_last().unwrap_or((&Dim { extent: 1, stride: 0 }, &[]));
        Output {
            data: tensor.data(),
            dtype: tensor.dtype(),
            outer: Dims(outer),
            extent,
            stride,
            batch: tensor.axes.merged(batch, storage),
            count: count(&tensor.shape()[own]),
        }
    }

    /// Writes numbers to the elements of the batch item with this index.
    ///
    /// # Safety
    /// - The tensor's elements can be written, and nobody else reads or writes those of this batch item meanwhile.
    unsafe fn write(&self, item: usize, numbers: impl Iterator<Item = f64>) {
        with_element!(self.dtype, T => {
            // SAFETY: the same contract, and `T` is the tensor's own type.
            unsafe { self.write_as::<T>(item, numbers.map(T::nearest)) }
        });
    }

    /// Writes as many numbers as a batch item has elements, in the order in which these lie in memory where that is another one.
    ///
    /// # Safety
    /// As [`Output::write`].
    unsafe fn write_all<N: Element>(&self, item: usize, numbers: &[N]) {
        let rows = match *self.outer.0 {
            [Dim { extent, stride }] if stride.unsigned_abs() < self.stride.unsigned_abs() => Some((extent, stride)),
            _ => None,
        };
        let Some((rows, row_stride)) = rows else {
            // SAFETY: the same contract.
            return unsafe { self.write(item, numbers.iter().map(|number| number.to_f64())) };
        };
        with_element!(self.dtype, T => {
            let start = self.data.cast::<T>().wrapping_offset(self.batch.offset(item));
            for index in 0..self.extent {
                let column = start.wrapping_offset(index as isize * self.stride);
                for row in 0..rows {
                    let number = T::nearest(numbers[row * self.extent + index].to_f64());
                    // SAFETY: the indices are inside the tensor's axes, so that the element belongs to the tensor.
                    unsafe { column.wrapping_offset(row as isize * row_stride).write(number) };
                }
            }
        });
    }

    /// Writes elements to those of the batch item with this index.
    ///
    /// # Safety
    /// As [`Output::write`]; and the tensor's elements are as large as a `T`.
    unsafe fn write_as<T>(&self, item: usize, mut elements: impl Iterator<Item = T>) {
        let start = self.data.cast::<T>().wrapping_offset(self.batch.offset(item));
        let mut rows = self.outer.walk_from(0);
        for _ in 0..self.count.checked_div(self.extent).unwrap_or(0) {
            let row = start.wrapping_offset(rows.next_offset());
            for (index, element) in (0..self.extent as isize).zip(&mut elements) {
                // SAFETY: the index is inside the tensor's axes, so that the element belongs to the tensor.
                unsafe { row.wrapping_offset(index * self.stride).write(element) };
            }
        }
    }
}

impl<'a> ToIndices<'a> {
    /// The indices of numbers with these part axes, in the order that they are said to have, go to the axes `own` of each
    /// batch item.
    fn new(indices: &IndicesMut<'_>, own: Range<usize>, kept: &[usize], storage: &mut Storage<'a>) -> Self {
        let order = match indices.order() {
            None => Axes::row_major(kept),
            Some(order) => {
                let in_order = Axes::row_major(&List::from_fn(kept.len(), |axis| kept[order[axis]]));
                let mut axes = Axes { extents: List::new(kept), strides: List::new(&in_order.strides) };
                for (&axis, &stride) in order.iter().zip(in_order.strides.iter()) {
                    axes.strides[axis] = stride;
                }
                axes
            }
        };
        let mut storage_of_order = [Dim::default(); MAX_NDIM];
        let order = order.merged(0..kept.len(), &mut Storage(&mut storage_of_order));
        let output = Output::new(indices.as_tensor(), own, storage);
        ToIndices { output, index_type: indices.index_type(), order: List::new(order.0) }
    }

    /// The index of the number at this place in a row.
    fn index(&self, place: usize) -> usize {
        Dims(&self.order).offset(place) as usize
    }

    /// Writes indices to the elements of the batch item with this index.
    ///
    /// # Safety
    /// As [`Output::write`].
    unsafe fn write(&self, item: usize, indices: impl Iterator<Item = i64>) {
        // SAFETY: the same contract; the elements have the size of their type.
        unsafe {
            match self.index_type {
                IndexType::I32 => self.output.write_as(item, indices.map(|index| index as i32)),
                IndexType::I64 => self.output.write_as(item, indices),
            }
        }
    }
}

impl<'a> Results<'a> {
    /// A result for each part of a group with these part axes: `[p.., v..]`; or for each sum over the first `summed` axes,
    /// which the tensor lacks.
    pub(crate) fn all(out: &Tensor<'_>, parts: &[usize], summed: usize, storage: &mut Storage<'a>) -> Self {
        Self::new(Output::new(out, 0..parts.len() - summed, storage), parts, summed, Form::All)
    }

    /// The largest parts and their indices. `None` without memory.
    pub(crate) fn top_k(out: &TopK<'_>, parts: &[usize], storage: &mut Storage<'a>) -> Option<Self> {
        let contributions = out.contributions.as_tensor();
        let k = contributions.shape().len() - 1;
        let to_indices = ToIndices::new(&out.indices, k..k + 1, &parts[out.summed_axes..], storage);
        let form = Form::TopK(try_box(to_indices)?);
        Some(Self::new(Output::new(contributions, k..k + 1, storage), parts, out.summed_axes, form))
    }

    /// The parts that are greater than a threshold, and what is to be known of the others. `None` without memory.
    pub(crate) fn sparse(out: &Sparse<'_>, parts: &[usize], storage: &mut Storage<'a>) -> Option<Self> {
        let contributions = out.contributions.as_tensor();
        let last = contributions.shape().len() - 1;
        let form = Form::Sparse(try_box(ToSparse {
            above: out.above,
            indices: ToIndices::new(&out.indices, last..last + 1, &parts[out.summed_axes..], storage),
            counts: ToIndices::new(&out.counts, 0..0, &[], storage),
            left_out: Output::new(out.left_out.as_tensor(), 0..0, storage),
        })?);
        Some(Self::new(Output::new(contributions, last..last + 1, storage), parts, out.summed_axes, form))
    }

    fn new(contributions: Output<'a>, parts: &[usize], summed: usize, form: Form<'a>) -> Self {
        let (summed, kept) = parts.split_at(summed);
        Results { contributions, rows: count(summed), kept: count(kept), form }
    }

    /// Whether there are results even of no parts: sums, which are 0 then, and how many are greater than a threshold.
    pub(super) fn are_of_no_parts(&self) -> bool {
        matches!(self.form, Form::Sparse(_)) || self.contributions.count > 0
    }

    /// How many candidates writing needs memory for.
    pub(super) fn candidates(&self) -> usize {
        match self.form {
            Form::TopK(_) | Form::Sparse(_) if self.rows > 0 => {
                selection::candidates(self.contributions.count, self.kept)
            }
            _ => 0,
        }
    }

    /// Writes the contributions of the group's parts to the whole with this index. Sums take the place of the first of them.
    /// `candidates` has at least as many slots as [`Results::candidates`] says.
    ///
    /// # Safety
    /// - The outputs can be written, and nobody else reads or writes what belongs to this batch item meanwhile.
    pub(super) unsafe fn write<T: Element>(&self, item: usize, contributions: &mut [T], candidates: &mut [usize]) {
        // SAFETY: the same contract.
        unsafe {
            if self.rows == 0 {
                self.write_zeros(item);
            } else {
                self.write_numbers(item, add_rows(contributions, self.kept), candidates);
            }
        }
    }

    /// Writes what is wanted of sums over no parts. There may be more of them than memory has room for.
    ///
    /// # Safety
    /// As [`Results::write`].
    unsafe fn write_zeros(&self, item: usize) {
        // SAFETY: the same contract.
        unsafe {
            self.contributions.write(item, repeat(0.0));
            match &self.form {
                Form::All => {}
                Form::TopK(indices) => indices.write(item, 0..),
                Form::Sparse(to) => {
                    let count = if 0.0 > to.above { self.kept as i64 } else { 0 };
                    to.indices.write(item, (0..count).chain(repeat(-1)));
                    to.counts.write(item, repeat(count));
                    to.left_out.write(item, repeat(0.0));
                }
            }
        }
    }

    /// Writes what is wanted of `kept` numbers.
    ///
    /// # Safety
    /// As [`Results::write`].
    unsafe fn write_numbers<T: Element>(&self, item: usize, numbers: &[T], candidates: &mut [usize]) {
        let number = |&place: &usize| numbers[place].to_f64();
        let room = self.contributions.count;
        let candidates = &mut candidates[..self.candidates()];
        match &self.form {
            Form::All => {
                // SAFETY: the same contract.
                unsafe { self.contributions.write_all(item, numbers) };
            }
            Form::TopK(indices) => {
                let index = |place| indices.index(place);
                // All are NaN, or none.
                if numbers.first().is_some_and(|first| first.to_f64().is_nan()) {
                    // SAFETY: the same contract.
                    unsafe {
                        self.contributions.write(item, repeat(f64::NAN));
                        indices.write(item, 0..);
                    }
                    return;
                }
                let largest = Selection::new(numbers, f64::NEG_INFINITY, room, index, candidates).chosen;
                largest.sort_unstable_by(larger_first(numbers, index));
                // SAFETY: the same contract.
                unsafe {
                    self.contributions.write(item, largest.iter().map(number));
                    indices.write(item, largest.iter().map(|&place| index(place) as i64));
                }
            }
            Form::Sparse(to) => {
                let index = |&place: &usize| to.indices.index(place);
                let selection = Selection::new(numbers, to.above, room, |place| index(&place), candidates);
                let (count, left_out) = (selection.count(), selection.left_out());
                let chosen = selection.chosen;
                chosen.sort_unstable_by_key(index);
                // SAFETY: the same contract.
                unsafe {
                    self.contributions.write(item, chosen.iter().map(number).chain(repeat(0.0)));
                    to.indices.write(item, chosen.iter().map(|place| index(place) as i64).chain(repeat(-1)));
                    to.counts.write(item, repeat(count as i64));
                    to.left_out.write(item, repeat(left_out));
                }
            }
        }
    }
}

/// The sums of numbers that are `kept` apart, in place of the first of them.
fn add_rows<T: Element>(numbers: &mut [T], kept: usize) -> &[T] {
    let (sums, others) = numbers.split_at_mut(kept);
    for row in others.chunks_exact(kept.max(1)) {
        for (sum, number) in sums.iter_mut().zip(row) {
            *sum = T::nearest(sum.to_f64() + number.to_f64());
        }
    }
    sums
}
