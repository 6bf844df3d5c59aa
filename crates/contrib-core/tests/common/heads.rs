//! Attention from queries and keys by the oracle.

use super::Job;
use contrib_testing::{Stored, naive};

/// The elements of a tensor, of which extents may be 1 where others have more.
pub struct Elements {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Elements {
    pub fn new(stored: &Stored) -> Self {
        Elements { shape: stored.layout.shape.clone(), values: stored.to_f64() }
    }

    /// Those of a tensor of integers.
    pub fn of_integers(stored: &Stored) -> Self {
        let values = stored.integers().into_iter().map(|integer| integer as f64).collect();
        Elements { shape: stored.layout.shape.clone(), values }
    }

    /// The element at these indices, of the axes that have more than one.
    pub fn get(&self, indices: &[usize]) -> f64 {
        assert_eq!(indices.len(), self.shape.len());
        let index = self.shape.iter().zip(indices).fold(0, |index, (&extent, own)| index * extent + own % extent);
        self.values[index]
    }

    /// The vector at these indices, along the last axis.
    pub fn vector(&self, indices: &[usize]) -> &[f64] {
        let (&len, axes) = self.shape.split_last().unwrap();
        assert_eq!(indices.len(), axes.len());
        let index = axes.iter().zip(indices).fold(0, |index, (&extent, own)| index * extent + own % extent);
        &self.values[index * len..][..len]
    }
}

/// What a call is expected to give.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `[batch, pos, key_pos, head]`
    pub attn: Vec<f64>,
    /// `[batch, pos]`
    pub resid: Vec<f64>,
    /// The largest magnitude of a score, before any soft cap.
    pub largest_score: f64,
    /// By how much more than a rounding of the whole contributions change, at most: the norm of a part where that exceeds the
    /// whole's, over the sum of proximities where that is less than it.
    pub condition: f64,
}

/// The results of attention from queries and keys, with values or what heads write for each token.
pub fn attention(job: &Job) -> Expected {
    let [batch, heads, pos, key_pos] = job.extents_of_heads();
    let elements = |name: &str| job.get(name).map(Elements::new);
    let given = |name: &str| elements(name).unwrap();
    let integers = |name: &str| job.get(name).map(Elements::of_integers);
    let (queries, keys) = (given("queries"), given("keys"));
    let (pre, mid) = (given("resid_pre"), given("resid_mid"));
    let (slopes, sinks, mask) = (elements("slopes"), elements("sinks"), elements("mask"));
    let (query_positions, key_positions) = (integers("query_positions"), integers("key_positions"));
    let kv_heads = keys.shape[2];
    let kv_head = |head: usize| head / (heads / kv_heads);
    let scoring = |head: usize| naive::Scoring {
        scale: job.scoring.score_scale.unwrap_or(1.0 / (queries.shape[3] as f64).sqrt()),
        soft_cap: job.scoring.soft_cap,
        slope: slopes.as_ref().map(|slopes| slopes.get(&[head])),
        sink: sinks.as_ref().map(|sinks| sinks.get(&[head])),
        causal: job.scoring.causal,
        window: job.scoring.window,
    };
    let first_query = job.scoring.first_query.unwrap_or(key_pos as i64 - pos as i64);
    let d_model = mid.shape[2];
    let ones = vec![1.0; d_model];

    let (value_output, values, w_o) = (elements("value_output"), elements("values"), elements("w_o"));
    let direction = |b: usize, key: usize, head: usize| -> Vec<f64> {
        if let Some(value_output) = &value_output {
            return value_output.vector(&[b, key, head]).to_vec();
        }
        let (values, w_o) = (values.as_ref().unwrap(), w_o.as_ref().unwrap());
        let len = values.shape[3] * d_model;
        let value = values.vector(&[b, key, kv_head(head)]);
        naive::projected(value, &w_o.values[head * len..][..len], d_model)
    };
    let mut expected = Expected { attn: vec![], resid: vec![], largest_score: 0.0, condition: 1.0 };
    for b in 0..batch {
        let directions: Vec<Vec<f64>> =
            (0..key_pos * heads).map(|part| direction(b, part / heads, part % heads)).collect();
        for query in 0..pos {
            let position = match &query_positions {
                Some(positions) => positions.get(&[b, query]) as i64,
                None => first_query + query as i64,
            };
            let mut patterns = Vec::new();
            for head in 0..heads {
                let key = |key: usize| naive::Key {
                    vector: keys.vector(&[b, key, kv_head(head)]).to_vec(),
                    position: key_positions.as_ref().map_or(key as i64, |positions| positions.get(&[b, key]) as i64),
                    mask: mask.as_ref().map_or(0.0, |mask| mask.get(&[b, head, query, key])),
                };
                let scoring = scoring(head);
                let keys: Vec<naive::Key> = (0..key_pos).map(key).collect();
                let scores = naive::scores(queries.vector(&[b, query, head]), position, &keys, &scoring);
                // A soft cap brings scores together, but not the errors of those about 0.
                let uncapped = naive::Scoring { soft_cap: None, ..scoring };
                let uncapped = naive::scores(queries.vector(&[b, query, head]), position, &keys, &uncapped);
                for score in uncapped.into_iter().chain([scoring.sink]).flatten() {
                    expected.largest_score = expected.largest_score.max(score.abs());
                }
                patterns.push(naive::softmax(&scores, scoring.sink));
            }
            let coefficient = |part: usize| patterns[part % heads][part / heads];
            let part = |part: usize| naive::factored_part(coefficient(part).unwrap_or(0.0), &directions[part], &ones);
            let parts = (0..key_pos * heads).map(part).collect();
            let whole = mid.vector(&[b, query]);
            let groups = [parts, vec![pre.vector(&[b, query]).to_vec()]];
            let mut proximities = naive::proximities(whole, &groups, job.norm);
            for (part, proximity) in proximities[0].iter_mut().enumerate() {
                if job.leave_out_masked && coefficient(part).is_none() {
                    *proximity = 0.0;
                }
            }
            let norm = naive::norm(whole, job.norm);
            let largest_part = groups[0].iter().map(|part| naive::norm(part, job.norm)).fold(norm, f64::max);
            let condition = largest_part / proximities.iter().flatten().sum::<f64>().min(norm);
            // The whole may be zero or infinite.
            if condition.is_finite() {
                expected.condition = expected.condition.max(condition);
            }
            let contributions = naive::normalised(proximities);
            expected.attn.extend(&contributions[0]);
            expected.resid.extend(&contributions[1]);
        }
    }
    expected
}

impl Expected {
    /// How far results with inputs that are not all in `f64` may be off.
    pub fn tolerance(&self) -> f64 {
        if self.largest_score.is_finite() { (1e-7 * self.largest_score).max(1e-6) } else { 1e-6 }
    }

    /// How far results are off, at most; infinite where they are NaN and should not be, or should be and are not.
    pub fn error(&self, [attn, resid]: &[Vec<f64>; 2]) -> f64 {
        let errors = [(attn, &self.attn), (resid, &self.resid)].map(|(found, expected)| {
            assert_eq!(found.len(), expected.len());
            let error = |(found, expected): (&f64, &f64)| match (found.is_nan(), expected.is_nan()) {
                (true, true) => 0.0,
                (false, false) => (found - expected).abs(),
                _ => f64::INFINITY,
            };
            found.iter().zip(expected).map(error).fold(0.0, f64::max)
        });
        errors[0].max(errors[1])
    }
}
