//! A caller's options, and structs that begin with their own size so that they can grow.

use crate::context::contrib_context;
use crate::status::Failure;
use contrib_core::{Argument, Norm, Options};
use std::slice;

/// Choices for a call. NULL in its place means the defaults: the 1-norm, and the context that NULL means.
///
/// Begin with `contrib_options options = CONTRIB_OPTIONS_INIT;`. Later versions may append fields, for which zero
/// means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_options {
    /// `sizeof(contrib_options)`.
    pub struct_size: usize,
    /// The norm by which distances are measured: 1, 2, `INFINITY`, or any real number >= 1.
    pub norm: f64,
    /// The threads to use, or NULL: a pool with a thread for each core, shared by all such calls and started by the
    /// first that is large enough.
    pub context: *const contrib_context,
}

/// The size of the first version's `contrib_options`, which every later one accepts.
const FIRST_SIZE: usize = size_of::<contrib_options>();

/// A `struct_size` above this was never set: no version will have so large a struct.
pub(crate) const MAX_STRUCT_SIZE: usize = 4096;

/// The options of a call.
///
/// # Safety
/// `options` is null, or points to `struct_size` bytes whose context is null or alive for `'a`.
pub(crate) unsafe fn read<'a>(options: *const contrib_options) -> Result<Options<'a>, Failure> {
    const OPTIONS: Argument = Argument::named("options");
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller's promise.
    unsafe {
        sized_struct(OPTIONS, options.cast(), FIRST_SIZE, size_of::<contrib_options>())?;
        let options = options.read_unaligned();
        let read = Options::default().norm(Norm::new(options.norm)?);
        Ok(options.context.as_ref().map_or(read, |context| read.context(context.get())))
    }
}

/// Checks a struct that begins with its own size, and returns that: at least `first` bytes, and nothing but zeros
/// after the `known` ones.
///
/// # Safety
/// `start` points to as many bytes as the `usize` there says, which need not be aligned.
pub(crate) unsafe fn sized_struct(
    argument: Argument,
    start: *const u8,
    first: usize,
    known: usize,
) -> Result<usize, Failure> {
    // SAFETY: the caller's promise; whoever says that a struct is smaller than its size field is not read further.
    let size = unsafe { start.cast::<usize>().read_unaligned() };
    if !(first..=MAX_STRUCT_SIZE).contains(&size) {
        return Err(Failure::StructSize { argument, expected: first, got: size });
    }
    // SAFETY: the caller's promise.
    let unknown = unsafe { slice::from_raw_parts(start.add(known.min(size)), size - known.min(size)) };
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Failure::UnknownField { argument, known });
    }
    Ok(size)
}
