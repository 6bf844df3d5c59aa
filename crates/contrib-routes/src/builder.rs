//! Builds a graph row by row, from the top down.

use crate::allocate::{filled, push, reserve};
use crate::error::Error;
use crate::flow;
use crate::found::{Found, NO_HEAD, Part};
use crate::graph::{EdgeKind, Edges, NodeKind, Nodes, Routes, Shape};

/// A graph of which rows are still missing.
pub(crate) struct Builder {
    nodes: Nodes,
    edges: Edges,
    /// An edge of the row that is being added: its part, kind, head and weight.
    row: Vec<(u32, EdgeKind, u32, f64)>,
}

/// The nodes of one kind in one layer, whose numbers follow one another.
pub(crate) struct Level {
    first: u32,
    positions: Vec<u32>,
}

impl Level {
    /// The positions, in order.
    pub(crate) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The number of the node at a position that the level has.
    fn node(&self, position: u32) -> u32 {
        let (Ok(index) | Err(index)) = self.positions.binary_search(&position);
        self.first + index as u32
    }
}

/// The levels of the parts of a whole.
pub(crate) struct Parts<'a> {
    /// Where the residual edge and those of attention begin.
    pub(crate) stream: &'a Level,
    pub(crate) mlp: Option<&'a Level>,
    pub(crate) mlp_bias: Option<&'a Level>,
    pub(crate) attention_bias: Option<&'a Level>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder { nodes: Nodes::default(), edges: Edges::default(), row: Vec::new() }
    }

    /// How many edges there are.
    pub(crate) fn edges(&self) -> usize {
        self.edges.kind.len()
    }

    /// Adds nodes, whose rows are to be added later, in the order of nodes.
    pub(crate) fn level(&mut self, layer: usize, kind: NodeKind, positions: Vec<u32>) -> Result<Level, Error> {
        let len = self.nodes.kind.len();
        let first = u32::try_from(len).ok().filter(|first| first.checked_add(positions.len() as u32).is_some());
        let first = first.ok_or(Error::TooLarge { what: "nodes", got: len })?;
        for &position in &positions {
            self.nodes.push(layer as u32, kind, position)?;
        }
        Ok(Level { first, positions })
    }

    /// Adds the rows of wholes: what was found of them, in the order of their positions.
    pub(crate) fn rows(&mut self, wholes: &Level, found: &[Found], parts: &Parts<'_>) -> Result<(), Error> {
        let mut rest = found;
        for (&position, to) in wholes.positions.iter().zip(wholes.first..) {
            let count = rest.iter().take_while(|found| found.to == position).count();
            let (of_row, after) = rest.split_at(count);
            rest = after;
            self.row.clear();
            for found in of_row {
                let (level, kind) = match found.part {
                    Part::Residual => (Some(parts.stream), EdgeKind::Residual),
                    Part::Attention => (Some(parts.stream), EdgeKind::Attention),
                    Part::Mlp => (parts.mlp, EdgeKind::MlpOutput),
                    Part::MlpBias => (parts.mlp_bias, EdgeKind::Bias),
                    Part::AttentionBias => (parts.attention_bias, EdgeKind::Bias),
                };
                if let Some(level) = level {
                    push(&mut self.row, (level.node(found.from), kind, found.head, found.weight))?;
                }
            }
            self.row.sort_unstable_by_key(|&(from, kind, head, _)| (from, kind, head));
            self.add_row(to)?;
        }
        Ok(())
    }

    /// Adds the rows of MLPs, each with the edge from the stream that it reads, whose weights are those found of their wholes.
    pub(crate) fn mlp_rows(&mut self, mlps: &Level, found: &[Found], stream: &Level) -> Result<(), Error> {
        let weights = found.iter().filter(|found| found.part == Part::Mlp).map(|found| found.weight);
        for ((&position, to), weight) in mlps.positions.iter().zip(mlps.first..).zip(weights) {
            self.row.clear();
            push(&mut self.row, (stream.node(position), EdgeKind::MlpInput, NO_HEAD, weight))?;
            self.add_row(to)?;
        }
        Ok(())
    }

    /// Adds the rows of nodes at which no edge ends.
    pub(crate) fn empty_rows(&mut self, level: &Level) -> Result<(), Error> {
        self.row.clear();
        for to in level.first..level.first + level.positions.len() as u32 {
            self.add_row(to)?;
        }
        Ok(())
    }

    fn add_row(&mut self, to: u32) -> Result<(), Error> {
        let edges = &mut self.edges;
        push(&mut self.nodes.starts, edges.kind.len())?;
        for &(from, kind, head, weight) in &self.row {
            edges.push(from, to, kind, head, weight)?;
        }
        Ok(())
    }

    /// The graph, all of whose rows were added.
    pub(crate) fn finish(self, shape: Shape) -> Result<Routes, Error> {
        flow::divided(shape, self.nodes, self.edges)
    }
}

/// The positions from which parts of these kinds come, in order.
pub(crate) fn origins(found: &[Found], parts: &[Part], n_pos: usize) -> Result<Vec<u32>, Error> {
    let mut is_origin = filled(false, n_pos)?;
    for found in found.iter().filter(|found| parts.contains(&found.part)) {
        is_origin[found.from as usize] = true;
    }
    let mut positions = Vec::new();
    reserve(&mut positions, is_origin.iter().filter(|&&is_origin| is_origin).count())?;
    positions.extend((0..).zip(&is_origin).filter(|&(_, &is_origin)| is_origin).map(|(position, _)| position));
    Ok(positions)
}
