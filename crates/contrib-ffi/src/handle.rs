//! Opaque objects, which a caller holds by a pointer and frees, and what is told beside them.

use crate::failure::Failure;
use contrib_core::{Argument, Cause, try_box};

/// Puts what `make` makes into `*out`.
///
/// # Safety
/// - `out` is null or may be written.
pub(crate) unsafe fn put<T>(out: *mut *mut T, make: impl FnOnce() -> Result<T, Failure>) -> Result<(), Failure> {
    const OUT: Argument = Argument::named("out");
    if out.is_null() {
        return Err(Failure::Null(OUT));
    }
    let object = try_box(make()?).ok_or(Failure::of(OUT, Cause::OutOfMemory { bytes: size_of::<T>() }))?;
    // SAFETY: `out` is not null, so that it may be written; it need not be aligned.
    unsafe { out.write_unaligned(Box::into_raw(object)) };
    Ok(())
}

/// Writes a number that a caller may want, next to what a function returns.
///
/// # Safety
/// - `out` is null or may be written.
pub(crate) unsafe fn tell<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: it is not null, so that it may be written; it need not be aligned.
        unsafe { out.write_unaligned(value) };
    }
}

/// Frees an object.
///
/// # Safety
/// - `object` is null, or comes from [`put`] and was not freed.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: it is not null, so that it comes from `put`, which takes it out of a box, and was not freed.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// An object that must be given.
///
/// # Safety
/// - `object` is null or alive for `'a`.
pub(crate) unsafe fn given<'a, T>(name: &'static str, object: *const T) -> Result<&'a T, Failure> {
    // SAFETY: this function's contract.
    unsafe { object.as_ref() }.ok_or(Failure::Null(Argument::named(name)))
}
