//! Arrays of NumPy, by its array interface: a struct behind an attribute, the same in all its versions.

use crate::elements::Elements;
use crate::error::error;
use crate::memory::{Extents, Memory};
use contrib_core::{DType, IndexType};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCapsule, PyCapsuleMethods, PyTuple, PyType};
use std::ffi::{c_char, c_int, c_void};
use std::fmt::Display;

/// `PyArrayInterface`
#[repr(C)]
struct Interface {
    two: c_int,
    ndim: c_int,
    type_kind: c_char,
    item_size: c_int,
    flags: c_int,
    shape: *const isize,
    /// In bytes.
    strides: *const isize,
    data: *mut c_void,
    description: *mut c_void,
}

/// Flags of the interface.
const NOT_SWAPPED: c_int = 0x200;
const WRITEABLE: c_int = 0x400;

/// The objects of NumPy that are needed again and again.
struct NumPy {
    ndarray: Py<PyType>,
    empty: Py<PyAny>,
    asarray: Py<PyAny>,
    float16: Py<PyAny>,
    float32: Py<PyAny>,
    float64: Py<PyAny>,
    int32: Py<PyAny>,
    int64: Py<PyAny>,
}

fn numpy(py: Python<'_>) -> PyResult<&'static NumPy> {
    static NUMPY: PyOnceLock<NumPy> = PyOnceLock::new();
    NUMPY.get_or_try_init(py, || {
        let module = py.import("numpy")?;
        let dtype = |name: &str| Ok::<_, PyErr>(module.getattr("dtype")?.call1((name,))?.unbind());
        Ok(NumPy {
            ndarray: module.getattr("ndarray")?.cast_into::<PyType>()?.unbind(),
            empty: module.getattr("empty")?.unbind(),
            asarray: module.getattr("asarray")?.unbind(),
            float16: dtype("float16")?,
            float32: dtype("float32")?,
            float64: dtype("float64")?,
            int32: dtype("int32")?,
            int64: dtype("int64")?,
        })
    })
}

/// Whether it is an array of NumPy's own type.
pub(crate) fn is_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.get_type_ptr().cast() == numpy(object.py())?.ndarray.as_ptr())
}

/// Whatever NumPy makes an array of.
pub(crate) fn as_array<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    numpy(object.py())?.asarray.bind(object.py()).call1((object,))
}

/// An array of integers as `float64`.
pub(crate) fn as_float64<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    array.call_method1(intern!(py, "astype"), (&numpy(py)?.float64,))
}

/// A new array whose elements may be anything.
pub(crate) fn empty<'py>(py: Python<'py>, shape: &[usize], elements: Elements) -> PyResult<Bound<'py, PyAny>> {
    let numpy = numpy(py)?;
    let dtype = match elements {
        Elements::Float(DType::F16) => &numpy.float16,
        Elements::Float(DType::F32) => &numpy.float32,
        Elements::Float(DType::F64) => &numpy.float64,
        // The package that gave NumPy the type of the arguments.
        Elements::Float(DType::Bf16) => &py.import("ml_dtypes")?.getattr("bfloat16")?.unbind(),
        Elements::Index(IndexType::I32) => &numpy.int32,
        Elements::Index(IndexType::I64) | Elements::OtherInteger | Elements::Other => &numpy.int64,
    };
    numpy.empty.bind(py).call1((PyTuple::new(py, shape)?, dtype))
}

/// An array of these numbers.
pub(crate) fn of_f64<'py>(py: Python<'py>, numbers: &[f64], shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new_with(py, size_of_val(numbers), |bytes| {
        for (bytes, number) in bytes.chunks_exact_mut(size_of::<f64>()).zip(numbers) {
            bytes.copy_from_slice(&number.to_ne_bytes());
        }
        Ok(())
    })?;
    let array = py.import("numpy")?.call_method1("frombuffer", (bytes, &numpy(py)?.float64))?;
    array.call_method1("reshape", (PyTuple::new(py, shape)?,))
}

/// What keeps an array's elements where they are, and where that is.
pub(crate) fn memory<'py>(
    name: impl Display,
    array: &Bound<'py, PyAny>,
    is_written: bool,
) -> PyResult<(Memory, Bound<'py, PyAny>)> {
    let py = array.py();
    let capsule = array.getattr(intern!(py, "__array_struct__"))?.cast_into::<PyCapsule>()?;
    let interface = capsule.pointer_checked(None)?.cast::<Interface>();
    // SAFETY: that is what such a capsule points to, for as long as it exists.
    let interface = unsafe { interface.as_ref() };
    let elements = elements(array, interface)?;
    if interface.flags & NOT_SWAPPED == 0 {
        return Err(error(py, "byte_order", name, "expected elements in this machine's byte order, got the other"));
    }
    if is_written && interface.flags & WRITEABLE == 0 {
        return Err(error(py, "read_only", name, "expected an array that can be written to, got a read-only one"));
    }
    let (mut shape, mut strides) = (Extents::new(), Extents::new());
    let size = elements.size().unwrap_or(1) as isize;
    for axis in 0..usize::try_from(interface.ndim).unwrap_or(0) {
        // SAFETY: the interface has an extent and a stride for each axis.
        let (extent, stride) = unsafe { (*interface.shape.add(axis), *interface.strides.add(axis)) };
        if stride % size != 0 && extent > 1 {
            let problem = format!("expected strides that are multiples of {size} bytes, got {stride} on axis {axis}");
            return Err(error(py, "strides", name, problem));
        }
        shape.push(usize::try_from(extent).unwrap_or(0));
        strides.push(stride / size);
    }
    Ok((Memory { data: interface.data, elements, shape, strides }, capsule.into_any()))
}

/// The type of an array's elements.
fn elements(array: &Bound<'_, PyAny>, interface: &Interface) -> PyResult<Elements> {
    Ok(match (interface.type_kind as u8, interface.item_size) {
        (b'f', 2) => Elements::Float(DType::F16),
        (b'f', 4) => Elements::Float(DType::F32),
        (b'f', 8) => Elements::Float(DType::F64),
        (b'i', 4) => Elements::Index(IndexType::I32),
        (b'i', 8) => Elements::Index(IndexType::I64),
        (b'i' | b'u', _) => Elements::OtherInteger,
        (b'V', 2) if dtype_name(array)? == "bfloat16" => Elements::Float(DType::Bf16),
        _ => Elements::Other,
    })
}

fn dtype_name(array: &Bound<'_, PyAny>) -> PyResult<String> {
    array.getattr("dtype")?.getattr("name")?.extract()
}
