//! Finds routes again and again in a recording that grows.

use crate::error::Error;
use crate::graph::Routes;
use crate::kept::Kept;
use crate::options::{HeadEdges, MaskedKeys, Options, Targets};
use crate::progress::Progress;
use crate::recording::Recording;
use crate::top_down::find;
use contrib_core::Norm;
use std::ops::ControlFlow;

/// Finds routes in a recording that grows token by token, and keeps what it found: a call computes only positions that no call
/// before it computed, so that routes to one new token cost little more than its own edges.
///
/// What is found at a position depends on the tokens up to it alone, and stays right for as long as these do:
///
/// - All recordings that a finder is given are of one model, and of a prompt that begins as before. Where tokens were taken
///   back, [`truncate`](Finder::truncate) says so; a recording with fewer positions than the one before says it by itself.
/// - No token attends to those after it. With [`Scores::causal`](crate::Scores::causal) `false` or [`MaskedKeys::Counted`],
///   for which that does not hold, nothing is kept; where a pattern is given, it is up to the caller.
/// - Other choices of what edges are (threshold, renormalising, heads, masked keys, the norm) are noticed, and what was
///   kept is forgotten. Targets, extent, threads, blocks and progress may differ from call to call.
///
/// Routes are those of [`routes`](crate::routes), and weights equal to about `1e-12`: in which order the core adds up a row
/// depends on how many keys there are, and a row that is kept was computed when there were fewer. Where the recording did not
/// grow in between they have the same bits. An edge whose weight is that near to the threshold may be there in one of both only.
///
/// What is kept is some 40 bytes for each edge that was found and 32 for each whole that was reached.
///
/// # Example
///
/// ```
/// use contrib_routes::{Error, Finder, Options, Recording, Routes, Targets};
/// use std::ops::ControlFlow;
///
/// /// To be called after each new token.
/// fn explain_last(finder: &mut Finder, recording: &mut dyn Recording) -> Result<Routes, Error> {
///     let last = recording.n_pos() - 1;
///     finder.routes(recording, Targets::At(&[last]), &Options::default(), &mut |_| ControlFlow::Continue(()))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Finder {
    kept: Kept,
    n_pos: usize,
    /// What the kept edges are; `None` before the first call.
    edges: Option<Edges>,
}

/// Choices on which edges depend, beside the numbers of layers and heads.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edges {
    threshold: f64,
    renormalise: Option<f64>,
    heads: HeadEdges,
    norm: Norm,
    extents: [usize; 2],
}

impl Finder {
    /// A finder that has found nothing.
    #[must_use]
    pub fn new() -> Self {
        Finder::default()
    }

    /// [`routes_with_progress`](crate::routes_with_progress), which computes only what was not computed before. The recording
    /// is asked for layers in which there is something to compute, and told where ([`Recording::layer_at`]). The progress
    /// is that of the positions that are computed.
    ///
    /// # Errors
    /// As there. All that was kept is forgotten then.
    pub fn routes(
        &mut self,
        recording: &mut dyn Recording,
        targets: Targets<'_>,
        options: &Options<'_>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Routes, Error> {
        let Options { threshold, renormalise, heads, norm, .. } = *options;
        let extents = [recording.n_layers(), recording.n_heads()];
        let edges = Some(Edges { threshold, renormalise, heads, norm, extents });
        let keeps = options.masked_keys == MaskedKeys::LeftOut;
        if !keeps || edges != self.edges {
            self.kept.clear();
        }
        self.truncate(recording.n_pos());
        (self.edges, self.n_pos) = (edges, recording.n_pos());
        let found = find(recording, targets, options, progress, keeps.then_some(&mut self.kept));
        if found.is_err() {
            // Of the layer that failed only a part may be there.
            self.kept.clear();
        }
        found
    }

    /// Forgets what was found at this position and those after it, whose tokens were taken back.
    pub fn truncate(&mut self, n_pos: usize) {
        if n_pos < self.n_pos {
            self.kept.truncate(n_pos);
            self.n_pos = n_pos;
        }
    }
}
