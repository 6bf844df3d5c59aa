//! Where results are written: files that are there when they are whole, or the standard output.

use crate::failure::Failure;
use crate::progress::is_stopped;
use anyhow::Context;
use std::io::{self, BufWriter, Write};
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

/// Results that are written, and files that are not yet where they are to be.
#[derive(Default)]
pub struct Outputs {
    written: Vec<(TempPath, PathBuf)>,
    standard_output: Option<Vec<u8>>,
}

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

impl Outputs {
    /// Has `write` write a result. A file comes to be at its place with [`finish`](Outputs::finish), and so does what is written to
    /// the standard output.
    pub fn add(
        &mut self,
        destination: &Destination,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match destination {
            Destination::StandardOutput => {
                let mut text = Vec::new();
                write(&mut Stoppable(&mut text))?;
                self.standard_output = Some(text);
            }
            Destination::File(path) => {
                let named = || path.display().to_string();
                let temporary = beside(path).with_context(named)?;
                let mut file = BufWriter::new(Stoppable(temporary));
                write(&mut file).with_context(named)?;
                let Stoppable(temporary) =
                    file.into_inner().map_err(io::IntoInnerError::into_error).with_context(named)?;
                self.written.push((temporary.into_temp_path(), path.clone()));
            }
        }
        Ok(())
    }

    /// Puts all files where they are to be, and prints what is for the standard output.
    pub fn finish(self) -> anyhow::Result<()> {
        if is_stopped() {
            return Err(Failure::Stopped.into());
        }
        for (temporary, path) in self.written {
            temporary.persist(&path).with_context(|| path.display().to_string())?;
        }
        if let Some(text) = self.standard_output {
            let mut output = io::stdout().lock();
            output.write_all(&text).and_then(|()| output.flush()).context("standard output")?;
        }
        Ok(())
    }
}

/// A file beside the one that it is to replace, with the permissions of a new file.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    // What is no plain file, such as a pipe or /dev/null, is not to be replaced.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
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
    builder.tempfile_in(folder)
}

/// A writer that fails once the user wants the work to stop.
struct Stoppable<W>(W);

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_stopped() {
            return Err(io::Error::other(Failure::Stopped));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints a report.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("standard output")
}
