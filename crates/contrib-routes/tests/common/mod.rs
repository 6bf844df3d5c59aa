//! Small random models, and their graphs as the formulas say, without a trick.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod graph;
pub mod model;
pub mod untrusted;
