//! What the parts of some wholes of a layer contribute, as far as it is above the threshold.

use crate::allocate::{filled, push};
use crate::error::Error;
use crate::options::{HeadEdges, MaskedKeys, Options};
use crate::progress::Stage;
use crate::recording::{Attends, Attention, Layer, Moves, not_finite};
use crate::rows::{Rows, consecutive};
use contrib_core::{
    AttentionResults, Coefficients, FactoredAttention, Group, Heads, Indices, IndicesMut, OneOff, Out,
    PreparedProjection, QueriesAndKeys, Sparse, Tensor, TensorMut, attention_factored, group_contributions,
};

/// Instead of the number of a head, where an edge is not that of one.
pub(crate) const NO_HEAD: u32 = u32::MAX;

/// Bytes that the calculation of one block of positions may take.
const BYTES_OF_BLOCK: usize = 16 << 20;
/// Beyond so many positions, a block becomes no faster.
const MOST_POSITIONS: usize = 256;
/// The core compares so many wholes with a panel of parts in one pass.
const STRIP: usize = 32;

/// What a part of a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The stream before: the only part that every whole has.
    Residual,
    Attention,
    Mlp,
    MlpBias,
    AttentionBias,
}

/// A part that contributes more than the threshold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The position of the whole.
    pub(crate) to: u32,
    /// The position of the part.
    pub(crate) from: u32,
    pub(crate) part: Part,
    /// The head, or [`NO_HEAD`].
    pub(crate) head: u32,
    pub(crate) weight: f64,
}

/// A whole of a layer, and its parts.
pub(crate) struct Wholes<'a> {
    pub(crate) stage: Stage,
    layer: &'a Layer<'a>,
    index: usize,
    n_heads: usize,
    whole: Tensor<'a>,
    attention: Option<&'a Attention<'a>>,
    /// Parts that are one vector for each position; the first is [`Part::Residual`].
    dense: Vec<(Part, Tensor<'a>)>,
    prepared: Option<PreparedProjection>,
}

impl<'a> Wholes<'a> {
    /// `resid_post`, of all parts of the layer where these run in parallel.
    pub(crate) fn resid_post(layer: &'a Layer<'a>, index: usize, n_heads: usize) -> Self {
        let residual = layer.resid_mid.unwrap_or(layer.resid_pre);
        let mut dense = vec![(Part::Residual, residual), (Part::Mlp, layer.mlp_out)];
        dense.extend(layer.mlp_bias.as_ref().map(|bias| (Part::MlpBias, as_rows(bias))));
        let mut attention = None;
        if layer.resid_mid.is_none() {
            attention = Some(&layer.attention);
            dense.extend(layer.attention.bias.as_ref().map(|bias| (Part::AttentionBias, as_rows(bias))));
        }
        let (stage, whole) = (Stage::ResidPost, layer.resid_post);
        Wholes { stage, layer, index, n_heads, whole, attention, dense, prepared: None }
    }

    /// `resid_mid`, where the layer has it.
    pub(crate) fn resid_mid(layer: &'a Layer<'a>, index: usize, n_heads: usize) -> Option<Self> {
        let whole = layer.resid_mid?;
        let mut dense = vec![(Part::Residual, layer.resid_pre)];
        dense.extend(layer.attention.bias.as_ref().map(|bias| (Part::AttentionBias, as_rows(bias))));
        let attention = Some(&layer.attention);
        Some(Wholes { stage: Stage::ResidMid, layer, index, n_heads, whole, attention, dense, prepared: None })
    }

    /// How many positions are computed in one call.
    pub(crate) fn block(&self, options: &Options<'_>) -> usize {
        if let Some(block) = options.block {
            return block;
        }
        let n_pos = self.whole.shape()[0];
        let parts = if self.attention.is_some() { n_pos.saturating_mul(self.n_heads) } else { 0 };
        // The core's row of all parts, coefficients that are copied, and the results.
        let results = match Selection::new(options) {
            Selection::Sums => n_pos.saturating_mul(size_of::<f64>()),
            Selection::Above(above) => room(above, parts).saturating_mul(size_of::<(f64, i64)>()),
        };
        let bytes = parts.saturating_mul(2 * size_of::<f32>()).saturating_add(results);
        let block = (BYTES_OF_BLOCK / bytes.max(1)).clamp(1, MOST_POSITIONS);
        if block > STRIP { block - block % STRIP } else { block }
    }

    /// Prepares what many blocks share.
    pub(crate) fn prepare(&mut self, options: &Options<'_>) -> Result<(), Error> {
        if let Some(Attention { moves: Moves::Values { w_o, .. }, scale: None, .. }) = self.attention {
            self.prepared = Some(PreparedProjection::new(w_o, &options.core())?);
        }
        Ok(())
    }

    /// Adds to `found` what the parts of the wholes at `positions`, which ascend, contribute above the threshold.
    pub(crate) fn measure(
        &self,
        positions: &[u32],
        options: &Options<'_>,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        let n = positions.len();
        let mut dense = filled(0.0_f64, n * self.dense.len())?;
        let mut attention = match self.attention {
            Some(_) => Contributions::new(options, n, self.whole.shape()[0], self.n_heads)?,
            None => Contributions::Nothing,
        };
        self.call(positions, options, &mut dense, &mut attention)?;
        let mut of_heads = Vec::new();
        for (row, &position) in positions.iter().enumerate() {
            let whole = || self.dense.iter().enumerate().map(|(part, &(name, _))| (name, dense[part * n + row]));
            if whole().any(|(_, contribution)| contribution.is_nan()) {
                return Err(not_finite(self.layer, self.index, position as usize));
            }
            attention.of_row(row, &mut of_heads)?;
            select(position, whole(), &mut of_heads, options, found)?;
        }
        Ok(())
    }

    /// Has the core compute the contributions to the wholes at `positions`: dense ones `[part, position]`.
    fn call(
        &self,
        positions: &[u32],
        options: &Options<'_>,
        dense: &mut [f64],
        attention: &mut Contributions,
    ) -> Result<(), Error> {
        let n = positions.len();
        let whole = Rows::new(&self.whole, 0, positions)?;
        let mut rows = Vec::new();
        for (_, tensor) in &self.dense {
            rows.push(Rows::new(tensor, 0, positions)?);
        }
        let whole = whole.tensor()?.with_axis(0);
        let mut parts = Vec::new();
        for (rows, out) in rows.iter().zip(dense.chunks_exact_mut(n)) {
            parts.push(OneOff { part: rows.tensor()?.with_axis(0), out: TensorMut::new(out, &[1, n])? });
        }
        let Some(inputs) = self.attention else {
            let mut groups: Vec<_> = parts.into_iter().map(|OneOff { part, out }| Group::dense(part, out)).collect();
            return Ok(group_contributions(&whole, &mut groups, &options.core())?);
        };
        let coefficients = CoefficientRows::new(&inputs.attends, positions)?;
        let queries_and_keys = coefficients.queries_and_keys()?;
        let pattern = match &queries_and_keys {
            Some(given) => Coefficients::Softmax(given),
            None => coefficients.rows.tensor()?.with_axis(0).into(),
        };
        let heads = match &inputs.moves {
            Moves::ValueOutput(value_output) => Heads::ValueOutput(value_output.with_axis(0)),
            Moves::Values { values, w_o } => {
                Heads::Values { values: values.with_axis(0), w_o: *w_o, prepared: self.prepared.as_ref() }
            }
        };
        let scale = match &inputs.scale {
            Some(scale) if scale.shape()[0] > 1 => Some(Rows::new(scale, 0, positions)?),
            Some(scale) => Some(Rows::View(*scale)),
            None => None,
        };
        let scale = match &scale {
            Some(scale) => Some(scale.tensor()?.with_axis(0)),
            None => None,
        };
        let mut parts = parts.into_iter();
        let Some(OneOff { part: resid_pre, out: resid }) = parts.next() else { return Ok(()) };
        let mut one_offs: Vec<_> = parts.collect();
        let leave_out_masked = options.masked_keys == MaskedKeys::LeftOut;
        let inputs = FactoredAttention { resid_pre, resid_mid: whole, pattern, heads, scale, leave_out_masked };
        let results = AttentionResults { attn: attention.out(n)?, resid, one_offs: &mut one_offs };
        Ok(attention_factored(&inputs, results, &options.core())?)
    }
}

/// A bias `[d_model]` or `[pos, d_model]` as rows.
fn as_rows<'a>(bias: &Tensor<'a>) -> Tensor<'a> {
    if bias.shape().len() == 1 { bias.with_axis(0) } else { *bias }
}

/// Adds what is above the threshold of the contributions to the whole at this position.
fn select(
    position: u32,
    dense: impl Iterator<Item = (Part, f64)> + Clone,
    of_heads: &mut Vec<OfHead>,
    options: &Options<'_>,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    // By what contributions are divided, and what they have to be greater than to count at all.
    let (mut left, mut least) = (1.0, f64::NEG_INFINITY);
    if let Some(threshold) = options.renormalise {
        least = threshold;
        of_heads.retain(|of_head| of_head.contribution > least);
        let kept = dense.clone().map(|(_, contribution)| contribution).filter(|&contribution| contribution > least);
        left = of_heads.iter().map(|of_head| of_head.contribution).chain(kept).sum();
    }
    let weight = |contribution: f64| if contribution > least { contribution / left } else { 0.0 };
    let mut of_own_position = 0.0;
    let mut add = |from: u32, part: Part, head: u32, weight: f64| {
        if weight > options.threshold {
            push(found, Found { to: position, from, part, head, weight })?;
        }
        Ok::<(), Error>(())
    };
    match options.heads {
        HeadEdges::Each => {
            for of_head in of_heads.iter() {
                add(of_head.key, Part::Attention, of_head.head, weight(of_head.contribution))?;
            }
        }
        HeadEdges::Summed => {
            for of_key in of_heads.chunk_by(|one, other| one.key == other.key) {
                let sum = of_key.iter().map(|of_head| weight(of_head.contribution)).sum();
                if of_key[0].key == position {
                    of_own_position = sum;
                } else {
                    add(of_key[0].key, Part::Attention, NO_HEAD, sum)?;
                }
            }
        }
    }
    for (part, contribution) in dense {
        let of_attention = if part == Part::Residual { of_own_position } else { 0.0 };
        add(position, part, NO_HEAD, weight(contribution) + of_attention)?;
    }
    Ok(())
}

/// What a key contributes through a head, or through all.
struct OfHead {
    key: u32,
    head: u32,
    contribution: f64,
}

/// Which contributions of attention the core has to write.
enum Selection {
    /// Each that is greater than a number.
    Above(f64),
    /// The sum over heads of each key.
    Sums,
}

impl Selection {
    fn new(options: &Options<'_>) -> Self {
        match (options.renormalise, options.heads) {
            // What is left is divided by less than 1, and may come to be above the other threshold.
            (Some(threshold), _) => Selection::Above(threshold),
            (None, HeadEdges::Each) => Selection::Above(options.threshold),
            // What is below the threshold may be added to the residual edge.
            (None, HeadEdges::Summed) => Selection::Sums,
        }
    }
}

/// How many of a whole's contributions can be greater than a number at most: their sum is 1, but for rounding.
fn room(above: f64, parts: usize) -> usize {
    if above > 0.0 { ((1.0 / above) as usize).saturating_add(2).min(parts) } else { parts }
}

/// The contributions of attention to the wholes of a block.
enum Contributions {
    Nothing,
    /// `[position, key]`
    Sums {
        sums: Vec<f64>,
        keys: usize,
    },
    /// `[position, room]`, with indices `key * heads + head`.
    Above {
        above: f64,
        room: usize,
        heads: usize,
        contributions: Vec<f64>,
        indices: Vec<i64>,
        counts: Vec<i64>,
        left_out: Vec<f64>,
    },
}

impl Contributions {
    fn new(options: &Options<'_>, n: usize, keys: usize, heads: usize) -> Result<Self, Error> {
        Ok(match Selection::new(options) {
            Selection::Sums => Contributions::Sums { sums: filled(0.0, n.saturating_mul(keys))?, keys },
            Selection::Above(above) => {
                let room = room(above, keys.saturating_mul(heads));
                let slots = n.saturating_mul(room);
                Contributions::Above {
                    above,
                    room,
                    heads,
                    contributions: filled(0.0, slots)?,
                    indices: filled(0, slots)?,
                    counts: filled(0, n)?,
                    left_out: filled(0.0, n)?,
                }
            }
        })
    }

    /// Where the core writes them.
    fn out(&mut self, n: usize) -> Result<Out<'_>, Error> {
        Ok(match self {
            Contributions::Nothing => Out::Each(TensorMut::new::<f64>(&mut [], &[0])?),
            Contributions::Sums { sums, keys } => Out::Sums(TensorMut::new(sums, &[1, n, *keys])?),
            Contributions::Above { above, room, contributions, indices, counts, left_out, .. } => Out::Sparse(Sparse {
                above: *above,
                contributions: TensorMut::new(contributions, &[1, n, *room])?,
                indices: IndicesMut::new(indices, &[1, n, *room])?,
                counts: IndicesMut::new(counts, &[1, n])?,
                left_out: TensorMut::new(left_out, &[1, n])?,
                summed_axes: 0,
            }),
        })
    }

    /// Those to one whole, ordered by key and head, in place of what was in `of_heads`.
    fn of_row(&self, row: usize, of_heads: &mut Vec<OfHead>) -> Result<(), Error> {
        of_heads.clear();
        match self {
            Contributions::Nothing => {}
            Contributions::Sums { sums, keys } => {
                for (&contribution, key) in sums[row * keys..][..*keys].iter().zip(0..) {
                    push(of_heads, OfHead { key, head: NO_HEAD, contribution })?;
                }
            }
            Contributions::Above { room, heads, contributions, indices, counts, .. } => {
                let count = (counts[row] as usize).min(*room);
                let slots = row * room..row * room + count;
                for (&contribution, &index) in contributions[slots.clone()].iter().zip(&indices[slots]) {
                    let (key, head) = (index as usize / heads, index as usize % heads);
                    push(of_heads, OfHead { key: key as u32, head: head as u32, contribution })?;
                }
            }
        }
        Ok(())
    }
}

/// How much the queries at some positions attend to keys.
struct CoefficientRows<'a> {
    attends: &'a Attends<'a>,
    /// The rows of the pattern, `[head, position, key]`, or the queries.
    rows: Rows<'a>,
    first: Option<usize>,
    positions: Vec<i64>,
}

impl<'a> CoefficientRows<'a> {
    fn new(attends: &'a Attends<'a>, positions: &[u32]) -> Result<Self, Error> {
        let rows = match attends {
            Attends::Pattern(pattern) => Rows::new(pattern, 1, positions)?,
            Attends::Scores(scores) => Rows::new(&scores.queries, 0, positions)?,
        };
        let positions_of_queries = positions.iter().map(|&position| i64::from(position)).collect();
        Ok(CoefficientRows { attends, rows, first: consecutive(positions), positions: positions_of_queries })
    }

    /// What a pattern is made of, where it is not given.
    fn queries_and_keys(&self) -> Result<Option<QueriesAndKeys<'_>>, Error> {
        let Attends::Scores(scores) = self.attends else { return Ok(None) };
        let query_positions = match self.first {
            Some(_) => None,
            None => Some(Indices::new(&self.positions, &[1, self.positions.len()])?),
        };
        Ok(Some(QueriesAndKeys {
            score_scale: scores.scale,
            soft_cap: scores.soft_cap,
            slopes: scores.slopes,
            sinks: scores.sinks,
            causal: scores.causal,
            window: scores.window,
            first_query: self.first.map(|first| first as i64),
            query_positions,
            ..QueriesAndKeys::new(self.rows.tensor()?.with_axis(0), scores.keys.with_axis(0))
        }))
    }
}
