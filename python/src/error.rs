//! What is wrong with a call, as Python's exceptions.

use contrib_core::Cause;
use contrib_routes::Error as RoutesError;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::fmt::Display;

/// The classes of `residual_routes._errors`.
static ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TYPE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static OUT_OF_MEMORY: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// An exception that names an argument and what is wrong with it. `status` is what `residual_routes.Error.status` documents.
pub(crate) fn error(py: Python<'_>, status: &'static str, argument: impl Display, problem: impl Display) -> PyErr {
    let argument = argument.to_string();
    raise(py, status, &format!("{argument}: {problem}"), &argument)
}

fn raise(py: Python<'_>, status: &'static str, sentence: &str, argument: &str) -> PyErr {
    let (class, name) = match status {
        "dtype" | "device" | "layout" => (&TYPE_ERROR, "UnsupportedArray"),
        "out_of_memory" => (&OUT_OF_MEMORY, "OutOfMemory"),
        _ => (&ERROR, "Error"),
    };
    let exception =
        class.import(py, "residual_routes._errors", name).and_then(|class| class.call1((sentence, status, argument)));
    exception.map_or_else(|error| error, PyErr::from_value)
}

/// What the core says of a call.
pub(crate) fn of_core(py: Python<'_>, error: &contrib_core::Error) -> PyErr {
    raise(py, status(error.cause()), &error.to_string(), &error.argument().to_string())
}

fn status(cause: &Cause) -> &'static str {
    match cause {
        Cause::NullPointer => "null_pointer",
        Cause::NdimOutOfRange { .. } => "ndim",
        Cause::SizeOverflow => "size_overflow",
        Cause::TooLarge { .. } => "too_large",
        Cause::Misaligned { .. } => "misaligned",
        Cause::Rank { .. } => "rank",
        Cause::ShapeMismatch { .. } => "shape",
        Cause::Overlap { .. } => "overlap",
        Cause::OverlapsItself => "self_overlap",
        Cause::InvalidNorm { .. } => "norm",
        Cause::InvalidThreshold => "threshold",
        Cause::InvalidNumber { .. } => "number",
        Cause::PreparedOfAnother { .. } => "prepared",
        Cause::Heads { .. } => "heads",
        Cause::TopK { .. } | Cause::IndexType { .. } => "top_k",
        Cause::TooManyThreads { .. } => "too_many_threads",
        Cause::OutOfMemory { .. } => "out_of_memory",
        _ => "internal",
    }
}

/// What the search for routes says. `interrupt` is what a callback raised, where it stopped the work.
pub(crate) fn of_routes(py: Python<'_>, error: &RoutesError, interrupt: Option<PyErr>) -> PyErr {
    let sentence = error.to_string();
    let (status, argument) = match error {
        RoutesError::Stopped => return interrupt.unwrap_or_else(|| PyKeyboardInterrupt::new_err(())),
        RoutesError::Io(error) => return std::io::Error::new(error.kind(), sentence).into(),
        RoutesError::Core(error) => return of_core(py, error),
        RoutesError::Header(_) => ("header", "recording".to_string()),
        RoutesError::Metadata { key, .. } => ("metadata", (*key).to_string()),
        RoutesError::Missing { tensor } => ("missing", tensor.to_string()),
        RoutesError::Shape { tensor, .. } => ("shape", tensor.to_string()),
        RoutesError::Heads { tensor, .. } => ("heads", tensor.to_string()),
        RoutesError::ElementType { tensor, .. } => ("dtype", tensor.to_string()),
        RoutesError::Misaligned { tensor, .. } => ("misaligned", tensor.to_string()),
        RoutesError::Number { name, .. } => ("number", name.to_string()),
        RoutesError::NotFinite { tensor, .. } => ("not_finite", tensor.to_string()),
        RoutesError::NotANumber { .. } => ("not_finite", "recording".to_string()),
        RoutesError::Target { .. } => ("target", "targets".to_string()),
        RoutesError::TooLarge { what, .. } => ("too_large", (*what).to_string()),
        RoutesError::Choice { name, .. } => ("number", (*name).to_string()),
        RoutesError::Unlike { what } => ("unlike", (*what).to_string()),
        RoutesError::OutOfMemory { .. } => ("out_of_memory", "recording".to_string()),
        _ => ("internal", "recording".to_string()),
    };
    raise(py, status, &sentence, &argument)
}
