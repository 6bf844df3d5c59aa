//! Structs that say their own size, arrays of them, and contexts: what is wrong is found, what is newer works.

mod common;

use common::harm::{fails_by, goes_well_by};
use common::{Arg, Call, Function, dense_group, message, plain_options, small};
use contrib::attention_extras::{contrib_attention_extras, contrib_one_off};
use contrib::context::{contrib_context, contrib_context_free, contrib_context_new, contrib_context_threads};
use contrib::groups::contrib_group;
use contrib::operations::{contrib_attention_factored, contrib_group_contributions};
use contrib::options::contrib_options;
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
    for size in [24, 25, 32, 39, 40, 48, 56, 60, 64, 65, 72, 4096] {
        let mut call = small(Function::Groups);
        let groups = Groups::new(&mut call, [size, size], size);
        goes_well_by("zeros", &mut call, |_| groups.run());
        assert_eq!(call.results(), expected);
        // A field that is cut in two is not known.
        let known = (size - size % 8).min(64);
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
    for size in [24, 32, 40, 56, 64, 100] {
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

/// Runs a small call of factored attention with these extras.
fn run_with_extras(call: &mut Call, extras: *const contrib_attention_extras) -> contrib_status {
    let tensors: Vec<contrib_tensor> = call.args.iter_mut().flatten().map(Arg::tensor).collect();
    let [pre, mid, pattern, values, w_o, out_attn, out_resid] =
        [0, 1, 2, 3, 4, 5, 6].map(|number| &raw const tensors[number]);
    // SAFETY: the tensors are alive, and the extras as the test has made them.
    unsafe { contrib_attention_factored(pre, mid, pattern, values, w_o, extras, out_attn, out_resid, &plain_options()) }
}

const NO_EXTRAS: contrib_attention_extras = contrib_attention_extras {
    struct_size: size_of::<contrib_attention_extras>(),
    scale: ptr::null(),
    one_offs: ptr::null(),
    n_one_offs: 0,
    flags: 0,
};

#[test]
fn extras_of_no_possible_size_are_found() {
    for size in [0, 1, 8, 24, 39, 4097, isize::MAX as usize, usize::MAX] {
        let extras = of_size(NO_EXTRAS, size, 40);
        let sentence = format!("extras: expected a struct_size from 40 to 4096, the same for all, got {size}");
        let mut call = small(Function::AttentionFactored);
        fails_by("size", &mut call, CONTRIB_ERROR_STRUCT_SIZE, Some(&sentence), |call| {
            run_with_extras(call, extras.as_ptr().cast())
        });
    }
}

#[test]
fn extras_of_a_later_version_work_where_what_is_unknown_is_zero() {
    let expected = small(Function::AttentionFactored).results_of_run();
    for size in [40, 41, 48, 4096] {
        // At an odd address, as any struct may be.
        let mut extras = [vec![0], of_size(NO_EXTRAS, size, 40)].concat();
        let mut call = small(Function::AttentionFactored);
        goes_well_by("zeros", &mut call, |call| run_with_extras(call, extras[1..].as_ptr().cast()));
        assert_eq!(call.results(), expected);
        if size > 40 {
            extras[size] = 1;
            let sentence = Some("extras: expected zeros after the 40 bytes that this version knows");
            let mut call = small(Function::AttentionFactored);
            fails_by("no zero", &mut call, CONTRIB_ERROR_UNKNOWN_FIELD, sentence, |call| {
                run_with_extras(call, extras[1..].as_ptr().cast())
            });
        }
    }
}

#[test]
fn one_offs_may_be_null_where_there_are_none() {
    let expected = small(Function::AttentionFactored).results_of_run();
    for one_offs in [ptr::null(), ptr::dangling()] {
        let extras = contrib_attention_extras { one_offs, ..NO_EXTRAS };
        let mut call = small(Function::AttentionFactored);
        goes_well_by("none", &mut call, |call| run_with_extras(call, &raw const extras));
        assert_eq!(call.results(), expected);
    }
    let fails = |status, sentence, extras: &contrib_attention_extras| {
        let mut call = small(Function::AttentionFactored);
        fails_by("one_offs", &mut call, status, sentence, |call| run_with_extras(call, extras));
    };
    for n_one_offs in [1, 2, usize::MAX] {
        let extras = contrib_attention_extras { n_one_offs, ..NO_EXTRAS };
        fails(CONTRIB_ERROR_NULL_POINTER, Some("one_offs: expected a pointer, got NULL"), &extras);
    }
    for n_one_offs in [usize::MAX, usize::MAX / 16, isize::MAX as usize / 16, 1 << 48] {
        let extras = contrib_attention_extras { one_offs: ptr::dangling(), n_one_offs, ..NO_EXTRAS };
        fails(CONTRIB_ERROR_OUT_OF_MEMORY, None, &extras);
        assert!(message().starts_with("one_offs: "), "{}", message());
    }
    let empty = contrib_one_off { part: ptr::null(), out: ptr::null() };
    let extras = contrib_attention_extras { one_offs: &raw const empty, n_one_offs: 1, ..NO_EXTRAS };
    fails(CONTRIB_ERROR_NULL_POINTER, Some("one_offs[0].part: expected a pointer, got NULL"), &extras);
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
        contrib_context_free(ptr::null_mut());
    }
}
