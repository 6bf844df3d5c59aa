//! Positions as Python counts them: negative ones from the end.

use crate::error::error;
use contrib_routes::Targets;
use pyo3::prelude::*;

/// The positions that routes lead to.
pub(super) enum Positions {
    All,
    At(Vec<usize>),
}

impl Positions {
    /// Those of a prompt with so many positions. `None` is all of them.
    pub(super) fn new(py: Python<'_>, targets: Option<Vec<i64>>, n_pos: usize) -> PyResult<Self> {
        let Some(targets) = targets else { return Ok(Positions::All) };
        let position = |target: i64| {
            let counted = if target < 0 { target.checked_add_unsigned(n_pos as u64) } else { Some(target) };
            let position = counted.and_then(|target| usize::try_from(target).ok()).filter(|&position| position < n_pos);
            position.ok_or_else(|| {
                error(py, "target", "targets", format!("expected positions below {n_pos}, got {target}"))
            })
        };
        Ok(Positions::At(targets.into_iter().map(position).collect::<PyResult<_>>()?))
    }

    pub(super) fn targets(&self) -> Targets<'_> {
        match self {
            Positions::All => Targets::All,
            Positions::At(positions) => Targets::At(positions),
        }
    }
}
