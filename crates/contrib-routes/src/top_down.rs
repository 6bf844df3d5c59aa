//! Follows routes from the last layer to the first.

use crate::allocate::{extend, with_capacity};
use crate::builder::{Builder, Level, Parts, origins};
use crate::error::Error;
use crate::found::{Found, Part};
use crate::graph::{NodeKind, Routes, Shape};
use crate::kept::Kept;
use crate::layer::Wholes;
use crate::options::{Extent, Options, Targets};
use crate::progress::{Progress, Stage};
use crate::recording::{Extents, Layer, Recording};
use std::ops::ControlFlow;

/// The routes to the last `resid_post` at the targets: all edges that are reached from there, backwards, over edges whose
/// weight is greater than the threshold. With [`Extent::All`], all such edges of the prompt.
///
/// Only what is reached is computed, a layer at a time from the last one, and in a layer a block of positions at a time. Memory
/// beside the recording and the result is some megabytes for each thread.
///
/// Weights are those of the core, and depend on neither blocks, threads nor targets.
///
/// # Errors
/// Those of the recording, and of its tensors where they do not agree; [`Error::Target`], [`Error::Choice`],
/// [`Error::NotFinite`], [`Error::NotANumber`], [`Error::OutOfMemory`].
pub fn routes(recording: &mut dyn Recording, targets: Targets<'_>, options: &Options<'_>) -> Result<Routes, Error> {
    routes_with_progress(recording, targets, options, &mut |_| ControlFlow::Continue(()))
}

/// [`routes`], with a callback after each block of positions, which may stop the work.
///
/// # Errors
/// As [`routes`], and [`Error::Stopped`] where the callback breaks.
pub fn routes_with_progress(
    recording: &mut dyn Recording,
    targets: Targets<'_>,
    options: &Options<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Routes, Error> {
    find(recording, targets, options, progress, None)
}

/// [`routes_with_progress`], which computes only what is not in `kept`, where that is given, and keeps it there. After an error it
/// may have a part of a layer.
pub(crate) fn find(
    recording: &mut dyn Recording,
    targets: Targets<'_>,
    options: &Options<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    mut kept: Option<&mut Kept>,
) -> Result<Routes, Error> {
    options.check()?;
    let extents = Extents::of(recording)?;
    let Extents { layers: n_layers, positions: n_pos, heads: n_heads } = extents;
    let targets = targets.positions(n_pos)?;
    if let Some(kept) = &mut kept {
        kept.set_layers(n_layers)?;
    }
    let mut work = Work { extents, options, progress, builder: Builder::new(), kept };
    let mut reached = work.level(n_layers.saturating_sub(1), NodeKind::ResidPost, &[], &[], &targets)?;
    for index in (0..n_layers).rev() {
        reached = work.layer(recording, index, &reached)?;
    }
    work.builder.empty_rows(&reached)?;
    let Options { heads, threshold, .. } = *options;
    work.builder.finish(Shape { n_layers, n_pos, n_heads, heads, threshold, targets })
}

/// What the layers of one call share.
struct Work<'a> {
    extents: Extents,
    options: &'a Options<'a>,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    builder: Builder,
    kept: Option<&'a mut Kept>,
}

impl Work<'_> {
    /// Adds what is reached of a layer from `resid_post`; gives what is reached before it. The layer is read where there is
    /// something to compute.
    fn layer(&mut self, recording: &mut dyn Recording, index: usize, resid_post: &Level) -> Result<Level, Error> {
        let positions = resid_post.positions();
        let missing = match &mut self.kept {
            Some(kept) => {
                let kept = kept.layer(index);
                let missing = kept.missing(positions, self.options.extent == Extent::All)?;
                if let (true, Some(is_parallel)) = (missing.is_empty(), kept.is_parallel) {
                    return self.levels(None, is_parallel, index, resid_post);
                }
                Some(missing)
            }
            None => None,
        };
        let layer = recording.layer_at(index, missing.as_deref().unwrap_or(positions))?;
        self.extents.check_layer(&layer, index)?;
        self.levels(Some(&layer), layer.resid_mid.is_none(), index, resid_post)
    }

    /// The same of a layer that was read, or of which all is kept.
    fn levels(
        &mut self,
        layer: Option<&Layer<'_>>,
        is_parallel: bool,
        index: usize,
        resid_post: &Level,
    ) -> Result<Level, Error> {
        let of_post = self.found(layer, index, Stage::ResidPost, resid_post.positions())?;
        let mlp_bias = self.level(index, NodeKind::MlpBias, &of_post, &[Part::MlpBias], &[])?;
        let mlp = self.level(index, NodeKind::Mlp, &of_post, &[Part::Mlp], &[])?;
        if is_parallel {
            let attention_bias = self.level(index, NodeKind::AttentionBias, &of_post, &[Part::AttentionBias], &[])?;
            let resid_pre = self.resid_pre(index, &of_post)?;
            let parts = Parts {
                stream: &resid_pre,
                mlp: Some(&mlp),
                mlp_bias: Some(&mlp_bias),
                attention_bias: Some(&attention_bias),
            };
            self.builder.rows(resid_post, &of_post, &parts)?;
            self.builder.empty_rows(&mlp_bias)?;
            self.builder.mlp_rows(&mlp, &of_post, &resid_pre)?;
            self.builder.empty_rows(&attention_bias)?;
            return Ok(resid_pre);
        }
        let resid_mid = self.level(index, NodeKind::ResidMid, &of_post, &[Part::Residual, Part::Mlp], &[])?;
        let parts = Parts { stream: &resid_mid, mlp: Some(&mlp), mlp_bias: Some(&mlp_bias), attention_bias: None };
        self.builder.rows(resid_post, &of_post, &parts)?;
        self.builder.empty_rows(&mlp_bias)?;
        self.builder.mlp_rows(&mlp, &of_post, &resid_mid)?;
        drop(of_post);

        let of_mid = self.found(layer, index, Stage::ResidMid, resid_mid.positions())?;
        let attention_bias = self.level(index, NodeKind::AttentionBias, &of_mid, &[Part::AttentionBias], &[])?;
        let resid_pre = self.resid_pre(index, &of_mid)?;
        let parts = Parts { stream: &resid_pre, mlp: None, mlp_bias: None, attention_bias: Some(&attention_bias) };
        self.builder.rows(&resid_mid, &of_mid, &parts)?;
        self.builder.empty_rows(&attention_bias)?;
        Ok(resid_pre)
    }

    /// Adds the nodes of the stream before a layer that are reached. In parallel blocks the MLP reads it, too.
    fn resid_pre(&mut self, index: usize, found: &[Found]) -> Result<Level, Error> {
        let (before, kind) = match index.checked_sub(1) {
            Some(before) => (before, NodeKind::ResidPost),
            None => (0, NodeKind::Embedding),
        };
        self.level(before, kind, found, &[Part::Residual, Part::Attention, Part::Mlp], &[])
    }

    /// Adds nodes: where parts of these kinds come from, and further positions; of the stream, all where all is computed.
    fn level(
        &mut self,
        layer: usize,
        kind: NodeKind,
        found: &[Found],
        parts: &[Part],
        further: &[u32],
    ) -> Result<Level, Error> {
        let n_pos = self.extents.positions;
        let is_stream = matches!(kind, NodeKind::ResidPost | NodeKind::ResidMid | NodeKind::Embedding);
        let mut positions;
        if is_stream && self.options.extent == Extent::All {
            positions = with_capacity(n_pos)?;
            positions.extend(0..n_pos as u32);
        } else {
            positions = origins(found, parts, n_pos)?;
            extend(&mut positions, further)?;
        }
        self.builder.level(layer, kind, positions)
    }

    /// What the parts of wholes at these positions contribute above the threshold: what is kept of them, and the rest, which is
    /// computed and kept. Without a layer all is kept.
    fn found(
        &mut self,
        layer: Option<&Layer<'_>>,
        index: usize,
        stage: Stage,
        positions: &[u32],
    ) -> Result<Vec<Found>, Error> {
        // What a token is made of must not depend on later ones.
        let keeps = layer.is_none_or(|layer| layer.attention.attends.is_causal());
        let missing = match &mut self.kept {
            Some(kept) if keeps => Some(kept.layer(index).rows(stage).missing(positions)?),
            _ => None,
        };
        let new = match layer {
            Some(layer) => self.compute(layer, index, stage, missing.as_deref().unwrap_or(positions))?,
            None => Vec::new(),
        };
        let (Some(kept), Some(missing)) = (&mut self.kept, missing) else { return Ok(new) };
        let kept = kept.layer(index);
        if let Some(layer) = layer {
            kept.is_parallel = Some(layer.resid_mid.is_none());
        }
        kept.rows(stage).add(&missing, &new)?;
        kept.rows(stage).at(positions)
    }

    /// What the parts of wholes at these positions contribute above the threshold, block by block.
    fn compute(
        &mut self,
        layer: &Layer<'_>,
        index: usize,
        stage: Stage,
        positions: &[u32],
    ) -> Result<Vec<Found>, Error> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let n_heads = self.extents.heads;
        let wholes = match stage {
            Stage::ResidPost => Some(Wholes::resid_post(layer, index, n_heads)?),
            Stage::ResidMid => Wholes::resid_mid(layer, index, n_heads)?,
        };
        let Some(mut wholes) = wholes else { return Ok(Vec::new()) };
        let block = wholes.block(self.options);
        if positions.len() > block {
            wholes.prepare(self.options)?;
        }
        let mut found = Vec::new();
        let mut done = 0;
        for block in positions.chunks(block) {
            wholes.measure(block, self.options, &mut found)?;
            done += block.len();
            let progress = Progress {
                layer: index,
                n_layers: self.extents.layers,
                stage: wholes.stage,
                done,
                positions: positions.len(),
                edges: self.builder.edges(),
            };
            if (self.progress)(progress).is_break() {
                return Err(Error::Stopped);
            }
        }
        Ok(found)
    }
}
