//! `contrib diff`: which edges two recordings, or two targets of one, do not have alike.

use super::recorded::{Found, Recorded};
use super::strongest::{is_told, what};
use super::table::{lines, table};
use crate::arguments::Diff;
use crate::output::{Writer, check_distinct, print, write_all};
use crate::text::{count, token};
use anyhow::Context;
use contrib_routes::{Change, Extent, Node, Strength, difference};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;

pub fn run(arguments: &Diff) -> anyhow::Result<()> {
    check_distinct(arguments.json.iter().chain(&arguments.csv))?;
    let mut one = Recorded::open(&arguments.file)?;
    let mut other = match &arguments.other_file {
        Some(path) => Some(Recorded::open(path)?),
        None => None,
    };
    let other_target = arguments.other_target.as_ref().unwrap_or(&arguments.target);
    let before = one.routes(&arguments.target, &arguments.choices, Extent::Reached)?;
    let after = other.as_mut().unwrap_or(&mut one).routes(other_target, &arguments.choices, Extent::Reached)?;
    let mut changes = difference(&before.routes, &after.routes, arguments.tolerance)
        .with_context(|| format!("{} and {}", one.name(), other.as_ref().unwrap_or(&one).name()))?;
    // Those that are equal stay in the order of edges.
    changes.sort_by(|one, other| change_of_flow(other).abs().total_cmp(&change_of_flow(one).abs()));
    if arguments.json.is_none() && arguments.csv.is_none() {
        return print(&report(&one, other.as_ref(), [&before, &after], &changes, arguments)?);
    }
    let mut outputs: Vec<(_, Writer<'_>)> = Vec::new();
    if let Some(destination) = &arguments.json {
        outputs.push((destination, Box::new(|output| write_json(output, &changes))));
    }
    if let Some(destination) = &arguments.csv {
        outputs.push((destination, Box::new(|output| write_csv(output, &changes))));
    }
    write_all(&outputs)
}

fn flow(strength: Option<Strength>) -> f64 {
    strength.map_or(0.0, |strength| strength.flow)
}

fn change_of_flow(change: &Change) -> f64 {
    flow(change.after) - flow(change.before)
}

fn report(
    one: &Recorded,
    other: Option<&Recorded>,
    found: [&Found; 2],
    changes: &[Change],
    arguments: &Diff,
) -> anyhow::Result<String> {
    let mut text = String::new();
    let second = other.unwrap_or(one);
    for (name, recorded, found) in [("Before", one, found[0]), ("After", second, found[1])] {
        let targets: Vec<_> = found.targets.iter().take(5).map(|&target| token(&recorded.labels, target)).collect();
        let more = if found.targets.len() > targets.len() { " .." } else { "" };
        let edges = count(found.routes.n_edges(), "edge");
        writeln!(text, "{name:<6}  {}, after {}{more}: {edges}", recorded.name(), targets.join(", "))?;
    }
    writeln!(text, "Edges   {}", arguments.choices.in_words())?;
    let appeared = changes.iter().filter(|change| change.before.is_none()).count();
    let went = changes.iter().filter(|change| change.after.is_none()).count();
    let kept = changes.len() - appeared - went;
    writeln!(
        text,
        "\n{appeared} appeared, {went} went, {kept} changed by more than {}; the largest changes of flow, \
         without residual edges:",
        arguments.tolerance
    )?;
    let mut shown = table(&["change", "before", "after", "layer", "what", "from", "to"], &[0, 1, 2, 3]);
    for change in changes.iter().filter(|change| is_told(change.kind)).take(arguments.top) {
        let strength = |strength: Option<Strength>| strength.map_or("-".to_string(), |it| format!("{:.3}", it.flow));
        shown.add_row([
            format!("{:+.3}", change_of_flow(change)),
            strength(change.before),
            strength(change.after),
            change.to.layer.to_string(),
            what(change.kind, change.head),
            named(change.from, one, other),
            named(change.to, one, other),
        ]);
    }
    text.push_str(&lines(&shown));
    Ok(text)
}

/// The tokens at a node: both, where they are not the same.
fn named(node: Node, one: &Recorded, other: Option<&Recorded>) -> String {
    let before = token(&one.labels, node.position);
    match other.map(|other| token(&other.labels, node.position)) {
        Some(after) if after != before => format!("{before} / {after}"),
        _ => before,
    }
}

fn write_json(output: &mut dyn Write, changes: &[Change]) -> anyhow::Result<()> {
    let node = |node: Node| json!({ "layer": node.layer, "kind": node.kind.name(), "position": node.position });
    let strength = |strength: Option<Strength>| match strength {
        Some(Strength { weight, flow }) => json!({ "weight": weight, "flow": flow }),
        None => Value::Null,
    };
    writeln!(output, "[")?;
    for (index, change) in changes.iter().enumerate() {
        let line = json!({
            "from": node(change.from),
            "to": node(change.to),
            "kind": change.kind.name(),
            "head": change.head,
            "before": strength(change.before),
            "after": strength(change.after),
        });
        writeln!(output, "{line}{}", if index + 1 < changes.len() { "," } else { "" })?;
    }
    writeln!(output, "]")?;
    Ok(())
}

fn write_csv(output: &mut dyn Write, changes: &[Change]) -> anyhow::Result<()> {
    let names = "from_layer,from_kind,from_position,to_layer,to_kind,to_position,kind,head";
    write!(output, "{names},weight_before,flow_before,weight_after,flow_after\r\n")?;
    for change in changes {
        for node in [change.from, change.to] {
            write!(output, "{},{},{},", node.layer, node.kind.name(), node.position)?;
        }
        let head = change.head.map(|head| head.to_string()).unwrap_or_default();
        write!(output, "{},{head}", change.kind.name())?;
        for strength in [change.before, change.after] {
            match strength {
                Some(Strength { weight, flow }) => write!(output, ",{weight},{flow}")?,
                None => write!(output, ",,")?,
            }
        }
        write!(output, "\r\n")?;
    }
    Ok(())
}
