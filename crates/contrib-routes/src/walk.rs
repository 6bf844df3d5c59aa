//! Takes the routes to some targets out of a graph that has them.

use crate::allocate::{collected, filled, push};
use crate::error::Error;
use crate::flow;
use crate::graph::{Edges, Nodes, Routes, Shape};
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
            Targets::All => collected(shape.targets.iter().copied())?,
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
            push(&mut left.0.starts, left.1.kind.len())?;
            left.0.push(nodes.layer[node], nodes.kind[node], nodes.position[node])?;
            for edge in self.edges_to(node).filter(|&edge| edges.weight[edge] > threshold) {
                reached[edges.from[edge] as usize] = 0;
                // The part has the number that it has in this graph, until all numbers are known.
                let (from, to) = (edges.from[edge], reached[node]);
                left.1.push(from, to, edges.kind[edge], edges.head[edge], edges.weight[edge])?;
            }
        }
        for from in &mut left.1.from {
            *from = reached[*from as usize];
        }
        let Shape { n_layers, n_pos, n_heads, heads, .. } = *shape;
        let shape = Shape { n_layers, n_pos, n_heads, heads, threshold, targets };
        flow::divided(shape, left.0, left.1)
    }

    /// The number of the node of a target.
    fn target(&self, position: u32) -> Result<usize, Error> {
        let found = self.last_positions().binary_search(&position).ok();
        found.ok_or(Error::Target { got: position as usize, positions: self.shape.n_pos })
    }
}
