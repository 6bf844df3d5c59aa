//! Takes the routes to some targets out of a graph that has them.

use crate::allocate::{filled, push};
use crate::error::Error;
use crate::flow;
use crate::graph::{Edges, NodeKind, Nodes, Routes, Shape};
use crate::options::Targets;

/// The number of a node that is not among the routes.
const NOT_REACHED: u32 = u32::MAX;

impl Routes {
    /// The routes of this graph that lead to some of its targets, or to any position where all of the prompt was computed, over
    /// edges above a threshold. It is what [`routes`](crate::routes) finds for these targets and this threshold, in less time.
    ///
    /// A threshold that is less than the graph's has no more edges than the graph.
    ///
    /// # Errors
    /// [`Error::Target`] for a target that the graph does not have, [`Error::Choice`] for a threshold that is NaN,
    /// [`Error::OutOfMemory`].
    pub fn routes_to(&self, targets: Targets<'_>, threshold: f64) -> Result<Routes, Error> {
        let Routes { shape, nodes, edges } = self;
        if threshold.is_nan() {
            return Err(Error::Choice { name: "threshold", expected: "a number", got: threshold });
        }
        let targets = match targets {
            Targets::All => shape.targets.clone(),
            Targets::At(_) => targets.positions(shape.n_pos)?,
        };
        let mut reached = filled(NOT_REACHED, nodes.kind.len())?;
        for &position in &targets {
            reached[self.target(position)?] = 0;
        }
        let threshold = threshold.max(shape.threshold);
        let mut left = (Nodes::default(), Edges::default());
        for node in 0..nodes.kind.len() {
            if reached[node] == NOT_REACHED {
                continue;
            }
            reached[node] = left.0.kind.len() as u32;
            self.copy_node(node, &mut left.0, left.1.kind.len())?;
            for edge in self.edges_to(node).filter(|&edge| edges.weight[edge] > threshold) {
                reached[edges.from[edge] as usize] = 0;
                self.copy_edge(edge, reached[node], &mut left.1)?;
            }
        }
        push(&mut left.0.starts, left.1.kind.len())?;
        for from in &mut left.1.from {
            *from = reached[*from as usize];
        }
        let shape = Shape { threshold, targets, ..shape.clone() };
        let mut routes = Routes { shape, nodes: left.0, edges: left.1 };
        flow::divide(&mut routes);
        Ok(routes)
    }

    /// The number of the node of a target.
    fn target(&self, position: u32) -> Result<usize, Error> {
        let layer = self.shape.n_layers.saturating_sub(1) as u32;
        let Nodes { layer: layers, kind, position: positions, .. } = &self.nodes;
        // They come before all other nodes.
        let is_last = |node: &usize| layers[*node] == layer && kind[*node] == NodeKind::ResidPost;
        let last = (0..kind.len()).take_while(is_last).count();
        let found = positions[..last].binary_search(&position).ok();
        found.ok_or(Error::Target { got: position as usize, positions: self.shape.n_pos })
    }

    fn copy_node(&self, node: usize, to: &mut Nodes, start: usize) -> Result<(), Error> {
        push(&mut to.layer, self.nodes.layer[node])?;
        push(&mut to.kind, self.nodes.kind[node])?;
        push(&mut to.position, self.nodes.position[node])?;
        push(&mut to.flow, 0.0)?;
        push(&mut to.starts, start)
    }

    /// Copies an edge, with the number that its part has in this graph.
    fn copy_edge(&self, edge: usize, to_node: u32, to: &mut Edges) -> Result<(), Error> {
        push(&mut to.from, self.edges.from[edge])?;
        push(&mut to.to, to_node)?;
        push(&mut to.kind, self.edges.kind[edge])?;
        push(&mut to.head, self.edges.head[edge])?;
        push(&mut to.weight, self.edges.weight[edge])?;
        push(&mut to.flow, 0.0)
    }
}
