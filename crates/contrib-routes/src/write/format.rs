//! As what routes can be written.

use std::ffi::OsStr;
use std::path::Path;

/// As what routes can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JSON with all nodes and edges, one a line. Its JSON Schema is [`Format::JSON_SCHEMA`]. Every number is read back as it was.
    Json,
    /// Comma-separated values (RFC 4180), one line an edge.
    ///
    /// A token that a spreadsheet could take for a formula, and one that begins with an apostrophe, has an apostrophe put before
    /// it.
    Csv,
    /// The language of Graphviz.
    Dot,
    /// A picture.
    Svg,
    /// A page to explore the routes in a browser: one file, which needs no network.
    Html,
}

impl Format {
    /// All there are.
    pub const ALL: [Format; 5] = [Format::Json, Format::Csv, Format::Dot, Format::Svg, Format::Html];

    /// The JSON Schema of what [`Format::Json`] writes.
    pub const JSON_SCHEMA: &str = include_str!("routes.schema.json");

    /// The format with this name, which is also the usual extension of its files: `json`, `csv`, `dot` or `gv`, `svg`, `html` or
    /// `htm`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Format> {
        let names = [
            ("json", Format::Json),
            ("csv", Format::Csv),
            ("dot", Format::Dot),
            ("gv", Format::Dot),
            ("svg", Format::Svg),
            ("html", Format::Html),
            ("htm", Format::Html),
        ];
        names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|&(_, format)| format)
    }

    /// The format of a file by its extension.
    #[must_use]
    pub fn from_path(path: impl AsRef<Path>) -> Option<Format> {
        path.as_ref().extension().and_then(OsStr::to_str).and_then(Format::from_name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Dot => "dot",
            Format::Svg => "svg",
            Format::Html => "html",
        }
    }
}
