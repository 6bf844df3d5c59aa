//! Structs that say their own size, arrays of them, and contexts: what is wrong is found, what is newer works.

mod common;

use common::harm::{fails_by, goes_well_by};
use common::{
    Arg, Call, Function, NO_ATTENTION_INPUTS, NO_ATTENTION_RESULTS, NO_NEURONS_RESULTS, NO_QUERIES_AND_KEYS,
    dense_group, message, plain_options, small,
};
use contrib::attention::{contrib_attention_inputs, contrib_attention_results, contrib_one_off};
use contrib::context::{
    contrib_context, contrib_context_free, contrib_context_kept_memory, contrib_context_limit_kept_memory,
    contrib_context_new, contrib_context_release_memory, contrib_context_threads,
};
use contrib::groups::contrib_group;
use contrib::neurons::{contrib_neurons_inputs, contrib_neurons_results};
use contrib::operations::{contrib_attention_factored, contrib_group_contributions, contrib_mlp_neurons};
use contrib::options::contrib_options;
use contrib::prepared_projection::{
    contrib_prepared_projection, contrib_prepared_projection_free, contrib_prepared_projection_new,
};
use contrib::queries_and_keys::contrib_queries_and_keys;
use contrib::status::*;
use contrib::tensor::contrib_tensor;
use std::ptr;

/// A struct whose `struct_size` says this, in as many bytes as that is (but at least the first version's and at most
/// 8192); those of fields that do not fit are not there, and those after all known fields are zeros.
fn of_size<T: Copy>(value: T, struct_size: usize, first: usize) -> Vec<u8> {
    let mut bytes = vec![0; struct_size.clamp(first, 8192)];
    let known = bytes.len().min(size_of::<T>());
    // SAFETY: both have so many bytes, which are all initialised: the structs have no padding.
    unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping((&raw const value).cast(), known) };
    bytes[..size_of::<usize>()].copy_from_slice(&struct_size.to_ne_bytes());
    bytes
}

/// Options that say this size.
fn options_of_size(struct_size: usize) -> Vec<u8> {
    of_size(plain_options(), struct_size, 24)
}

#[test]
fn options_of_no_possible_size_are_found() {
    for function in Function::ALL {
        for size in [0, 1, 8, 16, 23, 4097, 5000, isize::MAX as usize, usize::MAX] {
            let options = options_of_size(size);
            let sentence = format!("options: expected a struct_size from 24 to 4096, the same for all, got {size}");
            fails_by("size", &mut small(function), CONTRIB_ERROR_STRUCT_SIZE, Some(&sentence), |call| {
                call.run_with(options.as_ptr().cast())
            });
        }
    }
}

#[test]
fn options_of_a_later_version_work_where_what_is_unknown_is_zero() {
    for function in Function::ALL {
        let expected = small(function).results_of_run();
        for size in [24, 25, 31, 32, 33, 40, 4096] {
            let mut options = options_of_size(size);
            let mut call = small(function);
            goes_well_by("zeros", &mut call, |call| call.run_with(options.as_ptr().cast()));
            assert_eq!(call.results(), expected);
            // A field that is cut in two is not known.
            let known = if size < 32 { 24 } else { 32 };
            let sentence = format!("options: expected zeros after the {known} bytes that this version knows");
            for byte in [known, size / 2, size - 1].into_iter().filter(|byte| (known..size).contains(byte)) {
                options[byte] = 1;
                fails_by("no zero", &mut small(function), CONTRIB_ERROR_UNKNOWN_FIELD, Some(&sentence), |call| {
                    call.run_with(options.as_ptr().cast())
                });
                options[byte] = 0;
            }
        }
    }
}

#[test]
fn options_of_the_first_version_are_not_read_further() {
    for function in Function::ALL {
        let expected = small(function).results_of_run();
        // The threshold behind them is another's.
        let options = contrib_options { struct_size: 24, threshold: f64::NAN, ..plain_options() };
        let mut call = small(function);
        goes_well_by("24 bytes", &mut call, |call| call.run_with(&raw const options));
        assert_eq!(call.results(), expected);
        let options = contrib_options { struct_size: 32, ..options };
        let sentence = Some("threshold: expected a number, got NaN");
        fails_by("32 bytes", &mut small(function), CONTRIB_ERROR_THRESHOLD, sentence, |call| {
            call.run_with(&raw const options)
        });
    }
}

#[test]
fn null_options_are_the_defaults() {
    for function in Function::ALL {
        let mut call = small(function);
        goes_well_by("NULL", &mut call, |call| call.run_with(ptr::null()));
        assert_eq!(call.results(), small(function).results_of_run(), "{function:?}");
    }
}

/// The groups of a small call as an array of structs of these sizes, with zeros in the bytes that are not known.
struct Groups {
    whole: contrib_tensor,
    /// In pairs of parts and results.
    tensors: [contrib_tensor; 4],
    bytes: Vec<u8>,
}

impl Groups {
    fn new(call: &mut Call, sizes: [usize; 2], stride: usize) -> Box<Self> {
        Self::with_coefficients(call, sizes, stride, ptr::null())
    }

    /// Both with the same coefficients, where the sizes reach that far.
    fn with_coefficients(
        call: &mut Call,
        sizes: [usize; 2],
        stride: usize,
        coefficients: *const contrib_tensor,
    ) -> Box<Self> {
        let [whole, parts, other_parts, out, other_out] =
            [0, 1, 2, 3, 4].map(|number| call.args[number].as_mut().unwrap().tensor());
        let tensors = [parts, out, other_parts, other_out];
        let mut groups = Box::new(Groups { whole, tensors, bytes: vec![0; 2 * stride] });
        for (index, struct_size) in sizes.into_iter().enumerate() {
            let [parts, out] = [&raw const groups.tensors[2 * index], &raw const groups.tensors[2 * index + 1]];
            let group = contrib_group { coefficients, ..dense_group(parts, out) };
            let group = of_size(group, stride, 24);
            groups.bytes[index * stride..][..stride].copy_from_slice(&group);
            groups.bytes[index * stride..][..size_of::<usize>()].copy_from_slice(&struct_size.to_ne_bytes());
        }
        groups
    }

    fn run(&self) -> contrib_status {
        // SAFETY: the array has two groups of the size that they say, and what they point to is alive.
        unsafe { contrib_group_contributions(&raw const self.whole, self.bytes.as_ptr().cast(), 2, ptr::null()) }
    }
}

#[test]
fn groups_of_no_possible_size_or_of_different_sizes_are_found() {
    let said = |index, least, size| {
        format!(
            "groups[{index}].struct_size: expected a struct_size from {least} to 4096, the same for all, got {size}"
        )
    };
    #[rustfmt::skip]
    let rows = [
        ([0, 24], 24, said(0, 24, 0)), ([8, 24], 24, said(0, 24, 8)), ([23, 24], 24, said(0, 24, 23)),
        ([5000, 24], 5000, said(0, 24, 5000)), ([usize::MAX, 24], 24, said(0, 24, usize::MAX)),
        ([24, 0], 24, said(1, 24, 0)), ([24, 32], 32, said(1, 24, 0)), ([32, 24], 32, said(1, 32, 24)),
        ([32, 40], 32, said(1, 32, 40)), ([24, 4097], 24, said(1, 24, 4097)),
    ];
    for (sizes, stride, sentence) in rows {
        let mut call = small(Function::Groups);
        let groups = Groups::new(&mut call, sizes, stride.max(48));
        // The array's real step is that of the first size wherever that is possible.
        let groups = if (24..=4096).contains(&sizes[0]) && stride == sizes[0] {
            let mut groups = Groups::new(&mut call, sizes, stride);
            groups.bytes.resize(8192, 0);
            groups
        } else {
            groups
        };
        fails_by(&format!("{sizes:?}"), &mut call, CONTRIB_ERROR_STRUCT_SIZE, Some(&sentence), |_| groups.run());
    }
}

#[test]
fn groups_of_a_later_version_work_where_what_is_unknown_is_zero() {
    let expected = small(Function::Groups).results_of_run();
    for size in [24, 25, 32, 39, 40, 48, 56, 60, 64, 65, 72, 96, 103, 104, 105, 111, 112, 113, 120, 4096] {
        let mut call = small(Function::Groups);
        let groups = Groups::new(&mut call, [size, size], size);
        goes_well_by("zeros", &mut call, |_| groups.run());
        assert_eq!(call.results(), expected);
        // A field that is cut in two is not known.
        let known = (size - size % 8).min(112);
        for byte in [known, size - 1, size + known, 2 * size - 1] {
            let mut call = small(Function::Groups);
            let mut groups = Groups::new(&mut call, [size, size], size);
            if byte % size < known || byte >= 2 * size {
                continue;
            }
            groups.bytes[byte] = 255;
            let index = byte / size;
            let sentence =
                format!("groups[{index}].struct_size: expected zeros after the {known} bytes that this version knows");
            fails_by("no zero", &mut call, CONTRIB_ERROR_UNKNOWN_FIELD, Some(&sentence), |_| groups.run());
        }
    }
}

#[test]
fn groups_of_any_version_have_the_fields_that_their_size_holds() {
    let expected = small(Function::Groups).results_of_run();
    for size in [24, 32, 40, 56, 64, 100, 104, 112, 120] {
        let coefficients_of_shape = |shape: &mut [i64; 2], check: &dyn Fn(*const contrib_tensor)| {
            // Coefficients of 1 change dense parts to factored ones, and nothing else.
            let mut ones = [1.0_f32; 8];
            let mut call = small(Function::Groups);
            let data = ones.as_mut_ptr().cast();
            let (shape, strides) = (shape.as_mut_ptr(), ptr::null_mut());
            check(&contrib_tensor { data, shape, strides, ndim: 2, ..call.arg("whole").tensor() });
        };
        coefficients_of_shape(&mut [2, 3], &|coefficients| {
            let mut call = small(Function::Groups);
            // The second group has one part and would need others.
            let mut groups = Groups::with_coefficients(&mut call, [size, size], size, coefficients);
            if size > 24 {
                groups.bytes[size + 24..size + 32].fill(0);
            }
            goes_well_by("ones", &mut call, |_| groups.run());
            for (found, expected) in call.results().concat().into_iter().zip(expected.concat()) {
                let [found, expected] = [found, expected].map(|bits| f32::from_bits(bits as u32));
                assert!((found - expected).abs() < 1e-6, "{size} bytes: {found}, not {expected}");
            }
        });
        coefficients_of_shape(&mut [2, 4], &|coefficients| {
            let mut call = small(Function::Groups);
            let groups = Groups::with_coefficients(&mut call, [size, size], size, coefficients);
            if size == 24 {
                goes_well_by("none", &mut call, |_| groups.run());
                assert_eq!(call.results(), expected);
            } else {
                let sentence = "groups[0].coefficients: expected [*, 3] to match whole, got [2, 4]";
                fails_by("a shape", &mut call, CONTRIB_ERROR_SHAPE, Some(sentence), |_| groups.run());
            }
        });
    }
}

#[test]
fn groups_may_be_null_where_there_are_none() {
    let mut call = small(Function::Groups);
    let mut run = |whole: bool, groups: *const contrib_group, n_groups: usize| {
        let tensor = call.arg("whole").tensor();
        let whole = if whole { &raw const tensor } else { ptr::null() };
        // SAFETY: `groups` is null, not read, or there are more than can be.
        unsafe { contrib_group_contributions(whole, groups, n_groups, ptr::null()) }
    };
    assert_eq!(run(true, ptr::null(), 0), CONTRIB_OK);
    assert_eq!(run(true, ptr::dangling(), 0), CONTRIB_OK);
    for n_groups in [1, 2, usize::MAX] {
        assert_eq!(run(true, ptr::null(), n_groups), CONTRIB_ERROR_NULL_POINTER);
        assert_eq!(message(), "groups: expected a pointer, got NULL");
    }
    assert_eq!(run(false, ptr::null(), 0), CONTRIB_ERROR_NULL_POINTER);
    assert_eq!(message(), "whole: expected a pointer, got NULL");
    assert_eq!(run(true, ptr::dangling(), usize::MAX), CONTRIB_ERROR_OUT_OF_MEMORY);
    assert!(message().starts_with("groups: "), "{}", message());
}

/// The structs of a small call, and the tensors that they point to.
struct Structs {
    attention_inputs: contrib_attention_inputs,
    attention_results: contrib_attention_results,
    neurons_inputs: contrib_neurons_inputs,
    neurons_results: contrib_neurons_results,
    tensors: Vec<contrib_tensor>,
}

impl Structs {
    /// Those of a call of factored attention, or of neurons.
    fn of(call: &mut Call) -> Self {
        let tensors: Vec<contrib_tensor> = call.args.iter_mut().flatten().map(Arg::tensor).collect();
        let tensor = |number: usize| tensors.get(number).map_or(ptr::null(), ptr::from_ref);
        let [pattern, values, w_o] = [2, 3, 4].map(tensor);
        let struct_size = size_of::<contrib_neurons_inputs>();
        let [resid_mid, resid_post, activations, w_out] = [0, 1, 2, 3].map(tensor);
        Structs {
            attention_inputs: contrib_attention_inputs {
                resid_pre: tensor(0),
                resid_mid: tensor(1),
                pattern,
                values,
                w_o,
                ..NO_ATTENTION_INPUTS
            },
            attention_results: contrib_attention_results {
                out_attn: tensor(5),
                out_resid: tensor(6),
                ..NO_ATTENTION_RESULTS
            },
            neurons_inputs: contrib_neurons_inputs { struct_size, resid_mid, resid_post, activations, w_out },
            neurons_results: contrib_neurons_results {
                out_neurons: tensor(4),
                out_resid: tensor(5),
                ..NO_NEURONS_RESULTS
            },
            tensors,
        }
    }
}

/// Runs a call of factored attention with these structs.
fn run_attention(inputs: *const contrib_attention_inputs, results: *const contrib_attention_results) -> contrib_status {
    // SAFETY: the structs are null or as the test has made them, and their tensors are alive.
    unsafe { contrib_attention_factored(inputs, results, &plain_options()) }
}

/// Runs a call of neurons with these structs.
fn run_neurons(inputs: *const contrib_neurons_inputs, results: *const contrib_neurons_results) -> contrib_status {
    // SAFETY: as above.
    unsafe { contrib_mlp_neurons(inputs, results, &plain_options()) }
}

/// Calls of a function in which one struct is of any size.
struct Sized {
    function: Function,
    /// The argument that the struct is.
    name: &'static str,
    /// Its size.
    known: usize,
    /// Its bytes, where it says that it has this size.
    bytes: fn(&Structs, usize) -> Vec<u8>,
    /// Runs the call with this struct and the others as they are.
    run: fn(&Structs, *const u8) -> contrib_status,
}

const SIZED: [Sized; 5] = [
    Sized {
        function: Function::AttentionFactored,
        name: "inputs",
        known: 88,
        bytes: |structs, size| of_size(structs.attention_inputs, size, 88),
        run: |structs, start| run_attention(start.cast(), &raw const structs.attention_results),
    },
    Sized {
        function: Function::AttentionFactored,
        name: "results",
        known: 80,
        bytes: |structs, size| of_size(structs.attention_results, size, 80),
        run: |structs, start| run_attention(&raw const structs.attention_inputs, start.cast()),
    },
    Sized {
        function: Function::MlpNeurons,
        name: "inputs",
        known: 40,
        bytes: |structs, size| of_size(structs.neurons_inputs, size, 40),
        run: |structs, start| run_neurons(start.cast(), &raw const structs.neurons_results),
    },
    Sized {
        function: Function::MlpNeurons,
        name: "results",
        known: 56,
        bytes: |structs, size| of_size(structs.neurons_results, size, 56),
        run: |structs, start| run_neurons(&raw const structs.neurons_inputs, start.cast()),
    },
    Sized {
        function: Function::AttentionFactored,
        name: "queries_and_keys",
        known: 104,
        bytes: |_, size| of_size(NO_QUERIES_AND_KEYS, size, 104),
        run: |structs, start| {
            let (pattern, queries_and_keys) = (ptr::null(), start.cast());
            let inputs = contrib_attention_inputs { pattern, queries_and_keys, ..structs.attention_inputs };
            run_attention(&raw const inputs, &raw const structs.attention_results)
        },
    },
];

#[test]
fn structs_of_inputs_and_results_of_no_possible_size_are_found() {
    for Sized { function, name, known, bytes, run } in SIZED {
        for size in [0, 1, 8, 24, known - 1, 4097, isize::MAX as usize, usize::MAX] {
            let mut call = small(function);
            let structs = Structs::of(&mut call);
            let bytes = bytes(&structs, size);
            let sentence = format!("{name}: expected a struct_size from {known} to 4096, the same for all, got {size}");
            fails_by(name, &mut call, CONTRIB_ERROR_STRUCT_SIZE, Some(&sentence), |_| run(&structs, bytes.as_ptr()));
        }
    }
}

#[test]
fn structs_of_a_later_version_work_where_what_is_unknown_is_zero() {
    for Sized { function, name, known, bytes, run } in SIZED {
        let expected = small(function).results_of_run();
        for size in [known, known + 1, known + 8, 4096] {
            let mut call = small(function);
            let structs = Structs::of(&mut call);
            // At an odd address, as any struct may be.
            let mut bytes = [vec![0], bytes(&structs, size)].concat();
            if name == "queries_and_keys" {
                let sentence = Some("queries: expected a pointer, got NULL");
                fails_by("zeros", &mut call, CONTRIB_ERROR_NULL_POINTER, sentence, |_| {
                    run(&structs, bytes[1..].as_ptr())
                });
            } else {
                goes_well_by("zeros", &mut call, |_| run(&structs, bytes[1..].as_ptr()));
                assert_eq!(call.results(), expected);
            }
            for byte in [known, size - 1].into_iter().filter(|byte| (known..size).contains(byte)) {
                bytes[1 + byte] = 1;
                let sentence = format!("{name}: expected zeros after the {known} bytes that this version knows");
                let mut call = small(function);
                let structs = Structs::of(&mut call);
                fails_by("no zero", &mut call, CONTRIB_ERROR_UNKNOWN_FIELD, Some(&sentence), |_| {
                    run(&structs, bytes[1..].as_ptr())
                });
                bytes[1 + byte] = 0;
            }
        }
    }
}

#[test]
fn structs_of_inputs_and_results_cannot_be_null() {
    for Sized { function, name, run, .. } in SIZED {
        let mut call = small(function);
        let structs = Structs::of(&mut call);
        let sentence = match name {
            "queries_and_keys" => {
                "pattern: expected a pointer, as there must be without queries_and_keys, got NULL".to_owned()
            }
            name => format!("{name}: expected a pointer, got NULL"),
        };
        fails_by("NULL", &mut call, CONTRIB_ERROR_NULL_POINTER, Some(&sentence), |_| run(&structs, ptr::null()));
    }
    assert_eq!(run_attention(ptr::null(), ptr::null()), CONTRIB_ERROR_NULL_POINTER);
    assert_eq!(run_neurons(ptr::null(), ptr::null()), CONTRIB_ERROR_NULL_POINTER);
}

#[test]
fn of_two_fields_that_say_the_same_one_at_most_is_given() {
    type Change = fn(&mut contrib_attention_inputs, *const contrib_tensor);
    #[rustfmt::skip]
    let rows: [(Change, contrib_status, &str); 8] = [
        (|inputs, tensor| inputs.queries_and_keys = tensor.cast(), CONTRIB_ERROR_CONFLICT,
            "pattern: expected none where there is queries_and_keys, got both"),
        (|inputs, _| inputs.pattern = ptr::null(), CONTRIB_ERROR_NULL_POINTER,
            "pattern: expected a pointer, as there must be without queries_and_keys, got NULL"),
        (|inputs, tensor| inputs.value_output = tensor, CONTRIB_ERROR_CONFLICT,
            "values: expected none where there is value_output, got both"),
        (|inputs, tensor| (inputs.value_output, inputs.values) = (tensor, ptr::null()), CONTRIB_ERROR_CONFLICT,
            "w_o: expected none where there is value_output, got both"),
        (|inputs, _| inputs.values = ptr::null(), CONTRIB_ERROR_NULL_POINTER,
            "values: expected a pointer, as there must be without value_output, got NULL"),
        (|inputs, _| inputs.w_o = ptr::null(), CONTRIB_ERROR_NULL_POINTER,
            "w_o: expected a pointer, as there must be without value_output, got NULL"),
        (|inputs, _| (inputs.values, inputs.w_o) = (ptr::null(), ptr::null()), CONTRIB_ERROR_NULL_POINTER,
            "values: expected a pointer, as there must be without value_output, got NULL"),
        (|inputs, tensor| {
            (inputs.values, inputs.w_o, inputs.value_output) = (ptr::null(), ptr::null(), tensor);
            inputs.prepared = ptr::dangling();
        }, CONTRIB_ERROR_CONFLICT,
            "prepared: expected none where there is value_output, got both"),
    ];
    // What is given twice is not read.
    for (change, status, sentence) in rows {
        let mut call = small(Function::AttentionFactored);
        let structs = Structs::of(&mut call);
        let mut inputs = structs.attention_inputs;
        change(&mut inputs, &raw const structs.tensors[0]);
        fails_by(sentence, &mut call, status, Some(sentence), |_| {
            run_attention(&raw const inputs, &raw const structs.attention_results)
        });
    }
}

#[test]
fn coefficients_and_queries_and_keys_of_one_group_are_found() {
    let nothing = NO_QUERIES_AND_KEYS;
    let mut call = small(Function::Groups);
    let tensors: Vec<contrib_tensor> = call.args.iter_mut().flatten().map(Arg::tensor).collect();
    let group = contrib_group {
        coefficients: &raw const tensors[0],
        queries_and_keys: &raw const nothing,
        ..dense_group(&raw const tensors[1], &raw const tensors[3])
    };
    let run = |group: &contrib_group| {
        // SAFETY: the group and what it points to are alive.
        unsafe { contrib_group_contributions(&raw const tensors[0], group, 1, ptr::null()) }
    };
    let sentence = "groups[0].coefficients: expected none where there is groups[0].queries_and_keys, got both";
    fails_by("both", &mut call, CONTRIB_ERROR_CONFLICT, Some(sentence), |_| run(&group));
    let group = contrib_group { coefficients: ptr::null(), ..group };
    let sentence = "groups[0].queries: expected a pointer, got NULL";
    fails_by("no queries", &mut call, CONTRIB_ERROR_NULL_POINTER, Some(sentence), |_| run(&group));
    let nothing = contrib_queries_and_keys { struct_size: 8, ..nothing };
    let group = contrib_group { queries_and_keys: &raw const nothing, ..group };
    let sentence = "groups[0].queries_and_keys: expected a struct_size from 104 to 4096, the same for all, got 8";
    fails_by("size", &mut call, CONTRIB_ERROR_STRUCT_SIZE, Some(sentence), |_| run(&group));
    let nothing = contrib_queries_and_keys { struct_size: 104, flags: 4, ..nothing };
    let group = contrib_group { queries_and_keys: &raw const nothing, ..group };
    let sentence = "groups[0].queries_and_keys.flags: expected none but the flags 0x1 that this version knows, got 0x4";
    fails_by("flags", &mut call, CONTRIB_ERROR_FLAGS, Some(sentence), |_| run(&group));
}

#[test]
fn fields_of_results_that_mean_nothing_without_another_are_found() {
    type Change = fn(&mut contrib_attention_results, *const contrib_tensor);
    #[rustfmt::skip]
    let rows: [(Change, &str); 8] = [
        (|results, tensor| results.counts = tensor, "indices: expected a pointer, as there must be with counts"),
        (|results, tensor| (results.counts, results.left_out) = (tensor, tensor),
            "indices: expected a pointer, as there must be with counts"),
        (|results, tensor| results.left_out = tensor, "counts: expected a pointer, as there must be with left_out"),
        (|results, tensor| (results.indices, results.left_out) = (tensor, tensor),
            "counts: expected a pointer, as there must be with left_out"),
        (|results, tensor| (results.indices, results.counts) = (tensor, tensor),
            "left_out: expected a pointer, as there must be with counts"),
        (|results, _| results.above = 0.5,
            "counts: expected a pointer, as there must be with above"),
        (|results, tensor| (results.indices, results.above) = (tensor, -0.5),
            "counts: expected a pointer, as there must be with above"),
        (|results, _| results.above = f64::NAN,
            "counts: expected a pointer, as there must be with above"),
    ];
    for (change, sentence) in rows {
        let mut call = small(Function::AttentionFactored);
        let structs = Structs::of(&mut call);
        let mut results = structs.attention_results;
        change(&mut results, &raw const structs.tensors[0]);
        let sentence = format!("{sentence}, got NULL");
        fails_by(&sentence, &mut call, CONTRIB_ERROR_NULL_POINTER, Some(&sentence), |_| {
            run_attention(&raw const structs.attention_inputs, &raw const results)
        });

        let contrib_attention_results { indices, counts, left_out, above, .. } = results;
        let mut call = small(Function::MlpNeurons);
        let structs = Structs::of(&mut call);
        let results = contrib_neurons_results { indices, counts, left_out, above, ..structs.neurons_results };
        fails_by(&sentence, &mut call, CONTRIB_ERROR_NULL_POINTER, Some(&sentence), |_| {
            run_neurons(&raw const structs.neurons_inputs, &raw const results)
        });
    }
}

#[test]
fn one_offs_may_be_null_where_there_are_none() {
    let expected = small(Function::AttentionFactored).results_of_run();
    for one_offs in [ptr::null(), ptr::dangling()] {
        let mut call = small(Function::AttentionFactored);
        let structs = Structs::of(&mut call);
        let results = contrib_attention_results { one_offs, ..structs.attention_results };
        goes_well_by("none", &mut call, |_| run_attention(&raw const structs.attention_inputs, &raw const results));
        assert_eq!(call.results(), expected);
    }
    let fails = |status, sentence, one_offs, n_one_offs| {
        let mut call = small(Function::AttentionFactored);
        let structs = Structs::of(&mut call);
        let results = contrib_attention_results { one_offs, n_one_offs, ..structs.attention_results };
        fails_by("one_offs", &mut call, status, sentence, |_| {
            run_attention(&raw const structs.attention_inputs, &raw const results)
        });
    };
    for n_one_offs in [1, 2, usize::MAX] {
        let sentence = Some("one_offs: expected a pointer, got NULL");
        fails(CONTRIB_ERROR_NULL_POINTER, sentence, ptr::null(), n_one_offs);
    }
    for n_one_offs in [usize::MAX, usize::MAX / 16, isize::MAX as usize / 16, 1 << 48] {
        fails(CONTRIB_ERROR_OUT_OF_MEMORY, None, ptr::dangling(), n_one_offs);
        assert!(message().starts_with("one_offs: "), "{}", message());
    }
    let empty = contrib_one_off { part: ptr::null(), out: ptr::null() };
    let sentence = Some("one_offs[0].part: expected a pointer, got NULL");
    fails(CONTRIB_ERROR_NULL_POINTER, sentence, &raw const empty, 1);
}

/// A tensor of ones with these extents.
fn ones(numbers: &[f32], shape: &mut [i64]) -> contrib_tensor {
    assert!(shape.iter().product::<i64>() as usize <= numbers.len());
    let (ndim, shape) = (shape.len() as i32, shape.as_mut_ptr());
    let mut tensor = small(Function::Contributions).arg("whole").tensor();
    (tensor.data, tensor.ndim, tensor.shape) = (numbers.as_ptr().cast_mut().cast(), ndim, shape);
    (tensor.strides, tensor.byte_offset) = (ptr::null_mut(), 0);
    tensor
}

#[test]
fn projections_that_cannot_be_prepared_leave_the_pointer_alone() {
    let numbers = [1.0_f32; 24];
    let (mut shape, mut one_axis) = ([2, 3, 4], [4]);
    let (projection, vector) = (ones(&numbers, &mut shape), ones(&numbers, &mut one_axis));
    let canary = ptr::without_provenance_mut::<contrib_prepared_projection>(0x5a5a);
    let fails = |projection: *const contrib_tensor, options: &contrib_options, status, sentence: &str| {
        let mut prepared = canary;
        // SAFETY: the tensor is null or alive, and the pointer may be written.
        let found = unsafe { contrib_prepared_projection_new(projection, options, &raw mut prepared) };
        assert_eq!((found, message().as_str(), prepared), (status, sentence, canary));
    };
    let options = plain_options();
    fails(ptr::null(), &options, CONTRIB_ERROR_NULL_POINTER, "projection: expected a pointer, got NULL");
    fails(&raw const vector, &options, CONTRIB_ERROR_RANK, "projection: expected [p.., r, d], got [4]");
    let options = contrib_options { norm: 0.5, ..options };
    let sentence = "norm: expected a number >= 1 or infinity, got 0.5";
    fails(&raw const projection, &options, CONTRIB_ERROR_NORM, sentence);
    // SAFETY: the tensor is alive; null is allowed.
    unsafe {
        let status = contrib_prepared_projection_new(&raw const projection, ptr::null(), ptr::null_mut());
        assert_eq!(status, CONTRIB_ERROR_NULL_POINTER);
        assert_eq!(message(), "out: expected a pointer, got NULL");
        contrib_prepared_projection_free(ptr::null_mut());
    }
}

#[test]
fn what_was_prepared_of_another_tensor_is_found() {
    let (numbers, others) = ([1.0_f32; 24], [1.0_f32; 24]);
    let mut shapes = ([2, 3, 4], [2, 3, 4], [2], [2, 3], [4], [2]);
    let (own, other) = (ones(&numbers, &mut shapes.0), ones(&others, &mut shapes.1));
    let (coefficients, values, whole) =
        (ones(&numbers, &mut shapes.2), ones(&numbers, &mut shapes.3), ones(&numbers, &mut shapes.4));
    let results = [7.0_f32; 2];
    let out = ones(&results, &mut shapes.5);
    let mut prepared = ptr::null_mut();
    // SAFETY: the tensor is alive, and the pointer may be written.
    assert_eq!(unsafe { contrib_prepared_projection_new(&raw const own, ptr::null(), &raw mut prepared) }, CONTRIB_OK);
    let group = contrib_group {
        coefficients: &raw const coefficients,
        projection: &raw const other,
        prepared,
        ..dense_group(&raw const values, &raw const out)
    };
    let run = |group: &contrib_group| {
        // SAFETY: the group and what it points to are alive.
        unsafe { contrib_group_contributions(&raw const whole, group, 1, ptr::null()) }
    };
    assert_eq!(run(&group), CONTRIB_ERROR_PREPARED);
    let sentence = "groups[0].prepared: expected what was prepared of groups[0].projection, ";
    assert!(message().starts_with(sentence), "{}", message());
    let without = contrib_group { projection: ptr::null(), ..group };
    assert_eq!(run(&without), CONTRIB_ERROR_NULL_POINTER);
    assert_eq!(message(), "groups[0].projection: expected a pointer, as there must be with prepared, got NULL");

    let mut call = small(Function::AttentionFactored);
    let structs = Structs::of(&mut call);
    let inputs = contrib_attention_inputs { prepared, ..structs.attention_inputs };
    fails_by("another w_o", &mut call, CONTRIB_ERROR_PREPARED, None, |_| {
        run_attention(&raw const inputs, &raw const structs.attention_results)
    });
    assert!(message().starts_with("prepared: expected what was prepared of w_o, "), "{}", message());
    // SAFETY: it was made above, and is freed once.
    unsafe { contrib_prepared_projection_free(prepared) };
}

#[test]
fn attention_has_the_same_bits_with_a_prepared_w_o() {
    let expected = small(Function::AttentionFactored).results_of_run();
    let mut call = small(Function::AttentionFactored);
    let structs = Structs::of(&mut call);
    let mut prepared = ptr::null_mut();
    // SAFETY: the tensor is alive, and the pointer may be written.
    let status =
        unsafe { contrib_prepared_projection_new(structs.attention_inputs.w_o, ptr::null(), &raw mut prepared) };
    assert_eq!(status, CONTRIB_OK);
    let inputs = contrib_attention_inputs { prepared, ..structs.attention_inputs };
    goes_well_by("prepared", &mut call, |_| run_attention(&raw const inputs, &raw const structs.attention_results));
    assert_eq!(call.results(), expected);
    // SAFETY: it was made above, and is freed once.
    unsafe { contrib_prepared_projection_free(prepared) };
}

#[test]
fn contexts_that_cannot_be_made_leave_the_pointer_alone() {
    // SAFETY: null is allowed.
    assert_eq!(unsafe { contrib_context_new(1, ptr::null_mut()) }, CONTRIB_ERROR_NULL_POINTER);
    assert_eq!(message(), "out: expected a pointer, got NULL");
    let canary = ptr::without_provenance_mut::<contrib_context>(0x5a5a);
    for threads in [1025, 1 << 32, usize::MAX] {
        let mut context = canary;
        // SAFETY: the pointer may be written.
        assert_eq!(unsafe { contrib_context_new(threads, &raw mut context) }, CONTRIB_ERROR_TOO_MANY_THREADS);
        assert_eq!(message(), format!("n_threads: expected at most 1024 threads, got {threads}"));
        assert_eq!(context, canary);
    }
}

#[test]
fn a_null_context_can_be_asked_and_freed() {
    // SAFETY: null is allowed.
    unsafe {
        assert_eq!(contrib_context_threads(ptr::null()), 0);
        assert_eq!(contrib_context_kept_memory(ptr::null()), 0);
        contrib_context_release_memory(ptr::null());
        contrib_context_free(ptr::null_mut());
    }
}

#[test]
fn a_null_context_has_no_limit_of_kept_memory() {
    // SAFETY: null is allowed.
    assert_eq!(unsafe { contrib_context_limit_kept_memory(ptr::null(), 1 << 20) }, CONTRIB_ERROR_NULL_POINTER);
    assert_eq!(message(), "context: expected a pointer, got NULL");
}
