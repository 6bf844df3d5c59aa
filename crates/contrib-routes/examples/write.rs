//! Writes the routes of a recording, in the format that the name of the output says.
//!
//! ```text
//! cargo run --release -p contrib-routes --example write -- FILE OUTPUT [THRESHOLD [TARGET [RENORMALISE]]]
//! ```
//!
//! `TARGET` is a position, or `all`; the default is the last one. With `RENORMALISE`, contributions above it are renormalised first.

use contrib_routes::{File, Format, Options, Recording, Targets, routes, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, output, choices @ ..] = &arguments[..] else {
        return Err("expected FILE OUTPUT [THRESHOLD [TARGET [RENORMALISE]]]".into());
    };
    let mut options = Options::default();
    if let Some(threshold) = choices.first() {
        options.threshold = threshold.parse()?;
    }
    options.renormalise = choices.get(2).map(|renormalise| renormalise.parse()).transpose()?;
    let mut file = File::open(path)?;
    let target = match choices.get(1).map(String::as_str) {
        None | Some("all") => file.n_pos() - 1,
        Some(target) => target.parse()?,
    };
    let is_all = choices.get(1).is_some_and(|target| target == "all");
    let targets = if is_all { Targets::All } else { Targets::At(&[target]) };
    let labels = file.labels()?;
    let found = routes(&mut file, targets, &options)?;
    let format = Format::from_path(output).ok_or("the name of the output does not say which format it has")?;
    write(&found, &labels, format, &mut std::fs::File::create(output)?)?;
    Ok(())
}
