//! Contributions of an MLP as a whole.

use crate::array::{Array, result_type, without_last};
use crate::context::{Context, options};
use crate::error::of_core;
use crate::output::{Output, given};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

/// What an MLP, and the residual stream before it, contributed to the residual stream after it.
///
/// ``resid_mid``, ``resid_post``, ``mlp_out``: ``[batch, pos, d_model]``; or all ``[pos, d_model]``, or ``[d_model]``.
///
/// Returns ``(mlp, resid)``, ``[batch, pos]`` each, which sum to 1.
///
/// ``norm``, ``threshold``, ``context``: as of :func:`contributions`. ``out``: a tuple of the two arrays to write to.
#[pyfunction]
#[pyo3(signature = (resid_mid, resid_post, mlp_out, *, norm=1.0, threshold=0.0, context=None, out=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords")]
pub(crate) fn mlp<'py>(
    py: Python<'py>,
    resid_mid: &Bound<'py, PyAny>,
    resid_post: &Bound<'py, PyAny>,
    mlp_out: &Bound<'py, PyAny>,
    norm: f64,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let resid_mid = Array::new("resid_mid", resid_mid)?;
    let resid_post = Array::new("resid_post", resid_post)?;
    let mlp_out = Array::new("mlp_out", mlp_out)?;
    let options = options(py, norm, threshold, context)?;
    let shape = resid_post.shape();
    let ones = 3_usize.saturating_sub(shape.len().max(1));
    let shape_of_out = without_last(shape);
    let [out_mlp, out_resid] = given(py, out)?;
    let dtype = result_type([&resid_mid, &resid_post, &mlp_out].map(Array::says));
    let mut out_mlp = Output::given_or_new(out_mlp, (py, &resid_post.kind), shape_of_out, dtype)?;
    let mut out_resid = Output::given_or_new(out_resid, (py, &resid_post.kind), shape_of_out, dtype)?;
    let [of_mid, of_post, of_mlp] = [&resid_mid, &resid_post, &mlp_out].map(|array| array.led_by(ones));
    let (mut to_mlp, mut to_resid) = (out_mlp.tensor(py, ones)?, out_resid.tensor(py, ones)?);
    py.detach(|| contrib_core::mlp(&of_mid, &of_post, &of_mlp, &mut to_mlp, &mut to_resid, &options))
        .map_err(|error| of_core(py, &error))?;
    (out_mlp.finish(py)?, out_resid.finish(py)?).into_bound_py_any(py)
}
