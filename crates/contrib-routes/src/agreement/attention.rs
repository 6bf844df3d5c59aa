//! What attention adds to the stream, in `f64`.

use crate::allocate::filled;
use crate::error::Error;
use crate::recording::{Attends, Attention, Moves, Scores};
use contrib_core::Tensor;

/// Keys that are read at a time.
const KEYS: usize = 64;

/// What attention adds at some positions.
pub(super) struct Attended<'a> {
    attention: &'a Attention<'a>,
    n_heads: usize,
    positions: &'a [u32],
    n_keys: usize,
    /// The rows of the pattern of one head: `[position, key]`.
    rows: Vec<f64>,
}

impl<'a> Attended<'a> {
    /// At these positions, which ascend.
    pub(super) fn new(attention: &'a Attention<'a>, n_heads: usize, positions: &'a [u32]) -> Result<Self, Error> {
        let (all, is_causal) = match &attention.attends {
            Attends::Pattern(pattern) => (pattern.shape()[2], false),
            Attends::Scores(scores) => (scores.keys.shape()[0], scores.causal),
        };
        let n_keys = match positions.last() {
            Some(&last) if is_causal => all.min(last as usize + 1),
            _ => all,
        };
        let rows = filled(0.0, positions.len().saturating_mul(n_keys))?;
        Ok(Attended { attention, n_heads, positions, n_keys, rows })
    }

    /// Adds it to `out`, `[position, d_model]`.
    pub(super) fn add_to(mut self, out: &mut [f64]) -> Result<(), Error> {
        let n = self.positions.len();
        let d_model = out.len() / n.max(1);
        for head in 0..self.n_heads {
            match &self.attention.attends {
                Attends::Pattern(pattern) => self.copy_pattern(pattern, head),
                Attends::Scores(scores) => self.calculate_pattern(scores, head)?,
            }
            match &self.attention.moves {
                Moves::ValueOutput(value_output) => self.add_moved(&one(value_output, 1, head), d_model, out)?,
                Moves::Values { values, w_o, .. } => {
                    let d_head = values.shape()[2];
                    let mut moved = filled(0.0, n.saturating_mul(d_head))?;
                    let kv_head = head / (self.n_heads / values.shape()[1]);
                    self.add_moved(&one(values, 1, kv_head), d_head, &mut moved)?;
                    let of_head = one(w_o, 0, head);
                    let mut output = filled(0.0, d_model)?;
                    for channel in 0..d_head {
                        one(&of_head, 1, channel).copy_to(&mut output);
                        for (moved, out) in moved.chunks_exact(d_head).zip(out.chunks_exact_mut(d_model.max(1))) {
                            add(moved[channel], &output, out);
                        }
                    }
                }
            }
        }
        self.scale(out, d_model)
    }

    fn copy_pattern(&mut self, pattern: &Tensor<'_>, head: usize) {
        let of_head = one(pattern, 0, head);
        for (row, &position) in self.rows.chunks_exact_mut(self.n_keys.max(1)).zip(self.positions) {
            one(&of_head, 1, position as usize).copy_to(row);
        }
    }

    /// As SPEC has it: scores, then their softmax over the keys that are allowed.
    fn calculate_pattern(&mut self, scores: &Scores<'_>, head: usize) -> Result<(), Error> {
        let d = scores.queries.shape()[2];
        let kv_head = head / (self.n_heads / scores.keys.shape()[1]);
        let (of_queries, of_keys) = (one(&scores.queries, 1, head), one(&scores.keys, 1, kv_head));
        let number = |tensor: &Option<Tensor<'_>>| {
            tensor.map(|tensor| {
                let mut number = [0.0_f64];
                one(&tensor, 0, head).copy_to(&mut number);
                number[0]
            })
        };
        let (slope, sink) = (number(&scores.slopes), number(&scores.sinks));
        let scale = scores.scale.unwrap_or_else(|| 1.0 / (d as f64).sqrt());
        let mut queries = filled(0.0_f64, self.positions.len().saturating_mul(d))?;
        for (query, &position) in queries.chunks_exact_mut(d.max(1)).zip(self.positions) {
            one(&of_queries, 0, position as usize).copy_to(query);
        }
        self.rows.fill(0.0);
        // A block of keys, channel by channel, so that a query's channel is multiplied with all of them in one loop.
        let mut keys = filled(0.0_f64, KEYS.min(self.n_keys).saturating_mul(d))?;
        for first in (0..self.n_keys).step_by(KEYS) {
            let count = KEYS.min(self.n_keys - first);
            let keys = &mut keys[..count * d];
            of_keys.narrowed(0, first..first + count).permuted(&[2, 0, 1]).copy_to(keys);
            for (position, row) in self.rows.chunks_exact_mut(self.n_keys).enumerate() {
                let query = &queries[position * d..][..d];
                for (&channel, keys) in query.iter().zip(keys.chunks_exact(count)) {
                    add(channel, keys, &mut row[first..first + count]);
                }
            }
        }
        for (row, &position) in self.rows.chunks_exact_mut(self.n_keys.max(1)).zip(self.positions) {
            let position = position as usize;
            for (key, score) in row.iter_mut().enumerate() {
                let is_masked = scores.causal && key > position;
                let is_before_window = scores.window.is_some_and(|window| key.saturating_add(window) <= position);
                *score *= scale;
                if let Some(cap) = scores.soft_cap {
                    *score = cap * (*score / cap).tanh();
                }
                *score += slope.unwrap_or_default() * (key as f64 - position as f64);
                if is_masked || is_before_window {
                    *score = f64::NEG_INFINITY;
                }
            }
            softmax(row, sink);
        }
        Ok(())
    }

    /// Adds what a head moves to each position: its row of the pattern times `moves`, `[key, 1, width]`.
    fn add_moved(&self, moves: &Tensor<'_>, width: usize, out: &mut [f64]) -> Result<(), Error> {
        let mut block = filled(0.0_f64, KEYS.min(self.n_keys).saturating_mul(width))?;
        for first in (0..self.n_keys).step_by(KEYS) {
            let count = KEYS.min(self.n_keys - first);
            let block = &mut block[..count * width];
            moves.narrowed(0, first..first + count).copy_to(block);
            for (row, out) in self.rows.chunks_exact(self.n_keys).zip(out.chunks_exact_mut(width.max(1))) {
                for (&weight, moved) in row[first..first + count].iter().zip(block.chunks_exact(width.max(1))) {
                    if weight != 0.0 {
                        add(weight, moved, out);
                    }
                }
            }
        }
        Ok(())
    }

    /// Multiplies what heads add by the scale of its channels.
    fn scale(&self, out: &mut [f64], d_model: usize) -> Result<(), Error> {
        let Some(scale) = &self.attention.scale else { return Ok(()) };
        let mut factors = filled(0.0_f64, scale.shape()[1])?;
        for (out, &position) in out.chunks_exact_mut(d_model.max(1)).zip(self.positions) {
            one(scale, 0, (position as usize).min(scale.shape()[0] - 1)).copy_to(&mut factors);
            if let [factor] = factors[..] {
                for out in out {
                    *out *= factor;
                }
            } else {
                out.iter_mut().zip(&factors).for_each(|(out, factor)| *out *= factor);
            }
        }
        Ok(())
    }
}

/// What a tensor has at an index of an axis, which stays, with one element.
fn one<'a>(tensor: &Tensor<'a>, axis: usize, index: usize) -> Tensor<'a> {
    tensor.narrowed(axis, index..index + 1)
}

/// Adds `factor * vector` to `sums`.
fn add(factor: f64, vector: &[f64], sums: &mut [f64]) {
    sums.iter_mut().zip(vector).for_each(|(sum, element)| *sum += factor * element);
}

/// The softmax of scores, of which those that are minus infinity become 0, with one more in the denominator.
fn softmax(scores: &mut [f64], sink: Option<f64>) {
    // The maximum passes over a NaN, which makes the denominator NaN.
    let most = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        scores.iter_mut().filter(|score| !score.is_nan()).for_each(|score| *score = 0.0);
        return;
    }
    let mut sum = sink.map_or(0.0, |sink| (sink - most).exp());
    for score in &mut *scores {
        *score = (*score - most).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}
