//! Follows routes from the last layer to the first.

use crate::allocate::{extend, with_capacity};
use crate::builder::{Builder, Level, Parts, origins};
use crate::error::Error;
use crate::found::{Found, Part};
use crate::graph::{NodeKind, Routes, Shape};
use crate::layer::Wholes;
use crate::options::{Extent, Options, Targets};
use crate::progress::Progress;
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
    options.check()?;
    let (n_layers, n_pos, n_heads) = (recording.n_layers(), recording.n_pos(), recording.n_heads());
    let extents = Extents { layers: n_layers, positions: n_pos, heads: n_heads };
    extents.check()?;
    let targets = targets.positions(n_pos)?;
    let mut work = Work { extents, options, progress, builder: Builder::new() };
    let mut reached = work.level(n_layers.saturating_sub(1), NodeKind::ResidPost, &[], &[], &targets)?;
    for index in (0..n_layers).rev() {
        let layer = recording.layer(index)?;
        extents.check_layer(&layer, index)?;
        reached = work.layer(&layer, index, &reached)?;
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
}

impl Work<'_> {
    /// Adds what is reached of a layer from `resid_post`; gives what is reached before it.
    fn layer(&mut self, layer: &Layer<'_>, index: usize, resid_post: &Level) -> Result<Level, Error> {
        let n_heads = self.extents.heads;
        let of_post = self.find(Wholes::resid_post(layer, index, n_heads)?, index, resid_post.positions())?;
        let mlp_bias = self.level(index, NodeKind::MlpBias, &of_post, &[Part::MlpBias], &[])?;
        let mlp = self.level(index, NodeKind::Mlp, &of_post, &[Part::Mlp], &[])?;
        let Some(wholes) = Wholes::resid_mid(layer, index, n_heads)? else {
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
        };
        let resid_mid = self.level(index, NodeKind::ResidMid, &of_post, &[Part::Residual, Part::Mlp], &[])?;
        let parts = Parts { stream: &resid_mid, mlp: Some(&mlp), mlp_bias: Some(&mlp_bias), attention_bias: None };
        self.builder.rows(resid_post, &of_post, &parts)?;
        self.builder.empty_rows(&mlp_bias)?;
        self.builder.mlp_rows(&mlp, &of_post, &resid_mid)?;
        drop(of_post);

        let of_mid = self.find(wholes, index, resid_mid.positions())?;
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

    /// What the parts of wholes at these positions contribute above the threshold, block by block.
    fn find(&mut self, mut wholes: Wholes<'_>, index: usize, positions: &[u32]) -> Result<Vec<Found>, Error> {
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
