//! Structs that say their own size, arrays of them, and contexts: what is wrong is found, what is newer works.

mod common;

use common::harm::{fails_by, goes_well_by};
use common::{Call, Function, message, small};
use contrib::context::{contrib_context, contrib_context_free, contrib_context_new, contrib_context_threads};
use contrib::operations::{contrib_group, contrib_group_contributions};
use contrib::options::contrib_options;
use contrib::status::*;
use contrib::tensor::contrib_tensor;
use std::ptr;

/// Options whose `struct_size` says this, in as many bytes as that is (but at least the first version's and at most
/// 8192); those after the first version are `tail`.
fn options_of_size(struct_size: usize, tail: u8) -> Vec<u8> {
    let options = contrib_options { struct_size, norm: 1.0, context: ptr::null() };
    let mut bytes = vec![tail; struct_size.clamp(24, 8192)];
    // SAFETY: there is room for the struct.
    unsafe { bytes.as_mut_ptr().cast::<contrib_options>().write_unaligned(options) };
    bytes
}

#[test]
fn options_of_no_possible_size_are_found() {
    for function in Function::ALL {
        for size in [0, 1, 8, 16, 23, 4097, 5000, isize::MAX as usize, usize::MAX] {
            let options = options_of_size(size, 0);
            let sentence = format!("options: expected a struct_size from 24 to 4096, the same for all, got {size}");
            fails_by("size", &mut small(function), CONTRIB_ERROR_STRUCT_SIZE, Some(&sentence), |call| {
                call.run_with(options.as_ptr().cast())
            });
        }
    }
}

#[test]
fn options_of_a_later_version_work_where_what_is_unknown_is_zero() {
    let sentence = "options: expected zeros after the 24 bytes that this version knows";
    for function in Function::ALL {
        let expected = small(function).results_of_run();
        for size in [24, 25, 31, 32, 40, 4096] {
            let mut options = options_of_size(size, 0);
            let mut call = small(function);
            goes_well_by("zeros", &mut call, |call| call.run_with(options.as_ptr().cast()));
            assert_eq!(call.results(), expected);
            for byte in [24, size / 2, size - 1].into_iter().filter(|byte| (24..size).contains(byte)) {
                options[byte] = 1;
                fails_by("no zero", &mut small(function), CONTRIB_ERROR_UNKNOWN_FIELD, Some(sentence), |call| {
                    call.run_with(options.as_ptr().cast())
                });
                options[byte] = 0;
            }
        }
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

/// The groups of a small call as an array of structs of these sizes, with `tail` in the bytes that are not known.
struct Groups {
    whole: contrib_tensor,
    /// In pairs of parts and results.
    tensors: [contrib_tensor; 4],
    bytes: Vec<u8>,
}

impl Groups {
    fn new(call: &mut Call, sizes: [usize; 2], stride: usize, tail: u8) -> Box<Self> {
        let [whole, parts, other_parts, out, other_out] =
            [0, 1, 2, 3, 4].map(|number| call.args[number].as_mut().unwrap().tensor());
        let tensors = [parts, out, other_parts, other_out];
        let mut groups = Box::new(Groups { whole, tensors, bytes: vec![tail; 2 * stride] });
        for (index, struct_size) in sizes.into_iter().enumerate() {
            let [parts, out] = [&raw const groups.tensors[2 * index], &raw const groups.tensors[2 * index + 1]];
            let start = groups.bytes[index * stride..].as_mut_ptr();
            // SAFETY: the slice has room for one struct.
            unsafe { start.cast::<contrib_group>().write_unaligned(contrib_group { struct_size, parts, out }) };
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
        let groups = Groups::new(&mut call, sizes, stride.max(48), 0);
        // The array's real step is that of the first size wherever that is possible.
        let groups = if (24..=4096).contains(&sizes[0]) && stride == sizes[0] {
            let mut groups = Groups::new(&mut call, sizes, stride, 0);
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
    for size in [24, 25, 32, 56, 4096] {
        let mut call = small(Function::Groups);
        let groups = Groups::new(&mut call, [size, size], size, 0);
        goes_well_by("zeros", &mut call, |_| groups.run());
        assert_eq!(call.results(), expected);
        for byte in [24, size - 1, size + 24, 2 * size - 1] {
            let mut call = small(Function::Groups);
            let mut groups = Groups::new(&mut call, [size, size], size, 0);
            if byte % size < 24 {
                continue;
            }
            groups.bytes[byte] = 255;
            let index = byte / size;
            let sentence =
                format!("groups[{index}].struct_size: expected zeros after the 24 bytes that this version knows");
            fails_by("no zero", &mut call, CONTRIB_ERROR_UNKNOWN_FIELD, Some(&sentence), |_| groups.run());
        }
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
