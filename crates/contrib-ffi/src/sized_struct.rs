//! Structs that begin with their own size, so that they can grow.

use crate::failure::Failure;
use contrib_core::Argument;
use std::mem::MaybeUninit;
use std::slice;

/// A `struct_size` above this was never set: no version will have so large a struct.
pub(crate) const MAX_STRUCT_SIZE: usize = 4096;

/// A struct to which later versions append fields.
///
/// # Safety
/// It is `repr(C)`; its first field is its size, a `usize`; zeros are valid in all the others.
pub(crate) unsafe trait SizedStruct: Copy {
    /// The size that the first version had, which every later one accepts.
    const FIRST_SIZE: usize;
}

/// The struct at `start` with zeros for the fields that a caller of an earlier version does not have, and the size that
/// it says. That is at least `least`, itself no less than the first version's, and after what this version knows there
/// is nothing but zeros.
///
/// # Safety
/// `start` points to as many bytes as the `usize` there says, which need not be aligned.
pub(crate) unsafe fn read<T: SizedStruct>(
    argument: Argument,
    start: *const T,
    least: usize,
) -> Result<(T, usize), Failure> {
    let start = start.cast::<u8>();
    // SAFETY: there are as many bytes as the size says, and a size that says less than itself is not read further.
    let size = unsafe { start.cast::<usize>().read_unaligned() };
    let expected = least..=MAX_STRUCT_SIZE;
    if !expected.contains(&size) {
        return Err(Failure::StructSize { argument, expected, got: size });
    }
    // Half a pointer is none: bytes of a field that the size cuts in two count as unknown.
    let grown = size.min(size_of::<T>()) - T::FIRST_SIZE;
    let known = T::FIRST_SIZE + grown - grown % size_of::<usize>();
    // SAFETY: there are `size` bytes, and `known` is not above `size`.
    let unknown = unsafe { slice::from_raw_parts(start.add(known), size - known) };
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Failure::UnknownField { argument, known });
    }
    let mut read = MaybeUninit::<T>::zeroed();
    // SAFETY: as many bytes as both have; the rest are zeros, which are valid.
    unsafe {
        start.copy_to_nonoverlapping(read.as_mut_ptr().cast(), known);
        Ok((read.assume_init(), size))
    }
}

/// Writes a struct over a caller's, which says how much of it is to be written. Fields that this version does not know stay as
/// they are.
///
/// # Safety
/// - `out` is null or points to as many bytes as the `usize` there says, which may be written and need not be aligned.
pub(crate) unsafe fn write<T: SizedStruct>(argument: Argument, out: *mut T, value: T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::Null(argument));
    }
    // SAFETY: it is not null, so that it begins with its size.
    let size = unsafe { out.cast::<usize>().read_unaligned() };
    let expected = T::FIRST_SIZE..=MAX_STRUCT_SIZE;
    if !expected.contains(&size) {
        return Err(Failure::StructSize { argument, expected, got: size });
    }
    let known = size.min(size_of::<T>());
    let fields = size_of::<usize>()..known - known % size_of::<usize>();
    // SAFETY: both have the bytes after the size up to `known`.
    unsafe {
        let from = (&raw const value).cast::<u8>().add(fields.start);
        from.copy_to_nonoverlapping(out.cast::<u8>().add(fields.start), fields.len());
    }
    Ok(())
}

/// A struct that must be given, of the first version or later.
///
/// # Safety
/// `start` is null or points to as many bytes as the `usize` there says, which need not be aligned.
pub(crate) unsafe fn read_given<T: SizedStruct>(argument: Argument, start: *const T) -> Result<T, Failure> {
    if start.is_null() {
        return Err(Failure::Null(argument));
    }
    // SAFETY: it is not null, so that it points to as many bytes as it says.
    unsafe { read(argument, start, T::FIRST_SIZE) }.map(|(read, _)| read)
}
