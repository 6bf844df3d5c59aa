//! Where the flow of routes comes from, summed up.

use super::find::contrib_routes;
use crate::failure::Failure;
use crate::handle::{free, given, put};
use crate::sized_struct::{self, SizedStruct};
use crate::status::{contrib_status, guard};
use ::contrib_routes::Totals;
use contrib_core::{Argument, Cause};
use std::mem::offset_of;
use std::ptr;

/// Sums of flows by head, MLP, bias, token and layer. Opaque. Those of several routes add up, so that they say which heads
/// matter over many prompts.
pub struct contrib_totals(Totals);

/// What is in totals: flat arrays, which are valid until something is added to the totals, or they are freed.
///
/// What attention, the MLP and biases of all layers bring, and what passes their layer along the residual edge, is not a
/// division of the targets' flow: what a head brings comes from the stream before it, and is counted there again. What arrives
/// at tokens and biases, and what is lost, is such a division: it sums to the number of targets.
///
/// Begin with `contrib_totals_arrays arrays = CONTRIB_TOTALS_ARRAYS_INIT;`. Later versions may append fields.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_totals_arrays {
    /// `sizeof(contrib_totals_arrays)`; read.
    pub struct_size: usize,
    /// The number of layers.
    pub n_layers: usize,
    /// The number of heads of a layer.
    pub n_heads: usize,
    /// The number of positions: the most of the prompts.
    pub n_pos: usize,
    /// How many targets the flow is that of.
    pub n_targets: usize,
    /// `[layer, head]`: what each head brings, the sum of the flows of its edges. NULL where heads are summed.
    pub heads: *const f64,
    /// `[layer]`: what attention brings. Where heads are summed, without what it brings from a token's own position.
    pub attention: *const f64,
    /// `[layer]`: what the MLP brings.
    pub mlps: *const f64,
    /// `[layer]`: what biases that are parts of their own bring.
    pub biases: *const f64,
    /// `[layer]`: what the residual edges bring, to `resid_mid` and to `resid_post` together.
    pub residual: *const f64,
    /// `[pos]`: what arrives at the embedding of each position.
    pub tokens: *const f64,
    /// What goes to no edge, as it is of parts that are not above the threshold.
    pub lost: f64,
}

// SAFETY: numbers and pointers after the size.
unsafe impl SizedStruct for contrib_totals_arrays {
    const FIRST_SIZE: usize = offset_of!(contrib_totals_arrays, lost) + size_of::<f64>();
}

/// Sums up the flow of routes, and puts the totals into `*out`.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `routes` is null or alive. `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_totals_new(
    routes: *const contrib_routes,
    out: *mut *mut contrib_totals,
) -> contrib_status {
    // SAFETY: this function's contract.
    let make = || Ok(contrib_totals(Totals::new(unsafe { given("routes", routes)? }.get())?));
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, make) })
}

/// Adds the totals of other routes of the same model to `totals`: of another prompt, too, whose positions are then added one by
/// one. No other call may be using `totals`.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_OVERLAP` where both are the same, `_UNLIKE` where the number of layers or of heads is
/// another or heads are summed in one only, `_OUT_OF_MEMORY`; `totals` are untouched then.
///
/// # Safety
/// Both are null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_totals_add(
    totals: *mut contrib_totals,
    other: *const contrib_totals,
) -> contrib_status {
    guard(|| {
        const TOTALS: Argument = Argument::named("totals");
        if ptr::eq(totals, other) && !totals.is_null() {
            return Err(Failure::of(Argument::named("other"), Cause::Overlap { with: TOTALS }));
        }
        // SAFETY: it is null, or alive and used by this call alone.
        let totals = unsafe { totals.as_mut() }.ok_or(Failure::Null(TOTALS))?;
        // SAFETY: this function's contract; both are not the same.
        Ok(totals.0.add(&unsafe { given("other", other)? }.0)?)
    })
}

/// Writes what is in totals into `*arrays`. Nothing is copied.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`; `*arrays` is untouched then.
///
/// # Safety
/// `totals` is null or alive. `arrays` is null or points to as many bytes as its `struct_size` says, which may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_totals_get_arrays(
    totals: *const contrib_totals,
    arrays: *mut contrib_totals_arrays,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let totals = &unsafe { given("totals", totals)? }.0;
        let values = contrib_totals_arrays {
            struct_size: 0,
            n_layers: totals.mlps().len(),
            n_heads: totals.n_heads(),
            n_pos: totals.tokens().len(),
            n_targets: totals.targets(),
            heads: totals.heads().map_or(ptr::null(), <[f64]>::as_ptr),
            attention: totals.attention().as_ptr(),
            mlps: totals.mlps().as_ptr(),
            biases: totals.biases().as_ptr(),
            residual: totals.residual().as_ptr(),
            tokens: totals.tokens().as_ptr(),
            lost: totals.lost(),
        };
        // SAFETY: this function's contract.
        unsafe { sized_struct::write(Argument::named("arrays"), arrays, values) }
    })
}

/// Frees totals. NULL is allowed. No call may be using them.
///
/// # Safety
/// `totals` is null, or comes from `contrib_totals_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_totals_free(totals: *mut contrib_totals) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(totals) };
        Ok(())
    });
}
