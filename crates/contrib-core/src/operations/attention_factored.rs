//! Contributions of attention from its pattern and its values, without the vectors that they make.

use crate::checks::{broadcast_to, expect_rank, expect_shape};
use crate::error::{ANY, Argument, Cause, Error};
use crate::groups::{Directions, FactoredParts, Group, Out, Parts};
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
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
/// For each position of each batch item, all results together sum to 1.
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
    let FactoredAttention { resid_pre, resid_mid, pattern, .. } = inputs;
    expect_rank("resid_mid", resid_mid, 3, "[batch, pos, d_model]")?;
    let shape = resid_mid.shape();
    let (batch, pos) = (shape[0], shape[1]);
    expect_shape("resid_pre", resid_pre, shape, "resid_mid")?;
    expect_rank("pattern", pattern, 4, "[batch, head, pos, key_pos]")?;
    expect_shape("pattern", pattern, &[batch, ANY, pos, ANY], "resid_mid")?;
    let (heads, key_pos) = (pattern.shape()[1], pattern.shape()[3]);
    let (directions, heads_of_kv) = directions(inputs)?;

    // The primitive's order: key-value heads, the heads of each, keys; then those of the batch.
    let by_kv_head = |axis| [Axis::Major(axis, heads_of_kv), Axis::Minor(axis, heads_of_kv)];
    let of_pattern = [by_kv_head(1)[0], by_kv_head(1)[1], Axis::Own(3), Axis::Own(0), Axis::Own(2)];
    let summed = out_attn.as_tensor().shape().len() == 3;
    let out = if summed {
        expect_shape("out_attn", out_attn.as_tensor(), &[batch, pos, key_pos], "pattern")?;
        Out::Sums(out_attn.with_axes(&[Axis::Own(2), Axis::Own(0), Axis::Own(1)]))
    } else {
        expect_rank("out_attn", out_attn.as_tensor(), 4, "[batch, pos, key_pos, head] or [batch, pos, key_pos]")?;
        expect_shape("out_attn", out_attn.as_tensor(), &[batch, pos, key_pos, heads], "pattern")?;
        Out::Each(out_attn.with_axes(&[by_kv_head(3)[0], by_kv_head(3)[1], Axis::Own(2), Axis::Own(0), Axis::Own(1)]))
    };
    expect_shape("out_resid", out_resid.as_tensor(), &[batch, pos], "resid_mid")?;

    let attn = FactoredParts {
        coefficients: pattern.with_axes(&of_pattern),
        directions,
        scale: inputs.scale,
        leave_out_zeros: inputs.leave_out_masked,
    };
    let mut groups = Vec::new();
    if groups.try_reserve_exact(one_offs.len() + 2).is_err() {
        let bytes = one_offs.len().saturating_mul(size_of::<Group<'_>>());
        return Err(Error::new("one_offs".into(), Cause::OutOfMemory { bytes }));
    }
    groups.push(Group { parts: Parts::Factored(attn), out });
    groups.push(Group::dense(*resid_pre, out_resid.reborrow()));
    for (index, one_off) in one_offs.iter_mut().enumerate() {
        let part = broadcast_to(Argument::of_list("one_offs", index, "part"), &one_off.part, shape, "resid_mid")?;
        groups.push(Group::dense(part, one_off.out.reborrow()));
    }
    let moved = if matches!(inputs.heads, Heads::ValueOutput(_)) { "value_output" } else { "values" };
    compute(resid_mid, &mut groups, options, &|place| match place {
        Place::Whole => "resid_mid".into(),
        Place::Group(0, Field::Coefficients) => "pattern".into(),
        Place::Group(0, Field::Projection) => "w_o".into(),
        Place::Group(0, Field::Scale) => "scale".into(),
        Place::Group(0, Field::Out) => "out_attn".into(),
        Place::Group(0, _) => moved.into(),
        Place::Group(1, Field::Out) => "out_resid".into(),
        Place::Group(1, _) => "resid_pre".into(),
        Place::Group(index, field) => {
            Argument::of_list("one_offs", index - 2, if field == Field::Out { "out" } else { "part" })
        }
    })
}

/// What the heads move, in the primitive's order of axes, and how many heads share a key-value head.
fn directions<'a>(inputs: &FactoredAttention<'a>) -> Result<(Directions<'a>, usize), Error> {
    let (shape, pattern) = (inputs.resid_mid.shape(), inputs.pattern.shape());
    let (batch, pos, d_model) = (shape[0], shape[1], shape[2]);
    let (heads, key_pos) = (pattern[1], pattern[3]);
    let of_values =
        |group| [Axis::Own(2), Axis::Broadcast(group), Axis::Own(1), Axis::Own(0), Axis::Broadcast(pos), Axis::Own(3)];
    match &inputs.heads {
        Heads::ValueOutput(value_output) => {
            expect_rank("value_output", value_output, 4, "[batch, key_pos, head, d_model]")?;
            expect_shape("value_output", value_output, &[batch, key_pos, heads, d_model], "pattern")?;
            Ok((Directions::Vectors(value_output.with_axes(&of_values(1))), 1))
        }
        Heads::Values { values, w_o } => {
            expect_rank("values", values, 4, "[batch, key_pos, kv_head, d_head]")?;
            expect_shape("values", values, &[batch, key_pos, ANY, ANY], "pattern")?;
            let (kv_heads, d_head) = (values.shape()[2], values.shape()[3]);
            expect_rank("w_o", w_o, 3, "[head, d_head, d_model]")?;
            expect_shape("w_o", w_o, &[heads, d_head, d_model], "pattern, values and resid_mid")?;
            if kv_heads > heads || heads.checked_rem(kv_heads).unwrap_or(heads) > 0 {
                return Err(Error::new("values".into(), Cause::Heads { heads, kv_heads }));
            }
            let group = heads.checked_div(kv_heads).unwrap_or(1).max(1);
            let of_w_o =
                [Axis::Major(0, group), Axis::Minor(0, group), Axis::Broadcast(key_pos), Axis::Own(1), Axis::Own(2)];
            let (values, projection) = (values.with_axes(&of_values(group)), w_o.with_axes(&of_w_o));
            Ok((Directions::Projected { values, projection }, group))
        }
    }
}
