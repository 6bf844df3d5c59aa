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
use contrib::routes::arrays::contrib_routes_arrays;
use contrib::routes::difference::contrib_change;
use contrib::routes::find::CONTRIB_ALL_TARGETS;
use contrib::routes::labels::{contrib_labels, contrib_text};
use contrib::routes::layer::contrib_layer;
use contrib::routes::options::{
    CONTRIB_ROUTES_ALL_POSITIONS, CONTRIB_ROUTES_COUNT_MASKED, CONTRIB_ROUTES_RENORMALISE, CONTRIB_ROUTES_SUM_HEADS,
    contrib_progress, contrib_progress_callback, contrib_routes_options,
};
use contrib::routes::source::{contrib_layer_callback, contrib_recording_source};
use contrib::routes::totals::contrib_totals_arrays;
use contrib::routes::write::{
    CONTRIB_FORMAT_CSV, CONTRIB_FORMAT_DOT, CONTRIB_FORMAT_HTML, CONTRIB_FORMAT_JSON, CONTRIB_FORMAT_SVG,
    contrib_write_callback,
};
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
fn structs_of_recordings_and_routes_begin_with_their_size_and_keep_their_first_fields() {
    assert_eq!(offset_of!(contrib_layer, struct_size), 0);
    assert_eq!(offset_of!(contrib_layer, resid_pre), 8);
    assert_eq!(offset_of!(contrib_layer, resid_mid), 16);
    assert_eq!(offset_of!(contrib_layer, resid_post), 24);
    assert_eq!(offset_of!(contrib_layer, pattern), 32);
    assert_eq!(offset_of!(contrib_layer, queries_and_keys), 40);
    assert_eq!(offset_of!(contrib_layer, values), 48);
    assert_eq!(offset_of!(contrib_layer, w_o), 56);
    assert_eq!(offset_of!(contrib_layer, value_output), 64);
    assert_eq!(offset_of!(contrib_layer, attn_scale), 72);
    assert_eq!(offset_of!(contrib_layer, attn_bias), 80);
    assert_eq!(offset_of!(contrib_layer, mlp_out), 88);
    assert_eq!(offset_of!(contrib_layer, mlp_bias), 96);
    assert_eq!(offset_of!(contrib_layer, prepared), 104);
    assert!(size_of::<contrib_layer>() >= 112 && align_of::<contrib_layer>() == 8);

    assert_eq!(offset_of!(contrib_recording_source, struct_size), 0);
    assert_eq!(offset_of!(contrib_recording_source, n_layers), 8);
    assert_eq!(offset_of!(contrib_recording_source, n_pos), 16);
    assert_eq!(offset_of!(contrib_recording_source, n_heads), 24);
    assert_eq!(offset_of!(contrib_recording_source, layer), 32);
    assert_eq!(offset_of!(contrib_recording_source, user_data), 40);
    assert_eq!(offset_of!(contrib_recording_source, labels), 48);
    assert!(size_of::<contrib_recording_source>() >= 56 && align_of::<contrib_recording_source>() == 8);

    assert_eq!(offset_of!(contrib_labels, struct_size), 0);
    assert_eq!(offset_of!(contrib_labels, model), 8);
    assert_eq!(offset_of!(contrib_labels, prompt), 24);
    assert_eq!(offset_of!(contrib_labels, tokens), 40);
    assert_eq!(offset_of!(contrib_labels, n_tokens), 48);
    assert_eq!(offset_of!(contrib_labels, next_tokens), 56);
    assert_eq!(offset_of!(contrib_labels, next_probabilities), 64);
    assert_eq!(offset_of!(contrib_labels, n_next_tokens), 72);
    assert!(size_of::<contrib_labels>() >= 80 && align_of::<contrib_labels>() == 8);

    assert_eq!(offset_of!(contrib_routes_options, struct_size), 0);
    assert_eq!(offset_of!(contrib_routes_options, threshold), 8);
    assert_eq!(offset_of!(contrib_routes_options, renormalise), 16);
    assert_eq!(offset_of!(contrib_routes_options, flags), 24);
    assert_eq!(offset_of!(contrib_routes_options, norm), 32);
    assert_eq!(offset_of!(contrib_routes_options, context), 40);
    assert_eq!(offset_of!(contrib_routes_options, block), 48);
    assert_eq!(offset_of!(contrib_routes_options, progress), 56);
    assert_eq!(offset_of!(contrib_routes_options, user_data), 64);
    assert!(size_of::<contrib_routes_options>() >= 72 && align_of::<contrib_routes_options>() == 8);

    assert_eq!(offset_of!(contrib_routes_arrays, struct_size), 0);
    assert_eq!(offset_of!(contrib_routes_arrays, n_layers), 8);
    assert_eq!(offset_of!(contrib_routes_arrays, n_pos), 16);
    assert_eq!(offset_of!(contrib_routes_arrays, n_heads), 24);
    assert_eq!(offset_of!(contrib_routes_arrays, flags), 32);
    assert_eq!(offset_of!(contrib_routes_arrays, threshold), 40);
    assert_eq!(offset_of!(contrib_routes_arrays, n_targets), 48);
    assert_eq!(offset_of!(contrib_routes_arrays, targets), 56);
    assert_eq!(offset_of!(contrib_routes_arrays, n_nodes), 64);
    assert_eq!(offset_of!(contrib_routes_arrays, node_layer), 72);
    assert_eq!(offset_of!(contrib_routes_arrays, node_kind), 80);
    assert_eq!(offset_of!(contrib_routes_arrays, node_position), 88);
    assert_eq!(offset_of!(contrib_routes_arrays, node_flow), 96);
    assert_eq!(offset_of!(contrib_routes_arrays, starts), 104);
    assert_eq!(offset_of!(contrib_routes_arrays, n_edges), 112);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_from), 120);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_to), 128);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_kind), 136);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_head), 144);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_weight), 152);
    assert_eq!(offset_of!(contrib_routes_arrays, edge_flow), 160);
    assert!(size_of::<contrib_routes_arrays>() >= 168 && align_of::<contrib_routes_arrays>() == 8);

    assert_eq!(offset_of!(contrib_totals_arrays, struct_size), 0);
    assert_eq!(offset_of!(contrib_totals_arrays, n_layers), 8);
    assert_eq!(offset_of!(contrib_totals_arrays, n_heads), 16);
    assert_eq!(offset_of!(contrib_totals_arrays, n_pos), 24);
    assert_eq!(offset_of!(contrib_totals_arrays, n_targets), 32);
    assert_eq!(offset_of!(contrib_totals_arrays, heads), 40);
    assert_eq!(offset_of!(contrib_totals_arrays, attention), 48);
    assert_eq!(offset_of!(contrib_totals_arrays, mlps), 56);
    assert_eq!(offset_of!(contrib_totals_arrays, biases), 64);
    assert_eq!(offset_of!(contrib_totals_arrays, residual), 72);
    assert_eq!(offset_of!(contrib_totals_arrays, tokens), 80);
    assert_eq!(offset_of!(contrib_totals_arrays, lost), 88);
    assert!(size_of::<contrib_totals_arrays>() >= 96 && align_of::<contrib_totals_arrays>() == 8);
}

#[test]
fn texts_progress_and_changes_keep_their_fields() {
    assert_eq!(offset_of!(contrib_text, bytes), 0);
    assert_eq!(offset_of!(contrib_text, len), 8);
    assert_eq!((size_of::<contrib_text>(), align_of::<contrib_text>()), (16, 8));

    assert_eq!(offset_of!(contrib_progress, layer), 0);
    assert_eq!(offset_of!(contrib_progress, n_layers), 8);
    assert_eq!(offset_of!(contrib_progress, stage), 16);
    assert_eq!(offset_of!(contrib_progress, done), 24);
    assert_eq!(offset_of!(contrib_progress, positions), 32);
    assert_eq!(offset_of!(contrib_progress, edges), 40);
    assert!(size_of::<contrib_progress>() >= 48 && align_of::<contrib_progress>() == 8);

    assert_eq!(offset_of!(contrib_change, from_layer), 0);
    assert_eq!(offset_of!(contrib_change, from_position), 4);
    assert_eq!(offset_of!(contrib_change, to_layer), 8);
    assert_eq!(offset_of!(contrib_change, to_position), 12);
    assert_eq!(offset_of!(contrib_change, head), 16);
    assert_eq!(offset_of!(contrib_change, from_kind), 20);
    assert_eq!(offset_of!(contrib_change, to_kind), 21);
    assert_eq!(offset_of!(contrib_change, kind), 22);
    assert_eq!(offset_of!(contrib_change, reserved), 23);
    assert_eq!(offset_of!(contrib_change, before_weight), 24);
    assert_eq!(offset_of!(contrib_change, before_flow), 32);
    assert_eq!(offset_of!(contrib_change, after_weight), 40);
    assert_eq!(offset_of!(contrib_change, after_flow), 48);
    assert_eq!((size_of::<contrib_change>(), align_of::<contrib_change>()), (56, 8));
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
    assert_eq!((size_of::<contrib_layer_callback>(), size_of::<contrib_progress_callback>()), (8, 8));
    assert_eq!(size_of::<contrib_write_callback>(), 8);
    // SAFETY: null is the bits of `None`.
    assert!(unsafe { std::mem::zeroed::<contrib_parallel_for>() }.is_none());
}

#[test]
fn flags_and_dtypes_keep_their_numbers() {
    assert_eq!((CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM), (1, 2));
    assert_eq!((CONTRIB_ATTENTION_LEAVE_OUT_MASKED, CONTRIB_ATTENTION_SUM_HEADS, CONTRIB_CAUSAL), (1, 1, 1));
    assert_eq!((CONTRIB_ROUTES_RENORMALISE, CONTRIB_ROUTES_SUM_HEADS), (1, 2));
    assert_eq!((CONTRIB_ROUTES_COUNT_MASKED, CONTRIB_ROUTES_ALL_POSITIONS), (4, 8));
    assert_eq!((CONTRIB_FORMAT_JSON, CONTRIB_FORMAT_CSV, CONTRIB_FORMAT_DOT), (1, 2, 3));
    assert_eq!((CONTRIB_FORMAT_SVG, CONTRIB_FORMAT_HTML, CONTRIB_ALL_TARGETS), (4, 5, usize::MAX));
    assert_eq!((CONTRIB_DTYPE_INT, CONTRIB_DTYPE_FLOAT, CONTRIB_DTYPE_BFLOAT), (0, 2, 4));
}

#[test]
fn a_status_is_an_int32() {
    assert_eq!((size_of::<contrib_status>(), contrib_status::MIN), (4, i32::MIN));
}
