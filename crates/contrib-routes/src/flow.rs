//! How much of the targets' flow passes each edge and each node.

use crate::allocate::push;
use crate::error::Error;
use crate::graph::{EdgeKind, Edges, Nodes, Routes, Shape};

/// The graph of these nodes, of which only the end of the last row is missing, and edges. The flow of the targets, 1 each, is
/// divided from the top down: an edge has its weight times the flow of its whole, and a node the sum of the edges that begin
/// there.
///
/// The whole of both edges of an MLP is `resid_post`, so that all that arrives at an MLP goes on to what it reads.
pub(crate) fn divided(shape: Shape, mut nodes: Nodes, edges: Edges) -> Result<Routes, Error> {
    push(&mut nodes.starts, edges.kind.len())?;
    let mut routes = Routes { shape, nodes, edges };
    let last = routes.last_positions().len();
    let Routes { shape: Shape { targets, .. }, nodes, edges } = &mut routes;
    for (flow, position) in nodes.flow[..last].iter_mut().zip(&nodes.position) {
        *flow = if targets.binary_search(position).is_ok() { 1.0 } else { 0.0 };
    }
    for node in 0..nodes.kind.len() {
        // Parts come after their wholes, so that all that flows through the node is known.
        let flow_of_whole = nodes.flow[node];
        for edge in nodes.starts[node]..nodes.starts[node + 1] {
            let factor = if edges.kind[edge] == EdgeKind::MlpInput { 1.0 } else { edges.weight[edge] };
            let flow = factor * flow_of_whole;
            edges.flow[edge] = flow;
            nodes.flow[edges.from[edge] as usize] += flow;
        }
    }
    Ok(routes)
}
