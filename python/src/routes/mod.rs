//! The routes to a prediction: recordings as Python has them, and what is found in them.

pub(crate) mod graph;
pub(crate) mod recording;
mod rows;
mod targets;
pub(crate) mod totals;
mod watch;
