//! The reference cases: inputs, what the reference makes of them in their own type, and what it makes of them in `f64`.
//!
//! They lie in `cases/`, one safetensors file each, listed in `index.json`. Those of attention from queries and keys, which is
//! no operation of the reference, have a folder and an index of their own.

use crate::naive::Scoring;
use crate::numbers::{Kind, Numbers};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The operations of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Contributions of parts.
    Contributions,
    /// Contributions of parts, and of one part of another shape.
    OneOff,
    /// Attention, by token and head.
    Attention,
    /// An MLP as one.
    Mlp,
    /// An MLP by neuron.
    DecomposedMlp,
    /// Threshold and renormalise.
    Threshold,
    /// Attention, from pattern and values.
    AttentionFactored,
    /// An MLP by neuron, from activations and output vectors.
    MlpNeurons,
}

impl Operation {
    /// All of them, with their names in `index.json`.
    pub const ALL: [(&'static str, Operation); 8] = [
        ("contributions", Operation::Contributions),
        ("one_off", Operation::OneOff),
        ("attention", Operation::Attention),
        ("mlp", Operation::Mlp),
        ("decomposed_mlp", Operation::DecomposedMlp),
        ("threshold", Operation::Threshold),
        ("attention_factored", Operation::AttentionFactored),
        ("mlp_neurons", Operation::MlpNeurons),
    ];

    /// The names of the inputs.
    #[must_use]
    pub const fn inputs(self) -> &'static [&'static str] {
        match self {
            Operation::Contributions => &["whole", "parts"],
            Operation::OneOff => &["whole", "parts", "one_off"],
            Operation::Attention => &["resid_pre", "resid_mid", "decomposed_attn"],
            Operation::Mlp => &["resid_mid", "resid_post", "mlp_out"],
            Operation::DecomposedMlp => &["resid_mid", "resid_post", "decomposed_mlp_out"],
            Operation::Threshold => &["c_blocks", "c_residual"],
            Operation::AttentionFactored => &["resid_pre", "resid_mid", "pattern", "values", "w_o"],
            Operation::MlpNeurons => &["resid_mid", "resid_post", "activations", "w_out"],
        }
    }
}

/// A tensor: its elements in row-major order.
#[derive(Clone, Debug)]
pub struct Array {
    /// The extents of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub numbers: Numbers,
}

/// One reference case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file, without the suffix.
    pub name: String,
    /// What is computed.
    pub operation: Operation,
    /// The norm.
    pub norm: f64,
    /// The threshold, for [`Operation::Threshold`].
    pub threshold: f64,
    /// The type of the inputs.
    pub kind: Kind,
    tensors: BTreeMap<String, Array>,
}

/// The names of the results' tensors: of the one that every operation has, and of the one that some have.
pub const RESULTS: [Names; 2] =
    [Names { expected: "expected", torch: "torch" }, Names { expected: "expected_residual", torch: "torch_residual" }];

/// The names under which a case holds one result.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The reference in `f64`: what is right.
    pub expected: &'static str,
    /// The reference in the inputs' own type: what to beat.
    pub torch: &'static str,
}

impl Case {
    /// The tensor with this name, where the case has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.tensors.get(name)
    }

    /// The tensor with this name.
    ///
    /// # Panics
    /// Where the case has none.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &Array {
        self.get(name).unwrap_or_else(|| panic!("{} has no tensor {name}", self.name))
    }

    /// How far the reference in the inputs' own type is off, at most, over all results.
    #[must_use]
    pub fn reference_error(&self) -> f64 {
        let results = RESULTS.iter().filter_map(|names| Some((self.get(names.torch)?, self.get(names.expected)?)));
        results
            .map(|(torch, expected)| max_error(&torch.numbers.to_f64(), &expected.numbers.to_f64()))
            .fold(0.0, f64::max)
    }

    fn load(folder: &Path, entry: &Value) -> Self {
        let operation = Operation::ALL
            .into_iter()
            .find_map(|(name, operation)| (name == field(entry, "op")).then_some(operation))
            .unwrap_or_else(|| panic!("no known op in {entry}"));
        Self::load_as(folder, entry, operation, number(entry, "threshold"))
    }

    fn load_as(folder: &Path, entry: &Value, operation: Operation, threshold: f64) -> Self {
        let path = folder.join(field(entry, "file"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tensors = file.iter().map(|(name, view)| {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::F32,
                // Integers have the bits of numbers that are as large.
                Dtype::F64 | Dtype::I64 => Kind::F64,
                Dtype::F16 => Kind::F16,
                Dtype::BF16 => Kind::Bf16,
                other => panic!("{}: {name} is of {other:?}", path.display()),
            };
            let numbers = Numbers::of_bytes(kind, view.data());
            (name.to_string(), Array { shape: view.shape().to_vec(), numbers })
        });
        Case {
            name: field(entry, "file").trim_end_matches(".safetensors").to_string(),
            operation,
            norm: number(entry, "norm"),
            threshold,
            kind: Kind::of_name(field(entry, "dtype")).unwrap_or_else(|| panic!("no known dtype in {entry}")),
            tensors: tensors.collect(),
        }
    }
}

fn field<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_else(|| panic!("no {name} in {entry}"))
}

fn number<T: FromStr>(entry: &Value, name: &str) -> T {
    field(entry, name).parse().unwrap_or_else(|_| panic!("no number as {name} in {entry}"))
}

/// A case of attention from queries and keys.
#[derive(Clone, Debug)]
pub struct QueryKeyCase {
    /// Its tensors: beside those of [`Operation::AttentionFactored`], whose `pattern` is what is expected in `f64`, `queries` and
    /// `keys`, and in some cases `slopes`, `sinks`, `mask`, `query_positions` and `key_positions`, which have the bits of `i64`.
    pub case: Case,
    /// By what the inner product is multiplied.
    pub scale: f64,
    /// What no score exceeds.
    pub soft_cap: Option<f64>,
    /// Whether a query sees no key after it.
    pub causal: bool,
    /// How many positions a query sees before it, its own included.
    pub window: Option<usize>,
    /// The position of the first query, where positions are not given.
    pub first_query: i64,
}

impl QueryKeyCase {
    fn load(folder: &Path, entry: &Value) -> Self {
        QueryKeyCase {
            case: Case::load_as(folder, entry, Operation::AttentionFactored, f64::NAN),
            scale: number(entry, "scale"),
            soft_cap: Some(number(entry, "soft_cap")).filter(|&cap: &f64| cap != 0.0),
            causal: field(entry, "causal") == "1",
            window: Some(number(entry, "window")).filter(|&window| window != 0),
            first_query: number(entry, "first_query"),
        }
    }

    /// What each query's scores in one head are made by.
    #[must_use]
    pub fn scoring(&self, head: usize) -> Scoring {
        let of_head = |name: &str| Some(self.case.get(name)?.numbers.get(head));
        Scoring {
            scale: self.scale,
            soft_cap: self.soft_cap,
            slope: of_head("slopes"),
            sink: of_head("sinks"),
            causal: self.causal,
            window: self.window,
        }
    }
}

/// The largest difference between two numbers of the same index that are not NaN.
///
/// # Panics
/// Where there are not as many of both.
#[must_use]
pub fn max_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
}

/// The folder of the cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// All cases, in the order of `index.json`.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn all() -> Vec<Case> {
    all_of(&folder(), Case::load)
}

/// All cases of attention from queries and keys.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn of_queries_and_keys() -> Vec<QueryKeyCase> {
    all_of(&folder().join("query_key"), QueryKeyCase::load)
}

fn all_of<T>(folder: &Path, load: fn(&Path, &Value) -> T) -> Vec<T> {
    let index = std::fs::read_to_string(folder.join("index.json")).expect("the cases have an index");
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    index.as_array().expect("the index is a list").iter().map(|entry| load(folder, entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive::{self, Key};

    #[test]
    fn every_file_is_a_case_with_its_inputs_and_results() {
        let cases = all();
        let files = std::fs::read_dir(folder()).unwrap().filter(|file| {
            file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "safetensors")
        });
        assert_eq!(files.count(), cases.len());
        for case in &cases {
            for input in case.operation.inputs() {
                assert_eq!(case.tensor(input).numbers.kind(), case.kind, "{}", case.name);
            }
            for names in RESULTS {
                let (expected, torch) = (case.get(names.expected), case.get(names.torch));
                let shape = |array: Option<&Array>| array.map(|array| array.shape.clone());
                assert_eq!(shape(expected), shape(torch), "{}", case.name);
            }
            assert_eq!(case.tensor("expected").numbers.kind(), Kind::F64, "{}", case.name);
            let one = case.operation == Operation::Contributions;
            assert_eq!(case.get("expected_residual").is_none(), one, "{}", case.name);
        }
    }
    #[test]
    fn the_naive_pattern_is_that_of_every_case_of_queries_and_keys() {
        let cases = of_queries_and_keys();
        let files = std::fs::read_dir(folder().join("query_key")).unwrap();
        assert_eq!((cases.len(), files.count()), (25, 26));
        for case in &cases {
            let own = |name: &str| {
                let array = case.case.tensor(name);
                (array.shape.clone(), array.numbers.to_f64())
            };
            let ((of_queries, queries), (of_keys, keys)) = (own("queries"), own("keys"));
            let [batch, pos, heads, d] = of_queries[..] else { panic!("four axes") };
            let [_, key_pos, kv_heads, _] = of_keys[..] else { panic!("four axes") };
            let position = |name: &str, row: usize, otherwise: i64| match case.case.get(name) {
                Some(positions) => positions.numbers.bits(row) as i64,
                None => otherwise,
            };
            let mask = |b: usize, head: usize, query: usize, key: usize| match case.case.get("mask") {
                Some(mask) => {
                    let [of_batch, of_heads] = [mask.shape[0], mask.shape[1]];
                    mask.numbers.get(((b % of_batch * of_heads + head % of_heads) * pos + query) * key_pos + key)
                }
                None => 0.0,
            };
            let mut pattern = Vec::new();
            for b in 0..batch {
                for head in 0..heads {
                    for query in 0..pos {
                        let key = |key: usize| Key {
                            vector: {
                                let row = (b * key_pos + key) * kv_heads + head / (heads / kv_heads);
                                keys[row * d..][..d].to_vec()
                            },
                            position: position("key_positions", b * key_pos + key, key as i64),
                            mask: mask(b, head, query, key),
                        };
                        let keys: Vec<Key> = (0..key_pos).map(key).collect();
                        let vector = &queries[((b * pos + query) * heads + head) * d..][..d];
                        let position = position("query_positions", b * pos + query, case.first_query + query as i64);
                        let scoring = case.scoring(head);
                        let scores = naive::scores(vector, position, &keys, &scoring);
                        pattern
                            .extend(naive::softmax(&scores, scoring.sink).into_iter().map(Option::unwrap_or_default));
                    }
                }
            }
            let error = max_error(&pattern, &own("pattern").1);
            assert!(error <= 1e-12, "{}: off by {error:e}", case.case.name);
        }
    }
}
