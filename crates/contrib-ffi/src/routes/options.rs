//! A caller's choices of what routes are, and the function that hears of the progress.

use super::kinds::{CONTRIB_NODE_RESID_MID, CONTRIB_NODE_RESID_POST};
use crate::context::contrib_context;
use crate::failure::Failure;
use crate::sized_struct::{self, SizedStruct};
use ::contrib_routes::{Extent, HeadEdges, MaskedKeys, Options, Progress, Stage};
use contrib_core::{Argument, Cause, Norm};
use std::ffi::c_void;
use std::mem::offset_of;
use std::ops::ControlFlow;

/// Flag of `contrib_routes_options`: contributions are renormalised first, by the number in `renormalise`.
pub const CONTRIB_ROUTES_RENORMALISE: u64 = 1;
/// Flag of `contrib_routes_options`: an edge of attention is what all heads bring together. What they bring from their own
/// position is added to the residual edge.
pub const CONTRIB_ROUTES_SUM_HEADS: u64 = 2;
/// Flag of `contrib_routes_options`: keys that a query may not see count as zero vectors, each with the least proximity or more.
/// Without it they are left out, so that routes to a token do not depend on those after it.
pub const CONTRIB_ROUTES_COUNT_MASKED: u64 = 4;
/// Flag of `contrib_routes_options`: all positions are computed, in every layer, and all edges above the threshold found. Flow is
/// that of the targets, and 0 where it does not reach.
pub const CONTRIB_ROUTES_ALL_POSITIONS: u64 = 8;

const KNOWN_FLAGS: u64 =
    CONTRIB_ROUTES_RENORMALISE | CONTRIB_ROUTES_SUM_HEADS | CONTRIB_ROUTES_COUNT_MASKED | CONTRIB_ROUTES_ALL_POSITIONS;

/// How far the work is. It goes from the last layer to the first. Later versions may append fields.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_progress {
    /// The layer that is being computed.
    pub layer: usize,
    /// How many layers there are.
    pub n_layers: usize,
    /// What of the layer is being computed: `CONTRIB_NODE_RESID_POST` comes first, `CONTRIB_NODE_RESID_MID` second.
    pub stage: u64,
    /// How many positions of the stage are computed.
    pub done: usize,
    /// How many positions of the stage there are to compute.
    pub positions: usize,
    /// How many edges were found so far, without those of this stage.
    pub edges: usize,
}

/// A caller's function that hears of the progress after each block of positions, in the thread of the call. It returns 0
/// to go on; anything else stops the work, with `CONTRIB_ERROR_STOPPED`. No longjmp(), C++ exception or end of a thread
/// may leave it.
pub type contrib_progress_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, progress: *const contrib_progress) -> i32>;

/// Choices of what routes are. NULL in its place means the defaults.
///
/// Begin with `contrib_routes_options options = CONTRIB_ROUTES_OPTIONS_INIT;`, which sets the defaults: edges above 0.04 in the
/// 1-norm, each head's own. Later versions may append fields, for which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_routes_options {
    /// `sizeof(contrib_routes_options)`.
    pub struct_size: usize,
    /// What the weight of an edge has to be greater than: 0 or more, and finite.
    pub threshold: f64,
    /// With `CONTRIB_ROUTES_RENORMALISE`: contributions that are greater than this number are divided by what is left of their
    /// whole, head by head, and the others become 0. A whole of which nothing is left has no edges: routes end there. Without
    /// the flag 0.
    pub renormalise: f64,
    /// `CONTRIB_ROUTES_` flags, or 0.
    pub flags: u64,
    /// The norm of the contributions: 1, 2, `INFINITY`, or any real number >= 1.
    pub norm: f64,
    /// The threads to use, or NULL: as in `contrib_options`.
    pub context: *const contrib_context,
    /// The most positions of a layer that are computed between two calls of `progress`; 0: as many as need little memory. No
    /// result depends on it.
    pub block: usize,
    /// What hears of the progress, or NULL.
    pub progress: contrib_progress_callback,
    /// Given to `progress`; may be NULL.
    pub user_data: *mut c_void,
}

// SAFETY: numbers, pointers and a function after the size.
unsafe impl SizedStruct for contrib_routes_options {
    const FIRST_SIZE: usize = offset_of!(contrib_routes_options, user_data) + size_of::<usize>();
}

/// The options of a call, and what hears of its progress.
pub(super) struct Read<'a> {
    pub(super) options: Options<'a>,
    progress: contrib_progress_callback,
    user_data: *mut c_void,
}

/// The options of a call.
///
/// # Safety
/// - `options` is null, or points to `struct_size` bytes whose context is null or alive for `'a`.
/// - Its function does what [`contrib_progress_callback`] says, for `'a`.
pub(super) unsafe fn read<'a>(options: *const contrib_routes_options) -> Result<Read<'a>, Failure> {
    if options.is_null() {
        return Ok(Read { options: Options::default(), progress: None, user_data: std::ptr::null_mut() });
    }
    // SAFETY: this function's contract.
    let given = unsafe { sized_struct::read_given(Argument::named("options"), options)? };
    let has = |flag| given.flags & flag != 0;
    if has(!KNOWN_FLAGS) {
        let argument = Argument::named("options.flags");
        return Err(Failure::Flags { argument, known: KNOWN_FLAGS, got: given.flags });
    }
    if !has(CONTRIB_ROUTES_RENORMALISE) && given.renormalise != 0.0 {
        let expected = "0 without CONTRIB_ROUTES_RENORMALISE";
        let cause = Cause::InvalidNumber { expected, got: given.renormalise };
        return Err(Failure::of(Argument::named("renormalise"), cause));
    }
    let options = Options {
        threshold: given.threshold,
        renormalise: has(CONTRIB_ROUTES_RENORMALISE).then_some(given.renormalise),
        heads: if has(CONTRIB_ROUTES_SUM_HEADS) { HeadEdges::Summed } else { HeadEdges::Each },
        masked_keys: if has(CONTRIB_ROUTES_COUNT_MASKED) { MaskedKeys::Counted } else { MaskedKeys::LeftOut },
        extent: if has(CONTRIB_ROUTES_ALL_POSITIONS) { Extent::All } else { Extent::Reached },
        norm: Norm::new(given.norm)?,
        // SAFETY: the context is null or alive.
        context: unsafe { given.context.as_ref() }.map(contrib_context::get),
        block: Some(given.block).filter(|&block| block != 0),
    };
    Ok(Read { options, progress: given.progress, user_data: given.user_data })
}

impl Read<'_> {
    /// Tells the caller's function how far the work is.
    pub(super) fn tell(&self, progress: Progress) -> ControlFlow<()> {
        let Some(function) = self.progress else { return ControlFlow::Continue(()) };
        let Progress { layer, n_layers, stage, done, positions, edges } = progress;
        let stage = match stage {
            Stage::ResidPost => CONTRIB_NODE_RESID_POST,
            Stage::ResidMid => CONTRIB_NODE_RESID_MID,
        };
        let progress = contrib_progress { layer, n_layers, stage: stage.into(), done, positions, edges };
        // SAFETY: the function does what its type says, and the progress is there until it returns.
        match unsafe { function(self.user_data, &raw const progress) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}
