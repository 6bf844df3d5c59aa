//! Nodes, edges and changes as rows of bytes, the structured arrays of `residual_routes._routes`.

use contrib_routes::{Change, Node, Routes, Strength};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Bytes of a node: layer, kind, position (u32, u8, u32), flow (f64), each at a multiple of its size.
const NODE: usize = 24;
/// Bytes of an edge: from, to, kind, head (u32, u32, u8, i32), weight, flow (f64).
const EDGE: usize = 32;
/// Bytes of a change: both nodes, kind, head, and four f64.
const CHANGE: usize = 64;

/// A row that is filled field by field.
struct Row<'a>(&'a mut [u8]);

impl Row<'_> {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn node(&mut self, at: usize, node: Node) {
        self.put(at, (node.layer as u32).to_ne_bytes());
        self.put(at + 4, [node.kind as u8]);
        self.put(at + 8, (node.position as u32).to_ne_bytes());
    }

    fn head(&mut self, at: usize, head: Option<usize>) {
        self.put(at, head.map_or(-1, |head| head as i32).to_ne_bytes());
    }

    fn strength(&mut self, at: usize, strength: Option<Strength>) {
        let (weight, flow) = strength.map_or((f64::NAN, f64::NAN), |strength| (strength.weight, strength.flow));
        self.put(at, weight.to_ne_bytes());
        self.put(at + 8, flow.to_ne_bytes());
    }
}

/// As many rows, each filled by what `fill` does with its item.
fn rows<T>(
    py: Python<'_>,
    size: usize,
    items: impl ExactSizeIterator<Item = T>,
    fill: impl Fn(&mut Row<'_>, T),
) -> PyResult<Bound<'_, PyBytes>> {
    PyBytes::new_with(py, size * items.len(), |bytes| {
        for (row, item) in bytes.chunks_exact_mut(size).zip(items) {
            fill(&mut Row(row), item);
        }
        Ok(())
    })
}

pub(super) fn nodes<'py>(py: Python<'py>, routes: &Routes) -> PyResult<Bound<'py, PyBytes>> {
    rows(py, NODE, 0..routes.n_nodes(), |row, node| {
        row.node(0, routes.node(node));
        row.put(16, routes.node_flows()[node].to_ne_bytes());
    })
}

pub(super) fn edges<'py>(py: Python<'py>, routes: &Routes) -> PyResult<Bound<'py, PyBytes>> {
    rows(py, EDGE, 0..routes.n_edges(), |row, edge| {
        row.put(0, routes.edge_froms()[edge].to_ne_bytes());
        row.put(4, routes.edge_tos()[edge].to_ne_bytes());
        row.put(8, [routes.edge_kinds()[edge] as u8]);
        let head = routes.edge_heads()[edge];
        row.head(12, (head != Routes::NO_HEAD).then_some(head as usize));
        row.put(16, routes.edge_weights()[edge].to_ne_bytes());
        row.put(24, routes.edge_flows()[edge].to_ne_bytes());
    })
}

pub(super) fn changes<'py>(py: Python<'py>, changes: &[Change]) -> PyResult<Bound<'py, PyBytes>> {
    rows(py, CHANGE, changes.iter(), |row, change| {
        row.node(0, change.from);
        row.node(12, change.to);
        row.put(24, [change.kind as u8]);
        row.head(28, change.head);
        row.strength(32, change.before);
        row.strength(48, change.after);
    })
}
