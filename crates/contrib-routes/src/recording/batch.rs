//! The recordings of a batch, whose tensors have an axis of batch items before all others.

use super::layer::{Attends, Attention, Layer, Moves, Scores};
use super::memory::Memory;
use crate::error::Error;
use contrib_core::{ANY, Argument, Shape, Tensor};
use std::ops::Range;

/// Forward passes over several prompts in one batch, as an engine has them: each prompt has some of the positions of its batch
/// item, and the others are padding, before it or after it.
///
/// Tensors are those of [`Layer`], with an axis of batch items before all others: `resid_pre` is `[batch, pos, d_model]`. What all
/// items share does not have it: `w_o`, `slopes`, `sinks`, and a bias `[d_model]`; another bias is `[batch, pos, d_model]`, and
/// `scale` is `[batch or 1, pos or 1, d_model or 1]`.
///
/// The results of an item are those of its prompt alone, bit for bit where its tensors are.
///
/// ```
/// use contrib_core::Tensor;
/// use contrib_routes::{Attends, Attention, Batch, Layer, Moves, Options, Targets, Totals, routes};
///
/// // Two prompts of two tokens and of one, the second with padding before it, and a model that only adds what its MLP says.
/// let (stream, pattern) = ([1.0_f32, 1.0, 0.0, 1.0], [1.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
/// let (nothing, after) = ([0.0_f32; 4], [2.0_f32, 2.0, 0.0, 2.0]);
/// let of = |rows| Tensor::new(rows, &[2, 2, 1]);
/// let layer = Layer {
///     resid_pre: of(&stream)?,
///     resid_mid: Some(of(&stream)?),
///     resid_post: of(&after)?,
///     attention: Attention {
///         attends: Attends::Pattern(Tensor::new(&pattern, &[2, 1, 2, 2])?),
///         moves: Moves::ValueOutput(Tensor::new(&nothing, &[2, 2, 1, 1])?),
///         scale: None,
///         bias: None,
///     },
///     mlp_out: of(&stream)?,
///     mlp_bias: None,
/// };
/// let batch = Batch::new(vec![layer], &[0..2, 1..2])?;
/// let found = routes(&mut batch.item(1)?, Targets::At(&[0]), &Options::default())?;
/// assert_eq!(Totals::new(&found)?.tokens().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    layers: Vec<Layer<'a>>,
    prompts: Vec<Range<usize>>,
}

impl<'a> Batch<'a> {
    /// A batch of these layers, from the first to the last, and the positions of each item that are its prompt.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Prompt`]; [`Error::Missing`] without layers.
    pub fn new(layers: Vec<Layer<'a>>, prompts: &[Range<usize>]) -> Result<Self, Error> {
        let Some(first) = layers.first() else {
            return Err(Error::Missing { tensor: Argument::of_layer(0, "resid_pre") });
        };
        let batch = extents(first);
        if batch[0] != prompts.len() {
            return Err(Error::Shape {
                tensor: Argument::named("prompts"),
                expected: Shape::new(&[batch[0]]),
                got: Shape::new(&[prompts.len()]),
                like: "the items of resid_pre",
            });
        }
        for (item, prompt) in prompts.iter().enumerate() {
            check_prompt(item, prompt, batch[1])?;
        }
        for (index, layer) in layers.iter().enumerate() {
            map(layer, |name, tensor| check(name, index, &tensor, batch).map(|()| tensor))?;
        }
        Ok(Batch { layers, prompts: prompts.to_vec() })
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// The recording of the prompt of an item, whose first position is 0. Nothing is copied but views of tensors.
    ///
    /// # Errors
    /// As [`Memory::new`]; [`Error::Prompt`] where the batch does not have the item.
    pub fn item(&self, item: usize) -> Result<Memory<'a>, Error> {
        let prompt = self.prompts.get(item).ok_or(Error::Prompt { item, got: 0..0, positions: 0 })?;
        let of_item = |(index, layer): (usize, &Layer<'a>)| layer.item(index, item, prompt.clone());
        Memory::new(self.layers.iter().enumerate().map(of_item).collect::<Result<_, _>>()?)
    }
}

impl<'a> Layer<'a> {
    /// The layer of one prompt, where the tensors of this one have an axis of batch items before all others, as [`Batch`] says:
    /// for a [`Recording`](crate::Recording) whose layers are handed in batched, one after the other. `index` is the number of the
    /// layer, which errors name; `item` is the batch item, and `positions` are those of its prompt.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Prompt`].
    pub fn item(&self, index: usize, item: usize, positions: Range<usize>) -> Result<Layer<'a>, Error> {
        let batch = extents(self);
        if item >= batch[0] {
            return Err(Error::Prompt { item, got: positions, positions: 0 });
        }
        check_prompt(item, &positions, batch[1])?;
        map(self, |name, tensor| {
            check(name, index, &tensor, batch)?;
            let Some(axes) = Axes::of(name, &tensor) else { return Ok(tensor) };
            let of_item = if tensor.shape()[0] == 1 { 0 } else { item };
            let mut view = tensor.narrowed(0, of_item..of_item + 1).without_axis(0);
            for &axis in axes.of_positions {
                // A scale may have one row for all positions.
                if !(axes.may_be_shared && view.shape()[axis] == 1) {
                    view = view.narrowed(axis, positions.clone());
                }
            }
            Ok(view)
        })
    }
}

/// How many items and positions a batch has.
fn extents(layer: &Layer<'_>) -> [usize; 2] {
    let extent = |axis: usize| layer.resid_pre.shape().get(axis).copied().unwrap_or_default();
    [extent(0), extent(1)]
}

fn check_prompt(item: usize, prompt: &Range<usize>, positions: usize) -> Result<(), Error> {
    if prompt.start <= prompt.end && prompt.end <= positions {
        return Ok(());
    }
    Err(Error::Prompt { item, got: prompt.clone(), positions })
}

/// What the axes of a batched tensor are.
struct Axes {
    /// How many there are, without that of batch items.
    ndim: usize,
    /// Those of positions, without that of batch items.
    of_positions: &'static [usize],
    /// Whether one item or position may be there for all.
    may_be_shared: bool,
}

impl Axes {
    /// `None` of a tensor that all items share.
    fn of(name: &str, tensor: &Tensor<'_>) -> Option<Self> {
        let (ndim, of_positions): (_, &[usize]) = match name {
            "w_o" | "slopes" | "sinks" => return None,
            "mlp_bias" | "attn_bias" if tensor.shape().len() == 1 => return None,
            "pattern" => (3, &[1, 2]),
            "queries" | "keys" | "values" | "value_output" => (3, &[0]),
            _ => (2, &[0]),
        };
        Some(Axes { ndim, of_positions, may_be_shared: name == "attn_scale" })
    }
}

/// An error where a tensor does not have the items and positions of its batch.
fn check(name: &'static str, index: usize, tensor: &Tensor<'_>, [items, positions]: [usize; 2]) -> Result<(), Error> {
    let Some(axes) = Axes::of(name, tensor) else { return Ok(()) };
    let mut expected = vec![ANY; axes.ndim + 1];
    expected[0] = items;
    for &axis in axes.of_positions {
        expected[axis + 1] = positions;
    }
    let got = tensor.shape();
    let fits =
        |(&got, &expected): (&usize, &usize)| got == expected || expected == ANY || (axes.may_be_shared && got == 1);
    if got.len() == expected.len() && got.iter().zip(&expected).all(fits) {
        return Ok(());
    }
    Err(Error::Shape {
        tensor: Argument::of_layer(index, name),
        expected: Shape::new(&expected),
        got: Shape::new(got),
        like: "the items and positions of resid_pre",
    })
}

/// The layer with each tensor replaced.
fn map<'a>(
    layer: &Layer<'a>,
    mut replaced: impl FnMut(&'static str, Tensor<'a>) -> Result<Tensor<'a>, Error>,
) -> Result<Layer<'a>, Error> {
    let mut given = |name, tensor: Option<Tensor<'a>>| tensor.map(|tensor| replaced(name, tensor)).transpose();
    let resid_mid = given("resid_mid", layer.resid_mid)?;
    let mlp_bias = given("mlp_bias", layer.mlp_bias)?;
    let bias = given("attn_bias", layer.attention.bias)?;
    let scale = given("attn_scale", layer.attention.scale)?;
    let attends = match layer.attention.attends {
        Attends::Pattern(pattern) => Attends::Pattern(replaced("pattern", pattern)?),
        Attends::Scores(scores) => {
            let queries = replaced("queries", scores.queries)?;
            Attends::Scores(Scores { queries, keys: replaced("keys", scores.keys)?, ..scores })
        }
    };
    let moves = match layer.attention.moves {
        Moves::Values { values, w_o, prepared } => Moves::Values { values: replaced("values", values)?, w_o, prepared },
        Moves::ValueOutput(value_output) => Moves::ValueOutput(replaced("value_output", value_output)?),
    };
    Ok(Layer {
        resid_pre: replaced("resid_pre", layer.resid_pre)?,
        resid_mid,
        resid_post: replaced("resid_post", layer.resid_post)?,
        attention: Attention { attends, moves, scale, bias },
        mlp_out: replaced("mlp_out", layer.mlp_out)?,
        mlp_bias,
    })
}
