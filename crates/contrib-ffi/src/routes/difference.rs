//! What differs between two results.

use super::find::contrib_routes;
use super::kinds::CONTRIB_NO_HEAD;
use crate::failure::Failure;
use crate::handle::{free, given, put, tell};
use crate::status::{contrib_status, guard};
use ::contrib_routes::{Change, Strength, difference};
use contrib_core::{Argument, Cause};
use std::ptr;

/// The edges that two results do not have alike. Opaque; `contrib_difference_changes` shows them.
pub struct contrib_difference(Vec<contrib_change>);

/// An edge that two results do not have alike. Unlike other structs this one never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_change {
    /// The layer of the node at which the edge begins.
    pub from_layer: u32,
    /// The position of that node.
    pub from_position: u32,
    /// The layer of the node at which it ends.
    pub to_layer: u32,
    /// The position of that node.
    pub to_position: u32,
    /// The head, or `CONTRIB_NO_HEAD`.
    pub head: u32,
    /// What the node is at which it begins: one of `CONTRIB_NODE_`.
    pub from_kind: u8,
    /// What the node is at which it ends.
    pub to_kind: u8,
    /// What the edge is: one of `CONTRIB_EDGE_`.
    pub kind: u8,
    /// 0.
    pub reserved: u8,
    /// Its weight in the first result; NaN where that does not have it: the edge appeared.
    pub before_weight: f64,
    /// Its flow in the first result, or NaN.
    pub before_flow: f64,
    /// Its weight in the second result; NaN where that does not have it: the edge went.
    pub after_weight: f64,
    /// Its flow in the second result, or NaN.
    pub after_flow: f64,
}

impl contrib_change {
    fn new(change: &Change) -> Self {
        const NONE: Strength = Strength { weight: f64::NAN, flow: f64::NAN };
        let (before, after) = (change.before.unwrap_or(NONE), change.after.unwrap_or(NONE));
        contrib_change {
            from_layer: change.from.layer as u32,
            from_position: change.from.position as u32,
            to_layer: change.to.layer as u32,
            to_position: change.to.position as u32,
            head: change.head.map_or(CONTRIB_NO_HEAD, |head| head as u32),
            from_kind: change.from.kind as u8,
            to_kind: change.to.kind as u8,
            kind: change.kind as u8,
            reserved: 0,
            before_weight: before.weight,
            before_flow: before.flow,
            after_weight: after.weight,
            after_flow: after.flow,
        }
    }
}

/// Finds the edges that only one of two results has, and those whose weight or flow differs by more than `tolerance`, 0 or more,
/// and puts them into `*out`. The results may be of different prompts of one length, of different targets, and of different
/// thresholds.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`; `_NUMBER` for a tolerance that cannot be; `_UNLIKE` where the models have different
/// numbers of layers or heads, the prompts different lengths, or heads are summed in one only; `_OUT_OF_MEMORY`. `*out` is
/// untouched then.
///
/// # Safety
/// `before` and `after` are null or alive. `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_difference_new(
    before: *const contrib_routes,
    after: *const contrib_routes,
    tolerance: f64,
    out: *mut *mut contrib_difference,
) -> contrib_status {
    let make = || {
        // SAFETY: this function's contract.
        let (before, after) = unsafe { (given("before", before)?, given("after", after)?) };
        if !(tolerance >= 0.0 && tolerance.is_finite()) {
            let cause = Cause::InvalidNumber { expected: "a finite number, 0 or more", got: tolerance };
            return Err(Failure::of(Argument::named("tolerance"), cause));
        }
        let found = difference(before.get(), after.get(), tolerance)?;
        let mut changes = Vec::new();
        let bytes = found.len().saturating_mul(size_of::<contrib_change>());
        let out_of_memory = |_| Failure::of(Argument::named("out"), Cause::OutOfMemory { bytes });
        changes.try_reserve_exact(found.len()).map_err(out_of_memory)?;
        changes.extend(found.iter().map(contrib_change::new));
        Ok(contrib_difference(changes))
    };
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, make) })
}

/// The changes, in the order of edges, and how many they are. They are valid until the difference is freed. NULL and 0 for NULL;
/// `n_changes` may be NULL.
///
/// # Safety
/// `difference` is null or alive; `n_changes` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_difference_changes(
    difference: *const contrib_difference,
    n_changes: *mut usize,
) -> *const contrib_change {
    // SAFETY: this function's contract.
    let changes = unsafe { difference.as_ref() }.map(|difference| &difference.0[..]);
    // SAFETY: this function's contract.
    unsafe { tell(n_changes, changes.map_or(0, <[contrib_change]>::len)) };
    changes.map_or(ptr::null(), <[contrib_change]>::as_ptr)
}

/// Frees a difference. NULL is allowed. No call may be using it.
///
/// # Safety
/// `difference` is null, or comes from `contrib_difference_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_difference_free(difference: *mut contrib_difference) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(difference) };
        Ok(())
    });
}
