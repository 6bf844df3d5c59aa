//! How exact the results are, beside the reference's own: `cargo run --release -p contrib-core --example accuracy`.
//!
//! A line for each reference case: the largest error of our results (in `f32`; in `f64` for inputs in `f64`) and that of
//! the PyTorch reference in the inputs' own type, both against the reference in `f64`, and how many times smaller ours
//! is.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Job, result_kind};
use contrib_testing::cases::{self, RESULTS, max_error};
use contrib_testing::{Case, Layout, Operation};

fn our_error(case: &Case) -> f64 {
    let outputs = Job::of_case(case).results_as(result_kind(case.kind), Layout::row_major, None);
    let results = RESULTS.iter().zip(&outputs).filter_map(|(names, output)| Some((case.get(names.expected)?, output)));
    results.map(|(expected, output)| max_error(&output.to_f64(), &expected.numbers.to_f64())).fold(0.0, f64::max)
}

fn print_line(case: &str, norm: &str, dtype: &str, errors: [f64; 2]) {
    let [ours, reference] = errors.map(|error| if error == 0.0 { "0".to_string() } else { format!("{error:.1e}") });
    let ratio = if errors.contains(&0.0) { "-".to_string() } else { format!("{:.1}", errors[1] / errors[0]) };
    println!("{case:<26}  {norm:>4}  {dtype:<8}  {ours:>7}  {reference:>9}  {ratio:>8}");
}

fn main() {
    println!("{:<26}  {:>4}  {:<8}  {:>7}  {:>9}  {:>8}", "case", "norm", "dtype", "ours", "reference", "ratio");
    let mut worst = [0.0_f64; 2];
    for case in cases::all().iter().filter(|case| case.operation != Operation::Threshold) {
        let errors = [our_error(case), case.reference_error()];
        print_line(&case.name, &case.norm.to_string(), case.kind.name(), errors);
        worst = [worst[0].max(errors[0]), worst[1].max(errors[1])];
    }
    print_line("worst", "", "", worst);
}
