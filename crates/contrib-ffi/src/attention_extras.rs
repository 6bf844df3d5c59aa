//! What else a caller may say about factored attention.

use crate::sized_struct::{self, SizedStruct};
use crate::status::Failure;
use crate::tensor::{contrib_tensor, input, output};
use contrib_core::{Argument, Cause, OneOff, Tensor};
use std::mem::offset_of;

/// Flag of `contrib_attention_extras`: parts whose pattern is 0 (masked keys) contribute 0, and are not counted in the
/// sum by which the others are divided. Without it they count as the zero vectors that they are.
pub const CONTRIB_ATTENTION_LEAVE_OUT_MASKED: u64 = 1;

const KNOWN_FLAGS: u64 = CONTRIB_ATTENTION_LEAVE_OUT_MASKED;

/// One more part of the stream after attention, such as the output bias, and the place for its contributions. Unlike
/// the other structs this one never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_one_off {
    /// The part `[batch, pos, d_model]`. Any extent may be 1: the same for all along that axis.
    pub part: *const contrib_tensor,
    /// Its contributions `[batch, pos]`; written.
    pub out: *const contrib_tensor,
}

/// What else `contrib_attention_factored` can take. NULL in its place means nothing else.
///
/// Begin with `contrib_attention_extras extras = CONTRIB_ATTENTION_EXTRAS_INIT;`. Later versions may append fields, for
/// which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_attention_extras {
    /// `sizeof(contrib_attention_extras)`.
    pub struct_size: usize,
    /// `[batch, pos, d_model]`, or NULL: by what each channel of what a query's heads add is multiplied, as where a
    /// model normalises the output of attention before it adds it. Any extent may be 1. Calculation with a scale is
    /// many times slower.
    pub scale: *const contrib_tensor,
    /// An array of further parts; may be NULL where `n_one_offs` is 0.
    pub one_offs: *const contrib_one_off,
    /// How many there are.
    pub n_one_offs: usize,
    /// `CONTRIB_ATTENTION_` flags, or 0.
    pub flags: u64,
}

// SAFETY: pointers and numbers after the size.
unsafe impl SizedStruct for contrib_attention_extras {
    const FIRST_SIZE: usize = offset_of!(contrib_attention_extras, flags) + size_of::<u64>();
}

/// The extras of a call.
#[derive(Default)]
pub(crate) struct Extras<'a> {
    pub(crate) scale: Option<Tensor<'a>>,
    pub(crate) one_offs: Vec<OneOff<'a>>,
    pub(crate) leave_out_masked: bool,
}

/// # Safety
/// `extras` is null or points to `struct_size` bytes, whose `one_offs` is null or points to as many structs as it says;
/// for their tensors, as for [`input`] and [`output`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read<'a>(extras: *const contrib_attention_extras) -> Result<Extras<'a>, Failure> {
    const EXTRAS: Argument = Argument::named("extras");
    if extras.is_null() {
        return Ok(Extras::default());
    }
    // SAFETY: the caller's promise.
    let (extras, _) = unsafe { sized_struct::read(EXTRAS, extras, contrib_attention_extras::FIRST_SIZE)? };
    if extras.flags & !KNOWN_FLAGS != 0 {
        return Err(Failure::Flags { argument: Argument::named("flags"), known: KNOWN_FLAGS, got: extras.flags });
    }
    let scale = if extras.scale.is_null() {
        None
    } else {
        // SAFETY: the caller's promise.
        Some(unsafe { input(Argument::named("scale"), extras.scale)? })
    };
    // SAFETY: the caller's promise.
    let one_offs = unsafe { read_one_offs(extras.one_offs, extras.n_one_offs)? };
    Ok(Extras { scale, one_offs, leave_out_masked: extras.flags & CONTRIB_ATTENTION_LEAVE_OUT_MASKED != 0 })
}

/// # Safety
/// `one_offs` is null or points to `n_one_offs` structs; for their tensors, as for [`input`] and [`output`].
unsafe fn read_one_offs<'a>(one_offs: *const contrib_one_off, n_one_offs: usize) -> Result<Vec<OneOff<'a>>, Failure> {
    const ONE_OFFS: Argument = Argument::named("one_offs");
    let mut read = Vec::new();
    if n_one_offs == 0 {
        return Ok(read);
    }
    if one_offs.is_null() {
        return Err(Failure::Null(ONE_OFFS));
    }
    let bytes = n_one_offs.saturating_mul(size_of::<OneOff<'_>>());
    read.try_reserve_exact(n_one_offs).map_err(|_| Failure::of(ONE_OFFS, Cause::OutOfMemory { bytes }))?;
    for index in 0..n_one_offs {
        let argument = |name| Argument::of_list("one_offs", index, name);
        // SAFETY: the caller's promise; the array need not be aligned.
        read.push(unsafe {
            let one_off = one_offs.add(index).read_unaligned();
            OneOff { part: input(argument("part"), one_off.part)?, out: output(argument("out"), one_off.out)? }
        });
    }
    Ok(read)
}
