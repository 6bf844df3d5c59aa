//! Writes routes for other programs, and for people.

mod arrays;
mod csv;
mod dot;
mod format;
mod html;
mod json;
mod labels;
mod names;
mod output;
mod svg;
mod visible;

pub use format::Format;
pub use labels::Labels;

use crate::error::Error;
use crate::graph::Routes;
use output::Output;
use std::io::Write;

/// Writes routes, piece by piece: nothing is held that grows with their edges.
///
/// ```
/// # use contrib_routes::{Format, Labels, Routes, write};
/// # fn save(routes: &Routes, labels: &Labels) -> Result<(), contrib_routes::Error> {
/// let path = "routes.json";
/// let format = Format::from_path(path).unwrap();
/// write(routes, labels, format, &mut std::fs::File::create(path)?)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Io`] with what the output says, after which it may have a part of the text; [`Error::OutOfMemory`].
pub fn write(routes: &Routes, labels: &Labels, format: Format, output: &mut dyn Write) -> Result<(), Error> {
    let mut output = Output::new(output)?;
    match format {
        Format::Json => json::write(routes, labels, &mut output)?,
        Format::Csv => csv::write(routes, labels, &mut output)?,
        Format::Dot => dot::write(routes, labels, &mut output)?,
        Format::Svg => svg::write(routes, labels, &mut output)?,
        Format::Html => html::write(routes, labels, &mut output)?,
    }
    output.flush()?;
    Ok(())
}
