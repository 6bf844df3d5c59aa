//! Factored parts: against how fast the same cores calculate in registers. Ends with a table of the ratios.

use contrib_benches::arithmetic::time_of_arithmetic;
use contrib_benches::factored::{Attention, GPT2, Given, LLAMA3, Model, Neurons, Pattern, Stream};
use contrib_benches::read_all;
use contrib_benches::report::{Seconds, measure, print_table};
use contrib_core::half::{bf16, f16};
use contrib_core::{Context, Element, Norm, Options};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use std::time::{Duration, Instant};

const THREADS: [usize; 2] = [1, 2];
const NORMS: [(&str, Norm); 2] = [("1", Norm::ONE), ("2", Norm::TWO)];

/// Elements that each thread measures to find out how fast it calculates: some 10 ms.
const ARITHMETIC: u64 = 400_000_000;

/// Each norm, on each number of threads.
fn calls() -> impl Iterator<Item = ((&'static str, Norm), usize)> {
    NORMS.into_iter().flat_map(|norm| THREADS.map(|threads| (norm, threads)))
}

/// What one call is about, to say how many of them it does in a second.
#[derive(Clone, Copy)]
struct Size {
    /// Of the parts that dense attention would be given.
    elements: u64,
    parts: u64,
}

/// What was measured: a row of the table.
struct Row {
    name: String,
    threads: usize,
    size: Size,
    seconds: f64,
}

/// Criterion, and a table of what it does not say: ratios.
struct Bench {
    criterion: Criterion,
    rows: Vec<Row>,
    /// For each number of threads, how many elements they can calculate in a second. 0 where nobody knows.
    arithmetic: [(usize, f64); 2],
}

impl Bench {
    /// Begins a group. How fast the cores calculate is measured again: what other programs take from them, they do not have
    /// in all groups, and the fastest counts.
    fn group(&mut self, name: &str) -> Group<'_> {
        for (threads, fastest) in &mut self.arithmetic {
            let times = (0..3).filter_map(|_| time_of_arithmetic(ARITHMETIC, *threads));
            let elements = (*threads as u64 * ARITHMETIC) as f64;
            *fastest = times.map(|time| elements / time.as_secs_f64()).fold(*fastest, f64::max);
        }
        let mut group = self.criterion.benchmark_group(name);
        // Each sample is as many calls, of the slow ones a single one.
        group.sampling_mode(SamplingMode::Flat);
        Group { own: group, name: name.to_owned(), rows: &mut self.rows }
    }

    fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        let or_nothing = |known: bool, number: String| if known { number } else { String::new() };
        let mut table = Vec::new();
        for Row { name, threads, size, seconds } in &self.rows {
            let rate = size.elements as f64 / seconds;
            let arithmetic = self.arithmetic.iter().find(|(own, _)| own == threads).map_or(0.0, |(_, rate)| *rate);
            table.push([
                name.clone(),
                threads.to_string(),
                format!("{:.3}", 1e3 * seconds),
                format!("{:.2}", rate / 1e9),
                or_nothing(arithmetic > 0.0, format!("{:.0} %", 100.0 * rate / arithmetic)),
                or_nothing(size.parts > 0, format!("{:.1}", size.parts as f64 / seconds / 1e6)),
            ]);
        }
        println!(
            "\nMedians. An element is one of a part, masked or not; parts are never in memory. Arithmetic is the sum of"
        );
        println!("|c x - w| in f32, in registers of AVX2, on as many threads. At best, in G elements/s:");
        for (threads, rate) in self.arithmetic.iter().filter(|(_, rate)| *rate > 0.0) {
            println!("{threads} threads: {:.1}", rate / 1e9);
        }
        println!();
        print_table(["", "threads", "ms", "G elements/s", "of arithmetic", "M parts/s"], &table);
    }
}

struct Group<'a> {
    own: BenchmarkGroup<'a, WallTime>,
    name: String,
    rows: &'a mut Vec<Row>,
}

impl Group<'_> {
    /// Measures what takes as long as `time` returns.
    fn measure(&mut self, name: &str, threads: usize, size: Size, time: impl FnMut() -> Duration) {
        self.own.throughput(Throughput::Elements(size.elements));
        if let Some(Seconds { median, .. }) = measure(&mut self.own, &format!("{name}, {threads} threads"), time) {
            self.rows.push(Row { name: format!("{}, {name}", self.name), threads, size, seconds: median });
        }
    }

    fn attention<T: Element>(
        &mut self,
        name: &str,
        inputs: &mut Attention<T>,
        (given, summed): (Given, bool),
        (norm, threads): ((&str, Norm), usize),
    ) {
        let context = Context::new(threads).unwrap();
        let options = Options::default().norm(norm.1).context(&context);
        let size = Size { elements: inputs.elements(), parts: inputs.parts() };
        self.measure(&format!("{name}, norm {}", norm.0), threads, size, || {
            let start = Instant::now();
            inputs.run(given, summed, &options);
            start.elapsed()
        });
    }

    /// Reads what a call for a single token has to read, which is more than it calculates.
    fn reading(&mut self, name: &str, elements: &[f32]) {
        for threads in THREADS {
            let size = Size { elements: elements.len() as u64, parts: 0 };
            self.measure(name, threads, size, || {
                let start = Instant::now();
                read_all(elements, threads);
                start.elapsed()
            });
        }
    }

    fn neurons(&mut self, name: &str, inputs: &mut Neurons, strongest: Option<usize>) {
        for threads in THREADS {
            let context = Context::new(threads).unwrap();
            let options = Options::default().context(&context);
            let size = Size { elements: inputs.elements(), parts: inputs.parts() };
            self.measure(name, threads, size, || {
                let start = Instant::now();
                inputs.run(strongest, &options);
                start.elapsed()
            });
        }
    }
}

/// The same for criterion, which measures it more often than the beginning of a group does.
fn arithmetic(bench: &mut Bench) {
    let mut measured = bench.arithmetic;
    let mut group = bench.group("arithmetic in registers");
    for (threads, fastest) in &mut measured {
        let size = Size { elements: *threads as u64 * ARITHMETIC, parts: 0 };
        if time_of_arithmetic(1, *threads).is_some() {
            group.measure("AVX2", *threads, size, || {
                let time = time_of_arithmetic(ARITHMETIC, *threads).unwrap_or_default();
                *fastest = fastest.max(size.elements as f64 / time.as_secs_f64());
                time
            });
        }
    }
    drop(group);
    for ((_, fastest), (_, measured)) in bench.arithmetic.iter_mut().zip(measured) {
        *fastest = fastest.max(measured);
    }
}

/// A prompt: every token attends to the others.
fn prompt(bench: &mut Bench, model: Model, tokens: usize) {
    let mut group = bench.group(&format!("{}, {tokens} tokens", model.name));
    let inputs = |pattern, stream| Attention::new(model, tokens, tokens, pattern, stream);
    let each = (Given::Values, false);

    let mut full = inputs(Pattern::Full, Stream::Large);
    for call in calls() {
        group.attention("full", &mut full, each, call);
        group.attention("full, value_output", &mut full, (Given::ValueOutput, false), call);
    }
    for threads in THREADS {
        group.attention("full, summed over heads", &mut full, (Given::Values, true), (NORMS[0], threads));
    }
    drop(full);

    for (name, pattern, stream) in [
        ("causal", Pattern::Causal, Stream::Large),
        ("peaked", Pattern::Peaked, Stream::Large),
        ("ADVERSE (wholes as small as a part)", Pattern::Full, Stream::Tiny),
    ] {
        // What is peaked differs little from what is not, and is not worth the minute that it takes here.
        if pattern == Pattern::Peaked && model.d_model > GPT2.d_model {
            continue;
        }
        let mut inputs = inputs(pattern, stream);
        for call in calls() {
            group.attention(name, &mut inputs, each, call);
        }
    }
}

/// The same in half precision.
fn half_precision(bench: &mut Bench) {
    let tokens = 512;
    let mut group = bench.group(&format!("{}, {tokens} tokens", GPT2.name));
    let inputs = Attention::new(GPT2, tokens, tokens, Pattern::Full, Stream::Large);
    let (mut f16s, mut bf16s) = (inputs.narrowed::<f16>(), inputs.narrowed::<bf16>());
    drop(inputs);
    for call in calls() {
        group.attention("full, f16", &mut f16s, (Given::Values, false), call);
        group.attention("full, bf16", &mut bf16s, (Given::Values, false), call);
    }
}

/// One new token, which attends to those before it.
fn decoding(bench: &mut Bench) {
    let keys = 512;
    let mut group = bench.group(&format!("{}, 1 query, {keys} keys", GPT2.name));
    let mut inputs = Attention::new(GPT2, 1, keys, Pattern::Full, Stream::Large);
    group.reading("reading value_output", inputs.value_output());
    for call in calls() {
        group.attention("values", &mut inputs, (Given::Values, false), call);
        group.attention("value_output", &mut inputs, (Given::ValueOutput, false), call);
    }
}

fn neurons(bench: &mut Bench) {
    let mut group = bench.group(&format!("{} neurons, norm 1", GPT2.name));
    for tokens in [64, 1] {
        let mut inputs = Neurons::new(tokens);
        if tokens == 1 {
            group.reading("reading w_out", inputs.w_out());
        }
        group.neurons(&format!("{tokens} tokens, all"), &mut inputs, None);
        group.neurons(&format!("{tokens} tokens, strongest 32"), &mut inputs, Some(32));
    }
}

fn main() {
    let criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(300))
        .without_plots()
        .configure_from_args();
    let mut bench = Bench { criterion, rows: Vec::new(), arithmetic: THREADS.map(|threads| (threads, 0.0)) };
    arithmetic(&mut bench);
    for (model, tokens) in [(GPT2, 512), (LLAMA3, 128), (LLAMA3, 256)] {
        prompt(&mut bench, model, tokens);
    }
    half_precision(&mut bench);
    decoding(&mut bench);
    neurons(&mut bench);
    bench.print();
}
