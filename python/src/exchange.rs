//! Arrays whose type offers DLPack's functions for C, as PyTorch's does: they are read and made without Python code.

use crate::dlpack::{self, Device, ExchangeApi, ManagedVersioned, Version};
use crate::elements::Elements;
use crate::error::error;
use crate::memory::{Extents, Memory, row_major};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use std::ffi::{CStr, c_char, c_void};
use std::fmt::Display;
use std::ptr::{self, NonNull};

/// The functions of a type.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    api: &'static ExchangeApi,
}

impl Exchange {
    /// Those of the type of an object, where it has some of this version.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = object.py();
        let Some(capsule) = object.get_type().getattr_opt(intern!(py, "__dlpack_c_exchange_api__"))? else {
            return Ok(None);
        };
        let pointer = capsule.cast::<PyCapsule>()?.pointer_checked(Some(c"dlpack_exchange_api"))?;
        // SAFETY: such a capsule points to a table that lives as long as the process, which begins with a version.
        let version = unsafe { pointer.cast::<Version>().read() };
        if version.major != dlpack::MAJOR_VERSION {
            return Ok(None);
        }
        // SAFETY: of this version, the table is the struct.
        Ok(Some(Exchange { api: unsafe { pointer.cast::<ExchangeApi>().as_ref() } }))
    }

    /// Where the elements of an object of this type are, for as long as nobody changes what it refers to.
    pub(crate) fn memory(self, name: impl Display, object: &Bound<'_, PyAny>) -> PyResult<Memory> {
        let py = object.py();
        let Some(tensor_from_object) = self.api.tensor_from_object else {
            return self.hold(&name, object)?.memory(py, name);
        };
        let mut tensor = dlpack::Tensor {
            data: ptr::null_mut(),
            device: Device { kind: 0, id: 0 },
            ndim: 0,
            dtype: dlpack::ElementType { code: 0, bits: 0, lanes: 0 },
            shape: ptr::null_mut(),
            strides: ptr::null_mut(),
            byte_offset: 0,
        };
        // SAFETY: the object is of the type that the functions are of; the thread is attached to the interpreter.
        if unsafe { tensor_from_object(object.as_ptr().cast(), &raw mut tensor) } != 0 {
            return Err(refused(&name, PyErr::fetch(py), py));
        }
        // SAFETY: the function has set all fields, and the object's extents and strides exist.
        unsafe { Memory::of_dlpack(py, name, &tensor) }
    }

    /// A reference of one's own to the elements of an object of this type, whatever becomes of the object.
    pub(crate) fn hold(self, name: impl Display, object: &Bound<'_, PyAny>) -> PyResult<Held> {
        let mut managed = ptr::null_mut();
        // SAFETY: as in `memory`.
        let status = unsafe { (self.api.managed_from_object)(object.as_ptr().cast(), &raw mut managed) };
        match NonNull::new(managed) {
            Some(managed) if status == 0 => Ok(Held { managed }),
            _ => Err(refused(name, PyErr::fetch(object.py()), object.py())),
        }
    }

    /// A new array of this type, in the host's memory, whose elements may be anything.
    pub(crate) fn empty(self, py: Python<'_>, shape: &[usize], elements: Elements) -> PyResult<Held> {
        let mut extents: Extents<i64> = shape.iter().map(|&extent| extent as i64).collect();
        let mut strides: Extents<i64> = row_major(shape).iter().map(|&stride| stride as i64).collect();
        let dtype = elements.to_dlpack().ok_or_else(|| PyRuntimeError::new_err("results of another type"))?;
        let mut prototype = dlpack::Tensor {
            data: ptr::null_mut(),
            device: Device { kind: dlpack::CPU, id: 0 },
            ndim: shape.len() as i32,
            dtype,
            shape: extents.as_mut_ptr(),
            strides: strides.as_mut_ptr(),
            byte_offset: 0,
        };
        let mut managed = ptr::null_mut();
        let mut message = String::new();
        let context = (&raw mut message).cast::<c_void>();
        // SAFETY: the prototype has all fields, and `set_error` is given the string.
        let status = unsafe { (self.api.allocate)(&raw mut prototype, &raw mut managed, context, set_error) };
        match NonNull::new(managed) {
            Some(managed) if status == 0 => Ok(Held { managed }),
            _ => Err(PyErr::take(py).unwrap_or_else(|| PyRuntimeError::new_err(message))),
        }
    }

    /// The array that refers to these elements.
    pub(crate) fn object(self, py: Python<'_>, held: Held) -> PyResult<Bound<'_, PyAny>> {
        let mut object = ptr::null_mut();
        let managed = held.managed;
        std::mem::forget(held);
        // SAFETY: the function takes the reference that `held` was.
        let status = unsafe { (self.api.object_from_managed)(managed.as_ptr(), &raw mut object) };
        if status != 0 || object.is_null() {
            return Err(PyErr::fetch(py));
        }
        // SAFETY: the function gives a new reference to an object.
        Ok(unsafe { Bound::from_owned_ptr(py, object.cast()) })
    }
}

/// The error of an array that its own library cannot hand out, such as a sparse one.
fn refused(name: impl Display, cause: PyErr, py: Python<'_>) -> PyErr {
    let sentence = cause.value(py).to_string();
    let problem = sentence.lines().next().unwrap_or_default();
    let refused = error(py, "layout", name, format!("expected a plain array in the host's memory: {problem}"));
    refused.set_cause(py, Some(cause));
    refused
}

/// Keeps what an allocator says in the string that is its context.
unsafe extern "C" fn set_error(context: *mut c_void, _kind: *const c_char, message: *const c_char) {
    if !context.is_null() && !message.is_null() {
        // SAFETY: the context is the string of `Exchange::empty`, which waits; the message is a C string.
        unsafe { *context.cast::<String>() = CStr::from_ptr(message).to_string_lossy().into_owned() };
    }
}

/// A reference to the elements of an array.
pub(crate) struct Held {
    managed: NonNull<ManagedVersioned>,
}

// SAFETY: DLPack's deleters may be called from any thread; nothing else is done with the pointer's target but reading it.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// Takes what somebody gives.
    ///
    /// # Safety
    /// It is a tensor whose deleter nobody else will call.
    pub(crate) const unsafe fn new(managed: NonNull<ManagedVersioned>) -> Self {
        Held { managed }
    }

    /// Where the elements are.
    pub(crate) fn memory(&self, py: Python<'_>, name: impl Display) -> PyResult<Memory> {
        // SAFETY: the tensor has all fields until it is deleted.
        unsafe { Memory::of_dlpack(py, name, &self.managed.as_ref().tensor) }
    }

    /// Whether the elements must not be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.managed.as_ref() }.flags & dlpack::READ_ONLY != 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the tensor exists, and its deleter is called this once.
        unsafe {
            if let Some(deleter) = self.managed.as_ref().deleter {
                deleter(self.managed.as_ptr());
            }
        }
    }
}
