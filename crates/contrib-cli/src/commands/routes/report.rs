//! The report of routes for a reader.

use crate::arguments::Routes as Arguments;
use crate::commands::recorded::{Found, Recorded};
use crate::commands::strongest::{heads_and_mlps, is_told, what};
use crate::commands::table::{largest, lines, table};
use crate::text::{count, model, next_tokens, percent, prompt_and_length, token};
use contrib_routes::{Labels, Node, NodeKind, Recording, Routes, Totals};
use std::fmt::Write;

/// How many targets are named.
const MOST_NAMED: usize = 5;
/// The width of the bar of all flow.
const BAR: f64 = 40.0;

pub fn report(recorded: &Recorded, found: &Found, arguments: &Arguments) -> anyhow::Result<String> {
    let mut text = String::new();
    let totals = Totals::new(&found.routes)?;
    head(&mut text, recorded, found, arguments)?;
    tokens(&mut text, &recorded.labels, &totals, arguments.top)?;
    heads_and_mlps(&mut text, &totals, arguments.top, "flow")?;
    edges(&mut text, &recorded.labels, &found.routes, arguments.top)?;
    computed(&mut text, found)?;
    Ok(text)
}

fn head(text: &mut String, recorded: &Recorded, found: &Found, arguments: &Arguments) -> anyhow::Result<()> {
    let (labels, file) = (&recorded.labels, &recorded.file);
    let model = model(labels).map(|model| format!("{model}: ")).unwrap_or_default();
    writeln!(text, "Model   {model}{}, {}", count(file.n_layers(), "layer"), count(file.n_heads(), "head"))?;
    writeln!(text, "Prompt  {}", prompt_and_length(labels, file.n_pos()))?;
    let targets = &found.targets;
    let named: Vec<_> = targets.iter().take(MOST_NAMED).map(|&target| token(labels, target)).collect();
    let others = targets.len().saturating_sub(MOST_NAMED);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    writeln!(text, "After   {}{others}", named.join(", "))?;
    if let Some(next) = next_tokens(labels).filter(|_| targets.contains(&(file.n_pos() - 1))) {
        writeln!(text, "Next    {next}")?;
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

fn edges(text: &mut String, labels: &Labels, routes: &Routes, top: usize) -> anyhow::Result<()> {
    let kinds = routes.edge_kinds();
    let all = kinds.iter().filter(|&&kind| is_told(kind)).count();
    let flow = |edge: usize| if is_told(kinds[edge]) { routes.edge_flows()[edge] } else { 0.0 };
    let strongest = largest((0..routes.n_edges()).map(flow), top);
    writeln!(text, "\nThe strongest edges ({} of {all}, without residual ones)", strongest.len())?;
    let mut shown = table(&["flow", "weight", "layer", "what", "from", "to"], &[0, 1, 2]);
    for (edge, _) in strongest {
        let edge = routes.edge(edge);
        let place = |node: Node| token(labels, node.position);
        let what = what(edge.kind, edge.head);
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
