//! Routes to a prediction, over [`contrib_routes`]: a recording of a forward pass goes in ([`recording`], [`layer`]), a graph is
//! found in it ([`find`], [`finder`], [`options`]), read ([`arrays`], [`kinds`], [`totals`], [`difference`]), and written
//! ([`mod@write`], [`labels`]).

pub mod arrays;
pub mod difference;
pub mod find;
pub mod finder;
pub mod kinds;
pub mod labels;
pub mod layer;
pub mod options;
pub mod recording;
pub mod source;
pub mod totals;
pub mod write;
