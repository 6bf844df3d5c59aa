//! Contributions of any parts, and of an MLP, to their whole.

use crate::array::{Array, result_type, without_last};
use crate::context::{Context, options};
use crate::error::of_core;
use crate::output::{Output, given};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

/// What each part contributed to its whole. All contributions to a whole sum to 1.
///
/// ``whole``: ``[v.., d]``, any number of batch axes ``v..``. ``parts``: ``[p.., v.., d]``, any number of part axes before them.
/// ``one_off``: ``[v.., d]``, one more part.
///
/// Returns ``[p.., v..]``; with ``one_off`` a tuple of that and ``[v..]``.
///
/// ``norm``: 1, 2, ``math.inf`` or any number of at least 1. ``threshold``: contributions that are not greater become 0, and the others
/// are divided by what is left. ``out``: the array to write to, or a tuple of them.
#[pyfunction]
#[pyo3(signature = (whole, parts, one_off=None, *, norm=1.0, threshold=0.0, context=None, out=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords")]
pub(crate) fn contributions<'py>(
    py: Python<'py>,
    whole: &Bound<'py, PyAny>,
    parts: &Bound<'py, PyAny>,
    one_off: Option<&Bound<'py, PyAny>>,
    norm: f64,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (whole, parts) = (Array::new("whole", whole)?, Array::new("parts", parts)?);
    let options = options(py, norm, threshold, context)?;
    let shape_of_parts = without_last(parts.shape());
    let Some(one_off) = Array::optional("one_off", one_off)? else {
        let [out] = given(py, out)?;
        let dtype = result_type([&whole, &parts].map(Array::says));
        let mut out = Output::given_or_new(out, (py, &whole.kind), shape_of_parts, dtype)?;
        let (of_whole, of_parts, mut to) = (whole.tensor(), parts.tensor(), out.tensor(py, 0)?);
        py.detach(|| contrib_core::contributions(&of_whole, &of_parts, &mut to, &options))
            .map_err(|error| of_core(py, &error))?;
        return out.finish(py);
    };
    let [out_parts, out_one_off] = given(py, out)?;
    let dtype = result_type([&whole, &parts, &one_off].map(Array::says));
    let shape_of_one_off = without_last(one_off.shape());
    let mut out_parts = Output::given_or_new(out_parts, (py, &whole.kind), shape_of_parts, dtype)?;
    let mut out_one_off = Output::given_or_new(out_one_off, (py, &whole.kind), shape_of_one_off, dtype)?;
    let (of_whole, of_parts, of_one_off) = (whole.tensor(), parts.tensor(), one_off.tensor());
    let (mut to_parts, mut to_one_off) = (out_parts.tensor(py, 0)?, out_one_off.tensor(py, 0)?);
    py.detach(|| {
        contrib_core::contributions_with_one_off(
            &of_whole,
            &of_parts,
            &of_one_off,
            &mut to_parts,
            &mut to_one_off,
            &options,
        )
    })
    .map_err(|error| of_core(py, &error))?;
    (out_parts.finish(py)?, out_one_off.finish(py)?).into_bound_py_any(py)
}
