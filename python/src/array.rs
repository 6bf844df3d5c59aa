//! An argument that is an array: of NumPy, of PyTorch, or of whoever speaks DLPack.

use crate::capsule::Taken;
use crate::elements::{Elements, promoted};
use crate::error::error;
use crate::exchange::{Exchange, Held};
use crate::kind::Kind;
use crate::memory::Memory;
use crate::numpy;
use contrib_core::{DType, Indices, Tensor};
use pyo3::intern;
use pyo3::prelude::*;
use std::fmt::Display;

/// An array of numbers to read. Nothing is copied, unless its elements are integers, or lie in memory with another sign.
pub(crate) struct Array<'py> {
    /// Valid for as long as the keeper.
    view: Tensor<'static>,
    /// Whether it was cast from integers, which do not say what the type of results is.
    was_cast: bool,
    pub(crate) kind: Kind<'py>,
    keeper: Keeper,
}

/// What keeps the elements of an array where they are.
#[expect(dead_code, reason = "they are kept to be dropped")]
pub(crate) enum Keeper {
    Object(Py<PyAny>),
    Held(Held),
    Taken(Taken),
}

/// For how long an array is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The call ends, which holds the object.
    TheCallEnds,
    /// Whoever keeps the array drops it, whatever becomes of the object in the meantime.
    Dropped,
}

/// An array as it is found, whatever its elements are.
struct Found<'py> {
    object: Bound<'py, PyAny>,
    memory: Memory,
    kind: Kind<'py>,
    keeper: Keeper,
}

impl<'py> Found<'py> {
    fn new(name: &dyn Display, object: &Bound<'py, PyAny>, until: Until) -> PyResult<Self> {
        let py = object.py();
        if numpy::is_array(object)? {
            return Self::of_numpy(name, object.clone());
        }
        if let Some(exchange) = Exchange::of(object)? {
            return Self::of_exchange(name, object, exchange, until);
        }
        if object.hasattr(intern!(py, "__array_struct__"))? {
            return Self::of_numpy(name, object.clone());
        }
        if object.hasattr(intern!(py, "__dlpack__"))? {
            return Self::of_capsule(name, object);
        }
        Self::of_numpy(name, numpy::as_array(object)?)
    }

    fn of_numpy(name: &dyn Display, object: Bound<'py, PyAny>) -> PyResult<Self> {
        let (memory, capsule) = numpy::memory(name, &object, false)?;
        Ok(Found { object, memory, kind: Kind::NumPy, keeper: Keeper::Object(capsule.unbind()) })
    }

    fn of_exchange(name: &dyn Display, object: &Bound<'py, PyAny>, exchange: Exchange, until: Until) -> PyResult<Self> {
        let object = with_its_own_sign(object)?;
        let (memory, keeper) = match until {
            Until::TheCallEnds => (exchange.memory(name, &object)?, Keeper::Object(object.clone().unbind())),
            Until::Dropped => {
                let held = exchange.hold(name, &object)?;
                (held.memory(object.py(), name)?, Keeper::Held(held))
            }
        };
        Ok(Found { object, memory, kind: Kind::Exchange(exchange), keeper })
    }

    fn of_capsule(name: &dyn Display, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let kind = Kind::of_namespace(object)?;
        let mut object = with_its_own_sign(object)?;
        if let Some(detach) = object.getattr_opt(intern!(object.py(), "detach"))? {
            object = detach.call0()?;
        }
        let taken = Taken::of(name, &object)?;
        Ok(Found { memory: taken.memory(object.py(), name)?, object, kind, keeper: Keeper::Taken(taken) })
    }

    /// The same numbers as floating-point numbers, of the type that the library makes of integers.
    fn cast(self, name: &dyn Display) -> PyResult<Self> {
        let py = self.object.py();
        match self.kind {
            Kind::NumPy => Self::of_numpy(name, numpy::as_float64(&self.object)?),
            _ if is_torch(&self.object)? => {
                let dtype = py.import("torch")?.call_method0("get_default_dtype")?;
                let object = self.object.call_method1(intern!(py, "to"), (dtype,))?;
                Self::new(name, &object, Until::Dropped)
            }
            _ => Err(unsupported(name, &self.object, "float32, float64, float16 or bfloat16")),
        }
    }
}

impl<'py> Array<'py> {
    /// The array that an argument is.
    pub(crate) fn new(name: impl Display, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::read(&name, object, Until::TheCallEnds)
    }

    /// The array that an argument is, where there is one.
    pub(crate) fn optional(name: impl Display, object: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Self>> {
        object.map(|object| Self::new(name, object)).transpose()
    }

    /// The same, to be read for so long.
    pub(crate) fn read(name: &dyn Display, object: &Bound<'py, PyAny>, until: Until) -> PyResult<Self> {
        let mut found = Found::new(name, object, until)?;
        let is_integer = matches!(found.memory.elements, Elements::Index(_) | Elements::OtherInteger);
        if is_integer {
            found = found.cast(name)?;
        }
        let Elements::Float(dtype) = found.memory.elements else {
            return Err(unsupported(name, object, "float32, float64, float16, bfloat16 or integers"));
        };
        // SAFETY: the keeper keeps the elements where they are, and the view is lent for no longer than that exists. That nobody
        // writes to them meanwhile from another thread is documented of the package, as it is of NumPy.
        let view = unsafe { found.memory.tensor(dtype) };
        let view = view.map_err(|problem| error(object.py(), "misaligned", name, problem.cause()))?;
        Ok(Array { view, was_cast: is_integer, kind: found.kind, keeper: found.keeper })
    }

    /// Its elements.
    pub(crate) fn tensor(&self) -> Tensor<'_> {
        self.view
    }

    /// Its elements, with so many axes of one element before the others. As many as fit.
    pub(crate) fn led_by(&self, ones: usize) -> Tensor<'_> {
        let room = contrib_core::MAX_NDIM - self.shape().len();
        (0..ones.min(room)).fold(self.view, |view, _| view.with_axis(0))
    }

    /// What it says of the type of results.
    pub(crate) fn says(&self) -> Says {
        Says { dtype: self.view.dtype(), was_cast: self.was_cast }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.view.shape()
    }

    /// The view and what keeps it valid.
    pub(crate) fn into_parts(self) -> (Tensor<'static>, Keeper) {
        (self.view, self.keeper)
    }
}

/// What an argument says of the type of results.
#[derive(Clone, Copy)]
pub(crate) struct Says {
    pub(crate) dtype: DType,
    /// Integers count only among themselves.
    pub(crate) was_cast: bool,
}

/// What PyTorch's promotion makes of the types of these arguments.
pub(crate) fn result_type(arguments: impl IntoIterator<Item = Says>) -> DType {
    let (mut of_floats, mut of_integers) = (None, None);
    for Says { dtype, was_cast } in arguments {
        let so_far = if was_cast { &mut of_integers } else { &mut of_floats };
        *so_far = Some(so_far.map_or(dtype, |so_far| promoted(so_far, dtype)));
    }
    of_floats.or(of_integers).unwrap_or(DType::F32)
}

/// An array of integers to read.
pub(crate) struct Positions {
    /// Valid for as long as the keeper.
    view: Indices<'static>,
    #[expect(dead_code, reason = "it is kept to be dropped")]
    keeper: Keeper,
}

impl Positions {
    /// The array that an argument is, with so many axes of one element before the others.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>, ones: usize) -> PyResult<Self> {
        let found = Found::new(&name, object, Until::TheCallEnds)?;
        let Elements::Index(index_type) = found.memory.elements else {
            return Err(unsupported(&name, object, "int32 or int64"));
        };
        // SAFETY: as in `Array::read`.
        let view = unsafe { found.memory.indices(index_type, ones) };
        let view = view.map_err(|problem| error(object.py(), "misaligned", name, problem.cause()))?;
        Ok(Positions { view, keeper: found.keeper })
    }

    pub(crate) fn indices(&self) -> Indices<'_> {
        self.view
    }
}

/// A tensor of PyTorch's may be a view whose elements have another sign than in memory, which DLPack does not say: such a one is
/// copied.
pub(crate) fn with_its_own_sign<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if has_another_sign(object)? { object.call_method0(intern!(py, "resolve_neg")) } else { Ok(object.clone()) }
}

/// Whether an object is a tensor of PyTorch's whose elements have another sign than in memory.
pub(crate) fn has_another_sign(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    match object.getattr_opt(intern!(object.py(), "is_neg"))? {
        Some(is_neg) => is_neg.call0()?.extract(),
        None => Ok(false),
    }
}

fn is_torch(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.hasattr(intern!(object.py(), "is_neg"))
}

/// The error of an array of another type.
pub(crate) fn unsupported(name: &dyn Display, object: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let dtype = object.getattr("dtype").and_then(|dtype| Ok(dtype.str()?.to_string()));
    let got = dtype.unwrap_or_else(|_| object.get_type().to_string());
    error(object.py(), "dtype", name, format!("expected elements of {expected}, got {got}"))
}

/// A shape without its last axis, which is that of vectors: the batch, or parts and batch.
pub(crate) fn without_last(shape: &[usize]) -> &[usize] {
    shape.split_last().map_or(&[], |(_, rest)| rest)
}
