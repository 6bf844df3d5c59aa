//! How the tests call the library: views of stored tensors, and any operation with its inputs by name.

#![allow(dead_code, reason = "each test program uses some of it")]

use contrib_core::{
    Context, DType, Element, Error, FactoredAttention, Heads, MlpNeurons, Norm, Options, Tensor, TensorMut, attention,
    attention_factored, contributions, contributions_with_one_off, decomposed_mlp, half, mlp, mlp_neurons,
    threshold_and_renormalise,
};
use contrib_testing::{Arrangement, Case, Kind, Layout, Numbers, Operation, Random, Stored};

/// A view of a stored tensor.
pub fn view(stored: &Stored) -> Tensor<'_> {
    fn strided<'a, T: Element>(data: &'a [T], layout: &Layout) -> Tensor<'a> {
        Tensor::strided(data, layout.offset, &layout.shape, &layout.strides).unwrap()
    }
    match &stored.numbers {
        Numbers::F32(data) => strided::<f32>(data, &stored.layout),
        Numbers::F64(data) => strided::<f64>(data, &stored.layout),
        Numbers::F16(data) => strided::<half::f16>(data, &stored.layout),
        Numbers::Bf16(data) => strided::<half::bf16>(data, &stored.layout),
    }
}

/// A view of a stored tensor, to write.
pub fn view_mut(stored: &mut Stored) -> TensorMut<'_> {
    fn strided<'a, T: Element>(data: &'a mut [T], layout: &Layout) -> TensorMut<'a> {
        TensorMut::strided(data, layout.offset, &layout.shape, &layout.strides).unwrap()
    }
    match &mut stored.numbers {
        Numbers::F32(data) => strided::<f32>(data, &stored.layout),
        Numbers::F64(data) => strided::<f64>(data, &stored.layout),
        Numbers::F16(data) => strided::<half::f16>(data, &stored.layout),
        Numbers::Bf16(data) => strided::<half::bf16>(data, &stored.layout),
    }
}

/// The library's name for a type.
pub fn dtype(kind: Kind) -> DType {
    match kind {
        Kind::F32 => DType::F32,
        Kind::F64 => DType::F64,
        Kind::F16 => DType::F16,
        Kind::Bf16 => DType::Bf16,
    }
}

/// A call of an operation, but for where its results go.
#[derive(Clone, Debug)]
pub struct Job {
    pub operation: Operation,
    pub norm: f64,
    pub threshold: f64,
    pub inputs: Vec<(&'static str, Stored)>,
}

/// The two results of an operation; [`Operation::Contributions`] leaves the second alone.
pub type Outputs = [Stored; 2];

impl Job {
    /// The call of a reference case.
    pub fn of_case(case: &Case) -> Self {
        let input = |&name: &&'static str| {
            let array = case.tensor(name);
            (name, Stored::new(&array.numbers, Layout::row_major(&array.shape)))
        };
        Job {
            operation: case.operation,
            norm: case.norm,
            threshold: case.threshold,
            inputs: case.operation.inputs().iter().map(input).collect(),
        }
    }

    /// A call with inputs of these shapes, in the order of [`Operation::inputs`], of random numbers: normal ones, or
    /// for a threshold contributions between 0 and 1.
    pub fn random(operation: Operation, kind: Kind, shapes: &[&[usize]], random: &mut Random) -> Self {
        assert_eq!(shapes.len(), operation.inputs().len());
        let input = |(&name, &shape): (&&'static str, &&[usize])| {
            let value = |_| match (operation, name) {
                (Operation::Threshold, _) => random.unit(),
                (_, "whole" | "resid_post" | "resid_mid" | "resid_pre") => random.normal(),
                _ => 0.3 * random.normal(),
            };
            (name, Stored::from_fn(kind, Layout::row_major(shape), value))
        };
        let inputs = operation.inputs().iter().zip(shapes).map(input).collect();
        Job { operation, norm: 1.0, threshold: 0.4, inputs }
    }

    pub fn with_norm(&self, norm: f64) -> Self {
        Job { norm, ..self.clone() }
    }

    /// The same inputs, in other places in memory.
    pub fn laid_out(&self, layout: Arrangement) -> Self {
        let inputs = self.inputs.iter().map(|(name, stored)| (*name, stored.laid_out(layout))).collect();
        Job { inputs, ..self.clone() }
    }

    pub fn input(&self, name: &str) -> &Stored {
        &self.inputs.iter().find(|input| input.0 == name).unwrap().1
    }

    pub fn input_mut(&mut self, name: &str) -> &mut Stored {
        &mut self.inputs.iter_mut().find(|input| input.0 == name).unwrap().1
    }

    /// Blank outputs for it.
    pub fn outputs(&self, kind: Kind, layout: Arrangement) -> Outputs {
        let shape = |name: &str| self.input(name).layout.shape.clone();
        let vectors = |name: &str| {
            let mut shape = shape(name);
            shape.pop();
            shape
        };
        let shapes = match self.operation {
            Operation::Contributions => [vectors("parts"), vec![]],
            Operation::OneOff => [vectors("parts"), vectors("one_off")],
            Operation::Attention => [vectors("decomposed_attn"), vectors("resid_pre")],
            Operation::Mlp => [vectors("mlp_out"), vectors("resid_mid")],
            Operation::DecomposedMlp => [vectors("decomposed_mlp_out"), vectors("resid_mid")],
            Operation::Threshold => [shape("c_blocks"), shape("c_residual")],
            Operation::AttentionFactored => {
                let pattern = shape("pattern");
                [vec![pattern[0], pattern[2], pattern[3], pattern[1]], vectors("resid_pre")]
            }
            Operation::MlpNeurons => [shape("activations"), vectors("resid_mid")],
        };
        shapes.map(|shape| Stored::blank(kind, layout(&shape)))
    }

    /// Does it.
    pub fn run(&self, [out, out_residual]: &mut Outputs, context: Option<&Context>) -> Result<(), Error> {
        let input = |name| view(self.input(name));
        let (out, residual) = (&mut view_mut(out), &mut view_mut(out_residual));
        let mut options = Options::default().norm(Norm::new(self.norm)?);
        if let Some(context) = context {
            options = options.context(context);
        }
        match self.operation {
            Operation::Contributions => contributions(&input("whole"), &input("parts"), out, &options),
            Operation::OneOff => {
                let (whole, parts, one_off) = (input("whole"), input("parts"), input("one_off"));
                contributions_with_one_off(&whole, &parts, &one_off, out, residual, &options)
            }
            Operation::Attention => {
                let (resid_pre, resid_mid) = (input("resid_pre"), input("resid_mid"));
                attention(&resid_pre, &resid_mid, &input("decomposed_attn"), out, residual, &options)
            }
            Operation::Mlp => {
                let (resid_mid, resid_post) = (input("resid_mid"), input("resid_post"));
                mlp(&resid_mid, &resid_post, &input("mlp_out"), out, residual, &options)
            }
            Operation::DecomposedMlp => {
                let (resid_mid, resid_post) = (input("resid_mid"), input("resid_post"));
                decomposed_mlp(&resid_mid, &resid_post, &input("decomposed_mlp_out"), out, residual, &options)
            }
            Operation::Threshold => {
                let (c_blocks, c_residual) = (input("c_blocks"), input("c_residual"));
                threshold_and_renormalise(&c_blocks, &c_residual, self.threshold, out, residual, &options)
            }
            Operation::AttentionFactored => {
                let inputs = FactoredAttention {
                    resid_pre: input("resid_pre"),
                    resid_mid: input("resid_mid"),
                    pattern: input("pattern"),
                    heads: Heads::Values { values: input("values"), w_o: input("w_o") },
                    scale: None,
                    leave_out_masked: false,
                };
                attention_factored(&inputs, &mut [], out, residual, &options)
            }
            Operation::MlpNeurons => {
                let inputs = MlpNeurons {
                    resid_mid: input("resid_mid"),
                    resid_post: input("resid_post"),
                    activations: input("activations"),
                    w_out: input("w_out"),
                };
                mlp_neurons(&inputs, out, None, residual, &options)
            }
        }
    }

    /// Does it, with results of this type in this layout, and sees that nothing else was written.
    pub fn results_as(&self, kind: Kind, layout: Arrangement, context: Option<&Context>) -> Outputs {
        let mut outputs = self.outputs(kind, layout);
        self.run(&mut outputs, context).unwrap();
        assert!(outputs.iter().all(Stored::is_untouched_around), "{:?} wrote around its outputs", self.operation);
        outputs
    }

    /// Its results in `f64` on a context.
    pub fn results(&self, context: Option<&Context>) -> Outputs {
        self.results_as(Kind::F64, Layout::row_major, context)
    }

    /// The bits of its results in `f64` on a context.
    pub fn bits(&self, context: Option<&Context>) -> [Vec<u64>; 2] {
        self.results(context).map(|output| output.bits())
    }
}

/// The type of results for inputs of this type.
pub fn result_kind(inputs: Kind) -> Kind {
    if inputs == Kind::F64 { Kind::F64 } else { Kind::F32 }
}
