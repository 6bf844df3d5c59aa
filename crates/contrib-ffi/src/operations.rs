//! The operations, one function each: inputs, then outputs, then options.

use crate::attention_extras::{self, contrib_attention_extras};
use crate::groups::{self, contrib_group};
use crate::options::{self, contrib_options};
use crate::status::{contrib_status, guard, with_names};
use crate::tensor::{contrib_tensor, indices, input, output};
use contrib_core::{Argument, FactoredAttention, Heads, MlpNeurons};

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

/// What all parts of all groups contribute to their whole, normalised together: for each batch item the contributions
/// of all its parts sum to 1. The other operations are this one with named groups.
///
/// `whole` is `[v.., d]`; each of the `n_groups` groups has parts `[p.., v.., d]`, given as they are or as coefficients
/// and directions, and results `[p.., v..]` or fewer, with part axes of its own: see `contrib_group`. Every tensor has
/// its own dtype: float32, float64, float16 or bfloat16, but for indices. For the norm n of the options:
///
/// ```text
/// distance(p, v)     = || parts[p, v, :] - whole[v, :] + 1e-6 ||_n
/// proximity(p, v)    = max(|| whole[v, :] ||_n - distance(p, v), 1e-5)
/// contribution(p, v) = proximity(p, v) / sum over all parts of all groups of proximity(., v)
/// ```
///
/// With a threshold in the options, small contributions become 0, and the others are renormalised.
///
/// From "Information Flow Routes" (arXiv 2403.00824). NaN in a part or whole makes that batch item NaN and no other;
/// an infinite part of a finite whole has the least proximity; an infinite whole gives NaN. Results have the same bits
/// for any number of threads, and for an entry alone or in a batch.
///
/// Outputs must not overlap an input, one another, or themselves. Any function may be called from many threads at once.
///
/// Errors, here and in every operation below, after which the outputs are untouched (but for
/// `CONTRIB_ERROR_INTERNAL`, a bug, after which they may have been written): `CONTRIB_ERROR_NULL_POINTER`,
/// `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_DEVICE`, `_DTYPE`, `_NDIM`, `_NEGATIVE_EXTENT`, `_SIZE_OVERFLOW`, `_MISALIGNED`,
/// `_TOO_LARGE`, `_RANK`, `_SHAPE`, `_OVERLAP`, `_SELF_OVERLAP`, `_NORM`, `_THRESHOLD`, `_OUT_OF_MEMORY`. Here also
/// `CONTRIB_ERROR_TOP_K`, and `_FLAGS`; a group with `projection`, `scale` or
/// `CONTRIB_GROUP_LEAVE_OUT_ZEROS` and no `coefficients` is a `CONTRIB_ERROR_NULL_POINTER`.
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
        let mut groups = unsafe { groups::read(groups, n_groups)? };
        options!(options);
        contrib_core::group_contributions(&whole, &mut groups, &options)
            .map_err(|error| groups::with_names_of_fields(&error, n_groups).into())
    })
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
/// `out_attn` `[batch, pos, key_pos, head]`, `out_resid` `[batch, pos]`. For each position of each batch item,
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

/// As `contrib_attention`, from the pattern and the values of the heads: the vectors
/// `[batch, pos, key_pos, head, d_model]` never exist in memory.
///
/// | argument | shape |
/// |---|---|
/// | `resid_pre`, `resid_mid` | `[batch, pos, d_model]`: any queries, all or some or one that is new |
/// | `pattern` | `[batch, head, pos, key_pos]`: how much each head attends to which token |
/// | `values` | `[batch, key_pos, kv_head, d_head]`; where `w_o` is NULL, `[batch, key_pos, head, d_model]` |
/// | `w_o` | `[head, d_head, d_model]`, or NULL |
/// | `extras` | a scale, further parts, flags; or NULL |
/// | `out_attn` | `[batch, pos, key_pos, head]`, or `[batch, pos, key_pos]`: summed over heads |
/// | `out_resid` | `[batch, pos]` |
///
/// Head h uses the values of key-value head h / (head / kv_head): as many as there are heads, fewer (grouped queries),
/// or one (multi-query attention). head * d_head need not be d_model. Where `w_o` is NULL, `values` are what each head
/// would write for each token, the products of both, which a caller may keep between decoding steps.
///
/// A part whose pattern is 0 is the zero vector, whatever its value; it counts unless it is left out. For each position
/// of each batch item, `out_attn`, `out_resid` and the results of the extras together sum to 1. Every tensor has its
/// own dtype.
///
/// Beside the outputs some 15 MB of memory are needed for each thread, and what three copies of a head's `w_o` take. Outputs must not
/// overlap an input, one another, or themselves. May be called from many threads at once.
///
/// Errors: see `contrib_group_contributions`; and `CONTRIB_ERROR_HEADS` where the key-value heads do not divide the
/// heads, `CONTRIB_ERROR_FLAGS` where a flag of the extras is not known.
///
/// # Safety
/// As for `contrib_group_contributions`; `extras` is null or points to a struct of the size that it says, and its
/// `one_offs` to as many structs as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_attention_factored(
    resid_pre: *const contrib_tensor,
    resid_mid: *const contrib_tensor,
    pattern: *const contrib_tensor,
    values: *const contrib_tensor,
    w_o: *const contrib_tensor,
    extras: *const contrib_attention_extras,
    out_attn: *const contrib_tensor,
    out_resid: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(resid_pre, resid_mid, pattern, values);
        let heads = if w_o.is_null() {
            Heads::ValueOutput(values)
        } else {
            inputs!(w_o);
            Heads::Values { values, w_o }
        };
        // SAFETY: the caller's promise.
        let mut extras = unsafe { attention_extras::read(extras)? };
        outputs!(out_attn, out_resid);
        options!(options);
        let (scale, leave_out_masked) = (extras.scale, extras.leave_out_masked);
        let inputs = FactoredAttention { resid_pre, resid_mid, pattern, heads, scale, leave_out_masked };
        contrib_core::attention_factored(&inputs, &mut extras.one_offs, &mut out_attn, &mut out_resid, &options)
            .map_err(|error| with_names(&error, name_of_values).into())
    })
}

/// The name that C callers know where the core has one of its own: for values without `w_o`.
fn name_of_values(argument: Argument) -> Argument {
    if argument == Argument::named("value_output") { Argument::named("values") } else { argument }
}

/// What the MLP, and the residual stream before it, contribute to the residual stream after it.
///
/// `resid_mid`, `resid_post` and `mlp_out` are `[batch, pos, d_model]`, `out_mlp` and `out_resid` `[batch, pos]`. For
/// each position of each batch item, both together sum to 1. Errors: see `contrib_group_contributions`.
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
/// `[v.., hidden, d_model]`, `out_neurons` `[v.., hidden]`, `out_resid` `[v..]`. For each batch item, both together
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

/// As `contrib_decomposed_mlp`, from the activations and the output vectors of the neurons: the vectors
/// `[v.., hidden, d_model]` never exist in memory.
///
/// | argument | shape |
/// |---|---|
/// | `resid_mid`, `resid_post` | `[v.., d_model]`, with any batch axes or none |
/// | `activations` | `[v.., hidden]`: what each neuron's output vector is multiplied by |
/// | `w_out` | `[hidden, d_model]`; one that is stored as `[d_model, hidden]` has the strides `{1, hidden}` |
/// | `out_neurons` | `[v.., hidden]`; with `out_indices` `[v.., k]`: the k largest, the largest first |
/// | `out_indices` | `[v.., k]`, int32 or int64: which neurons those are; or NULL: all neurons |
/// | `out_resid` | `[v..]` |
///
/// For each batch item, the contributions of all neurons, whether they are among the largest or not, and `out_resid`
/// together sum to 1. Of equal neurons the first comes first. Every tensor has its own dtype.
///
/// Outputs must not overlap an input, one another, or themselves. May be called from many threads at once. Errors: see
/// `contrib_group_contributions`; and `CONTRIB_ERROR_TOP_K` where k is above hidden, or the indices' dtype
/// cannot count the neurons.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_mlp_neurons(
    resid_mid: *const contrib_tensor,
    resid_post: *const contrib_tensor,
    activations: *const contrib_tensor,
    w_out: *const contrib_tensor,
    out_neurons: *const contrib_tensor,
    out_indices: *const contrib_tensor,
    out_resid: *const contrib_tensor,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(resid_mid, resid_post, activations, w_out);
        outputs!(out_neurons);
        let mut out_indices = if out_indices.is_null() {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { indices(Argument::named("out_indices"), out_indices)? })
        };
        outputs!(out_resid);
        options!(options);
        let inputs = MlpNeurons { resid_mid, resid_post, activations, w_out };
        Ok(contrib_core::mlp_neurons(&inputs, &mut out_neurons, out_indices.as_mut(), &mut out_resid, &options)?)
    })
}

/// Keeps the contributions that are greater than `threshold`, makes the others 0, and divides what is left of each
/// representation by its sum, so that it sums to 1 again.
///
/// `c_blocks` and `out_blocks` are `[r.., b..]`: the blocks of each representation, or no further axis for one block;
/// `c_residual` and `out_residual` are `[r..]`. Contributions are compared with the threshold as doubles. NaN makes its
/// representation NaN, as does having nothing left (0/0). The norm and the threshold of the options are checked and not
/// used.
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
