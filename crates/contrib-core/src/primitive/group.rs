//! A group of parts, whose shapes are compared with those of its whole.

use super::arguments::{Field, Place};
use crate::axes::{self, Storage};
use crate::checks::{broadcast_to, expect_rank, expect_shape};
use crate::driver::plan::{CoefficientTensors, FactoredTensors, GroupPlan, WholePlan};
use crate::driver::results::Results;
use crate::error::{ANY, Argument, Cause, Error};
use crate::groups::{Coefficients, Directions, FactoredParts, Group, Out, Parts, Sparse, TopK};
use crate::indices::IndicesMut;
use crate::list::{List, MAX_NDIM};
use crate::options::Options;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// A group whose shapes are compared with those of its whole.
pub(super) struct CheckedGroup<'a> {
    pub(super) index: usize,
    pub(super) group: &'a Group<'a>,
    pub(super) whole: &'a Tensor<'a>,
    pub(super) name: &'a dyn Fn(Place) -> Argument,
}

impl CheckedGroup<'_> {
    pub(super) fn argument(&self, field: Field) -> Argument {
        (self.name)(Place::Group(self.index, field))
    }

    /// Adds the plan of the group, once its shapes are found to agree. A plan that was returned would be copied more often.
    #[inline(never)]
    pub(super) fn plan<'a>(
        &self,
        whole: &WholePlan<'_>,
        options: &Options<'_>,
        plans: &mut SmallVec<[GroupPlan<'a>; 2]>,
        storage: &mut Storage<'a>,
    ) -> Result<(), Error> {
        match &self.group.parts {
            Parts::Dense(parts) => {
                let whole_shape = self.whole.shape();
                let like = (self.name)(Place::Whole);
                let shape = parts.shape();
                // The expected shape is made for the error alone.
                if !shape.ends_with(whole_shape) {
                    expect_shape(self.argument(Field::Parts), parts, &with_any(shape.len(), whole_shape), like)?;
                }
                let shape = &shape[..shape.len() - 1];
                let part_axes = shape.len() + 1 - whole_shape.len();
                let results = self.results(shape, part_axes, self.argument(Field::Parts), storage)?;
                plans.push(GroupPlan::dense(parts, part_axes, results, whole, options, storage));
            }
            Parts::Factored(factored) => plans.push(self.plan_factored(factored, whole, options, storage)?),
        }
        Ok(())
    }

    #[inline(never)]
    fn plan_factored<'a>(
        &self,
        factored: &FactoredParts<'_>,
        whole: &WholePlan<'_>,
        options: &Options<'_>,
        storage: &mut Storage<'a>,
    ) -> Result<GroupPlan<'a>, Error> {
        let (&d, batch) = self.whole.shape().split_last().expect("a whole has an axis");
        let (shape, coefficients, like) = match &factored.coefficients {
            Coefficients::Given(coefficients) => {
                let (shape, like) = (coefficients.shape(), self.argument(Field::Coefficients));
                expect_shape(like, coefficients, &with_any(shape.len(), batch), (self.name)(Place::Whole))?;
                if shape.len() + 1 > MAX_NDIM {
                    expect_rank(like, coefficients, MAX_NDIM - 1, "[p.., v..]")?;
                }
                (List::new(shape), CoefficientTensors::Given(*coefficients), like)
            }
            Coefficients::Softmax(given) => {
                let (shape, scores) = self.scores(given)?;
                (shape, CoefficientTensors::Softmax(scores), self.argument(Field::Keys))
            }
        };
        let shape = &*shape;
        let part_axes = shape.len() - batch.len();
        let results = self.results(shape, part_axes, like, storage)?;
        let (directions, projection, prepared) = match &factored.directions {
            Directions::Vectors(directions) => {
                let expected = concatenated([shape, &[d]]);
                (broadcast_to(self.argument(Field::Directions), directions, &expected, like)?, None, None)
            }
            Directions::Projected { values, projection, prepared } => {
                let argument = self.argument(Field::Projection);
                if projection.shape().len() != part_axes + 2 {
                    expect_rank(argument, projection, part_axes + 2, "[p.., r, d]")?;
                }
                if matches!(coefficients, CoefficientTensors::Softmax(_)) {
                    self.expect_one_projection(projection, part_axes)?;
                }
                let r = projection.shape()[part_axes];
                let expected = concatenated([shape, &[r]]);
                let values = broadcast_to(self.argument(Field::Values), values, &expected, argument)?;
                let expected = concatenated([&shape[..part_axes], &[r, d]]);
                let projection = broadcast_to(argument, projection, &expected, like)?;
                let prepared = match prepared {
                    None => None,
                    Some(prepared) => prepared
                        .matrices_of(&projection, part_axes, argument)
                        .map_err(|cause| Error::new(self.argument(Field::Prepared), cause))?,
                };
                (values, Some(projection), prepared)
            }
        };
        let scale = match &factored.scale {
            None => None,
            Some(scale) => Some(broadcast_to(self.argument(Field::Scale), scale, &concatenated([batch, &[d]]), like)?),
        };
        let tensors = FactoredTensors {
            coefficients,
            directions,
            projection,
            prepared,
            scale,
            leave_out_zeros: factored.leave_out_zeros,
        };
        GroupPlan::factored(&tensors, part_axes, results, whole, options, storage)
            .ok_or_else(|| out_of_memory::<GroupPlan<'_>>(1))
    }

    /// Where the results of the group go, whose parts and batch items have this shape.
    fn results<'a>(
        &self,
        shape: &[usize],
        part_axes: usize,
        like: Argument,
        storage: &mut Storage<'a>,
    ) -> Result<Results<'a>, Error> {
        let (parts, batch) = shape.split_at(part_axes);
        let argument = self.argument(Field::Out);
        match &self.group.out {
            Out::Each(out) => {
                expect_shape(argument, out.as_tensor(), shape, like)?;
                Ok(Results::all(out.as_tensor(), parts, 0, storage))
            }
            Out::Sums(out) => {
                let out = out.as_tensor();
                let kept = out.shape().len().saturating_sub(batch.len()).min(part_axes);
                expect_shape(argument, out, &shape[part_axes - kept..], like)?;
                Ok(Results::all(out, parts, part_axes - kept, storage))
            }
            Out::TopK(top_k) => {
                let TopK { contributions, indices, summed_axes } = top_k;
                let kept = self.kept(parts, *summed_axes)?;
                self.expect_run(contributions.as_tensor(), indices, batch, like)?;
                let k = contributions.as_tensor().shape()[batch.len()];
                if k > kept || kept as u64 > indices.index_type().largest() {
                    return Err(Error::new(argument, Cause::TopK { got: k, parts: kept }));
                }
                Results::top_k(top_k, parts, storage).ok_or_else(|| out_of_memory::<Results<'_>>(1))
            }
            Out::Sparse(sparse) => {
                let Sparse { above, contributions, indices, counts, left_out, summed_axes } = sparse;
                if above.is_nan() {
                    return Err(Error::new(self.argument(Field::Above), Cause::InvalidThreshold));
                }
                let kept = self.kept(parts, *summed_axes)?;
                self.expect_run(contributions.as_tensor(), indices, batch, like)?;
                expect_shape(self.argument(Field::Counts), counts.as_tensor(), batch, like)?;
                expect_shape(self.argument(Field::LeftOut), left_out.as_tensor(), batch, like)?;
                for (field, integers) in [(Field::Indices, indices), (Field::Counts, counts)] {
                    let largest = integers.index_type().largest();
                    if kept as u64 > largest {
                        return Err(Error::new(self.argument(field), Cause::IndexType { parts: kept, largest }));
                    }
                }
                Results::sparse(sparse, parts, storage).ok_or_else(|| out_of_memory::<Results<'_>>(1))
            }
        }
    }

    /// How many numbers there are for each batch item once sums over so many of these part axes are taken.
    fn kept(&self, parts: &[usize], summed_axes: usize) -> Result<usize, Error> {
        let cause = Cause::InvalidNumber { expected: "at most all part axes", got: summed_axes as f64 };
        let kept = parts.get(summed_axes..).ok_or_else(|| Error::new(self.argument(Field::SummedAxes), cause))?;
        Ok(axes::count(kept))
    }

    /// An error unless contributions have one axis after those of the batch, and indices are as many.
    fn expect_run(
        &self,
        contributions: &Tensor<'_>,
        indices: &IndicesMut<'_>,
        batch: &[usize],
        like: Argument,
    ) -> Result<(), Error> {
        let argument = self.argument(Field::Out);
        expect_shape(argument, contributions, &concatenated([batch, &[ANY]]), like)?;
        expect_shape(self.argument(Field::Indices), indices.as_tensor(), contributions.shape(), argument)
    }
}

/// The error of a call whose groups need memory for so many values.
pub(super) fn out_of_memory<T>(count: usize) -> Error {
    Error::new("groups".into(), Cause::OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) })
}

/// A shape of both lists of extents.
pub(super) fn concatenated(lists: [&[usize]; 2]) -> List<usize> {
    let [first, second] = lists;
    List::from_fn(first.len() + second.len(), |axis| {
        first.get(axis).copied().unwrap_or_else(|| second[axis - first.len()])
    })
}

/// A shape with as many axes as `ndim` whose last ones are `last`, and whatever extents before.
pub(super) fn with_any(ndim: usize, last: &[usize]) -> List<usize> {
    let before = ndim.saturating_sub(last.len());
    List::from_fn(before + last.len(), |axis| axis.checked_sub(before).map_or(ANY, |axis| last[axis]))
}
