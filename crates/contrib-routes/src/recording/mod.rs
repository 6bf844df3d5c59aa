//! Where the tensors of a forward pass come from, layer by layer.

mod batch;
mod bytes;
mod check;
mod file;
mod layer;
mod memory;
mod metadata;
mod name;

pub use batch::Batch;
pub use file::{File, StoredTensor};
pub use layer::{Attends, Attention, Layer, Moves, Scores};
pub use memory::Memory;

pub(crate) use check::{Extents, not_finite};

use crate::error::Error;

/// One forward pass of a model over a prompt.
///
/// What implements it hands in a layer's tensors when they are needed: from memory ([`Memory`]), from a file
/// ([`File`]), or from an engine that computes or loads them. Only one layer is held at a time, so that an engine may
/// use the same memory for all. The last layer comes first, and none comes twice in a call.
///
/// The tensors of each layer are checked when they come; errors name them as [`File`] does, such as `resid_mid.3`.
pub trait Recording {
    /// The number of layers.
    fn n_layers(&self) -> usize;

    /// The number of positions: of tokens of the prompt.
    fn n_pos(&self) -> usize;

    /// The number of attention heads.
    fn n_heads(&self) -> usize;

    /// The tensors of a layer below [`n_layers`](Recording::n_layers).
    ///
    /// # Errors
    /// Whatever keeps the layer from being had; [`Error::Recording`] carries errors of one's own.
    fn layer(&mut self, index: usize) -> Result<Layer<'_>, Error>;

    /// The same, where only the wholes at `positions`, which ascend, are computed. At other positions only `keys`, `values` and
    /// `value_output` are read, so that what is made for the purpose need not be made there.
    ///
    /// # Errors
    /// As [`layer`](Recording::layer).
    fn layer_at(&mut self, index: usize, positions: &[u32]) -> Result<Layer<'_>, Error> {
        let _ = positions;
        self.layer(index)
    }
}
