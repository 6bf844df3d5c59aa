//! Arrays of any library that speaks DLPack: `__dlpack__()` gives a capsule.

use crate::dlpack::{self, Managed, ManagedVersioned};
use crate::error::error;
use crate::exchange::Held;
use crate::memory::{Memory, check_device};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyDict};
use std::ffi::CStr;
use std::fmt::Display;
use std::ptr::NonNull;

const VERSIONED: &CStr = c"dltensor_versioned";
const USED_VERSIONED: &CStr = c"used_dltensor_versioned";
const UNVERSIONED: &CStr = c"dltensor";
const USED_UNVERSIONED: &CStr = c"used_dltensor";

/// A reference to the elements of such an array.
pub(crate) enum Taken {
    Versioned(Held),
    /// Of a library older than DLPack 1, which does not say what may be written to.
    Unversioned(Unversioned),
}

/// A tensor whose deleter nobody else calls.
pub(crate) struct Unversioned(NonNull<Managed>);

// SAFETY: DLPack's deleters may be called from any thread; nothing else is done with the pointer's target but reading it.
unsafe impl Send for Unversioned {}
// SAFETY: as above.
unsafe impl Sync for Unversioned {}

impl Drop for Unversioned {
    fn drop(&mut self) {
        // SAFETY: the tensor exists, and its deleter is called this once.
        unsafe {
            if let Some(deleter) = self.0.as_ref().deleter {
                deleter(self.0.as_ptr());
            }
        }
    }
}

impl Taken {
    /// What the object gives; an error where its memory is not the host's.
    pub(crate) fn of(name: impl Display, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let (kind, id): (i32, i32) = object.call_method0(intern!(py, "__dlpack_device__"))?.extract()?;
        check_device(py, &name, dlpack::Device { kind, id })?;
        let method = object.getattr(intern!(py, "__dlpack__"))?;
        let options = PyDict::new(py);
        options.set_item(intern!(py, "max_version"), (dlpack::MAJOR_VERSION, 0))?;
        let capsule = match method.call((), Some(&options)) {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => method.call0()?,
            given => given?,
        };
        let capsule = capsule.cast_into::<PyCapsule>()?;
        let take = |name: &'static CStr, used: &'static CStr| {
            let pointer = capsule.pointer_checked(Some(name))?;
            // SAFETY: the capsule is one, and the name lives for ever. Its destructor leaves what has this name alone.
            if unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) } != 0 {
                return Err(PyErr::fetch(py));
            }
            Ok(pointer)
        };
        if !capsule.is_valid_checked(Some(VERSIONED)) {
            let managed = take(UNVERSIONED, USED_UNVERSIONED)?.cast();
            return Ok(Taken::Unversioned(Unversioned(managed)));
        }
        let managed = take(VERSIONED, USED_VERSIONED)?.cast::<ManagedVersioned>();
        // SAFETY: the version, the deleter and the flags are at the same place in every version; the capsule has given the tensor
        // away.
        let (version, held) = unsafe { (managed.as_ref().version, Held::new(managed)) };
        if version.major != dlpack::MAJOR_VERSION {
            let problem = format!("expected DLPack {}, got {}.{}", dlpack::MAJOR_VERSION, version.major, version.minor);
            return Err(error(py, "dtype", name, problem));
        }
        Ok(Taken::Versioned(held))
    }

    /// Where the elements are.
    pub(crate) fn memory(&self, py: Python<'_>, name: impl Display) -> PyResult<Memory> {
        match self {
            Taken::Versioned(held) => held.memory(py, name),
            // SAFETY: the tensor has all fields until it is deleted.
            Taken::Unversioned(Unversioned(managed)) => unsafe {
                Memory::of_dlpack(py, name, &managed.as_ref().tensor)
            },
        }
    }

    /// Whether it is known that the elements may be written to.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self, Taken::Versioned(held) if !held.is_read_only())
    }
}
