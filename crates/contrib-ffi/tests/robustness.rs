//! What holds whatever the caller does around the calls: numbers that never change, threads, small stacks, any address.

mod common;

use common::{Call, Context, Function, ROOM, Size, message};
use contrib::context::{
    contrib_context_kept_memory, contrib_context_limit_kept_memory, contrib_context_release_memory,
    contrib_context_threads,
};
use contrib::status::*;
use contrib::version::contrib_version;
use contrib_testing::{Kind, Layout, Stored};
use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::Barrier;
use std::thread;

fn text(text: *const c_char) -> String {
    assert!(!text.is_null());
    // SAFETY: a C string that the library keeps.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

#[test]
fn statuses_keep_their_numbers_and_have_names() {
    #[rustfmt::skip]
    let pinned = [
        (CONTRIB_OK, 0, "CONTRIB_OK"),
        (CONTRIB_ERROR_NULL_POINTER, 100, "CONTRIB_ERROR_NULL_POINTER"),
        (CONTRIB_ERROR_STRUCT_SIZE, 101, "CONTRIB_ERROR_STRUCT_SIZE"),
        (CONTRIB_ERROR_UNKNOWN_FIELD, 102, "CONTRIB_ERROR_UNKNOWN_FIELD"),
        (CONTRIB_ERROR_CONFLICT, 103, "CONTRIB_ERROR_CONFLICT"),
        (CONTRIB_ERROR_DEVICE, 200, "CONTRIB_ERROR_DEVICE"),
        (CONTRIB_ERROR_DTYPE, 201, "CONTRIB_ERROR_DTYPE"),
        (CONTRIB_ERROR_NDIM, 202, "CONTRIB_ERROR_NDIM"),
        (CONTRIB_ERROR_NEGATIVE_EXTENT, 203, "CONTRIB_ERROR_NEGATIVE_EXTENT"),
        (CONTRIB_ERROR_SIZE_OVERFLOW, 204, "CONTRIB_ERROR_SIZE_OVERFLOW"),
        (CONTRIB_ERROR_MISALIGNED, 205, "CONTRIB_ERROR_MISALIGNED"),
        (CONTRIB_ERROR_TOO_LARGE, 206, "CONTRIB_ERROR_TOO_LARGE"),
        (CONTRIB_ERROR_RANK, 300, "CONTRIB_ERROR_RANK"),
        (CONTRIB_ERROR_SHAPE, 301, "CONTRIB_ERROR_SHAPE"),
        (CONTRIB_ERROR_OVERLAP, 302, "CONTRIB_ERROR_OVERLAP"),
        (CONTRIB_ERROR_SELF_OVERLAP, 303, "CONTRIB_ERROR_SELF_OVERLAP"),
        (CONTRIB_ERROR_HEADS, 304, "CONTRIB_ERROR_HEADS"),
        (CONTRIB_ERROR_TOP_K, 305, "CONTRIB_ERROR_TOP_K"),
        (CONTRIB_ERROR_PREPARED, 306, "CONTRIB_ERROR_PREPARED"),
        (CONTRIB_ERROR_NORM, 400, "CONTRIB_ERROR_NORM"),
        (CONTRIB_ERROR_THRESHOLD, 401, "CONTRIB_ERROR_THRESHOLD"),
        (CONTRIB_ERROR_TOO_MANY_THREADS, 402, "CONTRIB_ERROR_TOO_MANY_THREADS"),
        (CONTRIB_ERROR_INSTRUCTION_SET, 403, "CONTRIB_ERROR_INSTRUCTION_SET"),
        (CONTRIB_ERROR_FLAGS, 404, "CONTRIB_ERROR_FLAGS"),
        (CONTRIB_ERROR_NUMBER, 405, "CONTRIB_ERROR_NUMBER"),
        (CONTRIB_ERROR_OUT_OF_MEMORY, 500, "CONTRIB_ERROR_OUT_OF_MEMORY"),
        (CONTRIB_ERROR_IO, 600, "CONTRIB_ERROR_IO"),
        (CONTRIB_ERROR_FILE, 601, "CONTRIB_ERROR_FILE"),
        (CONTRIB_ERROR_METADATA, 602, "CONTRIB_ERROR_METADATA"),
        (CONTRIB_ERROR_MISSING, 603, "CONTRIB_ERROR_MISSING"),
        (CONTRIB_ERROR_NOT_FINITE, 604, "CONTRIB_ERROR_NOT_FINITE"),
        (CONTRIB_ERROR_NOT_A_NUMBER, 605, "CONTRIB_ERROR_NOT_A_NUMBER"),
        (CONTRIB_ERROR_TARGET, 606, "CONTRIB_ERROR_TARGET"),
        (CONTRIB_ERROR_UNLIKE, 607, "CONTRIB_ERROR_UNLIKE"),
        (CONTRIB_ERROR_STOPPED, 608, "CONTRIB_ERROR_STOPPED"),
        (CONTRIB_ERROR_CALLBACK, 609, "CONTRIB_ERROR_CALLBACK"),
        (CONTRIB_ERROR_FORMAT, 610, "CONTRIB_ERROR_FORMAT"),
        (CONTRIB_ERROR_INTERNAL, 900, "CONTRIB_ERROR_INTERNAL"),
    ];
    for (status, number, name) in pinned {
        assert_eq!((status, text(contrib_status_name(status)).as_str()), (number, name));
    }
    let known = pinned.map(|(_, number, _)| number);
    for unknown in (-1000..2000).chain([12345, i32::MIN, i32::MAX]).filter(|number| !known.contains(number)) {
        assert_eq!(text(contrib_status_name(unknown)), "CONTRIB_ERROR_UNKNOWN", "{unknown}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(text(contrib_version()), env!("CARGO_PKG_VERSION"));
}

/// Makes a call fail because of this norm.
fn fail_with_norm(norm: f64) {
    let mut call = Call::random(Function::Mlp, Kind::F32, Size::Small);
    call.norm = norm;
    assert_eq!(call.run(), CONTRIB_ERROR_NORM);
}

#[test]
fn a_thread_has_the_message_of_its_own_last_failure() {
    let barrier = Barrier::new(2);
    let run = |norm: f64, sentence: &str| {
        assert_eq!(message(), "", "before any failure");
        fail_with_norm(norm);
        barrier.wait();
        assert_eq!(message(), sentence);
        barrier.wait();
        Call::random(Function::Mlp, Kind::F32, Size::Small).results_of_run();
        assert_eq!(message(), sentence, "after a success");
        fail_with_norm(0.75);
        assert_eq!(message(), "norm: expected a number >= 1 or infinity, got 0.75");
    };
    thread::scope(|scope| {
        scope.spawn(|| run(0.25, "norm: expected a number >= 1 or infinity, got 0.25"));
        scope.spawn(|| run(-3.0, "norm: expected a number >= 1 or infinity, got -3"));
    });
}

/// The bits that each function gives, and the call that gave them, in small and in large.
fn alone(context: Option<&Context>) -> Vec<(Function, Size, Vec<Vec<u64>>)> {
    let mut results = Vec::new();
    for size in [Size::Small, Size::Large] {
        for function in Function::ALL {
            results.push((function, size, run(function, size, context)));
        }
    }
    results
}

fn run(function: Function, size: Size, context: Option<&Context>) -> Vec<Vec<u64>> {
    let mut call = Call::random(function, Kind::F32, size);
    call.context = context.map_or(ptr::null(), Context::get);
    let results = call.results_of_run();
    assert!(call.outputs().into_iter().all(Stored::is_untouched_around), "{function:?} {size:?}");
    results
}

#[test]
fn large_calls_are_large_enough_for_threads() {
    for function in Function::ALL {
        let shapes = function.shapes(Size::Large)[..function.inputs()].iter();
        let largest = shapes.map(|shape| shape.iter().product::<usize>()).max().unwrap();
        let coefficients = function.arguments().iter().zip(function.shapes(Size::Large)).find_map(|(&name, shape)| {
            let are_coefficients =
                ["groups[0].coefficients", "pattern", "activations", "mask", "groups[0].mask"].contains(&name);
            are_coefficients.then(|| shape.iter().product::<usize>())
        });
        let (vector, batch) = function.shapes(Size::Large)[0].split_last().unwrap();
        let wholes: usize = batch.iter().product();
        // An MLP has two parts for each whole; factored parts are vectors that do not exist, and are read once for 16 wholes.
        let elements = match coefficients {
            Some(coefficients) => coefficients / wholes * vector * (wholes / 16).max(1),
            None if function == Function::Mlp => 2 * largest,
            None => largest,
        };
        assert!(elements > 1 << 18, "{function:?}: {elements}");
    }
}

#[test]
fn results_have_the_same_bits_with_any_number_of_threads() {
    let expected = alone(Some(&Context::new(1)));
    for threads in [2, 7, 0] {
        assert_eq!(alone(Some(&Context::new(threads))), expected, "{threads} threads");
    }
    assert_eq!(alone(None), expected, "the shared threads");
}

#[test]
fn a_context_says_how_many_threads_it_has() {
    // SAFETY: the contexts are alive.
    let threads = |context: &Context| unsafe { contrib_context_threads(context.get()) };
    for expected in [1, 2, 7] {
        assert_eq!(threads(&Context::new(expected)), expected);
    }
    assert_eq!(threads(&Context::new(0)), thread::available_parallelism().unwrap().get());
}

#[test]
fn a_context_keeps_memory_up_to_its_limit_until_it_is_released() {
    let context = Context::new(2);
    // SAFETY: the context is alive.
    let kept = || unsafe { contrib_context_kept_memory(context.get()) };
    // SAFETY: as above.
    let limit = |bytes| assert_eq!(unsafe { contrib_context_limit_kept_memory(context.get(), bytes) }, CONTRIB_OK);
    let expected = run(Function::AttentionFactored, Size::Large, None);
    let call = || assert_eq!(run(Function::AttentionFactored, Size::Large, Some(&context)), expected);
    assert_eq!(kept(), 0);
    call();
    let all = kept();
    assert!(0 < all && all <= 64 << 20);
    call();
    assert_eq!(kept(), all, "the second call takes what the first gave back");
    limit(all / 2);
    assert!(kept() <= all / 2);
    call();
    assert!(0 < kept() && kept() <= all / 2);
    // SAFETY: the context is alive.
    unsafe { contrib_context_release_memory(context.get()) };
    assert_eq!(kept(), 0);
    limit(0);
    call();
    assert_eq!(kept(), 0);
    limit(usize::MAX);
    call();
    assert_eq!(kept(), all);
}

#[test]
fn many_threads_at_once_on_one_context_or_on_none_get_the_bits_of_one_alone() {
    let expected = alone(None);
    for context in [Some(Context::new(3)), None] {
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for host in 0..8 {
                let (expected, context, barrier) = (&expected, context.as_ref(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // Each thread begins with another operation.
                    for index in 0..expected.len() {
                        let (function, size, results) = &expected[(index + host) % expected.len()];
                        assert_eq!(run(*function, *size, context), *results, "{function:?} {size:?}");
                    }
                });
            }
        });
    }
}

#[test]
fn contexts_can_be_made_used_and_freed_by_different_threads() {
    let context = thread::spawn(|| Context::new(2)).join().unwrap();
    let expected = run(Function::Attention, Size::Large, None);
    let (context, results) = thread::spawn(|| {
        let results = run(Function::Attention, Size::Large, Some(&context));
        (context, results)
    })
    .join()
    .unwrap();
    assert_eq!(results, expected);
    drop(context);
}

/// What some hosts give their threads.
const SMALL_STACK: usize = 64 * 1024;

#[test]
fn a_stack_of_64_kib_is_enough_for_every_operation_norm_and_type() {
    let contexts = [Context::new(1), Context::new(2)];
    for context in [Some(&contexts[0]), Some(&contexts[1]), None] {
        for function in Function::ALL {
            for size in [Size::Small, Size::Large] {
                let kinds = if size == Size::Small { &Kind::ALL[..] } else { &[Kind::F32] };
                for &kind in kinds {
                    let mut call = Call::random(function, kind, size);
                    call.context = context.map_or(ptr::null(), Context::get);
                    let norms: &[f64] = if size == Size::Small { &[1.0, 2.0, 2.5, f64::INFINITY] } else { &[1.0] };
                    let run = move || {
                        for &norm in norms {
                            call.norm = norm;
                            // The harness's own formatting stays out of the small stack unless something failed.
                            assert!(call.run() == CONTRIB_OK);
                            call.norm = 0.5;
                            assert!(call.run() == CONTRIB_ERROR_NORM);
                        }
                    };
                    thread::Builder::new().stack_size(SMALL_STACK).spawn(run).unwrap().join().unwrap();
                }
            }
        }
    }
}

#[test]
fn data_at_any_multiple_of_its_elements_size_gives_the_same_bits() {
    for function in Function::ALL {
        for kind in Kind::ALL {
            let expected = Call::random(function, kind, Size::Small).results_of_run();
            for shift in 0..64 / kind.size() {
                let mut call = Call::random(function, kind, Size::Small);
                for index in 0..call.stored.len() {
                    // Indices are not of the kind of the others.
                    let kind = call.stored[index].kind();
                    let mut layout = Layout::row_major(&call.stored[index].layout.shape);
                    let misaligned = call.stored[index].numbers.as_ptr().addr() % 64 / kind.size();
                    // As many elements after a multiple of 64 bytes; the next tensor one more.
                    layout.offset = ROOM + shift + index - misaligned.min(ROOM / 2);
                    layout.len += 2 * ROOM;
                    let elements = call.stored[index].elements();
                    let moved = if index < function.inputs() {
                        Stored::new(&elements, layout)
                    } else {
                        Stored::blank(kind, layout)
                    };
                    call.place(index, moved);
                }
                assert_eq!(call.results_of_run(), expected, "{function:?} of {} after {shift}", kind.name());
                assert!(call.outputs().into_iter().all(Stored::is_untouched_around), "{function:?}");
            }
        }
    }
}

#[test]
fn f32_data_four_bytes_after_a_cache_line_gives_the_same_bits() {
    for function in Function::ALL {
        let expected = run(function, Size::Large, None);
        let mut call = Call::random(function, Kind::F32, Size::Large);
        for index in 0..call.stored.len() {
            let elements = call.stored[index].elements();
            let mut stored = Stored::blank(Kind::F32, call.stored[index].layout.clone());
            let start = stored.numbers.as_ptr().addr() / 4;
            stored.layout.offset = ROOM - start % 16 + 1;
            if index < function.inputs() {
                for (number, index) in stored.layout.indices().into_iter().enumerate() {
                    stored.numbers.set(index, elements.get(number));
                }
            }
            call.place(index, stored);
            assert_eq!(call.args[index].as_ref().unwrap().data.addr() % 64, 4);
        }
        assert_eq!(call.results_of_run(), expected, "{function:?}");
        assert!(call.outputs().into_iter().all(Stored::is_untouched_around), "{function:?}");
    }
}
