//! What was found of the wholes of each layer, kept between calls.

use crate::allocate::{extend, push, reserve};
use crate::error::Error;
use crate::found::Found;
use crate::progress::Stage;

/// What was found of each layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    layers: Vec<KeptLayer>,
}

/// What was found of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptLayer {
    /// Whether attention and MLP run in parallel, so that there is no `resid_mid`; `None` before the layer was read.
    pub(crate) is_parallel: Option<bool>,
    resid_post: KeptRows,
    resid_mid: KeptRows,
}

/// What was found of wholes of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptRows {
    /// Those that were computed, by position.
    rows: Vec<Row>,
    /// What was found of each, in the order in which they were computed.
    found: Vec<Found>,
}

/// Where in [`KeptRows::found`] the parts of a whole are.
#[derive(Clone, Copy, Debug)]
struct Row {
    position: u32,
    first: usize,
    len: usize,
}

impl Kept {
    /// For so many layers; what was kept stays where it is for as many.
    pub(crate) fn set_layers(&mut self, n_layers: usize) -> Result<(), Error> {
        if self.layers.len() != n_layers {
            self.layers.clear();
            reserve(&mut self.layers, n_layers)?;
            self.layers.resize_with(n_layers, KeptLayer::default);
        }
        Ok(())
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut KeptLayer {
        &mut self.layers[index]
    }

    /// Forgets what was found at this position and those after it.
    pub(crate) fn truncate(&mut self, n_pos: usize) {
        for layer in &mut self.layers {
            layer.resid_post.truncate(n_pos);
            layer.resid_mid.truncate(n_pos);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.layers.clear();
    }
}

impl KeptLayer {
    pub(crate) fn rows(&mut self, stage: Stage) -> &mut KeptRows {
        match stage {
            Stage::ResidPost => &mut self.resid_post,
            Stage::ResidMid => &mut self.resid_mid,
        }
    }

    /// Those of the positions of `resid_post` at which something is to be computed, where `resid_mid` is reached from
    /// `resid_post` alone, or `all_mid` is reached. One that was computed had its `resid_mid` computed where it led there.
    pub(crate) fn missing(&self, positions: &[u32], all_mid: bool) -> Result<Vec<u32>, Error> {
        let needs_mid = all_mid && self.is_parallel != Some(true);
        let mut missing = Vec::new();
        for &position in positions {
            let is_kept = |rows: &KeptRows| rows.row(position).is_some();
            if !is_kept(&self.resid_post) || (needs_mid && !is_kept(&self.resid_mid)) {
                push(&mut missing, position)?;
            }
        }
        Ok(missing)
    }
}

impl KeptRows {
    fn row(&self, position: u32) -> Option<&Row> {
        self.rows.binary_search_by_key(&position, |row| row.position).ok().map(|index| &self.rows[index])
    }

    /// Those of `positions` that were not computed.
    pub(crate) fn missing(&self, positions: &[u32]) -> Result<Vec<u32>, Error> {
        let mut missing = Vec::new();
        for &position in positions.iter().filter(|&&position| self.row(position).is_none()) {
            push(&mut missing, position)?;
        }
        Ok(missing)
    }

    /// What was found at `positions`, all of which are kept, in their order.
    pub(crate) fn at(&self, positions: &[u32]) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for row in positions.iter().filter_map(|&position| self.row(position)) {
            extend(&mut found, &self.found[row.first..][..row.len])?;
        }
        Ok(found)
    }

    /// Keeps what was found at `positions`, which ascend, in their order. None of them was kept before. Where memory is missing,
    /// nothing of it is kept.
    pub(crate) fn add(&mut self, positions: &[u32], mut found: &[Found]) -> Result<(), Error> {
        reserve(&mut self.rows, positions.len())?;
        reserve(&mut self.found, found.len())?;
        for &position in positions {
            let (of_row, after) = found.split_at(len_of_row(position, found));
            found = after;
            let row = Row { position, first: self.found.len(), len: of_row.len() };
            self.found.extend_from_slice(of_row);
            let place = self.rows.partition_point(|row| row.position < position);
            self.rows.insert(place, row);
        }
        Ok(())
    }

    fn truncate(&mut self, n_pos: usize) {
        self.rows.truncate(self.rows.partition_point(|row| (row.position as usize) < n_pos));
        self.found.retain(|found| (found.to as usize) < n_pos);
        let mut first = 0;
        for of_row in self.found.chunk_by(|one, other| one.to == other.to) {
            if let Ok(index) = self.rows.binary_search_by_key(&of_row[0].to, |row| row.position) {
                self.rows[index].first = first;
            }
            first += of_row.len();
        }
        // A row of which nothing was found may begin beyond what is left.
        for row in self.rows.iter_mut().filter(|row| row.len == 0) {
            row.first = 0;
        }
    }
}

/// How many of the first that were found are parts of the whole at this position.
fn len_of_row(position: u32, found: &[Found]) -> usize {
    found.iter().take_while(|found| found.to == position).count()
}
