//! Coefficients from queries and keys, against the pattern that the formula gives.

mod common;

use common::{Job, heads, result_kind};
use contrib_testing::cases;
use contrib_testing::{Kind, Layout};

#[test]
fn every_case_of_queries_and_keys_is_met() {
    let cases = cases::of_queries_and_keys();
    assert_eq!(cases.len(), 25);
    for case in cases {
        let job = Job::of_query_key_case(&case);
        let name = &case.case.name;
        let largest_score = heads::attention(&job).largest_score;
        let allowed = if case.case.kind == Kind::F64 { 1e-12 } else { (1e-7 * largest_score).max(1e-6) };
        let results = job.results_as(result_kind(case.case.kind), Layout::row_major, None);
        for (names, result) in cases::RESULTS.iter().zip(results) {
            let expected = case.case.tensor(names.expected);
            assert_eq!(result.layout.shape, expected.shape, "{name}");
            let error = cases::max_error(&result.to_f64(), &expected.numbers.to_f64());
            assert!(error <= allowed, "{name}: off by {error:e}, allowed {allowed:e}");
        }
    }
}

#[test]
fn the_oracle_gives_what_is_expected_of_every_case() {
    for case in cases::of_queries_and_keys() {
        let found = heads::attention(&Job::of_query_key_case(&case));
        let expected = cases::RESULTS.map(|names| case.case.tensor(names.expected).numbers.to_f64());
        let error = found.error(&expected);
        assert!(error <= 1e-12, "{}: off by {error:e}", case.case.name);
    }
}
