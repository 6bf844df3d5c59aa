//! Routes as flat arrays.

use super::find::contrib_routes;
use crate::handle::given;
use crate::sized_struct::{self, SizedStruct};
use crate::status::{contrib_status, guard};
use ::contrib_routes::HeadEdges;
use contrib_core::Argument;
use std::mem::offset_of;

/// What is in routes: flat arrays, which are valid until the routes are freed.
///
/// Nodes are numbered from the top down: the last layer comes first; in a layer, nodes are in the order of the numbers
/// `CONTRIB_NODE_`, and those of a kind in that of their positions. So the number of an edge's part is greater than that of its
/// whole.
///
/// Edges are in compressed sparse rows: those that end in node `i` are those from `starts[i]` to before `starts[i + 1]`, ordered by
/// the number of their part, then by kind and head.
///
/// Routes to several targets are their union, and flow is the sum of the flows from each, which has 1: an edge has its weight
/// times the flow of its whole, and a node the sum of the flows of the edges that begin there.
///
/// Begin with `contrib_routes_arrays arrays = CONTRIB_ROUTES_ARRAYS_INIT;`. Later versions may append fields.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_routes_arrays {
    /// `sizeof(contrib_routes_arrays)`; read.
    pub struct_size: usize,
    /// The number of layers of the model.
    pub n_layers: usize,
    /// The number of positions of the prompt.
    pub n_pos: usize,
    /// The number of heads of a layer.
    pub n_heads: usize,
    /// `CONTRIB_ROUTES_SUM_HEADS` where attention's edges are those of all heads together, or 0.
    pub flags: u64,
    /// What all weights are greater than.
    pub threshold: f64,
    /// How many targets there are.
    pub n_targets: usize,
    /// The position of each, in order.
    pub targets: *const u32,
    /// How many nodes there are.
    pub n_nodes: usize,
    /// The layer of each node; that of an embedding is 0.
    pub node_layer: *const u32,
    /// What each node is: one of `CONTRIB_NODE_`.
    pub node_kind: *const u8,
    /// The position of each node.
    pub node_position: *const u32,
    /// The flow through each node.
    pub node_flow: *const f64,
    /// `n_nodes + 1` numbers: where the edges that end in each node begin, and how many edges there are.
    pub starts: *const usize,
    /// How many edges there are.
    pub n_edges: usize,
    /// The node at which each edge begins: its part.
    pub edge_from: *const u32,
    /// The node at which each edge ends: its whole, or the MLP.
    pub edge_to: *const u32,
    /// What each edge is: one of `CONTRIB_EDGE_`.
    pub edge_kind: *const u8,
    /// The head of each edge, or `CONTRIB_NO_HEAD`.
    pub edge_head: *const u32,
    /// The contribution of each edge's part to its whole. Both edges of an MLP have that of the MLP.
    pub edge_weight: *const f64,
    /// The flow of each edge.
    pub edge_flow: *const f64,
}

// SAFETY: numbers and pointers after the size.
unsafe impl SizedStruct for contrib_routes_arrays {
    const FIRST_SIZE: usize = offset_of!(contrib_routes_arrays, edge_flow) + size_of::<usize>();
}

/// Writes what is in routes into `*arrays`. Nothing is copied: the pointers are valid until the routes are freed.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`; `*arrays` is untouched then.
///
/// # Safety
/// `routes` is null or alive. `arrays` is null or points to as many bytes as its `struct_size` says, which may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_get_arrays(
    routes: *const contrib_routes,
    arrays: *mut contrib_routes_arrays,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let routes = unsafe { given("routes", routes)? }.get();
        let values = contrib_routes_arrays {
            struct_size: 0,
            n_layers: routes.n_layers(),
            n_pos: routes.n_pos(),
            n_heads: routes.n_heads(),
            flags: match routes.heads() {
                HeadEdges::Each => 0,
                HeadEdges::Summed => super::options::CONTRIB_ROUTES_SUM_HEADS,
            },
            threshold: routes.threshold(),
            n_targets: routes.target_positions().len(),
            targets: routes.target_positions().as_ptr(),
            n_nodes: routes.n_nodes(),
            node_layer: routes.node_layers().as_ptr(),
            node_kind: routes.node_kinds().as_ptr().cast(),
            node_position: routes.node_positions().as_ptr(),
            node_flow: routes.node_flows().as_ptr(),
            starts: routes.starts().as_ptr(),
            n_edges: routes.n_edges(),
            edge_from: routes.edge_froms().as_ptr(),
            edge_to: routes.edge_tos().as_ptr(),
            edge_kind: routes.edge_kinds().as_ptr().cast(),
            edge_head: routes.edge_heads().as_ptr(),
            edge_weight: routes.edge_weights().as_ptr(),
            edge_flow: routes.edge_flows().as_ptr(),
        };
        // SAFETY: this function's contract.
        unsafe { sized_struct::write(Argument::named("arrays"), arrays, values) }
    })
}
