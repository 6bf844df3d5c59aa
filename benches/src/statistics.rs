//! What decides how long factored attention takes, measured of activations, and what it is in recorded ones.

use crate::factored::Model;
use crate::realistic::Activations;
use crate::sgemm::{Matrix, multiply};

/// Means over the queries of the later half of the tokens and, of patterns and parts, over heads.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    /// The entropy of a query's pattern, in nats.
    pub entropy: f64,
    /// The greatest element of a query's pattern.
    pub largest: f64,
    /// The element of a query's pattern at the first token.
    pub sink: f64,
    /// The sum of a query's pattern over the last 16 tokens.
    pub near: f64,
    /// The keys to which a query's pattern is greater than 0.001.
    pub keys: f64,
    /// The sum of the 1-norms of all parts of a query, over that of the whole.
    pub parts_to_whole: f64,
    /// The 2-norm of the stream before attention over that of what attention adds.
    pub stream_to_added: f64,
    /// The share of a whole's 1-norm that its largest elements have, one of a hundred.
    pub outliers: f64,
    /// The kurtosis of a whole's elements.
    pub kurtosis: f64,
    /// The share of parts of which the bound `|pattern| * ||value|| * ||w_o[:, i]||` is greater than some element `i` of the whole.
    pub exceeding: f64,
    /// For how many elements of the whole it is, for these parts.
    pub exceeded: f64,
}

/// Those of a middle layer (15 of 30) of SmolLM2-135M-Instruct for 512 tokens of the text of the Apache licence, with weights
/// in `Q4_1`. The example `statistics` measures them, and those of other layers.
pub const RECORDED: Statistics = Statistics {
    entropy: 2.43,
    largest: 0.525,
    sink: 0.504,
    near: 0.202,
    keys: 66.3,
    parts_to_whole: 1.345,
    stream_to_added: 5.4,
    outliers: 0.126,
    kurtosis: 96.2,
    exceeding: 0.263,
    exceeded: 7.35,
};

impl Statistics {
    /// Names and numbers.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 11] {
        [
            ("entropy", self.entropy),
            ("largest", self.largest),
            ("sink", self.sink),
            ("near", self.near),
            ("keys", self.keys),
            ("parts_to_whole", self.parts_to_whole),
            ("stream_to_added", self.stream_to_added),
            ("outliers", self.outliers),
            ("kurtosis", self.kurtosis),
            ("exceeding", self.exceeding),
            ("exceeded", self.exceeded),
        ]
    }

    /// Measures them.
    #[must_use]
    pub fn of(activations: &Activations) -> Self {
        let &Activations { model, pos, key_pos, ref pattern, ref resid_pre, ref resid_mid, .. } = activations;
        let Model { heads, d_model, .. } = model;
        let first = pos / 2;
        let mut sums = Sums::default();

        for (row, pattern) in pattern.chunks(key_pos).enumerate().filter(|(row, _)| row % pos >= first) {
            let keys = key_pos - pos + row % pos + 1;
            let pattern = pattern[..keys].iter().map(|&share| f64::from(share));
            let near = |key: usize| key > 0 && key + 16 >= keys;
            sums.entropy += pattern.clone().filter(|&share| share > 0.0).map(|share| -share * share.ln()).sum::<f64>();
            sums.largest += pattern.clone().fold(0.0, f64::max);
            sums.sink += pattern.clone().next().unwrap_or(0.0);
            sums.near += pattern.clone().enumerate().filter(|&(key, _)| near(key)).map(|(_, share)| share).sum::<f64>();
            sums.keys += pattern.filter(|&share| share > 1e-3).count() as f64;
        }
        for head in 0..heads {
            sums.head(activations, head);
        }
        let added = activations.added();
        let rows = resid_mid.chunks(d_model).zip(resid_pre.chunks(d_model)).zip(added.chunks(d_model));
        for ((whole, before), added) in rows.skip(first) {
            sums.stream_to_added += norm_2(before) / norm_2(added);
            let mut magnitudes: Vec<f64> = whole.iter().map(|&x| f64::from(x).abs()).collect();
            magnitudes.sort_by(f64::total_cmp);
            let largest = d_model - (d_model as f64 / 100.0).round() as usize;
            sums.outliers += magnitudes[largest..].iter().sum::<f64>() / magnitudes.iter().sum::<f64>();
            let mean = whole.iter().map(|&x| f64::from(x)).sum::<f64>() / d_model as f64;
            let moment = |power| whole.iter().map(|&x| (f64::from(x) - mean).powi(power)).sum::<f64>() / d_model as f64;
            sums.kurtosis += moment(4) / moment(2).powi(2);
        }
        let queries = (pos - first) as f64;
        let rows = queries * heads as f64;
        Statistics {
            entropy: sums.entropy / rows,
            largest: sums.largest / rows,
            sink: sums.sink / rows,
            near: sums.near / rows,
            keys: sums.keys / rows,
            parts_to_whole: sums.parts_to_whole / queries,
            stream_to_added: sums.stream_to_added / queries,
            outliers: sums.outliers / queries,
            kurtosis: sums.kurtosis / queries,
            exceeding: sums.exceeding as f64 / sums.parts as f64,
            exceeded: sums.exceeded as f64 / sums.exceeding as f64,
        }
    }
}

#[derive(Default)]
struct Sums {
    entropy: f64,
    largest: f64,
    sink: f64,
    near: f64,
    keys: f64,
    parts_to_whole: f64,
    stream_to_added: f64,
    outliers: f64,
    kurtosis: f64,
    parts: usize,
    exceeding: usize,
    exceeded: usize,
}

impl Sums {
    /// Adds what depends on the parts of a head.
    fn head(&mut self, activations: &Activations, head: usize) {
        let &Activations { model, pos, key_pos, ref pattern, ref resid_mid, ref values, ref w_o, .. } = activations;
        let Model { heads, kv_heads, d_head, d_model, .. } = model;
        let values = &values[head / (heads / kv_heads) * d_head..];
        let w_o = &w_o[head * d_head * d_model..][..d_head * d_model];
        let mut value_output = vec![0.0; key_pos * d_model];
        let of_values = Matrix::new(values, key_pos, d_head, kv_heads * d_head);
        multiply(of_values, Matrix::new(w_o, d_head, d_model, d_model), &mut value_output, d_model);
        let norms: Vec<f64> = value_output.chunks(d_model).map(norm_1).collect();
        let norms_of_values: Vec<f64> =
            values.chunks(kv_heads * d_head).map(|value| norm_2(&value[..d_head.min(value.len())])).collect();
        let mut columns = vec![0.0; d_model];
        for row in w_o.chunks(d_model) {
            columns.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        let pattern = pattern[head * pos * key_pos..].chunks(key_pos).take(pos);
        for (query, (pattern, whole)) in pattern.zip(resid_mid.chunks(d_model)).enumerate().skip(pos / 2) {
            let pattern = &pattern[..=key_pos - pos + query];
            let of_parts: f64 = pattern.iter().zip(&norms).map(|(&share, norm)| f64::from(share) * norm).sum();
            self.parts_to_whole += of_parts / norm_1(whole);
            let mut ratios: Vec<f64> =
                whole.iter().zip(&columns).map(|(&x, square)| f64::from(x).abs() / square.sqrt()).collect();
            ratios.sort_by(f64::total_cmp);
            for (&share, norm) in pattern.iter().zip(&norms_of_values) {
                let exceeded = ratios.partition_point(|&ratio| ratio < f64::from(share) * norm);
                self.parts += 1;
                self.exceeding += usize::from(exceeded > 0);
                self.exceeded += exceeded;
            }
        }
    }
}

fn norm_1(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x).abs()).sum()
}

fn norm_2(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factored::SMOLLM2;

    #[test]
    fn synthetic_activations_are_like_recorded_ones() {
        let synthetic = Statistics::of(&Activations::new(SMOLLM2, 512, 512));
        for ((name, synthetic), (_, recorded)) in synthetic.named().into_iter().zip(RECORDED.named()) {
            let ratio = synthetic / recorded;
            assert!((0.75..1.33).contains(&ratio), "{name}: {synthetic} instead of {recorded}");
        }
    }

    #[test]
    fn patterns_are_causal_and_sum_to_one_for_prompts_and_for_single_queries() {
        for (pos, key_pos) in [(64, 64), (3, 64), (1, 64), (1, 1)] {
            let pattern = Activations::new(SMOLLM2, pos, key_pos).pattern;
            assert_eq!(pattern.len(), SMOLLM2.heads * pos * key_pos);
            for (row, pattern) in pattern.chunks(key_pos).enumerate() {
                let (attended, masked) = pattern.split_at(key_pos - pos + row % pos + 1);
                assert!((attended.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                assert!(masked.iter().all(|&share| share == 0.0));
            }
        }
    }
}
