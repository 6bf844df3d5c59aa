//! What is written of the contributions of a group, and where.

use crate::axes::{Axes, count};
use crate::dtype::{DType, Element, with_element};
use crate::indices::IndexType;
use crate::tensor::Tensor;

/// Where the results of a group go.
pub(crate) struct Results {
    place: Place,
    form: Form,
}

/// What is written.
enum Form {
    /// A number for each part.
    Each,
    /// So many numbers, of parts one row of results apart, are added for each result.
    Sums(usize),
    /// The largest, and which parts they are.
    Strongest(Box<Place>, IndexType),
}

/// The elements of an output: some for each batch entry.
struct Place {
    data: *mut u8,
    dtype: DType,
    /// Of one batch entry.
    own: Axes,
    batch: Axes,
    /// Elements of one batch entry.
    count: usize,
}

// SAFETY: the tasks of one call write disjoint elements.
unsafe impl Sync for Place {}

impl Place {
    /// The elements of a tensor whose axes `own` are those of one batch entry.
    fn new(tensor: &Tensor<'_>, own: std::ops::Range<usize>) -> Self {
        let ndim = tensor.shape().len();
        let batch = if own.start == 0 { own.end..ndim } else { 0..own.start };
        Place {
            data: tensor.data(),
            dtype: tensor.dtype(),
            count: count(&tensor.shape()[own.clone()]),
            own: tensor.axes.merged(own),
            batch: tensor.axes.merged(batch),
        }
    }

    /// Writes numbers to the elements of the batch entry with this index.
    ///
    /// # Safety
    /// Nobody else reads or writes those elements meanwhile, and the tensor's promises hold.
    unsafe fn write(&self, index: usize, numbers: impl Iterator<Item = f64>) {
        with_element!(self.dtype, T => {
            // SAFETY: the caller's promise.
            unsafe { self.write_as::<T>(index, numbers.map(T::from_f64)) }
        });
    }

    /// Writes elements to those of the batch entry with this index.
    ///
    /// # Safety
    /// As [`Place::write`], and the tensor's elements are as large as a `T`.
    unsafe fn write_as<T>(&self, index: usize, elements: impl Iterator<Item = T>) {
        let mut walk = self.own.walk_from(0);
        let start = self.data.cast::<T>().wrapping_offset(self.batch.offset(index));
        for element in elements.take(self.count) {
            // SAFETY: the element belongs to the output's view; the caller's promise.
            unsafe { start.wrapping_offset(walk.next_offset()).write(element) };
        }
    }
}

impl Results {
    /// A result for each part: `[p.., v..]`, with so many part axes.
    pub(crate) fn each(out: &Tensor<'_>, part_axes: usize) -> Self {
        Results { place: Place::new(out, 0..part_axes), form: Form::Each }
    }

    /// Sums over leading part axes, of `rows` parts together, of which the other `kept` axes remain.
    pub(crate) fn sums(out: &Tensor<'_>, kept: usize, rows: usize) -> Self {
        Results { place: Place::new(out, 0..kept), form: Form::Sums(rows) }
    }

    /// The strongest parts: `[v.., k]`, and their indices. The latter are seen as a tensor of elements of the same size.
    pub(crate) fn strongest(out: &Tensor<'_>, indices: &Tensor<'_>, index_type: IndexType) -> Self {
        let k = out.shape().len() - 1;
        let place = |tensor: &Tensor<'_>| Place::new(tensor, k..k + 1);
        Results { place: place(out), form: Form::Strongest(Box::new(place(indices)), index_type) }
    }

    /// Whether writing needs room for an index of each part.
    pub(super) fn needs_indices(&self) -> bool {
        matches!(self.form, Form::Strongest(..))
    }

    /// Whether there are results even of no parts.
    pub(super) fn are_sums(&self) -> bool {
        matches!(self.form, Form::Sums(_)) && self.place.count > 0
    }

    /// Writes the contributions of the group's parts to the whole with this index: `contribution` of each proximity, which
    /// takes its place.
    /// `indices` has room for an index a part, where they are needed.
    ///
    /// # Safety
    /// Nobody else reads or writes the results of this index meanwhile, and the promises of the outputs' views hold.
    pub(super) unsafe fn write(
        &self,
        index: usize,
        proximities: &mut [f64],
        indices: &mut [usize],
        contribution: impl Fn(f64) -> f64,
    ) {
        for proximity in &mut *proximities {
            *proximity = contribution(*proximity);
        }
        let contributions = proximities;
        match &self.form {
            Form::Each => {
                // SAFETY: the caller's promise.
                unsafe { self.place.write(index, contributions.iter().copied()) };
            }
            &Form::Sums(rows) => {
                let kept = self.place.count;
                let sums = (0..kept).map(|column| {
                    (0..rows).map(|row| contributions[row * kept + column]).fold(0.0, |sum, own| sum + own)
                });
                // SAFETY: the caller's promise.
                unsafe { self.place.write(index, sums) };
            }
            Form::Strongest(to_indices, index_type) => {
                let strongest = strongest(contributions, self.place.count, &mut indices[..contributions.len()]);
                // SAFETY: the caller's promise.
                unsafe {
                    self.place.write(index, strongest.iter().map(|&part| contributions[part]));
                    match *index_type {
                        IndexType::I32 => to_indices.write_as(index, strongest.iter().map(|&part| part as i32)),
                        IndexType::I64 => to_indices.write_as(index, strongest.iter().map(|&part| part as i64)),
                    }
                }
            }
        }
    }
}

/// Puts the indices of the `count` largest numbers at the beginning of `indices`, the largest first, and of equal ones the
/// first; where they are NaN, those of the first. All are NaN, or none.
fn strongest<'a>(numbers: &[f64], count: usize, indices: &'a mut [usize]) -> &'a [usize] {
    indices.iter_mut().enumerate().for_each(|(number, index)| *index = number);
    if count > 0 && !numbers[0].is_nan() {
        let larger_first = |&a: &usize, &b: &usize| numbers[b].total_cmp(&numbers[a]).then(a.cmp(&b));
        indices.select_nth_unstable_by(count - 1, larger_first);
        indices[..count].sort_unstable_by(larger_first);
    }
    &indices[..count]
}
