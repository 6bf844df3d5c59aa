//! How much queries attend to keys, in a call for some positions.

use crate::allocate::with_capacity;
use crate::error::Error;
use crate::recording::Attends;
use crate::rows::{Rows, consecutive};
use contrib_core::{Indices, QueriesAndKeys};

/// How much the queries at some positions attend to keys.
pub(crate) struct CoefficientRows<'a> {
    attends: &'a Attends<'a>,
    /// The rows of the pattern, `[head, position, key]`, or the queries.
    pub(crate) rows: Rows<'a>,
    /// The first position, where the others follow it one by one.
    first: Option<usize>,
    positions: Vec<i64>,
}

impl<'a> CoefficientRows<'a> {
    pub(crate) fn new(attends: &'a Attends<'a>, positions: &[u32]) -> Result<Self, Error> {
        let rows = match attends {
            Attends::Pattern(pattern) => Rows::new(pattern, 1, positions)?,
            Attends::Scores(scores) => Rows::new(&scores.queries, 0, positions)?,
        };
        let mut of_queries = with_capacity(positions.len())?;
        of_queries.extend(positions.iter().map(|&position| i64::from(position)));
        Ok(CoefficientRows { attends, rows, first: consecutive(positions), positions: of_queries })
    }

    /// What a pattern is made of, where it is not given.
    pub(crate) fn queries_and_keys(&self) -> Result<Option<QueriesAndKeys<'_>>, Error> {
        let Attends::Scores(scores) = self.attends else { return Ok(None) };
        let query_positions = match self.first {
            Some(_) => None,
            None => Some(Indices::new(&self.positions, &[1, self.positions.len()])?),
        };
        Ok(Some(QueriesAndKeys {
            score_scale: scores.scale,
            soft_cap: scores.soft_cap,
            slopes: scores.slopes,
            sinks: scores.sinks,
            causal: scores.causal,
            window: scores.window,
            first_query: self.first.map(|first| first as i64),
            query_positions,
            ..QueriesAndKeys::new(self.rows.tensor()?.with_axis(0), scores.keys.with_axis(0))
        }))
    }
}
