//! The subcommands.

pub mod diff;
pub mod generate;
pub mod inspect;
mod recorded;
pub mod routes;
mod strongest;
mod table;
pub mod totals;
