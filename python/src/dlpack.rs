//! The structs of DLPack 1, by which array libraries hand tensors to each other.

use std::ffi::{c_char, c_int, c_void};

/// The major version of the structs below. Another one may have others.
pub(crate) const MAJOR_VERSION: u32 = 1;

/// Types of devices whose memory the host can read.
pub(crate) const CPU: i32 = 1;
const CUDA_HOST: i32 = 3;
const ROCM_HOST: i32 = 11;
const CUDA_MANAGED: i32 = 13;

/// Codes of element types.
pub(crate) const INT: u8 = 0;
pub(crate) const UINT: u8 = 1;
pub(crate) const FLOAT: u8 = 2;
pub(crate) const BFLOAT: u8 = 4;

/// A flag of a managed tensor: that it must not be written to.
pub(crate) const READ_ONLY: u64 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Device {
    pub(crate) kind: i32,
    pub(crate) id: i32,
}

impl Device {
    /// Whether the host can read its memory.
    pub(crate) fn is_read_by_the_host(self) -> bool {
        [CPU, CUDA_HOST, ROCM_HOST, CUDA_MANAGED].contains(&self.kind)
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ElementType {
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
}

/// `DLTensor`
#[repr(C)]
pub(crate) struct Tensor {
    pub(crate) data: *mut c_void,
    pub(crate) device: Device,
    pub(crate) ndim: i32,
    pub(crate) dtype: ElementType,
    pub(crate) shape: *mut i64,
    /// In elements; null where the tensor is row-major.
    pub(crate) strides: *mut i64,
    pub(crate) byte_offset: u64,
}

/// `DLManagedTensor`, of libraries older than DLPack 1.
#[repr(C)]
pub(crate) struct Managed {
    pub(crate) tensor: Tensor,
    manager: *mut c_void,
    pub(crate) deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

/// `DLManagedTensorVersioned`
#[repr(C)]
pub(crate) struct ManagedVersioned {
    pub(crate) version: Version,
    manager: *mut c_void,
    pub(crate) deleter: Option<unsafe extern "C" fn(*mut ManagedVersioned)>,
    pub(crate) flags: u64,
    pub(crate) tensor: Tensor,
}

/// What an allocator calls where it fails.
pub(crate) type SetError = unsafe extern "C" fn(*mut c_void, kind: *const c_char, message: *const c_char);

/// `DLPackExchangeAPI`: functions that a type of arrays offers, with which no Python code runs. Those that may be missing or that
/// nothing here calls are addresses.
#[repr(C)]
pub(crate) struct ExchangeApi {
    pub(crate) version: Version,
    previous: *const c_void,
    pub(crate) allocate: unsafe extern "C" fn(*mut Tensor, *mut *mut ManagedVersioned, *mut c_void, SetError) -> c_int,
    pub(crate) managed_from_object: unsafe extern "C" fn(*mut c_void, *mut *mut ManagedVersioned) -> c_int,
    pub(crate) object_from_managed: unsafe extern "C" fn(*mut ManagedVersioned, *mut *mut c_void) -> c_int,
    pub(crate) tensor_from_object: Option<unsafe extern "C" fn(*mut c_void, *mut Tensor) -> c_int>,
    current_work_stream: *const c_void,
}
