//! The report of routes for a reader.

use crate::arguments::Routes as Arguments;
use crate::commands::recorded::{Found, Recorded};
use crate::commands::table::{largest, lines, table};
use crate::text::{count, next_token, percent, prompt, token};
use contrib_routes::{Edge, EdgeKind, Labels, Node, NodeKind, Recording, Routes, Totals};
use std::fmt::Write;

/// How many targets, and tokens that may come next, are named.
const MOST_NAMED: usize = 5;
/// The width of the bar of all flow.
const BAR: f64 = 40.0;

pub fn report(recorded: &Recorded, found: &Found, arguments: &Arguments) -> anyhow::Result<String> {
    let mut text = String::new();
    let totals = Totals::new(&found.routes)?;
    head(&mut text, recorded, found, arguments)?;
    tokens(&mut text, &recorded.labels, &totals, arguments.top)?;
    heads_and_mlps(&mut text, &totals, arguments.top)?;
    edges(&mut text, &recorded.labels, &found.routes, arguments.top)?;
    computed(&mut text, found)?;
    Ok(text)
}

fn head(text: &mut String, recorded: &Recorded, found: &Found, arguments: &Arguments) -> anyhow::Result<()> {
    let (labels, file) = (&recorded.labels, &recorded.file);
    let model = labels.model().map(|model| format!("{}: ", prompt(model).trim_matches('"'))).unwrap_or_default();
    writeln!(text, "Model   {model}{}, {}", count(file.n_layers(), "layer"), count(file.n_heads(), "head"))?;
    let of_prompt = labels.prompt().map(|text| format!("{} ", prompt(text))).unwrap_or_default();
    writeln!(text, "Prompt  {of_prompt}({})", count(file.n_pos(), "token"))?;
    let targets = &found.targets;
    let named: Vec<_> = targets.iter().take(MOST_NAMED).map(|&target| token(labels, target)).collect();
    let others = targets.len().saturating_sub(MOST_NAMED);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    writeln!(text, "After   {}{others}", named.join(", "))?;
    if targets.contains(&(file.n_pos() - 1)) && labels.next_tokens().len() > 0 {
        let next = labels.next_tokens().take(MOST_NAMED);
        let next: Vec<_> = next.map(|(text, share)| format!("{} {}", next_token(text), percent(share))).collect();
        writeln!(text, "Next    {}", next.join(", "))?;
    }
    writeln!(text, "Edges   {}", arguments.choices.in_words())?;
    Ok(())
}

fn tokens(text: &mut String, labels: &Labels, totals: &Totals, top: usize) -> anyhow::Result<()> {
    let all = totals.targets().max(1) as f64;
    writeln!(text, "\nWhere the prediction came from: what arrives at tokens")?;
    let mut shown = table(&["share", "token", ""], &[0]);
    for (position, flow) in largest(totals.tokens().iter().copied(), top) {
        shown.add_row([percent(flow / all), token(labels, position), "#".repeat((BAR * flow / all).round() as usize)]);
    }
    text.push_str(&lines(&shown));
    let of_biases: f64 = totals.biases().iter().sum();
    if of_biases > 0.0 {
        writeln!(text, "  {} arrives at biases.", percent(of_biases / all))?;
    }
    writeln!(text, "  {} was in parts that are not above the threshold.", percent(totals.lost() / all))?;
    Ok(())
}

fn heads_and_mlps(text: &mut String, totals: &Totals, top: usize) -> anyhow::Result<()> {
    let all = totals.targets().max(1) as f64;
    if let Some(heads) = totals.heads() {
        writeln!(text, "\nThe strongest heads: the flow through each")?;
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

fn edges(text: &mut String, labels: &Labels, routes: &Routes, top: usize) -> anyhow::Result<()> {
    // Residual edges have most of the flow, and say the least; both edges of an MLP say the same.
    let kinds = [EdgeKind::Attention, EdgeKind::MlpOutput, EdgeKind::Bias];
    let is_told = |edge: &Edge| kinds.contains(&edge.kind);
    let all = routes.edges().filter(is_told).count();
    let flow = |edge: usize| if is_told(&routes.edge(edge)) { routes.edge_flows()[edge] } else { 0.0 };
    let strongest = largest((0..routes.n_edges()).map(flow), top);
    writeln!(text, "\nThe strongest edges ({} of {all}, without residual ones)", strongest.len())?;
    let mut shown = table(&["flow", "weight", "layer", "what", "from", "to"], &[0, 1, 2]);
    for (edge, _) in strongest {
        let edge = routes.edge(edge);
        let place = |node: Node| token(labels, node.position);
        let what = edge.head.map_or(edge.kind.name().to_string(), |head| format!("head {head}"));
        let [weight, flow] = [edge.weight, edge.flow].map(|share| format!("{share:.3}"));
        shown.add_row([flow, weight, edge.to.layer.to_string(), what, place(edge.from), place(edge.to)]);
    }
    text.push_str(&lines(&shown));
    Ok(())
}

fn computed(text: &mut String, found: &Found) -> anyhow::Result<()> {
    let routes = &found.routes;
    let is_stream = |node: &Node| matches!(node.kind, NodeKind::ResidPost | NodeKind::ResidMid | NodeKind::Embedding);
    let reached = routes.nodes().filter(is_stream).count();
    let deepest = routes.nodes().filter(|node| node.kind == NodeKind::Embedding).count();
    writeln!(
        text,
        "\n{} and {}; {reached} streams at positions were reached, {deepest} of {} positions at the embeddings; {:.1?}",
        count(routes.n_nodes(), "node"),
        count(routes.n_edges(), "edge"),
        routes.n_pos(),
        found.time,
    )?;
    Ok(())
}
