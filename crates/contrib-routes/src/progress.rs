//! How far the work is.

/// How far the work is, as a callback hears after each block of positions. The work goes from the last layer to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The layer that is being computed.
    pub layer: usize,
    /// How many layers there are.
    pub n_layers: usize,
    /// What of the layer is being computed.
    pub stage: Stage,
    /// How many positions of the stage are computed.
    pub done: usize,
    /// How many positions of the stage there are to compute.
    pub positions: usize,
    /// How many edges were found so far, without those of this stage.
    pub edges: usize,
}

/// A whole of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `resid_post`, and what it is made of. The first of a layer.
    ResidPost,
    /// `resid_mid`, and what it is made of. Blocks that run attention and MLP in parallel do not have it.
    ResidMid,
}
