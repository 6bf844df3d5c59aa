//! What can go wrong, and the sentence that says so.

use contrib_core::{Argument, DType, Shape};
use std::fmt;
use std::ops::Range;

/// Why there is no result. There is never a part of one.
///
/// Tensors are named as in a file, such as `resid_mid.3`. Only what a file says of itself is kept on the heap.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    Io(std::io::Error),
    /// A file that is no safetensors file: truncated, with overlapping tensors, with a header that is too large or no JSON.
    Header(String),
    /// A metadatum of a file that is missing or cannot be what it is.
    Metadata {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor that is missing.
    Missing {
        /// Its name.
        tensor: Argument,
    },
    /// A tensor whose shape does not agree with another's.
    Shape {
        /// Its name.
        tensor: Argument,
        /// The shape that would agree. [`contrib_core::ANY`] is any extent.
        expected: Shape,
        /// The shape that came.
        got: Shape,
        /// With what it has to agree.
        like: &'static str,
    },
    /// Key-value heads that cannot be shared by all heads alike.
    Heads {
        /// The tensor with the key-value heads.
        tensor: Argument,
        /// The number of heads.
        heads: usize,
        /// The number of key-value heads.
        kv_heads: usize,
    },
    /// A tensor in a file whose elements are no floating-point numbers that the library knows.
    ElementType {
        /// Its name.
        tensor: Argument,
        /// The type of its elements.
        got: String,
    },
    /// A tensor in a file that has no elements.
    Empty {
        /// Its name.
        tensor: Argument,
        /// Its shape.
        got: Shape,
    },
    /// A tensor in a file that does not lie at a multiple of the size of its elements.
    Misaligned {
        /// Its name.
        tensor: Argument,
        /// The type of its elements.
        dtype: DType,
    },
    /// A number beside the tensors of a layer that cannot be what it is.
    Number {
        /// Which one, and of which layer.
        name: Argument,
        /// What it can be.
        expected: &'static str,
        /// The number that came.
        got: f64,
    },
    /// A tensor with a NaN or an infinity, because of which contributions are NaN.
    NotFinite {
        /// Its name.
        tensor: Argument,
        /// The first index at which it is not finite.
        index: Shape,
    },
    /// Contributions that are NaN although all that they are made of is finite: norms that are larger than any number.
    NotANumber {
        /// The layer.
        layer: usize,
        /// The position.
        position: usize,
    },
    /// A position that the recording does not have.
    Target {
        /// The position.
        got: usize,
        /// How many there are.
        positions: usize,
    },
    /// A prompt of a batch whose positions the batch does not have.
    Prompt {
        /// The batch item.
        item: usize,
        /// Its positions.
        got: Range<usize>,
        /// How many positions each item of the batch has.
        positions: usize,
    },
    /// A recording with so many positions, layers or heads that they cannot be numbered.
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        got: usize,
    },
    /// A choice that cannot be.
    Choice {
        /// Its name.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
        /// The number that came.
        got: f64,
    },
    /// Results that do not have the same layers, heads or positions, or where heads are summed in one of them only.
    Unlike {
        /// What differs.
        what: &'static str,
    },
    /// The callback stopped the work.
    Stopped,
    /// Memory that the allocator did not give.
    OutOfMemory {
        /// Bytes that were needed.
        bytes: usize,
    },
    /// What the core says of a call.
    Core(contrib_core::Error),
    /// What a recording of the caller's says.
    Recording(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "{error}"),
            Error::Header(problem) => write!(f, "not a safetensors file: {problem}"),
            Error::Metadata { key, problem } => write!(f, "metadata: {key}: {problem}"),
            Error::Missing { tensor } => write!(f, "{tensor}: missing"),
            Error::Shape { tensor, expected, got, like } => {
                write!(f, "{tensor}: expected {expected} to match {like}, got {got}")
            }
            Error::Heads { tensor, heads, kv_heads } => {
                write!(f, "{tensor}: expected a number of key-value heads that divides {heads} heads, got {kv_heads}")
            }
            Error::ElementType { tensor, got } => write!(f, "{tensor}: expected F32, F64, F16 or BF16, got {got}"),
            Error::Empty { tensor, got } => write!(f, "{tensor}: expected elements, got {got}"),
            Error::Misaligned { tensor, dtype } => {
                write!(f, "{tensor}: expected a place in the file that is a multiple of {} bytes", dtype.size())
            }
            Error::Number { name, expected, got } => write!(f, "{name}: expected {expected}, got {got}"),
            Error::NotFinite { tensor, index } => write!(f, "{tensor}: not a finite number at {index}"),
            Error::NotANumber { layer, position } => {
                write!(f, "contributions at layer {layer}, position {position} are too large to be calculated")
            }
            Error::Target { got, positions } => {
                write!(f, "targets: expected positions below {positions}, got {got}")
            }
            Error::Prompt { item, got, positions } => {
                write!(f, "prompts: expected positions below {positions} for item {item}, got {got:?}")
            }
            Error::TooLarge { what, got } => write!(f, "more {what} than can be numbered: {got}"),
            Error::Choice { name, expected, got } => write!(f, "{name}: expected {expected}, got {got}"),
            Error::Unlike { what } => write!(f, "expected results with the same {what}"),
            Error::Stopped => f.write_str("stopped by the callback"),
            Error::OutOfMemory { bytes } => write!(f, "{bytes} bytes of memory could not be allocated"),
            Error::Core(error) => write!(f, "{error}"),
            Error::Recording(error) => write!(f, "the recording: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Core(error) => Some(error),
            Error::Recording(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<contrib_core::Error> for Error {
    fn from(error: contrib_core::Error) -> Self {
        match *error.cause() {
            contrib_core::Cause::OutOfMemory { bytes } => Error::OutOfMemory { bytes },
            _ => Error::Core(error),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(error)
    }
}
