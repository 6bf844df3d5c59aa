//! What a call returns: a number that never changes its meaning, and for a failure a sentence kept for its thread.

use crate::sized_struct::MAX_STRUCT_SIZE;
use contrib_core::{Argument, Cause, Error, MAX_NDIM};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::ffi::c_char;
use std::fmt::{self, Write};
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

/// What went wrong in the last call of this thread that failed, as an English sentence that names the argument, what
/// was expected and what came: "resid_pre: expected [2, 5, 768] to match resid_mid, got [2, 5, 64]". Empty where none
/// has failed. Never NULL; valid until the next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn contrib_last_error_message() -> *const c_char {
    MESSAGE.with(|message| message.borrow().bytes.as_ptr().cast())
}

/// Why a call fails.
pub(crate) enum Failure {
    /// What the core found.
    Core(Error),
    /// A pointer that must not be null.
    Null(Argument),
    /// A pointer that must not be null where this other field or flag is given.
    NullBeside { argument: Argument, with: &'static str },
    /// A pointer that must not be null where this other field is.
    NullWithout { argument: Argument, other: &'static str },
    /// Two fields of which only one may be given.
    Conflict { argument: Argument, other: Argument },
    /// A tensor with axes but no extents.
    NullShape(Argument),
    /// A struct that says it is smaller than it can be, or than another that must have its size.
    StructSize { argument: Argument, expected: usize, got: usize },
    /// A struct with something set that this version does not know.
    UnknownField { argument: Argument, known: usize },
    /// A tensor on another device.
    Device { argument: Argument, got: i32 },
    /// A tensor of another type.
    Dtype { argument: Argument, expected: &'static str, code: u8, bits: u8, lanes: u16 },
    /// A number that is no instruction set's.
    InstructionSet { got: i32 },
    /// Flags that this version does not know.
    Flags { argument: Argument, known: u64, got: u64 },
    /// A flag that another field rules out.
    FlagBeside { argument: Argument, flag: &'static str, other: Argument },
    /// What recordings and routes say.
    Routes(contrib_routes::Error),
    /// A caller's function that returned something else than 0.
    Callback { argument: Argument, got: i32 },
    /// A caller's function that handed in no layer.
    NothingHandedIn(Argument),
    /// A number that is no format's.
    Format { got: i32 },
}

impl Failure {
    /// What the core would say of this argument.
    #[expect(clippy::large_types_passed_by_value, reason = "a cause is made where it is passed")]
    pub(crate) const fn of(argument: Argument, cause: Cause) -> Self {
        Failure::Core(Error::new(argument, cause))
    }

    fn status(&self) -> contrib_status {
        match self {
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
        Error::Shape { .. } => CONTRIB_ERROR_SHAPE,
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

impl From<contrib_routes::Error> for Failure {
    fn from(error: contrib_routes::Error) -> Self {
        Failure::Routes(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Core(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Core(error) => write!(f, "{error}"),
            Failure::Routes(error @ contrib_routes::Error::Io(_)) => write!(f, "path: {error}"),
            Failure::Routes(error) => write!(f, "{error}"),
            Failure::Callback { argument, got } => write!(f, "{argument}: expected 0 from the callback, got {got}"),
            Failure::NothingHandedIn(argument) => {
                write!(f, "{argument}: expected a call of contrib_hand_in_layer, got none")
            }
            Failure::Format { got } => write!(f, "format: expected one of CONTRIB_FORMAT_ (1 to 5), got {got}"),
            Failure::Null(argument) => write!(f, "{argument}: expected a pointer, got NULL"),
            Failure::NullBeside { argument, with } => {
                write!(f, "{argument}: expected a pointer, as there must be with {with}, got NULL")
            }
            Failure::NullWithout { argument, other } => {
                write!(f, "{argument}: expected a pointer, as there must be without {other}, got NULL")
            }
            Failure::Conflict { argument, other } => {
                write!(f, "{argument}: expected none where there is {other}, got both")
            }
            Failure::NullShape(argument) => write!(f, "{argument}: expected a shape for its axes, got NULL"),
            Failure::StructSize { argument, expected, got } => {
                write!(
                    f,
                    "{argument}: expected a struct_size from {expected} to {MAX_STRUCT_SIZE}, the same for all, got {got}"
                )
            }
            Failure::UnknownField { argument, known } => {
                write!(f, "{argument}: expected zeros after the {known} bytes that this version knows")
            }
            Failure::Device { argument, got } => {
                write!(f, "{argument}: expected memory that the host can read (device_type 1, 3, 11 or 13), got {got}")
            }
            Failure::InstructionSet { got } => {
                write!(f, "instruction_set: expected one of CONTRIB_INSTRUCTION_SET_ (1, 2 or 3), got {got}")
            }
            Failure::Flags { argument, known, got } => {
                write!(f, "{argument}: expected none but the flags {known:#x} that this version knows, got {got:#x}")
            }
            Failure::FlagBeside { argument, flag, other } => {
                write!(f, "{argument}: expected no {flag} where there is {other}, got both")
            }
            Failure::Dtype { argument, expected, code, bits, lanes } => {
                write!(f, "{argument}: expected {expected} with one lane, got code {code}, {bits} bits, {lanes} lanes")
            }
        }
    }
}

/// The same error with each argument as `name` calls it.
pub(crate) fn with_names(error: &Error, name: impl Fn(Argument) -> Argument) -> Error {
    let cause = match *error.cause() {
        Cause::ShapeMismatch { expected, got, like } => Cause::ShapeMismatch { expected, got, like: name(like) },
        Cause::Overlap { with } => Cause::Overlap { with: name(with) },
        Cause::PreparedOfAnother { like } => Cause::PreparedOfAnother { like: name(like) },
        cause => cause,
    };
    Error::new(name(error.argument()), cause)
}

/// The longest sentence: names of arguments and two shapes of `MAX_NDIM` extents of 20 digits.
const MESSAGE_BYTES: usize = 256 + 2 * MAX_NDIM * 22;

/// A C string of bounded length. Nothing needs to be freed, so that a thread may end after the library is unloaded.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    len: usize,
}

thread_local! {
    static MESSAGE: RefCell<Message> = const { RefCell::new(Message { bytes: [0; MESSAGE_BYTES], len: 0 }) };
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte stays zero; a sentence that does not fit is cut.
        let mut len = text.len().min(MESSAGE_BYTES - 1 - self.len);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
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
            failure.status()
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

fn remember(sentence: &dyn fmt::Display) {
    MESSAGE.with(|message| {
        let message = &mut *message.borrow_mut();
        *message = Message { bytes: [0; MESSAGE_BYTES], len: 0 };
        // Writing into a message never fails.
        let _ = write!(message, "{sentence}");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_message_too_long_is_cut_between_characters() {
        remember(&"ü".repeat(MESSAGE_BYTES));
        assert_eq!(message(), "ü".repeat((MESSAGE_BYTES - 1) / 2));
        remember(&"short");
        assert_eq!(message(), "short");
    }
}
