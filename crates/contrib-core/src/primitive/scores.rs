//! Queries and keys in the place of coefficients, whose shapes are compared with those of the whole.

use super::arguments::Field;
use super::group::{CheckedGroup, concatenated, with_any};
use crate::checks::{broadcast_to, expect_rank, expect_shape};
use crate::driver::plan::ScoreTensors;
use crate::error::{Cause, Error};
use crate::indices::Indices;
use crate::list::List;
use crate::queries_and_keys::QueriesAndKeys;
use crate::tensor::Tensor;

impl CheckedGroup<'_> {
    /// The tensors that scores are made of, each with all of its axes, and the shape `[p.., v..]` of the coefficients.
    #[inline(never)]
    pub(super) fn scores<'a>(&self, given: &QueriesAndKeys<'a>) -> Result<(List<usize>, ScoreTensors<'a>), Error> {
        let batch = &self.whole.shape()[..self.whole.shape().len() - 1];
        let (queries, keys) = (&given.queries, &given.keys);
        let (of_queries, of_keys) = (self.argument(Field::Queries), self.argument(Field::Keys));
        if keys.shape().len() < batch.len() + 2 {
            expect_rank(of_keys, keys, batch.len() + 2, "[p.., v.., d], with one part axis or more")?;
        }
        let part_axes = keys.shape().len() - 1 - batch.len();
        // The parts: all axes of either.
        let mut shape = List::new(&keys.shape()[..part_axes + batch.len()]);
        shape[part_axes..].copy_from_slice(batch);
        for (axis, extent) in shape[..part_axes - 1].iter_mut().enumerate() {
            if *extent == 1 {
                *extent = queries.shape().get(axis).copied().unwrap_or(1);
            }
        }
        let d = keys.shape()[part_axes + batch.len()];
        let keys = broadcast_to(of_keys, keys, &concatenated([&shape, &[d]]), of_queries)?;
        // One query has all keys of the last part axis.
        let mut expected = concatenated([&shape, &[d]]);
        expected[part_axes - 1] = 1;
        let queries = broadcast_to(of_queries, queries, &expected, of_keys)?;
        let queries = broadcast_to(of_queries, &queries, &concatenated([&shape, &[d]]), of_keys)?;
        let of_rows = |field, tensor: &Option<Tensor<'a>>| match tensor {
            None => Ok(None),
            Some(tensor) => broadcast_to(self.argument(field), tensor, &shape[..part_axes - 1], of_queries).map(Some),
        };
        let mask = match &given.mask {
            None => None,
            Some(mask) => Some(broadcast_to(self.argument(Field::Mask), mask, &shape, of_keys)?),
        };
        let positions = |field, positions: &Option<Indices<'a>>, expected: &[usize]| match positions {
            None => Ok(None),
            Some(own) => broadcast_to(self.argument(field), own.as_tensor(), expected, of_keys)
                .map(|view| Some(own.seen_as(&view))),
        };
        let expected = concatenated([&shape[part_axes - 1..part_axes], batch]);
        let key_positions = positions(Field::KeyPositions, &given.key_positions, &expected)?;
        let query_positions = positions(Field::QueryPositions, &given.query_positions, batch)?;
        let queries_in_order = batch.last().copied().unwrap_or(1);
        let tensors = ScoreTensors {
            queries,
            keys,
            slopes: of_rows(Field::Slopes, &given.slopes)?,
            sinks: of_rows(Field::Sinks, &given.sinks)?,
            mask,
            query_positions,
            key_positions,
            score_scale: self.score_scale(given.score_scale, d)?,
            soft_cap: self.soft_cap(given.soft_cap)?,
            causal: given.causal,
            window: given.window,
            first_query: given.first_query.unwrap_or(shape[part_axes - 1] as i64 - queries_in_order as i64),
        };
        Ok((shape, tensors))
    }

    fn score_scale(&self, given: Option<f64>, d: usize) -> Result<f64, Error> {
        match given {
            None => Ok(1.0 / (d.max(1) as f64).sqrt()),
            Some(scale) if scale.is_finite() => Ok(scale),
            Some(got) => {
                let cause = Cause::InvalidNumber { expected: "a finite number", got };
                Err(Error::new(self.argument(Field::ScoreScale), cause))
            }
        }
    }

    fn soft_cap(&self, given: Option<f64>) -> Result<Option<f64>, Error> {
        match given {
            Some(got) if !(got > 0.0 && got.is_finite()) => {
                let cause = Cause::InvalidNumber { expected: "a finite number greater than 0", got };
                Err(Error::new(self.argument(Field::SoftCap), cause))
            }
            _ => Ok(given),
        }
    }

    /// An error unless all keys of a query have one projection.
    pub(super) fn expect_one_projection(&self, projection: &Tensor<'_>, part_axes: usize) -> Result<(), Error> {
        let mut expected = with_any(projection.shape().len(), &[]);
        expected[part_axes - 1] = 1;
        expect_shape(self.argument(Field::Projection), projection, &expected, self.argument(Field::Queries))
    }
}
