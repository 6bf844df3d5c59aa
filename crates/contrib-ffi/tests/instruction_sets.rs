//! The instruction set of a context: what can be asked of it, and that results do not depend on it.

mod common;

use common::{Call, Context, Function, Size, message};
use contrib::context::{
    CONTRIB_INSTRUCTION_SET_AVX2, CONTRIB_INSTRUCTION_SET_AVX512, CONTRIB_INSTRUCTION_SET_PORTABLE,
    contrib_context_instruction_set, contrib_context_limit_instruction_set,
};
use contrib::status::{CONTRIB_ERROR_INSTRUCTION_SET, CONTRIB_ERROR_NULL_POINTER, CONTRIB_OK, contrib_status};
use contrib_testing::Kind;
use std::ptr;

/// From the least to the greatest.
const ALL: [i32; 3] = [CONTRIB_INSTRUCTION_SET_PORTABLE, CONTRIB_INSTRUCTION_SET_AVX2, CONTRIB_INSTRUCTION_SET_AVX512];

/// Numbers that are no instruction set's.
const UNKNOWN: [i32; 7] = [0, 4, -1, -3, 256 + 1, i32::MIN, i32::MAX];

fn limit(context: &Context, set: i32) -> contrib_status {
    // SAFETY: the context is alive, and no call is using it.
    unsafe { contrib_context_limit_instruction_set(context.get().cast_mut(), set) }
}

fn of(context: &Context) -> i32 {
    // SAFETY: the context is alive.
    unsafe { contrib_context_instruction_set(context.get()) }
}

/// That of calls without a context.
fn best() -> i32 {
    // SAFETY: null is allowed.
    unsafe { contrib_context_instruction_set(ptr::null()) }
}

#[test]
fn instruction_sets_keep_their_numbers() {
    assert_eq!(ALL, [1, 2, 3]);
}

#[test]
fn a_new_context_has_the_instruction_set_of_calls_without_one() {
    assert!(ALL.contains(&best()), "{}", best());
    if !cfg!(target_arch = "x86_64") {
        assert_eq!(best(), CONTRIB_INSTRUCTION_SET_PORTABLE);
    }
    for threads in [0, 1, 2] {
        assert_eq!(of(&Context::new(threads)), best());
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_best_instruction_set_is_one_that_the_processor_has() {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") && is_x86_feature_detected!("fma");
    if best() >= CONTRIB_INSTRUCTION_SET_AVX2 {
        assert!(avx2);
    }
    if best() >= CONTRIB_INSTRUCTION_SET_AVX512 {
        assert!(is_x86_feature_detected!("avx512f"));
    }
    if std::env::var_os("CONTRIB_INSTRUCTION_SET").is_none() && avx2 {
        assert!(best() >= CONTRIB_INSTRUCTION_SET_AVX2);
    }
}

#[test]
fn the_instruction_set_is_the_least_of_all_limits_and_never_rises() {
    for first in ALL {
        for second in ALL {
            let context = Context::new(1);
            assert_eq!(limit(&context, first), CONTRIB_OK);
            assert_eq!(of(&context), first.min(best()), "{first}");
            assert_eq!(limit(&context, second), CONTRIB_OK);
            assert_eq!(of(&context), first.min(second).min(best()), "{first}, then {second}");
        }
    }
}

#[test]
fn a_limit_is_that_of_its_context_alone() {
    let before = best();
    let (limited, other) = (Context::new(2), Context::new(2));
    assert_eq!(limit(&limited, CONTRIB_INSTRUCTION_SET_PORTABLE), CONTRIB_OK);
    assert_eq!(of(&limited), CONTRIB_INSTRUCTION_SET_PORTABLE);
    assert_eq!((of(&other), best(), of(&Context::new(2))), (before, before, before));
}

#[test]
fn a_number_that_is_no_instruction_sets_is_an_error_and_changes_nothing() {
    for set in ALL {
        let context = Context::new(1);
        assert_eq!(limit(&context, set), CONTRIB_OK);
        for unknown in UNKNOWN {
            assert_eq!(limit(&context, unknown), CONTRIB_ERROR_INSTRUCTION_SET, "{unknown}");
            let sentence =
                format!("instruction_set: expected one of CONTRIB_INSTRUCTION_SET_ (1, 2 or 3), got {unknown}");
            assert_eq!(message(), sentence);
            assert_eq!(of(&context), set.min(best()), "after {unknown}");
        }
    }
}

#[test]
fn no_context_cannot_be_limited() {
    let before = best();
    for set in ALL.into_iter().chain(UNKNOWN) {
        // SAFETY: null is allowed.
        let status = unsafe { contrib_context_limit_instruction_set(ptr::null_mut(), set) };
        assert_eq!(status, CONTRIB_ERROR_NULL_POINTER, "{set}");
        assert_eq!(message(), "context: expected a pointer, got NULL");
        assert_eq!(best(), before);
    }
}

#[test]
fn results_have_the_same_bits_under_every_limit() {
    for function in Function::ALL {
        for (kind, size) in Kind::ALL.map(|kind| (kind, Size::Small)).into_iter().chain([(Kind::F32, Size::Large)]) {
            for norm in [1.0, 2.0, 3.0, f64::INFINITY, 2.7] {
                let mut call = Call::random(function, kind, size);
                call.norm = norm;
                let expected = call.results_of_run();
                for threads in [1, 2] {
                    let context = Context::new(threads);
                    call.context = context.get();
                    for set in ALL.into_iter().rev() {
                        assert_eq!(limit(&context, set), CONTRIB_OK);
                        let what = format!("{function:?} of {} in norm {norm}, {threads} threads, {set}", kind.name());
                        assert_eq!(call.results_of_run(), expected, "{what}");
                    }
                }
            }
        }
    }
}
