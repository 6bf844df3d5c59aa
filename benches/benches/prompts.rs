//! Prompts and single queries as models have them: against the least multiplications at the speed of a good sgemm, and against
//! reading keys, values and matrices from memory. Ends with tables of the ratios.

use contrib_benches::factored::{GPT2, LLAMA3, Model, SMOLLM2};
use contrib_benches::realistic::{Activations, Copies, Given, Wanted};
use contrib_benches::report::{Seconds, measure, print_table};
use contrib_benches::{read_all, sgemm};
use contrib_core::{Context, Norm, Options};
use criterion::{Criterion, SamplingMode};
use std::array::from_fn;
use std::time::{Duration, Instant};

const THREADS: [usize; 2] = [1, 2];
const NORMS: [(&str, Norm); 2] = [("1", Norm::ONE), ("2", Norm::TWO)];

/// Norms with which prompts are measured, and the index of the number of threads.
const NORMS_OF_PROMPTS: [(&str, Norm, usize); 3] = [("1", Norm::ONE, 0), ("1", Norm::ONE, 1), ("2", Norm::TWO, 1)];
/// Calls for prompts, in the order of their comparisons.
const CALLS_OF_PROMPTS: [(&str, Given, Wanted); 3] = [
    ("pattern", Given::Pattern, Wanted::All),
    ("queries and keys", Given::QueriesAndKeys, Wanted::All),
    ("queries and keys, sparse", Given::QueriesAndKeys, Wanted::Sparse),
];
/// Calls for single queries, and whether `w_o` is prepared.
const CALLS_OF_QUERIES: [(&str, Given, bool); 4] = [
    ("pattern", Given::Pattern, false),
    ("queries and keys", Given::QueriesAndKeys, false),
    ("pattern, prepared", Given::Pattern, true),
    ("queries and keys, prepared", Given::QueriesAndKeys, true),
];

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

/// How many times as long the first takes as the second, where both were measured.
fn ratio(one: Option<Seconds>, other: Option<Seconds>) -> String {
    one.zip(other).map_or_else(String::new, |(one, other)| format!("{:.2}", one.least / other.least))
}

/// What was measured of a prompt.
struct Prompt {
    name: String,
    /// The number of threads is that with this index.
    threads: usize,
    multiplications: u64,
    seconds: Seconds,
    /// How many times as long as given the pattern it takes given queries and keys.
    to_pattern: String,
    /// How many times as long as all results sparse ones take.
    to_all: String,
}

/// Prompts of a model, each in which all tokens attend to those up to themselves.
fn prompts(criterion: &mut Criterion, (model, tokens): (Model, usize), sgemm: &mut Sgemm) -> Vec<Prompt> {
    let name = format!("{}, {tokens} tokens", model.name);
    let mut inputs = None;
    let mut rows = Vec::new();
    let mut group = criterion.benchmark_group(&name);
    // Each sample is as many calls, of the slow ones a single one.
    group.sampling_mode(SamplingMode::Flat);
    for (norm_name, norm, index) in NORMS_OF_PROMPTS {
        let threads = THREADS[index];
        let context = Context::new(threads).unwrap();
        let options = Options::default().norm(norm).context(&context);
        let measured = CALLS_OF_PROMPTS.map(|(what, given, wanted)| {
            measure(&mut group, &format!("{what}, norm {norm_name}, {threads} threads"), || {
                // What a filter on the command line leaves out is not made.
                let inputs = inputs.get_or_insert_with(|| Activations::new(model, tokens, tokens));
                let start = Instant::now();
                inputs.run(given, wanted, None, &options);
                start.elapsed()
            })
        });
        let [pattern, all, sparse] = measured;
        let to_pattern = [String::new(), ratio(all, pattern), String::new()];
        let to_all = [String::new(), String::new(), ratio(sparse, all)];
        let ratios = to_pattern.into_iter().zip(to_all);
        for (((what, given, _), seconds), (to_pattern, to_all)) in
            CALLS_OF_PROMPTS.into_iter().zip(measured).zip(ratios)
        {
            let (Some(seconds), Some(inputs)) = (seconds, &inputs) else { continue };
            let name = format!("{name}, {what}, norm {norm_name}");
            let multiplications = inputs.least_multiplications(given);
            rows.push(Prompt { name, threads: index, multiplications, seconds, to_pattern, to_all });
        }
    }
    if !rows.is_empty() {
        sgemm.measure_shapes(&name, model, tokens);
    }
    rows
}

/// The last of so many tokens as the only query, on one thread. The rows of the table.
fn query(criterion: &mut Criterion, model: Model, tokens: usize) -> Vec<[String; 7]> {
    let name = format!("{}, 1 query, {tokens} keys", model.name);
    let context = Context::new(1).unwrap();
    let on_one_thread = Options::default().context(&context);
    let mut copies = None;
    let make = || Copies::new(&Activations::new(model, 1, tokens), &on_one_thread);
    let mut group = criterion.benchmark_group(&name);
    let reading = measure(&mut group, "reading keys, values and w_o", || {
        let (inputs, _) = copies.get_or_insert_with(make).turn();
        let start = Instant::now();
        inputs.read_once().into_iter().for_each(|elements| read_all(elements, 1));
        start.elapsed()
    });
    let mut rows = Vec::new();
    for (norm_name, norm) in NORMS {
        let options = on_one_thread.norm(norm);
        let measured = CALLS_OF_QUERIES.map(|(what, given, is_prepared)| {
            measure(&mut group, &format!("{what}, norm {norm_name}"), || {
                let (inputs, prepared) = copies.get_or_insert_with(make).turn();
                let prepared = is_prepared.then_some(&*prepared);
                let start = Instant::now();
                inputs.run(given, Wanted::All, prepared, &options);
                start.elapsed()
            })
        });
        let [pattern, all, prepared_pattern, prepared_all] = measured;
        let to_pattern = [String::new(), ratio(all, pattern), String::new(), ratio(prepared_all, prepared_pattern)];
        let to_unprepared = [String::new(), String::new(), ratio(prepared_pattern, pattern), ratio(prepared_all, all)];
        let ratios = to_pattern.into_iter().zip(to_unprepared);
        for (((what, ..), seconds), (to_pattern, to_unprepared)) in
            CALLS_OF_QUERIES.into_iter().zip(measured).zip(ratios)
        {
            let Some(seconds) = seconds else { continue };
            let name = format!("{name}, {what}, norm {norm_name}");
            let of_reading = reading.map_or_else(String::new, |reading| milliseconds(reading.least));
            let [median, least] = [seconds.median, seconds.least].map(milliseconds);
            rows.push([name, median, least, of_reading, ratio(Some(seconds), reading), to_pattern, to_unprepared]);
        }
    }
    rows
}

fn print(prompts: &[Prompt], sgemm: &Sgemm, queries: &[[String; 7]]) {
    let row = |prompt: &Prompt| {
        let &Prompt { ref name, threads, multiplications, seconds, ref to_pattern, ref to_all } = prompt;
        let limit = multiplications as f64 / sgemm.fastest[threads];
        let share = format!("{:.0} %", 100.0 * limit / seconds.least);
        let threads = THREADS[threads].to_string();
        let [median, least, limit] = [seconds.median, seconds.least, limit].map(milliseconds);
        [name.clone(), threads, median, least, limit, share, to_pattern.clone(), to_all.clone()]
    };
    println!();
    if !prompts.is_empty() {
        println!("Good sgemm, in G multiplications/s, each thread with its own matrices. At best:");
        for (threads, rate) in THREADS.into_iter().zip(sgemm.fastest) {
            println!("{threads} threads: {}", gigas(rate));
        }
        println!();
        print_table(["", "1 thread", "2 threads"], &sgemm.rows);
        println!(
            "Causal prompts. The limit is the least multiplications at the speed of sgemm at best. \"/ pattern\" is the"
        );
        println!(
            "time given queries and keys over that given the pattern, \"/ all\" that of sparse results (above 0.01, with"
        );
        println!("room for 99 for each query) over that of all.\n");
        let rows: Vec<_> = prompts.iter().map(row).collect();
        let head = ["", "threads", "median, ms", "least, ms", "limit, ms", "limit / least", "/ pattern", "/ all"];
        print_table(head, &rows);
    }
    if !queries.is_empty() {
        println!(
            "Single queries on one thread. Calls, and reading, which is a sum of keys, values and w_o, take turns through"
        );
        println!(
            "copies of the inputs that are 128 MB together, so that all is read from memory, as between two layers of a"
        );
        println!(
            "model. \"Prepared\" is w_o, once for each copy and before. \"/ pattern\" is the time given queries and keys over"
        );
        println!("that given the pattern, \"/ unprepared\" that with w_o prepared over that without.\n");
        let head = ["", "median, ms", "least, ms", "reading, ms", "least / reading", "/ pattern", "/ unprepared"];
        print_table(head, queries);
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
