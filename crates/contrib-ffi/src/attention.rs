//! What a caller gives to `contrib_attention_factored`, and what is wanted of it.

use crate::failure::Failure;
use crate::prepared_projection::{self, contrib_prepared_projection};
use crate::queries_and_keys::contrib_queries_and_keys;
use crate::sized_struct::{self, SizedStruct};
use crate::tensor::{contrib_tensor, input, optional, output};
use crate::wanted::Wanted;
use contrib_core::{Argument, Cause, Coefficients, FactoredAttention, Heads, OneOff, Out, QueriesAndKeys, TensorMut};
use std::mem::offset_of;

/// Flag of `contrib_attention_inputs`: parts whose pattern is 0 (masked keys) contribute 0, and are not counted in the
/// sum by which the others are divided. Without it they count as the zero vectors that they are.
pub const CONTRIB_ATTENTION_LEAVE_OUT_MASKED: u64 = 1;

/// Flag of `contrib_attention_results`: contributions are summed over heads, before any are chosen by `indices`.
pub const CONTRIB_ATTENTION_SUM_HEADS: u64 = 1;

const KNOWN_INPUT_FLAGS: u64 = CONTRIB_ATTENTION_LEAVE_OUT_MASKED;
const KNOWN_RESULT_FLAGS: u64 = CONTRIB_ATTENTION_SUM_HEADS;

/// What `contrib_attention_factored` is given: the residual stream, how much each head attends to which token, and what it
/// moves from there.
///
/// Either `pattern` or `queries_and_keys` is given, and either `values` and `w_o` or `value_output`; the others are NULL.
///
/// Begin with `contrib_attention_inputs inputs = CONTRIB_ATTENTION_INPUTS_INIT;`. Later versions may append fields, for
/// which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_attention_inputs {
    /// `sizeof(contrib_attention_inputs)`.
    pub struct_size: usize,
    /// `[batch, pos, d_model]`: the residual stream before attention, at any queries: all or some or one that is new.
    pub resid_pre: *const contrib_tensor,
    /// `[batch, pos, d_model]`: the residual stream after it.
    pub resid_mid: *const contrib_tensor,
    /// `[batch, head, pos, key_pos]`: how much each head attends to which token. Where it is 0 the part is the zero vector,
    /// whatever its value.
    pub pattern: *const contrib_tensor,
    /// What the pattern is made of, instead.
    pub queries_and_keys: *const contrib_queries_and_keys,
    /// `[batch, key_pos, kv_head, d_head]`. Head h uses the values of key-value head h / (head / kv_head): as many as there
    /// are heads, fewer (grouped queries), or one (multi-query attention).
    pub values: *const contrib_tensor,
    /// `[head, d_head, d_model]`: the matrix by which each head writes its values into the stream. head * d_head need not be
    /// d_model.
    pub w_o: *const contrib_tensor,
    /// `[batch, key_pos, head, d_model]`, instead: what each head would write for each token, the products of both, which a
    /// caller may keep between decoding steps.
    pub value_output: *const contrib_tensor,
    /// `[batch, pos, d_model]`, or NULL: by what each channel of what a query's heads add is multiplied, as where a
    /// model normalises the output of attention before it adds it. Any extent may be 1. Calculation with a scale is
    /// many times slower.
    pub scale: *const contrib_tensor,
    /// `CONTRIB_ATTENTION_LEAVE_OUT_MASKED`, or 0.
    pub flags: u64,
    /// What was prepared of this very `w_o`, or NULL. It makes a call for one new token faster, and changes no result. Not
    /// with `value_output`.
    pub prepared: *const contrib_prepared_projection,
}

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

/// What is wanted of `contrib_attention_factored`: all contributions, the k largest, or those above a number.
///
/// | `out_attn` | `indices` | `counts`, `left_out` | what is written |
/// |---|---|---|---|
/// | `[batch, pos, key_pos, head]` | NULL | NULL | all contributions |
/// | `[batch, pos, k]` | `[batch, pos, k]` | NULL | the k largest, the largest first, of equal ones the first |
/// | `[batch, pos, room]` | `[batch, pos, room]` | `[batch, pos]` | those greater than `above`, by index |
///
/// Of a number t greater than 0 there are fewer than 1 / t, so that a room of ceil(1 / t) - 1 is always enough.
///
/// An index is key_pos * heads + head. With `CONTRIB_ATTENTION_SUM_HEADS` the sums over heads take the place of
/// contributions: `out_attn` has no axis of heads, and an index is that of a key.
///
/// Begin with `contrib_attention_results results = CONTRIB_ATTENTION_RESULTS_INIT;`. Later versions may append fields, for
/// which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_attention_results {
    /// `sizeof(contrib_attention_results)`.
    pub struct_size: usize,
    /// What each token through each head contributes; see above. Written.
    pub out_attn: *const contrib_tensor,
    /// Which those are, int32 or int64; or NULL: all. Written.
    pub indices: *const contrib_tensor,
    /// How many are greater than `above`, whether there is room for them or not, int32 or int64; or NULL. Where there
    /// are more than there is room for, the largest are written; where there are fewer, zeros follow, with the index -1.
    /// Only with `indices` and `left_out`. Written.
    pub counts: *const contrib_tensor,
    /// The sum of all contributions of attention that are not in `out_attn`, so that nothing is lost; or NULL. Only with
    /// `counts`. Written.
    pub left_out: *const contrib_tensor,
    /// What contributions must be greater than, where there are `counts`; else 0. NaN is an error.
    pub above: f64,
    /// What the residual stream before attention contributes, `[batch, pos]`. Written.
    pub out_resid: *const contrib_tensor,
    /// An array of further parts; may be NULL where `n_one_offs` is 0.
    pub one_offs: *const contrib_one_off,
    /// How many there are.
    pub n_one_offs: usize,
    /// `CONTRIB_ATTENTION_SUM_HEADS`, or 0.
    pub flags: u64,
}

// SAFETY: pointers and a number after the size.
unsafe impl SizedStruct for contrib_attention_inputs {
    const FIRST_SIZE: usize = offset_of!(contrib_attention_inputs, prepared) + size_of::<usize>();
}

// SAFETY: pointers and numbers after the size.
unsafe impl SizedStruct for contrib_attention_results {
    const FIRST_SIZE: usize = offset_of!(contrib_attention_results, flags) + size_of::<u64>();
}

/// The struct of a call's inputs, which says neither too much nor too little.
///
/// # Safety
/// - `inputs` is null or points to as many bytes as its `struct_size` says.
pub(crate) unsafe fn read_struct(inputs: *const contrib_attention_inputs) -> Result<contrib_attention_inputs, Failure> {
    // SAFETY: this function's contract.
    let inputs = unsafe { sized_struct::read_given(Argument::named("inputs"), inputs)? };
    check_inputs(&inputs)?;
    Ok(inputs)
}

/// The inputs of a call, whose queries and keys were read before.
///
/// # Safety
/// - The tensors are as for [`input`].
/// - `prepared` is null or alive for `'a`.
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read_inputs<'a>(
    inputs: &contrib_attention_inputs,
    queries_and_keys: Option<&'a QueriesAndKeys<'a>>,
) -> Result<FactoredAttention<'a>, Failure> {
    // SAFETY: this function's contract.
    let read = |name, tensor| unsafe { input(Argument::named(name), tensor) };
    // SAFETY: this function's contract.
    let prepared = unsafe { prepared_projection::read(inputs.prepared) };
    Ok(FactoredAttention {
        resid_pre: read("resid_pre", inputs.resid_pre)?,
        resid_mid: read("resid_mid", inputs.resid_mid)?,
        pattern: match queries_and_keys {
            Some(given) => Coefficients::Softmax(given),
            None => Coefficients::Given(read("pattern", inputs.pattern)?),
        },
        heads: if inputs.value_output.is_null() {
            Heads::Values { values: read("values", inputs.values)?, w_o: read("w_o", inputs.w_o)?, prepared }
        } else {
            Heads::ValueOutput(read("value_output", inputs.value_output)?)
        },
        // SAFETY: this function's contract.
        scale: unsafe { optional(Argument::named("scale"), inputs.scale)? },
        leave_out_masked: inputs.flags & CONTRIB_ATTENTION_LEAVE_OUT_MASKED != 0,
    })
}

/// An error where fields say too much or too little.
fn check_inputs(inputs: &contrib_attention_inputs) -> Result<(), Failure> {
    if inputs.flags & !KNOWN_INPUT_FLAGS != 0 {
        let argument = Argument::named("inputs.flags");
        return Err(Failure::Flags { argument, known: KNOWN_INPUT_FLAGS, got: inputs.flags });
    }
    let has_product = !inputs.value_output.is_null();
    for (name, given, other, other_given) in [
        ("pattern", !inputs.pattern.is_null(), "queries_and_keys", !inputs.queries_and_keys.is_null()),
        ("values", !inputs.values.is_null(), "value_output", has_product),
        ("w_o", !inputs.w_o.is_null(), "value_output", has_product),
    ] {
        let argument = Argument::named(name);
        if given && other_given {
            return Err(Failure::Conflict { argument, other: Argument::named(other) });
        }
        if !given && !other_given {
            return Err(Failure::NullWithout { argument, other });
        }
    }
    if has_product && !inputs.prepared.is_null() {
        let (argument, other) = (Argument::named("prepared"), Argument::named("value_output"));
        return Err(Failure::Conflict { argument, other });
    }
    Ok(())
}

/// The results of a call, whose further parts are a list of its own.
pub(crate) struct Results<'a> {
    pub(crate) attn: Out<'a>,
    pub(crate) resid: TensorMut<'a>,
    pub(crate) one_offs: Vec<OneOff<'a>>,
}

/// The results of a call.
///
/// # Safety
/// - `results` is null or points to as many bytes as its `struct_size` says.
/// - Its `one_offs` is null or points to as many structs as it says.
/// - The tensors are as for [`input`] and [`output`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read_results<'a>(results: *const contrib_attention_results) -> Result<Results<'a>, Failure> {
    // SAFETY: this function's contract.
    let results = unsafe { sized_struct::read_given(Argument::named("results"), results)? };
    let contrib_attention_results { out_attn, indices, counts, left_out, above, flags, .. } = results;
    if flags & !KNOWN_RESULT_FLAGS != 0 {
        let argument = Argument::named("results.flags");
        return Err(Failure::Flags { argument, known: KNOWN_RESULT_FLAGS, got: flags });
    }
    let sums = flags & CONTRIB_ATTENTION_SUM_HEADS != 0;
    // The heads are the leading part axis.
    let summed_axes = usize::from(sums && !indices.is_null());
    let wanted = Wanted { out: out_attn, indices, counts, left_out, above, sums, summed_axes };
    // SAFETY: this function's contract.
    unsafe {
        Ok(Results {
            attn: wanted.read(Argument::named, "out_attn")?,
            resid: output(Argument::named("out_resid"), results.out_resid)?,
            one_offs: read_one_offs(results.one_offs, results.n_one_offs)?,
        })
    }
}

/// # Safety
/// - `one_offs` is null or points to `n_one_offs` structs.
/// - Their tensors are as for [`input`] and [`output`].
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
        // SAFETY: `one_offs` is not null and `index` below `n_one_offs`, so that there is a struct, which need not be
        // aligned; its tensors are as this function's contract says.
        read.push(unsafe {
            let one_off = one_offs.add(index).read_unaligned();
            OneOff { part: input(argument("part"), one_off.part)?, out: output(argument("out"), one_off.out)? }
        });
    }
    Ok(read)
}
