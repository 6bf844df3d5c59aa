//! `contrib totals`: which heads and MLPs matter over many prompts.

use super::recorded::Recorded;
use super::strongest::heads_and_mlps;
use crate::arguments::Totals as Arguments;
use crate::output::{Writer, check_distinct, print, write_all};
use crate::text::{count, percent};
use anyhow::Context;
use contrib_routes::{Extent, Totals};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write;

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    check_distinct(arguments.json.iter().chain(&arguments.csv))?;
    let mut sums: Option<Totals> = None;
    for path in &arguments.files {
        let mut recorded = Recorded::open(path)?;
        let found = recorded.routes(&arguments.target, &arguments.choices, Extent::Reached)?;
        let totals = Totals::new(&found.routes)?;
        match &mut sums {
            Some(sums) => {
                sums.add(&totals).with_context(|| format!("{} and those before it", recorded.name()))?;
            }
            None => sums = Some(totals),
        }
    }
    let sums = sums.context("no recordings")?;
    if arguments.json.is_none() && arguments.csv.is_none() {
        return print(&report(&sums, arguments)?);
    }
    let mut outputs: Vec<(_, Writer<'_>)> = Vec::new();
    if let Some(destination) = &arguments.json {
        outputs.push((destination, Box::new(|output| write_json(output, &sums))));
    }
    if let Some(destination) = &arguments.csv {
        outputs.push((destination, Box::new(|output| write_csv(output, &sums))));
    }
    write_all(&outputs)
}

/// The mean of a target's flow.
fn mean(sums: &Totals, flow: f64) -> f64 {
    flow / sums.targets().max(1) as f64
}

fn report(sums: &Totals, arguments: &Arguments) -> anyhow::Result<String> {
    let mut text = String::new();
    let (prompts, targets) = (count(sums.prompts(), "prompt"), count(sums.targets(), "target"));
    writeln!(text, "{prompts}, {targets}; edges {}", arguments.choices.in_words())?;
    heads_and_mlps(&mut text, sums, arguments.top, "mean flow")?;
    let of = |flows: &[f64]| percent(mean(sums, flows.iter().sum()));
    writeln!(
        text,
        "\n{} of the flow arrives at tokens, {} at biases; {} was in parts that are not above the threshold.",
        of(sums.tokens()),
        of(sums.biases()),
        of(&[sums.lost()])
    )?;
    Ok(text)
}

fn write_json(output: &mut dyn Write, sums: &Totals) -> anyhow::Result<()> {
    let heads: Option<Vec<&[f64]>> = sums.heads().map(|heads| {
        let of_layer = |layer: usize| &heads[layer * sums.n_heads()..][..sums.n_heads()];
        (0..sums.n_layers()).map(of_layer).collect()
    });
    let sums = json!({
        "prompts": sums.prompts(),
        "targets": sums.targets(),
        "n_layers": sums.n_layers(),
        "n_heads": sums.n_heads(),
        "heads": heads,
        "attention": sums.attention(),
        "mlps": sums.mlps(),
        "biases": sums.biases(),
        "residual": sums.residual(),
        "tokens": sums.tokens(),
        "lost": sums.lost(),
    });
    writeln!(output, "{sums}")?;
    Ok(())
}

fn write_csv(output: &mut dyn Write, sums: &Totals) -> anyhow::Result<()> {
    write!(output, "what,layer,head,flow,mean_flow\r\n")?;
    let mut row = |what: &str, layer: String, head: String, flow: f64| {
        write!(output, "{what},{layer},{head},{flow},{}\r\n", mean(sums, flow))
    };
    for (index, &flow) in sums.heads().unwrap_or_default().iter().enumerate() {
        row("head", (index / sums.n_heads()).to_string(), (index % sums.n_heads()).to_string(), flow)?;
    }
    let of_layers =
        [("attention", sums.attention()), ("mlp", sums.mlps()), ("bias", sums.biases()), ("residual", sums.residual())];
    for (what, flows) in of_layers {
        for (layer, &flow) in flows.iter().enumerate() {
            row(what, layer.to_string(), String::new(), flow)?;
        }
    }
    row("tokens", String::new(), String::new(), sums.tokens().iter().sum())?;
    row("lost", String::new(), String::new(), sums.lost())?;
    Ok(())
}
