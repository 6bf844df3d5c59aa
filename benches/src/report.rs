//! What benches say beside what criterion says: medians, and tables of ratios.

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use std::time::Duration;

/// Seconds that a call took.
#[derive(Clone, Copy, Debug)]
pub struct Seconds {
    /// The median.
    pub median: f64,
    /// The least: what other programs on the machine disturbed least.
    pub least: f64,
}

/// Has criterion measure what takes as long as `time` returns. `None` where a filter on the command line leaves this out.
pub fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut time: impl FnMut() -> Duration,
) -> Option<Seconds> {
    let mut samples = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let total: Duration = (0..calls).map(|_| time()).sum();
            samples.push(total.as_secs_f64() / calls as f64);
            total
        });
    });
    samples.sort_by(f64::total_cmp);
    Some(Seconds { median: *samples.get(samples.len() / 2)?, least: *samples.first()? })
}

/// Prints a table in Markdown, the first column to the left, the others to the right.
pub fn print_table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let head = head.map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cell = |(column, cell): (usize, &String)| match column {
            0 => format!("{cell:0$}", widths[0]),
            _ => format!("{cell:>0$}", widths[column]),
        };
        println!("| {} |", row.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | "));
    };
    line(&head);
    line(&std::array::from_fn(|column| match column {
        0 => "-".repeat(widths[0]),
        _ => "-".repeat(widths[column].saturating_sub(1)) + ":",
    }));
    rows.iter().for_each(line);
    println!();
}
