//! What reports tell of heads, MLPs and edges.

use super::table::{largest, lines, table};
use crate::text::percent;
use contrib_routes::{EdgeKind, Totals};
use std::fmt::Write;

/// The heads and MLPs with the largest flow, as shares of what the targets have. `flow` is what the headline calls it.
pub fn heads_and_mlps(text: &mut String, totals: &Totals, top: usize, flow: &str) -> anyhow::Result<()> {
    let all = totals.targets().max(1) as f64;
    if let Some(heads) = totals.heads() {
        writeln!(text, "\nThe strongest heads: the {flow} through each")?;
        let mut shown = table(&["flow", "layer", "head"], &[0, 1, 2]);
        for (head, flow) in largest(heads.iter().copied(), top) {
            let (layer, head) = (head / totals.n_heads(), head % totals.n_heads());
            shown.add_row([percent(flow / all), layer.to_string(), head.to_string()]);
        }
        text.push_str(&lines(&shown));
    }
    writeln!(text, "\nThe strongest MLPs")?;
    let mut shown = table(&["flow", "layer"], &[0, 1]);
    for (layer, flow) in largest(totals.mlps().iter().copied(), top) {
        shown.add_row([percent(flow / all), layer.to_string()]);
    }
    text.push_str(&lines(&shown));
    Ok(())
}

/// Whether reports list edges of this kind. Residual ones have most of the flow, and say the least; both edges of an MLP say the
/// same.
pub fn is_told(kind: EdgeKind) -> bool {
    !matches!(kind, EdgeKind::Residual | EdgeKind::MlpInput)
}

/// What an edge is, in words.
pub fn what(kind: EdgeKind, head: Option<usize>) -> String {
    head.map_or_else(|| kind.name().to_string(), |head| format!("head {head}"))
}
