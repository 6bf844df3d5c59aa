//! Contributions of attention.

use crate::array::{Array, Says, result_type, without_last};
use crate::context::{Context, options};
use crate::error::{error, of_core};
use crate::kind::Kind;
use crate::memory::Extents;
use crate::output::{Output, given};
use crate::prepared::Projection;
use crate::scores::{ReadScores, Scores};
use crate::selection::{Selected, Selection, Shapes};
use contrib_core::{AttentionResults, Coefficients, FactoredAttention, Heads, OneOff, Options, Tensor};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// What each attended token through each head, and the residual stream before attention, contributed to the residual stream after it.
/// The vectors ``[batch, pos, key_pos, head, d_model]`` are never made.
///
/// ``resid_pre``, ``resid_mid``: ``[batch, pos, d_model]``, the stream before and after attention. The axis ``batch`` may be missing, and is
/// then missing everywhere.
///
/// How much heads attend, one of
///
/// - ``pattern``: ``[batch, head, pos, key_pos]``,
/// - ``queries``: ``[batch, pos, head, d]`` and ``keys``: ``[batch, key_pos, kv_head, d]``, as they are multiplied, after position
///   encoding; with ``score_scale`` (``1 / sqrt(d)``), ``soft_cap``, ``slopes`` ``[head]`` (`ALiBi`), ``sinks`` ``[head]``, ``mask``
///   ``[batch, head, pos, key_pos]`` (floating-point numbers that are added to scores), ``causal``, ``window``, ``first_query``,
///   ``query_positions`` ``[batch, pos]``, ``key_positions`` ``[batch, key_pos]``.
///
/// What heads move, one of
///
/// - ``values``: ``[batch, key_pos, kv_head, d_head]`` and ``w_o``: ``[head, d_head, d_model]`` or a :class:`PreparedProjection` of it,
/// - ``value_output``: ``[batch, key_pos, head, d_model]``, the products of both.
///
/// Or, in the place of all of these, ``decomposed_attn``: ``[batch, pos, key_pos, head, d_model]``, the vectors themselves.
///
/// ``scale``: ``[batch, pos, d_model]``, by what each channel of what heads add is multiplied, where a model normalises it.
/// ``one_offs``: a list of further parts ``[batch, pos, d_model]``, such as a bias ``[d_model]``.
/// ``leave_out_masked``: whether keys whose pattern is 0 are left out; as in the reference they count as zero vectors unless it is set.
///
/// Returns ``(attn, resid)``, and with ``one_offs`` a list of theirs as a third. ``resid`` is ``[batch, pos]``; ``attn`` is
///
/// - ``[batch, pos, key_pos, head]``; with ``sum_heads`` ``[batch, pos, key_pos]``;
/// - with ``top=k``, the ``k`` largest: a :class:`Top` of ``[batch, pos, k]``, whose indices are ``key_pos * n_heads + head``;
/// - with ``above=t``, those greater than ``t``: a :class:`Sparse` of ``[batch, pos, room]``, where ``room`` is ``ceil(1 / t) - 1``
///   unless given.
///
/// ``norm``, ``threshold``, ``context``: as of :func:`contributions`. ``out``: a tuple of two arrays to write ``attn`` and ``resid`` to.
#[pyfunction]
#[pyo3(signature = (
    resid_pre, resid_mid, decomposed_attn=None, *, pattern=None, queries=None, keys=None, values=None, w_o=None, value_output=None,
    scale=None, one_offs=None, leave_out_masked=false, sum_heads=false, top=None, above=None, room=None,
    score_scale=None, soft_cap=None, slopes=None, sinks=None, mask=None, causal=true, window=None, first_query=None,
    query_positions=None, key_positions=None, norm=1.0, threshold=0.0, context=None, out=None,
))]
#[expect(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "they are keywords, extracted for it")]
pub(crate) fn attention<'py>(
    py: Python<'py>,
    resid_pre: &Bound<'py, PyAny>,
    resid_mid: &Bound<'py, PyAny>,
    decomposed_attn: Option<&Bound<'py, PyAny>>,
    pattern: Option<&Bound<'py, PyAny>>,
    queries: Option<&Bound<'py, PyAny>>,
    keys: Option<&Bound<'py, PyAny>>,
    values: Option<&Bound<'py, PyAny>>,
    w_o: Option<&Bound<'py, PyAny>>,
    value_output: Option<&Bound<'py, PyAny>>,
    scale: Option<&Bound<'py, PyAny>>,
    one_offs: Option<Vec<Bound<'py, PyAny>>>,
    leave_out_masked: bool,
    sum_heads: bool,
    top: Option<usize>,
    above: Option<f64>,
    room: Option<usize>,
    score_scale: Option<f64>,
    soft_cap: Option<f64>,
    slopes: Option<&Bound<'py, PyAny>>,
    sinks: Option<&Bound<'py, PyAny>>,
    mask: Option<&Bound<'py, PyAny>>,
    causal: bool,
    window: Option<usize>,
    first_query: Option<i64>,
    query_positions: Option<&Bound<'py, PyAny>>,
    key_positions: Option<&Bound<'py, PyAny>>,
    norm: f64,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = options(py, norm, threshold, context)?;
    let stream =
        Stream { resid_pre: Array::new("resid_pre", resid_pre)?, resid_mid: Array::new("resid_mid", resid_mid)? };
    let selection = Selection::new(py, top, above, room, usize::from(sum_heads))?;
    if let Some(decomposed_attn) = decomposed_attn {
        let factors = [pattern, queries, keys, values, w_o, value_output, scale];
        if factors.iter().any(Option::is_some)
            || one_offs.is_some()
            || leave_out_masked
            || sum_heads
            || !selection.is_dense()
        {
            let problem = "expected none where there are factors, further parts or a selection of results";
            return Err(error(py, "conflict", "decomposed_attn", problem));
        }
        return dense(py, &stream, &Array::new("decomposed_attn", decomposed_attn)?, out, &options);
    }
    let scores = Scores {
        queries: queries.cloned(),
        keys: keys.cloned(),
        score_scale,
        soft_cap,
        slopes: slopes.cloned(),
        sinks: sinks.cloned(),
        mask: mask.cloned(),
        causal,
        window,
        first_query,
        query_positions: query_positions.cloned(),
        key_positions: key_positions.cloned(),
    };
    let ones = stream.ones();
    let factors = Factors {
        attends: Attends::new(py, pattern, &scores, ones)?,
        moves: Moves::new(py, values, w_o, value_output)?,
        scale: Array::optional("scale", scale)?,
    };
    let parts: Vec<Array<'py>> = match &one_offs {
        None => Vec::new(),
        Some(objects) => {
            let read = |(index, object): (usize, &Bound<'py, PyAny>)| Array::new(format!("one_offs[{index}]"), object);
            objects.iter().enumerate().map(read).collect::<PyResult<_>>()?
        }
    };

    let (kind, shapes) = (&stream.resid_mid.kind, factors.attends.shapes(&stream));
    let dtype = result_type(factors.says(&stream).into_iter().flatten().chain(parts.iter().map(Array::says)));
    let [out_attn, out_resid] = given(py, out)?;
    let mut attn = Selected::new((py, kind), selection, &shapes.shapes(), dtype, out_attn)?;
    let mut resid = Output::given_or_new(out_resid, (py, kind), &shapes.batch, dtype)?;
    let new = |_| Output::new(py, kind, &shapes.batch, dtype);
    let mut outs: Vec<Output<'py>> = parts.iter().map(new).collect::<PyResult<_>>()?;

    {
        let queries_and_keys = factors.attends.read().map(|read| scores.for_core(read, ones));
        let inputs = FactoredAttention {
            resid_pre: stream.resid_pre.led_by(ones),
            resid_mid: stream.resid_mid.led_by(ones),
            pattern: match (&factors.attends, &queries_and_keys) {
                (Attends::Pattern(pattern), _) => Coefficients::Given(pattern.led_by(ones)),
                (Attends::Scores(_), Some(queries_and_keys)) => Coefficients::Softmax(queries_and_keys),
                (Attends::Scores(_), None) => unreachable!("they are read"),
            },
            heads: factors.moves.for_core(ones),
            scale: factors.scale.as_ref().map(with_three_axes),
            leave_out_masked,
        };
        let mut for_parts: Vec<OneOff<'_>> = Vec::with_capacity(parts.len());
        for (part, out) in parts.iter().zip(&mut outs) {
            for_parts.push(OneOff { part: with_three_axes(part), out: out.tensor(py, ones)? });
        }
        let results =
            AttentionResults { attn: attn.out(py, ones)?, resid: resid.tensor(py, ones)?, one_offs: &mut for_parts };
        py.detach(|| contrib_core::attention_factored(&inputs, results, &options))
            .map_err(|error| of_core(py, &error))?;
    }

    let (attn, resid) = (attn.finish(py)?, resid.finish(py)?);
    if one_offs.is_none() {
        return (attn, resid).into_bound_py_any(py);
    }
    let finished: Vec<Bound<'py, PyAny>> = outs.into_iter().map(|out| out.finish(py)).collect::<PyResult<_>>()?;
    (attn, resid, PyList::new(py, finished)?).into_bound_py_any(py)
}

/// The stream before and after attention.
struct Stream<'py> {
    resid_pre: Array<'py>,
    resid_mid: Array<'py>,
}

impl Stream<'_> {
    /// How many axes of one element take the place of a batch that is missing.
    fn ones(&self) -> usize {
        usize::from(self.resid_mid.shape().len() == 2)
    }

    /// The batch axes and the positions.
    fn batch(&self) -> Extents<usize> {
        let shape = self.resid_mid.shape();
        Extents::from_slice(without_last(shape))
    }
}

/// An array `[batch, pos, d_model]` that may lack the first axes.
fn with_three_axes<'a>(array: &'a Array<'_>) -> Tensor<'a> {
    array.led_by(3_usize.saturating_sub(array.shape().len()))
}

/// How much heads attend.
enum Attends<'py> {
    Pattern(Array<'py>),
    Scores(ReadScores<'py>),
}

impl<'py> Attends<'py> {
    fn new(py: Python<'py>, pattern: Option<&Bound<'py, PyAny>>, scores: &Scores<'py>, ones: usize) -> PyResult<Self> {
        match pattern {
            Some(_) if scores.queries.is_some() || scores.keys.is_some() => {
                Err(error(py, "conflict", "pattern", "expected none where there are queries and keys, got both"))
            }
            Some(pattern) => Ok(Attends::Pattern(Array::new("pattern", pattern)?)),
            None => Ok(Attends::Scores(scores.read(py, ones)?)),
        }
    }

    fn read(&self) -> Option<&ReadScores<'py>> {
        match self {
            Attends::Pattern(_) => None,
            Attends::Scores(read) => Some(read),
        }
    }

    /// The extents of results; of wrong arguments, about which the core has more to say, any.
    fn shapes(&self, stream: &Stream<'_>) -> AttentionShapes {
        let from_the_end = |array: &Array<'_>, axis: usize| {
            let shape = array.shape();
            shape.len().checked_sub(axis).map_or(0, |axis| shape[axis])
        };
        let (heads, keys) = match self {
            Attends::Pattern(pattern) => (from_the_end(pattern, 3), from_the_end(pattern, 1)),
            Attends::Scores(read) => (from_the_end(&read.queries, 2), from_the_end(&read.keys, 3)),
        };
        AttentionShapes::new(stream.batch(), keys, heads)
    }
}

/// The extents of results.
struct AttentionShapes {
    batch: Extents<usize>,
    sums: Extents<usize>,
    each: Extents<usize>,
    parts: usize,
}

impl AttentionShapes {
    fn new(batch: Extents<usize>, keys: usize, heads: usize) -> Self {
        let mut sums = batch.clone();
        sums.push(keys);
        let mut each = sums.clone();
        each.push(heads);
        AttentionShapes { batch, sums, each, parts: keys.saturating_mul(heads) }
    }

    fn shapes(&self) -> Shapes<'_> {
        Shapes { each: &self.each, sums: &self.sums, batch: &self.batch, parts: self.parts }
    }
}

/// What heads move.
enum Moves<'py> {
    Values { values: Array<'py>, w_o: Projection<'py> },
    ValueOutput(Array<'py>),
}

impl<'py> Moves<'py> {
    fn new(
        py: Python<'py>,
        values: Option<&Bound<'py, PyAny>>,
        w_o: Option<&Bound<'py, PyAny>>,
        value_output: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        match (values, w_o, value_output) {
            (Some(values), Some(w_o), None) => {
                Ok(Moves::Values { values: Array::new("values", values)?, w_o: Projection::new("w_o", w_o)? })
            }
            (None, None, Some(value_output)) => Ok(Moves::ValueOutput(Array::new("value_output", value_output)?)),
            (_, _, Some(_)) => {
                Err(error(py, "conflict", "value_output", "expected none where there are values or w_o, got both"))
            }
            (None, _, None) => Err(error(py, "missing", "values", "expected values and w_o, or value_output")),
            (_, None, None) => Err(error(py, "missing", "w_o", "expected values and w_o, or value_output")),
        }
    }

    fn for_core(&self, ones: usize) -> Heads<'_> {
        match self {
            Moves::Values { values, w_o } => {
                Heads::Values { values: values.led_by(ones), w_o: w_o.tensor(), prepared: w_o.prepared() }
            }
            Moves::ValueOutput(value_output) => Heads::ValueOutput(value_output.led_by(ones)),
        }
    }
}

/// What the parts of attention are made of.
struct Factors<'py> {
    attends: Attends<'py>,
    moves: Moves<'py>,
    scale: Option<Array<'py>>,
}

impl Factors<'_> {
    /// What streams and factors say of the type of results.
    fn says(&self, stream: &Stream<'_>) -> [Option<Says>; 6] {
        let [one, two] = match &self.attends {
            Attends::Pattern(pattern) => [Some(pattern.says()), None],
            Attends::Scores(read) => [Some(read.queries.says()), Some(read.keys.says())],
        };
        let [three, four] = match &self.moves {
            Moves::Values { values, w_o } => [Some(values.says()), Some(w_o.says())],
            Moves::ValueOutput(value_output) => [Some(value_output.says()), None],
        };
        [Some(stream.resid_pre.says()), Some(stream.resid_mid.says()), one, two, three, four]
    }
}

/// Contributions of attention whose parts are given as they are.
fn dense<'py>(
    py: Python<'py>,
    stream: &Stream<'py>,
    decomposed_attn: &Array<'py>,
    out: Option<&Bound<'py, PyAny>>,
    options: &Options<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let (ones, kind): (usize, &Kind<'py>) = (stream.ones(), &stream.resid_mid.kind);
    let dtype = result_type([&stream.resid_pre, &stream.resid_mid, decomposed_attn].map(Array::says));
    let [out_attn, out_resid] = given(py, out)?;
    let shape = without_last(decomposed_attn.shape());
    let mut attn = Output::given_or_new(out_attn, (py, kind), shape, dtype)?;
    let mut resid = Output::given_or_new(out_resid, (py, kind), &stream.batch(), dtype)?;
    let (of_pre, of_mid) = (stream.resid_pre.led_by(ones), stream.resid_mid.led_by(ones));
    let of_attn = decomposed_attn.led_by(ones);
    let (mut to_attn, mut to_resid) = (attn.tensor(py, ones)?, resid.tensor(py, ones)?);
    py.detach(|| contrib_core::attention(&of_pre, &of_mid, &of_attn, &mut to_attn, &mut to_resid, options))
        .map_err(|error| of_core(py, &error))?;
    (attn.finish(py)?, resid.finish(py)?).into_bound_py_any(py)
}
