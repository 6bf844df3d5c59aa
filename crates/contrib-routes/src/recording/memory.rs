//! A recording in memory.

use super::Recording;
use super::check::Extents;
use super::layer::{Attends, Layer};
use crate::error::Error;
use contrib_core::Argument;

/// A recording whose tensors are all in memory, which somebody else owns.
#[derive(Clone, Debug)]
pub struct Memory<'a> {
    extents: Extents,
    layers: Vec<Layer<'a>>,
}

impl<'a> Memory<'a> {
    /// A recording of these layers, from the first to the last. `resid_post` of each is `resid_pre` of the next.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Heads`], [`Error::Number`], [`Error::TooLarge`]; [`Error::Missing`] without layers.
    pub fn new(layers: Vec<Layer<'a>>) -> Result<Self, Error> {
        let Some(first) = layers.first() else {
            return Err(Error::Missing { tensor: Argument::of_layer(0, "resid_pre") });
        };
        let extent = |shape: &[usize], axis: usize| shape.get(axis).copied().unwrap_or_default();
        let heads = match &first.attention.attends {
            Attends::Pattern(pattern) => extent(pattern.shape(), 0),
            Attends::Scores(scores) => extent(scores.queries.shape(), 1),
        };
        let extents = Extents { layers: layers.len(), positions: extent(first.resid_pre.shape(), 0), heads };
        extents.check()?;
        for (index, layer) in layers.iter().enumerate() {
            extents.check_layer(layer, index)?;
        }
        Ok(Memory { extents, layers })
    }
}

impl Recording for Memory<'_> {
    fn n_layers(&self) -> usize {
        self.extents.layers
    }

    fn n_pos(&self) -> usize {
        self.extents.positions
    }

    fn n_heads(&self) -> usize {
        self.extents.heads
    }

    fn layer(&mut self, index: usize) -> Result<Layer<'_>, Error> {
        Ok(self.layers[index])
    }
}
