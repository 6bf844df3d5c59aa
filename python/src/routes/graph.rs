//! The graph that was found.

use super::rows;
use super::targets::Positions;
use super::totals::Totals;
use crate::error::{error, of_routes};
use contrib_routes::{Format, HeadEdges, Labels, Routes, difference, write};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// The routes as the native part holds them: `residual_routes.Routes` is made of it.
#[pyclass(frozen, module = "residual_routes._native")]
pub(crate) struct Graph {
    pub(super) routes: Routes,
    pub(super) labels: Arc<Labels>,
}

#[pymethods]
impl Graph {
    #[getter]
    fn n_layers(&self) -> usize {
        self.routes.n_layers()
    }

    #[getter]
    fn n_pos(&self) -> usize {
        self.routes.n_pos()
    }

    #[getter]
    fn n_heads(&self) -> usize {
        self.routes.n_heads()
    }

    #[getter]
    fn n_nodes(&self) -> usize {
        self.routes.n_nodes()
    }

    #[getter]
    fn n_edges(&self) -> usize {
        self.routes.n_edges()
    }

    #[getter]
    fn heads(&self) -> &'static str {
        match self.routes.heads() {
            HeadEdges::Each => "each",
            HeadEdges::Summed => "summed",
        }
    }

    #[getter]
    fn threshold(&self) -> f64 {
        self.routes.threshold()
    }

    #[getter]
    fn targets(&self) -> Vec<usize> {
        self.routes.targets().collect()
    }

    #[getter]
    fn tokens(&self) -> Vec<String> {
        (0..self.labels.n_tokens()).filter_map(|position| self.labels.token(position).map(str::to_string)).collect()
    }

    /// The nodes as rows of bytes.
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        rows::nodes(py, &self.routes)
    }

    /// The edges as rows of bytes.
    fn edges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        rows::edges(py, &self.routes)
    }

    /// Where the edges that end in each node begin, and how many edges there are.
    fn starts(&self) -> Vec<usize> {
        self.routes.starts().to_vec()
    }

    fn totals(&self, py: Python<'_>) -> PyResult<Totals> {
        let totals = py.detach(|| contrib_routes::Totals::new(&self.routes));
        totals.map(Totals).map_err(|error| of_routes(py, &error, None))
    }

    /// The routes to some of the targets.
    fn routes_to(&self, py: Python<'_>, targets: Option<Vec<i64>>, threshold: f64) -> PyResult<Self> {
        let targets = Positions::new(py, targets, self.routes.n_pos())?;
        let routes = py.detach(|| self.routes.routes_to(targets.targets(), threshold));
        let routes = routes.map_err(|error| of_routes(py, &error, None))?;
        Ok(Graph { routes, labels: self.labels.clone() })
    }

    /// The edges that differ, as rows of bytes.
    fn difference<'py>(&self, py: Python<'py>, other: &Self, tolerance: f64) -> PyResult<Bound<'py, PyBytes>> {
        let changes = py.detach(|| difference(&self.routes, &other.routes, tolerance));
        rows::changes(py, &changes.map_err(|error| of_routes(py, &error, None))?)
    }

    /// The routes in a format: ``"json"``, ``"csv"``, ``"dot"``, ``"svg"`` or ``"html"``.
    fn write<'py>(&self, py: Python<'py>, format: &str) -> PyResult<Bound<'py, PyBytes>> {
        let Some(format) = Format::from_name(format) else {
            return Err(error(py, "number", "format", format!("expected json, csv, dot, svg or html, got {format:?}")));
        };
        let written = py.detach(|| {
            let mut text = Vec::new();
            write(&self.routes, &self.labels, format, &mut text).map(|()| text)
        });
        Ok(PyBytes::new(py, &written.map_err(|error| of_routes(py, &error, None))?))
    }
}
