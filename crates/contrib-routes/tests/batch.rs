//! Batches: each item has the results of its prompt alone.

mod common;

use common::model::{Array, Choices, Model, choices};
use contrib_core::Tensor;
use contrib_routes::{
    Attends, Attention, Batch, Error, Layer, Moves, Options, Recording, Scores, Targets, Totals, routes,
};
use contrib_testing::{Kind, Numbers};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// What tensors have where there is padding.
const PADDING: f64 = 7.0;

/// The tensors of a layer of a batch; those without positions are the first item's.
struct BatchedLayer(BTreeMap<&'static str, Array>);

/// Axes of positions, without that of batch items; none of what all items share.
fn position_axes(name: &str) -> &'static [usize] {
    match name {
        "w_o" | "slopes" | "sinks" => &[],
        "pattern" => &[1, 2],
        _ => &[0],
    }
}

/// An array with all its rows, as `like` has one for each position and channel.
fn expanded(array: &Array, like: &Array) -> Array {
    let of_row = |position: usize| {
        let row = array.row(&[position][..array.shape.len() - 1]);
        (0..like.shape[1]).map(|channel| row[channel.min(row.len() - 1)]).collect::<Vec<_>>()
    };
    let numbers: Vec<f64> = (0..like.shape[0]).flat_map(of_row).collect();
    Array { shape: like.shape.clone(), numbers: Numbers::of_f64(array.numbers.kind(), &numbers) }
}

/// Arrays of items as one, with an axis of items before all others, and as many positions as `n_pos`.
fn stacked(items: &[&Array], axes: &[usize], prompts: &[Range<usize>], n_pos: usize) -> Array {
    let mut shape = items[0].shape.clone();
    for &axis in axes {
        shape[axis] = n_pos;
    }
    let mut numbers = Vec::new();
    for (array, prompt) in items.iter().zip(prompts) {
        for number in 0..shape.iter().product() {
            let (mut rest, mut place, mut stride, mut is_padding) = (number, 0, 1, false);
            for (axis, &extent) in shape.iter().enumerate().rev() {
                let mut at = rest % extent;
                rest /= extent;
                if axes.contains(&axis) {
                    is_padding |= !prompt.contains(&at);
                    at = at.saturating_sub(prompt.start);
                }
                place += at * stride;
                stride *= array.shape[axis];
            }
            numbers.push(if is_padding { PADDING } else { array.numbers.get(place) });
        }
    }
    shape.insert(0, items.len());
    Array { shape, numbers: Numbers::of_f64(items[0].numbers.kind(), &numbers) }
}

impl BatchedLayer {
    fn new(models: &[Model], layer: usize, prompts: &[Range<usize>], n_pos: usize) -> Self {
        let mut arrays = BTreeMap::new();
        for (&name, first) in &models[0].layers[layer].arrays {
            let axes = position_axes(name);
            let items: Vec<&Array> = models.iter().map(|model| &model.layers[layer].arrays[name]).collect();
            let array = if axes.is_empty() { first.clone() } else { stacked(&items, axes, prompts, n_pos) };
            arrays.insert(name, array);
        }
        BatchedLayer(arrays)
    }

    /// As [`Model`] has it, with the options of `like`.
    fn tensors<'a>(&'a self, like: &Layer<'a>) -> Layer<'a> {
        let given = |name: &str| self.0.get(name).map(Array::tensor);
        let needed = |name: &str| self.0[name].tensor();
        let attends = match like.attention.attends {
            Attends::Pattern(_) => Attends::Pattern(needed("pattern")),
            Attends::Scores(scores) => Attends::Scores(Scores {
                queries: needed("queries"),
                keys: needed("keys"),
                slopes: given("slopes"),
                sinks: given("sinks"),
                ..scores
            }),
        };
        let moves = match like.attention.moves {
            Moves::Values { .. } => Moves::Values { values: needed("values"), w_o: needed("w_o"), prepared: None },
            Moves::ValueOutput(_) => Moves::ValueOutput(needed("value_output")),
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

/// Models of the same weights and of prompts of these lengths.
fn models(choices: Choices, lengths: &[usize]) -> Vec<Model> {
    let of = |(n_pos, seed): (&usize, u64)| Model::new(Choices { n_pos: *n_pos, seed: choices.seed ^ seed, ..choices });
    let mut models: Vec<Model> = lengths.iter().zip(0..).map(of).collect();
    let first = models[0].clone();
    for model in &mut models {
        for (layer, shared) in model.layers.iter_mut().zip(&first.layers) {
            let stream = layer.arrays["mlp_out"].clone();
            for (&name, array) in &mut layer.arrays {
                match name {
                    "w_o" | "slopes" | "sinks" => *array = shared.arrays[name].clone(),
                    "attn_bias" | "mlp_bias" | "attn_scale" => *array = expanded(array, &stream),
                    _ => {}
                }
            }
        }
    }
    models
}

fn all(recording: &mut dyn Recording) -> contrib_routes::Routes {
    routes(recording, Targets::All, &Options { threshold: 0.01, ..Options::default() }).unwrap()
}

proptest! {
    #[test]
    fn items_have_the_results_of_their_prompts_alone_bit_for_bit(
        choices in choices(),
        prompts in prop::collection::vec((1_usize..6, 0_usize..4), 1..4),
        further in 0_usize..3,
    ) {
        let choices = Choices { kind: Some(choices.kind.unwrap_or(Kind::F32)), ..choices };
        let prompts: Vec<_> = prompts.iter().map(|&(len, start)| start..start + len).collect();
        let n_pos = prompts.iter().map(|prompt| prompt.end).max().unwrap() + further;
        let lengths: Vec<usize> = prompts.iter().map(Range::len).collect();
        let models = models(choices, &lengths);
        let arrays: Vec<_> =
            (0..choices.n_layers).map(|layer| BatchedLayer::new(&models, layer, &prompts, n_pos)).collect();
        let like = models[0].layers.iter().map(|layer| layer.tensors(&choices));
        let layers: Vec<_> = arrays.iter().zip(like).map(|(arrays, like)| arrays.tensors(&like)).collect();
        let batch = Batch::new(layers, &prompts).unwrap();
        prop_assert_eq!(batch.len(), models.len());
        for (item, model) in models.iter().enumerate() {
            let found = all(&mut batch.item(item).unwrap());
            prop_assert!(found.n_nodes() > 0);
            prop_assert_eq!(found, all(&mut model.recording()));
        }
    }
}

fn with<'a>(change: impl Fn(&mut Layer<'a>), prompts: &[Range<usize>]) -> Result<Batch<'a>, Error> {
    static NUMBERS: [f32; 200] = [0.5; 200];
    let tensor = |shape: &[usize]| Tensor::new(&NUMBERS, shape).unwrap();
    let stream = tensor(&[2, 3, 4]);
    let mut layer = Layer {
        resid_pre: stream,
        resid_mid: Some(stream),
        resid_post: stream,
        attention: Attention {
            attends: Attends::Pattern(tensor(&[2, 1, 3, 3])),
            moves: Moves::Values { values: tensor(&[2, 3, 1, 2]), w_o: tensor(&[1, 2, 4]), prepared: None },
            scale: Some(tensor(&[1, 1, 4])),
            bias: Some(tensor(&[4])),
        },
        mlp_out: stream,
        mlp_bias: None,
    };
    change(&mut layer);
    Batch::new(vec![layer], prompts)
}

#[test]
fn what_items_share_needs_no_axis_of_items() {
    let batch = with(|_| {}, &[0..3, 1..3]).unwrap();
    assert!(!batch.is_empty());
    for (item, n_pos) in [(0, 3), (1, 2)] {
        let recording = batch.item(item).unwrap();
        assert_eq!((recording.n_layers(), recording.n_pos(), recording.n_heads()), (1, n_pos, 1));
    }
}

#[test]
fn batches_whose_tensors_or_prompts_do_not_agree_are_errors() {
    static NUMBERS: [f32; 200] = [0.5; 200];
    let tensor = |shape: &[usize]| Tensor::new(&NUMBERS, shape).unwrap();
    let error = |change: &dyn Fn(&mut Layer<'static>)| with(change, &[0..3, 0..3]).unwrap_err().to_string();
    let like = "to match the items and positions of resid_pre, got";
    assert_eq!(error(&|layer| layer.mlp_out = tensor(&[3, 4])), format!("mlp_out.0: expected [2, 3, *] {like} [3, 4]"));
    assert_eq!(error(&|layer| layer.resid_mid = Some(tensor(&[3, 3, 4]))), {
        format!("resid_mid.0: expected [2, 3, *] {like} [3, 3, 4]")
    });
    assert_eq!(error(&|layer| layer.attention.attends = Attends::Pattern(tensor(&[2, 1, 3, 2]))), {
        format!("pattern.0: expected [2, *, 3, 3] {like} [2, 1, 3, 2]")
    });
    assert_eq!(error(&|layer| layer.attention.scale = Some(tensor(&[2, 2, 4]))), {
        format!("attn_scale.0: expected [2, 3, *] {like} [2, 2, 4]")
    });
    let one_prompt = std::slice::from_ref(&(0..3));
    assert_eq!(with(|_| {}, one_prompt).unwrap_err().to_string(), {
        "prompts: expected [2] to match the items of resid_pre, got [1]"
    });
    assert_eq!(with(|_| {}, &[0..3, 2..4]).unwrap_err().to_string(), {
        "prompts: expected positions below 3 for item 1, got 2..4"
    });
    #[allow(clippy::reversed_empty_ranges, reason = "such a prompt is an error")]
    let backwards = with(|_| {}, &[2..1, 0..3]);
    assert!(matches!(backwards, Err(Error::Prompt { item: 0, .. })));
    assert!(matches!(with(|_| {}, &[0..3, 0..3]).unwrap().item(2), Err(Error::Prompt { item: 2, .. })));
    assert!(matches!(Batch::new(Vec::new(), &[]), Err(Error::Missing { .. })));
    // What an item's tensors have wrong beside items and positions is found when it is taken.
    let batch = with(|layer| layer.mlp_out = tensor(&[2, 3, 5]), &[0..3, 0..3]).unwrap();
    assert_eq!(batch.item(1).unwrap_err().to_string(), "mlp_out.0: expected [3, 4] to match resid_pre, got [3, 5]");
}

#[test]
fn totals_of_the_items_of_a_batch_add_up_from_nothing() {
    let batch = with(|_| {}, &[0..3, 1..3]).unwrap();
    let mut totals = Totals::empty(1, 1, contrib_routes::HeadEdges::Each).unwrap();
    assert_eq!((totals.prompts(), totals.targets(), totals.tokens().len()), (0, 0, 0));
    let mut of_items = Vec::new();
    for item in 0..batch.len() {
        of_items.push(Totals::new(&all(&mut batch.item(item).unwrap())).unwrap());
        totals.add(&of_items[item]).unwrap();
    }
    assert_eq!((totals.prompts(), totals.targets(), totals.tokens().len()), (2, 5, 3));
    assert_eq!((totals.n_layers(), totals.n_heads()), (1, 1));
    assert_eq!(totals.mlps()[0], of_items[0].mlps()[0] + of_items[1].mlps()[0]);
    assert!(totals.mlps()[0] > 0.0);
}
