//! Measures calls beside threads that spin on all cores but one, as an engine's idle threads do, and on all cores: with as many
//! threads as there are cores, against one.
//!
//! ```sh
//! cargo run --release -p contrib-benches --example spinning
//! cargo run --release -p contrib-benches --example spinning -- 8    # beside 8 threads
//! ```

use contrib_benches::factored::{GPT2, Model, SMOLLM2};
use contrib_benches::realistic::{Activations, Given, Wanted};
use contrib_benches::report::print_table;
use contrib_core::{Context, Options};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Queries and keys of the calls. Fewer queries than keys are the last ones.
const CALLS: [(Model, usize, usize); 7] = [
    (SMOLLM2, 1, 256),
    (SMOLLM2, 1, 1024),
    (SMOLLM2, 64, 64),
    (SMOLLM2, 128, 128),
    (SMOLLM2, 512, 512),
    (GPT2, 64, 64),
    (GPT2, 512, 512),
];

/// How long each call is repeated.
const TIME: Duration = Duration::from_secs(2);

/// The calls of an engine come one after the other, with its own work between them.
const PAUSE: Duration = Duration::from_micros(300);

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

/// Median and mean of times, in milliseconds.
fn median_and_mean(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
    [milliseconds(times[times.len() / 2]), milliseconds(times.iter().sum()) / times.len() as f64]
}

/// Rows of the table: each call with each context in turn.
fn rows(spinners: usize, contexts: &[Context; 2]) -> Vec<[String; 8]> {
    let measure = |(model, pos, key_pos): (Model, usize, usize)| {
        let mut activations = Activations::new(model, pos, key_pos);
        let mut times = [Vec::new(), Vec::new()];
        let start = Instant::now();
        while start.elapsed() < TIME {
            for (context, times) in contexts.iter().zip(&mut times) {
                let options = Options::default().context(context);
                spin(PAUSE);
                let start = Instant::now();
                activations.run(Given::QueriesAndKeys, Wanted::All, None, &options);
                times.push(start.elapsed());
            }
        }
        let [one, all] = times.map(median_and_mean);
        let queries = if pos == 1 { "query" } else { "queries" };
        let name = format!("{}, {pos} {queries}, {key_pos} keys", model.name);
        let ratio = |index: usize| format!("{:.2}", all[index] / one[index]);
        let figures = [one[0], one[1], all[0], all[1]].map(|milliseconds| format!("{milliseconds:.3}"));
        let [one_median, one_mean, all_median, all_mean] = figures;
        [name, spinners.to_string(), one_median, all_median, ratio(0), one_mean, all_mean, ratio(1)]
    };
    CALLS.into_iter().map(measure).collect()
}

fn main() {
    let contexts = [1, 0].map(|threads| Context::new(threads).expect("0 and 1 are not too many"));
    let cores = contexts[1].threads();
    println!("Calls on 1 and on {cores} threads in turn, in ms; ratios of medians and of means.\n");
    let mut table = Vec::new();
    let given: Vec<usize> = env::args().skip(1).map(|number| number.parse().expect("a number of threads")).collect();
    let counts = if given.is_empty() { vec![0, cores - 1, cores] } else { given };
    for spinners in counts {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..spinners {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        spin_loop();
                    }
                });
            }
            table.extend(rows(spinners, &contexts));
            end.store(true, Ordering::Relaxed);
        });
    }
    print_table(["", "spinning", "1, median", "n, median", "ratio", "1, mean", "n, mean", "ratio"], &table);
}
