//! The one primitive: groups of parts of a whole, normalised together.

use crate::axes::count;
use crate::driver::{self, PlannedGroup, Whole};
use crate::error::{ANY, Argument, Cause, Error, Shape};
use crate::groups::{Directions, Group, Out, Parts};
use crate::indices::IndexType;
use crate::list::List;
use crate::options::Options;
use crate::overlap::{overlap, overlaps_itself};
use crate::tensor::{Axis, Tensor, TensorMut};

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

impl<'a> Named<&Tensor<'a>> {
    /// An error unless there are as many axes as in `axes`.
    pub(crate) fn expect_rank(&self, ndim: usize, axes: &'static str) -> Result<(), Error> {
        if self.tensor.shape().len() == ndim {
            return Ok(());
        }
        let cause = Cause::Rank { expected: axes, got: self.tensor.error_shape() };
        Err(Error::new(self.argument, cause))
    }

    /// The same tensor with the shape `expected`, where it has 1 in place of an extent, the same element along that axis. An
    /// error where it has another extent or number of axes.
    pub(crate) fn expect_or_one(&self, expected: &[usize], like: Argument) -> Result<Tensor<'a>, Error> {
        let got = self.tensor.shape();
        let fits = |(&expected, &got): (&usize, &usize)| expected == got || got == 1;
        if got.len() != expected.len() || !expected.iter().zip(got).all(fits) {
            let cause = Cause::ShapeMismatch { expected: Shape::new(expected), got: self.tensor.error_shape(), like };
            return Err(Error::new(self.argument, cause));
        }
        let mut axes = [Axis::Same(1); crate::MAX_NDIM];
        for (axis, (to, &expected)) in axes.iter_mut().zip(expected).enumerate() {
            *to = if got[axis] == expected { Axis::Own(axis) } else { Axis::Same(expected) };
        }
        Ok(self.tensor.with_axes(&axes[..got.len()]))
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

/// Computes what all parts of all groups contribute to their whole, normalised together: for each batch entry `v` the
/// contributions of all its parts sum to 1.
///
/// `whole` is `[v.., d]`; each group has parts `[p.., v.., d]`, given as they are or as coefficients and directions
/// ([`Parts`]), and results `[p.., v..]`, or fewer ([`Out`]), with part axes of its own, or none: such a group has one part.
/// Each tensor has its own element type.
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
/// [`Cause::Rank`], [`Cause::ShapeMismatch`], [`Cause::TooManyStrongest`], [`Cause::InvalidThreshold`], [`Cause::Overlap`],
/// [`Cause::OverlapsItself`], [`Cause::OutOfMemory`]; the outputs are untouched then.
///
/// # Example
/// ```
/// use contrib_core::{Group, Options, Tensor, TensorMut, group_contributions};
///
/// let whole = [3.0_f32, 4.0];
/// let (heads, bias) = ([1.0_f32, 0.0, 2.0, 1.0], [0.0_f32, 3.0]);
/// let (mut to_heads, mut to_bias) = ([0.0_f32; 2], [0.0_f32]);
/// group_contributions(
///     &Tensor::new(&whole, &[2])?,
///     &mut [
///         Group::dense(Tensor::new(&heads, &[2, 2])?, TensorMut::new(&mut to_heads, &[2])?),
///         Group::dense(Tensor::new(&bias, &[2])?, TensorMut::new(&mut to_bias, &[])?),
///     ],
///     &Options::default(),
/// )?;
/// assert!((to_heads[0] + to_heads[1] + to_bias[0] - 1.0).abs() < 1e-6);
/// assert!((to_bias[0] - 3.0 / 7.0).abs() < 1e-6);
/// # Ok::<(), contrib_core::Error>(())
/// ```
pub fn group_contributions(whole: &Tensor<'_>, groups: &mut [Group<'_>], options: &Options<'_>) -> Result<(), Error> {
    let named_groups: Vec<NamedGroup<'_>> =
        groups.iter_mut().enumerate().map(|(index, group)| NamedGroup::of_group(index, group)).collect();
    plan_and_run(named("whole", whole), &named_groups, options)
}

/// The primitive for any number of groups, with names.
pub(crate) fn plan_and_run(
    whole: Named<&Tensor<'_>>,
    groups: &[NamedGroup<'_>],
    options: &Options<'_>,
) -> Result<(), Error> {
    let whole = PlannedWhole::new(whole, options)?;
    let planned = groups.iter().map(|group| group.plan(&whole, options)).collect::<Result<Vec<_>, _>>()?;
    run(&whole, groups, &planned, options)
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
#[derive(Clone, Copy)]
pub(crate) struct NamedGroup<'a> {
    pub(crate) parts: NamedParts<'a>,
    pub(crate) out: NamedOut<'a>,
}

/// [`Parts`] with names.
#[derive(Clone, Copy)]
pub(crate) enum NamedParts<'a> {
    Dense(Named<&'a Tensor<'a>>),
    Factored(NamedFactored<'a>),
}

/// [`crate::FactoredParts`] with names.
#[derive(Clone, Copy)]
pub(crate) struct NamedFactored<'a> {
    pub(crate) coefficients: Named<&'a Tensor<'a>>,
    /// The directions, or the values that a projection makes directions of.
    pub(crate) directions: Named<&'a Tensor<'a>>,
    pub(crate) projection: Option<Named<&'a Tensor<'a>>>,
    pub(crate) scale: Option<Named<&'a Tensor<'a>>>,
    pub(crate) leave_out_zeros: bool,
}

/// [`Out`] with names. Tensors are views of a `TensorMut`.
#[derive(Clone, Copy)]
pub(crate) struct NamedOut<'a> {
    pub(crate) contributions: Named<&'a Tensor<'a>>,
    pub(crate) form: OutForm<'a>,
}

/// What is written of a group's contributions.
#[derive(Clone, Copy)]
pub(crate) enum OutForm<'a> {
    Each,
    Sums,
    Strongest(Named<&'a Tensor<'a>>, IndexType),
}

impl<'a> NamedGroup<'a> {
    /// A group of dense parts, each with its own result.
    pub(crate) const fn dense(parts: Named<&'a Tensor<'a>>, out: Named<&'a Tensor<'a>>) -> Self {
        let out = NamedOut { contributions: out, form: OutForm::Each };
        NamedGroup { parts: NamedParts::Dense(parts), out }
    }

    fn of_group(index: usize, group: &'a mut Group<'_>) -> Self {
        fn of<'a, 'b>(index: usize, name: &'static str, tensor: &'a Tensor<'b>) -> Named<&'a Tensor<'b>> {
            Named { argument: Argument::of_group(index, name), tensor }
        }
        let parts = match &group.parts {
            Parts::Dense(parts) => NamedParts::Dense(of(index, "parts", parts)),
            Parts::Factored(factored) => {
                let (directions, projection) = match &factored.directions {
                    Directions::Vectors(directions) => (of(index, "directions", directions), None),
                    Directions::Projected { values, projection } => {
                        (of(index, "values", values), Some(of(index, "projection", projection)))
                    }
                };
                NamedParts::Factored(NamedFactored {
                    coefficients: of(index, "coefficients", &factored.coefficients),
                    directions,
                    projection,
                    scale: factored.scale.as_ref().map(|scale| of(index, "scale", scale)),
                    leave_out_zeros: factored.leave_out_zeros,
                })
            }
        };
        let out = match &group.out {
            Out::Each(out) => NamedOut { contributions: of(index, "out", out.as_tensor()), form: OutForm::Each },
            Out::Sums(out) => NamedOut { contributions: of(index, "out", out.as_tensor()), form: OutForm::Sums },
            Out::Strongest { contributions, indices } => NamedOut {
                contributions: of(index, "out", contributions.as_tensor()),
                form: OutForm::Strongest(of(index, "indices", indices.as_tensor()), indices.index_type()),
            },
        };
        NamedGroup { parts, out }
    }

    /// The group as the driver takes it, once its shapes are found to agree with the whole's.
    pub(crate) fn plan(&self, whole: &PlannedWhole<'_>, options: &Options<'_>) -> Result<PlannedGroup, Error> {
        let whole_shape = whole.named.tensor.shape();
        let (&d, batch) = whole_shape.split_last().expect("a whole has an axis");
        let (shape, named) = match &self.parts {
            NamedParts::Dense(parts) => {
                let shape = parts.tensor.shape();
                parts.expect_shape(&with_any(shape.len(), whole_shape), whole.named.argument)?;
                (&shape[..shape.len() - 1], parts)
            }
            NamedParts::Factored(factored) => {
                let coefficients = &factored.coefficients;
                let shape = coefficients.tensor.shape();
                coefficients.expect_shape(&with_any(shape.len(), batch), whole.named.argument)?;
                if shape.len() + 1 > crate::MAX_NDIM {
                    coefficients.expect_rank(crate::MAX_NDIM - 1, "[p.., v..]")?;
                }
                (shape, coefficients)
            }
        };
        let part_axes = shape.len() - batch.len();
        let results = self.out.plan(shape, part_axes, named.argument)?;
        let (part_shape, whole) = (&shape[..part_axes], &whole.planned);
        match &self.parts {
            NamedParts::Dense(parts) => Ok(PlannedGroup::dense(parts.tensor, part_axes, results, whole, options)),
            NamedParts::Factored(factored) => {
                let like = named.argument;
                let joined = |lists: &[&[usize]]| {
                    let mut all = List::new(&[]);
                    lists.iter().copied().flatten().for_each(|&extent| all.push(extent));
                    all
                };
                let (directions, projection) = match &factored.projection {
                    None => (factored.directions.expect_or_one(&joined(&[shape, &[d]]), like)?, None),
                    Some(projection) => {
                        if projection.tensor.shape().len() != part_axes + 2 {
                            projection.expect_rank(part_axes + 2, "[p.., r, d]")?;
                        }
                        let r = projection.tensor.shape()[part_axes];
                        let values = factored.directions.expect_or_one(&joined(&[shape, &[r]]), projection.argument)?;
                        let projection = projection.expect_or_one(&joined(&[part_shape, &[r, d]]), like)?;
                        (values, Some(projection))
                    }
                };
                let scale = match &factored.scale {
                    None => None,
                    Some(scale) => Some(scale.expect_or_one(&joined(&[batch, &[d]]), like)?),
                };
                Ok(PlannedGroup::factored(
                    &driver::FactoredTensors {
                        coefficients: *factored.coefficients.tensor,
                        directions,
                        projection,
                        scale,
                        leave_out_zeros: factored.leave_out_zeros,
                    },
                    part_axes,
                    results,
                    whole,
                    options,
                ))
            }
        }
    }

    fn inputs(&self) -> impl Iterator<Item = Named<&'a Tensor<'a>>> {
        let all = match self.parts {
            NamedParts::Dense(parts) => [Some(parts), None, None, None],
            NamedParts::Factored(factored) => {
                [Some(factored.coefficients), Some(factored.directions), factored.projection, factored.scale]
            }
        };
        all.into_iter().flatten()
    }
}

impl<'a> NamedOut<'a> {
    /// The results as the driver takes them, of a group whose parts and batch entries have this shape.
    fn plan(&self, shape: &[usize], part_axes: usize, like: Argument) -> Result<driver::Results, Error> {
        let (parts, batch) = shape.split_at(part_axes);
        let out = &self.contributions;
        let got = out.tensor.shape();
        match self.form {
            OutForm::Each => {
                out.expect_shape(shape, like)?;
                Ok(driver::Results::each(out.tensor, part_axes))
            }
            OutForm::Sums => {
                let kept = got.len().saturating_sub(batch.len()).min(part_axes);
                out.expect_shape(&shape[part_axes - kept..], like)?;
                Ok(driver::Results::sums(out.tensor, kept, count(&parts[..part_axes - kept])))
            }
            OutForm::Strongest(indices, index_type) => {
                let count = count(parts);
                let strongest = got.last().copied().unwrap_or(0);
                let mut expected = List::new(batch);
                if batch.len() == crate::MAX_NDIM {
                    out.expect_rank(batch.len() + 1, "[v.., k]")?;
                }
                expected.push(ANY);
                out.expect_shape(&expected, like)?;
                indices.expect_shape(got, out.argument)?;
                if strongest > count || count as u64 > index_type.largest() {
                    let cause = Cause::TooManyStrongest { got: strongest, parts: count };
                    return Err(Error::new(out.argument, cause));
                }
                Ok(driver::Results::strongest(out.tensor, indices.tensor, index_type))
            }
        }
    }

    fn tensors(&self) -> impl Iterator<Item = Named<&'a Tensor<'a>>> {
        let indices = match self.form {
            OutForm::Strongest(indices, _) => Some(indices),
            OutForm::Each | OutForm::Sums => None,
        };
        std::iter::once(self.contributions).chain(indices)
    }
}

/// A shape with as many axes as `ndim` whose last ones are `last`, and whatever extents before.
fn with_any(ndim: usize, last: &[usize]) -> List<usize> {
    let before = ndim.saturating_sub(last.len());
    List::from_fn(before + last.len(), |axis| axis.checked_sub(before).map_or(ANY, |axis| last[axis]))
}

/// Runs groups whose shapes were checked, once their outputs are found to have memory of their own.
pub(crate) fn run(
    whole: &PlannedWhole<'_>,
    named: &[NamedGroup<'_>],
    planned: &[PlannedGroup],
    options: &Options<'_>,
) -> Result<(), Error> {
    let inputs = || std::iter::once(whole.named).chain(named.iter().flat_map(NamedGroup::inputs));
    let outputs = || named.iter().flat_map(|group| group.out.tensors());
    for (number, out) in outputs().enumerate() {
        expect_own_memory(out, inputs().chain(outputs().take(number)))?;
    }
    if options.threshold.is_nan() {
        return Err(Error::new(Argument::named("threshold"), Cause::InvalidThreshold));
    }
    if planned.is_empty() {
        return Ok(());
    }
    driver::run(&whole.planned, planned, options)
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
