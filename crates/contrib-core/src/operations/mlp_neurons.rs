//! Contributions of the neurons of an MLP, without the vectors that they add.

use crate::checks::{expect_rank, expect_shape};
use crate::error::{ANY, Error};
use crate::groups::{Directions, FactoredParts, Group, Out, Parts};
use crate::indices::IndicesMut;
use crate::list::{List, MAX_NDIM};
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
use crate::tensor::{Axis, Tensor, TensorMut};

/// The inputs of [`mlp_neurons`], for any tokens at once.
///
/// | tensor | shape |
/// |---|---|
/// | `resid_mid`, `resid_post` | `[v.., d_model]`: any batch axes, or none for one token |
/// | `activations` | `[v.., hidden]` |
/// | `w_out` | `[hidden, d_model]`, with any strides: a matrix that is stored as `[d_model, hidden]` is one with strides `[1, hidden]` |
#[derive(Clone, Copy, Debug)]
pub struct MlpNeurons<'a> {
    /// The residual stream before the MLP.
    pub resid_mid: Tensor<'a>,
    /// The residual stream after the MLP.
    pub resid_post: Tensor<'a>,
    /// What each neuron's output vector is multiplied by.
    pub activations: Tensor<'a>,
    /// Each neuron's output vector.
    pub w_out: Tensor<'a>,
}

/// What each neuron of an MLP, and the residual stream before it, contribute to the residual stream after it: as
/// [`decomposed_mlp`](crate::decomposed_mlp), from activations and output vectors.
///
/// | argument | shape |
/// |---|---|
/// | `out_neurons` | `[v.., hidden]`; with `out_indices` `[v.., k]`: the `k` largest, the largest first |
/// | `out_indices` | `[v.., k]`: which neurons those are |
/// | `out_resid` | `[v..]` |
///
/// For each batch item, those of all neurons, whether they are among the largest or not, and `out_resid` together sum
/// to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn mlp_neurons(
    inputs: &MlpNeurons<'_>,
    out_neurons: &mut TensorMut<'_>,
    out_indices: Option<&mut IndicesMut<'_>>,
    out_resid: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let MlpNeurons { resid_mid, resid_post, activations, w_out } = inputs;
    let shape = resid_post.shape();
    let Some((&d_model, batch)) = shape.split_last() else {
        return expect_rank("resid_post", resid_post, 1, "[.., d_model]");
    };
    expect_shape("resid_mid", resid_mid, shape, "resid_post")?;
    expect_rank("w_out", w_out, 2, "[hidden, d_model]")?;
    expect_shape("w_out", w_out, &[ANY, d_model], "resid_post")?;
    let mut expected = List::new(batch);
    expected.push(w_out.shape()[0]);
    expect_shape("activations", activations, &expected, "w_out")?;
    if out_indices.is_none() {
        expect_shape("out_neurons", out_neurons.as_tensor(), activations.shape(), "activations")?;
    }
    if shape.len() == MAX_NDIM {
        return expect_rank("resid_post", resid_post, MAX_NDIM - 1, "[.., d_model]");
    }
    expect_shape("out_resid", out_resid.as_tensor(), batch, "resid_post")?;

    // The primitive's order: the axis of neurons before those of the batch.
    let mut neurons_first = [Axis::Own(batch.len()); MAX_NDIM];
    let mut of_w_out = [Axis::Own(0); MAX_NDIM];
    for (axis, &extent) in batch.iter().enumerate() {
        neurons_first[axis + 1] = Axis::Own(axis);
        of_w_out[axis + 1] = Axis::Broadcast(extent);
    }
    of_w_out[shape.len()] = Axis::Own(1);
    let neurons_first = &neurons_first[..shape.len()];
    let parts = Parts::Factored(FactoredParts {
        coefficients: activations.with_axes(neurons_first),
        directions: Directions::Vectors(w_out.with_axes(&of_w_out[..=shape.len()])),
        scale: None,
        leave_out_zeros: false,
    });
    let out = match out_indices {
        None => Out::Each(out_neurons.with_axes(neurons_first)),
        Some(indices) => Out::TopK { contributions: out_neurons.reborrow(), indices: indices.reborrow() },
    };
    let mut groups = [Group { parts, out }, Group::dense(*resid_mid, out_resid.reborrow())];
    compute(resid_post, &mut groups, options, &|place| match place {
        Place::Whole => "resid_post".into(),
        Place::Group(0, Field::Coefficients) => "activations".into(),
        Place::Group(0, Field::Out) => "out_neurons".into(),
        Place::Group(0, Field::Indices) => "out_indices".into(),
        Place::Group(0, _) => "w_out".into(),
        Place::Group(_, Field::Out) => "out_resid".into(),
        Place::Group(..) => "resid_mid".into(),
    })
}
