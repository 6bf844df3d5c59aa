//! What nodes and edges are, as numbers.

/// A node: the residual stream after a layer.
pub const CONTRIB_NODE_RESID_POST: u8 = 0;
/// A node: a part of its own that the MLP adds.
pub const CONTRIB_NODE_MLP_BIAS: u8 = 1;
/// A node: the MLP.
pub const CONTRIB_NODE_MLP: u8 = 2;
/// A node: the residual stream after attention.
pub const CONTRIB_NODE_RESID_MID: u8 = 3;
/// A node: a part of its own that attention adds.
pub const CONTRIB_NODE_ATTENTION_BIAS: u8 = 4;
/// A node: the residual stream before the first layer.
pub const CONTRIB_NODE_EMBEDDING: u8 = 5;

/// An edge from the stream before to the stream after, at one position.
pub const CONTRIB_EDGE_RESIDUAL: u8 = 0;
/// An edge from the stream before attention to the stream after it.
pub const CONTRIB_EDGE_ATTENTION: u8 = 1;
/// An edge from what the MLP reads to the MLP.
pub const CONTRIB_EDGE_MLP_INPUT: u8 = 2;
/// An edge from the MLP to the stream after it.
pub const CONTRIB_EDGE_MLP_OUTPUT: u8 = 3;
/// An edge from a further part to its whole.
pub const CONTRIB_EDGE_BIAS: u8 = 4;

/// Instead of the number of a head, where an edge is not one head's.
pub const CONTRIB_NO_HEAD: u32 = 0xFFFF_FFFF;

#[cfg(test)]
mod tests {
    use super::*;
    use ::contrib_routes::{EdgeKind, NodeKind, Routes};

    #[test]
    fn kinds_have_their_numbers() {
        let nodes = [
            (NodeKind::ResidPost, CONTRIB_NODE_RESID_POST),
            (NodeKind::MlpBias, CONTRIB_NODE_MLP_BIAS),
            (NodeKind::Mlp, CONTRIB_NODE_MLP),
            (NodeKind::ResidMid, CONTRIB_NODE_RESID_MID),
            (NodeKind::AttentionBias, CONTRIB_NODE_ATTENTION_BIAS),
            (NodeKind::Embedding, CONTRIB_NODE_EMBEDDING),
        ];
        assert!(nodes.iter().all(|&(kind, number)| kind as u8 == number));
        let edges = [
            (EdgeKind::Residual, CONTRIB_EDGE_RESIDUAL),
            (EdgeKind::Attention, CONTRIB_EDGE_ATTENTION),
            (EdgeKind::MlpInput, CONTRIB_EDGE_MLP_INPUT),
            (EdgeKind::MlpOutput, CONTRIB_EDGE_MLP_OUTPUT),
            (EdgeKind::Bias, CONTRIB_EDGE_BIAS),
        ];
        assert!(edges.iter().all(|&(kind, number)| kind as u8 == number));
        assert_eq!(CONTRIB_NO_HEAD, Routes::NO_HEAD);
    }
}
