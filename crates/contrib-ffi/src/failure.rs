//! Why a call fails, and the sentence that says so.

use contrib_core::{Argument, Cause, Error};
use std::fmt;
use std::ops::RangeInclusive;

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
    StructSize { argument: Argument, expected: RangeInclusive<usize>, got: usize },
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
                let (least, most) = (expected.start(), expected.end());
                write!(f, "{argument}: expected a struct_size from {least} to {most}, the same for all, got {got}")
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
