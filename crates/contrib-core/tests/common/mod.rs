//! How the tests call the library: views of stored tensors, and any operation with its inputs by name.

#![allow(dead_code, reason = "each test program uses some of it")]

pub mod calls;
pub mod heads;

use contrib_core::{
    AttentionResults, Coefficients, Context, DType, Element, Error, FactoredAttention, Heads, IndexType, Indices,
    IndicesMut, MlpNeurons, NeuronResults, Norm, Options, Out, QueriesAndKeys, Sparse, Tensor, TensorMut, TopK,
    attention, attention_factored, contributions, contributions_with_one_off, decomposed_mlp, half, mlp, mlp_neurons,
    threshold_and_renormalise,
};
use contrib_testing::cases::QueryKeyCase;
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

/// The type of indices that are as large as numbers of this type, in whose place they are stored.
pub fn index_type(kind: Kind) -> IndexType {
    match kind {
        Kind::F32 => IndexType::I32,
        Kind::F64 => IndexType::I64,
        other => panic!("no indices are as large as {other:?}"),
    }
}

/// A view of a stored tensor as indices, to write. Its bits are then the indices.
pub fn view_indices(stored: &mut Stored) -> IndicesMut<'_> {
    let index_type = index_type(stored.kind());
    let start = stored.numbers.as_mut_ptr().wrapping_add(stored.layout.offset * stored.kind().size());
    let Layout { shape, strides, .. } = &stored.layout;
    // SAFETY: the layout stays inside the buffer, which is borrowed as long as the view; any bits are numbers.
    unsafe { IndicesMut::from_raw_parts(start.cast(), index_type, shape, Some(strides)).unwrap() }
}

/// A view of a stored tensor as integers to read, which its bits are.
pub fn view_integers(stored: &Stored) -> Indices<'_> {
    let start = stored.numbers.as_ptr().wrapping_add(stored.layout.offset * stored.kind().size());
    let Layout { shape, strides, .. } = &stored.layout;
    // SAFETY: the layout stays inside the buffer, which is borrowed as long as the view.
    unsafe { Indices::from_raw_parts(start.cast(), index_type(stored.kind()), shape, Some(strides)).unwrap() }
}

/// Two views of a stored tensor `[v.., 2, k]`: of contributions and of their indices, both `[v.., k]`.
pub fn view_strongest(stored: &mut Stored) -> (TensorMut<'_>, IndicesMut<'_>) {
    let Layout { mut shape, mut strides, offset, .. } = stored.layout.clone();
    let axis = shape.len() - 2;
    assert_eq!(shape.remove(axis), 2);
    let step = strides.remove(axis);
    let kind = stored.kind();
    let first = stored.numbers.as_mut_ptr();
    let start = |half: isize| first.wrapping_add(offset.wrapping_add_signed(half * step) * kind.size()).cast();
    // SAFETY: each view has its own half of the elements of the buffer, which is borrowed as long as both.
    unsafe {
        (
            TensorMut::from_raw_parts(start(0), dtype(kind), &shape, Some(&strides)).unwrap(),
            IndicesMut::from_raw_parts(start(1), index_type(kind), &shape, Some(&strides)).unwrap(),
        )
    }
}

/// A stored tensor `[v.., 2 * room + 2]` as sparse results.
fn view_sparse(stored: &mut Stored, above: f64, room: usize) -> Out<'_> {
    let Layout { mut shape, mut strides, offset, .. } = stored.layout.clone();
    assert_eq!(shape.pop(), Some(2 * room + 2));
    let step = strides.pop().unwrap();
    let kind = stored.kind();
    let first = stored.numbers.as_mut_ptr();
    let start = |at: usize| first.wrapping_add(offset.wrapping_add_signed(at as isize * step) * kind.size()).cast();
    let with = |axes: &[usize], more: usize| [axes, &[more]].concat();
    let (shape_of_run, strides_of_run) = (with(&shape, room), [&strides[..], &[step]].concat());
    let (run, item) = ((&shape_of_run[..], Some(&strides_of_run[..])), (&shape[..], Some(&strides[..])));
    // SAFETY: each view has elements of its own of the buffer, which is borrowed as long as all of them.
    unsafe {
        Out::Sparse(Sparse {
            above,
            contributions: TensorMut::from_raw_parts(start(0), dtype(kind), run.0, run.1).unwrap(),
            indices: IndicesMut::from_raw_parts(start(room), index_type(kind), run.0, run.1).unwrap(),
            counts: IndicesMut::from_raw_parts(start(2 * room), index_type(kind), item.0, item.1).unwrap(),
            left_out: TensorMut::from_raw_parts(start(2 * room + 1), dtype(kind), item.0, item.1).unwrap(),
            summed_axes: 0,
        })
    }
}

/// What is written of the parts that an operation has many of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Form {
    /// All.
    #[default]
    Each,
    /// Sums over heads.
    Sums,
    /// So many of the strongest parts, and which they are: one tensor `[v.., 2, k]` of both.
    TopK(usize),
    /// Those above a number, for so many of which there is room: one tensor `[v.., 2 * room + 2]` of contributions, indices,
    /// count and what is left out.
    Sparse(f64, usize),
}

impl Form {
    /// This tensor as what is written.
    pub fn out(self, stored: &mut Stored) -> Out<'_> {
        match self {
            Form::Each => Out::Each(view_mut(stored)),
            Form::Sums => Out::Sums(view_mut(stored)),
            Form::TopK(_) => {
                let (contributions, indices) = view_strongest(stored);
                Out::TopK(TopK { contributions, indices, summed_axes: 0 })
            }
            Form::Sparse(above, room) => view_sparse(stored, above, room),
        }
    }

    /// The shape of the results for parts with these axes.
    fn shape(self, batch: &[usize], parts: &[usize]) -> Vec<usize> {
        let own = match self {
            Form::Each => parts.to_vec(),
            Form::Sums => parts[..parts.len() - 1].to_vec(),
            Form::TopK(k) => vec![2, k],
            Form::Sparse(_, room) => vec![2 * room + 2],
        };
        [batch, &own].concat()
    }
}

/// What makes a pattern of queries and keys, beside tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scoring {
    pub score_scale: Option<f64>,
    pub soft_cap: Option<f64>,
    pub causal: bool,
    pub window: Option<usize>,
    pub first_query: Option<i64>,
}

/// A call of an operation, but for where its results go.
#[derive(Clone, Debug)]
pub struct Job {
    pub operation: Operation,
    pub form: Form,
    pub norm: f64,
    pub threshold: f64,
    /// Those of [`Operation::inputs`]; or of factored attention `value_output` in place of `values` and `w_o`, `queries` and
    /// `keys` in place of the pattern, with or without `slopes`, `sinks`, `mask`, `query_positions` and `key_positions`.
    pub inputs: Vec<(&'static str, Stored)>,
    pub scoring: Scoring,
    pub leave_out_masked: bool,
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
            form: Form::Each,
            norm: case.norm,
            threshold: case.threshold,
            inputs: case.operation.inputs().iter().map(input).collect(),
            scoring: Scoring::default(),
            leave_out_masked: false,
        }
    }

    /// The call of a case of attention from queries and keys.
    pub fn of_query_key_case(case: &QueryKeyCase) -> Self {
        let mut job = Job::of_case(&case.case);
        job.inputs.retain(|(name, _)| *name != "pattern");
        for name in ["queries", "keys", "slopes", "sinks", "mask", "query_positions", "key_positions"] {
            if let Some(array) = case.case.get(name) {
                let bits = |number| array.numbers.bits(number) as i64;
                let layout = Layout::row_major(&array.shape);
                let stored = match array.numbers.kind() {
                    Kind::F64 => Stored::of_integers(Kind::F64, layout, bits),
                    _ => Stored::new(&array.numbers, layout),
                };
                job.inputs.push((name, stored));
            }
        }
        let scoring = Scoring {
            score_scale: Some(case.scale),
            soft_cap: case.soft_cap,
            causal: case.causal,
            window: case.window,
            first_query: Some(case.first_query),
        };
        Job { scoring, ..job }
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
        Job {
            operation,
            form: Form::Each,
            norm: 1.0,
            threshold: 0.4,
            inputs,
            scoring: Scoring::default(),
            leave_out_masked: false,
        }
    }

    pub fn with_norm(&self, norm: f64) -> Self {
        Job { norm, ..self.clone() }
    }

    pub fn with_form(self, form: Form) -> Self {
        Job { form, ..self }
    }

    /// The same heads by what they write for each token, in place of values and matrices.
    pub fn with_value_output(&self) -> Self {
        let (values, w_o) = (self.input("values"), self.input("w_o"));
        let [batch, keys, kv_heads, d_head] = values.layout.shape[..] else { panic!("values have four axes") };
        let [heads, _, d_model] = w_o.layout.shape[..] else { panic!("w_o has three axes") };
        let (value, matrix) = (values.to_f64(), w_o.to_f64());
        let product = |number: usize| {
            let (of, column) = (number / d_model, number % d_model);
            let (token, head) = (of / heads, of % heads);
            let kv_head = head / (heads / kv_heads);
            let term = |row: usize| {
                value[(token * kv_heads + kv_head) * d_head + row] * matrix[(head * d_head + row) * d_model + column]
            };
            (0..d_head).map(term).sum()
        };
        let layout = Layout::row_major(&[batch, keys, heads, d_model]);
        let value_output = ("value_output", Stored::from_fn(values.kind(), layout, product));
        let others = self.inputs.iter().filter(|(name, _)| !["values", "w_o"].contains(name)).cloned();
        Job { inputs: others.chain([value_output]).collect(), ..self.clone() }
    }

    /// The same heads with the pattern that random queries and keys of this length make. The keys have as many heads as the
    /// values.
    pub fn with_queries_and_keys(&self, d: usize, scoring: Scoring, random: &mut Random) -> Self {
        let [batch, heads, pos, key_pos] = self.extents_of_heads();
        let kv_heads = self.get("values").map_or(heads, |values| values.layout.shape[2]);
        let kind = self.input("pattern").kind();
        let mut others: Vec<_> = self.inputs.iter().filter(|(name, _)| *name != "pattern").cloned().collect();
        for (name, shape) in [("queries", [batch, pos, heads, d]), ("keys", [batch, key_pos, kv_heads, d])] {
            others.push((name, Stored::from_fn(kind, Layout::row_major(&shape), |_| random.normal())));
        }
        Job { inputs: others, scoring, ..self.clone() }
    }

    /// The same call with one more input.
    pub fn with(&self, name: &'static str, stored: Stored) -> Self {
        let mut job = self.clone();
        job.inputs.push((name, stored));
        job
    }

    /// Of factored attention: batch items, heads, queries, keys.
    pub fn extents_of_heads(&self) -> [usize; 4] {
        if let Some(pattern) = self.get("pattern") {
            return pattern.layout.shape[..].try_into().expect("it has four axes");
        }
        let (queries, keys) = (&self.input("queries").layout.shape, &self.input("keys").layout.shape);
        [queries[0], queries[2], queries[1], keys[1]]
    }

    /// The same inputs, in other places in memory.
    pub fn laid_out(&self, layout: Arrangement) -> Self {
        let inputs = self.inputs.iter().map(|(name, stored)| (*name, stored.laid_out(layout))).collect();
        Job { inputs, ..self.clone() }
    }

    pub fn input(&self, name: &str) -> &Stored {
        self.get(name).unwrap()
    }

    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.inputs.iter().find(|input| input.0 == name).map(|(_, stored)| stored)
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
                let [batch, heads, queries, keys] = self.extents_of_heads();
                let out = self.form.shape(&[batch, queries], &[keys, heads]);
                [out, vectors("resid_pre")]
            }
            Operation::MlpNeurons => {
                let activations = shape("activations");
                let (neurons, batch) = activations.split_last().unwrap();
                [self.form.shape(batch, &[*neurons]), vectors("resid_mid")]
            }
        };
        shapes.map(|shape| Stored::blank(kind, layout(&shape)))
    }

    /// Does it.
    pub fn run(&self, [out, out_residual]: &mut Outputs, context: Option<&Context>) -> Result<(), Error> {
        let input = |name| view(self.input(name));
        let mut options = Options::default().norm(Norm::new(self.norm)?);
        if let Some(context) = context {
            options = options.context(context);
        }
        let mut residual = view_mut(out_residual);
        if let Operation::AttentionFactored | Operation::MlpNeurons = self.operation {
            return self.run_factored(self.form.out(out), residual, &options);
        }
        let (out, residual) = (&mut view_mut(out), &mut residual);
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
            Operation::AttentionFactored | Operation::MlpNeurons => unreachable!("they were run above"),
        }
    }

    /// The operations with factored parts, whose results may go anywhere.
    pub fn run_factored(&self, out: Out<'_>, resid: TensorMut<'_>, options: &Options<'_>) -> Result<(), Error> {
        let input = |name| view(self.input(name));
        if self.operation == Operation::MlpNeurons {
            let inputs = MlpNeurons {
                resid_mid: input("resid_mid"),
                resid_post: input("resid_post"),
                activations: input("activations"),
                w_out: input("w_out"),
            };
            return mlp_neurons(&inputs, NeuronResults { neurons: out, resid }, options);
        }
        let inputs = FactoredAttention {
            resid_pre: input("resid_pre"),
            resid_mid: input("resid_mid"),
            pattern: self.pattern(),
            heads: match self.get("value_output") {
                Some(value_output) => Heads::ValueOutput(view(value_output)),
                None => Heads::Values { values: input("values"), w_o: input("w_o"), prepared: None },
            },
            scale: None,
            leave_out_masked: self.leave_out_masked,
        };
        attention_factored(&inputs, AttentionResults { attn: out, resid, one_offs: &mut [] }, options)
    }

    /// The pattern, or what makes it.
    pub fn pattern(&self) -> Coefficients<'_> {
        if let Some(pattern) = self.get("pattern") {
            return view(pattern).into();
        }
        let Scoring { score_scale, soft_cap, causal, window, first_query } = self.scoring;
        Coefficients::Softmax(QueriesAndKeys {
            score_scale,
            soft_cap,
            causal,
            window,
            first_query,
            slopes: self.get("slopes").map(view),
            sinks: self.get("sinks").map(view),
            mask: self.get("mask").map(view),
            query_positions: self.get("query_positions").map(view_integers),
            key_positions: self.get("key_positions").map(view_integers),
            ..QueriesAndKeys::new(view(self.input("queries")), view(self.input("keys")))
        })
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
