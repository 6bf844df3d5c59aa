//! A caller's options.

use crate::context::contrib_context;
use crate::failure::Failure;
use crate::sized_struct::{self, SizedStruct};
use contrib_core::{Argument, Cause, Norm, Options};
use std::mem::offset_of;

/// Choices for a call. NULL in its place means the defaults: the 1-norm, the context that NULL means, and no threshold.
///
/// Begin with `contrib_options options = CONTRIB_OPTIONS_INIT;`. Later versions may append fields, for which zero
/// means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_options {
    /// `sizeof(contrib_options)`.
    pub struct_size: usize,
    /// The norm by which distances are measured: 1, 2, `INFINITY`, or any real number >= 1.
    pub norm: f64,
    /// The threads to use, or NULL: a pool with a thread for each core, shared by all such calls and started by the
    /// first that is large enough.
    pub context: *const contrib_context,
    /// Contributions that are not greater than this become 0, and the others are divided by what is left of their
    /// whole, so that they sum to 1 again: `contrib_threshold_and_renormalise` in the same call, over all results
    /// together. Where nothing is left, 0/0: NaN. 0: all contributions stay as they are. NaN is an error.
    pub threshold: f64,
}

// SAFETY: numbers and a pointer after the size.
unsafe impl SizedStruct for contrib_options {
    const FIRST_SIZE: usize = offset_of!(contrib_options, threshold);
}

/// The options of a call.
///
/// # Safety
/// `options` is null, or points to `struct_size` bytes whose context is null or alive for `'a`.
pub(crate) unsafe fn read<'a>(options: *const contrib_options) -> Result<Options<'a>, Failure> {
    const OPTIONS: Argument = Argument::named("options");
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: they are not null, so that they point to as many bytes as they say.
    let (options, _) = unsafe { sized_struct::read(OPTIONS, options, contrib_options::FIRST_SIZE)? };
    let read = Options::default().norm(Norm::new(options.norm)?).threshold(options.threshold);
    if options.threshold.is_nan() {
        return Err(Failure::of(Argument::named("threshold"), Cause::InvalidThreshold));
    }
    // SAFETY: the context is null or alive.
    Ok(unsafe { options.context.as_ref() }.map_or(read, |context| read.context(context.get())))
}
