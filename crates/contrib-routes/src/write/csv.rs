//! Comma-separated values, as in RFC 4180.

use super::labels::Labels;
use crate::graph::{Edge, Node, Routes};
use std::io::{self, Write};

const HEADER: &str =
    "to_layer,to_kind,to_position,to_token,from_layer,from_kind,from_position,from_token,kind,head,weight,flow";

pub(super) fn write(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    write!(output, "{HEADER}\r\n")?;
    for Edge { from, to, kind, head, weight, flow } in routes.edges() {
        for Node { layer, kind, position } in [to, from] {
            write!(output, "{layer},{},{position},", kind.name())?;
            text(labels.token(position).unwrap_or_default(), output)?;
            output.write_all(b",")?;
        }
        write!(output, "{},", kind.name())?;
        if let Some(head) = head {
            write!(output, "{head}")?;
        }
        write!(output, ",{weight:?},{flow:?}\r\n")?;
    }
    Ok(())
}

/// A text in quotes. One that a spreadsheet could take for a formula has an apostrophe before it, with which it cannot; and so has
/// one that begins with an apostrophe, so that a reader may always take one away. A NUL, which readers choke on, is U+FFFD.
fn text(text: &str, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(b"\"")?;
    let begins = text.trim_start_matches(' ');
    if begins.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}'])
    {
        output.write_all(b"'")?;
    }
    for char in text.chars() {
        match char {
            '"' => output.write_all(b"\"\"")?,
            '\0' => output.write_all("\u{FFFD}".as_bytes())?,
            char => write!(output, "{char}")?,
        }
    }
    output.write_all(b"\"")
}
