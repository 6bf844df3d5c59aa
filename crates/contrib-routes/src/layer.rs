//! What the parts of some wholes of a layer contribute, as far as it is above the threshold.

use crate::allocate::{collected, filled, push, with_capacity};
use crate::coefficients::CoefficientRows;
use crate::contributions::Contributions;
use crate::error::Error;
use crate::found::{Found, Part, select};
use crate::options::{MaskedKeys, Options};
use crate::progress::Stage;
use crate::recording::{Attention, Layer, Moves, not_finite};
use crate::rows::Rows;
use contrib_core::{
    Argument, AttentionResults, Cause, Coefficients, FactoredAttention, Group, Heads, OneOff, PreparedProjection,
    Tensor, TensorMut, attention_factored, group_contributions,
};

/// Bytes that the calculation of one block of positions may take.
const BYTES_OF_BLOCK: usize = 16 << 20;
/// Beyond so many positions, a block becomes no faster.
const MOST_POSITIONS: usize = 256;
/// The core compares so many wholes with a panel of parts in one pass.
const STRIP: usize = 32;

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
    /// What was prepared for many blocks, where the recording has nothing prepared.
    prepared: Option<PreparedProjection>,
}

impl<'a> Wholes<'a> {
    /// `resid_post`, of all parts of the layer where these run in parallel.
    pub(crate) fn resid_post(layer: &'a Layer<'a>, index: usize, n_heads: usize) -> Result<Self, Error> {
        let residual = layer.resid_mid.unwrap_or(layer.resid_pre);
        let mut dense = with_capacity(4)?;
        push(&mut dense, (Part::Residual, residual))?;
        push(&mut dense, (Part::Mlp, layer.mlp_out))?;
        if let Some(bias) = &layer.mlp_bias {
            push(&mut dense, (Part::MlpBias, as_rows(bias)))?;
        }
        let attention = layer.resid_mid.is_none().then_some(&layer.attention);
        if let Some(bias) = attention.and_then(|attention| attention.bias.as_ref()) {
            push(&mut dense, (Part::AttentionBias, as_rows(bias)))?;
        }
        let (stage, whole) = (Stage::ResidPost, layer.resid_post);
        Ok(Wholes { stage, layer, index, n_heads, whole, attention, dense, prepared: None })
    }

    /// `resid_mid`, where the layer has it.
    pub(crate) fn resid_mid(layer: &'a Layer<'a>, index: usize, n_heads: usize) -> Result<Option<Self>, Error> {
        let Some(whole) = layer.resid_mid else { return Ok(None) };
        let mut dense = with_capacity(2)?;
        push(&mut dense, (Part::Residual, layer.resid_pre))?;
        if let Some(bias) = &layer.attention.bias {
            push(&mut dense, (Part::AttentionBias, as_rows(bias)))?;
        }
        let (stage, attention) = (Stage::ResidMid, Some(&layer.attention));
        Ok(Some(Wholes { stage, layer, index, n_heads, whole, attention, dense, prepared: None }))
    }

    /// How many positions are computed in one call.
    pub(crate) fn block(&self, options: &Options<'_>) -> usize {
        if let Some(block) = options.block {
            return block;
        }
        let mut bytes = 1;
        if self.attention.is_some() {
            let n_pos = self.whole.shape()[0];
            // The core's row of all parts, and as many coefficients where they have to be copied.
            let rows = n_pos.saturating_mul(self.n_heads).saturating_mul(2 * size_of::<f32>());
            bytes = rows.saturating_add(Contributions::bytes_of_row(options, n_pos, self.n_heads)).max(1);
        }
        let block = (BYTES_OF_BLOCK / bytes).clamp(1, MOST_POSITIONS);
        if block > STRIP { block - block % STRIP } else { block }
    }

    /// Prepares what many blocks share.
    pub(crate) fn prepare(&mut self, options: &Options<'_>) -> Result<(), Error> {
        if let Some(Attention { moves: Moves::Values { w_o, prepared: None, .. }, scale: None, .. }) = self.attention {
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
            Some(_) => Some(Contributions::new(options, n, self.whole.shape()[0], self.n_heads)?),
            None => None,
        };
        self.call(positions, options, &mut dense, attention.as_mut())?;
        let mut of_heads = Vec::new();
        for (row, &position) in positions.iter().enumerate() {
            let whole = || self.dense.iter().enumerate().map(|(part, &(name, _))| (name, dense[part * n + row]));
            if whole().any(|(_, contribution)| contribution.is_nan()) {
                return Err(not_finite(self.layer, self.index, position as usize));
            }
            if let Some(attention) = &attention {
                attention.of_row(row, &mut of_heads)?;
            }
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
        attention: Option<&mut Contributions>,
    ) -> Result<(), Error> {
        let n = positions.len();
        let whole = Rows::new(&self.whole, 0, positions)?;
        let mut rows = with_capacity(self.dense.len())?;
        for (_, tensor) in &self.dense {
            push(&mut rows, Rows::new(tensor, 0, positions)?)?;
        }
        let whole = whole.tensor()?.with_axis(0);
        let mut parts = with_capacity(rows.len())?;
        for (rows, out) in rows.iter().zip(dense.chunks_exact_mut(n)) {
            let part = rows.tensor()?.with_axis(0);
            push(&mut parts, OneOff { part, out: TensorMut::new(out, &[1, n])? })?;
        }
        let (Some(inputs), Some(attention)) = (self.attention, attention) else {
            let mut groups = collected(parts.into_iter().map(|OneOff { part, out }| Group::dense(part, out)))?;
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
            Moves::Values { values, w_o, prepared } => {
                let prepared = prepared.or(self.prepared.as_ref());
                Heads::Values { values: values.with_axis(0), w_o: *w_o, prepared }
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
        let mut one_offs = collected(parts)?;
        let leave_out_masked = options.masked_keys == MaskedKeys::LeftOut;
        let inputs = FactoredAttention { resid_pre, resid_mid: whole, pattern, heads, scale, leave_out_masked };
        let results = AttentionResults { attn: attention.out(n)?, resid, one_offs: &mut one_offs };
        attention_factored(&inputs, results, &options.core()).map_err(|error| self.named(&error))
    }

    /// An error of the core about what a recording hands in unchecked, which then has the name that it has in the layer.
    fn named(&self, error: &contrib_core::Error) -> Error {
        match *error.cause() {
            Cause::PreparedOfAnother { .. } => {
                let [prepared, like] = ["prepared", "w_o"].map(|name| Argument::of_layer(self.index, name));
                contrib_core::Error::new(prepared, Cause::PreparedOfAnother { like }).into()
            }
            _ => (*error).into(),
        }
    }
}

/// A bias `[d_model]` or `[pos, d_model]` as rows.
fn as_rows<'a>(bias: &Tensor<'a>) -> Tensor<'a> {
    if bias.shape().len() == 1 { bias.with_axis(0) } else { *bias }
}
