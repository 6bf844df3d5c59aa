//! JSON, as `routes.schema.json` says.

use super::labels::Labels;
use crate::graph::{Node, Routes};
use crate::options::HeadEdges;
use std::io::{self, Write};

/// The version of the schema. It changes when a reader of the one before would misread what is written.
const VERSION: u32 = 1;

pub(super) fn write(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "{{\n\"format\": \"contrib-routes\",\n\"version\": {VERSION},")?;
    facts(routes, labels, output)?;
    output.write_all(b"\"nodes\": [")?;
    let nodes = routes.nodes().zip(routes.node_flows());
    list(nodes, output, |(Node { layer, kind, position }, flow), output| {
        let kind = kind.name();
        write!(output, "\n{{\"layer\": {layer}, \"kind\": \"{kind}\", \"position\": {position}, \"flow\": {flow:?}}}")
    })?;
    output.write_all(b"],\n\"edges\": [")?;
    list(0..routes.n_edges(), output, |edge, output| {
        let (from, to) = (routes.edge_froms()[edge], routes.edge_tos()[edge]);
        let kind = routes.edge_kinds()[edge].name();
        write!(output, "\n{{\"from\": {from}, \"to\": {to}, \"kind\": \"{kind}\", ")?;
        let head = routes.edge_heads()[edge];
        if head != Routes::NO_HEAD {
            write!(output, "\"head\": {head}, ")?;
        }
        write!(output, "\"weight\": {:?}, \"flow\": {:?}}}", routes.edge_weights()[edge], routes.edge_flows()[edge])
    })?;
    output.write_all(b"]\n}\n")
}

/// Whether edges of attention are each head's.
pub(super) fn heads(routes: &Routes) -> &'static str {
    match routes.heads() {
        HeadEdges::Each => "each",
        HeadEdges::Summed => "summed",
    }
}

/// The members that say what the routes are of, each with a comma after it.
fn facts(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    for (key, text) in [("model", labels.model()), ("prompt", labels.prompt())] {
        write!(output, "\"{key}\": ")?;
        text_or_null(text, output)?;
        output.write_all(b",\n")?;
    }
    output.write_all(b"\"tokens\": [")?;
    list(0..routes.n_pos(), output, |position, output| text_or_null(labels.token(position), output))?;
    output.write_all(b"],\n\"next_tokens\": [")?;
    list(labels.next_tokens(), output, |(token, probability), output| {
        output.write_all(b"{\"token\": ")?;
        string(token, output)?;
        write!(output, ", \"probability\": {probability:?}}}")
    })?;
    writeln!(output, "],\n\"n_layers\": {},\n\"n_pos\": {},", routes.n_layers(), routes.n_pos())?;
    writeln!(output, "\"n_heads\": {},\n\"heads\": \"{}\",", routes.n_heads(), heads(routes))?;
    // JSON has no infinity; no weight is greater than either.
    write!(output, "\"threshold\": {:?},\n\"targets\": [", routes.threshold().min(f64::MAX))?;
    list(routes.targets(), output, |target, output| write!(output, "{target}"))?;
    output.write_all(b"],\n")
}

/// What `write` makes of each item, with commas between.
pub(super) fn list<T>(
    items: impl Iterator<Item = T>,
    output: &mut dyn Write,
    mut write: impl FnMut(T, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    for (index, item) in items.enumerate() {
        if index > 0 {
            output.write_all(b",")?;
        }
        write(item, output)?;
    }
    Ok(())
}

fn text_or_null(text: Option<&str>, output: &mut dyn Write) -> io::Result<()> {
    match text {
        Some(text) => string(text, output),
        None => output.write_all(b"null"),
    }
}

/// A text as a JSON string.
pub(super) fn string(text: &str, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(b"\"")?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(output, "\\{char}")?,
            '\n' => output.write_all(b"\\n")?,
            '\t' => output.write_all(b"\\t")?,
            '\r' => output.write_all(b"\\r")?,
            '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}' => {
                write!(output, "\\u{:04x}", u32::from(char))?;
            }
            char => write!(output, "{char}")?,
        }
    }
    output.write_all(b"\"")
}
