//! Where results are written: files that are there when they are whole, or the standard output.

use crate::failure::Failure;
use crate::progress::is_stopped;
use crate::terminal::Harmless;
use anyhow::Context;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tempfile::{NamedTempFile, TempPath};

/// Where a result is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    StandardOutput,
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Destination::StandardOutput } else { Destination::File(PathBuf::from(text)) })
    }
}

/// What writes a result.
pub type Writer<'a> = Box<dyn Fn(&mut dyn Write) -> anyhow::Result<()> + 'a>;

/// An error unless each destination is another.
pub fn check_distinct<'a>(destinations: impl IntoIterator<Item = &'a Destination>) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    for destination in destinations {
        if seen.contains(&destination) {
            let name = match destination {
                Destination::StandardOutput => "the standard output".to_string(),
                Destination::File(path) => path.display().to_string(),
            };
            return Err(Failure::Arguments(format!("two outputs cannot be written to {name}")).into());
        }
        seen.push(destination);
    }
    Ok(())
}

/// Writes results. Files come to be at their places when all of them are whole; then the standard output is written.
pub fn write_all(outputs: &[(&Destination, Writer<'_>)]) -> anyhow::Result<()> {
    let mut whole: Vec<(TempPath, &Path)> = Vec::new();
    for (destination, write) in outputs {
        if let Destination::File(path) = destination {
            let temporary = write_beside(path, write).with_context(|| path.display().to_string())?;
            whole.push((temporary, path));
        }
    }
    if is_stopped() {
        return Err(Failure::Stopped.into());
    }
    for (temporary, path) in whole {
        put(temporary, path).with_context(|| path.display().to_string())?;
    }
    for (destination, write) in outputs {
        if **destination == Destination::StandardOutput {
            let output = Stoppable { to: io::stdout().lock(), failure: || Failure::StoppedPrinting };
            let print = |output: &mut dyn Write| write(output).and_then(|()| Ok(output.flush()?));
            let is_terminal = output.to.is_terminal();
            let printed =
                if is_terminal { print(&mut Harmless::new(output)) } else { print(&mut BufWriter::new(output)) };
            printed.context("standard output")?;
        }
    }
    Ok(())
}

/// Writes a file beside the one that it is to replace.
fn write_beside(path: &Path, write: &Writer<'_>) -> anyhow::Result<TempPath> {
    let mut file = BufWriter::new(Stoppable { to: beside(path)?, failure: || Failure::Stopped });
    write(&mut file)?;
    let Stoppable { to, .. } = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(to.into_temp_path())
}

/// The file that a path leads to, where that is a link.
fn target(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// A new file in the folder of another, with the permissions of that, or of any new file.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let path = target(path);
    let before = std::fs::metadata(&path).ok();
    // What is no plain file, such as a pipe or /dev/null, is not to be replaced.
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a plain file; an output - can be redirected there",
        ));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".contrib-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    if let Some(before) = before {
        file.as_file().set_permissions(before.permissions())?;
    }
    Ok(file)
}

/// Puts a file that is whole where it is to be.
fn put(temporary: TempPath, path: &Path) -> io::Result<()> {
    temporary.persist(target(path)).map_err(|error| error.error)
}

/// A writer that fails once the user wants the work to stop.
struct Stoppable<W> {
    to: W,
    failure: fn() -> Failure,
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_stopped() {
            return Err(io::Error::other((self.failure)()));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Prints a report.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("standard output")
}
