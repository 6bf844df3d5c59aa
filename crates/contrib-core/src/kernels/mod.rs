//! Loops over vectors: each written once, generic over the instruction set, the element type and the norm.
//!
//! A kernel knows pointers and lengths; it knows no tensor, no shape and no error. Which instruction set's copy of a
//! kernel runs is chosen in [`crate::dispatch`].

pub(crate) mod columns;
pub(crate) mod measure;
pub(crate) mod overshoot;
pub(crate) mod panel;
pub(crate) mod power;
pub(crate) mod prepare;
pub(crate) mod products;
pub(crate) mod rows;
