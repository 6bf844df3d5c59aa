//! Routes to a prediction, over [`contrib_routes`]: a recording of a forward pass goes in ([`recording`], [`layer`]), a graph is
//! found in it ([`find`], [`options`]), read ([`arrays`], [`totals`], [`difference`]), and written ([`mod@write`], [`labels`]).

pub mod arrays;
pub mod difference;
pub mod find;
pub mod labels;
pub mod layer;
pub mod options;
pub mod recording;
pub mod source;
pub mod totals;
pub mod write;
