//! The program `contrib`: where a transformer's prediction came from, out of a recording of its forward pass.

mod arguments;
mod choices;
mod commands;
mod failure;
mod output;
mod progress;
mod target;
mod terminal;
mod text;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Routes(arguments) => commands::routes::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Diff(arguments) => commands::diff::run(&arguments),
        Command::Totals(arguments) => commands::totals::run(&arguments),
        Command::Completions { shell } => commands::generate::completions(shell),
        Command::Man { folder } => commands::generate::man_pages(&folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
