//! The one primitive: groups of parts of a whole, normalised together. Everything that is wrong with a call is found here.

mod arguments;
mod group;
mod scores;

pub(crate) use arguments::{Field, Place};

use crate::axes::{Dim, Storage};
use crate::checks::{check_no_alias, expect_rank};
use crate::driver;
use crate::driver::plan::{GroupPlan, WholePlan};
use crate::error::{Argument, Cause, Error};
use crate::groups::{Coefficients, Directions, Group, Out, Parts};
use crate::options::{Options, check_threshold};
use crate::tensor::Tensor;
use group::{CheckedGroup, out_of_memory};
use smallvec::SmallVec;

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
/// [`Cause::IndexType`], [`Cause::InvalidThreshold`], [`Cause::InvalidNumber`], [`Cause::PreparedOfAnother`], [`Cause::Overlap`],
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
    // The merged axes of all tensors; those of most operations need no heap.
    let mut storage: SmallVec<[Dim; 64]> = SmallVec::new();
    let axes = count_axes(whole, groups);
    if storage.try_reserve_exact(axes).is_err() {
        return Err(out_of_memory::<Dim>(axes));
    }
    storage.resize(axes, Dim::default());
    let mut storage = Storage(&mut storage);
    let whole_plan = WholePlan::new(whole, options, &mut storage);
    // Two groups, as most operations have, need no heap.
    let mut plans: SmallVec<[GroupPlan<'_>; 2]> = SmallVec::new();
    plan_groups(&mut plans, (whole, &whole_plan), groups, options, name, &mut storage)?;
    check_memory(whole, groups, name)?;
    check_threshold(options.threshold)?;
    driver::run(&whole_plan, &plans, options)
}

/// Adds the plans of all groups.
// Out of line, as all of planning is, so that what it needs is not on the stack while the driver runs.
#[inline(never)]
fn plan_groups<'a>(
    plans: &mut SmallVec<[GroupPlan<'a>; 2]>,
    (whole, whole_plan): (&Tensor<'_>, &WholePlan<'_>),
    groups: &[Group<'_>],
    options: &Options<'_>,
    name: &dyn Fn(Place) -> Argument,
    storage: &mut Storage<'a>,
) -> Result<(), Error> {
    if plans.try_reserve_exact(groups.len()).is_err() {
        return Err(out_of_memory::<GroupPlan<'_>>(groups.len()));
    }
    for (index, group) in groups.iter().enumerate() {
        CheckedGroup { index, group, whole, name }.plan(whole_plan, options, plans, storage)?;
    }
    Ok(())
}

/// The axes of all tensors: their merged ones are no more.
fn count_axes(whole: &Tensor<'_>, groups: &[Group<'_>]) -> usize {
    let mut count = whole.shape().len();
    for group in groups {
        add_inputs(group, |_, tensor| count += tensor.shape().len());
        add_outputs(group, |_, tensor| count += tensor.shape().len());
    }
    count
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

/// The most tensors of a group that are read, or that are written.
const MOST_TENSORS: usize = 10;

/// Tensors that are read, or that are written. Those of two groups, and the whole, need no heap.
type Tensors<'a> = SmallVec<[(Place, &'a Tensor<'a>); 1 + 2 * MOST_TENSORS]>;

/// An error where an output shares memory with another tensor or itself.
#[inline(never)]
fn check_memory(whole: &Tensor<'_>, groups: &[Group<'_>], name: &dyn Fn(Place) -> Argument) -> Result<(), Error> {
    let (mut inputs, mut outputs) = (Tensors::new(), Tensors::new());
    inputs.push((Place::Whole, whole));
    for (index, group) in groups.iter().enumerate() {
        for tensors in [&mut inputs, &mut outputs] {
            if tensors.try_reserve(MOST_TENSORS).is_err() {
                return Err(out_of_memory::<(Place, &Tensor<'_>)>(tensors.len()));
            }
        }
        add_inputs(group, |field, tensor| inputs.push((Place::Group(index, field), tensor)));
        add_outputs(group, |field, tensor| outputs.push((Place::Group(index, field), tensor)));
    }
    check_no_alias(&inputs.iter().copied(), &outputs.iter().copied(), name)
}

/// Adds the tensors of a group that are read.
fn add_inputs<'a>(group: &'a Group<'_>, mut add: impl FnMut(Field, &'a Tensor<'a>)) {
    let factored = match &group.parts {
        Parts::Dense(parts) => return add(Field::Parts, parts),
        Parts::Factored(factored) => factored,
    };
    match &factored.coefficients {
        Coefficients::Given(coefficients) => add(Field::Coefficients, coefficients),
        Coefficients::Softmax(given) => {
            add(Field::Queries, &given.queries);
            add(Field::Keys, &given.keys);
            let tensors = [(Field::Slopes, &given.slopes), (Field::Sinks, &given.sinks), (Field::Mask, &given.mask)];
            for (field, tensor) in tensors {
                if let Some(tensor) = tensor {
                    add(field, tensor);
                }
            }
            let positions =
                [(Field::QueryPositions, &given.query_positions), (Field::KeyPositions, &given.key_positions)];
            for (field, positions) in positions {
                if let Some(positions) = positions {
                    add(field, positions.as_tensor());
                }
            }
        }
    }
    match &factored.directions {
        Directions::Vectors(directions) => add(Field::Directions, directions),
        Directions::Projected { values, projection, .. } => {
            add(Field::Values, values);
            add(Field::Projection, projection);
        }
    }
    if let Some(scale) = &factored.scale {
        add(Field::Scale, scale);
    }
}

/// Adds the tensors of a group that are written.
fn add_outputs<'a>(group: &'a Group<'_>, mut add: impl FnMut(Field, &'a Tensor<'a>)) {
    match &group.out {
        Out::Each(out) | Out::Sums(out) => add(Field::Out, out.as_tensor()),
        Out::TopK(out) => {
            add(Field::Out, out.contributions.as_tensor());
            add(Field::Indices, out.indices.as_tensor());
        }
        Out::Sparse(out) => {
            add(Field::Out, out.contributions.as_tensor());
            add(Field::Indices, out.indices.as_tensor());
            add(Field::Counts, out.counts.as_tensor());
            add(Field::LeftOut, out.left_out.as_tensor());
        }
    }
}
