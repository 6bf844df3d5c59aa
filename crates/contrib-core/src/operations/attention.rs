//! Contributions of attention, token by token and head by head.

use crate::checks::{expect_rank, expect_shape};
use crate::error::{ANY, Error};
use crate::groups::Group;
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
use crate::tensor::{Axis, Tensor, TensorMut};

/// What each attended token through each head, and the residual stream before attention, contribute to the residual
/// stream after attention.
///
/// | argument | shape |
/// |---|---|
/// | `resid_pre`, `resid_mid` | `[batch, pos, d_model]` |
/// | `decomposed_attn` | `[batch, pos, key_pos, head, d_model]`, summing over `key_pos` and `head`, with `resid_pre`, to `resid_mid` |
/// | `out_attn` | `[batch, pos, key_pos, head]` |
/// | `out_resid` | `[batch, pos]` |
///
/// For each position of each batch item, `out_attn` and `out_resid` together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn attention(
    resid_pre: &Tensor<'_>,
    resid_mid: &Tensor<'_>,
    decomposed_attn: &Tensor<'_>,
    out_attn: &mut TensorMut<'_>,
    out_resid: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    expect_rank("resid_mid", resid_mid, 3, "[batch, pos, d_model]")?;
    let shape = resid_mid.shape();
    let (batch, pos, d_model) = (shape[0], shape[1], shape[2]);
    expect_shape("resid_pre", resid_pre, shape, "resid_mid")?;
    expect_rank("decomposed_attn", decomposed_attn, 5, "[batch, pos, key_pos, head, d_model]")?;
    expect_shape("decomposed_attn", decomposed_attn, &[batch, pos, ANY, ANY, d_model], "resid_mid")?;
    expect_shape("out_attn", out_attn.as_tensor(), &decomposed_attn.shape()[..4], "decomposed_attn")?;
    expect_shape("out_resid", out_resid.as_tensor(), &[batch, pos], "resid_mid")?;

    // The primitive's order: the axes of parts before those of the batch.
    let order = [2, 3, 0, 1, 4].map(Axis::Own);
    let mut groups = [
        Group::dense(decomposed_attn.with_axes(&order), out_attn.with_axes(&order[..4])),
        Group::dense(*resid_pre, out_resid.reborrow()),
    ];
    compute(resid_mid, &mut groups, options, &|place| match place {
        Place::Whole => "resid_mid".into(),
        Place::Group(0, Field::Out) => "out_attn".into(),
        Place::Group(0, _) => "decomposed_attn".into(),
        Place::Group(_, Field::Out) => "out_resid".into(),
        Place::Group(..) => "resid_pre".into(),
    })
}
