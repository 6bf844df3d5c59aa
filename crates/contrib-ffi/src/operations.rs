//! The operations, one function each: inputs, then outputs, then options.

use crate::options::{self, contrib_options, sized_struct};
use crate::status::{Failure, contrib_status, guard};
use crate::tensor::{contrib_tensor, input, output};
use contrib_core::{Argument, Cause, DenseGroup};
use std::mem::offset_of;

/// A group of parts of a whole, and the place for their contributions.
///
/// Later versions may append fields, for which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_group {
    /// `sizeof(contrib_group)`; the same for all groups of an array.
    pub struct_size: usize,
    /// The parts `[p.., v.., d]`: any part axes, or none for one part, then the whole's own axes.
    pub parts: *const contrib_tensor,
    /// Their contributions `[p.., v..]`; written.
    pub out: *const contrib_tensor,
}

/// The size of the first version's `contrib_group`, which every later one accepts.
const FIRST_GROUP_SIZE: usize = offset_of!(contrib_group, out) + size_of::<*const contrib_tensor>();

/// Reads the inputs of a call into views of the same names.
macro_rules! inputs {
    ($($name:ident),*) => {
        // SAFETY: the promise of the exported function's caller.
        $(let $name = unsafe { input(Argument::named(stringify!($name)), $name)? };)*
    };
}

/// Reads the outputs of a call into views of the same names.
macro_rules! outputs {
    ($($name:ident),*) => {
        // SAFETY: the promise of the exported function's caller.
        $(let mut $name = unsafe { output(Argument::named(stringify!($name)), $name)? };)*
    };
}

/// Reads the options of a call.
macro_rules! options {
    ($name:ident) => {
        // SAFETY: the promise of the exported function's caller.
        let $name = unsafe { options::read($name)? };
    };
}

/// What all parts of all groups contribute to their whole, normalised together: for each batch entry the contributions
/// of all its parts sum to 1. The other operations are this one with named groups.
///
/// `whole` is `[v.., d]`; each of the `n_groups` groups has parts `[p.., v.., d]` and results `[p.., v..]`, with part
/// axes of its own. Every tensor has its own dtype: float32, float64, float16 or bfloat16. For the norm n of the
/// options:
///
/// ```text
/// distance(p, v)     = || parts[p, v, :] - whole[v, :] + 1e-6 ||_n
/// proximity(p, v)    = max(|| whole[v, :] ||_n - distance(p, v), 1e-5)
/// contribution(p, v) = proximity(p, v) / sum over all parts of all groups of proximity(., v)
/// ```
///
/// From "Information Flow Routes" (arXiv 2403.00824). NaN in a part or whole makes that batch entry NaN and no other;
/// an infinite part of a finite whole has the least proximity; an infinite whole gives NaN. Results have the same bits
/// for any number of threads, and for an entry alone or in a batch.
///
/// Outputs must not overlap an input, one another, or themselves. Any function may be called from many threads at once.
///
/// Errors, here and in every operation below, after which the outputs are untouched: `CONTRIB_ERROR_NULL_POINTER`,
/// `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_DEVICE`, `_DTYPE`, `_NDIM`, `_NEGATIVE_EXTENT`, `_SIZE_OVERFLOW`, `_MISALIGNED`,
/// `_RANK`, `_SHAPE`, `_OVERLAP`, `_SELF_OVERLAP`, `_NORM`, `_OUT_OF_MEMORY`.
///
/// # Safety
/// Pointers are null or point to what the types say; every element that a tensor's shape and strides reach may be
/// read, and for outputs written by this call alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_group_contributions(
    whole: *const contrib_tensor,
    groups: *const contrib_group,
    n_groups: usize,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(whole);
        // SAFETY: the caller's promise.
        let mut groups = unsafe { read_groups(groups, n_groups)? };
        options!(options);
        Ok(contrib_core::group_contributions(&whole, &mut groups, &options)?)
    })
}

/// # Safety
/// As [`contrib_group_contributions`].
unsafe fn read_groups<'a>(groups: *const contrib_group, n_groups: usize) -> Result<Vec<DenseGroup<'a>>, Failure> {
    const GROUPS: Argument = Argument::named("groups");
    if n_groups == 0 {
        return Ok(Vec::new());
    }
    if groups.is_null() {
        return Err(Failure::Null(GROUPS));
    }
    let mut read = Vec::new();
    let bytes = n_groups.saturating_mul(size_of::<DenseGroup<'_>>());
    read.try_reserve_exact(n_groups).map_err(|_| Failure::of(GROUPS, Cause::OutOfMemory { bytes }))?;
    let mut expected = FIRST_GROUP_SIZE;
    for index in 0..n_groups {
        let argument = |name| Argument::of_group(index, name);
        // SAFETY: the caller's promise: an array of structs of the size that each of them says.
        unsafe {
            let group = groups.byte_add(index * expected * usize::from(index > 0));
            let size = sized_struct(argument("struct_size"), group.cast(), expected, size_of::<contrib_group>())?;
            if index > 0 && size != expected {
                return Err(Failure::StructSize { argument: argument("struct_size"), expected, got: size });
            }
            expected = size;
            let group = group.read_unaligned();
            read.push(DenseGroup {
                parts: input(argument("parts"), group.parts)?,
                out: output(argument("out"), group.out)?,
            });
        }
    }
    Ok(read)
}

/// What each part contributes to its whole.
///
/// `whole` is `[v.., d]`, `parts` `[p.., v.., d]`, `out` `[p.., v..]`. Without part axes each contribution is 1.
/// Errors: see `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_contributions(
    whole: *const contrib_tensor,
    parts: *const contrib_tensor,
    out: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(whole, parts);
        outputs!(out);
        options!(options);
        Ok(contrib_core::contributions(&whole, &parts, &mut out, &options)?)
    })
}

/// What each part, and one part of another shape, contribute to their whole.
///
/// `whole` and `one_off` are `[v.., d]`, `parts` `[p.., v.., d]`, `out_parts` `[p.., v..]`, `out_one_off` `[v..]`.
/// Errors: see `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_contributions_with_one_off(
    whole: *const contrib_tensor,
    parts: *const contrib_tensor,
    one_off: *const contrib_tensor,
    out_parts: *const contrib_tensor,
    out_one_off: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(whole, parts, one_off);
        outputs!(out_parts, out_one_off);
        options!(options);
        Ok(contrib_core::contributions_with_one_off(
            &whole,
            &parts,
            &one_off,
            &mut out_parts,
            &mut out_one_off,
            &options,
        )?)
    })
}

/// What each attended token through each head, and the residual stream before attention, contribute to the residual
/// stream after attention.
///
/// `resid_pre` and `resid_mid` are `[batch, pos, d_model]`, `decomposed_attn` `[batch, pos, key_pos, head, d_model]`,
/// `out_attn` `[batch, pos, key_pos, head]`, `out_resid` `[batch, pos]`. For each position of each batch entry,
/// `out_attn` and `out_resid` together sum to 1. Errors: see `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_attention(
    resid_pre: *const contrib_tensor,
    resid_mid: *const contrib_tensor,
    decomposed_attn: *const contrib_tensor,
    out_attn: *const contrib_tensor,
    out_resid: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(resid_pre, resid_mid, decomposed_attn);
        outputs!(out_attn, out_resid);
        options!(options);
        Ok(contrib_core::attention(&resid_pre, &resid_mid, &decomposed_attn, &mut out_attn, &mut out_resid, &options)?)
    })
}

/// What the MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// `resid_mid`, `resid_post` and `mlp_out` are `[batch, pos, d_model]`, `out_mlp` and `out_resid` `[batch, pos]`. For
/// each position of each batch entry, both together sum to 1. Errors: see `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_mlp(
    resid_mid: *const contrib_tensor,
    resid_post: *const contrib_tensor,
    mlp_out: *const contrib_tensor,
    out_mlp: *const contrib_tensor,
    out_resid: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(resid_mid, resid_post, mlp_out);
        outputs!(out_mlp, out_resid);
        options!(options);
        Ok(contrib_core::mlp(&resid_mid, &resid_post, &mlp_out, &mut out_mlp, &mut out_resid, &options)?)
    })
}

/// What each neuron of an MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// `resid_mid` and `resid_post` are `[v.., d_model]`, with any batch axes or none, `decomposed_mlp_out`
/// `[v.., hidden, d_model]`, `out_neurons` `[v.., hidden]`, `out_resid` `[v..]`. For each batch entry, both together
/// sum to 1. Errors: see `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_decomposed_mlp(
    resid_mid: *const contrib_tensor,
    resid_post: *const contrib_tensor,
    decomposed_mlp_out: *const contrib_tensor,
    out_neurons: *const contrib_tensor,
    out_resid: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(resid_mid, resid_post, decomposed_mlp_out);
        outputs!(out_neurons, out_resid);
        options!(options);
        Ok(contrib_core::decomposed_mlp(
            &resid_mid,
            &resid_post,
            &decomposed_mlp_out,
            &mut out_neurons,
            &mut out_resid,
            &options,
        )?)
    })
}

/// Keeps the contributions that are greater than `threshold`, makes the others 0, and divides what is left of each
/// representation by its sum, so that it sums to 1 again.
///
/// `c_blocks` and `out_blocks` are `[r.., b..]`: the blocks of each representation, or no further axis for one block;
/// `c_residual` and `out_residual` are `[r..]`. Contributions are compared with the threshold as doubles. NaN makes its
/// representation NaN, as does having nothing left (0/0). The options' norm is checked and not used.
///
/// In place: `out_blocks` may be the very tensor `c_blocks` (the same memory, dtype, shape and strides), and
/// `out_residual` the very tensor `c_residual`; no other overlap is allowed. Errors: see
/// `contrib_group_contributions`, and `CONTRIB_ERROR_THRESHOLD` for NaN.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_threshold_and_renormalise(
    c_blocks: *const contrib_tensor,
    c_residual: *const contrib_tensor,
    threshold: f64,
    out_blocks: *const contrib_tensor,
    out_residual: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(c_blocks, c_residual);
        outputs!(out_blocks, out_residual);
        options!(options);
        Ok(contrib_core::threshold_and_renormalise(
            &c_blocks,
            &c_residual,
            threshold,
            &mut out_blocks,
            &mut out_residual,
            &options,
        )?)
    })
}
