//! Routes in a recording that grows.

use super::find::{contrib_routes, find_by};
use super::options::contrib_routes_options;
use super::recording::contrib_recording;
use crate::failure::Failure;
use crate::handle::{free, put};
use crate::status::{contrib_status, guard};
use ::contrib_routes::Finder;
use contrib_core::Argument;

/// Finds routes again and again in a recording that grows token by token, and keeps what it found: a call computes only positions
/// that no call before it computed, so that routes to one new token cost little more than its own edges. Opaque. One call at a
/// time may use it.
///
/// What is found at a position depends on the tokens up to it alone, and stays right for as long as these do:
///
/// All recordings that a finder is given are of one model, and of a prompt that begins as before. Where tokens were taken back,
/// `contrib_routes_finder_truncate` says so; a recording with fewer positions than the one before says it by itself.
///
/// No token attends to those after it. Without `CONTRIB_CAUSAL`, and with `CONTRIB_ROUTES_COUNT_MASKED`, for which that does not
/// hold, nothing is kept; where a pattern is given, it is up to the caller.
///
/// Other choices of what edges are (threshold, `renormalise`, the norm, flags) are noticed, and what was kept is forgotten. Targets,
/// `CONTRIB_ROUTES_ALL_POSITIONS`, context, block and progress may differ from call to call.
///
/// Routes are those of `contrib_routes_find`, and weights equal to about 1e-12: in which order a row is added up depends on how
/// many keys there are, and a row that is kept was computed when there were fewer. Where the recording did not grow in between
/// they have the same bits. An edge whose weight is that near to the threshold may be there in one of both only.
///
/// What is kept is some 40 bytes for each edge that was found, and 32 for each whole that was reached.
pub struct contrib_routes_finder(Finder);

/// Makes a finder that has found nothing, and puts it into `*out`.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_finder_new(out: *mut *mut contrib_routes_finder) -> contrib_status {
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, || Ok(contrib_routes_finder(Finder::new()))) })
}

/// `contrib_routes_find`, which computes only what the finder does not have. A source is asked for layers in which there is
/// something to compute; `contrib_layer_receiver_positions` says where. The progress is that of positions that are computed.
///
/// Errors: as there. The finder has forgotten all then.
///
/// # Safety
/// `finder` is null, or alive and used by no other call; the others are as for `contrib_routes_find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_finder_find(
    finder: *mut contrib_routes_finder,
    recording: *const contrib_recording,
    targets: *const usize,
    n_targets: usize,
    options: *const contrib_routes_options,
    out: *mut *mut contrib_routes,
) -> contrib_status {
    guard(|| {
        // SAFETY: it is null, or alive and used by this call alone.
        let finder = unsafe { finder.as_mut() }.ok_or(Failure::Null(Argument::named("finder")))?;
        // SAFETY: this function's contract.
        unsafe {
            find_by(recording, targets, n_targets, options, out, |recording, targets, options, progress| {
                finder.0.routes(recording, targets, options, progress)
            })
        }
    })
}

/// Forgets what was found at this position and those after it, whose tokens were taken back. NULL is allowed.
///
/// # Safety
/// `finder` is null, or alive and used by no other call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_finder_truncate(finder: *mut contrib_routes_finder, n_pos: usize) {
    guard(|| {
        // SAFETY: it is null, or alive and used by this call alone.
        if let Some(finder) = unsafe { finder.as_mut() } {
            finder.0.truncate(n_pos);
        }
        Ok(())
    });
}

/// Frees a finder. NULL is allowed. No call may be using it.
///
/// # Safety
/// `finder` is null, or comes from `contrib_routes_finder_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_finder_free(finder: *mut contrib_routes_finder) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(finder) };
        Ok(())
    });
}
