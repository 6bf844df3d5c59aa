//! What a caller gives to `contrib_mlp_neurons`, and what is wanted of it.

use crate::failure::Failure;
use crate::sized_struct::{self, SizedStruct};
use crate::tensor::{contrib_tensor, input, output};
use crate::wanted::Wanted;
use contrib_core::{Argument, MlpNeurons, NeuronResults};
use std::mem::offset_of;

/// What `contrib_mlp_neurons` is given.
///
/// Begin with `contrib_neurons_inputs inputs = CONTRIB_NEURONS_INPUTS_INIT;`. Later versions may append fields, for which
/// zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_neurons_inputs {
    /// `sizeof(contrib_neurons_inputs)`.
    pub struct_size: usize,
    /// `[v.., d_model]`, with any batch axes or none: the residual stream before the MLP.
    pub resid_mid: *const contrib_tensor,
    /// `[v.., d_model]`: the residual stream after it.
    pub resid_post: *const contrib_tensor,
    /// `[v.., hidden]`: what each neuron's output vector is multiplied by.
    pub activations: *const contrib_tensor,
    /// `[hidden, d_model]`: those vectors. One that is stored as `[d_model, hidden]` has the strides `{1, hidden}`.
    pub w_out: *const contrib_tensor,
}

/// What is wanted of `contrib_mlp_neurons`: all neurons, the k largest, or those above a number.
///
/// Begin with `contrib_neurons_results results = CONTRIB_NEURONS_RESULTS_INIT;`. Later versions may append fields, for
/// which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_neurons_results {
    /// `sizeof(contrib_neurons_results)`.
    pub struct_size: usize,
    /// What each neuron contributes, `[v.., hidden]`; with `indices` `[v.., k]`, the k largest, the largest first, of equal
    /// ones the first; with `counts` too, `[v.., room]`, those that are greater than `above`, in the order of their indices, of
    /// which a room of ceil(1 / `above`) - 1 always holds all. Written.
    pub out_neurons: *const contrib_tensor,
    /// Which neurons those are, as `out_neurons`, int32 or int64; or NULL: all. Written.
    pub indices: *const contrib_tensor,
    /// `v..`, int32 or int64: how many neurons' are greater than `above`, whether there is room for them or not; or NULL.
    /// Where there are more than there is room for, the largest are written; where there are fewer, zeros follow, with the
    /// index -1. Only with `indices` and `left_out`. Written.
    pub counts: *const contrib_tensor,
    /// `v..`: the sum of all contributions of neurons that are not in `out_neurons`; or NULL. Only with `counts`. Written.
    pub left_out: *const contrib_tensor,
    /// What contributions must be greater than, where there are `counts`; else 0. NaN is an error.
    pub above: f64,
    /// What the residual stream before the MLP contributes, `v..`. Written.
    pub out_resid: *const contrib_tensor,
}

// SAFETY: pointers after the size.
unsafe impl SizedStruct for contrib_neurons_inputs {
    const FIRST_SIZE: usize = offset_of!(contrib_neurons_inputs, w_out) + size_of::<usize>();
}

// SAFETY: pointers and a number after the size.
unsafe impl SizedStruct for contrib_neurons_results {
    const FIRST_SIZE: usize = offset_of!(contrib_neurons_results, out_resid) + size_of::<usize>();
}

/// The inputs of a call.
///
/// # Safety
/// - `inputs` is null or points to as many bytes as its `struct_size` says.
/// - Its tensors are as for [`input`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read_inputs<'a>(inputs: *const contrib_neurons_inputs) -> Result<MlpNeurons<'a>, Failure> {
    // SAFETY: this function's contract.
    let inputs = unsafe { sized_struct::read_given(Argument::named("inputs"), inputs)? };
    // SAFETY: this function's contract.
    let input = |name, tensor| unsafe { input(Argument::named(name), tensor) };
    Ok(MlpNeurons {
        resid_mid: input("resid_mid", inputs.resid_mid)?,
        resid_post: input("resid_post", inputs.resid_post)?,
        activations: input("activations", inputs.activations)?,
        w_out: input("w_out", inputs.w_out)?,
    })
}

/// The results of a call.
///
/// # Safety
/// - `results` is null or points to as many bytes as its `struct_size` says.
/// - Its tensors are as for [`output`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read_results<'a>(results: *const contrib_neurons_results) -> Result<NeuronResults<'a>, Failure> {
    // SAFETY: this function's contract.
    let results = unsafe { sized_struct::read_given(Argument::named("results"), results)? };
    let contrib_neurons_results { out_neurons, indices, counts, left_out, above, out_resid, .. } = results;
    let (out, sums, summed_axes) = (out_neurons, false, 0);
    let wanted = Wanted { out, indices, counts, left_out, above, sums, summed_axes };
    // SAFETY: this function's contract.
    unsafe {
        Ok(NeuronResults {
            neurons: wanted.read(Argument::named, "out_neurons")?,
            resid: output(Argument::named("out_resid"), out_resid)?,
        })
    }
}
