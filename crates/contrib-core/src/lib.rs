//! Where a transformer's prediction came from.
//!
//! A transformer writes sums of vectors into its residual stream. This crate says how much each summand (a *part*)
//! contributed to the sum (the *whole*), by the measure of "Information Flow Routes" (Ferrando & Voita, arXiv
//! 2403.00824): attention heads over keys, MLPs, single neurons, the stream itself.
//!
//! Everything is one primitive, [`group_contributions`]; the other operations name its groups:
//!
//! | operation | whole | parts |
//! |---|---|---|
//! | [`contributions`] | any | one group |
//! | [`contributions_with_one_off`] | any | one group and a part of its own |
//! | [`attention`] | `resid_mid` | `decomposed_attn`, `resid_pre` |
//! | [`mlp`] | `resid_post` | `mlp_out`, `resid_mid` |
//! | [`decomposed_mlp`] | `resid_post` | `decomposed_mlp_out`, `resid_mid` |
//! | [`attention_factored`] | `resid_mid` | `pattern` times `values` through `w_o`, `resid_pre` |
//! | [`mlp_neurons`] | `resid_post` | `activations` times `w_out`, `resid_mid` |
//!
//! The last two are given factors and not vectors: the vectors, which grow with the square of a prompt, never exist.
//! [`threshold_and_renormalise`] then leaves only the contributions that count.
//!
//! Tensors are views ([`Tensor`], [`TensorMut`]) with any strides, of `f32`, `f64`, [`half::f16`] or [`half::bf16`],
//! each argument with its own type. Every function may be called from many threads at once.

mod axes;
mod checks;
mod context;
mod dispatch;
mod driver;
mod dtype;
mod error;
mod floating_point;
mod groups;
mod indices;
mod instruction_set;
mod kernels;
mod lanes;
mod list;
mod memory;
mod norm;
mod operations;
mod options;
mod overlap;
mod prepared_projection;
mod primitive;
mod queries_and_keys;
mod tensor;

pub use half;

pub use dtype::{DType, Element};
pub use list::MAX_NDIM;
pub use tensor::{Tensor, TensorMut};

pub use groups::{Coefficients, Directions, FactoredParts, Group, Out, Parts, Sparse, TopK};
pub use indices::{Index, IndexType, Indices, IndicesMut};
pub use operations::attention::attention;
pub use operations::attention_factored::{AttentionResults, FactoredAttention, Heads, OneOff, attention_factored};
pub use operations::contributions::{contributions, contributions_with_one_off};
pub use operations::mlp::{decomposed_mlp, mlp};
pub use operations::mlp_neurons::{MlpNeurons, NeuronResults, mlp_neurons};
pub use operations::threshold::{threshold_and_renormalise, threshold_and_renormalise_in_place};
pub use prepared_projection::PreparedProjection;
pub use primitive::group_contributions;
pub use queries_and_keys::QueriesAndKeys;

pub use context::Context;
pub use instruction_set::InstructionSet;
pub use norm::Norm;
pub use options::Options;

pub use error::{Argument, Cause, Error, Shape};

// For `contrib-ffi`, whose contexts are on the heap.
#[doc(hidden)]
pub use memory::try_box;

// For `contrib-routes`, whose errors show shapes as these do.
#[doc(hidden)]
pub use error::{ANY, ShownExtents};

/// The README's Rust code is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
