//! A recording in a file, and the routes through it.

use crate::choices::Choices;
use crate::progress::Bar;
use crate::target::Selected;
use crate::text::visible;
use anyhow::Context as _;
use contrib_routes::{Extent, File, Labels, Options, Recording, Routes, Targets, routes_with_progress};
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Recorded {
    pub file: File,
    pub labels: Labels,
    name: String,
}

/// Routes, and how long they took.
pub struct Found {
    pub routes: Routes,
    pub time: Duration,
    pub targets: Vec<usize>,
}

impl Recorded {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = visible(&path.display().to_string());
        let file = File::open(path).with_context(|| name.clone())?;
        let labels = file.labels().with_context(|| name.clone())?;
        Ok(Recorded { file, labels, name })
    }

    /// The routes to some targets, or all edges.
    pub fn routes(&mut self, target: &Selected, choices: &Choices, extent: Extent) -> anyhow::Result<Found> {
        let context = choices.context()?;
        let targets = target.positions(self.file.n_pos()).with_context(|| self.name.clone())?;
        let options = Options { extent, ..choices.options(&context) };
        let begun = Instant::now();
        let mut bar = Bar::new(&self.name);
        let found = routes_with_progress(&mut self.file, Targets::At(&targets), &options, &mut |progress| {
            bar.advance(progress)
        });
        drop(bar);
        Ok(Found { routes: found.with_context(|| self.name.clone())?, time: begun.elapsed(), targets })
    }

    /// What it is called in messages: its path, which may come from an archive, escaped.
    pub fn name(&self) -> &str {
        &self.name
    }
}
