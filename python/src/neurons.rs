//! Contributions of the neurons of an MLP.

use crate::array::{Array, result_type, without_last};
use crate::context::{Context, options};
use crate::error::{error, of_core};
use crate::memory::Extents;
use crate::output::{Output, given};
use crate::selection::{Selected, Selection, Shapes};
use contrib_core::{MlpNeurons, NeuronResults};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

/// What each neuron of an MLP, and the residual stream before it, contributed to the residual stream after it.
///
/// ``resid_mid``, ``resid_post``: ``[v.., d_model]``, any number of batch axes ``v..``. ``activations``: ``[v.., hidden]``, by what each neuron's
/// output vector is multiplied. ``w_out``: ``[hidden, d_model]``, the output vectors (of ``torch.nn.Linear`` its ``weight.T``).
/// Or, in the place of both, ``decomposed_mlp_out``: ``[v.., hidden, d_model]``, the products.
///
/// Returns ``(neurons, resid)``. ``resid`` is ``[v..]``; ``neurons`` is ``[v.., hidden]``, or with ``top=k`` a :class:`Top` of ``[v.., k]``, or
/// with ``above=t`` a :class:`Sparse` of ``[v.., room]``.
///
/// ``norm``, ``threshold``, ``context``: as of :func:`contributions`. ``out``: a tuple of two arrays to write to.
#[pyfunction]
#[pyo3(signature = (
    resid_mid, resid_post, decomposed_mlp_out=None, *, activations=None, w_out=None, top=None, above=None, room=None, norm=1.0,
    threshold=0.0, context=None, out=None,
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords")]
pub(crate) fn neurons<'py>(
    py: Python<'py>,
    resid_mid: &Bound<'py, PyAny>,
    resid_post: &Bound<'py, PyAny>,
    decomposed_mlp_out: Option<&Bound<'py, PyAny>>,
    activations: Option<&Bound<'py, PyAny>>,
    w_out: Option<&Bound<'py, PyAny>>,
    top: Option<usize>,
    above: Option<f64>,
    room: Option<usize>,
    norm: f64,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = options(py, norm, threshold, context)?;
    let (resid_mid, resid_post) = (Array::new("resid_mid", resid_mid)?, Array::new("resid_post", resid_post)?);
    let selection = Selection::new(py, top, above, room, 0)?;
    let kind = &resid_post.kind;
    let batch = without_last(resid_post.shape());
    let [out_neurons, out_resid] = given(py, out)?;
    let (of_mid, of_post) = (resid_mid.tensor(), resid_post.tensor());

    if let Some(decomposed_mlp_out) = Array::optional("decomposed_mlp_out", decomposed_mlp_out)? {
        if activations.is_some() || w_out.is_some() || !selection.is_dense() {
            let problem = "expected none where there are factors or a selection of results";
            return Err(error(py, "conflict", "decomposed_mlp_out", problem));
        }
        let dtype = result_type([&resid_mid, &resid_post, &decomposed_mlp_out].map(Array::says));
        let shape = without_last(decomposed_mlp_out.shape());
        let mut neurons = Output::given_or_new(out_neurons, (py, kind), shape, dtype)?;
        let mut resid = Output::given_or_new(out_resid, (py, kind), batch, dtype)?;
        let of_parts = decomposed_mlp_out.tensor();
        let (mut to_neurons, mut to_resid) = (neurons.tensor(py, 0)?, resid.tensor(py, 0)?);
        py.detach(|| {
            contrib_core::decomposed_mlp(&of_mid, &of_post, &of_parts, &mut to_neurons, &mut to_resid, &options)
        })
        .map_err(|error| of_core(py, &error))?;
        return (neurons.finish(py)?, resid.finish(py)?).into_bound_py_any(py);
    }

    let (Some(activations), Some(w_out)) =
        (Array::optional("activations", activations)?, Array::optional("w_out", w_out)?)
    else {
        let problem = "expected both activations and w_out, or decomposed_mlp_out";
        return Err(error(py, "missing", if activations.is_none() { "activations" } else { "w_out" }, problem));
    };
    let dtype = result_type([&resid_mid, &resid_post, &activations, &w_out].map(Array::says));
    let hidden = w_out.shape().first().copied().unwrap_or_default();
    let mut each = Extents::from_slice(batch);
    each.push(hidden);
    let shapes = Shapes { each: &each, sums: batch, batch, parts: hidden };
    let mut neurons = Selected::new((py, kind), selection, &shapes, dtype, out_neurons)?;
    let mut resid = Output::given_or_new(out_resid, (py, kind), batch, dtype)?;
    let inputs =
        MlpNeurons { resid_mid: of_mid, resid_post: of_post, activations: activations.tensor(), w_out: w_out.tensor() };
    let results = NeuronResults { neurons: neurons.out(py, 0)?, resid: resid.tensor(py, 0)? };
    py.detach(|| contrib_core::mlp_neurons(&inputs, results, &options)).map_err(|error| of_core(py, &error))?;
    (neurons.finish(py)?, resid.finish(py)?).into_bound_py_any(py)
}
