//! `contrib inspect`: what a recording has, and whether it is right.

use super::recorded::Recorded;
use super::table::{lines, table};
use crate::arguments::Inspect;
use crate::failure::Failure;
use crate::output::print;
use crate::progress::Bar;
use crate::text::{bytes, count, model, next_tokens, plain, prompt_and_length, token, visible};
use anyhow::Context;
use contrib_routes::{Agreement, Attends, File, Moves, Recording, Scores, Stage, StoredTensor, Targets, check};
use std::fmt::Write;

/// Positions that are checked unless others are named.
const CHECKED: usize = 32;
/// Metadata that the report tells in its own words, or that are long.
const TOLD: [&str; 5] = ["model", "prompt", "tokens", "next_tokens", "n_layers"];

pub fn run(arguments: &Inspect) -> anyhow::Result<()> {
    let mut recorded = Recorded::open(&arguments.file)?;
    let mut text = String::new();
    head(&mut text, &recorded)?;
    tensors(&mut text, &recorded.file.stored_tensors(), arguments.tensors)?;
    if arguments.no_check {
        return print(&text);
    }
    let n_pos = recorded.file.n_pos();
    let positions = match &arguments.positions {
        Some(selected) => selected.positions(n_pos)?,
        None => spread(n_pos),
    };
    let mut bar = Bar::new("checking");
    let agreements = check(&mut recorded.file, Targets::At(&positions), &mut |progress| bar.advance(progress));
    drop(bar);
    let agreements = agreements.with_context(|| recorded.name().to_string())?;
    let is_right = verdict(&mut text, &recorded, &agreements, positions.len(), arguments.tolerance)?;
    print(&text)?;
    if is_right {
        return Ok(());
    }
    Err(Failure::NotRight(format!("{}: wholes are not the sums of their parts", recorded.name())).into())
}

/// Some positions from the first to the last.
fn spread(n_pos: usize) -> Vec<usize> {
    let count = n_pos.min(CHECKED);
    (0..count).map(|index| index * (n_pos - 1) / (count - 1).max(1)).collect()
}

fn head(text: &mut String, recorded: &Recorded) -> anyhow::Result<()> {
    let Recorded { file, labels, .. } = recorded;
    if let Some(model) = model(labels) {
        writeln!(text, "Model      {model}")?;
    }
    layers(text, file)?;
    writeln!(text, "Prompt     {}", prompt_and_length(labels, file.n_pos()))?;
    if labels.n_tokens() > 0 {
        let shown = labels.n_tokens().min(12);
        let tokens: Vec<_> = (0..shown).map(|position| token(labels, position)).collect();
        let more = if labels.n_tokens() > shown { " .." } else { "" };
        writeln!(text, "Tokens     {}{more}", tokens.join(" "))?;
    }
    if let Some(next) = next_tokens(labels) {
        writeln!(text, "Next       {next}")?;
    }
    for (key, value) in file.all_metadata().iter().filter(|(key, _)| !TOLD.contains(key)) {
        writeln!(text, "           {}: {}", visible(key), plain(value))?;
    }
    Ok(())
}

/// What the layers are like: the first one, as the shapes of all agree.
fn layers(text: &mut String, mut file: &File) -> anyhow::Result<()> {
    let (n_layers, n_heads, windows) = (file.n_layers(), file.n_heads(), windows(file)?);
    let layer = file.layer(0)?;
    let (values, kv_heads, d_head) = match layer.attention.moves {
        Moves::Values { values, .. } => ("values and w_o", Some(values.shape()[1]), Some(values.shape()[2])),
        Moves::ValueOutput(_) => ("value_output", None, None),
    };
    let kv_heads = kv_heads.filter(|&kv_heads| kv_heads != n_heads);
    let shared = kv_heads.map(|heads| format!(" over {}", count(heads, "key-value head"))).unwrap_or_default();
    let d_head = d_head.map(|d_head| format!(" of {d_head} channels")).unwrap_or_default();
    writeln!(
        text,
        "Shape      {}, {}{shared}{d_head}, {} channels in the stream",
        count(n_layers, "layer"),
        count(n_heads, "head"),
        layer.resid_pre.shape()[1],
    )?;
    let blocks = if layer.resid_mid.is_some() { "attention, then the MLP" } else { "attention and MLP in parallel" };
    writeln!(text, "Blocks     {blocks}")?;
    match layer.attention.attends {
        Attends::Pattern(_) => writeln!(text, "Attention  from pattern, {values}")?,
        Attends::Scores(of_layer) => {
            writeln!(text, "Attention  from queries and keys, {values}")?;
            writeln!(text, "Scores     {}{windows}", scores(&of_layer))?;
        }
    }
    let further = [
        ("attn_bias", layer.attention.bias.is_some()),
        ("mlp_bias", layer.mlp_bias.is_some()),
        ("attn_scale", layer.attention.scale.is_some()),
    ];
    let further: Vec<_> = further.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    if !further.is_empty() {
        writeln!(text, "Further    {}", further.join(", "))?;
    }
    Ok(())
}

/// How scores are made, but for their windows.
fn scores(of_layer: &Scores<'_>) -> String {
    let d = of_layer.queries.shape()[2] as f64;
    let causal = if of_layer.causal { "causal" } else { "not causal" };
    let mut scores = vec![causal.to_string(), format!("scale {}", of_layer.scale.unwrap_or(1.0 / d.sqrt()))];
    scores.extend(of_layer.soft_cap.map(|cap| format!("soft cap {cap}")));
    scores.extend(of_layer.slopes.map(|_| "slopes".to_string()));
    scores.extend(of_layer.sinks.map(|_| "sinks".to_string()));
    scores.join(", ")
}

/// The windows of all layers.
fn windows(mut file: &File) -> anyhow::Result<String> {
    let mut windows = Vec::new();
    for index in 0..file.n_layers() {
        if let Attends::Scores(scores) = file.layer(index)?.attention.attends {
            windows.push(scores.window);
        }
    }
    let Some(first) = windows.first().copied() else { return Ok(String::new()) };
    if windows.iter().all(|&window| window == first) {
        return Ok(first.map(|window| format!(", window {window}")).unwrap_or_default());
    }
    let of_layer = |window: &Option<usize>| window.map_or("none".to_string(), |window| window.to_string());
    Ok(format!(", windows by layer {}", windows.iter().map(of_layer).collect::<Vec<_>>().join(" ")))
}

/// The tensors, those of a name together unless each is wanted.
fn tensors(text: &mut String, tensors: &[StoredTensor], each: bool) -> anyhow::Result<()> {
    let all: usize = tensors.iter().map(|tensor| tensor.bytes).sum();
    writeln!(text, "\nTensors    {}, {}", count(tensors.len(), "tensor"), bytes(all))?;
    let mut shown = table(&["tensor", "how many", "shape", "dtype", "size"], &[1, 4]);
    // What the tensors of a row have in common, how many they are, and their bytes.
    let mut rows: Vec<(String, &[usize], &str, usize, usize)> = Vec::new();
    for tensor in tensors {
        let layer = tensor.name.rsplit_once('.').filter(|(_, layer)| layer.parse::<u32>().is_ok());
        let name = match layer {
            Some((name, _)) if !each => format!("{name}.*"),
            _ => tensor.name.clone(),
        };
        let alike = rows.iter_mut().find(|row| row.0 == name && row.1 == tensor.shape && row.2 == tensor.dtype);
        match alike.filter(|_| !each) {
            Some(row) => {
                row.3 += 1;
                row.4 += tensor.bytes;
            }
            None => rows.push((name, &tensor.shape, &tensor.dtype, 1, tensor.bytes)),
        }
    }
    for (name, shape, dtype, number, size) in rows {
        let shape = format!("{shape:?}");
        shown.add_row([visible(&name), number.to_string(), shape, dtype.to_string(), bytes(size)]);
    }
    text.push_str(&lines(&shown));
    Ok(())
}

/// Whether the recording is right.
fn verdict(
    text: &mut String,
    recorded: &Recorded,
    agreements: &[Agreement],
    positions: usize,
    tolerance: f64,
) -> anyhow::Result<bool> {
    writeln!(text, "\nCheck      wholes against the sums of their parts, at {}", count(positions, "position"))?;
    let mut shown =
        table(&["layer", "whole", "unexplained", "difference", "added", "rounding", "worst at"], &[0, 2, 3, 4, 5]);
    let is_wrong = |agreement: &&Agreement| agreement.unexplained().is_nan() || agreement.unexplained() > tolerance;
    let worst = |stage: Stage| {
        let of_stage = agreements.iter().filter(move |agreement| agreement.stage == stage);
        of_stage.max_by(|one, other| {
            one.unexplained().total_cmp(&other.unexplained()).then(one.difference.total_cmp(&other.difference))
        })
    };
    let wrong: Vec<_> = agreements.iter().filter(is_wrong).collect();
    let stages = [Stage::ResidMid, Stage::ResidPost];
    let told = if wrong.is_empty() { stages.into_iter().filter_map(worst).collect() } else { wrong.clone() };
    for agreement in told {
        let stage = match agreement.stage {
            Stage::ResidMid => "resid_mid",
            Stage::ResidPost => "resid_post",
        };
        shown.add_row([
            agreement.layer.to_string(),
            stage.to_string(),
            format!("{:.1e}", agreement.unexplained()),
            format!("{:.1e}", agreement.difference),
            format!("{:.1e}", agreement.added),
            format!("{:.1e}", agreement.rounding),
            token(&recorded.labels, agreement.position),
        ]);
    }
    text.push_str(&lines(&shown));
    if wrong.is_empty() {
        writeln!(
            text,
            "  right: no layer has more than {tolerance} of what it adds unexplained (the worst are shown)"
        )?;
    } else {
        writeln!(text, "  NOT RIGHT: {} of {} wholes are not the sums of their parts", wrong.len(), agreements.len())?;
    }
    Ok(wrong.is_empty())
}
