//! What differs between two results.

use crate::allocate::push;
use crate::error::Error;
use crate::graph::{Edge, EdgeKind, Node, Routes};
use std::cmp::Ordering;

/// An edge that two results do not have alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Where the edge begins.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// What it is.
    pub kind: EdgeKind,
    /// The head, of an edge of attention where each head has its own.
    pub head: Option<usize>,
    /// What it is in the first result, where that has it: otherwise it appeared.
    pub before: Option<Strength>,
    /// What it is in the second result, where that has it: otherwise it went.
    pub after: Option<Strength>,
}

/// How strong an edge is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// The contribution of the part to its whole.
    pub weight: f64,
    /// The weight times the flow of the whole.
    pub flow: f64,
}

/// The edges that only one of two results has, and those whose weight or flow differs by more than `tolerance`, in the order in
/// which results have them.
///
/// The results may be of different prompts, of different targets, and of different thresholds.
///
/// # Errors
/// [`Error::Unlike`] where the models have different numbers of layers or heads, the prompts different lengths, or heads are
/// summed in one result only; [`Error::OutOfMemory`].
pub fn difference(before: &Routes, after: &Routes, tolerance: f64) -> Result<Vec<Change>, Error> {
    let what = [
        ("layers", before.n_layers() == after.n_layers()),
        ("heads", before.n_heads() == after.n_heads() && before.heads() == after.heads()),
        ("positions", before.n_pos() == after.n_pos()),
    ];
    if let Some(&(what, _)) = what.iter().find(|(_, is_alike)| !is_alike) {
        return Err(Error::Unlike { what });
    }
    let (mut one, mut other) = (before.edges().peekable(), after.edges().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (one.peek(), other.peek()) {
            (Some(one), Some(other)) => key(one).cmp(&key(other)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(changes),
        };
        let before = if order.is_le() { one.next() } else { None };
        let after = if order.is_ge() { other.next() } else { None };
        if let (Some(before), Some(after)) = (&before, &after) {
            let differs = |before: f64, after: f64| (before - after).abs() > tolerance;
            if !differs(before.weight, after.weight) && !differs(before.flow, after.flow) {
                continue;
            }
        }
        let Some(Edge { from, to, kind, head, .. }) = before.or(after) else { continue };
        let strength = |edge: Edge| Strength { weight: edge.weight, flow: edge.flow };
        push(&mut changes, Change { from, to, kind, head, before: before.map(strength), after: after.map(strength) })?;
    }
}

/// By what edges are ordered.
fn key(edge: &Edge) -> impl Ord + use<> {
    (edge.to.key(), edge.from.key(), edge.kind, edge.head)
}
