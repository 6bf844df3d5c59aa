//! How long routes take in a recording, how many positions they reach, and how much memory they need beside it.
//!
//! ```text
//! cargo run --release -p contrib-routes --example speed -- FILE [OPTION ...]
//! ```
//!
//! | option | |
//! |---|---|
//! | `--targets last`, `all`, or a number | targets: the last position (the default), all, or every so many, the last one included |
//! | `--threshold NUMBER` | 0.04 |
//! | `--renormalise NUMBER` | contributions above it are renormalised first |
//! | `--summed` | edges of all heads together |
//! | `--whole` | all edges of the prompt, and then the routes of each target taken out of them |
//! | `--runs NUMBER` | 5: the shortest counts |
//! | `--threads NUMBER` | 2 |
//! | `--block NUMBER` | so many positions of a layer in one call, and not as many as need little memory |
//! | `--layers` | what each layer took in the shortest run |
//! | `--csv` | a line for a table: the names are `COLUMNS` |
//!
//! The file is mapped into memory, and a run before those that count has read of it what is needed. Memory is that which is not of
//! the file, at most, in this run. Processor time is what all threads took together in the run that took the least: a machine that has
//! much else to do changes it less than time. (Both on Linux.)

use contrib_core::Context;
use contrib_routes::{
    Error, Extent, File, HeadEdges, Options, Progress, Recording, Routes, Stage, Targets, routes_with_progress,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const COLUMNS: &str =
    "tokens,targets,threshold,heads,milliseconds,processor_milliseconds,reached,nodes,edges,megabytes";
/// Memory is looked at so often.
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// What is measured.
struct Choices {
    path: String,
    targets: String,
    runs: usize,
    threads: usize,
    threshold: f64,
    renormalise: Option<f64>,
    block: Option<usize>,
    heads: HeadEdges,
    extent: Extent,
    by_layer: bool,
    as_csv: bool,
}

impl Choices {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut choices = Choices {
            path: String::new(),
            targets: "last".to_string(),
            runs: 5,
            threads: 2,
            threshold: 0.04,
            renormalise: None,
            block: None,
            heads: HeadEdges::Each,
            extent: Extent::Reached,
            by_layer: false,
            as_csv: false,
        };
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<f64, String> {
                let text = arguments.next().unwrap_or_default();
                text.parse().map_err(|_| format!("{argument} needs a number, not {text:?}"))
            };
            match argument.as_str() {
                "--targets" => choices.targets = arguments.next().unwrap_or_default(),
                "--threshold" => choices.threshold = number()?,
                "--renormalise" => choices.renormalise = Some(number()?),
                "--block" => choices.block = Some(number()? as usize),
                "--runs" => choices.runs = (number()? as usize).max(1),
                "--threads" => choices.threads = number()? as usize,
                "--summed" => choices.heads = HeadEdges::Summed,
                "--whole" => choices.extent = Extent::All,
                "--layers" => choices.by_layer = true,
                "--csv" => choices.as_csv = true,
                option if option.starts_with("--") => return Err(format!("there is no option {option}")),
                _ => choices.path = argument,
            }
        }
        if choices.path.is_empty() { Err("needs the path of a recording".to_string()) } else { Ok(choices) }
    }

    fn targets(&self, n_pos: usize) -> Result<Vec<usize>, String> {
        let step = match self.targets.as_str() {
            "last" => n_pos,
            "all" => 1,
            number => number.parse().map_err(|_| format!("--targets is last, all or a number, not {number:?}"))?,
        };
        Ok((0..n_pos).rev().step_by(step.max(1)).collect())
    }
}

/// What a layer took, and how many positions of it were computed.
#[derive(Clone, Copy, Default)]
struct OfLayer {
    of_mid: Duration,
    of_post: Duration,
    mids: usize,
    posts: usize,
}

/// What a run took.
struct Run {
    time: Duration,
    processor: Option<Duration>,
    layers: Vec<OfLayer>,
    found: Routes,
}

impl Run {
    fn new(file: &mut File, targets: &[usize], options: &Options<'_>) -> Result<Self, Error> {
        let mut layers = vec![OfLayer::default(); file.n_layers()];
        let processor = processor_time();
        let start = Instant::now();
        let mut last = start;
        let found = routes_with_progress(file, Targets::At(targets), options, &mut |progress: Progress| {
            let layer = &mut layers[progress.layer];
            let (time, positions) = match progress.stage {
                Stage::ResidPost => (&mut layer.of_post, &mut layer.posts),
                Stage::ResidMid => (&mut layer.of_mid, &mut layer.mids),
            };
            *time += last.elapsed();
            *positions = progress.positions;
            last = Instant::now();
            ControlFlow::Continue(())
        })?;
        let time = start.elapsed();
        let processor = processor_time().zip(processor).map(|(after, before)| after.saturating_sub(before));
        Ok(Run { time, processor, layers, found })
    }

    /// How many wholes were computed.
    fn reached(&self) -> usize {
        self.layers.iter().map(|layer| layer.mids + layer.posts).sum()
    }
}

/// What the processors spent on all threads of this process so far.
fn processor_time() -> Option<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// Megabytes that are this process's own, and not of a file.
fn own_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0 / 1e6)
}

/// What `work` gives, and by how many megabytes at most the process grew meanwhile.
fn with_memory<T>(work: impl FnOnce() -> T) -> (T, Option<f64>) {
    let before = own_memory();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = own_memory();
            while !is_done.load(Ordering::Relaxed) {
                peak = peak.zip(own_memory()).map(|(peak, now)| peak.max(now));
                std::thread::sleep(BETWEEN_LOOKS);
            }
            peak
        });
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        let peak = looking.join().unwrap_or_default();
        (result, peak.zip(before).map(|(peak, before)| peak - before))
    })
}

fn print_layers(run: &Run) {
    println!("{:>6} {:>10} {:>12} {:>10} {:>12}", "layer", "resid_post", "ms", "resid_mid", "ms");
    for (index, layer) in run.layers.iter().enumerate() {
        let [post, mid] = [layer.of_post, layer.of_mid].map(|time| 1e3 * time.as_secs_f64());
        println!("{index:>6} {:>10} {post:>12.2} {:>10} {mid:>12.2}", layer.posts, layer.mids);
    }
}

fn measure(choices: &Choices) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = File::open(&choices.path)?;
    let targets = choices.targets(file.n_pos())?;
    let context = Context::new(choices.threads)?;
    let options = Options {
        threshold: choices.threshold,
        renormalise: choices.renormalise,
        heads: choices.heads,
        extent: choices.extent,
        context: Some(&context),
        block: choices.block,
        ..Options::default()
    };
    let (first, megabytes) = with_memory(|| Run::new(&mut file, &targets, &options));
    let mut best = first?;
    best.time = Duration::MAX;
    let mut processor = None;
    for _ in 0..choices.runs {
        let run = Run::new(&mut file, &targets, &options)?;
        processor = processor.into_iter().chain(run.processor).min();
        if run.time < best.time {
            best = run;
        }
    }
    let milliseconds = 1e3 * best.time.as_secs_f64();
    let processor = processor.map(|time| format!("{:.3}", 1e3 * time.as_secs_f64())).unwrap_or_default();
    let heads = if choices.heads == HeadEdges::Summed { "summed" } else { "each" };
    let (nodes, edges, reached) = (best.found.n_nodes(), best.found.n_edges(), best.reached());
    let (n_pos, n_targets, threshold) = (file.n_pos(), targets.len(), choices.threshold);
    let megabytes = megabytes.map(|megabytes| format!("{megabytes:.1}")).unwrap_or_default();
    if choices.as_csv {
        println!(
            "{n_pos},{n_targets},{threshold},{heads},{milliseconds:.3},{processor},{reached},{nodes},{edges},{megabytes}"
        );
        return Ok(());
    }
    println!(
        "{n_pos} tokens, {n_targets} targets, threshold {threshold}, {heads}: {milliseconds:.1} ms (shortest of {} runs; processors {processor}), \
         {reached} wholes computed, {nodes} nodes, {edges} edges, at most {megabytes} MB beside the recording",
        choices.runs
    );
    if choices.by_layer {
        print_layers(&best);
    }
    if choices.extent == Extent::All {
        let start = Instant::now();
        for &target in &targets {
            best.found.routes_to(Targets::At(&[target]), 0.0)?;
        }
        println!("those of each target on its own, taken out of that: {:.1?}", start.elapsed());
    }
    Ok(())
}

fn main() {
    let measured = Choices::read(std::env::args().skip(1)).map_err(Into::into).and_then(|choices| measure(&choices));
    if let Err(error) = measured {
        eprintln!("{error}\ncolumns of --csv: {COLUMNS}");
        std::process::exit(1);
    }
}
