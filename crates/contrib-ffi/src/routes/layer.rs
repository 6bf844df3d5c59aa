//! The tensors of a layer, as a caller hands them in.

use crate::failure::Failure;
use crate::handle::tell;
use crate::prepared_projection::{self, contrib_prepared_projection};
use crate::queries_and_keys::{self, contrib_queries_and_keys};
use crate::sized_struct::{self, SizedStruct};
use crate::status::{contrib_status, guard, guard_borrowed};
use crate::tensor::{contrib_tensor, input, optional};
use ::contrib_routes::{Attends, Attention, Layer, Moves, Scores};
use contrib_core::{Argument, Cause, QueriesAndKeys};
use std::mem::offset_of;

/// The tensors of one layer of a recording. `pos` and `key_pos` are all positions of the prompt. Each tensor has its own dtype
/// and strides.
///
/// Wholes are the sums of their parts, within the rounding of the types: `resid_pre`, all that heads move, and `attn_bias`
/// are `resid_mid`; that, `mlp_out` and `mlp_bias` are `resid_post`.
///
/// Either `pattern` or `queries_and_keys` is given, and either `values` and `w_o` or `value_output`; the others are NULL.
///
/// Begin with `contrib_layer layer = CONTRIB_LAYER_INIT;`. Later versions may append fields, for which zero means what this
/// version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_layer {
    /// `sizeof(contrib_layer)`.
    pub struct_size: usize,
    /// `[pos, d_model]`: the residual stream before the layer.
    pub resid_pre: *const contrib_tensor,
    /// `[pos, d_model]`: the residual stream after attention. NULL where attention and MLP run in parallel: the MLP then reads
    /// `resid_pre`, and all are parts of `resid_post`.
    pub resid_mid: *const contrib_tensor,
    /// `[pos, d_model]`: the residual stream after the layer.
    pub resid_post: *const contrib_tensor,
    /// `[head, pos, key_pos]`: how much each head attends to which token. Where it is 0, the key is masked.
    pub pattern: *const contrib_tensor,
    /// What the pattern is made of, instead: `queries [pos, head, d]` and `keys [key_pos, kv_head, d]`, and `slopes` and `sinks`
    /// `[head]`. Of the other fields `score_scale`, `soft_cap`, `window` and `flags` count, and the rest stay as
    /// `CONTRIB_QUERIES_AND_KEYS_INIT` sets them: queries and keys are those of all positions, in order.
    pub queries_and_keys: *const contrib_queries_and_keys,
    /// `[key_pos, kv_head, d_head]`. Head h uses the values of key-value head h / (head / kv_head).
    pub values: *const contrib_tensor,
    /// `[head, d_head, d_model]`: the matrix by which each head writes its values into the stream.
    pub w_o: *const contrib_tensor,
    /// `[key_pos, head, d_model]`, instead: what each head would write for each token, the products of both.
    pub value_output: *const contrib_tensor,
    /// `[pos or 1, d_model or 1]`, or NULL: by what each channel of what heads add is multiplied, as where a model
    /// normalises the output of attention before it adds it: its weight times 1/rms.
    pub attn_scale: *const contrib_tensor,
    /// `[d_model]` or `[pos, d_model]`, or NULL: a further part of attention, such as the output bias, as it is added.
    pub attn_bias: *const contrib_tensor,
    /// `[pos, d_model]`: what the MLP adds, as it is added, without `mlp_bias` where that is a part of its own.
    pub mlp_out: *const contrib_tensor,
    /// `[d_model]` or `[pos, d_model]`, or NULL: a further part that the MLP adds, as it is added.
    pub mlp_bias: *const contrib_tensor,
    /// What was prepared of this very `w_o`, or NULL. It makes routes to one new token faster, and changes no result. Not
    /// together with `value_output`.
    pub prepared: *const contrib_prepared_projection,
}

// SAFETY: pointers after the size.
unsafe impl SizedStruct for contrib_layer {
    const FIRST_SIZE: usize = offset_of!(contrib_layer, mlp_bias) + size_of::<usize>();
}

/// Where a callback of a `contrib_recording_source` hands in a layer. Opaque. It exists until the callback returns.
pub struct contrib_layer_receiver {
    index: usize,
    /// The positions of the wholes that are computed, until the callback returns.
    positions: *const [u32],
    /// What was handed in last, or why that was refused.
    handed_in: Option<Result<Layer<'static>, Failure>>,
}

impl contrib_layer_receiver {
    /// For the layer with this index, of which wholes at these positions are computed.
    pub(super) const fn new(index: usize, positions: &[u32]) -> Self {
        contrib_layer_receiver { index, positions, handed_in: None }
    }

    /// What was handed in, if anything was.
    pub(super) fn take(self) -> Result<Option<Layer<'static>>, Failure> {
        self.handed_in.transpose()
    }
}

/// Hands in the layer that a callback was asked for. Structs, shapes and strides are read during this call; what they
/// describe, the elements, and what was prepared must stay as they are until the callback is called again by the same `contrib_routes_find`, or that
/// returns. A second call replaces the layer of the first.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_CONFLICT`, `_FLAGS`, `_NUMBER`, and those of
/// tensors. `contrib_routes_find` fails with the same, whatever the callback returns. Shapes are compared after the callback.
///
/// # Safety
/// `receiver` is null, or that of the callback that runs. `layer` is null or points to as many bytes as its `struct_size`
/// says; its tensors and what was prepared are as for any operation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_hand_in_layer(
    receiver: *mut contrib_layer_receiver,
    layer: *const contrib_layer,
) -> contrib_status {
    // SAFETY: the receiver is null, or alive and the callback's alone.
    let Some(receiver) = (unsafe { receiver.as_mut() }) else {
        return guard(|| Err(Failure::Null(Argument::named("receiver"))));
    };
    guard_borrowed(|| {
        // SAFETY: this function's contract; the elements stay as they are for as long as the layer is used.
        let handed_in = receiver.handed_in.insert(unsafe { read(receiver.index, layer) });
        handed_in.as_ref().map(|_| ())
    })
}

/// The positions of the layer whose wholes are computed, in order, and how many they are. At other positions only `keys`,
/// `values` and `value_output` are read, so that what a caller makes for the purpose need not be made there. They are valid until
/// the callback returns. NULL and 0 for NULL; `n_positions` may be NULL.
///
/// # Safety
/// `receiver` is null, or that of the callback that runs. `n_positions` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_layer_receiver_positions(
    receiver: *const contrib_layer_receiver,
    n_positions: *mut usize,
) -> *const u32 {
    // SAFETY: this function's contract.
    let positions = unsafe { receiver.as_ref() }.map(|receiver| receiver.positions);
    // SAFETY: this function's contract.
    unsafe { tell(n_positions, positions.map_or(0, <*const [u32]>::len)) };
    positions.map_or(std::ptr::null(), <*const [u32]>::cast)
}

/// The layer with this index.
///
/// # Safety
/// - `layer` is null or points to as many bytes as its `struct_size` says.
/// - The tensors are as for [`input`].
/// - `prepared` is null or alive for `'a`.
unsafe fn read<'a>(index: usize, layer: *const contrib_layer) -> Result<Layer<'a>, Failure> {
    let named = |name| Argument::of_layer(index, name);
    // SAFETY: this function's contract.
    let layer = unsafe { sized_struct::read_given(named("layer"), layer)? };
    check(&layer, named)?;
    // SAFETY: this function's contract.
    let needed = |name, tensor| unsafe { input(named(name), tensor) };
    // SAFETY: this function's contract.
    let given = |name, tensor| unsafe { optional(named(name), tensor) };
    // SAFETY: this function's contract.
    let attends = match unsafe { queries_and_keys::read(named, layer.queries_and_keys)? } {
        Some(made_of) => Attends::Scores(scores(&made_of, named)?),
        None => Attends::Pattern(needed("pattern", layer.pattern)?),
    };
    let moves = if layer.value_output.is_null() {
        // SAFETY: this function's contract.
        let prepared = unsafe { prepared_projection::read(layer.prepared) };
        Moves::Values { values: needed("values", layer.values)?, w_o: needed("w_o", layer.w_o)?, prepared }
    } else {
        Moves::ValueOutput(needed("value_output", layer.value_output)?)
    };
    Ok(Layer {
        resid_pre: needed("resid_pre", layer.resid_pre)?,
        resid_mid: given("resid_mid", layer.resid_mid)?,
        resid_post: needed("resid_post", layer.resid_post)?,
        attention: Attention {
            attends,
            moves,
            scale: given("attn_scale", layer.attn_scale)?,
            bias: given("attn_bias", layer.attn_bias)?,
        },
        mlp_out: needed("mlp_out", layer.mlp_out)?,
        mlp_bias: given("mlp_bias", layer.mlp_bias)?,
    })
}

/// An error where fields say too much or too little.
fn check(layer: &contrib_layer, named: impl Fn(&'static str) -> Argument) -> Result<(), Failure> {
    let has_product = !layer.value_output.is_null();
    for (name, given, other, other_given) in [
        ("pattern", !layer.pattern.is_null(), "queries_and_keys", !layer.queries_and_keys.is_null()),
        ("values", !layer.values.is_null(), "value_output", has_product),
        ("w_o", !layer.w_o.is_null(), "value_output", has_product),
    ] {
        let argument = named(name);
        if given && other_given {
            return Err(Failure::Conflict { argument, other: named(other) });
        }
        if !given && !other_given {
            return Err(Failure::NullWithout { argument, other });
        }
    }
    if has_product && !layer.prepared.is_null() {
        return Err(Failure::Conflict { argument: named("prepared"), other: named("value_output") });
    }
    Ok(())
}

/// What a pattern is made of, where all positions are there, in order.
fn scores<'a>(given: &QueriesAndKeys<'a>, named: impl Fn(&'static str) -> Argument) -> Result<Scores<'a>, Failure> {
    let positions = [
        ("mask", given.mask.is_some()),
        ("query_positions", given.query_positions.is_some()),
        ("key_positions", given.key_positions.is_some()),
    ];
    if let Some(&(name, _)) = positions.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::Conflict { argument: named(name), other: named("layer") });
    }
    if let Some(first) = given.first_query.filter(|&first| first != 0) {
        let cause = Cause::InvalidNumber { expected: "0 or -1, as a layer has all queries", got: first as f64 };
        return Err(Failure::of(named("first_query"), cause));
    }
    Ok(Scores {
        queries: given.queries,
        keys: given.keys,
        scale: given.score_scale,
        soft_cap: given.soft_cap,
        window: given.window,
        causal: given.causal,
        slopes: given.slopes,
        sinks: given.sinks,
    })
}
