//! Contributions of attention from its pattern and its values, without the vectors that they make.

use crate::error::{ANY, Argument, Cause, Error};
use crate::options::Options;
use crate::primitive::{
    Named, NamedFactored, NamedGroup, NamedOut, NamedParts, OutForm, named, named_out, plan_and_run,
};
use crate::tensor::{Axis, Tensor, TensorMut};

/// The inputs of [`attention_factored`].
///
/// | tensor | shape |
/// |---|---|
/// | `resid_pre`, `resid_mid` | `[batch, pos, d_model]` |
/// | `pattern` | `[batch, head, pos, key_pos]`: how much each head attends to which token |
///
/// `pos` may be any queries, all or some or one that is new; `key_pos` are the tokens that they attend to.
#[derive(Clone, Copy, Debug)]
pub struct FactoredAttention<'a> {
    /// The residual stream before attention.
    pub resid_pre: Tensor<'a>,
    /// The residual stream after attention.
    pub resid_mid: Tensor<'a>,
    /// The pattern. Where it is 0, as it is for masked keys, the part is the zero vector, whatever the value.
    pub pattern: Tensor<'a>,
    /// What heads move.
    pub heads: Heads<'a>,
    /// `[batch, pos, d_model]`, or nothing: by what each channel of what a query's heads add is multiplied, as where a model
    /// normalises the output of attention before it adds it. An extent may be 1 where it is the same for all. (With a
    /// scale, calculation is in `f64` and many times slower.)
    pub scale: Option<Tensor<'a>>,
    /// Whether parts whose pattern is 0 are left out: they contribute 0, and are not counted in the sum by which the others
    /// are divided. The reference counts them.
    pub leave_out_masked: bool,
}

/// What the heads of attention move from a token to those that attend to it.
#[derive(Clone, Copy, Debug)]
pub enum Heads<'a> {
    /// Values, and the matrix by which each head writes them into the stream.
    Values {
        /// `[batch, key_pos, kv_head, d_head]`. Head `h` uses the values of `h / (head / kv_head)`: as many as there are
        /// heads, fewer (grouped queries), or one (multi-query attention).
        values: Tensor<'a>,
        /// `[head, d_head, d_model]`, with any strides: `head * d_head` need not be `d_model`.
        w_o: Tensor<'a>,
    },
    /// What each head would write for each token: `[batch, key_pos, head, d_model]`, the products of both, which a caller may
    /// keep between decoding steps.
    ValueOutput(Tensor<'a>),
}

/// One more part of the stream after attention, such as the output bias.
#[derive(Debug)]
pub struct OneOff<'a> {
    /// `[batch, pos, d_model]`. An extent may be 1 where it is the same for all.
    pub part: Tensor<'a>,
    /// Its contributions, `[batch, pos]`; written.
    pub out: TensorMut<'a>,
}

/// What each attended token through each head, and the residual stream before attention, contribute to the residual
/// stream after attention: as [`attention`](crate::attention), from pattern and values.
///
/// The vectors `[batch, pos, key_pos, head, d_model]` never exist; beside the outputs some 15 MB are needed for each thread,
/// and a few MB for directions.
///
/// | argument | shape |
/// |---|---|
/// | `one_offs` | any number of further parts, each with its own result |
/// | `out_attn` | `[batch, pos, key_pos, head]`, or `[batch, pos, key_pos]`: summed over heads |
/// | `out_resid` | `[batch, pos]` |
///
/// For each position of each batch entry, all results together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions), and [`Cause::Heads`].
pub fn attention_factored(
    inputs: &FactoredAttention<'_>,
    one_offs: &mut [OneOff<'_>],
    out_attn: &mut TensorMut<'_>,
    out_resid: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let (resid_pre, resid_mid) = (named("resid_pre", &inputs.resid_pre), named("resid_mid", &inputs.resid_mid));
    let pattern = named("pattern", &inputs.pattern);
    let (out_attn, out_resid) = (named_out("out_attn", out_attn), named_out("out_resid", out_resid));

    resid_mid.expect_rank(3, "[batch, pos, d_model]")?;
    let shape = resid_mid.tensor.shape();
    let (batch, pos, d_model) = (shape[0], shape[1], shape[2]);
    resid_pre.expect_shape(shape, resid_mid.argument)?;
    pattern.expect_rank(4, "[batch, head, pos, key_pos]")?;
    pattern.expect_shape(&[batch, ANY, pos, ANY], resid_mid.argument)?;
    let (heads, key_pos) = (pattern.tensor.shape()[1], pattern.tensor.shape()[3]);

    // The primitive's order: key-value heads, the heads of each, keys; then those of the batch.
    let (directions, projection, group) = match &inputs.heads {
        Heads::ValueOutput(value_output) => {
            let value_output = named("value_output", value_output);
            value_output.expect_rank(4, "[batch, key_pos, head, d_model]")?;
            value_output.expect_shape(&[batch, key_pos, heads, d_model], pattern.argument)?;
            let axes = [Axis::Own(2), Axis::Same(1), Axis::Own(1), Axis::Own(0), Axis::Same(pos), Axis::Own(3)];
            (Named { tensor: value_output.tensor.with_axes(&axes), argument: value_output.argument }, None, 1)
        }
        Heads::Values { values, w_o } => {
            let (values, w_o) = (named("values", values), named("w_o", w_o));
            values.expect_rank(4, "[batch, key_pos, kv_head, d_head]")?;
            values.expect_shape(&[batch, key_pos, ANY, ANY], pattern.argument)?;
            let (kv_heads, d_head) = (values.tensor.shape()[2], values.tensor.shape()[3]);
            w_o.expect_rank(3, "[head, d_head, d_model]")?;
            w_o.expect_shape(&[heads, d_head, d_model], Argument::named("pattern, values and resid_mid"))?;
            if kv_heads > heads || heads.checked_rem(kv_heads).unwrap_or(heads) > 0 {
                return Err(Error::new(values.argument, Cause::Heads { heads, kv_heads }));
            }
            let group = heads.checked_div(kv_heads).unwrap_or(1).max(1);
            let of_values =
                [Axis::Own(2), Axis::Same(group), Axis::Own(1), Axis::Own(0), Axis::Same(pos), Axis::Own(3)];
            let of_w_o =
                [Axis::Major(0, group), Axis::Minor(0, group), Axis::Same(key_pos), Axis::Own(1), Axis::Own(2)];
            let projection = Named { tensor: w_o.tensor.with_axes(&of_w_o), argument: w_o.argument };
            (Named { tensor: values.tensor.with_axes(&of_values), argument: values.argument }, Some(projection), group)
        }
    };
    let by_group = |axis| [Axis::Major(axis, group), Axis::Minor(axis, group)];
    let coefficients =
        pattern.tensor.with_axes(&[&by_group(1)[..], &[Axis::Own(3), Axis::Own(0), Axis::Own(2)]].concat());
    let summed = out_attn.tensor.shape().len() == 3;
    let (out, form) = if summed {
        out_attn.expect_shape(&[batch, pos, key_pos], pattern.argument)?;
        (out_attn.tensor.with_axes(&[Axis::Own(2), Axis::Own(0), Axis::Own(1)]), OutForm::Sums)
    } else {
        out_attn.expect_rank(4, "[batch, pos, key_pos, head] or [batch, pos, key_pos]")?;
        out_attn.expect_shape(&[batch, pos, key_pos, heads], pattern.argument)?;
        let axes = [&by_group(3)[..], &[Axis::Own(2), Axis::Own(0), Axis::Own(1)]].concat();
        (out_attn.tensor.with_axes(&axes), OutForm::Each)
    };
    out_resid.expect_shape(&[batch, pos], resid_mid.argument)?;

    let attn = NamedGroup {
        parts: NamedParts::Factored(NamedFactored {
            coefficients: Named { tensor: &coefficients, argument: pattern.argument },
            directions: Named { tensor: &directions.tensor, argument: directions.argument },
            projection: projection
                .as_ref()
                .map(|projection| Named { tensor: &projection.tensor, argument: projection.argument }),
            scale: inputs.scale.as_ref().map(|scale| named("scale", scale)),
            leave_out_zeros: inputs.leave_out_masked,
        }),
        out: NamedOut { contributions: Named { tensor: &out, argument: out_attn.argument }, form },
    };
    let no_room = |_| {
        let bytes = one_offs.len().saturating_mul(size_of::<NamedGroup<'_>>());
        Error::new(Argument::named("one_offs"), Cause::OutOfMemory { bytes })
    };
    let (mut parts, mut groups) = (Vec::new(), Vec::new());
    parts.try_reserve_exact(one_offs.len()).map_err(no_room)?;
    groups.try_reserve_exact(one_offs.len() + 2).map_err(no_room)?;
    for (index, one_off) in one_offs.iter().enumerate() {
        let part = Named { argument: Argument::of_list("one_offs", index, "part"), tensor: &one_off.part };
        parts.push(part.expect_or_one(shape, resid_mid.argument)?);
    }
    groups.extend([attn, NamedGroup::dense(resid_pre, out_resid)]);
    for (index, (one_off, part)) in one_offs.iter().zip(&parts).enumerate() {
        let argument = |name| Argument::of_list("one_offs", index, name);
        let out = Named { argument: argument("out"), tensor: one_off.out.as_tensor() };
        groups.push(NamedGroup::dense(Named { argument: argument("part"), tensor: part }, out));
    }
    plan_and_run(resid_mid, &groups, options)
}
