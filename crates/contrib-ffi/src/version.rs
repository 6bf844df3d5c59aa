//! The version, as the library was built.

use std::ffi::{CStr, c_char};

/// A part of the version.
const fn number(decimal: &str) -> i32 {
    match i32::from_str_radix(decimal, 10) {
        Ok(number) => number,
        Err(_) => unreachable!(),
    }
}

const VERSION_NUMBER: i32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
    + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
    + number(env!("CARGO_PKG_VERSION_PATCH"));

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

/// The version of the library that is linked as a number that grows: major * 1000000 + minor * 1000 + patch.
/// `CONTRIB_VERSION_NUMBER` is that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn contrib_version_number() -> i32 {
    VERSION_NUMBER
}
