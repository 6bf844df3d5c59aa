//! What results are: arrays of the library that the caller's whole is of.

use crate::exchange::Exchange;
use pyo3::intern;
use pyo3::prelude::*;

/// The library of an array.
#[derive(Clone)]
pub(crate) enum Kind<'py> {
    NumPy,
    /// One whose arrays are read and made without Python code: PyTorch.
    Exchange(Exchange),
    /// One that makes an array of NumPy's its own: its module has `from_dlpack`.
    Namespace(Bound<'py, PyAny>),
}

impl<'py> Kind<'py> {
    /// The library of an array that speaks DLPack. NumPy, where it does not say.
    pub(crate) fn of_namespace(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        if let Some(namespace) = object.getattr_opt(intern!(py, "__array_namespace__"))? {
            return Ok(Kind::Namespace(namespace.call0()?));
        }
        let module: String = object.get_type().getattr(intern!(py, "__module__"))?.extract()?;
        let package = py.import(module.split('.').next().unwrap_or_default())?;
        Ok(if package.hasattr(intern!(py, "from_dlpack"))? { Kind::Namespace(package.into_any()) } else { Kind::NumPy })
    }
}
