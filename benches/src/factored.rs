//! Inputs of factored operations as models have them, the same each time.

use crate::normal;
use crate::sgemm::{Matrix, multiply};
use contrib_core::{
    AttentionResults, Element, FactoredAttention, Heads, IndicesMut, MlpNeurons, NeuronResults, Options, Out, Tensor,
    TensorMut, TopK, attention_factored, mlp_neurons,
};

/// How much larger the residual stream is than what attention, or the MLP, adds to it.
const STREAM_TO_ADDED: f32 = 5.0;

/// The shapes of one layer's attention.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The model's name.
    pub name: &'static str,
    /// Heads with patterns of their own.
    pub heads: usize,
    /// Heads with values of their own.
    pub kv_heads: usize,
    /// The length of a value.
    pub d_head: usize,
    /// The length of a residual stream vector.
    pub d_model: usize,
}

/// GPT-2 small.
pub const GPT2: Model = Model { name: "GPT-2", heads: 12, kv_heads: 12, d_head: 64, d_model: 768 };

/// `SmolLM2-135M`.
pub const SMOLLM2: Model = Model { name: "SmolLM2-135M", heads: 9, kv_heads: 3, d_head: 64, d_model: 576 };

/// Llama-3-8B.
pub const LLAMA3: Model = Model { name: "Llama-3-8B", heads: 32, kv_heads: 8, d_head: 128, d_model: 4096 };

/// How queries attend to tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// To all.
    Full,
    /// To those up to their own position.
    Causal,
    /// To all, and mostly to a few: scores differ four times as much.
    Peaked,
}

/// How large the wholes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Several times what is added to it, as in models.
    Large,
    /// About as large as a single part, so that no element of a part is sure to be smaller than that of its whole.
    Tiny,
}

/// The tensors of a call of [`attention_factored`], and room for what comes out.
#[derive(Debug)]
pub struct Attention<T> {
    model: Model,
    pos: usize,
    key_pos: usize,
    resid_pre: Vec<T>,
    resid_mid: Vec<T>,
    pattern: Vec<T>,
    values: Vec<T>,
    w_o: Vec<T>,
    value_output: Vec<T>,
    out_attn: Vec<f32>,
    out_resid: Vec<f32>,
}

/// In which form a call is given what heads move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// As values and a matrix.
    Values,
    /// As their product.
    ValueOutput,
}

impl Attention<f32> {
    /// The last `pos` of `key_pos` tokens as queries.
    #[must_use]
    pub fn new(model: Model, pos: usize, key_pos: usize, attended: Pattern, stream: Stream) -> Self {
        let Model { heads, kv_heads, d_head, d_model, .. } = model;
        let pattern = pattern(heads, pos, key_pos, attended);
        let values = normal(key_pos * kv_heads * d_head, 2);
        let mut w_o = normal(heads * d_head * d_model, 3);
        scale(&mut w_o, 1.0 / (d_model as f32).sqrt());

        // What each head moves to each query, [pos, head, d_head], and then into the stream.
        let mut moved = vec![0.0; pos * heads * d_head];
        let mut value_output = vec![0.0; key_pos * heads * d_model];
        for head in 0..heads {
            let kv_head = head / (heads / kv_heads);
            let of_values = Matrix::new(&values[kv_head * d_head..], key_pos, d_head, kv_heads * d_head);
            let of_pattern = Matrix::new(&pattern[head * pos * key_pos..], pos, key_pos, key_pos);
            multiply(of_pattern, of_values, &mut moved[head * d_head..], heads * d_head);
            let of_w_o = Matrix::new(&w_o[head * d_head * d_model..], d_head, d_model, d_model);
            multiply(of_values, of_w_o, &mut value_output[head * d_model..], heads * d_model);
        }
        let mut added = vec![0.0; pos * d_model];
        let of_moved = Matrix::new(&moved, pos, heads * d_head, heads * d_head);
        let of_w_o = Matrix::new(&w_o, heads * d_head, d_model, d_model);
        multiply(of_moved, of_w_o, &mut added, d_model);

        let (resid_pre, resid_mid) = match stream {
            Stream::Large => before_and_after(&added),
            Stream::Tiny => {
                let mut resid_mid = normal(pos * d_model, 4);
                let to_part = root_mean_square(&pattern) * root_mean_square(&value_output);
                scale(&mut resid_mid, to_part);
                let resid_pre = resid_mid.iter().zip(&added).map(|(after, added)| after - added).collect();
                (resid_pre, resid_mid)
            }
        };
        Attention {
            model,
            pos,
            key_pos,
            resid_pre,
            resid_mid,
            pattern,
            values,
            w_o,
            value_output,
            out_attn: vec![0.0; pos * key_pos * heads],
            out_resid: vec![0.0; pos],
        }
    }

    /// The same in another type.
    #[must_use]
    pub fn narrowed<T: Element>(&self) -> Attention<T> {
        let narrow = |numbers: &[f32]| numbers.iter().map(|&x| T::nearest(f64::from(x))).collect();
        Attention {
            model: self.model,
            pos: self.pos,
            key_pos: self.key_pos,
            resid_pre: narrow(&self.resid_pre),
            resid_mid: narrow(&self.resid_mid),
            pattern: narrow(&self.pattern),
            values: narrow(&self.values),
            w_o: narrow(&self.w_o),
            value_output: narrow(&self.value_output),
            out_attn: self.out_attn.clone(),
            out_resid: self.out_resid.clone(),
        }
    }
}

impl<T: Element> Attention<T> {
    /// Elements of the parts that dense attention would be given.
    #[must_use]
    pub fn elements(&self) -> u64 {
        (self.out_attn.len() * self.model.d_model) as u64
    }

    /// Parts, which are as many as results.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.out_attn.len() as u64
    }

    /// The products of values and matrix: what a call reads at least where it is given them.
    #[must_use]
    pub fn value_output(&self) -> &[T] {
        &self.value_output
    }

    /// Makes the call, and leaves its results summed over heads where `summed` says so.
    ///
    /// # Panics
    /// If contrib returns an error.
    pub fn run(&mut self, given: Given, summed: bool, options: &Options<'_>) {
        let Model { heads, kv_heads, d_head, d_model, .. } = self.model;
        let (pos, key_pos) = (self.pos, self.key_pos);
        let stream = [1, pos, d_model];
        let inputs = FactoredAttention {
            resid_pre: Tensor::new(&self.resid_pre, &stream).unwrap(),
            resid_mid: Tensor::new(&self.resid_mid, &stream).unwrap(),
            pattern: Tensor::new(&self.pattern, &[1, heads, pos, key_pos]).unwrap().into(),
            heads: match given {
                Given::Values => Heads::Values {
                    values: Tensor::new(&self.values, &[1, key_pos, kv_heads, d_head]).unwrap(),
                    w_o: Tensor::new(&self.w_o, &[heads, d_head, d_model]).unwrap(),
                    prepared: None,
                },
                Given::ValueOutput => {
                    Heads::ValueOutput(Tensor::new(&self.value_output, &[1, key_pos, heads, d_model]).unwrap())
                }
            },
            scale: None,
            leave_out_masked: false,
        };
        let shape = [1, pos, key_pos, heads];
        let out = TensorMut::new(&mut self.out_attn, &shape[..if summed { 3 } else { 4 }]).unwrap();
        let results = AttentionResults {
            attn: if summed { Out::Sums(out) } else { Out::Each(out) },
            resid: TensorMut::new(&mut self.out_resid, &[1, pos]).unwrap(),
            one_offs: &mut [],
        };
        attention_factored(&inputs, results, options).unwrap();
    }
}

/// The tensors of a call of [`mlp_neurons`] for some tokens of GPT-2 small, and room for what comes out.
#[derive(Debug)]
pub struct Neurons {
    tokens: usize,
    resid_mid: Vec<f32>,
    resid_post: Vec<f32>,
    activations: Vec<f32>,
    w_out: Vec<f32>,
    contributions: Vec<f32>,
    indices: Vec<i32>,
    out_resid: Vec<f32>,
}

impl Neurons {
    /// Neurons of a layer.
    const HIDDEN: usize = 3072;

    /// The neurons of so many tokens.
    #[must_use]
    pub fn new(tokens: usize) -> Self {
        let mut activations = normal(tokens * Self::HIDDEN, 5);
        for x in &mut activations {
            *x = gelu(*x);
        }
        let mut w_out = normal(Self::HIDDEN * GPT2.d_model, 6);
        scale(&mut w_out, 1.0 / (Self::HIDDEN as f32).sqrt());
        let mut added = vec![0.0; tokens * GPT2.d_model];
        let of_activations = Matrix::new(&activations, tokens, Self::HIDDEN, Self::HIDDEN);
        let of_w_out = Matrix::new(&w_out, Self::HIDDEN, GPT2.d_model, GPT2.d_model);
        multiply(of_activations, of_w_out, &mut added, GPT2.d_model);
        let (resid_mid, resid_post) = before_and_after(&added);
        Neurons {
            tokens,
            resid_mid,
            resid_post,
            activations,
            w_out,
            contributions: vec![0.0; tokens * Self::HIDDEN],
            indices: vec![0; tokens * Self::HIDDEN],
            out_resid: vec![0.0; tokens],
        }
    }

    /// Elements of the vectors that all neurons add.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.parts() * GPT2.d_model as u64
    }

    /// Neurons of all tokens.
    #[must_use]
    pub fn parts(&self) -> u64 {
        (self.tokens * Self::HIDDEN) as u64
    }

    /// The output vectors of all neurons, which a call reads at least.
    #[must_use]
    pub fn w_out(&self) -> &[f32] {
        &self.w_out
    }

    /// Makes the call, for all neurons or for the `strongest` of each token.
    ///
    /// # Panics
    /// If contrib returns an error.
    pub fn run(&mut self, strongest: Option<usize>, options: &Options<'_>) {
        let tokens = self.tokens;
        let stream = [tokens, GPT2.d_model];
        let inputs = MlpNeurons {
            resid_mid: Tensor::new(&self.resid_mid, &stream).unwrap(),
            resid_post: Tensor::new(&self.resid_post, &stream).unwrap(),
            activations: Tensor::new(&self.activations, &[tokens, Self::HIDDEN]).unwrap(),
            w_out: Tensor::new(&self.w_out, &[Self::HIDDEN, GPT2.d_model]).unwrap(),
        };
        let shape = [tokens, strongest.unwrap_or(Self::HIDDEN)];
        let out = TensorMut::new(&mut self.contributions, &shape).unwrap();
        let neurons = if strongest.is_some() {
            let indices = IndicesMut::new(&mut self.indices, &shape).unwrap();
            Out::TopK(TopK { contributions: out, indices, summed_axes: 0 })
        } else {
            Out::Each(out)
        };
        let resid = TensorMut::new(&mut self.out_resid, &[tokens]).unwrap();
        mlp_neurons(&inputs, NeuronResults { neurons, resid }, options).unwrap();
    }
}

/// The softmax of normally distributed scores, `[head, pos, key_pos]`.
fn pattern(heads: usize, pos: usize, key_pos: usize, attended: Pattern) -> Vec<f32> {
    let mut pattern = normal(heads * pos * key_pos, 1);
    let deviation = if attended == Pattern::Peaked { 4.0 } else { 1.0 };
    for (row, scores) in pattern.chunks_mut(key_pos).enumerate() {
        let keys = if attended == Pattern::Causal { key_pos - pos + row % pos + 1 } else { key_pos };
        let (scores, masked) = scores.split_at_mut(keys);
        masked.fill(0.0);
        for x in &mut *scores {
            *x = (deviation * *x).exp();
        }
        let sum: f32 = scores.iter().sum();
        scale(scores, 1.0 / sum);
    }
    pattern
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh())
}

/// The stream before and after something was added to it, which it is several times as large as.
fn before_and_after(added: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut before = normal(added.len(), 4);
    scale(&mut before, STREAM_TO_ADDED * root_mean_square(added));
    let after = before.iter().zip(added).map(|(before, added)| before + added).collect();
    (before, after)
}

pub(crate) fn scale(numbers: &mut [f32], factor: f32) {
    for x in numbers {
        *x *= factor;
    }
}

pub(crate) fn root_mean_square(numbers: &[f32]) -> f32 {
    let squares: f64 = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (squares / numbers.len() as f64).sqrt() as f32
}
