//! Queries and keys in the place of a pattern, with all that models do to scores.

use crate::array::{Array, Positions, unsupported};
use crate::error::error;
use contrib_core::{Indices, QueriesAndKeys, Tensor};
use pyo3::prelude::*;

/// The arguments as a caller gives them.
pub(crate) struct Scores<'py> {
    pub(crate) queries: Option<Bound<'py, PyAny>>,
    pub(crate) keys: Option<Bound<'py, PyAny>>,
    pub(crate) score_scale: Option<f64>,
    pub(crate) soft_cap: Option<f64>,
    pub(crate) slopes: Option<Bound<'py, PyAny>>,
    pub(crate) sinks: Option<Bound<'py, PyAny>>,
    pub(crate) mask: Option<Bound<'py, PyAny>>,
    pub(crate) causal: bool,
    pub(crate) window: Option<usize>,
    pub(crate) first_query: Option<i64>,
    pub(crate) query_positions: Option<Bound<'py, PyAny>>,
    pub(crate) key_positions: Option<Bound<'py, PyAny>>,
}

/// The same as arrays.
pub(crate) struct ReadScores<'py> {
    pub(crate) queries: Array<'py>,
    pub(crate) keys: Array<'py>,
    slopes: Option<Array<'py>>,
    sinks: Option<Array<'py>>,
    mask: Option<Array<'py>>,
    query_positions: Option<Positions>,
    key_positions: Option<Positions>,
}

impl<'py> Scores<'py> {
    /// What an object with these attributes says.
    pub(crate) fn of_attributes(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = |name: &str| object.getattr(name).map(|array| (!array.is_none()).then_some(array));
        Ok(Scores {
            queries: array("queries")?,
            keys: array("keys")?,
            score_scale: object.getattr("score_scale")?.extract()?,
            soft_cap: object.getattr("soft_cap")?.extract()?,
            slopes: array("slopes")?,
            sinks: array("sinks")?,
            mask: array("mask")?,
            causal: object.getattr("causal")?.extract()?,
            window: object.getattr("window")?.extract()?,
            first_query: object.getattr("first_query")?.extract()?,
            query_positions: array("query_positions")?,
            key_positions: array("key_positions")?,
        })
    }

    /// Reads the arrays, to whose positions so many axes of one element are added.
    pub(crate) fn read(&self, py: Python<'py>, ones: usize) -> PyResult<ReadScores<'py>> {
        let (Some(queries), Some(keys)) = (&self.queries, &self.keys) else {
            let name = if self.queries.is_none() { "queries" } else { "keys" };
            return Err(error(py, "missing", name, "expected both queries and keys, or a pattern"));
        };
        let positions = |name, object: &Option<Bound<'py, PyAny>>| {
            object.as_ref().map(|object| Positions::new(name, object, ones)).transpose()
        };
        let mask = Array::optional("mask", self.mask.as_ref())?;
        if let (Some(mask), Some(object)) = (&mask, &self.mask)
            && mask.says().was_cast
        {
            return Err(unsupported(&"mask", object, "floating-point numbers, which are added to scores"));
        }
        Ok(ReadScores {
            queries: Array::new("queries", queries)?,
            keys: Array::new("keys", keys)?,
            slopes: Array::optional("slopes", self.slopes.as_ref())?,
            sinks: Array::optional("sinks", self.sinks.as_ref())?,
            mask,
            query_positions: positions("query_positions", &self.query_positions)?,
            key_positions: positions("key_positions", &self.key_positions)?,
        })
    }

    /// The same for the core, with so many axes of one element before those of a batch.
    pub(crate) fn for_core<'a>(&self, read: &'a ReadScores<'py>, ones: usize) -> QueriesAndKeys<'a> {
        let tensor = |array: &'a Option<Array<'py>>| array.as_ref().map(Array::tensor) as Option<Tensor<'a>>;
        let indices =
            |positions: &'a Option<Positions>| positions.as_ref().map(Positions::indices) as Option<Indices<'a>>;
        QueriesAndKeys {
            queries: read.queries.led_by(ones),
            keys: read.keys.led_by(ones),
            score_scale: self.score_scale,
            soft_cap: self.soft_cap,
            slopes: tensor(&read.slopes),
            sinks: tensor(&read.sinks),
            mask: read.mask.as_ref().map(|mask| mask.led_by(ones)),
            causal: self.causal,
            window: self.window,
            first_query: self.first_query,
            query_positions: indices(&read.query_positions),
            key_positions: indices(&read.key_positions),
        }
    }
}
