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
    /// The user stopped it while results were printed.
    StoppedPrinting,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Arguments(problem) | Failure::NotRight(problem) => f.write_str(problem),
            Failure::Stopped => f.write_str("stopped; nothing was written"),
            Failure::StoppedPrinting => f.write_str("stopped; what was printed is not whole"),
        }
    }
}

impl std::error::Error for Failure {}

/// The errors behind an error, and those that an I/O error carries, which are not among its causes.
fn causes(error: &anyhow::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    error.chain().flat_map(|cause| {
        let carried = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        [Some(cause), carried.map(|carried| carried as &(dyn std::error::Error + 'static))].into_iter().flatten()
    })
}

/// Whether the reader of the output has closed it, which is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref().is_some_and(|it: &std::io::Error| it.kind() == ErrorKind::BrokenPipe))
}

/// What the user stopped, where that is the cause.
fn stopped(error: &anyhow::Error) -> Option<&Failure> {
    causes(error).find_map(|cause| match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(failure @ (Failure::Stopped | Failure::StoppedPrinting)), _) => Some(failure),
        (_, Some(contrib_routes::Error::Stopped)) => Some(&Failure::Stopped),
        _ => None,
    })
}

/// Says what went wrong, and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let (text, code) = match stopped(error).or(error.downcast_ref()) {
        Some(failure @ (Failure::Stopped | Failure::StoppedPrinting)) => (failure.to_string(), STOPPED),
        Some(Failure::Arguments(problem)) => (problem.clone(), WRONG_ARGUMENTS),
        Some(Failure::NotRight(problem)) => (problem.clone(), NOT_RIGHT),
        None => (format!("{error:#}"), FAILED),
    };
    anstream::eprintln!("contrib: {}", visible(&text));
    ExitCode::from(code)
}
