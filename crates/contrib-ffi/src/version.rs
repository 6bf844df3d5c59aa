//! The version, as the library was built.

use std::ffi::{CStr, c_char};

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => unreachable!(),
};

/// The version of the library that is linked, such as "0.1.0"; `CONTRIB_VERSION_STRING` is that of the header.
/// Never NULL; valid for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn contrib_version() -> *const c_char {
    VERSION.as_ptr()
}
