//! What went wrong: a line for the reader, and an exit code for the shell.

use crate::text::visible;
use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
const NOT_RIGHT: u8 = 3;
/// What shells give for a process that the signal of Ctrl-C has ended.
const STOPPED: u8 = 130;

/// Failures with an exit code of their own.
#[derive(Debug)]
pub enum Failure {
    /// Arguments that do not fit together.
    Arguments(String),
    /// A recording of which a check says that it is wrong.
    NotRight(String),
    /// The user stopped the work.
    Stopped,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Arguments(problem) | Failure::NotRight(problem) => f.write_str(problem),
            Failure::Stopped => f.write_str("stopped; nothing was written"),
        }
    }
}

impl std::error::Error for Failure {}

/// Whether the reader of the output has closed it, which is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| match cause.downcast_ref::<contrib_routes::Error>() {
        Some(contrib_routes::Error::Io(error)) => is_it(error),
        _ => cause.downcast_ref().is_some_and(is_it),
    })
}

fn is_stopped(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(contrib_routes::Error::Stopped))
            || matches!(cause.downcast_ref(), Some(Failure::Stopped))
    })
}

/// Says what went wrong, and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let (text, code) = match error.downcast_ref() {
        _ if is_stopped(error) => (Failure::Stopped.to_string(), STOPPED),
        Some(Failure::Arguments(problem)) => (problem.clone(), WRONG_ARGUMENTS),
        Some(Failure::NotRight(problem)) => (problem.clone(), NOT_RIGHT),
        _ => (format!("{error:#}"), FAILED),
    };
    anstream::eprintln!("contrib: {}", visible(&text));
    ExitCode::from(code)
}
