//! What can be wrong with a call, and the sentence that says so.

use crate::dtype::DType;
use crate::list::{List, MAX_NDIM};
use std::fmt;

/// An extent that may be anything, in the expected shape of an error.
pub const ANY: usize = usize::MAX;

/// Extents as errors show them: `[2, *, 768]`, where [`ANY`] is `*`.
#[derive(Clone, Copy, Debug)]
pub struct ShownExtents<'a>(pub &'a [usize]);

impl fmt::Display for ShownExtents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, &extent) in self.0.iter().enumerate() {
            let separator = if axis == 0 { "" } else { ", " };
            if extent == ANY { write!(f, "{separator}*")? } else { write!(f, "{separator}{extent}")? }
        }
        f.write_str("]")
    }
}

/// The extents of a tensor as an error reports them: at most [`MAX_NDIM`] numbers, where `*` stands for any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape(List<usize>);

impl Shape {
    /// The shape with these extents, each of which may be [`ANY`].
    ///
    /// # Panics
    /// With more than [`MAX_NDIM`] extents.
    #[must_use]
    pub fn new(extents: &[usize]) -> Self {
        Shape(List::new(extents))
    }

    /// The extents, in order.
    #[must_use]
    pub fn extents(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ShownExtents(self.extents()).fmt(f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of an argument, such as `resid_mid`, `groups[2].parts` or, of a layer of a model, `resid_mid.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    name: &'static str,
    of: Of,
}

/// What an argument is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Call,
    /// A list, and the index of the item that has it.
    List(&'static str, usize),
    Layer(usize),
}

impl Argument {
    /// An argument with a name of its own.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Argument { name, of: Of::Call }
    }

    /// The field `name` of the group with this index.
    #[must_use]
    pub const fn of_group(group: usize, name: &'static str) -> Self {
        Self::of_list("groups", group, name)
    }

    /// The field `name` of the item of `list` with this index.
    #[must_use]
    pub const fn of_list(list: &'static str, index: usize, name: &'static str) -> Self {
        Argument { name, of: Of::List(list, index) }
    }

    /// The tensor `name` of the layer with this index.
    #[must_use]
    pub const fn of_layer(layer: usize, name: &'static str) -> Self {
        Argument { name, of: Of::Layer(layer) }
    }
}

impl From<&'static str> for Argument {
    fn from(name: &'static str) -> Self {
        Self::named(name)
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Of::Call => f.write_str(self.name),
            Of::List(list, index) => write!(f, "{list}[{index}].{}", self.name),
            Of::Layer(layer) => write!(f, "{}.{layer}", self.name),
        }
    }
}

/// Why a call was refused. Nothing has been written to any output then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Error {
    argument: Argument,
    cause: Cause,
}

impl Error {
    /// An error in this argument.
    #[must_use]
    pub const fn new(argument: Argument, cause: Cause) -> Self {
        Error { argument, cause }
    }

    /// The error of a call that needs so many bytes of working memory.
    pub(crate) const fn out_of_memory(bytes: usize) -> Self {
        Error::new(Argument::named("contributions"), Cause::OutOfMemory { bytes })
    }

    /// The argument that is wrong.
    #[must_use]
    pub const fn argument(&self) -> Argument {
        self.argument
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }
}

/// What is wrong with an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// A null pointer where elements are needed.
    NullPointer,
    /// More axes than [`MAX_NDIM`], or a negative number of them.
    NdimOutOfRange {
        /// The number of axes that came.
        got: i64,
    },
    /// An extent below zero.
    NegativeExtent {
        /// The axis.
        axis: usize,
        /// Its extent.
        got: i64,
    },
    /// A shape and strides of different lengths.
    StridesLength {
        /// The number of extents.
        shape: usize,
        /// The number of strides.
        strides: usize,
    },
    /// Extents and strides whose elements or bytes cannot be counted or addressed.
    SizeOverflow,
    /// More elements than the library can number.
    TooLarge {
        /// The number of elements that came.
        got: usize,
        /// The most that there can be.
        limit: usize,
    },
    /// Extents and strides that reach outside the slice that was given.
    OutOfBounds {
        /// Elements that the slice holds.
        len: usize,
        /// The smallest index that the shape and strides reach.
        min: isize,
        /// The largest index that they reach.
        max: isize,
    },
    /// A pointer that is not a multiple of its element's size.
    Misaligned {
        /// The element type that needs the alignment.
        dtype: DType,
    },
    /// Another number of axes than the operation takes.
    Rank {
        /// What the axes are, such as `[batch, pos, d_model]`.
        expected: &'static str,
        /// The shape that came.
        got: Shape,
    },
    /// An extent that disagrees with another argument's.
    ShapeMismatch {
        /// The shape that would agree; an extent may be free.
        expected: Shape,
        /// The shape that came.
        got: Shape,
        /// The argument with which it must agree.
        like: Argument,
    },
    /// An output that shares memory with an input or with another output.
    Overlap {
        /// The other argument.
        with: Argument,
    },
    /// An output two of whose elements share memory.
    OverlapsItself,
    /// A norm that is not a real number >= 1 and not infinity.
    InvalidNorm {
        /// The norm that came.
        got: f64,
    },
    /// A threshold that is NaN.
    InvalidThreshold,
    /// A number that an argument cannot be.
    InvalidNumber {
        /// What it can be.
        expected: &'static str,
        /// The number that came.
        got: f64,
    },
    /// An object that was prepared of another tensor: at another address, of another type, or with another shape or strides.
    PreparedOfAnother {
        /// The argument of which it should be prepared.
        like: Argument,
    },
    /// Key-value heads that cannot be shared by all heads alike.
    Heads {
        /// The number of heads.
        heads: usize,
        /// The number of key-value heads that came.
        kv_heads: usize,
    },
    /// A top k of more parts than there are, or parts, or room for them, beyond what the type of the indices can count.
    TopK {
        /// How many were asked for.
        got: usize,
        /// The number of parts.
        parts: usize,
    },
    /// A type of indices or counts that cannot count all parts.
    IndexType {
        /// The number of parts.
        parts: usize,
        /// The largest number of the type that came.
        largest: u64,
    },
    /// More threads than can be.
    TooManyThreads {
        /// The number of threads that came.
        got: usize,
        /// The most that there can be.
        limit: usize,
    },
    /// Working memory that the allocator did not give.
    OutOfMemory {
        /// Bytes that were needed.
        bytes: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.argument, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::NullPointer => f.write_str("expected data, got a null pointer"),
            Cause::NdimOutOfRange { got } => write!(f, "expected 0 to {MAX_NDIM} axes, got {got}"),
            Cause::NegativeExtent { axis, got } => {
                write!(f, "expected an extent of at least 0 on axis {axis}, got {got}")
            }
            Cause::StridesLength { shape, strides } => {
                write!(f, "expected a stride for each of {shape} axes, got {strides}")
            }
            Cause::SizeOverflow => f.write_str("extents and strides reach further than memory can be addressed"),
            Cause::TooLarge { got, limit } => write!(f, "expected at most {limit} elements, got {got}"),
            Cause::OutOfBounds { len, min, max } => {
                write!(f, "expected indices inside a slice of {len} elements, got {min} to {max}")
            }
            Cause::Misaligned { dtype } => {
                write!(f, "expected a pointer aligned to {} bytes, the size of its elements, got another", dtype.size())
            }
            Cause::Rank { expected, got } => write!(f, "expected {expected}, got {got}"),
            Cause::ShapeMismatch { expected, got, like } => {
                write!(f, "expected {expected} to match {like}, got {got}")
            }
            Cause::Overlap { with } => write!(f, "expected memory of its own, got some that {with} uses"),
            Cause::OverlapsItself => {
                f.write_str("expected an element each for all results, got strides that share them")
            }
            Cause::InvalidNorm { got } => write!(f, "expected a number >= 1 or infinity, got {got}"),
            Cause::InvalidThreshold => f.write_str("expected a number, got NaN"),
            Cause::InvalidNumber { expected, got } => write!(f, "expected {expected}, got {got}"),
            Cause::PreparedOfAnother { like } => {
                write!(
                    f,
                    "expected what was prepared of {like}, got what was prepared of a tensor elsewhere, or of another type, shape or strides"
                )
            }
            Cause::Heads { heads, kv_heads } => {
                write!(f, "expected a number of key-value heads that divides {heads} heads, got {kv_heads}")
            }
            Cause::TopK { got, parts } => {
                write!(f, "expected room for at most all {parts} parts, and indices that can count them, got {got}")
            }
            Cause::IndexType { parts, largest } => {
                write!(f, "expected integers that can count all {parts} parts, got ones up to {largest}")
            }
            Cause::TooManyThreads { got, limit } => write!(f, "expected at most {limit} threads, got {got}"),
            Cause::OutOfMemory { bytes } => write!(f, "{bytes} bytes of working memory could not be allocated"),
        }
    }
}

impl std::error::Error for Error {}
