//! Contributions below a threshold become zero; the others are renormalised.

use crate::array::{Array, result_type};
use crate::context::{Context, options};
use crate::error::of_core;
use crate::output::{Output, given};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

/// Keeps the contributions that are greater than a threshold, makes the others 0, and divides what is left of each representation by
/// its sum, so that it sums to 1 again.
///
/// ``c_blocks``: ``[r.., b..]``, the blocks of each representation, in any number of axes, or one block and no axis.
/// ``c_residual``: ``[r..]``.
///
/// Returns ``(blocks, residual)`` of the same shapes. Where nothing is left they are NaN. ``out``: a tuple of the two arrays to write
/// to, which may be the very arrays that are read.
#[pyfunction]
#[pyo3(signature = (c_blocks, c_residual, threshold, *, context=None, out=None))]
pub(crate) fn threshold_and_renormalise<'py>(
    py: Python<'py>,
    c_blocks: &Bound<'py, PyAny>,
    c_residual: &Bound<'py, PyAny>,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (c_blocks, c_residual) = (Array::new("c_blocks", c_blocks)?, Array::new("c_residual", c_residual)?);
    let options = options(py, 1.0, 0.0, context)?;
    let [out_blocks, out_residual] = given(py, out)?;
    let dtype = result_type([&c_blocks, &c_residual].map(Array::says));
    let mut out_blocks = Output::given_or_new(out_blocks, (py, &c_blocks.kind), c_blocks.shape(), dtype)?;
    let mut out_residual = Output::given_or_new(out_residual, (py, &c_blocks.kind), c_residual.shape(), dtype)?;
    let (blocks, residual) = (c_blocks.tensor(), c_residual.tensor());
    let (mut to_blocks, mut to_residual) = (out_blocks.tensor(py, 0)?, out_residual.tensor(py, 0)?);
    py.detach(|| {
        contrib_core::threshold_and_renormalise(
            &blocks,
            &residual,
            threshold,
            &mut to_blocks,
            &mut to_residual,
            &options,
        )
    })
    .map_err(|error| of_core(py, &error))?;
    (out_blocks.finish(py)?, out_residual.finish(py)?).into_bound_py_any(py)
}
