//! The operations, one function each: inputs, then outputs, then options.

use crate::attention::{self, contrib_attention_inputs, contrib_attention_results};
use crate::groups::{self, contrib_group};
use crate::neurons::{self, contrib_neurons_inputs, contrib_neurons_results};
use crate::options::{self, contrib_options};
use crate::queries_and_keys;
use crate::status::{contrib_status, guard};
use crate::tensor::{contrib_tensor, input, output};
use contrib_core::{Argument, AttentionResults};

/// Reads the inputs of a call into views of the same names.
macro_rules! inputs {
    ($($name:ident),*) => {
        // SAFETY: the contract of the exported function.
        $(let $name = unsafe { input(Argument::named(stringify!($name)), $name)? };)*
    };
}

/// Reads the outputs of a call into views of the same names.
macro_rules! outputs {
    ($($name:ident),*) => {
        // SAFETY: the contract of the exported function.
        $(let mut $name = unsafe { output(Argument::named(stringify!($name)), $name)? };)*
    };
}

/// Reads the options of a call.
macro_rules! options {
    ($name:ident) => {
        // SAFETY: the contract of the exported function.
        let $name = unsafe { options::read($name)? };
    };
}

/// What all parts of all groups contribute to their whole, normalised together: for each batch item the contributions
/// of all its parts sum to 1. The other operations are this one with named groups.
///
/// `whole` is `[v.., d]`; each of the `n_groups` groups has parts `[p.., v.., d]`, given as they are or as coefficients
/// and directions, and results `[p.., v..]` or fewer, with part axes of its own: see `contrib_group`. Every tensor has
/// its own dtype: float32, float64, float16 or bfloat16; indices, counts and positions are int32 or int64. For the norm n
/// of the options:
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
/// `CONTRIB_ERROR_TOP_K`, `_PREPARED`, `_FLAGS`, `_NUMBER`, and `_CONFLICT` for fields that rule each other out. A field without another
/// that it needs, such as `projection` without coefficients or `counts` without `indices`, is a
/// `CONTRIB_ERROR_NULL_POINTER` of the one that is missing.
///
/// # Safety
/// Pointers are null or point to what the types say, structs with a `struct_size` to as many bytes; contexts and prepared
/// projections are alive; every element that a tensor's shape and strides reach may be read, and for outputs written by this
/// call alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_group_contributions(
    whole: *const contrib_tensor,
    groups: *const contrib_group,
    n_groups: usize,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        inputs!(whole);
        // SAFETY: this function's contract.
        let structs = unsafe { groups::read_structs(groups, n_groups)? };
        // SAFETY: this function's contract.
        let queries_and_keys = unsafe { groups::read_queries_and_keys(&structs)? };
        // SAFETY: this function's contract.
        let mut groups = unsafe { groups::read(&structs, &queries_and_keys)? };
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

/// As `contrib_attention`, from the pattern and the values of the heads, or from queries and keys: the vectors
/// `[batch, pos, key_pos, head, d_model]` never exist in memory, and the pattern need not.
///
/// `inputs` says what is given, `results` what is wanted and where it goes; neither may be NULL. For each position of each
/// batch item, the contributions of attention, whether they are written or not, `out_resid` and the results of `one_offs`
/// together sum to 1.
///
/// Beside inputs and outputs some 32 MB of memory are needed for each thread, and what three copies of a head's `w_o` take.
/// Outputs must not overlap an input, one another, or themselves. May be called from many threads at once.
///
/// Errors: see `contrib_group_contributions`; and `CONTRIB_ERROR_HEADS` where the key-value heads do not divide the
/// heads.
///
/// # Safety
/// As for `contrib_group_contributions`; `one_offs` is null or points to as many structs as `results` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_attention_factored(
    inputs: *const contrib_attention_inputs,
    results: *const contrib_attention_results,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let inputs = unsafe { attention::read_struct(inputs)? };
        // SAFETY: this function's contract.
        let queries_and_keys = unsafe { queries_and_keys::read(Argument::named, inputs.queries_and_keys)? };
        // SAFETY: this function's contract.
        let (inputs, mut results) =
            unsafe { (attention::read_inputs(&inputs, queries_and_keys.as_ref())?, attention::read_results(results)?) };
        options!(options);
        let attention::Results { attn, resid, ref mut one_offs } = results;
        let results = AttentionResults { attn, resid, one_offs };
        Ok(contrib_core::attention_factored(&inputs, results, &options)?)
    })
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
/// `inputs` says what is given, `results` what is wanted and where it goes; neither may be NULL. For each batch item, the
/// contributions of all neurons, whether they are written or not, and `out_resid` together sum to 1.
///
/// Outputs must not overlap an input, one another, or themselves. May be called from many threads at once. Errors: see
/// `contrib_group_contributions`.
///
/// # Safety
/// As for `contrib_group_contributions`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_mlp_neurons(
    inputs: *const contrib_neurons_inputs,
    results: *const contrib_neurons_results,
    options: *const contrib_options,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let (inputs, results) = unsafe { (neurons::read_inputs(inputs)?, neurons::read_results(results)?) };
        options!(options);
        Ok(contrib_core::mlp_neurons(&inputs, results, &options)?)
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
