//! Completions for shells, and man pages.

use crate::arguments::Arguments;
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "contrib", &mut text);
    crate::output::print(std::str::from_utf8(&text)?)
}

pub fn man_pages(folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Arguments::command(), folder).with_context(|| folder.display().to_string())
}
