//! Contributions of attention, token by token and head by head.

use super::two_groups;
use crate::error::{ANY, Error};
use crate::options::Options;
use crate::primitive::{Named, named, named_out};
use crate::tensor::{Tensor, TensorMut};

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
/// For each position of each batch entry, `out_attn` and `out_resid` together sum to 1.
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
    let (resid_pre, resid_mid) = (named("resid_pre", resid_pre), named("resid_mid", resid_mid));
    let decomposed_attn = named("decomposed_attn", decomposed_attn);
    let (out_attn, out_resid) = (named_out("out_attn", out_attn), named_out("out_resid", out_resid));

    resid_mid.expect_rank(3, "[batch, pos, d_model]")?;
    let shape = resid_mid.tensor.shape();
    let (batch, pos, d_model) = (shape[0], shape[1], shape[2]);
    resid_pre.expect_shape(shape, resid_mid.argument)?;
    decomposed_attn.expect_rank(5, "[batch, pos, key_pos, head, d_model]")?;
    decomposed_attn.expect_shape(&[batch, pos, ANY, ANY, d_model], resid_mid.argument)?;
    out_attn.expect_shape(&decomposed_attn.tensor.shape()[..4], decomposed_attn.argument)?;
    out_resid.expect_shape(&[batch, pos], resid_mid.argument)?;

    // The primitive's order: the axes of parts before those of the batch.
    let parts = Named { tensor: &decomposed_attn.tensor.permuted(&[2, 3, 0, 1, 4]), ..decomposed_attn };
    let out = Named { tensor: &out_attn.tensor.permuted(&[2, 3, 0, 1]), ..out_attn };
    two_groups(resid_mid, (parts, out), (resid_pre, out_resid), options)
}
