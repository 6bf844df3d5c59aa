//! The routes that the reference finds in the recording of `examples/data`, in `f64`: 36 cases of renormalisation, threshold and
//! target. `crates/contrib-routes/tests/data/compact.py` says how they are stored.

use std::collections::BTreeMap;

/// The recording that the cases are of.
pub const RECORDING: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/smollm2-135m-capitals.safetensors");
const CASES: &str = include_str!("../../contrib-routes/tests/data/routes-capitals.txt");
/// How far a weight may be from the reference's, and that of an edge which only one of both has from the threshold.
const TOLERANCE: f64 = 1e-6;

/// Edges by the names of the nodes at which they begin and end, with their weights.
pub type Edges = BTreeMap<(String, String), f64>;

/// What the reference finds for one choice. It sums heads, and counts masked keys.
#[derive(Clone, Debug)]
pub struct Case {
    /// The threshold of renormalisation, where there is one.
    pub renormalise: Option<f64>,
    /// What weights are greater than.
    pub threshold: f64,
    /// The position of the target.
    pub target: usize,
    /// The edges.
    pub edges: Edges,
}

/// All cases.
///
/// # Panics
/// If the file is damaged.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let (mut renormalise, mut all) = (None, Vec::new());
    let mut lines = CASES.lines();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["renormalise", threshold] => (renormalise, all) = (threshold.parse().ok(), Vec::new()),
            ["case", threshold, start] => {
                let mut edges = Edges::new();
                for run in lines.next().unwrap().split(' ') {
                    let (first, last) = run.split_once('-').unwrap();
                    let run = first.parse::<usize>().unwrap()..=last.parse().unwrap();
                    edges.extend(all[run].iter().cloned());
                }
                let (threshold, target) = (threshold.parse().unwrap(), start.parse().unwrap());
                cases.push(Case { renormalise, threshold, target, edges });
            }
            [from, to, weight] => all.push(((from.to_string(), to.to_string()), weight.parse().unwrap())),
            _ => panic!("{line}"),
        }
    }
    cases
}

/// The name of a node: `X` for embeddings, `A` for `resid_mid`, `M` for MLPs, `I` for `resid_post`.
#[must_use]
pub fn name(kind: char, layer: usize, position: usize) -> String {
    format!("{kind}{layer}_{position}")
}

impl Case {
    /// # Panics
    /// If these edges are not the reference's, but for those whose weight is at the threshold.
    pub fn check(&self, found: &Edges) {
        let Case { renormalise, threshold, target, edges } = self;
        let name = format!("renormalise {renormalise:?}, threshold {threshold}, target {target}");
        for (edge, weight) in edges {
            match found.get(edge) {
                Some(found) => assert!((found - weight).abs() <= TOLERANCE, "{name}: {edge:?} {found}, not {weight}"),
                None => assert!((weight - threshold).abs() <= TOLERANCE, "{name}: {edge:?} {weight} is missing"),
            }
        }
        for (edge, weight) in found.iter().filter(|(edge, _)| !edges.contains_key(*edge)) {
            assert!((weight - threshold).abs() <= TOLERANCE, "{name}: {edge:?} {weight} is not the reference's");
        }
    }
}
