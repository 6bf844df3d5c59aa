//! A page to explore routes: `page/page.html` with its style, its script and the routes put in.

use super::arrays::{real, whole};
use super::json::{heads, list, string};
use super::labels::Labels;
use super::visible::{Visible, json};
use crate::graph::Routes;
use std::io::{self, Write};

const PAGE: &str = include_str!("page/page.html");

/// The page's script: a file for each job. Each declares classes, which keep what is theirs in private fields, or functions. Those
/// that use others come after them, and `page.js`, which makes one of each, last.
const SCRIPT: &str = concat!(
    include_str!("page/script/dom.js"),
    include_str!("page/script/graph.js"),
    include_str!("page/script/routes.js"),
    include_str!("page/script/texts.js"),
    include_str!("page/script/state.js"),
    include_str!("page/script/theme.js"),
    include_str!("page/script/strokes.js"),
    include_str!("page/script/curves.js"),
    include_str!("page/script/layout.js"),
    include_str!("page/script/nearest.js"),
    include_str!("page/script/labels.js"),
    include_str!("page/script/picture.js"),
    include_str!("page/script/tooltip.js"),
    include_str!("page/script/highlight.js"),
    include_str!("page/script/heading.js"),
    include_str!("page/script/controls.js"),
    include_str!("page/script/tokens.js"),
    include_str!("page/script/overview.js"),
    include_str!("page/script/details.js"),
    include_str!("page/script/heads.js"),
    include_str!("page/script/pointer.js"),
    include_str!("page/script/keyboard.js"),
    include_str!("page/script/page.js"),
);

/// What stands in the page instead of these names in double braces. The hashes are those of the script and of the style that the
/// page lets a browser use; a test of the page says what they have to be after a change.
const PIECES: [(&str, &str); 4] = [
    ("style", include_str!("page/page.css")),
    ("script", SCRIPT),
    ("hash of script", include_str!("page/script.sha256")),
    ("hash of style", include_str!("page/style.sha256")),
];

/// Letters of a token, and of other texts, that are shown.
const LETTERS: f64 = 400.0;
const LETTERS_OF_PROMPT: f64 = 2000.0;

pub(super) fn write(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    let mut rest = PAGE;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        output.write_all(before.as_bytes())?;
        match PIECES.iter().find(|(known, _)| *known == name) {
            Some((_, piece)) => output.write_all(piece.as_bytes())?,
            None => data(routes, labels, output)?,
        }
        rest = after;
    }
    output.write_all(rest.as_bytes())
}

/// The routes, as `graph.js` reads them.
fn data(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    facts(routes, labels, output)?;
    let (n_layers, n_pos, n_heads) = (routes.n_layers(), routes.n_pos(), routes.n_heads());
    let wide = |number: &u32| *number as usize;
    output.write_all(b",\n\"nodes\": {\"layer\": ")?;
    whole(n_layers, routes.node_layers().iter().map(wide), output)?;
    output.write_all(b",\n\"kind\": ")?;
    whole(0, routes.node_kinds().iter().map(|&kind| kind as usize), output)?;
    output.write_all(b",\n\"position\": ")?;
    whole(n_pos, routes.node_positions().iter().map(wide), output)?;
    output.write_all(b",\n\"edges\": ")?;
    let counts = || routes.starts().windows(2).map(|ends| ends[1] - ends[0]);
    whole(counts().max().unwrap_or_default(), counts(), output)?;
    output.write_all(b"},\n\"edges\": {\"from\": ")?;
    whole(routes.n_nodes(), routes.edge_froms().iter().map(wide), output)?;
    output.write_all(b",\n\"kind\": ")?;
    whole(0, routes.edge_kinds().iter().map(|&kind| kind as usize), output)?;
    output.write_all(b",\n\"head\": ")?;
    // One more than the last head: none.
    whole(n_heads, routes.edge_heads().iter().map(|head| wide(head).min(n_heads)), output)?;
    output.write_all(b",\n\"weight\": ")?;
    real(routes.edge_weights(), output)?;
    output.write_all(b"}}")
}

fn facts(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(b"{\"facts\": {\n\"model\": ")?;
    shown(labels.model(), output)?;
    output.write_all(b",\n\"prompt\": ")?;
    match labels.prompt() {
        Some(prompt) => write!(output, "\"{}\"", Visible::prose(prompt, json).letters(LETTERS_OF_PROMPT))?,
        None => output.write_all(b"null")?,
    }
    output.write_all(b",\n\"tokens\": [")?;
    list(0..routes.n_pos(), output, |position, output| shown(labels.token(position), output))?;
    output.write_all(b"],\n\"nextTokens\": [")?;
    list(labels.next_tokens(), output, |(token, probability), output| {
        output.write_all(b"[")?;
        shown(Some(token), output)?;
        write!(output, ", {probability:?}]")
    })?;
    let (n_layers, n_pos, n_heads) = (routes.n_layers(), routes.n_pos(), routes.n_heads());
    write!(output, "],\n\"nLayers\": {n_layers}, \"nPos\": {n_pos}, \"nHeads\": {n_heads}, \"heads\": ")?;
    string(heads(routes), output)?;
    write!(output, ",\n\"threshold\": {:?}, \"targets\": [", routes.threshold().min(f64::MAX))?;
    list(routes.targets(), output, |target, output| write!(output, "{target}"))?;
    output.write_all(b"]}")
}

/// A text as people should see it, as a JSON string.
fn shown(text: Option<&str>, output: &mut dyn Write) -> io::Result<()> {
    match text {
        Some(text) => write!(output, "\"{}\"", Visible::new(text, json).letters(LETTERS)),
        None => output.write_all(b"null"),
    }
}
