//! Contributions of an MLP, whole or neuron by neuron.

use super::two_groups;
use crate::error::{ANY, Error};
use crate::list::List;
use crate::options::Options;
use crate::primitive::{Named, named, named_out};
use crate::tensor::{Tensor, TensorMut};

/// What the MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// | argument | shape |
/// |---|---|
/// | `resid_mid`, `resid_post`, `mlp_out` | `[batch, pos, d_model]` |
/// | `out_mlp`, `out_resid` | `[batch, pos]` |
///
/// For each position of each batch entry, `out_mlp` and `out_resid` together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn mlp(
    resid_mid: &Tensor<'_>,
    resid_post: &Tensor<'_>,
    mlp_out: &Tensor<'_>,
    out_mlp: &mut TensorMut<'_>,
    out_resid: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let (resid_mid, resid_post) = (named("resid_mid", resid_mid), named("resid_post", resid_post));
    let mlp_out = named("mlp_out", mlp_out);
    resid_post.expect_rank(3, "[batch, pos, d_model]")?;
    resid_mid.expect_shape(resid_post.tensor.shape(), resid_post.argument)?;
    mlp_out.expect_shape(resid_post.tensor.shape(), resid_post.argument)?;
    two_groups(
        resid_post,
        (mlp_out, named_out("out_mlp", out_mlp)),
        (resid_mid, named_out("out_resid", out_resid)),
        options,
    )
}

/// What each neuron of an MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// | argument | shape |
/// |---|---|
/// | `resid_mid`, `resid_post` | `[v.., d_model]`: any batch axes, or none for one token |
/// | `decomposed_mlp_out` | `[v.., hidden, d_model]`: each neuron's activation times its output vector |
/// | `out_neurons` | `[v.., hidden]` |
/// | `out_resid` | `[v..]` |
///
/// For each batch entry, `out_neurons` and `out_resid` together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn decomposed_mlp(
    resid_mid: &Tensor<'_>,
    resid_post: &Tensor<'_>,
    decomposed_mlp_out: &Tensor<'_>,
    out_neurons: &mut TensorMut<'_>,
    out_resid: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let (resid_mid, resid_post) = (named("resid_mid", resid_mid), named("resid_post", resid_post));
    let decomposed_mlp_out = named("decomposed_mlp_out", decomposed_mlp_out);
    let (out_neurons, out_resid) = (named_out("out_neurons", out_neurons), named_out("out_resid", out_resid));

    let shape = resid_post.tensor.shape();
    let Some((&d_model, batch)) = shape.split_last() else {
        return resid_post.expect_rank(1, "[.., d_model]");
    };
    resid_mid.expect_shape(shape, resid_post.argument)?;
    let neurons = &decomposed_mlp_out;
    if shape.len() == crate::MAX_NDIM {
        return neurons.expect_rank(shape.len() + 1, "[.., hidden, d_model]");
    }
    let mut expected = List::new(batch);
    expected.push(ANY);
    expected.push(d_model);
    neurons.expect_shape(&expected, resid_post.argument)?;
    let with_neurons = batch.len() + 1;
    out_neurons.expect_shape(&neurons.tensor.shape()[..with_neurons], neurons.argument)?;

    // The primitive's order: the axis of neurons before those of the batch.
    let neurons_first = |ndim| {
        List::from_fn(ndim, |axis| match axis {
            0 => batch.len(),
            axis if axis < with_neurons => axis - 1,
            axis => axis,
        })
    };
    let parts = Named { tensor: &neurons.tensor.permuted(&neurons_first(with_neurons + 1)), ..*neurons };
    let out = Named { tensor: &out_neurons.tensor.permuted(&neurons_first(with_neurons)), ..out_neurons };
    two_groups(resid_post, (parts, out), (resid_mid, out_resid), options)
}
