//! Contributions of the neurons of an MLP, without the vectors that they add.

use crate::checks::{expect_rank, expect_shape};
use crate::error::{ANY, Cause, Error};
use crate::groups::{Directions, FactoredParts, Group, Out, Parts, Sparse, TopK};
use crate::list::{List, MAX_NDIM};
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
use crate::tensor::{Axis, Tensor, TensorMut};

/// The inputs of [`mlp_neurons`], for any number of tokens.
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

/// What is wanted of [`mlp_neurons`].
#[derive(Debug)]
pub struct NeuronResults<'a> {
    /// What each neuron contributes.
    ///
    /// | `neurons` | shapes |
    /// |---|---|
    /// | [`Out::Each`] | `[v.., hidden]` |
    /// | [`Out::Sums`] | `v..`: all neurons together |
    /// | [`Out::TopK`] | `[v.., k]`; an index is that of a neuron |
    /// | [`Out::Sparse`] | `[v.., room]`, counts and what is left out `v..`; an index is that of a neuron |
    ///
    /// The `summed_axes` of the last two are 0.
    pub neurons: Out<'a>,
    /// What the residual stream before the MLP contributes, `v..`.
    pub resid: TensorMut<'a>,
}

/// What each neuron of an MLP, and the residual stream before it, contribute to the residual stream after it: as
/// [`decomposed_mlp`](crate::decomposed_mlp), from activations and output vectors.
///
/// For each batch item, the contributions of all neurons, whether they are in the results or not, and that of the residual
/// stream together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn mlp_neurons(inputs: &MlpNeurons<'_>, results: NeuronResults<'_>, options: &Options<'_>) -> Result<(), Error> {
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
    let NeuronResults { neurons, mut resid } = results;
    if let Out::Each(out) = &neurons {
        expect_shape("out_neurons", out.as_tensor(), activations.shape(), "activations")?;
    }
    if let Out::TopK(TopK { summed_axes, .. }) | Out::Sparse(Sparse { summed_axes, .. }) = &neurons
        && *summed_axes > 0
    {
        let cause = Cause::InvalidNumber { expected: "0", got: *summed_axes as f64 };
        return Err(Error::new("summed_axes".into(), cause));
    }
    if shape.len() == MAX_NDIM {
        return expect_rank("resid_post", resid_post, MAX_NDIM - 1, "[.., d_model]");
    }
    expect_shape("out_resid", resid.as_tensor(), batch, "resid_post")?;

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
        coefficients: activations.with_axes(neurons_first).into(),
        directions: Directions::Vectors(w_out.with_axes(&of_w_out[..=shape.len()])),
        scale: None,
        leave_out_zeros: false,
    });
    let out = match neurons {
        Out::Each(out) => Out::Each(out.into_axes(neurons_first)),
        others => others,
    };
    let mut groups = [Group { parts, out }, Group::dense(*resid_mid, resid.reborrow())];
    compute(resid_post, &mut groups, options, &|place| match place {
        Place::Whole => "resid_post".into(),
        Place::Group(0, Field::Coefficients) => "activations".into(),
        Place::Group(0, Field::Out) => "out_neurons".into(),
        Place::Group(0, Field::Directions) => "w_out".into(),
        Place::Group(0, field) => field.name().into(),
        Place::Group(_, Field::Out) => "out_resid".into(),
        Place::Group(..) => "resid_mid".into(),
    })
}
