//! Contributions of attention from its pattern and its values, without the vectors that they make.

use crate::checks::{broadcast_to, expect_rank, expect_shape};
use crate::error::{ANY, Argument, Cause, Error};
use crate::groups::{Coefficients, Directions, FactoredParts, Group, Out, Parts, Sparse, TopK};
use crate::indices::IndicesMut;
use crate::options::Options;
use crate::prepared_projection::PreparedProjection;
use crate::primitive::{Field, Place, compute};
use crate::queries_and_keys::QueriesAndKeys;
use crate::tensor::{Axis, Tensor, TensorMut};

/// What [`attention_factored`] is given.
///
/// | tensor | shape |
/// |---|---|
/// | `resid_pre`, `resid_mid` | `[batch, pos, d_model]` |
/// | `pattern` | `[batch, head, pos, key_pos]`: how much each head attends to which token; or queries and keys |
///
/// `pos` may be any queries, all or some or one that is new; `key_pos` are the tokens that they attend to.
#[derive(Clone, Copy, Debug)]
pub struct FactoredAttention<'a> {
    /// The residual stream before attention.
    pub resid_pre: Tensor<'a>,
    /// The residual stream after attention.
    pub resid_mid: Tensor<'a>,
    /// The pattern, or the queries and keys that it is made of. Where it is 0, as it is for masked keys, the part is the zero
    /// vector, whatever the value.
    pub pattern: Coefficients<'a>,
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

/// What is wanted of [`attention_factored`].
#[derive(Debug)]
pub struct AttentionResults<'a> {
    /// What each token through each head contributes: of the part axes `[key_pos, head]`, which come after the batch axes here.
    ///
    /// | `attn` | shapes |
    /// |---|---|
    /// | [`Out::Each`] | `[batch, pos, key_pos, head]` |
    /// | [`Out::Sums`] | `[batch, pos, key_pos]`: summed over heads |
    /// | [`Out::TopK`] | `[batch, pos, k]`; an index is `key_pos * heads + head` |
    /// | [`Out::Sparse`] | `[batch, pos, room]`, counts and what is left out `[batch, pos]`; an index is `key_pos * heads + head` |
    ///
    /// With 1 for the `summed_axes` of the last two, sums over heads are taken first, and an index is that of a key.
    pub attn: Out<'a>,
    /// What the residual stream before attention contributes, `[batch, pos]`.
    pub resid: TensorMut<'a>,
    /// Further parts, each with its own result.
    pub one_offs: &'a mut [OneOff<'a>],
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
        /// What was prepared of this very `w_o`, or nothing. It makes a call for one new token faster, and changes no result.
        prepared: Option<&'a PreparedProjection>,
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
/// The vectors `[batch, pos, key_pos, head, d_model]` never exist, and the pattern need not; beside the outputs some 32 MB are
/// needed for each thread, and a few MB for directions.
///
/// For each position of each batch item, all results together sum to 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions), and [`Cause::Heads`].
pub fn attention_factored(
    inputs: &FactoredAttention<'_>,
    results: AttentionResults<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let FactoredAttention { resid_pre, resid_mid, scale, leave_out_masked, .. } = inputs;
    expect_rank("resid_mid", resid_mid, 3, "[batch, pos, d_model]")?;
    let shape = resid_mid.shape();
    expect_shape("resid_pre", resid_pre, shape, "resid_mid")?;
    let extents = Extents::new(inputs)?;
    let queries_and_keys;
    let coefficients = match &inputs.pattern {
        Coefficients::Given(pattern) => Coefficients::Given(extents.pattern(pattern)),
        Coefficients::Softmax(given) => {
            queries_and_keys = extents.queries_and_keys(given)?;
            Coefficients::Softmax(&queries_and_keys)
        }
    };
    let attn = FactoredParts {
        coefficients,
        directions: extents.directions(&inputs.heads)?,
        scale: *scale,
        leave_out_zeros: *leave_out_masked,
    };
    let AttentionResults { attn: out_attn, mut resid, one_offs } = results;
    let out = extents.out(out_attn)?;
    expect_shape("out_resid", resid.as_tensor(), &shape[..2], "resid_mid")?;

    let mut groups = Vec::new();
    if groups.try_reserve_exact(one_offs.len() + 2).is_err() {
        let bytes = one_offs.len().saturating_mul(size_of::<Group<'_>>());
        return Err(Error::new("one_offs".into(), Cause::OutOfMemory { bytes }));
    }
    groups.push(Group { parts: Parts::Factored(attn), out });
    groups.push(Group::dense(*resid_pre, resid.reborrow()));
    for (index, one_off) in one_offs.iter_mut().enumerate() {
        let part = broadcast_to(Argument::of_list("one_offs", index, "part"), &one_off.part, shape, "resid_mid")?;
        groups.push(Group::dense(part, one_off.out.reborrow()));
    }
    let values = if matches!(inputs.heads, Heads::ValueOutput(_)) { "value_output" } else { "values" };
    compute(resid_mid, &mut groups, options, &|place| match place {
        Place::Whole => "resid_mid".into(),
        Place::Group(0, Field::Coefficients) => "pattern".into(),
        Place::Group(0, Field::Projection) => "w_o".into(),
        Place::Group(0, Field::Directions | Field::Values) => values.into(),
        Place::Group(0, Field::Out) => "out_attn".into(),
        Place::Group(0, field) => field.name().into(),
        Place::Group(1, Field::Out) => "out_resid".into(),
        Place::Group(1, _) => "resid_pre".into(),
        Place::Group(index, field) => {
            Argument::of_list("one_offs", index - 2, if field == Field::Out { "out" } else { "part" })
        }
    })
}

/// The extents of attention's tensors, which bring them into the primitive's order of axes: key-value heads, the heads of
/// each, keys; then batch and queries.
struct Extents {
    batch: usize,
    pos: usize,
    d_model: usize,
    heads: usize,
    key_pos: usize,
    /// Heads that share a key-value head.
    heads_of_kv: usize,
    /// The argument that says how many heads and keys there are.
    like: &'static str,
}

impl Extents {
    /// Those of the inputs, whose `resid_mid` has three axes.
    fn new(inputs: &FactoredAttention<'_>) -> Result<Self, Error> {
        let &[batch, pos, d_model] = inputs.resid_mid.shape() else { unreachable!("it has three axes") };
        let (heads, key_pos, like) = match &inputs.pattern {
            Coefficients::Given(pattern) => {
                expect_rank("pattern", pattern, 4, "[batch, head, pos, key_pos]")?;
                expect_shape("pattern", pattern, &[batch, ANY, pos, ANY], "resid_mid")?;
                (pattern.shape()[1], pattern.shape()[3], "pattern")
            }
            Coefficients::Softmax(QueriesAndKeys { queries, keys, .. }) => {
                expect_rank("queries", queries, 4, "[batch, pos, head, d]")?;
                expect_shape("queries", queries, &[batch, pos, ANY, ANY], "resid_mid")?;
                expect_rank("keys", keys, 4, "[batch, key_pos, kv_head, d]")?;
                expect_shape("keys", keys, &[batch, ANY, ANY, queries.shape()[3]], "queries")?;
                (queries.shape()[2], keys.shape()[1], "keys")
            }
        };
        let mut extents = Extents { batch, pos, d_model, heads, key_pos, heads_of_kv: 1, like };
        let kv_heads = match (&inputs.heads, &inputs.pattern) {
            (Heads::Values { values, .. }, _) => {
                expect_rank("values", values, 4, "[batch, key_pos, kv_head, d_head]")?;
                Some(("values", values.shape()[2]))
            }
            (Heads::ValueOutput(_), Coefficients::Softmax(given)) => Some(("keys", given.keys.shape()[2])),
            (Heads::ValueOutput(_), Coefficients::Given(_)) => None,
        };
        if let Some((name, kv_heads)) = kv_heads {
            if kv_heads > heads || heads.checked_rem(kv_heads).unwrap_or(heads) > 0 {
                return Err(Error::new(name.into(), Cause::Heads { heads, kv_heads }));
            }
            extents.heads_of_kv = heads.checked_div(kv_heads).unwrap_or(1).max(1);
        }
        Ok(extents)
    }

    /// The axis of heads as the primitive's two.
    fn by_kv_head(&self, axis: usize) -> [Axis; 2] {
        [Axis::Major(axis, self.heads_of_kv), Axis::Minor(axis, self.heads_of_kv)]
    }

    /// A tensor `[batch, head, pos, key_pos]` in the primitive's order.
    fn pattern<'a>(&self, tensor: &Tensor<'a>) -> Tensor<'a> {
        let [kv_head, head] = self.by_kv_head(1);
        tensor.with_axes(&[kv_head, head, Axis::Own(3), Axis::Own(0), Axis::Own(2)])
    }

    /// What the pattern is made of, in the primitive's order.
    fn queries_and_keys<'a>(&self, given: &QueriesAndKeys<'a>) -> Result<QueriesAndKeys<'a>, Error> {
        let [kv_head, head] = self.by_kv_head(2);
        let (d, kv_heads) = (given.queries.shape()[3], self.heads / self.heads_of_kv);
        expect_shape("keys", &given.keys, &[self.batch, self.key_pos, kv_heads, d], "values and queries")?;
        let of_queries = [kv_head, head, Axis::Broadcast(1), Axis::Own(0), Axis::Own(1), Axis::Own(3)];
        let of_keys = [Axis::Own(2), Axis::Broadcast(1), Axis::Own(1), Axis::Own(0), Axis::Broadcast(1), Axis::Own(3)];
        let of_heads = |name: &'static str, tensor: &Option<Tensor<'a>>| match tensor {
            None => Ok(None),
            Some(tensor) => {
                let tensor = broadcast_to(name, tensor, &[self.heads], "queries")?;
                Ok(Some(tensor.with_axes(&self.by_kv_head(0))))
            }
        };
        let mask = match &given.mask {
            None => None,
            Some(mask) => {
                let expected = [self.batch, self.heads, self.pos, self.key_pos];
                Some(self.pattern(&broadcast_to("mask", mask, &expected, "queries and keys")?))
            }
        };
        let key_positions = match &given.key_positions {
            None => None,
            Some(positions) => {
                let expected = [self.batch, self.key_pos];
                let view = broadcast_to("key_positions", positions.as_tensor(), &expected, "keys")?;
                Some(positions.seen_as(&view.with_axes(&[Axis::Own(1), Axis::Own(0), Axis::Broadcast(1)])))
            }
        };
        Ok(QueriesAndKeys {
            queries: given.queries.with_axes(&of_queries),
            keys: given.keys.with_axes(&of_keys),
            slopes: of_heads("slopes", &given.slopes)?,
            sinks: of_heads("sinks", &given.sinks)?,
            mask,
            key_positions,
            ..*given
        })
    }

    /// What the heads move.
    fn directions<'a>(&self, heads: &Heads<'a>) -> Result<Directions<'a>, Error> {
        let &Extents { batch, pos, d_model, heads: n_heads, key_pos, heads_of_kv, like } = self;
        match heads {
            Heads::ValueOutput(value_output) => {
                expect_rank("value_output", value_output, 4, "[batch, key_pos, head, d_model]")?;
                expect_shape("value_output", value_output, &[batch, key_pos, n_heads, d_model], like)?;
                let [kv_head, head] = self.by_kv_head(2);
                let of_values = [kv_head, head, Axis::Own(1), Axis::Own(0), Axis::Broadcast(pos), Axis::Own(3)];
                Ok(Directions::Vectors(value_output.with_axes(&of_values)))
            }
            &Heads::Values { ref values, ref w_o, prepared } => {
                expect_shape("values", values, &[batch, key_pos, ANY, ANY], like)?;
                let d_head = values.shape()[3];
                expect_rank("w_o", w_o, 3, "[head, d_head, d_model]")?;
                let of_all =
                    if like == "pattern" { "pattern, values and resid_mid" } else { "queries, values and resid_mid" };
                expect_shape("w_o", w_o, &[n_heads, d_head, d_model], of_all)?;
                let [kv_head, head] = self.by_kv_head(0);
                let of_values = [
                    Axis::Own(2),
                    Axis::Broadcast(heads_of_kv),
                    Axis::Own(1),
                    Axis::Own(0),
                    Axis::Broadcast(pos),
                    Axis::Own(3),
                ];
                let of_w_o = [kv_head, head, Axis::Broadcast(1), Axis::Own(1), Axis::Own(2)];
                let (values, projection) = (values.with_axes(&of_values), w_o.with_axes(&of_w_o));
                Ok(Directions::Projected { values, projection, prepared })
            }
        }
    }

    /// Where the results go.
    fn out<'a>(&self, out: Out<'a>) -> Result<Out<'a>, Error> {
        let &Extents { batch, pos, heads, key_pos, like, .. } = self;
        Ok(match out {
            Out::Each(out) => {
                expect_rank("out_attn", out.as_tensor(), 4, "[batch, pos, key_pos, head]")?;
                expect_shape("out_attn", out.as_tensor(), &[batch, pos, key_pos, heads], like)?;
                let [kv_head, head] = self.by_kv_head(3);
                Out::Each(out.into_axes(&[kv_head, head, Axis::Own(2), Axis::Own(0), Axis::Own(1)]))
            }
            Out::Sums(out) => {
                expect_rank("out_attn", out.as_tensor(), 3, "[batch, pos, key_pos]")?;
                expect_shape("out_attn", out.as_tensor(), &[batch, pos, key_pos], like)?;
                Out::Sums(out.into_axes(&[Axis::Own(2), Axis::Own(0), Axis::Own(1)]))
            }
            Out::TopK(top_k) => {
                let (indices, summed_axes) = numbered_by_key(top_k.indices, top_k.summed_axes)?;
                Out::TopK(TopK { indices, summed_axes, ..top_k })
            }
            Out::Sparse(sparse) => {
                let (indices, summed_axes) = numbered_by_key(sparse.indices, sparse.summed_axes)?;
                Out::Sparse(Sparse { indices, summed_axes, ..sparse })
            }
        })
    }
}

/// Indices that count heads within keys, and how many of the primitive's part axes, whose heads are two, sums are taken over.
fn numbered_by_key(indices: IndicesMut<'_>, summed_axes: usize) -> Result<(IndicesMut<'_>, usize), Error> {
    match summed_axes {
        // Of key-value heads, the heads of each, and keys, the keys come first.
        0 => Ok((indices.in_order(&[2, 0, 1]), 0)),
        1 => Ok((indices, 2)),
        _ => {
            let cause = Cause::InvalidNumber { expected: "0, or 1 for sums over heads", got: summed_axes as f64 };
            Err(Error::new("summed_axes".into(), cause))
        }
    }
}
