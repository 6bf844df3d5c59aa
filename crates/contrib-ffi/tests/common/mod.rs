//! Calls of the C API, made as a C program makes them: structs of pointers into arrays that the caller keeps.

#![allow(dead_code, reason = "each of the tests uses a part of it")]

pub mod harm;
pub mod recorded;

use contrib::attention::{
    CONTRIB_ATTENTION_SUM_HEADS, contrib_attention_inputs, contrib_attention_results, contrib_one_off,
};
use contrib::context::{
    contrib_context, contrib_context_free, contrib_context_new, contrib_context_new_with_parallel_for,
    contrib_parallel_for,
};
use contrib::groups::contrib_group;
use contrib::message::contrib_last_error_message;
use contrib::neurons::{contrib_neurons_inputs, contrib_neurons_results};
use contrib::operations::{
    contrib_attention, contrib_attention_factored, contrib_contributions, contrib_contributions_with_one_off,
    contrib_decomposed_mlp, contrib_group_contributions, contrib_mlp, contrib_mlp_neurons,
    contrib_threshold_and_renormalise,
};
use contrib::options::contrib_options;
use contrib::queries_and_keys::{CONTRIB_CAUSAL, contrib_queries_and_keys};
use contrib::status::{CONTRIB_OK, contrib_status};
use contrib::tensor::{
    CONTRIB_DEVICE_CPU, CONTRIB_DTYPE_BFLOAT, CONTRIB_DTYPE_FLOAT, CONTRIB_DTYPE_INT, contrib_dtype, contrib_tensor,
};
use contrib_testing::{Kind, Layout, Operation, Random, Stored};
use std::ffi::{CStr, c_void};
use std::mem;
use std::ptr;

/// What a caller says about one tensor; the arrays of its struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    pub data: *mut c_void,
    pub dtype: (u8, u8, u16),
    pub device_type: i32,
    pub device_id: i32,
    pub ndim: i32,
    /// `None`: NULL.
    pub shape: Option<Vec<i64>>,
    /// `None`: NULL.
    pub strides: Option<Vec<i64>>,
    pub byte_offset: u64,
}

// SAFETY: the address is only used in calls, which say how their contracts hold.
unsafe impl Send for Arg {}

/// Code, bits and lanes of an element type.
pub const fn dtype(kind: Kind) -> (u8, u8, u16) {
    match kind {
        Kind::F32 => (CONTRIB_DTYPE_FLOAT, 32, 1),
        Kind::F64 => (CONTRIB_DTYPE_FLOAT, 64, 1),
        Kind::F16 => (CONTRIB_DTYPE_FLOAT, 16, 1),
        Kind::Bf16 => (CONTRIB_DTYPE_BFLOAT, 16, 1),
    }
}

impl Arg {
    /// This tensor, its strides said.
    pub fn of(stored: &mut Stored) -> Self {
        let (kind, layout) = (stored.kind(), stored.layout.clone());
        Arg {
            data: stored.numbers.as_mut_ptr().wrapping_add(layout.offset * kind.size()).cast(),
            dtype: dtype(kind),
            device_type: CONTRIB_DEVICE_CPU,
            device_id: 0,
            ndim: layout.shape.len() as i32,
            shape: Some(layout.shape.iter().map(|&extent| extent as i64).collect()),
            strides: Some(layout.strides.iter().map(|&stride| stride as i64).collect()),
            byte_offset: 0,
        }
    }

    /// This tensor as one of integers: of int32 in place of float32, or int64 in place of float64.
    pub fn of_integers(stored: &mut Stored) -> Self {
        let bits = match stored.kind() {
            Kind::F32 => 32,
            Kind::F64 => 64,
            other => panic!("no integers are as large as {other:?}"),
        };
        Arg { dtype: (CONTRIB_DTYPE_INT, bits, 1), ..Self::of(stored) }
    }

    /// The struct, with pointers into this.
    pub fn tensor(&mut self) -> contrib_tensor {
        let (code, bits, lanes) = self.dtype;
        contrib_tensor {
            data: self.data,
            device_type: self.device_type,
            device_id: self.device_id,
            ndim: self.ndim,
            dtype: contrib_dtype { code, bits, lanes },
            shape: self.shape.as_mut().map_or(ptr::null_mut(), Vec::as_mut_ptr),
            strides: self.strides.as_mut().map_or(ptr::null_mut(), Vec::as_mut_ptr),
            byte_offset: self.byte_offset,
        }
    }

    pub fn shape(&mut self) -> &mut Vec<i64> {
        self.shape.as_mut().expect("the test has not taken the shape away")
    }

    pub fn strides(&mut self) -> &mut Vec<i64> {
        self.strides.as_mut().expect("the test has not taken the strides away")
    }

    /// Says another shape, with strides for it.
    pub fn reshape(&mut self, shape: &[i64], strides: Option<&[i64]>) {
        self.ndim = shape.len() as i32;
        self.shape = Some(shape.to_vec());
        self.strides = strides.map(<[i64]>::to_vec);
    }

    /// The axes in another order.
    pub fn permute(&mut self, order: &[usize]) {
        let (shape, strides) = (self.shape().clone(), self.strides().clone());
        self.shape = Some(order.iter().map(|&axis| shape[axis]).collect());
        self.strides = Some(order.iter().map(|&axis| strides[axis]).collect());
    }

    /// The address of each element, in row-major order.
    pub fn addresses(&self) -> Vec<usize> {
        let shape = self.shape.clone().unwrap_or_default();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let strides = self.strides.clone().unwrap_or(strides);
        let mut addresses = vec![self.data.addr() as i64 + self.byte_offset as i64];
        for (&extent, &stride) in shape.iter().zip(&strides) {
            let step = |address: i64| {
                (0..extent).map(move |i| address.wrapping_add(i.wrapping_mul(stride).wrapping_mul(self.size() as i64)))
            };
            addresses = addresses.into_iter().flat_map(step).collect();
        }
        addresses.into_iter().map(|address| address as usize).collect()
    }

    /// Bytes of an element.
    pub fn size(&self) -> usize {
        usize::from(self.dtype.1) / 8
    }
}

/// Options with the 1-norm and nothing else.
pub const fn plain_options() -> contrib_options {
    contrib_options { struct_size: size_of::<contrib_options>(), norm: 1.0, context: ptr::null(), threshold: 0.0 }
}

/// A group of dense parts.
pub const fn dense_group(parts: *const contrib_tensor, out: *const contrib_tensor) -> contrib_group {
    contrib_group {
        struct_size: size_of::<contrib_group>(),
        parts,
        out,
        coefficients: ptr::null(),
        projection: ptr::null(),
        scale: ptr::null(),
        indices: ptr::null(),
        flags: 0,
        queries_and_keys: ptr::null(),
        counts: ptr::null(),
        left_out: ptr::null(),
        above: 0.0,
        summed_axes: 0,
        prepared: ptr::null(),
    }
}

/// What `CONTRIB_QUERIES_AND_KEYS_INIT` says.
pub const NO_QUERIES_AND_KEYS: contrib_queries_and_keys = contrib_queries_and_keys {
    struct_size: size_of::<contrib_queries_and_keys>(),
    queries: ptr::null(),
    keys: ptr::null(),
    score_scale: 0.0,
    soft_cap: 0.0,
    slopes: ptr::null(),
    sinks: ptr::null(),
    mask: ptr::null(),
    query_positions: ptr::null(),
    key_positions: ptr::null(),
    first_query: -1,
    window: 0,
    flags: 0,
};

/// What `CONTRIB_ATTENTION_INPUTS_INIT` says.
pub const NO_ATTENTION_INPUTS: contrib_attention_inputs = contrib_attention_inputs {
    struct_size: size_of::<contrib_attention_inputs>(),
    resid_pre: ptr::null(),
    resid_mid: ptr::null(),
    pattern: ptr::null(),
    queries_and_keys: ptr::null(),
    values: ptr::null(),
    w_o: ptr::null(),
    value_output: ptr::null(),
    scale: ptr::null(),
    flags: 0,
    prepared: ptr::null(),
};

/// What `CONTRIB_ATTENTION_RESULTS_INIT` says.
pub const NO_ATTENTION_RESULTS: contrib_attention_results = contrib_attention_results {
    struct_size: size_of::<contrib_attention_results>(),
    out_attn: ptr::null(),
    indices: ptr::null(),
    counts: ptr::null(),
    left_out: ptr::null(),
    above: 0.0,
    out_resid: ptr::null(),
    one_offs: ptr::null(),
    n_one_offs: 0,
    flags: 0,
};

/// What `CONTRIB_NEURONS_RESULTS_INIT` says.
pub const NO_NEURONS_RESULTS: contrib_neurons_results = contrib_neurons_results {
    struct_size: size_of::<contrib_neurons_results>(),
    out_neurons: ptr::null(),
    indices: ptr::null(),
    counts: ptr::null(),
    left_out: ptr::null(),
    above: 0.0,
    out_resid: ptr::null(),
};

/// The operations of the C API, some in more than one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Groups,
    /// A group of factored parts with all that such a group can have, and a group of dense parts.
    FactoredGroups,
    Contributions,
    OneOff,
    Attention,
    AttentionFactored,
    /// Factored attention from what each head would write, with a scale and further parts, summed over heads.
    AttentionExtras,
    /// Factored attention from queries and keys, with all that scores can be made of.
    AttentionFromScores,
    /// Those contributions of factored attention that are above a number.
    SparseAttention,
    Mlp,
    DecomposedMlp,
    MlpNeurons,
    /// The strongest of the neurons.
    StrongestNeurons,
    /// The neurons above a number.
    SparseNeurons,
    /// A group of factored parts from queries and keys, summed over the first part axis, above a number; and a group of
    /// dense parts.
    GroupsFromScores,
    Threshold,
}

/// Sizes to call a function with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few numbers.
    Small,
    /// Enough work for threads.
    Large,
}

impl Function {
    pub const ALL: [Function; 16] = [
        Function::Groups,
        Function::FactoredGroups,
        Function::Contributions,
        Function::OneOff,
        Function::Attention,
        Function::AttentionFactored,
        Function::AttentionExtras,
        Function::AttentionFromScores,
        Function::SparseAttention,
        Function::Mlp,
        Function::DecomposedMlp,
        Function::MlpNeurons,
        Function::StrongestNeurons,
        Function::SparseNeurons,
        Function::GroupsFromScores,
        Function::Threshold,
    ];

    pub const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Contributions => Function::Contributions,
            Operation::OneOff => Function::OneOff,
            Operation::Attention => Function::Attention,
            Operation::AttentionFactored => Function::AttentionFactored,
            Operation::Mlp => Function::Mlp,
            Operation::DecomposedMlp => Function::DecomposedMlp,
            Operation::MlpNeurons => Function::MlpNeurons,
            Operation::Threshold => Function::Threshold,
        }
    }

    /// The tensors as errors name them, inputs first.
    pub const fn arguments(self) -> &'static [&'static str] {
        match self {
            Function::Groups => &["whole", "groups[0].parts", "groups[1].parts", "groups[0].out", "groups[1].out"],
            Function::FactoredGroups => &[
                "whole",
                "groups[0].coefficients",
                "groups[0].parts",
                "groups[0].projection",
                "groups[0].scale",
                "groups[1].parts",
                "groups[0].out",
                "groups[0].indices",
                "groups[1].out",
            ],
            Function::Contributions => &["whole", "parts", "out"],
            Function::OneOff => &["whole", "parts", "one_off", "out_parts", "out_one_off"],
            Function::Attention => &["resid_pre", "resid_mid", "decomposed_attn", "out_attn", "out_resid"],
            Function::AttentionFactored => {
                &["resid_pre", "resid_mid", "pattern", "values", "w_o", "out_attn", "out_resid"]
            }
            Function::AttentionExtras => &[
                "resid_pre",
                "resid_mid",
                "pattern",
                "value_output",
                "scale",
                "one_offs[0].part",
                "one_offs[1].part",
                "out_attn",
                "out_resid",
                "one_offs[0].out",
                "one_offs[1].out",
            ],
            Function::AttentionFromScores => &[
                "resid_pre",
                "resid_mid",
                "queries",
                "keys",
                "slopes",
                "sinks",
                "mask",
                "query_positions",
                "key_positions",
                "values",
                "w_o",
                "out_attn",
                "out_resid",
            ],
            Function::SparseAttention => &[
                "resid_pre",
                "resid_mid",
                "pattern",
                "values",
                "w_o",
                "out_attn",
                "indices",
                "counts",
                "left_out",
                "out_resid",
            ],
            Function::Mlp => &["resid_mid", "resid_post", "mlp_out", "out_mlp", "out_resid"],
            Function::DecomposedMlp => &["resid_mid", "resid_post", "decomposed_mlp_out", "out_neurons", "out_resid"],
            Function::MlpNeurons => &["resid_mid", "resid_post", "activations", "w_out", "out_neurons", "out_resid"],
            Function::StrongestNeurons => {
                &["resid_mid", "resid_post", "activations", "w_out", "out_neurons", "indices", "out_resid"]
            }
            Function::SparseNeurons => &[
                "resid_mid",
                "resid_post",
                "activations",
                "w_out",
                "out_neurons",
                "indices",
                "counts",
                "left_out",
                "out_resid",
            ],
            Function::GroupsFromScores => &[
                "whole",
                "groups[0].queries",
                "groups[0].keys",
                "groups[0].slopes",
                "groups[0].sinks",
                "groups[0].mask",
                "groups[0].query_positions",
                "groups[0].key_positions",
                "groups[0].parts",
                "groups[0].projection",
                "groups[1].parts",
                "groups[0].out",
                "groups[0].indices",
                "groups[0].counts",
                "groups[0].left_out",
                "groups[1].out",
            ],
            Function::Threshold => &["c_blocks", "c_residual", "out_blocks", "out_residual"],
        }
    }

    /// How many of the tensors are inputs.
    pub const fn inputs(self) -> usize {
        match self {
            Function::Contributions | Function::Threshold => 2,
            Function::MlpNeurons | Function::StrongestNeurons | Function::SparseNeurons => 4,
            Function::AttentionFactored | Function::SparseAttention => 5,
            Function::FactoredGroups => 6,
            Function::AttentionExtras => 7,
            Function::AttentionFromScores | Function::GroupsFromScores => 11,
            _ => 3,
        }
    }

    /// Whether NULL in place of this tensor means something.
    pub fn may_be_null(self, name: &str) -> bool {
        let names: &[&str] = match self {
            Function::FactoredGroups => {
                &["groups[0].coefficients", "groups[0].projection", "groups[0].scale", "groups[0].indices"]
            }
            Function::AttentionExtras => &["scale"],
            Function::AttentionFromScores => &["slopes", "sinks", "mask", "query_positions", "key_positions"],
            Function::StrongestNeurons => &["indices"],
            Function::GroupsFromScores => &[
                "groups[0].slopes",
                "groups[0].sinks",
                "groups[0].mask",
                "groups[0].query_positions",
                "groups[0].key_positions",
                "groups[0].projection",
            ],
            _ => &[],
        };
        names.contains(&name)
    }

    /// Whether the results are those contributions that are above a number.
    pub const fn is_sparse(self) -> bool {
        matches!(self, Function::SparseAttention | Function::SparseNeurons | Function::GroupsFromScores)
    }

    /// Shapes that agree. Small tensors fit into [`ROOM`].
    pub const fn shapes(self, size: Size) -> &'static [&'static [usize]] {
        match (self, size) {
            (Function::Groups, Size::Large) => &[&[5, 192], &[500, 5, 192], &[20, 5, 5, 192], &[500, 5], &[20, 5, 5]],
            #[rustfmt::skip]
            (Function::FactoredGroups, Size::Small) => &[
                &[3, 4], &[5, 3], &[5, 3, 3], &[5, 3, 4], &[3, 4], &[2, 3, 4], &[3, 2], &[3, 2], &[2, 3],
            ],
            #[rustfmt::skip]
            (Function::FactoredGroups, Size::Large) => &[
                &[5, 192], &[120, 12, 5], &[120, 1, 1, 16], &[1, 12, 16, 192], &[1, 192], &[20, 5, 192],
                &[5, 7], &[5, 7], &[20, 5],
            ],
            (Function::Contributions, Size::Small) => &[&[3, 4], &[2, 3, 4], &[2, 3]],
            (Function::Contributions, Size::Large) => &[&[3, 193], &[700, 3, 193], &[700, 3]],
            (Function::Groups | Function::OneOff, Size::Small) => &[&[3, 4], &[2, 3, 4], &[3, 4], &[2, 3], &[3]],
            (Function::OneOff, Size::Large) => &[&[40, 200], &[50, 40, 200], &[40, 200], &[50, 40], &[40]],
            (Function::Attention, Size::Small) => &[&[2, 3, 4], &[2, 3, 4], &[2, 3, 2, 2, 4], &[2, 3, 2, 2], &[2, 3]],
            (Function::Attention, Size::Large) => {
                &[&[2, 8, 192], &[2, 8, 192], &[2, 8, 9, 12, 192], &[2, 8, 9, 12], &[2, 8]]
            }
            #[rustfmt::skip]
            (Function::AttentionFactored, Size::Small) => &[
                &[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 3], &[2, 3, 2, 3], &[4, 3, 4], &[2, 2, 3, 4], &[2, 2],
            ],
            #[rustfmt::skip]
            (Function::AttentionFactored, Size::Large) => &[
                &[2, 8, 192], &[2, 8, 192], &[2, 12, 8, 120], &[2, 120, 4, 24], &[12, 24, 192], &[2, 8, 120, 12], &[2, 8],
            ],
            #[rustfmt::skip]
            (Function::AttentionExtras, Size::Small) => &[
                &[3, 3, 4], &[3, 3, 4], &[3, 2, 3, 2], &[3, 2, 2, 4], &[3, 3, 4], &[3, 3, 4], &[3, 3, 4],
                &[3, 3, 2], &[3, 3], &[3, 3], &[3, 3],
            ],
            #[rustfmt::skip]
            (Function::AttentionExtras, Size::Large) => &[
                &[2, 8, 192], &[2, 8, 192], &[2, 12, 8, 120], &[2, 120, 12, 192], &[2, 8, 1], &[1, 1, 192], &[2, 8, 192],
                &[2, 8, 120], &[2, 8], &[2, 8], &[2, 8],
            ],
            #[rustfmt::skip]
            (Function::AttentionFromScores, Size::Small) => &[
                &[2, 2, 4], &[2, 2, 4], &[2, 2, 4, 3], &[2, 4, 2, 3], &[4], &[4], &[2, 4, 2, 4], &[2, 2], &[2, 4],
                &[2, 4, 2, 2], &[4, 2, 4], &[2, 2, 4, 4], &[2, 2],
            ],
            #[rustfmt::skip]
            (Function::AttentionFromScores, Size::Large) => &[
                &[2, 8, 192], &[2, 8, 192], &[2, 8, 12, 16], &[2, 120, 4, 16], &[12], &[12], &[2, 12, 8, 120],
                &[2, 8], &[2, 120], &[2, 120, 4, 24], &[12, 24, 192], &[2, 8, 120, 12], &[2, 8],
            ],
            #[rustfmt::skip]
            (Function::SparseAttention, Size::Small) => &[
                &[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 3], &[2, 3, 2, 3], &[4, 3, 4], &[2, 2, 3], &[2, 2, 3], &[2, 2],
                &[2, 2], &[2, 2],
            ],
            #[rustfmt::skip]
            (Function::SparseAttention, Size::Large) => &[
                &[2, 8, 192], &[2, 8, 192], &[2, 12, 8, 120], &[2, 120, 4, 24], &[12, 24, 192], &[2, 8, 7], &[2, 8, 7],
                &[2, 8], &[2, 8], &[2, 8],
            ],
            (Function::Mlp, Size::Small) => &[&[2, 3, 4], &[2, 3, 4], &[2, 3, 4], &[2, 3], &[2, 3]],
            (Function::Mlp, Size::Large) => &[&[4, 50, 768], &[4, 50, 768], &[4, 50, 768], &[4, 50], &[4, 50]],
            (Function::DecomposedMlp, Size::Small) => &[&[3, 4], &[3, 4], &[3, 5, 4], &[3, 5], &[3]],
            (Function::DecomposedMlp, Size::Large) => &[&[256], &[256], &[1200, 256], &[1200], &[]],
            (Function::MlpNeurons, Size::Small) => &[&[3, 4], &[3, 4], &[3, 5], &[5, 4], &[3, 5], &[3]],
            (Function::MlpNeurons, Size::Large) => &[&[256], &[256], &[1200], &[1200, 256], &[1200], &[]],
            (Function::StrongestNeurons, Size::Small) => &[&[3, 4], &[3, 4], &[3, 5], &[5, 4], &[3, 2], &[3, 2], &[3]],
            (Function::StrongestNeurons, Size::Large) => {
                &[&[4, 192], &[4, 192], &[4, 1400], &[1400, 192], &[4, 9], &[4, 9], &[4]]
            }
            #[rustfmt::skip]
            (Function::SparseNeurons, Size::Small) => &[
                &[3, 4], &[3, 4], &[3, 5], &[5, 4], &[3, 2], &[3, 2], &[3], &[3], &[3],
            ],
            #[rustfmt::skip]
            (Function::SparseNeurons, Size::Large) => &[
                &[4, 192], &[4, 192], &[4, 1400], &[1400, 192], &[4, 9], &[4, 9], &[4], &[4], &[4],
            ],
            #[rustfmt::skip]
            (Function::GroupsFromScores, Size::Small) => &[
                &[3, 4], &[4, 1, 3, 3], &[4, 5, 1, 3], &[4], &[4], &[4, 5, 3], &[3], &[5, 3], &[4, 5, 1, 3],
                &[4, 1, 3, 4], &[2, 3, 4], &[3, 2], &[3, 2], &[3], &[3], &[2, 3],
            ],
            #[rustfmt::skip]
            (Function::GroupsFromScores, Size::Large) => &[
                &[5, 192], &[12, 1, 5, 16], &[12, 120, 1, 16], &[12], &[12], &[12, 120, 5], &[5], &[120, 5],
                &[12, 120, 1, 16], &[12, 1, 16, 192], &[20, 5, 192], &[5, 7], &[5, 7], &[5], &[5], &[20, 5],
            ],
            (Function::Threshold, Size::Small) => &[&[3, 4], &[3], &[3, 4], &[3]],
            (Function::Threshold, Size::Large) => &[&[600, 500], &[600], &[600, 500], &[600]],
        }
    }

    /// The groups of a call, for a function that takes an array of them: none for any other. Pointers to tensors are
    /// in the order of [`Function::arguments`]; any other number of dense groups has as many pairs of parts and results.
    pub fn groups(self, tensors: &[*const contrib_tensor], choices: &Choices) -> Groups {
        let flags = choices.flags;
        match (self, tensors) {
            (Function::Groups, [_, others @ ..]) => {
                let (parts, outs) = others.split_at(others.len() / 2);
                let group = |(&parts, &out)| contrib_group { flags, ..dense_group(parts, out) };
                Groups { queries_and_keys: None, groups: parts.iter().zip(outs).map(group).collect() }
            }
            (
                Function::FactoredGroups,
                &[_, coefficients, parts, projection, scale, dense, out, indices, out_dense],
            ) => {
                let factored = dense_group(parts, out);
                let summed_axes = choices.summed_axes;
                let factored =
                    contrib_group { coefficients, projection, scale, indices, flags, summed_axes, ..factored };
                Groups { queries_and_keys: None, groups: vec![factored, dense_group(dense, out_dense)] }
            }
            (
                Function::GroupsFromScores,
                &[
                    _,
                    queries,
                    keys,
                    slopes,
                    sinks,
                    mask,
                    query_positions,
                    key_positions,
                    parts,
                    projection,
                    dense,
                    out,
                    indices,
                    counts,
                    left_out,
                    out_dense,
                ],
            ) => {
                let queries_and_keys = Box::new(contrib_queries_and_keys {
                    queries,
                    keys,
                    slopes,
                    sinks,
                    mask,
                    query_positions,
                    key_positions,
                    ..choices.queries_and_keys
                });
                let factored = contrib_group {
                    projection,
                    indices,
                    flags,
                    queries_and_keys: &raw const *queries_and_keys,
                    counts,
                    left_out,
                    above: choices.above,
                    summed_axes: choices.summed_axes,
                    ..dense_group(parts, out)
                };
                Groups {
                    queries_and_keys: Some(queries_and_keys),
                    groups: vec![factored, dense_group(dense, out_dense)],
                }
            }
            _ => Groups { queries_and_keys: None, groups: Vec::new() },
        }
    }

    /// The call itself. Nothing is allocated here, so that all requests for memory are the library's.
    ///
    /// # Safety
    /// - `groups` is what [`Function::groups`] gives for `tensors`.
    /// - What the header says.
    pub unsafe fn call(
        self,
        tensors: &[*const contrib_tensor],
        groups: &[contrib_group],
        choices: &Choices,
        options: *const contrib_options,
    ) -> contrib_status {
        // SAFETY: this function's contract; structs of inputs and results live until the call returns.
        unsafe {
            match (self, tensors) {
                (Function::Groups | Function::FactoredGroups | Function::GroupsFromScores, [whole, ..]) => {
                    contrib_group_contributions(*whole, groups.as_ptr(), groups.len(), options)
                }
                (Function::Contributions, &[whole, parts, out]) => contrib_contributions(whole, parts, out, options),
                (Function::OneOff, &[whole, parts, one_off, out_parts, out_one_off]) => {
                    contrib_contributions_with_one_off(whole, parts, one_off, out_parts, out_one_off, options)
                }
                (Function::Attention, &[pre, mid, attn, out_attn, out_resid]) => {
                    contrib_attention(pre, mid, attn, out_attn, out_resid, options)
                }
                (
                    Function::AttentionFactored
                    | Function::AttentionExtras
                    | Function::AttentionFromScores
                    | Function::SparseAttention,
                    _,
                ) => self.call_attention(tensors, choices, options),
                (Function::Mlp, &[mid, post, mlp, out_mlp, out_resid]) => {
                    contrib_mlp(mid, post, mlp, out_mlp, out_resid, options)
                }
                (Function::DecomposedMlp, &[mid, post, neurons, out_neurons, out_resid]) => {
                    contrib_decomposed_mlp(mid, post, neurons, out_neurons, out_resid, options)
                }
                (
                    Function::MlpNeurons | Function::StrongestNeurons | Function::SparseNeurons,
                    &[resid_mid, resid_post, activations, w_out, out_neurons, ref chosen @ .., out_resid],
                ) => {
                    let struct_size = size_of::<contrib_neurons_inputs>();
                    let inputs = contrib_neurons_inputs { struct_size, resid_mid, resid_post, activations, w_out };
                    let [indices, counts, left_out] =
                        [0, 1, 2].map(|index| chosen.get(index).copied().unwrap_or(ptr::null()));
                    let above = choices.above;
                    let results = contrib_neurons_results {
                        out_neurons,
                        indices,
                        counts,
                        left_out,
                        above,
                        out_resid,
                        ..NO_NEURONS_RESULTS
                    };
                    contrib_mlp_neurons(&raw const inputs, &raw const results, options)
                }
                (Function::Threshold, &[blocks, residual, out_blocks, out_residual]) => {
                    let threshold = choices.threshold;
                    contrib_threshold_and_renormalise(blocks, residual, threshold, out_blocks, out_residual, options)
                }
                _ => panic!("{self:?} does not take {} tensors", tensors.len()),
            }
        }
    }

    /// A call of factored attention.
    ///
    /// # Safety
    /// As for [`Function::call`].
    unsafe fn call_attention(
        self,
        tensors: &[*const contrib_tensor],
        choices: &Choices,
        options: *const contrib_options,
    ) -> contrib_status {
        let &[resid_pre, resid_mid, ref others @ ..] = tensors else { panic!("attention takes more than two tensors") };
        let inputs = contrib_attention_inputs { resid_pre, resid_mid, flags: choices.flags, ..NO_ATTENTION_INPUTS };
        let flags = choices.result_flags;
        let above = choices.above;
        let results = contrib_attention_results { above, flags, ..NO_ATTENTION_RESULTS };
        let mut queries_and_keys = choices.queries_and_keys;
        let one_offs;
        let (inputs, results) = match (self, others) {
            (Function::AttentionFactored, &[pattern, values, w_o, out_attn, out_resid]) => (
                contrib_attention_inputs { pattern, values, w_o, ..inputs },
                contrib_attention_results { out_attn, out_resid, ..results },
            ),
            (
                Function::AttentionExtras,
                &[pattern, value_output, scale, part, other, out_attn, out_resid, out, other_out],
            ) => {
                one_offs = [contrib_one_off { part, out }, contrib_one_off { part: other, out: other_out }];
                let (array, n_one_offs) = (one_offs.as_ptr(), one_offs.len());
                (
                    contrib_attention_inputs { pattern, value_output, scale, ..inputs },
                    contrib_attention_results { out_attn, out_resid, one_offs: array, n_one_offs, ..results },
                )
            }
            (
                Function::AttentionFromScores,
                &[queries, keys, slopes, sinks, mask, query_positions, key_positions, values, w_o, out_attn, out_resid],
            ) => {
                queries_and_keys = contrib_queries_and_keys {
                    queries,
                    keys,
                    slopes,
                    sinks,
                    mask,
                    query_positions,
                    key_positions,
                    ..queries_and_keys
                };
                let queries_and_keys = &raw const queries_and_keys;
                (
                    contrib_attention_inputs { queries_and_keys, values, w_o, ..inputs },
                    contrib_attention_results { out_attn, out_resid, ..results },
                )
            }
            (Function::SparseAttention, &[pattern, values, w_o, out_attn, indices, counts, left_out, out_resid]) => (
                contrib_attention_inputs { pattern, values, w_o, ..inputs },
                contrib_attention_results { out_attn, indices, counts, left_out, out_resid, ..results },
            ),
            _ => panic!("{self:?} does not take {} tensors", tensors.len()),
        };
        // SAFETY: the structs and what they point to live until the call returns.
        unsafe { contrib_attention_factored(&raw const inputs, &raw const results, options) }
    }
}

/// An array of groups, and what they point to.
#[derive(Debug)]
pub struct Groups {
    /// Where it stays when this moves.
    queries_and_keys: Option<Box<contrib_queries_and_keys>>,
    pub groups: Vec<contrib_group>,
}

/// What a call says beside its tensors and its options.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// The argument of [`Function::Threshold`].
    pub threshold: f64,
    /// The flags of the inputs of attention, or of the first group.
    pub flags: u64,
    /// The flags of the results of attention.
    pub result_flags: u64,
    /// What is sparse is above this.
    pub above: f64,
    /// Of the first group.
    pub summed_axes: usize,
    /// Numbers and flags of queries and keys.
    pub queries_and_keys: contrib_queries_and_keys,
}

impl Choices {
    /// Those that the function is tested with.
    fn of(function: Function) -> Self {
        Choices {
            threshold: 0.25,
            flags: 0,
            result_flags: if function == Function::AttentionExtras { CONTRIB_ATTENTION_SUM_HEADS } else { 0 },
            above: if function.is_sparse() { 0.02 } else { 0.0 },
            summed_axes: usize::from(function == Function::GroupsFromScores),
            queries_and_keys: contrib_queries_and_keys {
                score_scale: 0.5,
                soft_cap: 4.0,
                window: 4,
                flags: CONTRIB_CAUSAL,
                ..NO_QUERIES_AND_KEYS
            },
        }
    }
}

/// Whether the tensor with this name has integers.
pub fn is_integer(name: &str) -> bool {
    ["indices", "counts", "positions"].iter().any(|end| name.ends_with(end))
}

/// A call and all memory that it may touch.
#[derive(Debug)]
pub struct Call {
    pub function: Function,
    /// The memory of each tensor, in order.
    pub stored: Vec<Stored>,
    /// Memory that tensors may be moved to.
    pub spare: Option<Stored>,
    /// What the call says of each; `None`: NULL.
    pub args: Vec<Option<Arg>>,
    pub choices: Choices,
    pub norm: f64,
    pub context: *const contrib_context,
    /// The threshold of the options.
    pub options_threshold: f64,
}

// SAFETY: contexts may be used from any thread, and the rest is the call's own.
unsafe impl Send for Call {}

/// Elements of nobody around every tensor of a random call, so that a tensor may be moved a little.
pub const ROOM: usize = 64;

impl Call {
    /// A call with these tensors, inputs first.
    pub fn new(function: Function, stored: Vec<Stored>) -> Self {
        let args = vec![None; stored.len()];
        let mut call = Call {
            function,
            stored,
            spare: None,
            args,
            choices: Choices::of(function),
            norm: 1.0,
            context: ptr::null(),
            options_threshold: 0.0,
        };
        for number in 0..call.stored.len() {
            call.say(number);
        }
        call
    }

    /// Says of a tensor what is so.
    fn say(&mut self, number: usize) {
        // Further groups, which have no name, have no integers.
        let are_integers = self.function.arguments().get(number).is_some_and(|name| is_integer(name));
        let of = if are_integers { Arg::of_integers } else { Arg::of };
        self.args[number] = Some(of(&mut self.stored[number]));
    }

    /// Puts another tensor in the place of one.
    pub fn place(&mut self, number: usize, stored: Stored) {
        self.stored[number] = stored;
        self.say(number);
    }

    /// Random inputs of the function's own shapes in row-major order, between canaries.
    pub fn random(function: Function, kind: Kind, size: Size) -> Self {
        let mut random = Random::new(7);
        let tensor = |(number, shape): (usize, &&[usize])| {
            let mut layout = Layout::row_major(shape);
            layout.offset += ROOM;
            layout.len += 2 * ROOM;
            let name = function.arguments()[number];
            let of_integers = if kind == Kind::F64 { Kind::F64 } else { Kind::F32 };
            if name.ends_with("query_positions") {
                let pos = *shape.last().expect("queries have positions") as i64;
                Stored::of_integers(of_integers, layout, |index| index as i64 % pos + 1)
            } else if name.ends_with("key_positions") {
                let by_batch = shape[1..].iter().product::<usize>().max(1);
                let keys_last = function == Function::AttentionFromScores;
                Stored::of_integers(of_integers, layout, |index| {
                    if keys_last { (index % shape[1]) as i64 } else { (index / by_batch) as i64 }
                })
            } else if is_integer(name) {
                Stored::blank(of_integers, layout)
            } else if number >= function.inputs() {
                Stored::blank(kind, layout)
            } else if function == Function::Threshold {
                Stored::from_fn(kind, layout, |_| random.unit())
            } else if ["pattern", "activations", "groups[0].coefficients"].contains(&name) {
                // Some are masked.
                Stored::from_fn(kind, layout, |_| (random.normal() + 0.5).max(0.0))
            } else {
                Stored::from_fn(kind, layout, |_| random.normal() + 0.5)
            }
        };
        Self::new(function, function.shapes(size).iter().enumerate().map(tensor).collect())
    }

    /// What the call says of the tensor with this name.
    pub fn arg(&mut self, name: &str) -> &mut Arg {
        let number = self.number(name);
        self.args[number].as_mut().expect("the test has not taken the tensor away")
    }

    pub fn number(&self, name: &str) -> usize {
        let number = self.function.arguments().iter().position(|&argument| argument == name);
        number.unwrap_or_else(|| panic!("{:?} has no {name}", self.function))
    }

    pub fn run(&mut self) -> contrib_status {
        self.run_with(&self.options())
    }

    /// The options that the call says.
    pub const fn options(&self) -> contrib_options {
        let (norm, context, threshold) = (self.norm, self.context, self.options_threshold);
        contrib_options { norm, context, threshold, ..plain_options() }
    }

    /// The call with these options instead of its own.
    pub fn run_with(&mut self, options: *const contrib_options) -> contrib_status {
        self.run_inside(options, |call| call())
    }

    /// As [`Call::run_with`], where `around` makes the call when all that it needs is prepared.
    pub fn run_inside<R>(
        &mut self,
        options: *const contrib_options,
        around: impl FnOnce(&mut dyn FnMut() -> contrib_status) -> R,
    ) -> R {
        let mut tensors: Vec<Option<contrib_tensor>> =
            self.args.iter_mut().map(|arg| arg.as_mut().map(Arg::tensor)).collect();
        let tensors: Vec<*const contrib_tensor> =
            tensors.iter_mut().map(|tensor| tensor.as_ref().map_or(ptr::null(), ptr::from_ref)).collect();
        let groups = self.function.groups(&tensors, &self.choices);
        // SAFETY:
        // - The groups are those of these tensors.
        // - Tensors and options are null or alive, and so are the elements wherever the call may reach them.
        around(&mut || unsafe { self.function.call(&tensors, &groups.groups, &self.choices, options) })
    }

    /// Puts the tensors into another order, with `None` where there shall be none.
    pub fn reorder(&mut self, order: &[Option<usize>]) {
        // The memory that the arguments point to stays where it is.
        let mut stored: Vec<Option<Stored>> = mem::take(&mut self.stored).into_iter().map(Some).collect();
        let nothing = || Stored::blank(Kind::F32, Layout::row_major(&[0]));
        let take = |number: &Option<usize>| {
            number.map_or_else(nothing, |number| stored[number].take().expect("each comes once"))
        };
        self.stored = order.iter().map(take).collect();
        self.args = order.iter().map(|&number| number.and_then(|number| self.args[number].take())).collect();
    }

    /// The number of tensors that are read.
    pub fn inputs(&self) -> usize {
        if self.function == Function::Groups { self.args.len() / 2 + 1 } else { self.function.inputs() }
    }

    /// The tensors that are written, in order.
    pub fn outputs(&self) -> Vec<&Stored> {
        let outputs = self.stored.iter().zip(&self.args).skip(self.inputs());
        outputs.filter_map(|(stored, arg)| arg.is_some().then_some(stored)).collect()
    }

    /// The tensors of contributions that are written, in order.
    pub fn contributions(&self) -> Vec<&Stored> {
        let is_number = |number: usize| self.function.arguments().get(number).is_none_or(|name| !is_integer(name));
        let written = (self.inputs()..self.stored.len()).filter(|&number| self.args[number].is_some());
        written.filter(|&number| is_number(number)).map(|number| &self.stored[number]).collect()
    }

    /// The tensor with this name, to be read.
    pub fn output(&self, name: &str) -> &Stored {
        &self.stored[self.number(name)]
    }

    /// The bits of the results.
    pub fn results(&self) -> Vec<Vec<u64>> {
        self.outputs().into_iter().map(Stored::bits).collect()
    }

    /// Runs the call, which must go well, and gives the bits of the results.
    pub fn results_of_run(&mut self) -> Vec<Vec<u64>> {
        assert_eq!(self.run(), CONTRIB_OK, "{:?}: {}", self.function, message());
        self.results()
    }
}

/// A context that ends with its owner.
pub struct Context(*mut contrib_context);

// SAFETY: contexts may be used from any number of threads.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub fn new(threads: usize) -> Self {
        let mut context = ptr::null_mut();
        // SAFETY: the pointer may be written.
        assert_eq!(unsafe { contrib_context_new(threads, &raw mut context) }, CONTRIB_OK);
        Context(context)
    }

    /// On so many threads of a host, whose function does what it must with these data, which outlive the context.
    pub fn of_host(threads: usize, parallel_for: contrib_parallel_for, user_data: *mut c_void) -> Self {
        let mut context = ptr::null_mut();
        // SAFETY: the function does what a host's must, and the pointer may be written.
        let status =
            unsafe { contrib_context_new_with_parallel_for(threads, parallel_for, user_data, &raw mut context) };
        assert_eq!(status, CONTRIB_OK, "{}", message());
        Context(context)
    }

    pub const fn get(&self) -> *const contrib_context {
        self.0
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it is this owner's, and freed once.
        unsafe { contrib_context_free(self.0) };
    }
}

/// The sentence of the last failure on this thread.
pub fn message() -> String {
    // SAFETY: a C string that lives until the next failure on this thread.
    unsafe { CStr::from_ptr(contrib_last_error_message()) }.to_str().expect("messages are UTF-8").to_owned()
}

/// Calls `check` with the name of each tensor of each function.
pub fn for_each_argument(mut check: impl FnMut(Function, &'static str)) {
    for function in Function::ALL {
        for name in function.arguments() {
            check(function, name);
        }
    }
}

/// A small call in f32.
pub fn small(function: Function) -> Call {
    Call::random(function, Kind::F32, Size::Small)
}
