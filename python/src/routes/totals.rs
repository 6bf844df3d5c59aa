//! Sums of flows, which add up over prompts.

use crate::error::of_routes;
use crate::numpy;
use pyo3::prelude::*;

/// Where the flow of routes comes from. Totals of several prompts of one model add up with ``+``.
///
/// What arrives at ``tokens`` and biases, and what is ``lost``, sums to the number of targets. What heads, MLPs and residual edges bring is not
/// such a division: what a head brings comes from the stream before it, and is counted there again.
#[pyclass(frozen, module = "residual_routes")]
pub(crate) struct Totals(pub(super) contrib_routes::Totals);

#[pymethods]
impl Totals {
    /// What each head brings, ``[layer, head]``; ``None`` where heads are summed.
    #[getter]
    fn heads<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let n_layers = self.0.mlps().len();
        let shape = |heads: &[f64]| [n_layers, heads.len().checked_div(n_layers).unwrap_or_default()];
        self.0.heads().map(|heads| numpy::of_f64(py, heads, &shape(heads))).transpose()
    }

    /// What attention brings, by layer.
    #[getter]
    fn attention<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        list(py, self.0.attention())
    }

    /// What MLPs bring, by layer.
    #[getter]
    fn mlps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        list(py, self.0.mlps())
    }

    /// What biases that are parts of their own bring, by layer.
    #[getter]
    fn biases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        list(py, self.0.biases())
    }

    /// What residual edges bring, by layer.
    #[getter]
    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        list(py, self.0.residual())
    }

    /// What arrives at the embedding of each position.
    #[getter]
    fn tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        list(py, self.0.tokens())
    }

    /// What goes to no edge: of parts that are not above the threshold.
    #[getter]
    fn lost(&self) -> f64 {
        self.0.lost()
    }

    /// How many targets the flow is that of.
    #[getter]
    fn targets(&self) -> usize {
        self.0.targets()
    }

    fn __add__(&self, py: Python<'_>, other: &Self) -> PyResult<Self> {
        let mut sum = self.0.clone();
        sum.add(&other.0).map_err(|error| of_routes(py, &error, None))?;
        Ok(Totals(sum))
    }

    fn __repr__(&self) -> String {
        format!("Totals(targets={}, lost={:.3})", self.0.targets(), self.0.lost())
    }
}

fn list<'py>(py: Python<'py>, numbers: &[f64]) -> PyResult<Bound<'py, PyAny>> {
    numpy::of_f64(py, numbers, &[numbers.len()])
}
