//! What is written of the contributions of a group, and where.

use crate::axes::{Axes, count};
use crate::dtype::{DType, Element, with_element};
use crate::indices::IndexType;
use crate::memory::try_box;
use crate::tensor::Tensor;
use std::ops::Range;

/// Where the results of a group go.
pub(crate) struct Results {
    contributions: Output,
    form: Form,
}

/// What is written.
enum Form {
    /// A number for each part.
    Each,
    /// So many numbers, of parts one row of results apart, are added for each result.
    Sums(usize),
    /// The largest, and which parts they are.
    TopK(Box<Output>, IndexType),
}

/// The elements of an output: some for each batch item.
struct Output {
    data: *mut u8,
    dtype: DType,
    /// All but the last of the axes of one batch item, and the last.
    outer: Axes,
    extent: usize,
    stride: isize,
    batch: Axes,
    /// Elements of one batch item.
    count: usize,
}

// SAFETY: the tasks of one call write disjoint elements.
unsafe impl Sync for Output {}

impl Output {
    /// The elements of a tensor whose axes `own` are those of one batch item: the first or the last ones.
    fn new(tensor: &Tensor<'_>, own: Range<usize>) -> Self {
        let ndim = tensor.shape().len();
        let batch = if own.start == 0 { own.end..ndim } else { 0..own.start };
        let mut outer = tensor.axes.merged(own.clone());
        let (extent, stride) = outer.pop().unwrap_or((1, 0));
        Output {
            data: tensor.data(),
            dtype: tensor.dtype(),
            outer,
            extent,
            stride,
            batch: tensor.axes.merged(batch),
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
            unsafe { self.write_as::<T>(item, numbers.map(T::from_f64)) }
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

impl Results {
    /// A result for each part: `[p.., v..]`, with so many part axes.
    pub(crate) fn each(out: &Tensor<'_>, part_axes: usize) -> Self {
        Results { contributions: Output::new(out, 0..part_axes), form: Form::Each }
    }

    /// Sums over leading part axes, of `rows` parts together, of which the other `kept` axes remain.
    pub(crate) fn sums(out: &Tensor<'_>, kept: usize, rows: usize) -> Self {
        Results { contributions: Output::new(out, 0..kept), form: Form::Sums(rows) }
    }

    /// The largest parts: `[v.., k]`, and their indices, which are seen as a tensor of elements of the same size.
    /// `None` without memory.
    pub(crate) fn top_k(out: &Tensor<'_>, indices: &Tensor<'_>, index_type: IndexType) -> Option<Self> {
        let k = out.shape().len() - 1;
        let output = |tensor: &Tensor<'_>| Output::new(tensor, k..k + 1);
        let form = Form::TopK(try_box(output(indices))?, index_type);
        Some(Results { contributions: output(out), form })
    }

    /// Whether there are results even of no parts: sums, which are 0 then.
    pub(super) fn are_of_no_parts(&self) -> bool {
        matches!(self.form, Form::Sums(_)) && self.contributions.count > 0
    }

    /// Whether writing needs an index for each part.
    pub(super) fn needs_indices(&self) -> bool {
        matches!(self.form, Form::TopK(..))
    }

    /// Writes the contributions of the group's parts to the whole with this index. `indices` has a number for each part,
    /// where they are needed.
    ///
    /// # Safety
    /// - The outputs can be written, and nobody else reads or writes what belongs to this batch item meanwhile.
    pub(super) unsafe fn write(&self, item: usize, contributions: &[f64], indices: &mut [usize]) {
        match &self.form {
            Form::Each => {
                // SAFETY: the same contract.
                unsafe { self.contributions.write(item, contributions.iter().copied()) };
            }
            &Form::Sums(rows) => {
                let kept = self.contributions.count;
                let sums = (0..kept).map(|column| {
                    let of_column = (0..rows).map(|row| contributions[row * kept + column]);
                    of_column.fold(0.0, |sum, own| sum + own)
                });
                // SAFETY: the same contract.
                unsafe { self.contributions.write(item, sums) };
            }
            Form::TopK(to_indices, index_type) => {
                let k = self.contributions.count;
                let largest = top_k(contributions, k, &mut indices[..contributions.len()]);
                // SAFETY: the same contract; the indices have elements of their type's size.
                unsafe {
                    self.contributions.write(item, largest.iter().map(|&part| contributions[part]));
                    match *index_type {
                        IndexType::I32 => to_indices.write_as(item, largest.iter().map(|&part| part as i32)),
                        IndexType::I64 => to_indices.write_as(item, largest.iter().map(|&part| part as i64)),
                    }
                }
            }
        }
    }
}

/// Puts the indices of the `k` largest numbers at the beginning of `indices`, the largest first, and of equal ones the first;
/// where they are NaN, those of the first. All are NaN, or none.
fn top_k<'a>(numbers: &[f64], k: usize, indices: &'a mut [usize]) -> &'a [usize] {
    indices.iter_mut().enumerate().for_each(|(number, index)| *index = number);
    if k > 0 && !numbers[0].is_nan() {
        let larger_first = |&a: &usize, &b: &usize| numbers[b].total_cmp(&numbers[a]).then(a.cmp(&b));
        indices.select_nth_unstable_by(k - 1, larger_first);
        indices[..k].sort_unstable_by(larger_first);
    }
    &indices[..k]
}
