//! Which contributions of a group are results: all, sums, the largest, or those above a number.

use crate::error::error;
use crate::kind::Kind;
use crate::memory::Extents;
use crate::output::Output;
use contrib_core::{DType, Out, Sparse, TopK};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// What a caller chooses.
#[derive(Clone, Copy)]
pub(crate) struct Selection {
    top: Option<usize>,
    above: Option<f64>,
    room: Option<usize>,
    /// Over how many leading part axes sums are taken first.
    summed_axes: usize,
}

impl Selection {
    pub(crate) fn new(
        py: Python<'_>,
        top: Option<usize>,
        above: Option<f64>,
        room: Option<usize>,
        summed_axes: usize,
    ) -> PyResult<Self> {
        if top.is_some() && above.is_some() {
            return Err(error(py, "conflict", "top", "expected none where there is above, got both"));
        }
        if room.is_some() && above.is_none() {
            return Err(error(py, "conflict", "room", "expected none where there is no above"));
        }
        Ok(Selection { top, above, room, summed_axes })
    }

    /// Over how many leading part axes sums are taken first.
    pub(crate) fn summed_axes(&self) -> usize {
        self.summed_axes
    }

    /// Whether all contributions are results, or all sums.
    pub(crate) fn is_dense(&self) -> bool {
        self.top.is_none() && self.above.is_none()
    }
}

/// The extents of a group's results.
pub(crate) struct Shapes<'a> {
    /// Of all contributions.
    pub(crate) each: &'a [usize],
    /// Of the sums that are wanted, where there are.
    pub(crate) sums: &'a [usize],
    /// Of the batch.
    pub(crate) batch: &'a [usize],
    /// How many parts there are, once sums are taken.
    pub(crate) parts: usize,
}

/// The arrays for the results of a group.
pub(crate) enum Selected<'py> {
    Each(Output<'py>),
    Sums(Output<'py>),
    TopK { contributions: Output<'py>, indices: Output<'py>, summed_axes: usize },
    Sparse { above: f64, outputs: [Output<'py>; 4], summed_axes: usize },
}

impl<'py> Selected<'py> {
    /// New arrays, or the one that a caller gives for dense results.
    pub(crate) fn new(
        (py, kind): (Python<'py>, &Kind<'py>),
        selection: Selection,
        shapes: &Shapes<'_>,
        dtype: DType,
        given: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let Selection { summed_axes, .. } = selection;
        if given.is_some() && !selection.is_dense() {
            return Err(error(py, "conflict", "out", "expected none where there is top or above"));
        }
        let with_last = |extent: usize| {
            let mut shape = Extents::from_slice(shapes.batch);
            shape.push(extent);
            shape
        };
        if let Some(k) = selection.top {
            let shape = with_last(k);
            let contributions = Output::new(py, kind, &shape, dtype)?;
            let indices = Output::of_indices(py, kind, &shape)?;
            return Ok(Selected::TopK { contributions, indices, summed_axes });
        }
        if let Some(above) = selection.above {
            let room = selection.room.unwrap_or_else(|| most_above(above).min(shapes.parts));
            let shape = with_last(room);
            let outputs = [
                Output::new(py, kind, &shape, dtype)?,
                Output::of_indices(py, kind, &shape)?,
                Output::of_indices(py, kind, shapes.batch)?,
                Output::new(py, kind, shapes.batch, dtype)?,
            ];
            return Ok(Selected::Sparse { above, outputs, summed_axes });
        }
        Ok(if summed_axes == 0 {
            Selected::Each(Output::given_or_new(given, (py, kind), shapes.each, dtype)?)
        } else {
            Selected::Sums(Output::given_or_new(given, (py, kind), shapes.sums, dtype)?)
        })
    }

    /// The arrays as the core writes them, with so many axes of one element before the others.
    pub(crate) fn out(&mut self, py: Python<'_>, ones: usize) -> PyResult<Out<'_>> {
        Ok(match self {
            Selected::Each(out) => Out::Each(out.tensor(py, ones)?),
            Selected::Sums(out) => Out::Sums(out.tensor(py, ones)?),
            Selected::TopK { contributions, indices, summed_axes } => Out::TopK(TopK {
                contributions: contributions.tensor(py, ones)?,
                indices: indices.indices(py, ones)?,
                summed_axes: *summed_axes,
            }),
            Selected::Sparse { above, outputs: [contributions, indices, counts, left_out], summed_axes } => {
                Out::Sparse(Sparse {
                    above: *above,
                    contributions: contributions.tensor(py, ones)?,
                    indices: indices.indices(py, ones)?,
                    counts: counts.indices(py, ones)?,
                    left_out: left_out.tensor(py, ones)?,
                    summed_axes: *summed_axes,
                })
            }
        })
    }

    /// The result: an array, or a named tuple of arrays.
    pub(crate) fn finish(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static TOP: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static SPARSE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        match self {
            Selected::Each(out) | Selected::Sums(out) => out.finish(py),
            Selected::TopK { contributions, indices, .. } => TOP
                .import(py, "residual_routes._results", "Top")?
                .call1((contributions.finish(py)?, indices.finish(py)?)),
            Selected::Sparse { outputs: [contributions, indices, counts, left_out], .. } => SPARSE
                .import(py, "residual_routes._results", "Sparse")?
                .call1((contributions.finish(py)?, indices.finish(py)?, counts.finish(py)?, left_out.finish(py)?)),
        }
    }
}

/// How many contributions, whose sum is 1, can be greater than a number at most.
fn most_above(above: f64) -> usize {
    if above > 0.0 { ((1.0 / above).ceil() as usize).saturating_sub(1) } else { usize::MAX }
}
