//! Whether the tensors of a layer fit together. Past this, the code has no more errors of shapes.

use super::Recording;
use super::layer::{Attends, Layer, Moves};
use crate::allocate::filled;
use crate::error::Error;
use contrib_core::{ANY, Argument, MAX_NDIM, Shape, Tensor};

/// What all layers of a recording have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub(crate) layers: usize,
    pub(crate) positions: usize,
    pub(crate) heads: usize,
}

impl Extents {
    /// Those that a recording says it has.
    pub(crate) fn of(recording: &dyn Recording) -> Result<Self, Error> {
        let extents =
            Extents { layers: recording.n_layers(), positions: recording.n_pos(), heads: recording.n_heads() };
        extents.check()?;
        Ok(extents)
    }

    /// An error where layers, heads or positions cannot be numbered by a `u32`, as results do.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (what, got) in [("layers", self.layers), ("positions", self.positions), ("heads", self.heads)] {
            if u32::try_from(got).is_err() || got == u32::MAX as usize {
                return Err(Error::TooLarge { what, got });
            }
        }
        Ok(())
    }

    /// An error where a layer of the recording does not have these extents, or its tensors do not agree.
    pub(crate) fn check_layer(&self, layer: &Layer<'_>, index: usize) -> Result<(), Error> {
        let Extents { positions: n_pos, heads: n_heads, .. } = *self;
        let named = Named { index };
        let of_recording = "the positions of the recording";
        named.expect("resid_pre", &layer.resid_pre, &[n_pos, ANY], of_recording)?;
        let d_model = layer.resid_pre.shape()[1];
        let stream = [n_pos, d_model];
        if let Some(resid_mid) = &layer.resid_mid {
            named.expect("resid_mid", resid_mid, &stream, "resid_pre")?;
        }
        named.expect("resid_post", &layer.resid_post, &stream, "resid_pre")?;
        named.expect("mlp_out", &layer.mlp_out, &stream, "resid_pre")?;
        for (name, bias) in [("mlp_bias", &layer.mlp_bias), ("attn_bias", &layer.attention.bias)] {
            match bias {
                Some(bias) if bias.shape().len() == 1 => named.expect(name, bias, &[d_model], "resid_pre")?,
                Some(bias) => named.expect(name, bias, &stream, "resid_pre")?,
                None => {}
            }
        }
        if let Some(scale) = &layer.attention.scale {
            let extent = |axis: usize| if scale.shape().get(axis) == Some(&1) { 1 } else { stream[axis] };
            named.expect("attn_scale", scale, &[extent(0), extent(1)], "resid_pre")?;
        }
        let of_keys = self.check_attends(&layer.attention.attends, &named)?;
        match &layer.attention.moves {
            Moves::ValueOutput(value_output) => {
                named.expect("value_output", value_output, &[n_pos, n_heads, d_model], "resid_pre and the heads")
            }
            Moves::Values { values, w_o, .. } => {
                named.expect("values", values, &[n_pos, of_keys.unwrap_or(ANY), ANY], "the positions and keys")?;
                named.expect_kv_heads("values", values, n_heads)?;
                let expected = [n_heads, values.shape()[2], d_model];
                named.expect("w_o", w_o, &expected, "the heads, values and resid_pre")
            }
        }
    }

    /// Checks how much queries attend to keys; gives the number of key-value heads, where it has one.
    fn check_attends(&self, attends: &Attends<'_>, named: &Named) -> Result<Option<usize>, Error> {
        let Extents { positions: n_pos, heads: n_heads, .. } = *self;
        let scores = match attends {
            Attends::Pattern(pattern) => {
                named.expect("pattern", pattern, &[n_heads, n_pos, n_pos], "the heads and positions")?;
                return Ok(None);
            }
            Attends::Scores(scores) => scores,
        };
        named.expect("queries", &scores.queries, &[n_pos, n_heads, ANY], "the positions and heads")?;
        named.expect("keys", &scores.keys, &[n_pos, ANY, scores.queries.shape()[2]], "the positions and queries")?;
        named.expect_kv_heads("keys", &scores.keys, n_heads)?;
        for (name, of_heads) in [("slopes", &scores.slopes), ("sinks", &scores.sinks)] {
            if let Some(of_heads) = of_heads {
                named.expect(name, of_heads, &[n_heads], "the heads")?;
            }
        }
        if let Some(scale) = scores.scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::Number { name: named.name("scale"), expected: "a finite number", got: scale });
        }
        if let Some(cap) = scores.soft_cap.filter(|&cap| !(cap > 0.0 && cap.is_finite())) {
            let expected = "a finite number greater than 0";
            return Err(Error::Number { name: named.name("soft_cap"), expected, got: cap });
        }
        Ok(Some(scores.keys.shape()[1]))
    }
}

/// The names of the tensors of a layer.
struct Named {
    index: usize,
}

impl Named {
    fn name(&self, tensor: &'static str) -> Argument {
        Argument::of_layer(self.index, tensor)
    }

    /// An error where the tensor has another shape.
    fn expect(
        &self,
        name: &'static str,
        tensor: &Tensor<'_>,
        expected: &[usize],
        like: &'static str,
    ) -> Result<(), Error> {
        let got = tensor.shape();
        let fits = |(&got, &expected): (&usize, &usize)| expected == ANY || got == expected;
        if got.len() == expected.len() && got.iter().zip(expected).all(fits) {
            return Ok(());
        }
        let tensor = self.name(name);
        Err(Error::Shape { tensor, expected: Shape::new(expected), got: Shape::new(got), like })
    }

    /// An error where the middle axis of a tensor `[key_pos, kv_head, d]` cannot be shared by the heads.
    fn expect_kv_heads(&self, name: &'static str, tensor: &Tensor<'_>, heads: usize) -> Result<(), Error> {
        let kv_heads = tensor.shape()[1];
        let are_shared = if kv_heads == 0 { heads == 0 } else { heads >= kv_heads && heads.is_multiple_of(kv_heads) };
        if are_shared { Ok(()) } else { Err(Error::Heads { tensor: self.name(name), heads, kv_heads }) }
    }
}

/// The error of contributions that are NaN: the first tensor of the layer with a number that is not finite.
pub(crate) fn not_finite(layer: &Layer<'_>, index: usize, position: usize) -> Error {
    for (name, tensor) in layer.tensors() {
        if let Some(at) = first_not_finite(&tensor) {
            return Error::NotFinite { tensor: Named { index }.name(name), index: at };
        }
    }
    Error::NotANumber { layer: index, position }
}

/// The first index at which a tensor is not finite, found row by row.
fn first_not_finite(tensor: &Tensor<'_>) -> Option<Shape> {
    let shape = tensor.shape();
    let (&row_len, outer) = shape.split_last()?;
    let rows: usize = if row_len == 0 { 0 } else { outer.iter().product() };
    let mut row = filled(0.0_f64, row_len).ok()?;
    let mut index = [0; MAX_NDIM];
    let index = &mut index[..shape.len()];
    for number in 0..rows {
        // The index, on the outer axes, of the row with this number.
        let mut rest = number;
        for (index, &extent) in index[..outer.len()].iter_mut().zip(outer).rev() {
            *index = rest % extent;
            rest /= extent;
        }
        let outer = index[..outer.len()].iter().enumerate();
        outer.fold(*tensor, |view, (axis, &at)| view.narrowed(axis, at..at + 1)).copy_to(&mut row);
        if let Some(place) = row.iter().position(|number| !number.is_finite()) {
            index[shape.len() - 1] = place;
            return Some(Shape::new(index));
        }
    }
    None
}
