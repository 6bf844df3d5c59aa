//! Routes, and how they are found.

use super::options::{self, contrib_routes_options};
use super::recording::{From, contrib_recording};
use super::source::Calls;
use crate::failure::Failure;
use crate::handle::{free, given, put};
use crate::status::{contrib_status, guard};
use ::contrib_routes::{Error, Options, Progress, Recording, Routes, Targets, routes_with_progress};
use contrib_core::{Argument, Cause};
use std::ops::ControlFlow;

/// `n_targets`, where `targets` is NULL: all positions are targets. The header says it in C.
///
/// cbindgen:ignore
pub const CONTRIB_ALL_TARGETS: usize = usize::MAX;

/// The routes to some targets, or all edges of a prompt above a threshold. Opaque; `contrib_routes_arrays` shows what is in it.
/// It does not change, so that any number of threads may read one at the same time.
pub struct contrib_routes(Routes);

impl contrib_routes {
    pub(super) const fn get(&self) -> &Routes {
        &self.0
    }
}

/// The targets of a call. Those in an array are copied, since it need not be aligned.
///
/// # Safety
/// - `targets` is null or has `n_targets` numbers.
unsafe fn read_targets(targets: *const usize, n_targets: usize) -> Result<Option<Vec<usize>>, Failure> {
    const TARGETS: Argument = Argument::named("targets");
    let mut read = Vec::new();
    match (targets.is_null(), n_targets) {
        (true, CONTRIB_ALL_TARGETS) => return Ok(None),
        (_, 0) => return Ok(Some(read)),
        (true, _) => return Err(Failure::Null(TARGETS)),
        (false, _) => {}
    }
    let bytes = n_targets.saturating_mul(size_of::<usize>());
    read.try_reserve_exact(n_targets).map_err(|_| Failure::of(TARGETS, Cause::OutOfMemory { bytes }))?;
    // SAFETY: it is not null, so that there are as many numbers, which need not be aligned.
    read.extend((0..n_targets).map(|index| unsafe { targets.add(index).read_unaligned() }));
    Ok(Some(read))
}

/// The targets that were read.
fn as_targets(read: Option<&[usize]>) -> Targets<'_> {
    read.map_or(Targets::All, Targets::At)
}

/// Finds the routes to the last layer's stream at the targets, and puts them into `*out`: all edges that are reached from there,
/// backwards, over edges whose weight is greater than the threshold.
///
/// `targets` are `n_targets` positions, in any order; one that comes twice counts once. NULL with `CONTRIB_ALL_TARGETS`: all
/// positions. The prediction after a prompt is that of its last position.
///
/// Only what is reached is computed, a layer at a time from the last one. Memory beside the recording and the result is some
/// megabytes for each thread. The calling thread needs a stack of 128 KiB, and further threads 64 KiB as in every call. Weights
/// depend on neither blocks, threads nor targets.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_FLAGS`, `_NORM`, `_THRESHOLD`, `_NUMBER`, `_TARGET`,
/// `_TOO_LARGE`, `_OUT_OF_MEMORY`; `_NOT_FINITE` or `_NOT_A_NUMBER` where contributions are NaN; `_STOPPED` by the progress
/// callback. With layers that are handed in: `_CALLBACK`, `_MISSING`, `_CONFLICT`, `_SHAPE`, `_HEADS`, and those of tensors. `*out`
/// is untouched then: there is never a part of a result.
///
/// # Safety
/// `recording` is null or alive. `targets` is null or has `n_targets` numbers. `options` is null or points to as many bytes as its
/// `struct_size` says, and its context is null or alive. `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_find(
    recording: *const contrib_recording,
    targets: *const usize,
    n_targets: usize,
    options: *const contrib_routes_options,
    out: *mut *mut contrib_routes,
) -> contrib_status {
    // SAFETY: this function's contract.
    guard(|| unsafe { find_by(recording, targets, n_targets, options, out, routes_with_progress) })
}

/// Puts into `*out` what `run` finds.
///
/// # Safety
/// - The arguments are as for [`contrib_routes_find`].
pub(super) unsafe fn find_by(
    recording: *const contrib_recording,
    targets: *const usize,
    n_targets: usize,
    options: *const contrib_routes_options,
    out: *mut *mut contrib_routes,
    run: impl FnOnce(
        &mut dyn Recording,
        Targets<'_>,
        &Options<'_>,
        &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Routes, Error>,
) -> Result<(), Failure> {
    let find = || {
        // SAFETY: this function's contract.
        let (recording, read) = unsafe { (given("recording", recording)?, options::read(options)?) };
        // SAFETY: this function's contract.
        let targets = unsafe { read_targets(targets, n_targets)? };
        let targets = as_targets(targets.as_deref());
        let mut tell = |progress| read.tell(progress);
        let found = match &recording.from {
            From::File(file) => run(&mut &*file, targets, &read.options, &mut tell)?,
            From::Callback(callback) => {
                let mut calls = Calls::new(callback);
                let found = run(&mut calls, targets, &read.options, &mut tell);
                found.map_err(|error| calls.failure(error))?
            }
        };
        Ok(contrib_routes(found))
    };
    // SAFETY: `out` is null or may be written.
    unsafe { put(out, find) }
}

/// Takes the routes to some of the targets out of routes that have them, or to any position where all were computed, over
/// edges above a threshold, and puts them into `*out`. It is what `contrib_routes_find` finds for these targets and this
/// threshold, in less time. A threshold that is less than that of the routes has no more edges than these.
///
/// `targets` are as in `contrib_routes_find`; `CONTRIB_ALL_TARGETS` are all that the routes have.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_TARGET`, `_THRESHOLD` (NaN), `_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `routes` is null or alive. `targets` is null or has `n_targets` numbers. `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_to(
    routes: *const contrib_routes,
    targets: *const usize,
    n_targets: usize,
    threshold: f64,
    out: *mut *mut contrib_routes,
) -> contrib_status {
    let take = || {
        // SAFETY: this function's contract.
        let (routes, targets) = unsafe { (given("routes", routes)?, read_targets(targets, n_targets)?) };
        Ok(contrib_routes(routes.0.routes_to(as_targets(targets.as_deref()), threshold)?))
    };
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, take) })
}

/// Frees routes. NULL is allowed. No call may be using them.
///
/// # Safety
/// `routes` is null, or comes from a function that makes routes and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_routes_free(routes: *mut contrib_routes) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(routes) };
        Ok(())
    });
}
