//! Routes as a graph: flat arrays of nodes and edges, in the order of compressed sparse rows.

use crate::allocate::push;
use crate::error::Error;
use crate::found::NO_HEAD;
use crate::options::HeadEdges;
use std::ops::Range;

/// What a node is. Within a layer, nodes are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum NodeKind {
    /// The residual stream after the layer.
    ResidPost = 0,
    /// A part of its own that the MLP adds.
    MlpBias = 1,
    /// The MLP.
    Mlp = 2,
    /// The residual stream after attention.
    ResidMid = 3,
    /// A part of its own that attention adds.
    AttentionBias = 4,
    /// The residual stream before the first layer.
    Embedding = 5,
}

/// What an edge is. Both edges of an MLP have its contribution to `resid_post`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EdgeKind {
    /// From the stream before to the stream after, at one position.
    Residual = 0,
    /// From the stream before attention to the stream after it.
    Attention = 1,
    /// From what the MLP reads to the MLP.
    MlpInput = 2,
    /// From the MLP to `resid_post`.
    MlpOutput = 3,
    /// From a further part to its whole.
    Bias = 4,
}

/// A node: something that a position's stream is, or is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its layer; that of an embedding is 0.
    pub layer: usize,
    /// What it is.
    pub kind: NodeKind,
    /// Its position.
    pub position: usize,
}

/// An edge, from a part to its whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The part.
    pub from: Node,
    /// Its whole; of [`EdgeKind::MlpInput`], the MLP.
    pub to: Node,
    /// What it is.
    pub kind: EdgeKind,
    /// The head, of an edge of attention where each head has its own.
    pub head: Option<usize>,
    /// The contribution of the part to its whole.
    pub weight: f64,
    /// The weight times the flow of the whole.
    pub flow: f64,
}

/// The routes to some targets, or all edges of a prompt above a threshold.
///
/// Nodes are numbered from the top down: the last layer comes first; in a layer, nodes are in the order of [`NodeKind`], and
/// those of a kind in that of their positions. So the number of an edge's part is greater than that of its whole.
///
/// Edges are in compressed sparse rows: those that end in node `i` are those from `starts()[i]` to before `starts()[i + 1]`,
/// ordered by the number of their part, then by kind and head.
///
/// Routes to several targets are their union, and flow is the sum of the flows from each, which has 1.
/// [`Routes::routes_to`] takes those of one target out of it, without computing anything again.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    pub(crate) shape: Shape,
    pub(crate) nodes: Nodes,
    pub(crate) edges: Edges,
}

/// What routes are of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) n_layers: usize,
    pub(crate) n_pos: usize,
    pub(crate) n_heads: usize,
    pub(crate) heads: HeadEdges,
    pub(crate) threshold: f64,
    /// Positions, in order.
    pub(crate) targets: Vec<u32>,
}

/// Nodes, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Nodes {
    pub(crate) layer: Vec<u32>,
    pub(crate) kind: Vec<NodeKind>,
    pub(crate) position: Vec<u32>,
    pub(crate) flow: Vec<f64>,
    /// One more than there are nodes.
    pub(crate) starts: Vec<usize>,
}

/// Edges, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edges {
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) kind: Vec<EdgeKind>,
    pub(crate) head: Vec<u32>,
    pub(crate) weight: Vec<f64>,
    pub(crate) flow: Vec<f64>,
}

impl Nodes {
    /// Adds a node, to which no flow is divided yet.
    pub(crate) fn push(&mut self, layer: u32, kind: NodeKind, position: u32) -> Result<(), Error> {
        push(&mut self.layer, layer)?;
        push(&mut self.kind, kind)?;
        push(&mut self.position, position)?;
        push(&mut self.flow, 0.0)
    }
}

impl Edges {
    /// Adds an edge, to which no flow is divided yet.
    pub(crate) fn push(&mut self, from: u32, to: u32, kind: EdgeKind, head: u32, weight: f64) -> Result<(), Error> {
        push(&mut self.from, from)?;
        push(&mut self.to, to)?;
        push(&mut self.kind, kind)?;
        push(&mut self.head, head)?;
        push(&mut self.weight, weight)?;
        push(&mut self.flow, 0.0)
    }
}

impl Routes {
    /// In [`Routes::edge_heads`], that an edge is not one head's.
    pub const NO_HEAD: u32 = NO_HEAD;

    /// The number of layers of the model.
    #[must_use]
    pub fn n_layers(&self) -> usize {
        self.shape.n_layers
    }

    /// The number of positions of the prompt.
    #[must_use]
    pub fn n_pos(&self) -> usize {
        self.shape.n_pos
    }

    /// The number of heads of a layer.
    #[must_use]
    pub fn n_heads(&self) -> usize {
        self.shape.n_heads
    }

    /// Whether attention's edges are each head's, or those of all together.
    #[must_use]
    pub fn heads(&self) -> HeadEdges {
        self.shape.heads
    }

    /// What all weights are greater than.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.shape.threshold
    }

    /// The positions of the targets, in order.
    #[must_use]
    pub fn targets(&self) -> impl ExactSizeIterator<Item = usize> {
        self.shape.targets.iter().map(|&position| position as usize)
    }

    /// The same as an array.
    #[must_use]
    pub fn target_positions(&self) -> &[u32] {
        &self.shape.targets
    }

    /// How many nodes there are.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.nodes.kind.len()
    }

    /// How many edges there are.
    #[must_use]
    pub fn n_edges(&self) -> usize {
        self.edges.kind.len()
    }

    /// The node with this number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn node(&self, node: usize) -> Node {
        Node {
            layer: self.nodes.layer[node] as usize,
            kind: self.nodes.kind[node],
            position: self.nodes.position[node] as usize,
        }
    }

    /// The edge with this number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn edge(&self, edge: usize) -> Edge {
        let head = self.edges.head[edge];
        Edge {
            from: self.node(self.edges.from[edge] as usize),
            to: self.node(self.edges.to[edge] as usize),
            kind: self.edges.kind[edge],
            head: (head != NO_HEAD).then_some(head as usize),
            weight: self.edges.weight[edge],
            flow: self.edges.flow[edge],
        }
    }

    /// All nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = Node> {
        (0..self.n_nodes()).map(|node| self.node(node))
    }

    /// All edges, in order.
    #[must_use]
    pub fn edges(&self) -> impl ExactSizeIterator<Item = Edge> {
        (0..self.n_edges()).map(|edge| self.edge(edge))
    }

    /// The numbers of the edges that end in a node.
    ///
    /// # Panics
    /// If there is no node with this number.
    #[must_use]
    pub fn edges_to(&self, node: usize) -> Range<usize> {
        self.nodes.starts[node]..self.nodes.starts[node + 1]
    }

    /// The number of a node, where it is among the routes.
    #[must_use]
    pub fn find(&self, node: Node) -> Option<usize> {
        let (mut low, mut high) = (0, self.n_nodes());
        while low < high {
            let middle = low.midpoint(high);
            match self.node(middle).key().cmp(&node.key()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The positions of the last `resid_post`, whose nodes come before all others.
    pub(crate) fn last_positions(&self) -> &[u32] {
        let Nodes { layer, kind, position, .. } = &self.nodes;
        let last = self.shape.n_layers.saturating_sub(1);
        let is_last = |&node: &usize| layer[node] as usize == last && kind[node] == NodeKind::ResidPost;
        &position[..(0..kind.len()).take_while(is_last).count()]
    }

    /// The layer of each node.
    #[must_use]
    pub fn node_layers(&self) -> &[u32] {
        &self.nodes.layer
    }

    /// What each node is.
    #[must_use]
    pub fn node_kinds(&self) -> &[NodeKind] {
        &self.nodes.kind
    }

    /// The position of each node.
    #[must_use]
    pub fn node_positions(&self) -> &[u32] {
        &self.nodes.position
    }

    /// The flow through each node: 1 of a target, and the sum of the flows of the edges that begin there.
    #[must_use]
    pub fn node_flows(&self) -> &[f64] {
        &self.nodes.flow
    }

    /// Where the edges that end in each node begin, and how many edges there are.
    #[must_use]
    pub fn starts(&self) -> &[usize] {
        &self.nodes.starts
    }

    /// The number of the node at which each edge begins: its part.
    #[must_use]
    pub fn edge_froms(&self) -> &[u32] {
        &self.edges.from
    }

    /// The number of the node at which each edge ends: its whole.
    #[must_use]
    pub fn edge_tos(&self) -> &[u32] {
        &self.edges.to
    }

    /// What each edge is.
    #[must_use]
    pub fn edge_kinds(&self) -> &[EdgeKind] {
        &self.edges.kind
    }

    /// The head of each edge, or [`Routes::NO_HEAD`].
    #[must_use]
    pub fn edge_heads(&self) -> &[u32] {
        &self.edges.head
    }

    /// The weight of each edge.
    #[must_use]
    pub fn edge_weights(&self) -> &[f64] {
        &self.edges.weight
    }

    /// The flow of each edge.
    #[must_use]
    pub fn edge_flows(&self) -> &[f64] {
        &self.edges.flow
    }
}

impl Node {
    /// By what nodes are ordered.
    pub(crate) fn key(self) -> impl Ord {
        (std::cmp::Reverse(self.layer), self.kind, self.position)
    }
}
