//! Small random models with every choice that a recording can have.

use contrib_core::Tensor;
use contrib_routes::{Attends, Attention, Layer, Memory, Moves, Scores};
use contrib_testing::naive::{self, Key, Scoring};
use contrib_testing::{Kind, Numbers, Random};
use proptest::prelude::*;
use safetensors::{Dtype, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// What a model is like.
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub seed: u64,
    pub n_layers: usize,
    pub n_pos: usize,
    pub kv_heads: usize,
    pub heads_of_kv: usize,
    pub d_head: usize,
    pub d_model: usize,
    /// All tensors are of this type, or each of a random one.
    pub kind: Option<Kind>,
    pub is_parallel: bool,
    pub by_pattern: bool,
    pub has_value_output: bool,
    /// Of attention and of the MLP.
    pub biases: [bool; 2],
    pub has_scale: bool,
    /// Soft cap, window, slopes, sinks.
    pub scoring: [bool; 4],
}

impl Choices {
    /// A model with nothing special.
    pub const PLAIN: Choices = Choices {
        seed: 1,
        n_layers: 2,
        n_pos: 5,
        kv_heads: 1,
        heads_of_kv: 2,
        d_head: 3,
        d_model: 8,
        kind: Some(Kind::F32),
        is_parallel: false,
        by_pattern: false,
        has_value_output: false,
        biases: [false; 2],
        has_scale: false,
        scoring: [false; 4],
    };

    pub fn n_heads(&self) -> usize {
        self.kv_heads * self.heads_of_kv
    }
}

/// Any choices.
pub fn choices() -> impl Strategy<Value = Choices> {
    let sizes = (1_usize..4, 1_usize..9, 1_usize..3, 1_usize..4, 1_usize..5, 2_usize..12);
    let kind = prop::option::of(prop::sample::select(&Kind::ALL[..]));
    let flags = (any::<[bool; 4]>(), any::<[bool; 2]>(), any::<[bool; 4]>());
    (any::<u64>(), sizes, kind, flags).prop_map(|(seed, sizes, kind, flags)| {
        let (n_layers, n_pos, kv_heads, heads_of_kv, d_head, d_model) = sizes;
        let ([is_parallel, by_pattern, has_value_output, has_scale], biases, scoring) = flags;
        Choices {
            seed,
            n_layers,
            n_pos,
            kv_heads,
            heads_of_kv,
            d_head,
            d_model,
            kind,
            is_parallel,
            by_pattern,
            has_value_output,
            biases,
            has_scale,
            scoring,
        }
    })
}

/// A tensor: its elements in row-major order.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

impl Array {
    pub fn tensor(&self) -> Tensor<'_> {
        match &self.numbers {
            Numbers::F32(numbers) => Tensor::new(numbers, &self.shape),
            Numbers::F64(numbers) => Tensor::new(numbers, &self.shape),
            Numbers::F16(numbers) => Tensor::new(numbers, &self.shape),
            Numbers::Bf16(numbers) => Tensor::new(numbers, &self.shape),
        }
        .unwrap()
    }

    /// The vector along the last axis at an index of the others, each of which may be beyond an extent of 1.
    pub fn row(&self, index: &[usize]) -> Vec<f64> {
        let (&len, outer) = self.shape.split_last().unwrap();
        let row = index.iter().zip(outer).fold(0, |row, (&at, &extent)| row * extent + at.min(extent - 1));
        (row * len..(row + 1) * len).map(|place| self.numbers.get(place)).collect()
    }

    /// The first elements of some axes.
    fn first(&self, axes: &[usize], len: usize) -> Array {
        let mut shape = self.shape.clone();
        for &axis in axes {
            shape[axis] = shape[axis].min(len);
        }
        let place = |number: usize| {
            let (mut rest, mut place, mut stride) = (number, 0, 1);
            for (&extent, &of_all) in shape.iter().zip(&self.shape).rev() {
                place += rest % extent * stride;
                rest /= extent;
                stride *= of_all;
            }
            place
        };
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|number| self.numbers.get(place(number))).collect();
        Array { numbers: Numbers::of_f64(self.numbers.kind(), &numbers), shape }
    }
}

/// What safetensors writes of an array.
impl View for &Array {
    fn dtype(&self) -> Dtype {
        match self.numbers.kind() {
            Kind::F32 => Dtype::F32,
            Kind::F64 => Dtype::F64,
            Kind::F16 => Dtype::F16,
            Kind::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let size = self.numbers.kind().size();
        let bytes = |index| self.numbers.bits(index).to_le_bytes().into_iter().take(size);
        (0..self.numbers.len()).flat_map(bytes).collect()
    }

    fn data_len(&self) -> usize {
        self.numbers.len() * self.numbers.kind().size()
    }
}

/// The tensors of a layer by their names, and the pattern in `f64`.
#[derive(Clone, Debug)]
pub struct LayerOfModel {
    pub arrays: BTreeMap<&'static str, Array>,
    /// `[head][query][key]`; what a query may not see is 0.
    pub pattern: Vec<Vec<Vec<f64>>>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub choices: Choices,
    pub layers: Vec<LayerOfModel>,
}

const SOFT_CAP: f64 = 2.0;
const WINDOW: usize = 3;
const SCALE: f64 = 0.75;

/// Axes of positions.
fn position_axes(name: &str) -> &'static [usize] {
    match name {
        "w_o" | "slopes" | "sinks" => &[],
        "pattern" => &[1, 2],
        _ => &[0],
    }
}

impl Model {
    pub fn new(choices: Choices) -> Self {
        let mut random = Random::new(choices.seed);
        let mut layers: Vec<LayerOfModel> = Vec::new();
        for _ in 0..choices.n_layers {
            let before = layers.last().map(|layer| layer.arrays["resid_post"].clone());
            layers.push(LayerOfModel::new(&choices, before, &mut random));
        }
        Model { choices, layers }
    }

    /// The first tokens.
    pub fn prefix(&self, n_pos: usize) -> Self {
        let mut model = self.clone();
        model.choices.n_pos = n_pos;
        for layer in &mut model.layers {
            for (name, array) in &mut layer.arrays {
                // A bias may be shared by all positions.
                if array.shape.len() > 1 || *name == "resid_pre" {
                    *array = array.first(position_axes(name), n_pos);
                }
            }
            for of_head in &mut layer.pattern {
                of_head.truncate(n_pos);
                for of_query in of_head {
                    of_query.truncate(n_pos);
                }
            }
        }
        model
    }

    pub fn recording(&self) -> Memory<'_> {
        Memory::new(self.tensors()).unwrap()
    }

    pub fn tensors(&self) -> Vec<Layer<'_>> {
        self.layers.iter().map(|layer| layer.tensors(&self.choices)).collect()
    }

    /// The same as a safetensors file.
    pub fn file(&self) -> Vec<u8> {
        let mut tensors: Vec<(String, &Array)> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            for (&name, array) in &layer.arrays {
                match name {
                    "resid_post" if index + 1 == self.layers.len() => tensors.push((name.to_string(), array)),
                    "resid_post" | "slopes" | "sinks" => {}
                    name => tensors.push((format!("{name}.{index}"), array)),
                }
            }
        }
        safetensors::serialize(tensors, Some(self.metadata())).unwrap()
    }

    fn metadata(&self) -> HashMap<String, String> {
        let Choices { scoring: [soft_cap, window, slopes, sinks], .. } = self.choices;
        let mut metadata = HashMap::new();
        let mut add = |key: &str, value: String| metadata.insert(key.to_string(), value);
        add("n_layers", self.layers.len().to_string());
        add("n_heads", self.choices.n_heads().to_string());
        add("d_model", self.choices.d_model.to_string());
        add("scale", SCALE.to_string());
        add("parallel", self.choices.is_parallel.to_string());
        add("tokens", format!("{:?}", vec!["a"; self.choices.n_pos]));
        if soft_cap {
            add("soft_cap", SOFT_CAP.to_string());
        }
        if window {
            add("window", format!("{:?}", vec![WINDOW; self.layers.len()]));
        }
        for (name, is_given) in [("slopes", slopes), ("sinks", sinks)] {
            if is_given {
                let of_layers: Vec<_> = self.layers.iter().map(|layer| layer.arrays[name].numbers.to_f64()).collect();
                add(name, format!("{of_layers:?}"));
            }
        }
        metadata
    }
}

impl LayerOfModel {
    fn new(choices: &Choices, before: Option<Array>, random: &mut Random) -> Self {
        let &Choices { n_pos, kv_heads, d_head, d_model, .. } = choices;
        let n_heads = choices.n_heads();
        let [_, _, slopes, sinks] = choices.scoring;
        let mut layer = LayerOfModel { arrays: BTreeMap::new(), pattern: Vec::new() };
        let random = &mut *random;
        let of = |shape: &[usize], random: &mut Random| {
            let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
            stored(choices, shape, &numbers, random)
        };
        let stream = [n_pos, d_model];
        let resid_pre = before.unwrap_or_else(|| of(&stream, random));
        layer.arrays.insert("resid_pre", resid_pre);
        layer.arrays.insert("mlp_out", of(&stream, random));
        layer.arrays.insert("queries", of(&[n_pos, n_heads, d_head + 1], random));
        layer.arrays.insert("keys", of(&[n_pos, kv_heads, d_head + 1], random));
        if slopes {
            layer.arrays.insert("slopes", single(&[n_heads], random));
        }
        if sinks {
            layer.arrays.insert("sinks", single(&[n_heads], random));
        }
        layer.pattern = layer.scored(choices);
        if choices.by_pattern {
            let pattern: Vec<f64> = layer.pattern.iter().flatten().flatten().copied().collect();
            let pattern = stored(choices, &[n_heads, n_pos, n_pos], &pattern, random);
            for (head, of_head) in layer.pattern.iter_mut().enumerate() {
                for (query, of_query) in of_head.iter_mut().enumerate() {
                    *of_query = pattern.row(&[head, query]);
                }
            }
            layer.arrays.insert("pattern", pattern);
            layer.arrays.remove("queries");
            layer.arrays.remove("keys");
        }
        if choices.has_value_output {
            layer.arrays.insert("value_output", of(&[n_pos, n_heads, d_model], random));
        } else {
            layer.arrays.insert("values", of(&[n_pos, kv_heads, d_head], random));
            layer.arrays.insert("w_o", of(&[n_heads, d_head, d_model], random));
        }
        for (name, is_given) in [("attn_bias", choices.biases[0]), ("mlp_bias", choices.biases[1])] {
            if is_given {
                let shape = if random.below(2) == 0 { &stream[..] } else { &stream[1..] };
                layer.arrays.insert(name, of(shape, random));
            }
        }
        if choices.has_scale {
            let extents = [[n_pos, 1][random.below(2)], [d_model, 1][random.below(2)]];
            layer.arrays.insert("attn_scale", of(&extents, random));
        }
        let resid_mid: Vec<f64> = (0..n_pos).flat_map(|position| layer.attended(choices, position)).collect();
        let resid_mid = stored(choices, &stream, &resid_mid, random);
        let mut resid_post = Vec::new();
        for position in 0..n_pos {
            let mut sum = resid_mid.row(&[position]);
            add(&mut sum, &layer.arrays["mlp_out"].row(&[position]));
            if let Some(bias) = layer.bias("mlp_bias", position) {
                add(&mut sum, &bias);
            }
            resid_post.extend(sum);
        }
        layer.arrays.insert("resid_post", stored(choices, &stream, &resid_post, random));
        if !choices.is_parallel {
            layer.arrays.insert("resid_mid", resid_mid);
        }
        layer
    }

    /// The pattern that queries and keys make.
    fn scored(&self, choices: &Choices) -> Vec<Vec<Vec<f64>>> {
        let [soft_cap, window, slopes, sinks] = choices.scoring;
        let of_head = |name: &str, head: usize| self.arrays[name].numbers.get(head);
        let mut pattern = Vec::new();
        for head in 0..choices.n_heads() {
            let key = |position: usize| Key {
                vector: self.arrays["keys"].row(&[position, head / choices.heads_of_kv]),
                position: position as i64,
                mask: 0.0,
            };
            let keys: Vec<Key> = (0..choices.n_pos).map(key).collect();
            let scoring = Scoring {
                scale: SCALE,
                soft_cap: soft_cap.then_some(SOFT_CAP),
                slope: slopes.then(|| of_head("slopes", head)),
                sink: sinks.then(|| of_head("sinks", head)),
                causal: true,
                window: window.then_some(WINDOW),
            };
            let of_query = |query: usize| {
                let vector = self.arrays["queries"].row(&[query, head]);
                let scores = naive::scores(&vector, query as i64, &keys, &scoring);
                naive::softmax(&scores, scoring.sink).into_iter().map(Option::unwrap_or_default).collect()
            };
            pattern.push((0..choices.n_pos).map(of_query).collect());
        }
        pattern
    }

    /// What a head brings from a key to a query.
    pub fn moved(&self, choices: &Choices, query: usize, key: usize, head: usize) -> Vec<f64> {
        let direction = if let Some(value_output) = self.arrays.get("value_output") {
            value_output.row(&[key, head])
        } else {
            let value = self.arrays["values"].row(&[key, head / choices.heads_of_kv]);
            let matrix: Vec<f64> = (0..choices.d_head).flat_map(|row| self.arrays["w_o"].row(&[head, row])).collect();
            naive::projected(&value, &matrix, choices.d_model)
        };
        let scale = match self.arrays.get("attn_scale") {
            Some(scale) => {
                let row = scale.row(&[query]);
                (0..choices.d_model).map(|channel| row[channel.min(row.len() - 1)]).collect()
            }
            None => vec![1.0; choices.d_model],
        };
        naive::factored_part(self.pattern[head][query][key], &direction, &scale)
    }

    /// A bias at a position, where the layer has it.
    pub fn bias(&self, name: &str, position: usize) -> Option<Vec<f64>> {
        let bias = self.arrays.get(name)?;
        Some(if bias.shape.len() == 1 { bias.row(&[]) } else { bias.row(&[position]) })
    }

    /// The stream after attention.
    fn attended(&self, choices: &Choices, position: usize) -> Vec<f64> {
        let mut sum = self.arrays["resid_pre"].row(&[position]);
        for head in 0..choices.n_heads() {
            for key in 0..choices.n_pos {
                add(&mut sum, &self.moved(choices, position, key, head));
            }
        }
        if let Some(bias) = self.bias("attn_bias", position) {
            add(&mut sum, &bias);
        }
        sum
    }

    pub fn tensors(&self, choices: &Choices) -> Layer<'_> {
        let [soft_cap, window, ..] = choices.scoring;
        let given = |name: &str| self.arrays.get(name).map(Array::tensor);
        let needed = |name: &str| self.arrays[name].tensor();
        let attends = match given("pattern") {
            Some(pattern) => Attends::Pattern(pattern),
            None => Attends::Scores(Scores {
                scale: Some(SCALE),
                soft_cap: soft_cap.then_some(SOFT_CAP),
                window: window.then_some(WINDOW),
                slopes: given("slopes"),
                sinks: given("sinks"),
                ..Scores::causal(needed("queries"), needed("keys"))
            }),
        };
        let moves = match given("value_output") {
            Some(value_output) => Moves::ValueOutput(value_output),
            None => Moves::Values { values: needed("values"), w_o: needed("w_o"), prepared: None },
        };
        Layer {
            resid_pre: needed("resid_pre"),
            resid_mid: given("resid_mid"),
            resid_post: needed("resid_post"),
            attention: Attention { attends, moves, scale: given("attn_scale"), bias: given("attn_bias") },
            mlp_out: needed("mlp_out"),
            mlp_bias: given("mlp_bias"),
        }
    }
}

fn add(sum: &mut [f64], summand: &[f64]) {
    sum.iter_mut().zip(summand).for_each(|(sum, summand)| *sum += summand);
}

/// An array of the type that the choices say.
fn stored(choices: &Choices, shape: &[usize], numbers: &[f64], random: &mut Random) -> Array {
    let kind = choices.kind.unwrap_or_else(|| Kind::ALL[random.below(Kind::ALL.len())]);
    Array { shape: shape.to_vec(), numbers: Numbers::of_f64(kind, numbers) }
}

/// Random `f32`, as which a file's lists of numbers are read.
fn single(shape: &[usize], random: &mut Random) -> Array {
    let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal()).collect();
    Array { shape: shape.to_vec(), numbers: Numbers::of_f64(Kind::F32, &numbers) }
}
