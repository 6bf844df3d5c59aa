//! Whether a recording is right: whether wholes are the sums of their parts.
//!
//! What attention adds is calculated anew, in `f64` and by other code than that of the core: the pattern of a head, from queries
//! and keys unless it is given, times its values and its part of `W_O`. A block of positions is calculated at a time, and of each
//! one head after the other, so that no more than one head's rows of the pattern exist.

mod attention;

use crate::allocate::{filled, push};
use crate::error::Error;
use crate::options::Targets;
use crate::progress::{Progress, Stage};
use crate::recording::{Extents, Layer, Recording, not_finite};
use attention::Attended;
use contrib_core::{DType, Tensor};
use std::ops::ControlFlow;

/// Bytes that the rows of the pattern of one head may take.
const BYTES_OF_ROWS: usize = 8 << 20;
/// Beyond so many positions, a block becomes no faster.
const MOST_POSITIONS: usize = 32;

/// How far the wholes of a stage are from the sums of their parts, at the position where that is worst. All numbers are 2-norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The layer.
    pub layer: usize,
    /// The whole.
    pub stage: Stage,
    /// The position.
    pub position: usize,
    /// Of the whole minus the sum of its parts.
    pub difference: f64,
    /// Of what was added to the stream: the sum of all parts but the stream before.
    pub added: f64,
    /// What the difference may be because the whole, the stream before and dense parts were rounded to their types.
    pub rounding: f64,
}

impl Agreement {
    /// What of the difference is not rounding, as a share of what was added.
    ///
    /// It is far below 0.01 where a recording is right and its forward pass was calculated with floating-point numbers. A scale,
    /// a bias or a head that is wrong or missing makes it much larger. Engines that round what they multiply, as with quantised
    /// weights, come to some thousandths.
    #[must_use]
    pub fn unexplained(&self) -> f64 {
        let excess = self.difference - self.rounding;
        if excess <= 0.0 { 0.0 } else { excess / self.added }
    }
}

/// How far the wholes of a recording are from the sums of their parts, which they are within rounding where the recording is right:
/// of `resid_mid` the stream before and what attention adds, and of `resid_post` that and what the MLP adds; in parallel blocks, of
/// `resid_post` all of them. One for each whole of a layer, from the first layer to the last: the worst of these positions.
///
/// What attention adds is calculated in `f64`, on the calling thread, in time that grows with the positions times the length of the
/// prompt: of a long prompt, some positions say as much as all. Memory beside the recording is some megabytes.
///
/// # Errors
/// Those of the recording, and of its tensors where they do not agree; [`Error::Target`] for a position that it does not have;
/// [`Error::NotFinite`], [`Error::NotANumber`], [`Error::OutOfMemory`]; [`Error::Stopped`] where the callback, which hears of each
/// block of positions, breaks.
pub fn check(
    recording: &mut dyn Recording,
    positions: Targets<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Agreement>, Error> {
    let extents = Extents::of(recording)?;
    let positions = positions.positions(extents.positions)?;
    let block = (BYTES_OF_ROWS / size_of::<f64>() / extents.positions.max(1)).clamp(1, MOST_POSITIONS);
    let mut agreements = Vec::new();
    for index in (0..extents.layers).rev() {
        let layer = recording.layer(index)?;
        extents.check_layer(&layer, index)?;
        // From the last stage to the first, as layers come.
        let mut stages = [Some(Stage::ResidPost), layer.resid_mid.map(|_| Stage::ResidMid)];
        for stage in stages.iter_mut().filter_map(Option::take) {
            let wholes = Wholes::new(&layer, stage);
            let mut worst: Option<Agreement> = None;
            let mut done = 0;
            for block in positions.chunks(block) {
                wholes.measure(index, extents.heads, block, &mut worst)?;
                done += block.len();
                let (layer, n_layers, positions) = (index, extents.layers, positions.len());
                if progress(Progress { layer, n_layers, stage, done, positions, edges: 0 }).is_break() {
                    return Err(Error::Stopped);
                }
            }
            if let Some(worst) = worst {
                push(&mut agreements, worst)?;
            }
        }
    }
    agreements.reverse();
    Ok(agreements)
}

/// A whole of a layer, and its parts.
struct Wholes<'a> {
    stage: Stage,
    layer: &'a Layer<'a>,
    whole: Tensor<'a>,
    before: Tensor<'a>,
    /// Those that are there.
    added: [Option<Tensor<'a>>; 3],
    is_of_attention: bool,
}

impl<'a> Wholes<'a> {
    fn new(layer: &'a Layer<'a>, stage: Stage) -> Self {
        let bias = layer.attention.bias;
        let (mlp, mlp_bias) = (Some(layer.mlp_out), layer.mlp_bias);
        let (whole, before, added, is_of_attention) = match (stage, layer.resid_mid) {
            (Stage::ResidMid, Some(resid_mid)) => (resid_mid, layer.resid_pre, [bias, None, None], true),
            (Stage::ResidPost, Some(resid_mid)) => (layer.resid_post, resid_mid, [mlp, mlp_bias, None], false),
            (_, None) => (layer.resid_post, layer.resid_pre, [mlp, mlp_bias, bias], true),
        };
        Wholes { stage, layer, whole, before, added, is_of_attention }
    }

    /// Compares the wholes at these positions, which ascend, and keeps the worst of them.
    fn measure(
        &self,
        index: usize,
        n_heads: usize,
        positions: &[u32],
        worst: &mut Option<Agreement>,
    ) -> Result<(), Error> {
        let d_model = self.whole.shape()[1];
        let mut added = filled(0.0_f64, positions.len().saturating_mul(d_model))?;
        if self.is_of_attention {
            Attended::new(&self.layer.attention, n_heads, positions)?.add_to(&mut added)?;
        }
        let (mut whole, mut part) = (filled(0.0_f64, d_model)?, filled(0.0_f64, d_model)?);
        for (row, &position) in positions.iter().enumerate() {
            let added = &mut added[row * d_model..][..d_model];
            let mut rounding = 0.0;
            let mut read = |tensor: &Tensor<'_>, out: &mut [f64]| {
                row_of(tensor, position as usize).copy_to(out);
                rounding += unit_roundoff(tensor.dtype()) * norm(out);
            };
            for tensor in self.added.iter().flatten() {
                read(tensor, &mut part);
                added.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            }
            read(&self.whole, &mut whole);
            read(&self.before, &mut part);
            for ((whole, before), added) in whole.iter_mut().zip(&part).zip(added.iter()) {
                *whole -= before + added;
            }
            let agreement = Agreement {
                layer: index,
                stage: self.stage,
                position: position as usize,
                difference: norm(&whole),
                added: norm(added),
                rounding,
            };
            if !agreement.difference.is_finite() {
                return Err(not_finite(self.layer, index, position as usize));
            }
            let badness = |agreement: &Agreement| (agreement.unexplained(), agreement.difference);
            if worst.as_ref().is_none_or(|worst| badness(worst) < badness(&agreement)) {
                *worst = Some(agreement);
            }
        }
        Ok(())
    }
}

/// What a tensor `[pos, d_model]` or `[d_model]` has at a position.
fn row_of<'a>(tensor: &Tensor<'a>, position: usize) -> Tensor<'a> {
    if tensor.shape().len() == 1 { *tensor } else { tensor.narrowed(0, position..position + 1) }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|element| element * element).sum::<f64>().sqrt()
}

/// By what share of itself a number of this type may have been rounded.
fn unit_roundoff(dtype: DType) -> f64 {
    // The bits of the significand, with the one that is not stored.
    let bits = match dtype {
        DType::F16 => 11,
        DType::Bf16 => 8,
        DType::F32 => 24,
        DType::F64 => 53,
    };
    0.5_f64.powi(bits)
}
