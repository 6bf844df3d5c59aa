//! The language of Graphviz.

use super::labels::Labels;
use super::visible::Visible;
use crate::graph::{Edge, EdgeKind, Node, NodeKind, Routes};
use std::io::{self, Write};

/// Letters of a token that are shown.
const LETTERS: f64 = 40.0;

pub(super) fn write(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(
        b"digraph routes {\n  rankdir=BT;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, ",
    )?;
    output.write_all(b"fontname=\"Helvetica\"];\n  edge [fontname=\"Helvetica\", fontsize=10];\n")?;
    let mut level = None;
    for (number, node) in routes.nodes().enumerate() {
        let Node { layer, kind, position } = node;
        // Nodes of a kind and layer follow one another.
        if level.replace((layer, kind)) != Some((layer, kind)) {
            output.write_all(if number > 0 { b"  }\n  { rank=same;\n" } else { b"  { rank=same;\n" })?;
        }
        write!(output, "    n{number} [label=\"")?;
        match labels.token(position) {
            Some(token) => write!(output, "{}", Visible::new(token, escape).letters(LETTERS))?,
            None => write!(output, "{position}")?,
        }
        let flow = routes.node_flows()[number];
        match kind {
            NodeKind::Embedding => write!(output, "\\nembedding")?,
            _ => write!(output, "\\n{}.{layer}", kind.name())?,
        }
        writeln!(output, "\\n{flow:.3}\", color=\"{}\", penwidth={:.2}];", colour_of_node(kind), pen(flow))?;
    }
    if level.is_some() {
        output.write_all(b"  }\n")?;
    }
    for (number, Edge { kind, head, weight, .. }) in routes.edges().enumerate() {
        let (from, to) = (routes.edge_froms()[number], routes.edge_tos()[number]);
        write!(output, "  n{from} -> n{to} [color=\"{}\", penwidth={:.2}, label=\"", colour(kind), pen(weight))?;
        if let Some(head) = head {
            write!(output, "h{head} ")?;
        }
        writeln!(output, "{weight:.3}\", weight={}];", 1 + (weight * 100.0) as u32)?;
    }
    output.write_all(b"}\n")
}

/// Inside quotes, where labels have escapes and entities of their own.
fn escape(char: char) -> Option<&'static str> {
    match char {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        '&' => Some("&amp;"),
        _ => None,
    }
}

/// Area, not width, is what the eye compares; and thin lines stay visible.
fn pen(strength: f64) -> f64 {
    0.5 + 5.0 * strength.clamp(0.0, 1.0).sqrt()
}

fn colour(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Residual => "#2b6cb0",
        EdgeKind::Attention => "#c2255c",
        EdgeKind::MlpInput | EdgeKind::MlpOutput => "#f08c00",
        EdgeKind::Bias => "#2b8a3e",
    }
}

fn colour_of_node(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::ResidPost | NodeKind::ResidMid | NodeKind::Embedding => colour(EdgeKind::Residual),
        NodeKind::Mlp => colour(EdgeKind::MlpOutput),
        NodeKind::MlpBias | NodeKind::AttentionBias => colour(EdgeKind::Bias),
    }
}
