//! The names of kinds in what is written.

use crate::graph::{EdgeKind, NodeKind};

impl NodeKind {
    /// Its name as it is written: `resid_post`, `mlp_bias`, `mlp`, `resid_mid`, `attn_bias` or `embedding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::ResidPost => "resid_post",
            NodeKind::MlpBias => "mlp_bias",
            NodeKind::Mlp => "mlp",
            NodeKind::ResidMid => "resid_mid",
            NodeKind::AttentionBias => "attn_bias",
            NodeKind::Embedding => "embedding",
        }
    }
}

impl EdgeKind {
    /// Its name as it is written: `residual`, `attention`, `mlp_input`, `mlp_output` or `bias`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EdgeKind::Residual => "residual",
            EdgeKind::Attention => "attention",
            EdgeKind::MlpInput => "mlp_input",
            EdgeKind::MlpOutput => "mlp_output",
            EdgeKind::Bias => "bias",
        }
    }
}
