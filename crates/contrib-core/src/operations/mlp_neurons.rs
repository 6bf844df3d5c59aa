//! Contributions of the neurons of an MLP, without the vectors that they add.

use crate::error::{ANY, Error};
use crate::indices::IndicesMut;
use crate::options::Options;
use crate::primitive::{
    Named, NamedFactored, NamedGroup, NamedOut, NamedParts, OutForm, named, named_out, plan_and_run,
};
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
/// | `out_neurons` | `[v.., hidden]`; with `out_indices` `[v.., k]`: the `k` strongest, the strongest first |
/// | `out_indices` | `[v.., k]`: which neurons those are |
/// | `out_resid` | `[v..]` |
///
/// For each batch entry, those of all neurons, whether they are among the strongest or not, and `out_resid` together sum
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
    let (resid_mid, resid_post) = (named("resid_mid", &inputs.resid_mid), named("resid_post", &inputs.resid_post));
    let (activations, w_out) = (named("activations", &inputs.activations), named("w_out", &inputs.w_out));
    let (out_neurons, out_resid) = (named_out("out_neurons", out_neurons), named_out("out_resid", out_resid));

    let shape = resid_post.tensor.shape();
    let Some((&d_model, batch)) = shape.split_last() else {
        return resid_post.expect_rank(1, "[.., d_model]");
    };
    resid_mid.expect_shape(shape, resid_post.argument)?;
    w_out.expect_rank(2, "[hidden, d_model]")?;
    w_out.expect_shape(&[ANY, d_model], resid_post.argument)?;
    let hidden = w_out.tensor.shape()[0];
    activations.expect_shape(&[batch, &[hidden]].concat(), w_out.argument)?;
    let strongest = out_indices.map(|indices| (indices.index_type(), &*indices));
    if strongest.is_none() {
        out_neurons.expect_shape(activations.tensor.shape(), activations.argument)?;
    }

    // The primitive's order: the axis of neurons before those of the batch.
    let neurons_first = |tensor: &Tensor<'_>| -> Vec<Axis> {
        let last = tensor.shape().len() - 1;
        [last].into_iter().chain(0..last).map(Axis::Own).collect()
    };
    let coefficients = activations.tensor.with_axes(&neurons_first(activations.tensor));
    let axes: Vec<Axis> = [Axis::Own(0)]
        .into_iter()
        .chain(batch.iter().map(|&extent| Axis::Same(extent)))
        .chain([Axis::Own(1)])
        .collect();
    if axes.len() > crate::MAX_NDIM {
        return resid_post.expect_rank(crate::MAX_NDIM - 1, "[.., d_model]");
    }
    let directions = w_out.tensor.with_axes(&axes);
    let each;
    let out = match strongest {
        None => {
            each = out_neurons.tensor.with_axes(&neurons_first(out_neurons.tensor));
            NamedOut { contributions: Named { tensor: &each, argument: out_neurons.argument }, form: OutForm::Each }
        }
        Some((index_type, indices)) => NamedOut {
            contributions: out_neurons,
            form: OutForm::Strongest(named("out_indices", indices.as_tensor()), index_type),
        },
    };
    out_resid.expect_shape(batch, resid_post.argument)?;

    let neurons = NamedGroup {
        parts: NamedParts::Factored(NamedFactored {
            coefficients: Named { tensor: &coefficients, argument: activations.argument },
            directions: Named { tensor: &directions, argument: w_out.argument },
            projection: None,
            scale: None,
            leave_out_zeros: false,
        }),
        out,
    };
    plan_and_run(resid_post, &[neurons, NamedGroup::dense(resid_mid, out_resid)], options)
}
