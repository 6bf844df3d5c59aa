//! A caller's tensor, read field by field into a checked view.

use crate::failure::Failure;
use contrib_core::{Argument, Cause, DType, Error, IndexType, Indices, IndicesMut, MAX_NDIM, Tensor, TensorMut};
use std::ffi::c_void;

/// `device_type` of ordinary memory (DLPack's `kDLCPU`).
pub const CONTRIB_DEVICE_CPU: i32 = 1;
/// `device_type` of pinned memory that CUDA shares with the host (DLPack's `kDLCUDAHost`).
pub const CONTRIB_DEVICE_CUDA_HOST: i32 = 3;
/// `device_type` of pinned memory that ROCm shares with the host (DLPack's `kDLROCMHost`).
pub const CONTRIB_DEVICE_ROCM_HOST: i32 = 11;
/// `device_type` of CUDA's managed memory (DLPack's `kDLCUDAManaged`).
pub const CONTRIB_DEVICE_CUDA_MANAGED: i32 = 13;

/// `code` of int32 and int64 (DLPack's `kDLInt`), which indices, counts and positions are.
pub const CONTRIB_DTYPE_INT: u8 = 0;
/// `code` of float16, float32 and float64 (DLPack's `kDLFloat`).
pub const CONTRIB_DTYPE_FLOAT: u8 = 2;
/// `code` of bfloat16 (DLPack's `kDLBfloat`).
pub const CONTRIB_DTYPE_BFLOAT: u8 = 4;

/// The type of a tensor's elements, laid out as DLPack's `DLDataType`: float32 is `{CONTRIB_DTYPE_FLOAT, 32, 1}`,
/// bfloat16 `{CONTRIB_DTYPE_BFLOAT, 16, 1}`. Indices, counts and positions are int64, `{CONTRIB_DTYPE_INT, 64, 1}`, or
/// int32. `CONTRIB_F32` and its like are all that there are.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_dtype {
    /// `CONTRIB_DTYPE_FLOAT` or `CONTRIB_DTYPE_BFLOAT`; for integers `CONTRIB_DTYPE_INT`.
    pub code: u8,
    /// 16, 32 or 64 for `CONTRIB_DTYPE_FLOAT`; 16 for `CONTRIB_DTYPE_BFLOAT`; 32 or 64 for `CONTRIB_DTYPE_INT`.
    pub bits: u8,
    /// 1.
    pub lanes: u16,
}

/// A view of a tensor, laid out as DLPack's `DLTensor`, so that a `DLTensor *` can be passed as it is. The library
/// neither keeps nor frees anything that it points to, and reads it only during the call. `CONTRIB_TENSOR` makes one.
///
/// Input strides may be zero (broadcast), negative, or in any order. No two elements of an output may share memory,
/// with each other or with an input. `data` needs no more alignment than its elements, and may be NULL where an
/// extent is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_tensor {
    /// The first element, less `byte_offset`.
    pub data: *mut c_void,
    /// `CONTRIB_DEVICE_CPU`, or another memory that the host can read.
    pub device_type: i32,
    /// Not used.
    pub device_id: i32,
    /// The number of axes, 0 to 16.
    pub ndim: i32,
    /// The type of the elements.
    pub dtype: contrib_dtype,
    /// `ndim` extents; may be NULL where `ndim` is 0.
    pub shape: *mut i64,
    /// `ndim` strides in elements; NULL: row-major.
    pub strides: *mut i64,
    /// Bytes from `data` to the first element.
    pub byte_offset: u64,
}

/// The types that elements of one sort of tensor can have.
trait ElementType: Sized {
    /// Their names, for an error.
    const NAMES: &'static str;

    /// The type with this code and so many bits.
    fn of(code: u8, bits: u8) -> Option<Self>;
}

impl ElementType for DType {
    const NAMES: &'static str = "float32, float64, float16 or bfloat16";

    fn of(code: u8, bits: u8) -> Option<Self> {
        match (code, bits) {
            (CONTRIB_DTYPE_FLOAT, 32) => Some(DType::F32),
            (CONTRIB_DTYPE_FLOAT, 64) => Some(DType::F64),
            (CONTRIB_DTYPE_FLOAT, 16) => Some(DType::F16),
            (CONTRIB_DTYPE_BFLOAT, 16) => Some(DType::Bf16),
            _ => None,
        }
    }
}

impl ElementType for IndexType {
    const NAMES: &'static str = "int32 or int64";

    fn of(code: u8, bits: u8) -> Option<Self> {
        match (code, bits) {
            (CONTRIB_DTYPE_INT, 32) => Some(IndexType::I32),
            (CONTRIB_DTYPE_INT, 64) => Some(IndexType::I64),
            _ => None,
        }
    }
}

/// What a caller's tensor says, checked as far as the core does not check it.
struct Fields<T> {
    data: *mut c_void,
    dtype: T,
    ndim: usize,
    shape: [usize; MAX_NDIM],
    strides: Option<[isize; MAX_NDIM]>,
}

impl<T> Fields<T> {
    fn shape(&self) -> &[usize] {
        &self.shape[..self.ndim]
    }

    fn strides(&self) -> Option<&[isize]> {
        self.strides.as_ref().map(|strides| &strides[..self.ndim])
    }
}

/// The error of a view, which knows no argument.
fn named(argument: Argument, error: &Error) -> Failure {
    Error::new(argument, *error.cause()).into()
}

/// The view of an input.
///
/// # Safety
/// - `tensor` is null, or points to a tensor whose `shape` and `strides` are null or have `ndim` numbers.
/// - Its elements may be read for `'a`.
pub(crate) unsafe fn input<'a>(argument: Argument, tensor: *const contrib_tensor) -> Result<Tensor<'a>, Failure> {
    // SAFETY: this function's contract.
    let fields = unsafe { fields(argument, tensor)? };
    // SAFETY: the elements may be read, and shape and strides are those that they were said to have.
    unsafe { Tensor::from_raw_parts(fields.data, fields.dtype, fields.shape(), fields.strides()) }
        .map_err(|error| named(argument, &error))
}

/// The view of an input that need not be there.
///
/// # Safety
/// As for [`input`].
pub(crate) unsafe fn optional<'a>(
    argument: Argument,
    tensor: *const contrib_tensor,
) -> Result<Option<Tensor<'a>>, Failure> {
    if tensor.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    unsafe { input(argument, tensor) }.map(Some)
}

/// The view of an input of positions that need not be there.
///
/// # Safety
/// As for [`input`].
pub(crate) unsafe fn optional_positions<'a>(
    argument: Argument,
    tensor: *const contrib_tensor,
) -> Result<Option<Indices<'a>>, Failure> {
    if tensor.is_null() {
        return Ok(None);
    }
    // SAFETY: this function's contract.
    let fields = unsafe { fields(argument, tensor)? };
    // SAFETY: the elements may be read, and shape and strides are those that they were said to have.
    unsafe { Indices::from_raw_parts(fields.data, fields.dtype, fields.shape(), fields.strides()) }
        .map(Some)
        .map_err(|error| named(argument, &error))
}

/// The view of an output.
///
/// # Safety
/// As for [`input`], and the elements may be written, by the call alone.
pub(crate) unsafe fn output<'a>(argument: Argument, tensor: *const contrib_tensor) -> Result<TensorMut<'a>, Failure> {
    // SAFETY: this function's contract.
    let fields = unsafe { fields(argument, tensor)? };
    // SAFETY: the elements may be written, and shape and strides are those that they were said to have.
    unsafe { TensorMut::from_raw_parts(fields.data, fields.dtype, fields.shape(), fields.strides()) }
        .map_err(|error| named(argument, &error))
}

/// The view of an output that indices or counts are written to.
///
/// # Safety
/// As for [`output`].
pub(crate) unsafe fn indices<'a>(argument: Argument, tensor: *const contrib_tensor) -> Result<IndicesMut<'a>, Failure> {
    // SAFETY: this function's contract.
    let fields = unsafe { fields(argument, tensor)? };
    // SAFETY: the elements may be written, and shape and strides are those that they were said to have.
    unsafe { IndicesMut::from_raw_parts(fields.data, fields.dtype, fields.shape(), fields.strides()) }
        .map_err(|error| named(argument, &error))
}

/// # Safety
/// `tensor` is null, or points to a tensor whose `shape` and `strides` are null or have `ndim` numbers.
unsafe fn fields<T: ElementType>(argument: Argument, tensor: *const contrib_tensor) -> Result<Fields<T>, Failure> {
    let fail = |cause| Err(Failure::of(argument, cause));
    if tensor.is_null() {
        return Err(Failure::Null(argument));
    }
    // SAFETY: it is not null, so that it points to a tensor, which need not be aligned.
    let tensor = unsafe { tensor.read_unaligned() };
    if !matches!(
        tensor.device_type,
        CONTRIB_DEVICE_CPU | CONTRIB_DEVICE_CUDA_HOST | CONTRIB_DEVICE_ROCM_HOST | CONTRIB_DEVICE_CUDA_MANAGED
    ) {
        return Err(Failure::Device { argument, got: tensor.device_type });
    }
    let contrib_dtype { code, bits, lanes } = tensor.dtype;
    let Some(dtype) = T::of(code, bits).filter(|_| lanes == 1) else {
        return Err(Failure::Dtype { argument, expected: T::NAMES, code, bits, lanes });
    };
    let ndim = match usize::try_from(tensor.ndim) {
        Ok(ndim) if ndim <= MAX_NDIM => ndim,
        _ => return fail(Cause::NdimOutOfRange { got: i64::from(tensor.ndim) }),
    };
    if ndim > 0 && tensor.shape.is_null() {
        return Err(Failure::NullShape(argument));
    }
    let mut shape = [0; MAX_NDIM];
    for (axis, extent) in shape[..ndim].iter_mut().enumerate() {
        // SAFETY: `shape` is not null, so that it has `ndim` numbers.
        let got = unsafe { tensor.shape.add(axis).read_unaligned() };
        if got < 0 {
            return fail(Cause::NegativeExtent { axis, got });
        }
        *extent = usize::try_from(got).map_err(|_| Failure::of(argument, Cause::SizeOverflow))?;
    }
    let mut strides = None;
    if ndim > 0 && !tensor.strides.is_null() {
        let strides = strides.insert([0; MAX_NDIM]);
        for (axis, stride) in strides[..ndim].iter_mut().enumerate() {
            // SAFETY: `strides` is not null, so that it has `ndim` numbers.
            let got = unsafe { tensor.strides.add(axis).read_unaligned() };
            *stride = isize::try_from(got).map_err(|_| Failure::of(argument, Cause::SizeOverflow))?;
        }
    }
    // Where there are elements, null is null whatever the offset.
    let offset = if tensor.data.is_null() { 0 } else { tensor.byte_offset };
    let data = usize::try_from(offset)
        .ok()
        .filter(|&offset| tensor.data.addr().checked_add(offset).is_some())
        .map(|offset| tensor.data.wrapping_byte_add(offset));
    let Some(data) = data else { return fail(Cause::SizeOverflow) };
    Ok(Fields { data, dtype, ndim, shape, strides })
}
