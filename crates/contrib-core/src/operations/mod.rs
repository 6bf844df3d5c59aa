//! The operations by the names that the field uses: each says which tensors are the groups of which whole.
//!
//! An operation checks the shapes that only it knows, puts its tensors into the order of axes of the primitive, and tells the
//! primitive how its arguments are called.

pub(crate) mod attention;
pub(crate) mod attention_factored;
pub(crate) mod contributions;
pub(crate) mod mlp;
pub(crate) mod mlp_neurons;
pub(crate) mod threshold;
