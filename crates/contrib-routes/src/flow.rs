//! How much of the targets' flow passes each edge and each node.

use crate::graph::{EdgeKind, NodeKind, Routes};

/// Divides the flow of the targets, 1 each, from the top down: an edge has its weight times the flow of its whole, and a node
/// the sum of the edges that begin there.
///
/// The whole of both edges of an MLP is `resid_post`, so that all that arrives at an MLP goes on to what it reads.
pub(crate) fn divide(routes: &mut Routes) {
    let Routes { shape, nodes, edges } = routes;
    nodes.flow.fill(0.0);
    for (node, flow) in nodes.flow.iter_mut().enumerate() {
        let is_last = nodes.layer[node] as usize + 1 == shape.n_layers && nodes.kind[node] == NodeKind::ResidPost;
        if !is_last {
            break;
        }
        *flow = if shape.targets.binary_search(&nodes.position[node]).is_ok() { 1.0 } else { 0.0 };
    }
    for node in 0..nodes.kind.len() {
        // Parts come after their wholes, so that all that flows through the node is known.
        let flow_of_whole = nodes.flow[node];
        for edge in nodes.starts[node]..nodes.starts[node + 1] {
            let share = if edges.kind[edge] == EdgeKind::MlpInput { 1.0 } else { edges.weight[edge] };
            let flow = share * flow_of_whole;
            edges.flow[edge] = flow;
            nodes.flow[edges.from[edge] as usize] += flow;
        }
    }
}
