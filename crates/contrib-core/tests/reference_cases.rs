//! The reference cases, computed through the public functions, against the reference in `f64`.

mod common;

use common::{Job, result_kind};
use contrib_testing::cases::{self, RESULTS};
use contrib_testing::{Case, Kind, Layout, Operation};

/// The largest error that results may have, for inputs of this type.
fn tolerance(inputs: Kind) -> f64 {
    if inputs == Kind::F64 { 1e-12 } else { 1e-6 }
}

/// Calls `check` with the values of each result and of what is expected of it, in `f64`.
fn for_each_result(case: &Case, mut check: impl FnMut(&[f64], &[f64])) {
    let outputs = Job::of_case(case).results_as(result_kind(case.kind), Layout::row_major, None);
    let results = RESULTS.iter().zip(&outputs).filter_map(|(names, output)| Some((case.get(names.expected)?, output)));
    for (expected, output) in results {
        assert_eq!(output.layout.shape, expected.shape, "{}", case.name);
        check(&output.to_f64(), &expected.numbers.to_f64());
    }
}

#[test]
fn the_reference_cases_of_every_operation_are_all_there() {
    let cases = cases::all();
    let count = |operation| cases.iter().filter(|case| case.operation == operation).count();
    assert_eq!(Operation::ALL.map(|(_, operation)| count(operation)), [34, 3, 11, 3, 3, 12, 10, 3]);
}

#[test]
fn every_reference_case_is_met() {
    for case in cases::all() {
        for_each_result(&case, |found, expected| {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                let (name, error) = (&case.name, (found - expected).abs());
                assert_eq!(found.is_nan(), expected.is_nan(), "{name}[{index}]: {found}, expected {expected}");
                assert!(error.is_nan() || error <= tolerance(case.kind), "{name}[{index}]: off by {error:e}");
            }
        });
    }
}

/// The distance from a positive normal `f32` to the next.
fn ulp_f32(value: f64) -> f64 {
    2.0_f64.powi(value.log2().floor() as i32 - 23)
}

#[test]
fn at_4096_dimensions_results_are_fifty_times_closer_than_the_reference_or_off_by_one_ulp() {
    let accuracy: Vec<Case> = cases::all().into_iter().filter(|case| case.name.starts_with("accuracy_")).collect();
    assert_eq!(accuracy.len(), 6);
    for case in accuracy {
        for_each_result(&case, |found, expected| {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                let (name, error) = (&case.name, (found - expected).abs());
                let allowed = (case.reference_error() / 50.0).max(ulp_f32(*expected));
                assert!(error <= allowed, "{name}[{index}]: off by {error:e} of {expected:e}, allowed {allowed:e}");
            }
        });
    }
}

#[test]
fn where_inputs_and_results_lie_in_memory_does_not_change_a_bit() {
    for case in cases::all() {
        let job = Job::of_case(&case);
        let kind = result_kind(case.kind);
        let expected = job.results_as(kind, Layout::row_major, None).map(|output| output.bits());
        for (name, layout) in Layout::OTHERS {
            let moved = job.laid_out(layout).results_as(kind, Layout::row_major, None).map(|output| output.bits());
            assert_eq!(moved, expected, "{} with {name} inputs", case.name);
            let moved = job.results_as(kind, layout, None).map(|output| output.bits());
            assert_eq!(moved, expected, "{} with {name} results", case.name);
        }
    }
}
