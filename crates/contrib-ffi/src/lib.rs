//! The C API of contrib.
