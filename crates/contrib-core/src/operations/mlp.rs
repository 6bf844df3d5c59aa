//! Contributions of an MLP, whole or neuron by neuron.

use crate::checks::{expect_rank, expect_shape};
use crate::error::{ANY, Argument, Error};
use crate::groups::Group;
use crate::list::{List, MAX_NDIM};
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
use crate::tensor::{Axis, Tensor, TensorMut};

/// The names of the groups of an MLP: what it adds, then the stream before it.
fn names(parts: &'static str, out_parts: &'static str) -> impl Fn(Place) -> Argument {
    move |place| match place {
        Place::Whole => "resid_post".into(),
        Place::Group(0, Field::Out) => out_parts.into(),
        Place::Group(0, _) => parts.into(),
        Place::Group(_, Field::Out) => "out_resid".into(),
        Place::Group(..) => "resid_mid".into(),
    }
}

/// What the MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// | argument | shape |
/// |---|---|
/// | `resid_mid`, `resid_post`, `mlp_out` | `[batch, pos, d_model]` |
/// | `out_mlp`, `out_resid` | `[batch, pos]` |
///
/// For each position of each batch item, `out_mlp` and `out_resid` together sum to 1.
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
    expect_rank("resid_post", resid_post, 3, "[batch, pos, d_model]")?;
    expect_shape("resid_mid", resid_mid, resid_post.shape(), "resid_post")?;
    expect_shape("mlp_out", mlp_out, resid_post.shape(), "resid_post")?;
    let mut groups = [Group::dense(*mlp_out, out_mlp.reborrow()), Group::dense(*resid_mid, out_resid.reborrow())];
    compute(resid_post, &mut groups, options, &names("mlp_out", "out_mlp"))
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
/// For each batch item, `out_neurons` and `out_resid` together sum to 1.
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
    let shape = resid_post.shape();
    let Some((&d_model, batch)) = shape.split_last() else {
        return expect_rank("resid_post", resid_post, 1, "[.., d_model]");
    };
    expect_shape("resid_mid", resid_mid, shape, "resid_post")?;
    if shape.len() == MAX_NDIM {
        return expect_rank("decomposed_mlp_out", decomposed_mlp_out, shape.len() + 1, "[.., hidden, d_model]");
    }
    let mut expected = List::new(batch);
    expected.push(ANY);
    expected.push(d_model);
    expect_shape("decomposed_mlp_out", decomposed_mlp_out, &expected, "resid_post")?;
    let with_neurons = batch.len() + 1;
    let shape_of_out = &decomposed_mlp_out.shape()[..with_neurons];
    expect_shape("out_neurons", out_neurons.as_tensor(), shape_of_out, "decomposed_mlp_out")?;

    // The primitive's order: the axis of neurons before those of the batch.
    let mut order = [Axis::Own(0); MAX_NDIM];
    for (axis, own) in order.iter_mut().enumerate() {
        *own = Axis::Own(if axis == 0 {
            batch.len()
        } else if axis < with_neurons {
            axis - 1
        } else {
            axis
        });
    }
    let mut groups = [
        Group::dense(
            decomposed_mlp_out.with_axes(&order[..=with_neurons]),
            out_neurons.with_axes(&order[..with_neurons]),
        ),
        Group::dense(*resid_mid, out_resid.reborrow()),
    ];
    compute(resid_post, &mut groups, options, &names("decomposed_mlp_out", "out_neurons"))
}
