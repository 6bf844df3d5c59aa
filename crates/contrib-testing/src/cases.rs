//! The reference cases: inputs, what the reference makes of them in their own type, and what it makes of them in `f64`.
//!
//! They lie in `cases/`, one safetensors file each, listed in `index.json`.

use crate::numbers::{Kind, Numbers};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
        let field = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("no {name} in {entry}"));
        let number = |name: &str| field(name).parse().unwrap_or_else(|_| panic!("no number as {name} in {entry}"));
        let path = folder.join(field("file"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tensors = file.iter().map(|(name, view)| {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::F32,
                Dtype::F64 => Kind::F64,
                Dtype::F16 => Kind::F16,
                Dtype::BF16 => Kind::Bf16,
                other => panic!("{}: {name} is of {other:?}", path.display()),
            };
            let numbers = Numbers::of_bytes(kind, view.data());
            (name.to_string(), Array { shape: view.shape().to_vec(), numbers })
        });
        Case {
            name: field("file").trim_end_matches(".safetensors").to_string(),
            operation: Operation::ALL
                .into_iter()
                .find_map(|(name, operation)| (name == field("op")).then_some(operation))
                .unwrap_or_else(|| panic!("no known op in {entry}")),
            norm: number("norm"),
            threshold: number("threshold"),
            kind: Kind::of_name(field("dtype")).unwrap_or_else(|| panic!("no known dtype in {entry}")),
            tensors: tensors.collect(),
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
    let folder = folder();
    let index = std::fs::read_to_string(folder.join("index.json")).expect("the cases have an index");
    let index: Value = serde_json::from_str(&index).expect("the index is JSON");
    index.as_array().expect("the index is a list").iter().map(|entry| Case::load(&folder, entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
