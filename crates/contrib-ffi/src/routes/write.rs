//! Writes routes for other programs, and for people.

use super::find::contrib_routes;
use super::labels::{self, contrib_labels};
use super::recording::contrib_recording;
use crate::failure::Failure;
use crate::handle::given;
use crate::status::{contrib_status, guard};
use ::contrib_routes::{Error, Format, Labels, Routes, write};
use contrib_core::Argument;
use std::ffi::{c_char, c_void};
use std::io;

/// JSON with all nodes and edges, one a line.
pub const CONTRIB_FORMAT_JSON: i32 = 1;
/// Comma-separated values, one line an edge.
pub const CONTRIB_FORMAT_CSV: i32 = 2;
/// The language of Graphviz.
pub const CONTRIB_FORMAT_DOT: i32 = 3;
/// A picture.
pub const CONTRIB_FORMAT_SVG: i32 = 4;
/// A page to explore the routes in a browser: one file, which needs no network.
pub const CONTRIB_FORMAT_HTML: i32 = 5;

/// A caller's function that takes the next `len` bytes of what is written, such as by `fwrite`, and returns 0; anything else, its
/// own number, ends the writing with `CONTRIB_ERROR_CALLBACK`. It is called with large pieces, in the thread of the call. No
/// longjmp(), C++ exception or end of a thread may leave it.
pub type contrib_write_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, bytes: *const c_char, len: usize) -> i32>;

/// Writes routes in a format, one of `CONTRIB_FORMAT_`, as UTF-8. `labels` may be NULL. Nothing is held that grows with the
/// number of edges.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_NUMBER` for a probability that is none, `_FORMAT`,
/// `_OUT_OF_MEMORY`; `_CALLBACK`, after which a part was written.
///
/// # Safety
/// `routes` is null or alive. `labels` is null or points to as many bytes as its `struct_size` says, with arrays and texts as
/// long as they say. `write` is null or does what `contrib_write_callback` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_write(
    routes: *const contrib_routes,
    labels: *const contrib_labels,
    format: i32,
    write: contrib_write_callback,
    user_data: *mut c_void,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let (routes, labels) = unsafe { (given("routes", routes)?, labels::read(labels)?) };
        // SAFETY: this function's contract.
        unsafe { write_by(routes.get(), &labels, format, write, user_data) }
    })
}

/// `contrib_routes_write` with the texts that a recording has.
///
/// Errors: as there.
///
/// # Safety
/// `routes` and `recording` are null or alive. `write` is null or does what `contrib_write_callback` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_write_recorded(
    routes: *const contrib_routes,
    recording: *const contrib_recording,
    format: i32,
    write: contrib_write_callback,
    user_data: *mut c_void,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let (routes, recording) = unsafe { (given("routes", routes)?, given("recording", recording)?) };
        // SAFETY: this function's contract.
        unsafe { write_by(routes.get(), &recording.labels, format, write, user_data) }
    })
}

/// # Safety
/// - `function` is null or does what [`contrib_write_callback`] says.
unsafe fn write_by(
    routes: &Routes,
    labels: &Labels,
    format: i32,
    function: contrib_write_callback,
    user_data: *mut c_void,
) -> Result<(), Failure> {
    const WRITE: Argument = Argument::named("write");
    let format = match format {
        CONTRIB_FORMAT_JSON => Format::Json,
        CONTRIB_FORMAT_CSV => Format::Csv,
        CONTRIB_FORMAT_DOT => Format::Dot,
        CONTRIB_FORMAT_SVG => Format::Svg,
        CONTRIB_FORMAT_HTML => Format::Html,
        got => return Err(Failure::Format { got }),
    };
    let function = function.ok_or(Failure::Null(WRITE))?;
    let mut output = Output { function, user_data, refused: 0 };
    write(routes, labels, format, &mut output).map_err(|error| match (error, output.refused) {
        (Error::Io(_), got) if got != 0 => Failure::Callback { argument: WRITE, got },
        (error, _) => Failure::Routes(error),
    })
}

/// A caller's function as an output.
struct Output {
    function: unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> i32,
    user_data: *mut c_void,
    /// What the function returned, where that was not 0.
    refused: i32,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the function does what its type says.
        self.refused = unsafe { (self.function)(self.user_data, bytes.as_ptr().cast(), bytes.len()) };
        if self.refused == 0 { Ok(bytes.len()) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
