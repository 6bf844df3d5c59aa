//! An array that results are written to: a new one, or one that the caller gives.

use crate::array::{has_another_sign, unsupported};
use crate::capsule::Taken;
use crate::elements::Elements;
use crate::error::{error, of_core};
use crate::exchange::{Exchange, Held};
use crate::kind::Kind;
use crate::memory::Memory;
use crate::numpy;
use contrib_core::{DType, IndexType, IndicesMut, TensorMut};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// An array to write.
pub(crate) struct Output<'py> {
    memory: Memory,
    owner: Owner<'py>,
}

/// What becomes the result.
enum Owner<'py> {
    Object(Bound<'py, PyAny>),
    Held(Exchange, Held),
    /// An array of NumPy's, of which a namespace makes its own.
    Namespace(Bound<'py, PyAny>, Bound<'py, PyAny>),
    /// The caller's, and what keeps its elements.
    Given(Bound<'py, PyAny>, #[expect(dead_code, reason = "it is kept to be dropped")] Option<Taken>),
}

impl<'py> Output<'py> {
    /// A new array of numbers.
    pub(crate) fn new(py: Python<'py>, kind: &Kind<'py>, shape: &[usize], dtype: DType) -> PyResult<Self> {
        Self::of(py, kind, shape, Elements::Float(dtype))
    }

    /// A new array of indices.
    pub(crate) fn of_indices(py: Python<'py>, kind: &Kind<'py>, shape: &[usize]) -> PyResult<Self> {
        Self::of(py, kind, shape, Elements::Index(IndexType::I64))
    }

    fn of(py: Python<'py>, kind: &Kind<'py>, shape: &[usize], elements: Elements) -> PyResult<Self> {
        if let Kind::Exchange(exchange) = *kind {
            let held = exchange.empty(py, shape, elements)?;
            return Ok(Output { memory: held.memory(py, "out")?, owner: Owner::Held(exchange, held) });
        }
        let array = numpy::empty(py, shape, elements)?;
        let (memory, _) = numpy::memory("out", &array, true)?;
        let owner = match kind {
            Kind::Namespace(namespace) => Owner::Namespace(namespace.clone(), array),
            _ => Owner::Object(array),
        };
        Ok(Output { memory, owner })
    }

    /// The array that a caller gives, or a new one.
    pub(crate) fn given_or_new(
        given: Option<Bound<'py, PyAny>>,
        (py, kind): (Python<'py>, &Kind<'py>),
        shape: &[usize],
        dtype: DType,
    ) -> PyResult<Self> {
        match given {
            Some(given) => Self::given(given),
            None => Self::new(py, kind, shape, dtype),
        }
    }

    fn given(object: Bound<'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let mut taken = None;
        let memory = if numpy::is_array(&object)? {
            numpy::memory("out", &object, true)?.0
        } else if let Some(exchange) = Exchange::of(&object)? {
            let requires_grad = object.getattr_opt(intern!(py, "requires_grad"))?;
            if requires_grad.map_or(Ok(false), |flag| flag.extract())? || has_another_sign(&object)? {
                let problem = "expected a plain tensor, got one that requires a gradient or whose negative bit is set";
                return Err(error(py, "read_only", "out", problem));
            }
            exchange.memory("out", &object)?
        } else if object.hasattr(intern!(py, "__array_struct__"))? {
            numpy::memory("out", &object, true)?.0
        } else {
            let of_capsule = Taken::of("out", &object)?;
            if !of_capsule.is_writable() {
                let problem = "expected an array that is known to be writable, by DLPack 1 or newer";
                return Err(error(py, "read_only", "out", problem));
            }
            let memory = of_capsule.memory(py, "out")?;
            taken = Some(of_capsule);
            memory
        };
        if !matches!(memory.elements, Elements::Float(_)) {
            return Err(unsupported(&"out", &object, "float32, float64, float16 or bfloat16"));
        }
        Ok(Output { memory, owner: Owner::Given(object, taken) })
    }

    /// The elements, with so many axes of one element before the others.
    pub(crate) fn tensor(&mut self, py: Python<'_>, ones: usize) -> PyResult<TensorMut<'_>> {
        let Elements::Float(dtype) = self.memory.elements else { unreachable!("it is made for numbers") };
        // SAFETY: what owns the elements keeps them for as long as this is borrowed. A new array is known to nobody else, and of the
        // caller's it is documented that no other thread uses it meanwhile.
        unsafe { self.memory.tensor_mut(dtype, ones) }.map_err(|error| of_core(py, &error))
    }

    /// The elements as indices.
    pub(crate) fn indices(&mut self, py: Python<'_>, ones: usize) -> PyResult<IndicesMut<'_>> {
        let Elements::Index(index_type) = self.memory.elements else { unreachable!("it is made for indices") };
        // SAFETY: as above.
        unsafe { self.memory.indices_mut(index_type, ones) }.map_err(|error| of_core(py, &error))
    }

    /// The result.
    pub(crate) fn finish(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.owner {
            Owner::Object(object) | Owner::Given(object, _) => Ok(object),
            Owner::Held(exchange, held) => exchange.object(py, held),
            Owner::Namespace(namespace, array) => namespace.call_method1(intern!(py, "from_dlpack"), (array,)),
        }
    }
}

/// The arrays that a caller gives for `N` results: none, a tuple of them, or for a single result the array. Any may be `None`.
pub(crate) fn given<'py, const N: usize>(
    py: Python<'py>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
    let Some(out) = out else { return Ok([const { None }; N]) };
    if N == 1 {
        return Ok([(); N].map(|()| Some(out.clone())));
    }
    let given = match out.cast::<PyTuple>() {
        Ok(tuple) if tuple.len() == N => tuple,
        _ => return Err(error(py, "missing", "out", format!("expected a tuple of {N} arrays, or None for new ones"))),
    };
    let mut arrays = [const { None }; N];
    for (array, given) in arrays.iter_mut().zip(given) {
        *array = (!given.is_none()).then_some(given);
    }
    Ok(arrays)
}

/// The arrays that a caller gives for a list of results: none, or a list or tuple of them. Any may be `None`.
pub(crate) fn given_list<'py>(
    py: Python<'py>,
    out: Option<&Bound<'py, PyAny>>,
    len: usize,
) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
    let given: Option<PyResult<Vec<Option<Bound<'py, PyAny>>>>> = out.map(PyAnyMethods::extract);
    match given {
        None => Ok(vec![None; len]),
        Some(Ok(given)) if given.len() == len => Ok(given),
        Some(_) => Err(error(py, "missing", "out", format!("expected a list of {len} arrays, or None for new ones"))),
    }
}
