//! The layout of the structs in memory, which never changes: a `DLTensor` is a `contrib_tensor`.

#![cfg(target_pointer_width = "64")]

use contrib::attention::{
    CONTRIB_ATTENTION_LEAVE_OUT_MASKED, CONTRIB_ATTENTION_SUM_HEADS, contrib_attention_inputs,
    contrib_attention_results, contrib_one_off,
};
use contrib::context::{contrib_parallel_for, contrib_task};
use contrib::groups::{CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM, contrib_group};
use contrib::neurons::{contrib_neurons_inputs, contrib_neurons_results};
use contrib::options::contrib_options;
use contrib::queries_and_keys::{CONTRIB_CAUSAL, contrib_queries_and_keys};
use contrib::status::contrib_status;
use contrib::tensor::{CONTRIB_DTYPE_BFLOAT, CONTRIB_DTYPE_FLOAT, CONTRIB_DTYPE_INT, contrib_dtype, contrib_tensor};
use std::mem::offset_of;

#[test]
fn a_tensor_has_the_fields_of_a_dltensor_where_dlpack_has_them() {
    // struct DLTensor { void* data; DLDevice device; int32_t ndim; DLDataType dtype; int64_t *shape, *strides;
    // uint64_t byte_offset; }, where DLDevice is { DLDeviceType device_type; int32_t device_id; }.
    assert_eq!(offset_of!(contrib_tensor, data), 0);
    assert_eq!(offset_of!(contrib_tensor, device_type), 8);
    assert_eq!(offset_of!(contrib_tensor, device_id), 12);
    assert_eq!(offset_of!(contrib_tensor, ndim), 16);
    assert_eq!(offset_of!(contrib_tensor, dtype), 20);
    assert_eq!(offset_of!(contrib_tensor, shape), 24);
    assert_eq!(offset_of!(contrib_tensor, strides), 32);
    assert_eq!(offset_of!(contrib_tensor, byte_offset), 40);
    assert_eq!((size_of::<contrib_tensor>(), align_of::<contrib_tensor>()), (48, 8));
}

#[test]
fn a_dtype_has_the_fields_of_a_dldatatype() {
    assert_eq!(offset_of!(contrib_dtype, code), 0);
    assert_eq!(offset_of!(contrib_dtype, bits), 1);
    assert_eq!(offset_of!(contrib_dtype, lanes), 2);
    assert_eq!((size_of::<contrib_dtype>(), align_of::<contrib_dtype>()), (4, 2));
}

#[test]
fn structs_that_can_grow_begin_with_their_size_and_keep_their_first_fields() {
    assert_eq!(offset_of!(contrib_options, struct_size), 0);
    assert_eq!(offset_of!(contrib_options, norm), 8);
    assert_eq!(offset_of!(contrib_options, context), 16);
    assert_eq!(offset_of!(contrib_options, threshold), 24);
    assert!(size_of::<contrib_options>() >= 32 && align_of::<contrib_options>() == 8);

    assert_eq!(offset_of!(contrib_group, struct_size), 0);
    assert_eq!(offset_of!(contrib_group, parts), 8);
    assert_eq!(offset_of!(contrib_group, out), 16);
    assert_eq!(offset_of!(contrib_group, coefficients), 24);
    assert_eq!(offset_of!(contrib_group, projection), 32);
    assert_eq!(offset_of!(contrib_group, scale), 40);
    assert_eq!(offset_of!(contrib_group, indices), 48);
    assert_eq!(offset_of!(contrib_group, flags), 56);
    assert_eq!(offset_of!(contrib_group, queries_and_keys), 64);
    assert_eq!(offset_of!(contrib_group, counts), 72);
    assert_eq!(offset_of!(contrib_group, left_out), 80);
    assert_eq!(offset_of!(contrib_group, above), 88);
    assert_eq!(offset_of!(contrib_group, summed_axes), 96);
    assert_eq!(offset_of!(contrib_group, prepared), 104);
    assert!(size_of::<contrib_group>() >= 112 && align_of::<contrib_group>() == 8);
}

#[test]
fn structs_of_inputs_and_results_begin_with_their_size_and_keep_their_first_fields() {
    assert_eq!(offset_of!(contrib_queries_and_keys, struct_size), 0);
    assert_eq!(offset_of!(contrib_queries_and_keys, queries), 8);
    assert_eq!(offset_of!(contrib_queries_and_keys, keys), 16);
    assert_eq!(offset_of!(contrib_queries_and_keys, score_scale), 24);
    assert_eq!(offset_of!(contrib_queries_and_keys, soft_cap), 32);
    assert_eq!(offset_of!(contrib_queries_and_keys, slopes), 40);
    assert_eq!(offset_of!(contrib_queries_and_keys, sinks), 48);
    assert_eq!(offset_of!(contrib_queries_and_keys, mask), 56);
    assert_eq!(offset_of!(contrib_queries_and_keys, query_positions), 64);
    assert_eq!(offset_of!(contrib_queries_and_keys, key_positions), 72);
    assert_eq!(offset_of!(contrib_queries_and_keys, first_query), 80);
    assert_eq!(offset_of!(contrib_queries_and_keys, window), 88);
    assert_eq!(offset_of!(contrib_queries_and_keys, flags), 96);
    assert!(size_of::<contrib_queries_and_keys>() >= 104 && align_of::<contrib_queries_and_keys>() == 8);

    assert_eq!(offset_of!(contrib_attention_inputs, struct_size), 0);
    assert_eq!(offset_of!(contrib_attention_inputs, resid_pre), 8);
    assert_eq!(offset_of!(contrib_attention_inputs, resid_mid), 16);
    assert_eq!(offset_of!(contrib_attention_inputs, pattern), 24);
    assert_eq!(offset_of!(contrib_attention_inputs, queries_and_keys), 32);
    assert_eq!(offset_of!(contrib_attention_inputs, values), 40);
    assert_eq!(offset_of!(contrib_attention_inputs, w_o), 48);
    assert_eq!(offset_of!(contrib_attention_inputs, value_output), 56);
    assert_eq!(offset_of!(contrib_attention_inputs, scale), 64);
    assert_eq!(offset_of!(contrib_attention_inputs, flags), 72);
    assert_eq!(offset_of!(contrib_attention_inputs, prepared), 80);
    assert!(size_of::<contrib_attention_inputs>() >= 88 && align_of::<contrib_attention_inputs>() == 8);

    assert_eq!(offset_of!(contrib_attention_results, struct_size), 0);
    assert_eq!(offset_of!(contrib_attention_results, out_attn), 8);
    assert_eq!(offset_of!(contrib_attention_results, indices), 16);
    assert_eq!(offset_of!(contrib_attention_results, counts), 24);
    assert_eq!(offset_of!(contrib_attention_results, left_out), 32);
    assert_eq!(offset_of!(contrib_attention_results, above), 40);
    assert_eq!(offset_of!(contrib_attention_results, out_resid), 48);
    assert_eq!(offset_of!(contrib_attention_results, one_offs), 56);
    assert_eq!(offset_of!(contrib_attention_results, n_one_offs), 64);
    assert_eq!(offset_of!(contrib_attention_results, flags), 72);
    assert!(size_of::<contrib_attention_results>() >= 80 && align_of::<contrib_attention_results>() == 8);

    assert_eq!(offset_of!(contrib_neurons_inputs, struct_size), 0);
    assert_eq!(offset_of!(contrib_neurons_inputs, resid_mid), 8);
    assert_eq!(offset_of!(contrib_neurons_inputs, resid_post), 16);
    assert_eq!(offset_of!(contrib_neurons_inputs, activations), 24);
    assert_eq!(offset_of!(contrib_neurons_inputs, w_out), 32);
    assert!(size_of::<contrib_neurons_inputs>() >= 40 && align_of::<contrib_neurons_inputs>() == 8);

    assert_eq!(offset_of!(contrib_neurons_results, struct_size), 0);
    assert_eq!(offset_of!(contrib_neurons_results, out_neurons), 8);
    assert_eq!(offset_of!(contrib_neurons_results, indices), 16);
    assert_eq!(offset_of!(contrib_neurons_results, counts), 24);
    assert_eq!(offset_of!(contrib_neurons_results, left_out), 32);
    assert_eq!(offset_of!(contrib_neurons_results, above), 40);
    assert_eq!(offset_of!(contrib_neurons_results, out_resid), 48);
    assert!(size_of::<contrib_neurons_results>() >= 56 && align_of::<contrib_neurons_results>() == 8);
}

#[test]
fn a_one_off_has_two_pointers() {
    assert_eq!(offset_of!(contrib_one_off, part), 0);
    assert_eq!(offset_of!(contrib_one_off, out), 8);
    assert_eq!((size_of::<contrib_one_off>(), align_of::<contrib_one_off>()), (16, 8));
}

#[test]
fn functions_of_a_host_are_pointers_and_null_is_none() {
    assert_eq!((size_of::<contrib_task>(), size_of::<contrib_parallel_for>()), (8, 8));
    // SAFETY: null is the bits of `None`.
    assert!(unsafe { std::mem::zeroed::<contrib_parallel_for>() }.is_none());
}

#[test]
fn flags_and_dtypes_keep_their_numbers() {
    assert_eq!((CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM), (1, 2));
    assert_eq!((CONTRIB_ATTENTION_LEAVE_OUT_MASKED, CONTRIB_ATTENTION_SUM_HEADS, CONTRIB_CAUSAL), (1, 1, 1));
    assert_eq!((CONTRIB_DTYPE_INT, CONTRIB_DTYPE_FLOAT, CONTRIB_DTYPE_BFLOAT), (0, 2, 4));
}

#[test]
fn a_status_is_an_int32() {
    assert_eq!((size_of::<contrib_status>(), contrib_status::MIN), (4, i32::MIN));
}
