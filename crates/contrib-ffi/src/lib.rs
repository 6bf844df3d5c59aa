//! The C API of contrib: `include/contrib.h` is generated from this crate, and every function is a thin wrapper over
//! one of [`contrib_core`] or [`contrib_routes`].
//!
//! A call goes through here once: the caller's pointers become checked views ([`tensor`], [`queries_and_keys`], [`groups`],
//! [`attention`], [`neurons`], [`options`], [`routes`]), the operation runs inside a guard that no panic passes ([`status`]), and what
//! went wrong comes back as a number and a sentence ([`message`]).

#![allow(
    clippy::doc_markdown,
    reason = "the documentation of what is exported is read in the header, by C programmers"
)]
#![allow(non_camel_case_types, reason = "the names are those of the C API")]

pub mod attention;
pub mod context;
mod failure;
pub mod groups;
mod handle;
pub mod message;
pub mod neurons;
pub mod operations;
pub mod options;
pub mod prepared_projection;
pub mod queries_and_keys;
pub mod routes;
mod sized_struct;
pub mod status;
pub mod tensor;
pub mod version;
mod wanted;
