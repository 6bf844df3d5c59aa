//! Contributions below a threshold become zero; the others are renormalised.

use crate::axes::{Dim, Dims, Storage, count};
use crate::checks::{check_no_alias, expect_shape};
use crate::context::threads::Threads;
use crate::dtype::{DType, Element, with_element};
use crate::error::{ANY, Argument, Error};
use crate::floating_point::DefaultSettings;
use crate::list::{List, MAX_NDIM};
use crate::options::{Options, check_threshold, kept};
use crate::tensor::{Tensor, TensorMut};

/// Keeps the contributions that are greater than `threshold`, makes the others 0, and divides what is left of each
/// representation by its sum, so that it sums to 1 again.
///
/// | argument | shape |
/// |---|---|
/// | `c_blocks`, `out_blocks` | `[r.., b..]`: the blocks of each representation, in as many axes as there are, or one block and no axis |
/// | `c_residual`, `out_residual` | `[r..]` |
///
/// Contributions are compared with the threshold as `f64`. NaN makes its representation NaN, as does having nothing
/// left (0/0). The options' norm is not used.
///
/// # Errors
/// [`Cause::InvalidThreshold`](crate::Cause::InvalidThreshold), [`Cause::ShapeMismatch`](crate::Cause::ShapeMismatch), [`Cause::Overlap`](crate::Cause::Overlap), [`Cause::OverlapsItself`](crate::Cause::OverlapsItself); the outputs
/// are untouched then. An output may be the very tensor it is computed from (the same memory, element type, shape and
/// strides); [`threshold_and_renormalise_in_place`] is that in safe Rust.
pub fn threshold_and_renormalise(
    c_blocks: &Tensor<'_>,
    c_residual: &Tensor<'_>,
    threshold: f64,
    out_blocks: &mut TensorMut<'_>,
    out_residual: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    check_threshold(threshold)?;
    let (to_blocks, to_residual) = (out_blocks.as_tensor(), out_residual.as_tensor());

    let representation_axes = c_residual.shape().len();
    let expected = List::from_fn(c_blocks.shape().len().max(representation_axes), |axis| {
        c_residual.shape().get(axis).copied().unwrap_or(ANY)
    });
    expect_shape("c_blocks", c_blocks, &expected, "c_residual")?;
    expect_shape("out_blocks", to_blocks, c_blocks.shape(), "c_blocks")?;
    expect_shape("out_residual", to_residual, c_residual.shape(), "c_residual")?;
    // An output may be the very tensor it is computed from.
    let other_than = |itself: Option<&'static str>| {
        [("c_blocks", c_blocks), ("c_residual", c_residual)].into_iter().filter(move |&(name, _)| Some(name) != itself)
    };
    let of_blocks = other_than(same_tensor(c_blocks, to_blocks).then_some("c_blocks"));
    let of_residual = other_than(same_tensor(c_residual, to_residual).then_some("c_residual"));
    let out_blocks = [("out_blocks", to_blocks)].into_iter();
    check_no_alias(&of_blocks, &out_blocks, Argument::named)?;
    check_no_alias(&of_residual.chain(out_blocks), &[("out_residual", to_residual)].into_iter(), Argument::named)?;

    let representations = c_residual.axes.count();
    let mut storage = [Dim::default(); 4 * MAX_NDIM];
    let mut storage = Storage(&mut storage);
    let mut elements = |tensor| Elements::new(tensor, representation_axes, &mut storage);
    let renormalise = Renormalise {
        blocks: elements(c_blocks),
        residual: elements(c_residual),
        to_blocks: elements(to_blocks),
        to_residual: elements(to_residual),
        threshold,
    };
    let work = representations.saturating_mul(renormalise.blocks.count.max(1));
    let threads = Threads::for_work(work, options.context);
    let _settings = DefaultSettings::enter();
    threads.for_each(representations, |_, index| renormalise.representation(index));
    Ok(())
}

/// [`threshold_and_renormalise`] with the results in place of the contributions.
///
/// # Errors
/// As [`threshold_and_renormalise`].
pub fn threshold_and_renormalise_in_place(
    c_blocks: &mut TensorMut<'_>,
    c_residual: &mut TensorMut<'_>,
    threshold: f64,
    options: &Options<'_>,
) -> Result<(), Error> {
    let (blocks, residual) = (*c_blocks.as_tensor(), *c_residual.as_tensor());
    threshold_and_renormalise(&blocks, &residual, threshold, c_blocks, c_residual, options)
}

fn same_tensor(a: &Tensor<'_>, b: &Tensor<'_>) -> bool {
    a.data() == b.data() && a.dtype() == b.dtype() && a.axes == b.axes
}

/// The elements of a tensor `[r.., b..]`, as those of each representation.
struct Elements<'a> {
    data: *mut u8,
    dtype: DType,
    representations: Dims<'a>,
    blocks: Dims<'a>,
    /// Elements of one representation.
    count: usize,
}

impl<'a> Elements<'a> {
    fn new(tensor: &Tensor<'_>, representation_axes: usize, storage: &mut Storage<'a>) -> Self {
        let ndim = tensor.shape().len();
        Elements {
            data: tensor.data(),
            dtype: tensor.dtype(),
            representations: tensor.axes.merged(0..representation_axes, storage),
            blocks: tensor.axes.merged(representation_axes..ndim, storage),
            count: count(&tensor.shape()[representation_axes..]),
        }
    }

    /// The elements of the representation `index`, one after the other.
    fn pointers<T>(&self, index: usize) -> impl Iterator<Item = *mut T> {
        let start = self.data.cast::<T>().wrapping_offset(self.representations.offset(index));
        let mut walk = self.blocks.walk_from(0);
        (0..self.count).map(move |_| start.wrapping_offset(walk.next_offset()))
    }
}

/// The tensors of one call.
struct Renormalise<'a> {
    blocks: Elements<'a>,
    residual: Elements<'a>,
    to_blocks: Elements<'a>,
    to_residual: Elements<'a>,
    threshold: f64,
}

// SAFETY: the pointers come from views that may be read or written for as long as the call lasts, from any thread;
// each task reads and writes the elements of one representation.
unsafe impl Sync for Renormalise<'_> {}

impl Renormalise<'_> {
    fn representation(&self, index: usize) {
        let left = self.sum(&self.blocks, index) + self.sum(&self.residual, index);
        self.divide(&self.blocks, &self.to_blocks, index, left);
        self.divide(&self.residual, &self.to_residual, index, left);
    }

    /// The sum of what is left of the elements of the representation `index`.
    fn sum(&self, elements: &Elements<'_>, index: usize) -> f64 {
        with_element!(elements.dtype, T => {
            // SAFETY: the elements belong to a tensor that may be read, and only this task writes to any of them.
            elements.pointers::<T>(index).map(|element| kept(unsafe { element.read() }.to_f64(), self.threshold)).sum()
        })
    }

    /// Writes what is left of the elements of the representation `index`, divided by the sum.
    fn divide(&self, from: &Elements<'_>, to: &Elements<'_>, index: usize, sum: f64) {
        with_element!(from.dtype, From => with_element!(to.dtype, To => {
            for (from, to) in from.pointers::<From>(index).zip(to.pointers::<To>(index)) {
                // SAFETY: as in `sum`; an element that is written where another is read is the same element, and was
                // read first.
                unsafe { to.write(To::nearest(kept(from.read().to_f64(), self.threshold) / sum)) };
            }
        }));
    }
}
