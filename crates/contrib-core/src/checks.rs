//! Checks of shapes and of memory. Each error names the argument that is wrong, and the shape that it should have.

use crate::error::{ANY, Argument, Cause, Error, Shape};
use crate::overlap::{Alias, Other, OutOfMemory, find_alias};
use crate::tensor::{Axis, Tensor};

/// An error unless there are as many axes as in `axes`.
pub(crate) fn expect_rank(
    argument: impl Into<Argument>,
    tensor: &Tensor<'_>,
    ndim: usize,
    axes: &'static str,
) -> Result<(), Error> {
    if tensor.shape().len() == ndim {
        return Ok(());
    }
    Err(Error::new(argument.into(), Cause::Rank { expected: axes, got: tensor.error_shape() }))
}

/// An error unless the shape is `expected`, which may have [`ANY`] in it, and which comes from the argument `like`.
pub(crate) fn expect_shape(
    argument: impl Into<Argument>,
    tensor: &Tensor<'_>,
    expected: &[usize],
    like: impl Into<Argument>,
) -> Result<(), Error> {
    let got = tensor.shape();
    let agrees = |(&expected, &got): (&usize, &usize)| expected == ANY || expected == got;
    if got.len() == expected.len() && expected.iter().zip(got).all(agrees) {
        return Ok(());
    }
    Err(mismatch(argument, tensor, expected, like))
}

/// The same tensor with the shape `expected`: where it has 1 in place of an extent, its element repeats along that axis. An
/// error where it has another extent or number of axes.
pub(crate) fn broadcast_to<'a>(
    argument: impl Into<Argument>,
    tensor: &Tensor<'a>,
    expected: &[usize],
    like: impl Into<Argument>,
) -> Result<Tensor<'a>, Error> {
    let got = tensor.shape();
    let fits = |(&expected, &got): (&usize, &usize)| expected == got || got == 1;
    if got.len() != expected.len() || !expected.iter().zip(got).all(fits) {
        return Err(mismatch(argument, tensor, expected, like));
    }
    let mut axes = [Axis::Broadcast(1); crate::list::MAX_NDIM];
    for (axis, (to, &expected)) in axes.iter_mut().zip(expected).enumerate() {
        *to = if got[axis] == expected { Axis::Own(axis) } else { Axis::Broadcast(expected) };
    }
    Ok(tensor.with_axes(&axes[..got.len()]))
}

fn mismatch(
    argument: impl Into<Argument>,
    tensor: &Tensor<'_>,
    expected: &[usize],
    like: impl Into<Argument>,
) -> Error {
    let cause = Cause::ShapeMismatch { expected: Shape::new(expected), got: tensor.error_shape(), like: like.into() };
    Error::new(argument.into(), cause)
}

/// An error where an output shares memory with an input, another output or itself. Tensors come with what `argument` makes
/// names of.
pub(crate) fn check_no_alias<'a, P>(
    inputs: &(impl Iterator<Item = (P, &'a Tensor<'a>)> + Clone),
    outputs: &(impl Iterator<Item = (P, &'a Tensor<'a>)> + Clone),
    argument: impl Fn(P) -> Argument,
) -> Result<(), Error> {
    let tensor = |(_, tensor): (P, &'a Tensor<'a>)| tensor;
    let alias = find_alias(&inputs.clone().map(tensor), &outputs.clone().map(tensor))
        .map_err(|OutOfMemory { bytes }| Error::out_of_memory(bytes))?;
    let Some(Alias { output, with }) = alias else { return Ok(()) };
    let of_output = |index| argument(outputs.clone().nth(index).expect("an alias names an output").0);
    let cause = match with {
        Other::Itself => Cause::OverlapsItself,
        Other::Input(index) => {
            Cause::Overlap { with: argument(inputs.clone().nth(index).expect("an alias names an input").0) }
        }
        Other::Output(index) => Cause::Overlap { with: of_output(index) },
    };
    Err(Error::new(of_output(output), cause))
}
