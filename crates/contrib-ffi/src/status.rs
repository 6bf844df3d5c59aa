//! What a call returns: a number that never changes its meaning.

use crate::failure::Failure;
use crate::message::remember;
use contrib_core::{Cause, Error};
use std::borrow::Borrow;
use std::ffi::c_char;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of a call: `CONTRIB_OK`, or one of the `CONTRIB_ERROR_` numbers. Numbers are never reused; new ones may
/// be added. On any error the outputs are as they were before the call.
pub type contrib_status = i32;

/// The call did what it says.
pub const CONTRIB_OK: contrib_status = 0;
/// A pointer is NULL that must not be. (A tensor's `data` may be where an extent is 0.)
pub const CONTRIB_ERROR_NULL_POINTER: contrib_status = 100;
/// `struct_size` is less than the first version of the struct or absurdly large, or not the same in all groups of an
/// array.
pub const CONTRIB_ERROR_STRUCT_SIZE: contrib_status = 101;
/// A struct is larger than this version of the library knows, and what it does not know is not zero.
pub const CONTRIB_ERROR_UNKNOWN_FIELD: contrib_status = 102;
/// Two fields are given of which only one may be.
pub const CONTRIB_ERROR_CONFLICT: contrib_status = 103;
/// A tensor is on a device whose memory the host cannot read.
pub const CONTRIB_ERROR_DEVICE: contrib_status = 200;
/// A tensor's dtype is not float32, float64, float16 or bfloat16, or for indices, counts and positions int32 or int64,
/// with one lane.
pub const CONTRIB_ERROR_DTYPE: contrib_status = 201;
/// A tensor has a negative number of axes, or more than 16.
pub const CONTRIB_ERROR_NDIM: contrib_status = 202;
/// A tensor has a negative extent.
pub const CONTRIB_ERROR_NEGATIVE_EXTENT: contrib_status = 203;
/// A tensor's extents, strides or offset reach further than memory can be addressed.
pub const CONTRIB_ERROR_SIZE_OVERFLOW: contrib_status = 204;
/// A tensor's data is not aligned to its element's size.
pub const CONTRIB_ERROR_MISALIGNED: contrib_status = 205;
/// A vector has more elements than the library can number: 2^32 - 1.
pub const CONTRIB_ERROR_TOO_LARGE: contrib_status = 206;
/// A tensor has another number of axes than the operation takes.
pub const CONTRIB_ERROR_RANK: contrib_status = 300;
/// A tensor's shape disagrees with another's.
pub const CONTRIB_ERROR_SHAPE: contrib_status = 301;
/// An output shares memory with an input or with another output.
pub const CONTRIB_ERROR_OVERLAP: contrib_status = 302;
/// Two elements of an output share memory.
pub const CONTRIB_ERROR_SELF_OVERLAP: contrib_status = 303;
/// A number of key-value heads that does not divide the number of heads.
pub const CONTRIB_ERROR_HEADS: contrib_status = 304;
/// More of the largest parts are asked for than there are, or there are more parts than the dtype of indices or counts can
/// count.
pub const CONTRIB_ERROR_TOP_K: contrib_status = 305;
/// A prepared projection that was made of another tensor: at another address, of another dtype, or with another shape or
/// strides.
pub const CONTRIB_ERROR_PREPARED: contrib_status = 306;
/// The norm is NaN or less than 1.
pub const CONTRIB_ERROR_NORM: contrib_status = 400;
/// A threshold is NaN, or for finding routes less than 0 or infinite.
pub const CONTRIB_ERROR_THRESHOLD: contrib_status = 401;
/// More threads than a context can have.
pub const CONTRIB_ERROR_TOO_MANY_THREADS: contrib_status = 402;
/// A number that is not one of `CONTRIB_INSTRUCTION_SET_`.
pub const CONTRIB_ERROR_INSTRUCTION_SET: contrib_status = 403;
/// A flag that this version of the library does not know, or one that another field rules out.
pub const CONTRIB_ERROR_FLAGS: contrib_status = 404;
/// A number that a field or an argument cannot be: a scale of scores or a soft cap that is not finite, a negative soft cap, a
/// first query below -1 (in a layer of a recording any but 0 and -1), sums over more part axes than there are, 0 threads of a host, no layers, a probability or tolerance that is none.
pub const CONTRIB_ERROR_NUMBER: contrib_status = 405;
/// Working memory could not be allocated.
pub const CONTRIB_ERROR_OUT_OF_MEMORY: contrib_status = 500;
/// A file that cannot be read; the sentence says why.
pub const CONTRIB_ERROR_IO: contrib_status = 600;
/// A file that is no safetensors file: truncated, with overlapping tensors, with a header that is too large or no JSON.
pub const CONTRIB_ERROR_FILE: contrib_status = 601;
/// A metadatum of a file that is missing or cannot be what it is.
pub const CONTRIB_ERROR_METADATA: contrib_status = 602;
/// A recording lacks a tensor, or a callback handed in no layer.
pub const CONTRIB_ERROR_MISSING: contrib_status = 603;
/// A tensor has a NaN or an infinity, because of which contributions are NaN.
pub const CONTRIB_ERROR_NOT_FINITE: contrib_status = 604;
/// Contributions are NaN although all that they are made of is finite: norms that are larger than any number.
pub const CONTRIB_ERROR_NOT_A_NUMBER: contrib_status = 605;
/// A target that is no position of the recording, or none that the routes have.
pub const CONTRIB_ERROR_TARGET: contrib_status = 606;
/// Results of models with other numbers of layers or heads, or of prompts of another length, or with heads summed in
/// one only.
pub const CONTRIB_ERROR_UNLIKE: contrib_status = 607;
/// The progress callback stopped the work.
pub const CONTRIB_ERROR_STOPPED: contrib_status = 608;
/// A caller's function that hands in layers or takes what is written returned a number of its own, which is in the
/// sentence.
pub const CONTRIB_ERROR_CALLBACK: contrib_status = 609;
/// A number that is not one of `CONTRIB_FORMAT_`.
pub const CONTRIB_ERROR_FORMAT: contrib_status = 610;
/// A bug in the library, caught before it could reach the caller. Outputs may have been written.
pub const CONTRIB_ERROR_INTERNAL: contrib_status = 900;

/// The name of each of these statuses as a C string.
macro_rules! name_of {
    ($status:expr, $($name:ident),* $(,)?) => {
        match $status {
            $($name => concat!(stringify!($name), "\0"),)*
            _ => "CONTRIB_ERROR_UNKNOWN\0",
        }
    };
}

/// The name of a status, such as "CONTRIB_ERROR_SHAPE"; "CONTRIB_ERROR_UNKNOWN" for any other number.
/// Never NULL; valid for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn contrib_status_name(status: contrib_status) -> *const c_char {
    name_of!(
        status,
        CONTRIB_OK,
        CONTRIB_ERROR_NULL_POINTER,
        CONTRIB_ERROR_STRUCT_SIZE,
        CONTRIB_ERROR_UNKNOWN_FIELD,
        CONTRIB_ERROR_CONFLICT,
        CONTRIB_ERROR_DEVICE,
        CONTRIB_ERROR_DTYPE,
        CONTRIB_ERROR_NDIM,
        CONTRIB_ERROR_NEGATIVE_EXTENT,
        CONTRIB_ERROR_SIZE_OVERFLOW,
        CONTRIB_ERROR_MISALIGNED,
        CONTRIB_ERROR_TOO_LARGE,
        CONTRIB_ERROR_RANK,
        CONTRIB_ERROR_SHAPE,
        CONTRIB_ERROR_OVERLAP,
        CONTRIB_ERROR_SELF_OVERLAP,
        CONTRIB_ERROR_HEADS,
        CONTRIB_ERROR_TOP_K,
        CONTRIB_ERROR_PREPARED,
        CONTRIB_ERROR_NORM,
        CONTRIB_ERROR_THRESHOLD,
        CONTRIB_ERROR_TOO_MANY_THREADS,
        CONTRIB_ERROR_INSTRUCTION_SET,
        CONTRIB_ERROR_FLAGS,
        CONTRIB_ERROR_NUMBER,
        CONTRIB_ERROR_OUT_OF_MEMORY,
        CONTRIB_ERROR_IO,
        CONTRIB_ERROR_FILE,
        CONTRIB_ERROR_METADATA,
        CONTRIB_ERROR_MISSING,
        CONTRIB_ERROR_NOT_FINITE,
        CONTRIB_ERROR_NOT_A_NUMBER,
        CONTRIB_ERROR_TARGET,
        CONTRIB_ERROR_UNLIKE,
        CONTRIB_ERROR_STOPPED,
        CONTRIB_ERROR_CALLBACK,
        CONTRIB_ERROR_FORMAT,
        CONTRIB_ERROR_INTERNAL,
    )
    .as_ptr()
    .cast()
}

/// Runs the body of an exported function: a failure becomes its status and message, and so does a panic.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> contrib_status {
    guard_borrowed(body)
}

/// The same for a failure that somebody else keeps, too.
pub(crate) fn guard_borrowed<F: Borrow<Failure>>(body: impl FnOnce() -> Result<(), F>) -> contrib_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CONTRIB_OK,
        Ok(Err(failure)) => {
            let failure = failure.borrow();
            remember(failure);
            status_of(failure)
        }
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            remember(&format_args!("contrib: a bug, please report it: {}", text.unwrap_or("no message")));
            // Dropping what was thrown could throw again.
            mem::forget(payload);
            CONTRIB_ERROR_INTERNAL
        }
    }
}

/// The status of a failure.
fn status_of(failure: &Failure) -> contrib_status {
    match failure {
        Failure::Null(_) | Failure::NullBeside { .. } | Failure::NullWithout { .. } | Failure::NullShape(_) => {
            CONTRIB_ERROR_NULL_POINTER
        }
        Failure::Conflict { .. } => CONTRIB_ERROR_CONFLICT,
        Failure::StructSize { .. } => CONTRIB_ERROR_STRUCT_SIZE,
        Failure::UnknownField { .. } => CONTRIB_ERROR_UNKNOWN_FIELD,
        Failure::Device { .. } => CONTRIB_ERROR_DEVICE,
        Failure::Dtype { .. } => CONTRIB_ERROR_DTYPE,
        Failure::InstructionSet { .. } => CONTRIB_ERROR_INSTRUCTION_SET,
        Failure::Flags { .. } | Failure::FlagBeside { .. } => CONTRIB_ERROR_FLAGS,
        Failure::Callback { .. } => CONTRIB_ERROR_CALLBACK,
        Failure::NothingHandedIn(_) => CONTRIB_ERROR_MISSING,
        Failure::Format { .. } => CONTRIB_ERROR_FORMAT,
        Failure::Routes(error) => status_of_routes(error),
        Failure::Core(error) => status_of_core(error),
    }
}

fn status_of_core(error: &Error) -> contrib_status {
    match error.cause() {
        Cause::NullPointer => CONTRIB_ERROR_NULL_POINTER,
        Cause::NdimOutOfRange { .. } => CONTRIB_ERROR_NDIM,
        Cause::NegativeExtent { .. } => CONTRIB_ERROR_NEGATIVE_EXTENT,
        Cause::SizeOverflow => CONTRIB_ERROR_SIZE_OVERFLOW,
        Cause::Misaligned { .. } => CONTRIB_ERROR_MISALIGNED,
        Cause::TooLarge { .. } => CONTRIB_ERROR_TOO_LARGE,
        Cause::Rank { .. } => CONTRIB_ERROR_RANK,
        Cause::ShapeMismatch { .. } => CONTRIB_ERROR_SHAPE,
        Cause::Overlap { .. } => CONTRIB_ERROR_OVERLAP,
        Cause::OverlapsItself => CONTRIB_ERROR_SELF_OVERLAP,
        Cause::Heads { .. } => CONTRIB_ERROR_HEADS,
        Cause::TopK { .. } | Cause::IndexType { .. } => CONTRIB_ERROR_TOP_K,
        Cause::PreparedOfAnother { .. } => CONTRIB_ERROR_PREPARED,
        Cause::InvalidNorm { .. } => CONTRIB_ERROR_NORM,
        Cause::InvalidNumber { .. } => CONTRIB_ERROR_NUMBER,
        Cause::InvalidThreshold => CONTRIB_ERROR_THRESHOLD,
        Cause::TooManyThreads { .. } => CONTRIB_ERROR_TOO_MANY_THREADS,
        Cause::OutOfMemory { .. } => CONTRIB_ERROR_OUT_OF_MEMORY,
        // Slices and lists of strides are checked for Rust callers only.
        _ => CONTRIB_ERROR_INTERNAL,
    }
}

fn status_of_routes(error: &contrib_routes::Error) -> contrib_status {
    use contrib_routes::Error;
    match error {
        Error::Io(_) => CONTRIB_ERROR_IO,
        Error::Header(_) => CONTRIB_ERROR_FILE,
        Error::Metadata { .. } => CONTRIB_ERROR_METADATA,
        Error::Missing { .. } => CONTRIB_ERROR_MISSING,
        Error::Shape { .. } | Error::Empty { .. } => CONTRIB_ERROR_SHAPE,
        Error::Heads { .. } => CONTRIB_ERROR_HEADS,
        Error::ElementType { .. } => CONTRIB_ERROR_DTYPE,
        Error::Misaligned { .. } => CONTRIB_ERROR_MISALIGNED,
        Error::NotFinite { .. } => CONTRIB_ERROR_NOT_FINITE,
        Error::NotANumber { .. } => CONTRIB_ERROR_NOT_A_NUMBER,
        Error::Target { .. } => CONTRIB_ERROR_TARGET,
        Error::TooLarge { .. } => CONTRIB_ERROR_TOO_LARGE,
        Error::Choice { name: "threshold" | "renormalise", .. } => CONTRIB_ERROR_THRESHOLD,
        Error::Number { .. } | Error::Choice { .. } => CONTRIB_ERROR_NUMBER,
        Error::Unlike { .. } => CONTRIB_ERROR_UNLIKE,
        Error::Stopped => CONTRIB_ERROR_STOPPED,
        Error::OutOfMemory { .. } => CONTRIB_ERROR_OUT_OF_MEMORY,
        Error::Core(error) => status_of_core(error),
        // Recordings of this crate keep their own failures.
        _ => CONTRIB_ERROR_INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::contrib_last_error_message;
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: the message is a C string that this thread alone replaces.
        unsafe { CStr::from_ptr(contrib_last_error_message()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        assert_eq!(guard(|| panic!("it {}", "broke")), CONTRIB_ERROR_INTERNAL);
        assert_eq!(message(), "contrib: a bug, please report it: it broke");
    }
}
