//! How long routes take, and how many edges they have, in a prompt of SmolLM2-135M's shapes. Of the layers that a file has (which
//! need not be all), 30 are made by repeating them.
//!
//! ```text
//! cargo run --release -p contrib-routes --example speed -- FILE [TOKENS [STEP]]
//! ```
//!
//! `TOKENS`: of the first so many alone; where the file has fewer, they are repeated, which makes routes of the right shapes that
//! mean nothing. `STEP`: every so many tokens are targets, too, and with 1, all edges are found, and the routes of each token taken
//! out of them. The recording lies in memory.

use contrib_core::{Tensor, half::f16};
use contrib_routes::{
    Attends, Attention, Error, Extent, HeadEdges, Layer, Memory, Moves, Options, Routes, Scores, Targets, routes,
};
use safetensors::{Dtype, SafeTensors};
use std::time::{Duration, Instant};

const LAYERS: usize = 30;
const RUNS: usize = 5;

/// A tensor's shape and elements; halves as they are.
enum Numbers {
    Single(Vec<f32>),
    Half(Vec<f16>),
}

struct Stored {
    shape: Vec<usize>,
    numbers: Numbers,
}

impl Stored {
    /// The tensor of a file, or so many rows of it.
    fn new(file: &SafeTensors<'_>, name: &str, rows: Option<usize>) -> Self {
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut shape = view.shape().to_vec();
        shape[0] = rows.unwrap_or(shape[0]);
        let len = shape.iter().product();
        let numbers = match view.dtype() {
            Dtype::F32 => {
                let numbers = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                Numbers::Single(numbers.cycle().take(len).collect())
            }
            Dtype::F16 => {
                let numbers = view.data().as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes));
                Numbers::Half(numbers.cycle().take(len).collect())
            }
            other => panic!("{name} is of {other:?}"),
        };
        Stored { shape, numbers }
    }

    fn tensor(&self) -> Tensor<'_> {
        match &self.numbers {
            Numbers::Single(numbers) => Tensor::new(numbers, &self.shape),
            Numbers::Half(numbers) => Tensor::new(numbers, &self.shape),
        }
        .expect("as many numbers as the shape says")
    }
}

/// What a layer needs, in the order of `NAMES`.
const NAMES: [&str; 7] = ["resid_pre", "resid_mid", "mlp_out", "queries", "keys", "values", "w_o"];

struct StoredLayer {
    tensors: Vec<Stored>,
    resid_post: Vec<f32>,
}

impl StoredLayer {
    fn new(file: &SafeTensors<'_>, index: usize, tokens: Option<usize>) -> Self {
        let of = |name: &&str| Stored::new(file, &format!("{name}.{index}"), tokens.filter(|_| *name != "w_o"));
        let tensors: Vec<Stored> = NAMES.iter().map(of).collect();
        let mut resid_post = vec![0.0; tensors[1].shape.iter().product()];
        let mut mlp_out = resid_post.clone();
        tensors[1].tensor().copy_to(&mut resid_post);
        tensors[2].tensor().copy_to(&mut mlp_out);
        resid_post.iter_mut().zip(mlp_out).for_each(|(sum, mlp_out)| *sum += mlp_out);
        StoredLayer { tensors, resid_post }
    }

    fn layer(&self) -> Layer<'_> {
        let of = |index: usize| self.tensors[index].tensor();
        Layer {
            resid_pre: of(0),
            resid_mid: Some(of(1)),
            resid_post: Tensor::new(&self.resid_post, &self.tensors[0].shape).expect("as large as resid_pre"),
            attention: Attention {
                attends: Attends::Scores(Scores::causal(of(3), of(4))),
                moves: Moves::Values { values: of(5), w_o: of(6) },
                scale: None,
                bias: None,
            },
            mlp_out: of(2),
            mlp_bias: None,
        }
    }
}

/// The shortest of some runs, and what they found.
fn time(run: impl Fn() -> Result<Routes, Error>) -> (Duration, Routes) {
    let timed = || {
        let start = Instant::now();
        let found = run().expect("routes");
        (start.elapsed(), found)
    };
    (0..RUNS).map(|_| timed()).min_by_key(|(time, _)| *time).expect("some runs")
}

/// The layers of a file, and their numbers.
fn read(path: &str, tokens: Option<usize>) -> (Vec<StoredLayer>, Vec<usize>) {
    let bytes = std::fs::read(path).expect("a file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let recorded: Vec<usize> = (0..LAYERS).filter(|index| file.tensor(&format!("keys.{index}")).is_ok()).collect();
    (recorded.iter().map(|&index| StoredLayer::new(&file, index, tokens)).collect(), recorded)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("the path of a recording");
    let tokens = arguments.next().map(|tokens| tokens.parse().expect("a number of tokens"));
    let (stored, recorded) = read(&path, tokens);
    // Each layer is the last recorded one up to it.
    let layer = |index: usize| stored[recorded.partition_point(|&recorded| recorded <= index) - 1].layer();
    let recording = || Memory::new((0..LAYERS).map(layer).collect()).expect("a recording");
    let n_pos = stored[0].tensors[0].shape[0];
    let step: Option<usize> = arguments.next().map(|step| step.parse().expect("a number of tokens"));
    let many: Vec<usize> = (0..n_pos).rev().step_by(step.unwrap_or(n_pos)).collect();
    println!("{n_pos} tokens, {LAYERS} layers of which {} differ; shortest of {RUNS} runs", recorded.len());
    // From here on, the most is counted anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory();
    let each = Options::default();
    let summed = Options { heads: HeadEdges::Summed, ..each };
    let renormalised = Options { renormalise: Some(0.01), ..each };
    let both = Options { renormalise: Some(0.01), ..summed };
    for (name, options) in [("each head", each), ("summed", summed), ("renormalised", renormalised), ("both", both)] {
        for targets in [&many[..1], &many] {
            let (time, found) = time(|| routes(&mut recording(), Targets::At(targets), &options));
            let (targets, nodes, edges) = (targets.len(), found.n_nodes(), found.n_edges());
            println!("{name:>14}, {targets:>4} targets: {time:>10.1?}, {nodes} nodes, {edges} edges");
            if many.len() == 1 {
                break;
            }
        }
    }
    if step == Some(1) {
        let options = Options { extent: Extent::All, ..each };
        let (time_of_all, all) = time(|| routes(&mut recording(), Targets::At(&[n_pos - 1]), &options));
        println!(
            "{:>14}, all edges:    {time_of_all:>10.1?}, {} nodes, {} edges",
            "each head",
            all.n_nodes(),
            all.n_edges()
        );
        let (time, _) = time(|| {
            many.iter().try_for_each(|&target| all.routes_to(Targets::At(&[target]), 0.0).map(drop))?;
            Ok(all.clone())
        });
        println!("those of each token on its own, taken out of that: {time:.1?}");
    }
    if let (Some([before, _]), Some([_, peak])) = (before, memory()) {
        println!("at most {:.1} MB beside the recording", (peak - before) / 1e3);
    }
}

/// Kilobytes of memory: now, and at most so far. (On Linux.)
fn memory() -> Option<[f64; 2]> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    Some([of("VmRSS:")?, of("VmHWM:")?])
}
