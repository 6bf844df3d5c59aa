//! The one primitive: groups of parts of a whole, normalised together.

use crate::driver::{self, Group, Whole};
use crate::error::{ANY, Argument, Cause, Error, Shape};
use crate::list::List;
use crate::options::Options;
use crate::overlap::{overlap, overlaps_itself};
use crate::tensor::{Tensor, TensorMut};

/// A tensor under the name by which errors call it.
#[derive(Clone, Copy)]
pub(crate) struct Named<T> {
    pub(crate) argument: Argument,
    pub(crate) tensor: T,
}

/// A tensor under a name of its own.
pub(crate) const fn named<T>(name: &'static str, tensor: T) -> Named<T> {
    Named { argument: Argument::named(name), tensor }
}

/// The view of a tensor to write, under a name of its own.
pub(crate) const fn named_out<'a>(name: &'static str, out: &'a mut TensorMut<'_>) -> Named<&'a Tensor<'a>> {
    named(name, out.as_tensor())
}

impl Named<&Tensor<'_>> {
    /// An error unless there are as many axes as in `axes`.
    pub(crate) fn expect_rank(&self, ndim: usize, axes: &'static str) -> Result<(), Error> {
        if self.tensor.shape().len() == ndim {
            return Ok(());
        }
        let cause = Cause::Rank { expected: axes, got: self.tensor.error_shape() };
        Err(Error::new(self.argument, cause))
    }

    /// An error unless the shape is `expected`, which may have [`ANY`] in it, and which comes from `like`.
    pub(crate) fn expect_shape(&self, expected: &[usize], like: Argument) -> Result<(), Error> {
        let got = self.tensor.shape();
        let same = |(&expected, &got): (&usize, &usize)| expected == ANY || expected == got;
        if got.len() == expected.len() && expected.iter().zip(got).all(same) {
            return Ok(());
        }
        let cause = Cause::ShapeMismatch { expected: Shape::new(expected), got: self.tensor.error_shape(), like };
        Err(Error::new(self.argument, cause))
    }
}

/// A group of parts of a whole, and the place for their contributions.
#[derive(Debug)]
pub struct DenseGroup<'a> {
    /// The parts: any part axes, then the whole's own axes, `[p.., v.., d]`.
    pub parts: Tensor<'a>,
    /// Their contributions, `[p.., v..]`; written.
    pub out: TensorMut<'a>,
}

/// Computes what all parts of all groups contribute to their whole, normalised together: for each batch entry `v` the
/// contributions of all its parts sum to 1.
///
/// `whole` is `[v.., d]`; each group has parts `[p.., v.., d]` and results `[p.., v..]`, with part axes of its own, or
/// none: such a group has one part. Each tensor has its own element type.
///
/// For the norm `n` of the options:
///
/// ```text
/// distance(p, v)     = || parts[p, v, :] - whole[v, :] + 1e-6 ||_n
/// proximity(p, v)    = max(|| whole[v, :] ||_n - distance(p, v), 1e-5)
/// contribution(p, v) = proximity(p, v) / sum over all parts of all groups of proximity(., v)
/// ```
///
/// From "Information Flow Routes" (arXiv 2403.00824). NaN in a part or whole makes that batch entry NaN and no other;
/// an infinite part of a finite whole has the least proximity; an infinite whole gives NaN.
///
/// Results have the same bits for any number of threads, and for an entry alone or in a batch.
///
/// # Errors
/// [`Cause::Rank`], [`Cause::ShapeMismatch`], [`Cause::Overlap`], [`Cause::OverlapsItself`], [`Cause::OutOfMemory`];
/// the outputs are untouched then.
///
/// # Example
/// ```
/// use contrib_core::{DenseGroup, Options, Tensor, TensorMut, group_contributions};
///
/// let whole = [3.0_f32, 4.0];
/// let (heads, bias) = ([1.0_f32, 0.0, 2.0, 1.0], [0.0_f32, 3.0]);
/// let (mut to_heads, mut to_bias) = ([0.0_f32; 2], [0.0_f32]);
/// group_contributions(
///     &Tensor::new(&whole, &[2])?,
///     &mut [
///         DenseGroup { parts: Tensor::new(&heads, &[2, 2])?, out: TensorMut::new(&mut to_heads, &[2])? },
///         DenseGroup { parts: Tensor::new(&bias, &[2])?, out: TensorMut::new(&mut to_bias, &[])? },
///     ],
///     &Options::default(),
/// )?;
/// assert!((to_heads[0] + to_heads[1] + to_bias[0] - 1.0).abs() < 1e-6);
/// assert!((to_bias[0] - 3.0 / 7.0).abs() < 1e-6);
/// # Ok::<(), contrib_core::Error>(())
/// ```
pub fn group_contributions(
    whole: &Tensor<'_>,
    groups: &mut [DenseGroup<'_>],
    options: &Options<'_>,
) -> Result<(), Error> {
    let named_groups: Vec<NamedGroup<'_>> = groups
        .iter_mut()
        .enumerate()
        .map(|(index, group)| NamedGroup {
            parts: Named { argument: Argument::of_group(index, "parts"), tensor: &group.parts },
            out: Named { argument: Argument::of_group(index, "out"), tensor: group.out.as_tensor() },
        })
        .collect();
    let whole = PlannedWhole::new(named("whole", whole), options)?;
    let planned = named_groups.iter().map(|group| group.plan(&whole, options)).collect::<Result<Vec<_>, _>>()?;
    run(&whole, &named_groups, &planned, options)
}

/// A whole, and the same as the driver takes it.
pub(crate) struct PlannedWhole<'a> {
    pub(crate) named: Named<&'a Tensor<'a>>,
    planned: Whole,
}

impl<'a> PlannedWhole<'a> {
    pub(crate) fn new(whole: Named<&'a Tensor<'_>>, options: &Options<'_>) -> Result<Self, Error> {
        if whole.tensor.shape().is_empty() {
            whole.expect_rank(1, "[.., d]")?;
        }
        Ok(PlannedWhole { named: whole, planned: Whole::new(whole.tensor, options) })
    }
}

/// A group with the names of its tensors.
pub(crate) struct NamedGroup<'a> {
    pub(crate) parts: Named<&'a Tensor<'a>>,
    /// The view of a `TensorMut`.
    pub(crate) out: Named<&'a Tensor<'a>>,
}

impl NamedGroup<'_> {
    /// The group as the driver takes it, once its shapes are found to agree with the whole's.
    pub(crate) fn plan(&self, whole: &PlannedWhole<'_>, options: &Options<'_>) -> Result<Group, Error> {
        let whole_shape = whole.named.tensor.shape();
        let parts = self.parts.tensor.shape();
        let part_axes = parts.len().saturating_sub(whole_shape.len());
        let expected = List::from_fn(part_axes + whole_shape.len(), |axis| match axis.checked_sub(part_axes) {
            None => ANY,
            Some(axis) => whole_shape[axis],
        });
        self.parts.expect_shape(&expected, whole.named.argument)?;
        self.out.expect_shape(&parts[..parts.len() - 1], self.parts.argument)?;
        Ok(Group::dense(self.parts.tensor, self.out.tensor, &whole.planned, options))
    }
}

/// Runs groups whose shapes were checked, once their outputs are found to have memory of their own.
pub(crate) fn run(
    whole: &PlannedWhole<'_>,
    named: &[NamedGroup<'_>],
    planned: &[Group],
    options: &Options<'_>,
) -> Result<(), Error> {
    let inputs = || std::iter::once(whole.named).chain(named.iter().map(|group| group.parts));
    for (number, group) in named.iter().enumerate() {
        let earlier = named[..number].iter().map(|group| group.out);
        expect_own_memory(group.out, inputs().chain(earlier))?;
    }
    if planned.is_empty() {
        return Ok(());
    }
    driver::run(&whole.planned, planned, options.context)
}

/// An error where two elements of `out` share memory, or `out` shares some with one of the `others`.
pub(crate) fn expect_own_memory<'a>(
    out: Named<&Tensor<'_>>,
    mut others: impl Iterator<Item = Named<&'a Tensor<'a>>>,
) -> Result<(), Error> {
    if overlaps_itself(out.tensor) {
        return Err(Error::new(out.argument, Cause::OverlapsItself));
    }
    match others.find(|other| overlap(out.tensor, other.tensor)) {
        Some(other) => Err(Error::new(out.argument, Cause::Overlap { with: other.argument })),
        None => Ok(()),
    }
}
