//! The one primitive: groups of parts of a whole, normalised together. Everything that is wrong with a call is found here.

use crate::checks::{broadcast_to, check_no_alias, expect_rank, expect_shape};
use crate::driver::plan::{FactoredTensors, GroupPlan, WholePlan};
use crate::driver::results::Results;
use crate::error::{ANY, Argument, Cause, Error};
use crate::groups::{Directions, FactoredParts, Group, Out, Parts};
use crate::list::{List, MAX_NDIM};
use crate::options::{Options, check_threshold};
use crate::tensor::Tensor;
use crate::{axes, driver};
use smallvec::SmallVec;

/// An argument of the primitive, whatever an operation calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The whole.
    Whole,
    /// A field of the group with this index.
    Group(usize, Field),
}

/// A tensor of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Parts,
    Coefficients,
    Directions,
    Values,
    Projection,
    Scale,
    Out,
    Indices,
}

impl Place {
    /// The name that [`group_contributions`] gives it.
    fn argument(self) -> Argument {
        match self {
            Place::Whole => Argument::named("whole"),
            Place::Group(index, field) => Argument::of_group(
                index,
                match field {
                    Field::Parts => "parts",
                    Field::Coefficients => "coefficients",
                    Field::Directions => "directions",
                    Field::Values => "values",
                    Field::Projection => "projection",
                    Field::Scale => "scale",
                    Field::Out => "out",
                    Field::Indices => "indices",
                },
            ),
        }
    }
}

/// Computes what all parts of all groups contribute to their whole, normalised together: for each batch item `v` the
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
/// From "Information Flow Routes" (arXiv 2403.00824). NaN in a part or whole makes that batch item NaN and no other;
/// an infinite part of a finite whole has the least proximity; an infinite whole gives NaN.
///
/// Results have the same bits for any number of threads, and for a batch item alone or in a batch.
///
/// # Errors
/// [`Cause::Rank`], [`Cause::ShapeMismatch`], [`Cause::TooLarge`] for a `d` above `u32::MAX`, [`Cause::TopK`],
/// [`Cause::InvalidThreshold`], [`Cause::Overlap`], [`Cause::OverlapsItself`], [`Cause::OutOfMemory`]; the outputs are
/// untouched then.
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
    compute(whole, groups, options, &Place::argument)
}

/// [`group_contributions`] whose errors call the arguments by these names.
pub(crate) fn compute(
    whole: &Tensor<'_>,
    groups: &mut [Group<'_>],
    options: &Options<'_>,
    name: &dyn Fn(Place) -> Argument,
) -> Result<(), Error> {
    if whole.shape().is_empty() {
        expect_rank(name(Place::Whole), whole, 1, "[.., d]")?;
    }
    check_len(whole, name)?;
    let whole_plan = WholePlan::new(whole, options);
    // Two groups, as most operations have, need no heap.
    let mut plans: SmallVec<[GroupPlan; 2]> = SmallVec::new();
    plan_groups(&mut plans, (whole, &whole_plan), groups, options, name)?;
    check_no_alias(&all_inputs(whole, groups), &all_outputs(groups), name)?;
    check_threshold(options.threshold)?;
    driver::run(&whole_plan, &plans, options)
}

/// Adds the plans of all groups.
// Out of line, as all of planning is, so that what it needs is not on the stack while the driver runs.
#[inline(never)]
fn plan_groups(
    plans: &mut SmallVec<[GroupPlan; 2]>,
    (whole, whole_plan): (&Tensor<'_>, &WholePlan),
    groups: &[Group<'_>],
    options: &Options<'_>,
    name: &dyn Fn(Place) -> Argument,
) -> Result<(), Error> {
    if plans.try_reserve_exact(groups.len()).is_err() {
        return Err(out_of_memory::<GroupPlan>(groups.len()));
    }
    for (index, group) in groups.iter().enumerate() {
        CheckedGroup { index, group, whole, name }.plan(whole_plan, options, plans)?;
    }
    Ok(())
}

fn out_of_memory<T>(count: usize) -> Error {
    Error::new("groups".into(), Cause::OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) })
}

/// An error where elements of a vector cannot be numbered by a `u32`, as the kernels do.
fn check_len(whole: &Tensor<'_>, name: &dyn Fn(Place) -> Argument) -> Result<(), Error> {
    const LIMIT: usize = u32::MAX as usize;
    match whole.shape().last() {
        Some(&len) if len > LIMIT && !whole.shape().contains(&0) => {
            Err(Error::new(name(Place::Whole), Cause::TooLarge { got: len, limit: LIMIT }))
        }
        _ => Ok(()),
    }
}

/// A group whose shapes are compared with those of its whole.
struct CheckedGroup<'a> {
    index: usize,
    group: &'a Group<'a>,
    whole: &'a Tensor<'a>,
    name: &'a dyn Fn(Place) -> Argument,
}

impl CheckedGroup<'_> {
    fn argument(&self, field: Field) -> Argument {
        (self.name)(Place::Group(self.index, field))
    }

    /// Adds the plan of the group, once its shapes are found to agree. A plan that was returned would be copied more often.
    #[inline(never)]
    fn plan(
        &self,
        whole: &WholePlan,
        options: &Options<'_>,
        plans: &mut SmallVec<[GroupPlan; 2]>,
    ) -> Result<(), Error> {
        match &self.group.parts {
            Parts::Dense(parts) => {
                let whole_shape = self.whole.shape();
                let like = (self.name)(Place::Whole);
                let shape = parts.shape();
                expect_shape(self.argument(Field::Parts), parts, &with_any(shape.len(), whole_shape), like)?;
                let shape = &shape[..shape.len() - 1];
                let part_axes = shape.len() + 1 - whole_shape.len();
                let results = self.results(shape, part_axes, self.argument(Field::Parts))?;
                plans.push(GroupPlan::dense(parts, part_axes, results, whole, options));
            }
            Parts::Factored(factored) => plans.push(self.plan_factored(factored, whole, options)?),
        }
        Ok(())
    }

    #[inline(never)]
    fn plan_factored(
        &self,
        factored: &FactoredParts<'_>,
        whole: &WholePlan,
        options: &Options<'_>,
    ) -> Result<GroupPlan, Error> {
        let (&d, batch) = self.whole.shape().split_last().expect("a whole has an axis");
        let coefficients = &factored.coefficients;
        let (shape, like) = (coefficients.shape(), self.argument(Field::Coefficients));
        expect_shape(like, coefficients, &with_any(shape.len(), batch), (self.name)(Place::Whole))?;
        if shape.len() + 1 > MAX_NDIM {
            expect_rank(like, coefficients, MAX_NDIM - 1, "[p.., v..]")?;
        }
        let part_axes = shape.len() - batch.len();
        let results = self.results(shape, part_axes, like)?;
        let (directions, projection) = match &factored.directions {
            Directions::Vectors(directions) => {
                let expected = concatenated([shape, &[d]]);
                (broadcast_to(self.argument(Field::Directions), directions, &expected, like)?, None)
            }
            Directions::Projected { values, projection } => {
                let argument = self.argument(Field::Projection);
                if projection.shape().len() != part_axes + 2 {
                    expect_rank(argument, projection, part_axes + 2, "[p.., r, d]")?;
                }
                let r = projection.shape()[part_axes];
                let expected = concatenated([shape, &[r]]);
                let values = broadcast_to(self.argument(Field::Values), values, &expected, argument)?;
                let expected = concatenated([&shape[..part_axes], &[r, d]]);
                (values, Some(broadcast_to(argument, projection, &expected, like)?))
            }
        };
        let scale = match &factored.scale {
            None => None,
            Some(scale) => Some(broadcast_to(self.argument(Field::Scale), scale, &concatenated([batch, &[d]]), like)?),
        };
        let tensors = FactoredTensors {
            coefficients: *coefficients,
            directions,
            projection,
            scale,
            leave_out_zeros: factored.leave_out_zeros,
        };
        GroupPlan::factored(&tensors, part_axes, results, whole, options).ok_or_else(|| out_of_memory::<GroupPlan>(1))
    }

    /// Where the results of the group go, whose parts and batch items have this shape.
    fn results(&self, shape: &[usize], part_axes: usize, like: Argument) -> Result<Results, Error> {
        let (parts, batch) = shape.split_at(part_axes);
        let argument = self.argument(Field::Out);
        match &self.group.out {
            Out::Each(out) => {
                expect_shape(argument, out.as_tensor(), shape, like)?;
                Ok(Results::each(out.as_tensor(), part_axes))
            }
            Out::Sums(out) => {
                let out = out.as_tensor();
                let kept = out.shape().len().saturating_sub(batch.len()).min(part_axes);
                expect_shape(argument, out, &shape[part_axes - kept..], like)?;
                Ok(Results::sums(out, kept, axes::count(&parts[..part_axes - kept])))
            }
            Out::TopK { contributions, indices } => {
                let (out, index_type) = (contributions.as_tensor(), indices.index_type());
                if batch.len() == MAX_NDIM {
                    expect_rank(argument, out, batch.len() + 1, "[v.., k]")?;
                }
                expect_shape(argument, out, &concatenated([batch, &[ANY]]), like)?;
                expect_shape(self.argument(Field::Indices), indices.as_tensor(), out.shape(), argument)?;
                let (k, parts) = (out.shape()[batch.len()], axes::count(parts));
                if k > parts || parts as u64 > index_type.largest() {
                    return Err(Error::new(argument, Cause::TopK { got: k, parts }));
                }
                Results::top_k(out, indices.as_tensor(), index_type).ok_or_else(|| out_of_memory::<Results>(1))
            }
        }
    }
}

/// A shape of both lists of extents.
fn concatenated(lists: [&[usize]; 2]) -> List<usize> {
    let [first, second] = lists;
    List::from_fn(first.len() + second.len(), |axis| {
        first.get(axis).copied().unwrap_or_else(|| second[axis - first.len()])
    })
}

/// A shape with as many axes as `ndim` whose last ones are `last`, and whatever extents before.
fn with_any(ndim: usize, last: &[usize]) -> List<usize> {
    let before = ndim.saturating_sub(last.len());
    List::from_fn(before + last.len(), |axis| axis.checked_sub(before).map_or(ANY, |axis| last[axis]))
}

/// The tensors of a group that are read.
fn inputs<'a>(group: &'a Group<'_>) -> impl Iterator<Item = (Field, &'a Tensor<'a>)> + Clone {
    let all = match &group.parts {
        Parts::Dense(parts) => [Some((Field::Parts, parts)), None, None, None],
        Parts::Factored(factored) => {
            let (directions, projection) = match &factored.directions {
                Directions::Vectors(directions) => ((Field::Directions, directions), None),
                Directions::Projected { values, projection } => {
                    ((Field::Values, values), Some((Field::Projection, projection)))
                }
            };
            let scale = factored.scale.as_ref().map(|scale| (Field::Scale, scale));
            [Some((Field::Coefficients, &factored.coefficients)), Some(directions), projection, scale]
        }
    };
    all.into_iter().flatten()
}

/// The tensors of a group that are written.
fn outputs<'a>(group: &'a Group<'_>) -> impl Iterator<Item = (Field, &'a Tensor<'a>)> + Clone {
    let (out, indices) = match &group.out {
        Out::Each(out) | Out::Sums(out) => (out, None),
        Out::TopK { contributions, indices } => (contributions, Some((Field::Indices, indices.as_tensor()))),
    };
    std::iter::once((Field::Out, out.as_tensor())).chain(indices)
}

/// All tensors of a call that are read.
fn all_inputs<'a>(
    whole: &'a Tensor<'a>,
    groups: &'a [Group<'a>],
) -> impl Iterator<Item = (Place, &'a Tensor<'a>)> + Clone {
    let of_groups = groups
        .iter()
        .enumerate()
        .flat_map(|(index, group)| inputs(group).map(move |(field, tensor)| (Place::Group(index, field), tensor)));
    std::iter::once((Place::Whole, whole)).chain(of_groups)
}

/// All tensors of a call that are written.
fn all_outputs<'a>(groups: &'a [Group<'a>]) -> impl Iterator<Item = (Place, &'a Tensor<'a>)> + Clone {
    groups
        .iter()
        .enumerate()
        .flat_map(|(index, group)| outputs(group).map(move |(field, tensor)| (Place::Group(index, field), tensor)))
}
