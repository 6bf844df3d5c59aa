//! The primitive: groups of parts of a whole, normalised together.

use crate::array::{Array, Says, result_type, without_last};
use crate::context::{Context, options};
use crate::error::{error, of_core};
use crate::memory::Extents;
use crate::output::given_list;
use crate::prepared::Projection;
use crate::scores::{ReadScores, Scores};
use crate::selection::{Selected, Selection, Shapes};
use contrib_core::{Coefficients, Directions, FactoredParts, Group, Parts, QueriesAndKeys};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

/// What the parts of any number of groups contributed to one whole. All contributions to a whole, of all groups, sum to 1.
///
/// ``whole``: ``[v.., d]``. ``groups``: a list; each item is an array of parts ``[p.., v.., d]``, or a :class:`Group`.
///
/// Returns a list with what each group contributed: ``[p.., v..]``, or what its :class:`Group` asks for.
///
/// ``norm``, ``threshold``, ``context``: as of :func:`contributions`. ``out``: a list of arrays to write to, or ``None`` for each.
#[pyfunction]
#[pyo3(signature = (whole, groups, *, norm=1.0, threshold=0.0, context=None, out=None))]
#[expect(clippy::needless_pass_by_value, reason = "it is extracted for it")]
pub(crate) fn group_contributions<'py>(
    py: Python<'py>,
    whole: &Bound<'py, PyAny>,
    groups: Vec<Bound<'py, PyAny>>,
    norm: f64,
    threshold: f64,
    context: Option<&Bound<'py, Context>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let options = options(py, norm, threshold, context)?;
    let whole = Array::new("whole", whole)?;
    let batch = without_last(whole.shape());
    let given = given_list(py, out, groups.len())?;
    let read = |(index, group): (usize, &Bound<'py, PyAny>)| ReadGroup::new(index, group);
    let read: Vec<ReadGroup<'py>> = groups.iter().enumerate().map(read).collect::<PyResult<_>>()?;
    let says = read.iter().flat_map(ReadGroup::says).flatten();
    let dtype = result_type(says.chain([whole.says()]));

    let mut outs: Vec<Selected<'py>> = Vec::with_capacity(read.len());
    for (group, given) in read.iter().zip(given) {
        let each = group.shape(batch.len());
        let part_axes = each.len().saturating_sub(batch.len());
        let sums = &each[group.selection.summed_axes().min(part_axes)..];
        let parts = sums[..sums.len().saturating_sub(batch.len())].iter().product();
        let shapes = Shapes { each: &each, sums, batch, parts };
        outs.push(Selected::new((py, &whole.kind), group.selection, &shapes, dtype, given)?);
    }
    let scores: Vec<Option<QueriesAndKeys<'_>>> = read.iter().map(ReadGroup::scores).collect();
    let mut for_core: Vec<Group<'_>> = Vec::with_capacity(read.len());
    for ((group, scores), out) in read.iter().zip(&scores).zip(&mut outs) {
        for_core.push(Group { parts: group.parts(scores.as_ref()), out: out.out(py, 0)? });
    }
    let of_whole = whole.tensor();
    py.detach(|| contrib_core::group_contributions(&of_whole, &mut for_core, &options))
        .map_err(|error| of_core(py, &error))?;
    drop(for_core);
    let results: Vec<Bound<'py, PyAny>> = outs.into_iter().map(|out| out.finish(py)).collect::<PyResult<_>>()?;
    PyList::new(py, results)
}

/// A group as arrays.
struct ReadGroup<'py> {
    parts: ReadParts<'py>,
    selection: Selection,
}

#[expect(clippy::large_enum_variant, reason = "a group lives until its call ends")]
enum ReadParts<'py> {
    Dense(Array<'py>),
    Factored {
        coefficients: ReadCoefficients<'py>,
        directions: ReadDirections<'py>,
        scale: Option<Array<'py>>,
        leave_out_zeros: bool,
    },
}

#[expect(clippy::large_enum_variant, reason = "a group lives until its call ends")]
enum ReadCoefficients<'py> {
    Given(Array<'py>),
    Scores(Scores<'py>, ReadScores<'py>),
}

#[expect(clippy::large_enum_variant, reason = "a group lives until its call ends")]
enum ReadDirections<'py> {
    Vectors(Array<'py>),
    Projected(Array<'py>, Projection<'py>),
}

impl<'py> ReadGroup<'py> {
    /// The group that an item of the list is.
    fn new(index: usize, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        static GROUP: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = object.py();
        let name = |field: &str| format!("groups[{index}].{field}");
        if !object.is_instance(GROUP.import(py, "residual_routes._groups", "Group")?)? {
            let parts = ReadParts::Dense(Array::new(name("parts"), object)?);
            return Ok(ReadGroup { parts, selection: Selection::new(py, None, None, None, 0)? });
        }
        let attribute = |field: &str| object.getattr(field).map(|value| (!value.is_none()).then_some(value));
        let number = |field: &str| object.getattr(field)?.extract::<Option<usize>>();
        let above: Option<f64> = object.getattr("above")?.extract()?;
        let summed_axes: usize = object.getattr("summed_axes")?.extract()?;
        let selection = Selection::new(py, number("top")?, above, number("room")?, summed_axes)?;
        let array = |field: &str| attribute(field)?.map(|value| Array::new(name(field), &value)).transpose();
        let parts = match (array("parts")?, attribute("coefficients")?) {
            (Some(parts), None) => ReadParts::Dense(parts),
            (None, Some(coefficients)) => ReadParts::Factored {
                coefficients: ReadCoefficients::new(&name("coefficients"), &coefficients)?,
                directions: ReadDirections::new(
                    (py, &name("directions")),
                    array("directions")?,
                    array("values")?,
                    attribute("projection")?
                        .map(|projection| Projection::new(&name("projection"), &projection))
                        .transpose()?,
                )?,
                scale: array("scale")?,
                leave_out_zeros: object.getattr("leave_out_zeros")?.extract()?,
            },
            _ => return Err(error(py, "missing", name("parts"), "expected either parts or coefficients")),
        };
        Ok(ReadGroup { parts, selection })
    }

    /// The extents of all contributions; of wrong arguments, about which the core has more to say, any.
    fn shape(&self, batch_axes: usize) -> Extents<usize> {
        let all_but_last = |array: &Array<'_>| Extents::from_slice(without_last(array.shape()));
        match &self.parts {
            ReadParts::Dense(parts) => all_but_last(parts),
            ReadParts::Factored { coefficients: ReadCoefficients::Given(given), .. } => given.shape().into(),
            ReadParts::Factored { coefficients: ReadCoefficients::Scores(_, read), .. } => {
                let (queries, keys) = (all_but_last(&read.queries), all_but_last(&read.keys));
                let part_axes = queries.len().saturating_sub(batch_axes);
                let larger = |(axis, (&of_queries, &of_keys)): (usize, (&usize, &usize))| {
                    // An extent of 1 is the same for all; of the batch, queries have their own.
                    if axis < part_axes && of_queries == 1 { of_keys } else { of_queries }
                };
                queries.iter().zip(&keys).enumerate().map(larger).collect()
            }
        }
    }

    /// What it says of the type of results.
    fn says(&self) -> [Option<Says>; 4] {
        let ReadParts::Factored { coefficients, directions, .. } = &self.parts else {
            let ReadParts::Dense(parts) = &self.parts else { unreachable!("parts are dense or factored") };
            return [Some(parts.says()), None, None, None];
        };
        let [one, two] = match coefficients {
            ReadCoefficients::Given(given) => [Some(given.says()), None],
            ReadCoefficients::Scores(_, read) => [Some(read.queries.says()), Some(read.keys.says())],
        };
        let [three, four] = match directions {
            ReadDirections::Vectors(vectors) => [Some(vectors.says()), None],
            ReadDirections::Projected(values, projection) => [Some(values.says()), Some(projection.says())],
        };
        [one, two, three, four]
    }

    /// Queries and keys, where it has them.
    fn scores(&self) -> Option<QueriesAndKeys<'_>> {
        match &self.parts {
            ReadParts::Factored { coefficients: ReadCoefficients::Scores(scores, read), .. } => {
                Some(scores.for_core(read, 0))
            }
            _ => None,
        }
    }

    /// The parts for the core, whose queries and keys are these.
    fn parts<'a>(&'a self, scores: Option<&'a QueriesAndKeys<'a>>) -> Parts<'a> {
        let (coefficients, directions, scale, leave_out_zeros) = match &self.parts {
            ReadParts::Dense(parts) => return Parts::Dense(parts.tensor()),
            ReadParts::Factored { coefficients, directions, scale, leave_out_zeros } => {
                (coefficients, directions, scale, *leave_out_zeros)
            }
        };
        let coefficients = match (coefficients, scores) {
            (ReadCoefficients::Given(given), _) => Coefficients::Given(given.tensor()),
            (ReadCoefficients::Scores(..), Some(scores)) => Coefficients::Softmax(scores),
            (ReadCoefficients::Scores(..), None) => unreachable!("they are read"),
        };
        let directions = match directions {
            ReadDirections::Vectors(vectors) => Directions::Vectors(vectors.tensor()),
            ReadDirections::Projected(values, projection) => Directions::Projected {
                values: values.tensor(),
                projection: projection.tensor(),
                prepared: projection.prepared(),
            },
        };
        let scale = scale.as_ref().map(Array::tensor);
        Parts::Factored(FactoredParts { coefficients, directions, scale, leave_out_zeros })
    }
}

impl<'py> ReadCoefficients<'py> {
    fn new(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        static SCORES: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = object.py();
        if object.is_instance(SCORES.import(py, "residual_routes._groups", "Scores")?)? {
            let scores = Scores::of_attributes(object)?;
            let read = scores.read(py, 0)?;
            return Ok(ReadCoefficients::Scores(scores, read));
        }
        Ok(ReadCoefficients::Given(Array::new(name, object)?))
    }
}

impl<'py> ReadDirections<'py> {
    fn new(
        (py, name): (Python<'py>, &str),
        directions: Option<Array<'py>>,
        values: Option<Array<'py>>,
        projection: Option<Projection<'py>>,
    ) -> PyResult<Self> {
        match (directions, values, projection) {
            (Some(directions), None, None) => Ok(ReadDirections::Vectors(directions)),
            (None, Some(values), Some(projection)) => Ok(ReadDirections::Projected(values, projection)),
            _ => Err(error(py, "missing", name, "expected either directions, or values and a projection")),
        }
    }
}
