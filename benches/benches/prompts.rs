//! Prompts and single queries as models have them: against the least multiplications at the speed of a good sgemm, and against
//! reading keys, values and matrices. Ends with tables of the ratios.

use contrib_benches::factored::{GPT2, LLAMA3, Model, SMOLLM2};
use contrib_benches::realistic::{Activations, Given};
use contrib_benches::report::{Seconds, measure, print_table};
use contrib_benches::{read_all, sgemm};
use contrib_core::{Context, Norm, Options};
use criterion::{Criterion, SamplingMode};
use std::array::from_fn;
use std::time::{Duration, Instant};

const THREADS: [usize; 2] = [1, 2];
const NORMS: [(&str, Norm); 2] = [("1", Norm::ONE), ("2", Norm::TWO)];
const GIVEN: [(&str, Given); 2] = [("pattern", Given::Pattern), ("queries and keys", Given::QueriesAndKeys)];

const PROMPTS: [(Model, &[usize]); 3] =
    [(SMOLLM2, &[64, 128, 512, 1024, 2048]), (GPT2, &[64, 128, 512, 1024]), (LLAMA3, &[128, 256])];
const QUERIES: [(Model, &[usize]); 2] = [(SMOLLM2, &[64, 256, 1024, 4096]), (GPT2, &[64, 256, 1024, 4096])];

/// Products in which sgemm is fast, beside those of prompts. The second takes less than a millisecond, which a core is left alone
/// for even when other programs are busy.
const FAST: [(&str, (usize, usize, usize)); 2] = [("large", (1024, 1024, 1024)), ("short", (128, 576, 576))];

/// How fast a good sgemm is, in multiplications a second: the fastest of all products in the run. They are measured after each
/// prompt, since other programs do not take the cores all the time.
struct Sgemm {
    /// On each number of threads.
    fastest: [f64; THREADS.len()],
    /// The products of prompts.
    rows: Vec<[String; 3]>,
}

impl Sgemm {
    fn measure(&mut self, name: &str, shape: (usize, usize, usize)) {
        let (m, n, k) = shape;
        let rates = THREADS.map(|threads| sgemm::rate(shape, threads));
        self.fastest = from_fn(|index| self.fastest[index].max(rates[index]));
        let [one, two] = rates.map(gigas);
        self.rows.push([format!("{name}: {m} x {n} x {k}"), one, two]);
    }

    /// The two products of a prompt: wholes with the matrices of all heads, and what that is for a head with its values.
    fn measure_shapes(&mut self, prompt: &str, model: Model, tokens: usize) {
        let Model { heads, d_head, d_model, .. } = model;
        self.measure(&format!("{prompt}, wholes and w_o"), (tokens, heads * d_head, d_model));
        self.measure(&format!("{prompt}, a head's products"), (tokens, tokens, d_head));
        for (name, shape) in FAST {
            self.measure(name, shape);
        }
    }
}

fn gigas(number: f64) -> String {
    format!("{:.1}", number / 1e9)
}

fn milliseconds(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.4}", 1e3 * seconds),
        ..0.1 => format!("{:.2}", 1e3 * seconds),
        _ => format!("{:.0}", 1e3 * seconds),
    }
}

/// What was measured of a prompt.
struct Prompt {
    name: String,
    /// The number of threads is that with this index.
    threads: usize,
    multiplications: u64,
    seconds: Seconds,
}

/// Prompts of a model, each in which all tokens attend to those up to themselves.
fn prompts(criterion: &mut Criterion, (model, tokens): (Model, usize), sgemm: &mut Sgemm) -> Vec<Prompt> {
    let name = format!("{}, {tokens} tokens", model.name);
    let mut inputs = None;
    let mut rows = Vec::new();
    let mut group = criterion.benchmark_group(&name);
    // Each sample is as many calls, of the slow ones a single one.
    group.sampling_mode(SamplingMode::Flat);
    for (what, given) in GIVEN {
        for (norm_name, norm) in NORMS {
            for (index, threads) in THREADS.into_iter().enumerate() {
                let context = Context::new(threads).unwrap();
                let options = Options::default().norm(norm).context(&context);
                let mut multiplications = 0;
                let seconds = measure(&mut group, &format!("{what}, norm {norm_name}, {threads} threads"), || {
                    // What a filter on the command line leaves out is not made.
                    let inputs = inputs.get_or_insert_with(|| Activations::new(model, tokens, tokens));
                    multiplications = inputs.least_multiplications(given);
                    let start = Instant::now();
                    inputs.run(given, &options);
                    start.elapsed()
                });
                let name = format!("{name}, {what}, norm {norm_name}");
                rows.extend(seconds.map(|seconds| Prompt { name, threads: index, multiplications, seconds }));
            }
        }
    }
    if !rows.is_empty() {
        sgemm.measure_shapes(&name, model, tokens);
    }
    rows
}

/// The last of so many tokens as the only query, on one thread. The rows of the table.
fn query(criterion: &mut Criterion, model: Model, tokens: usize) -> Vec<[String; 5]> {
    let name = format!("{}, 1 query, {tokens} keys", model.name);
    let mut inputs = Activations::new(model, 1, tokens);
    let mut group = criterion.benchmark_group(&name);
    let reading = measure(&mut group, "reading keys, values and w_o", || {
        let start = Instant::now();
        inputs.read_once().into_iter().for_each(|elements| read_all(elements, 1));
        start.elapsed()
    });
    let context = Context::new(1).unwrap();
    let mut rows = Vec::new();
    for (what, given) in GIVEN {
        for (norm_name, norm) in NORMS {
            let options = Options::default().norm(norm).context(&context);
            let seconds = measure(&mut group, &format!("{what}, norm {norm_name}"), || {
                let start = Instant::now();
                inputs.run(given, &options);
                start.elapsed()
            });
            let (Some(seconds), Some(reading)) = (seconds, reading) else { continue };
            let name = format!("{name}, {what}, norm {norm_name}");
            let ratio = format!("{:.1}", seconds.least / reading.least);
            let [median, least, reading] = [seconds.median, seconds.least, reading.least].map(milliseconds);
            rows.push([name, median, least, reading, ratio]);
        }
    }
    rows
}

fn print(prompts: &[Prompt], sgemm: &Sgemm, queries: &[[String; 5]]) {
    let row = |prompt: &Prompt| {
        let &Prompt { ref name, threads, multiplications, seconds } = prompt;
        let limit = multiplications as f64 / sgemm.fastest[threads];
        let share = format!("{:.0} %", 100.0 * limit / seconds.least);
        let [median, least, limit] = [seconds.median, seconds.least, limit].map(milliseconds);
        [name.clone(), THREADS[threads].to_string(), median, least, limit, share]
    };
    println!();
    if !prompts.is_empty() {
        println!("Good sgemm, in G multiplications/s, each thread with its own matrices. At best:");
        for (threads, rate) in THREADS.into_iter().zip(sgemm.fastest) {
            println!("{threads} threads: {}", gigas(rate));
        }
        println!();
        print_table(["", "1 thread", "2 threads"], &sgemm.rows);
        println!("Causal prompts. The limit is the least multiplications at the speed of sgemm at best.\n");
        let rows: Vec<_> = prompts.iter().map(row).collect();
        print_table(["", "threads", "median, ms", "least, ms", "limit, ms", "limit / least"], &rows);
    }
    if !queries.is_empty() {
        println!(
            "Single queries on one thread. Reading is a sum of keys, values and w_o from where the last call left them,"
        );
        println!("mostly the caches.\n");
        print_table(["", "median, ms", "least, ms", "reading, ms", "least / reading"], queries);
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(200))
        .nresamples(2000)
        .without_plots()
        .configure_from_args();
    let mut sgemm = Sgemm { fastest: [0.0; 2], rows: Vec::new() };
    let mut rows = Vec::new();
    for (model, lengths) in PROMPTS {
        for &tokens in lengths {
            rows.extend(prompts(&mut criterion, (model, tokens), &mut sgemm));
        }
    }
    let mut queries = Vec::new();
    for (model, lengths) in QUERIES {
        for &tokens in lengths {
            queries.extend(query(&mut criterion, model, tokens));
        }
    }
    print(&rows, &sgemm, &queries);
}
