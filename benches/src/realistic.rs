//! Synthetic activations of one layer's attention, for any shape and any number of tokens. They have the statistics of a real
//! model's that decide how long factored attention takes:
//!
//! - Patterns are peaked. The first token, whose value is small, takes half of them. Most of the rest goes to few keys, near
//!   ones rather than far ones. So most parts are tiny, and few are as large as elements of their whole.
//! - A few channels of the residual stream are ten to forty times as large as the others, and many elements are small.
//! - Heads write less into channels in which the stream is large.
//!
//! How near they are to a recording is in [`statistics`](crate::statistics). It has 512 tokens. Longer prompts are made in
//! the same way, and compared with nothing.

use crate::factored::{Model, root_mean_square, scale};
use crate::normal;
use crate::sgemm::{Matrix, multiply};
use contrib_core::{
    AttentionResults, Coefficients, FactoredAttention, Heads, IndicesMut, Options, Out, PreparedProjection,
    QueriesAndKeys, Sparse, Tensor, TensorMut, attention_factored,
};
use contrib_testing::Random;

/// Where in queries and keys stands what. The first coordinate says how much the first token is attended to.
const SINK: usize = 0;
/// Pairs of a cosine and a sine of the position follow, as in rotary embeddings, and then the content.
const FREQUENCIES: usize = 12;
const CONTENT: usize = 1 + 2 * FREQUENCIES;
/// The distance at which near and far keys do not differ any more.
const FARTHEST: f32 = 4096.0;

/// By how much a head's score for the nearest keys is greater than for far ones, from the least head to the greatest.
const NEARNESS: [f32; 2] = [5.0, 10.0];
/// The deviation of a head's scores for keys at the same distance.
const DEVIATION: [f32; 2] = [1.3, 2.1];
/// The logarithm of what queries attend to the first token over what they attend to all others, from the least head to the
/// greatest, and its deviation between the queries of a head.
const LOG_SINK: [f32; 2] = [-1.2, 1.4];
const DEVIATION_OF_SINK: f32 = 1.1;
/// The share of squares of a query's content, and of a value, which is the same for all tokens.
const SHARE_OF_MEAN_QUERY: f32 = 0.5;
const SHARE_OF_MEAN_VALUE: f32 = 0.2;
/// The norm of the first token's value, and the deviation of the logarithm of others'.
const VALUE_OF_SINK: f32 = 0.33;
const DEVIATION_OF_VALUE: f32 = 0.15;

/// How many times the stream is as large as what so many heads add to it, in the 2-norm. With more heads it is greater by
/// the square root: parts of different heads are nearly orthogonal, so that their sum is then smaller beside all of them.
const STREAM_TO_ADDED: f32 = 5.6;
const HEADS_THAT_ADD: f32 = 9.0;
/// The magnitude of a channel over that of the median channel, at these quantiles.
const CHANNELS: [(f32, f32); 6] = [(0.0, 0.55), (0.1, 0.7), (0.5, 1.0), (0.9, 2.4), (0.99, 4.2), (1.0, 6.0)];
/// In so many channels there is one of each of these magnitudes, which has the same sign at all tokens if it is greater than 20.
const CHANNELS_OF_OUTLIERS: usize = 576;
const OUTLIERS: [f32; 3] = [38.6, 25.9, 11.8];
/// How many times as large outliers are at the first token.
const FIRST_TOKEN: f32 = 200.0;
/// The deviation of a channel's mean over that of the channel, and of the logarithm of a token's magnitude.
const MEAN_OF_CHANNEL: f32 = 0.4;
const DEVIATION_OF_TOKEN: f32 = 0.15;
/// What heads write into a channel, to the power of the channel's magnitude, but twice the median into outliers.
const WRITTEN: f32 = -0.45;
const WRITTEN_TO_OUTLIER: f32 = 2.0;
const DEVIATION_OF_WRITTEN: f32 = 0.25;

/// Of sparse results: what contributions are greater than, and the room for each query, which is always enough.
const ABOVE: f64 = 0.01;
const ROOM: usize = 99;

/// Copies of inputs take at least so many bytes, which is more than caches hold.
const BYTES_OF_COPIES: usize = 128 << 20;

/// The inputs of one layer's attention, and room for what comes out.
#[derive(Clone, Debug)]
pub struct Activations {
    pub(crate) model: Model,
    pub(crate) pos: usize,
    pub(crate) key_pos: usize,
    /// `[pos, d_model]`
    pub(crate) resid_pre: Vec<f32>,
    pub(crate) resid_mid: Vec<f32>,
    /// `[head, pos, key_pos]`, causal.
    pub(crate) pattern: Vec<f32>,
    /// `[pos, head, d_head]`
    queries: Vec<f32>,
    /// `[key_pos, kv_head, d_head]`
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
    /// `[head, d_head, d_model]`
    pub(crate) w_o: Vec<f32>,
    results: Results,
}

/// Room for results.
#[derive(Clone, Debug)]
struct Results {
    /// `[pos, key_pos, head]`
    all: Vec<f32>,
    /// `[pos, ROOM]`
    sparse: Vec<f32>,
    indices: Vec<i32>,
    /// `[pos]`
    counts: Vec<i32>,
    left_out: Vec<f32>,
    resid: Vec<f32>,
}

impl Results {
    fn new(model: Model, pos: usize, key_pos: usize) -> Self {
        Results {
            all: vec![0.0; pos * key_pos * model.heads],
            sparse: vec![0.0; pos * ROOM],
            indices: vec![0; pos * ROOM],
            counts: vec![0; pos],
            left_out: vec![0.0; pos],
            resid: vec![0.0; pos],
        }
    }
}

/// What a layer was recorded as. Shapes are those of [`Activations`]; queries are `[pos, head, d_head]`.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The residual stream before attention.
    pub resid_pre: Vec<f32>,
    /// The residual stream after attention.
    pub resid_mid: Vec<f32>,
    /// Queries.
    pub queries: Vec<f32>,
    /// Keys.
    pub keys: Vec<f32>,
    /// Values.
    pub values: Vec<f32>,
    /// The matrices by which heads write values into the stream.
    pub w_o: Vec<f32>,
}

/// In which form a call is given how much queries attend to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// As the pattern.
    Pattern,
    /// As the queries and keys that it is made of.
    QueriesAndKeys,
}

/// Which contributions a call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// Those above 0.01, with a room of 99 for each query.
    Sparse,
}

impl Given {
    /// How many times `d_head` multiplications a call does at least for each query, key and head.
    #[must_use]
    pub fn products(self) -> u64 {
        match self {
            Given::Pattern => 1,
            Given::QueriesAndKeys => 2,
        }
    }
}

impl Activations {
    /// The last `pos` of `key_pos` tokens as queries. The same each time.
    ///
    /// # Panics
    /// If heads have too few dimensions for what distinguishes keys.
    #[must_use]
    pub fn new(model: Model, pos: usize, key_pos: usize) -> Self {
        let keys = keys(model, key_pos);
        let mut queries = queries(model, pos, key_pos);
        let mut scores = scores(model, pos, key_pos, &queries, &keys);
        attend_to_sink(model, key_pos, &mut queries, &mut scores);
        let channels = channels(model.d_model);
        let mut made = Activations {
            model,
            pos,
            key_pos,
            resid_pre: stream(&channels, pos, key_pos),
            resid_mid: Vec::new(),
            pattern: softmax(scores, pos, key_pos),
            queries,
            keys,
            values: values(model, key_pos),
            w_o: w_o(model, &channels),
            results: Results::new(model, pos, key_pos),
        };
        let added = made.added();
        // The first token has a stream of another size.
        let others = if pos == key_pos { model.d_model.min(added.len() - 1) } else { 0 };
        let ratio = STREAM_TO_ADDED * (model.heads as f32 / HEADS_THAT_ADD).sqrt();
        let factor = ratio * root_mean_square(&added[others..]) / root_mean_square(&made.resid_pre[others..]);
        scale(&mut made.resid_pre, factor);
        made.resid_mid = made.resid_pre.iter().zip(&added).map(|(before, added)| before + added).collect();
        made
    }

    /// Those of a prompt that was recorded.
    #[must_use]
    pub fn recorded(model: Model, tokens: usize, recording: Recording) -> Self {
        let Recording { resid_pre, resid_mid, queries, keys, values, w_o } = recording;
        Activations {
            model,
            pos: tokens,
            key_pos: tokens,
            resid_pre,
            resid_mid,
            pattern: softmax(scores(model, tokens, tokens, &queries, &keys), tokens, tokens),
            queries,
            keys,
            values,
            w_o,
            results: Results::new(model, tokens, tokens),
        }
    }

    /// What attention adds to the stream, `[pos, d_model]`.
    pub(crate) fn added(&self) -> Vec<f32> {
        let Model { heads, kv_heads, d_head, d_model, .. } = self.model;
        let (pos, key_pos) = (self.pos, self.key_pos);
        let mut moved = vec![0.0; pos * heads * d_head];
        for head in 0..heads {
            let pattern = Matrix::new(&self.pattern[head * pos * key_pos..], pos, key_pos, key_pos);
            let values = &self.values[head / (heads / kv_heads) * d_head..];
            let values = Matrix::new(values, key_pos, d_head, kv_heads * d_head);
            multiply(pattern, values, &mut moved[head * d_head..], heads * d_head);
        }
        let moved = Matrix::new(&moved, pos, heads * d_head, heads * d_head);
        let mut added = vec![0.0; pos * d_model];
        multiply(moved, Matrix::new(&self.w_o, heads * d_head, d_model, d_model), &mut added, d_model);
        added
    }

    /// Multiplications that a call does at least: each whole through all matrices once, and for each query, key and head what
    /// is [`Given`].
    #[must_use]
    pub fn least_multiplications(&self, given: Given) -> u64 {
        let Model { heads, d_head, d_model, .. } = self.model;
        let pairs = (0..self.pos).map(|query| self.key_pos - self.pos + query + 1).sum::<usize>();
        let of_pairs = given.products() * (pairs * heads * d_head) as u64;
        (self.pos * d_model * heads * d_head) as u64 + of_pairs
    }

    /// What a call for one query reads at least: keys, values and matrices.
    #[must_use]
    pub fn read_once(&self) -> [&[f32]; 3] {
        [&self.keys, &self.values, &self.w_o]
    }

    /// The matrices `w_o`, prepared. They are those of this very copy: a clone needs its own.
    ///
    /// # Panics
    /// If there is no memory for them.
    #[must_use]
    pub fn prepare(&self, options: &Options<'_>) -> PreparedProjection {
        let Model { heads, d_head, d_model, .. } = self.model;
        let w_o = Tensor::new(&self.w_o, &[heads, d_head, d_model]).unwrap();
        PreparedProjection::new(&w_o, options).unwrap()
    }

    /// Makes the call.
    ///
    /// # Panics
    /// If contrib returns an error.
    pub fn run(&mut self, given: Given, wanted: Wanted, prepared: Option<&PreparedProjection>, options: &Options<'_>) {
        let Model { heads, kv_heads, d_head, d_model, .. } = self.model;
        let (pos, key_pos) = (self.pos, self.key_pos);
        let queries_and_keys = QueriesAndKeys::causal(
            Tensor::new(&self.queries, &[1, pos, heads, d_head]).unwrap(),
            Tensor::new(&self.keys, &[1, key_pos, kv_heads, d_head]).unwrap(),
        );
        let pattern = match given {
            Given::Pattern => Tensor::new(&self.pattern, &[1, heads, pos, key_pos]).unwrap().into(),
            Given::QueriesAndKeys => Coefficients::Softmax(&queries_and_keys),
        };
        let inputs = FactoredAttention {
            resid_pre: Tensor::new(&self.resid_pre, &[1, pos, d_model]).unwrap(),
            resid_mid: Tensor::new(&self.resid_mid, &[1, pos, d_model]).unwrap(),
            pattern,
            heads: Heads::Values {
                values: Tensor::new(&self.values, &[1, key_pos, kv_heads, d_head]).unwrap(),
                w_o: Tensor::new(&self.w_o, &[heads, d_head, d_model]).unwrap(),
                prepared,
            },
            scale: None,
            leave_out_masked: false,
        };
        let Results { all, sparse, indices, counts, left_out, resid } = &mut self.results;
        let attn = match wanted {
            Wanted::All => Out::Each(TensorMut::new(all, &[1, pos, key_pos, heads]).unwrap()),
            Wanted::Sparse => Out::Sparse(Sparse {
                above: ABOVE,
                contributions: TensorMut::new(sparse, &[1, pos, ROOM]).unwrap(),
                indices: IndicesMut::new(indices, &[1, pos, ROOM]).unwrap(),
                counts: IndicesMut::new(counts, &[1, pos]).unwrap(),
                left_out: TensorMut::new(left_out, &[1, pos]).unwrap(),
                summed_axes: 0,
            }),
        };
        let results = AttentionResults { attn, resid: TensorMut::new(resid, &[1, pos]).unwrap(), one_offs: &mut [] };
        attention_factored(&inputs, results, options).unwrap();
    }
}

/// Copies of activations that take turns. Together they do not fit into caches: each is read from memory, as what one layer
/// of a model needs is after the other layers were calculated.
#[derive(Debug)]
pub struct Copies {
    /// Each with its own prepared matrices.
    copies: Vec<(Activations, PreparedProjection)>,
    next: usize,
}

impl Copies {
    /// As many as take 128 MB, of keys, values, matrices, pattern and queries. Results, and prepared matrices, which are read
    /// instead of others, are not counted.
    ///
    /// # Panics
    /// If there is no memory for them.
    #[must_use]
    pub fn new(activations: &Activations, options: &Options<'_>) -> Self {
        let Activations { keys, values, w_o, pattern, queries, .. } = activations;
        let bytes = [keys, values, w_o, pattern, queries].map(|elements| size_of_val(&elements[..])).iter().sum();
        let copy = || {
            let copy = activations.clone();
            let prepared = copy.prepare(options);
            (copy, prepared)
        };
        Copies { copies: (0..BYTES_OF_COPIES.div_ceil(bytes)).map(|_| copy()).collect(), next: 0 }
    }

    /// The copy whose turn it is.
    pub fn turn(&mut self) -> &mut (Activations, PreparedProjection) {
        let turn = self.next;
        self.next = (turn + 1) % self.copies.len();
        &mut self.copies[turn]
    }
}

/// From the first to the last of `count`, evenly.
fn between([first, last]: [f32; 2], index: usize, count: usize) -> f32 {
    first + (last - first) * index as f32 / (count - 1).max(1) as f32
}

/// What has this share of a mean, and the rest of its own.
fn mixed(share: f32, mean: f32, own: f32) -> f32 {
    share.sqrt() * mean + (1.0 - share).sqrt() * own
}

/// Cosines and sines of a position, from those that tell near keys from nearer ones to those that tell far keys from near.
fn angles(position: usize) -> impl Iterator<Item = f32> {
    (0..FREQUENCIES).flat_map(move |index| {
        let wavelength = FARTHEST.powf(index as f32 / (FREQUENCIES - 1) as f32);
        let (sine, cosine) = (position as f32 / wavelength).sin_cos();
        [cosine, sine]
    })
}

/// `[key_pos, kv_head, d_head]`
fn keys(model: Model, key_pos: usize) -> Vec<f32> {
    let Model { kv_heads, d_head, .. } = model;
    let mut keys = normal(key_pos * kv_heads * d_head, 11);
    for (row, key) in keys.chunks_mut(d_head).enumerate() {
        let position = row / kv_heads;
        if position == 0 {
            key.fill(0.0);
            key[SINK] = 1.0;
            continue;
        }
        key[SINK] = 0.0;
        key[SINK + 1..CONTENT].iter_mut().zip(angles(position)).for_each(|(x, angle)| *x = angle);
    }
    keys
}

/// `[pos, head, d_head]`, without what they attend to the first token.
fn queries(model: Model, pos: usize, key_pos: usize) -> Vec<f32> {
    let Model { heads, d_head, .. } = model;
    let len = d_head - CONTENT;
    let means = normal(heads * len, 12);
    let mut queries = normal(pos * heads * d_head, 13);
    for (row, query) in queries.chunks_mut(d_head).enumerate() {
        let (position, head) = (key_pos - pos + row / heads, row % heads);
        let amplitude = between(NEARNESS, head, heads) / FREQUENCIES as f32 / scale_of_scores(d_head);
        // The order of heads by their deviation is the reverse of that by nearness.
        let deviation = between(DEVIATION, heads - 1 - head, heads) / (len as f32).sqrt() / scale_of_scores(d_head);
        query[SINK] = 0.0;
        query[SINK + 1..CONTENT].iter_mut().zip(angles(position)).for_each(|(x, angle)| *x = amplitude * angle);
        for (x, mean) in query[CONTENT..].iter_mut().zip(&means[head * len..]) {
            *x = deviation * mixed(SHARE_OF_MEAN_QUERY, *mean, *x);
        }
    }
    queries
}

fn scale_of_scores(d_head: usize) -> f32 {
    1.0 / (d_head as f32).sqrt()
}

/// `[head, pos, key_pos]`
fn scores(model: Model, pos: usize, key_pos: usize, queries: &[f32], keys: &[f32]) -> Vec<f32> {
    let Model { heads, kv_heads, d_head, .. } = model;
    let mut scores = vec![0.0; heads * pos * key_pos];
    for (head, scores) in scores.chunks_mut(pos * key_pos).enumerate() {
        let queries = Matrix::new(&queries[head * d_head..], pos, d_head, heads * d_head);
        let keys = Matrix::new(&keys[head / (heads / kv_heads) * d_head..], key_pos, d_head, kv_heads * d_head);
        multiply(queries, keys.transposed(), scores, key_pos);
    }
    scale(&mut scores, scale_of_scores(d_head));
    scores
}

/// How many keys a query attends to, given the number of a row of scores.
fn attended(row: usize, pos: usize, key_pos: usize) -> usize {
    key_pos - pos + row % pos + 1
}

/// Makes each query attend to the first token as much as it should, which depends on what it attends to the others.
fn attend_to_sink(model: Model, key_pos: usize, queries: &mut [f32], scores: &mut [f32]) {
    let Model { heads, d_head, .. } = model;
    let pos = queries.len() / (heads * d_head);
    let mut random = Random::new(14);
    for (head, scores) in scores.chunks_mut(pos * key_pos).enumerate() {
        // In an order that has nothing to do with those of what else differs between heads.
        let mean = between(LOG_SINK, 5 * head % heads, heads);
        for (query, scores) in scores.chunks_mut(key_pos).enumerate() {
            let others = scores[1..attended(query, pos, key_pos)].iter().map(|score| score.exp()).sum::<f32>();
            // The first token has no others.
            let score = others.max(f32::MIN_POSITIVE).ln() + mean + DEVIATION_OF_SINK * random.normal() as f32;
            scores[0] = score;
            queries[(query * heads + head) * d_head + SINK] = score / scale_of_scores(d_head);
        }
    }
}

/// The causal softmax of scores.
fn softmax(mut scores: Vec<f32>, pos: usize, key_pos: usize) -> Vec<f32> {
    for (row, scores) in scores.chunks_mut(key_pos).enumerate() {
        let (scores, masked) = scores.split_at_mut(attended(row, pos, key_pos));
        masked.fill(0.0);
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in &mut *scores {
            *score = (*score - largest).exp();
        }
        let sum: f32 = scores.iter().sum();
        scale(scores, 1.0 / sum);
    }
    scores
}

/// `[key_pos, kv_head, d_head]`
fn values(model: Model, key_pos: usize) -> Vec<f32> {
    let Model { kv_heads, d_head, .. } = model;
    let means = normal(kv_heads * d_head, 15);
    let mut values = normal(key_pos * kv_heads * d_head, 16);
    let mut random = Random::new(17);
    for (row, value) in values.chunks_mut(d_head).enumerate() {
        let (position, kv_head) = (row / kv_heads, row % kv_heads);
        let norm = if position == 0 { VALUE_OF_SINK } else { (DEVIATION_OF_VALUE * random.normal() as f32).exp() };
        for (x, mean) in value.iter_mut().zip(&means[kv_head * d_head..]) {
            *x = norm * mixed(SHARE_OF_MEAN_VALUE, *mean, *x);
        }
    }
    values
}

/// A channel of the stream.
struct Channel {
    /// The mean of its elements' magnitudes.
    magnitude: f32,
    is_outlier: bool,
}

fn channels(d_model: usize) -> Vec<Channel> {
    let mut random = Random::new(18);
    let channel = |index: usize| {
        let quantile = random.unit() as f32;
        // Outliers are among the others.
        let outlier = (index % CHANNELS_OF_OUTLIERS)
            .checked_sub(100)
            .and_then(|index| OUTLIERS.get(index / 100).filter(|_| index.is_multiple_of(100)));
        let usual = CHANNELS.windows(2).find(|ends| quantile <= ends[1].0).map_or(1.0, |ends| {
            let (quantiles, magnitudes) = ([ends[0].0, ends[1].0], [ends[0].1, ends[1].1]);
            let place = (quantile - quantiles[0]) / (quantiles[1] - quantiles[0]);
            magnitudes[0] * (magnitudes[1] / magnitudes[0]).powf(place)
        });
        Channel { magnitude: outlier.copied().unwrap_or(usual), is_outlier: outlier.is_some() }
    };
    (0..d_model).map(channel).collect()
}

/// `[pos, d_model]`, of any size.
fn stream(channels: &[Channel], pos: usize, key_pos: usize) -> Vec<f32> {
    let mut random = Random::new(19);
    let mut means = normal(channels.len(), 20);
    for (mean, channel) in means.iter_mut().zip(channels) {
        // Ten times a deviation is always of the same sign.
        *mean = if channel.magnitude > 20.0 { 10.0_f32.copysign(*mean) } else { MEAN_OF_CHANNEL * *mean };
    }
    let mut stream = normal(pos * channels.len(), 21);
    for (row, stream) in stream.chunks_mut(channels.len()).enumerate() {
        let token = (DEVIATION_OF_TOKEN * random.normal() as f32).exp();
        let is_first = row == 0 && pos == key_pos;
        for ((x, mean), channel) in stream.iter_mut().zip(&means).zip(channels) {
            let size = if is_first && channel.is_outlier { FIRST_TOKEN } else { 1.0 };
            *x = size * token * channel.magnitude * (mean + *x) / (1.0 + mean * mean).sqrt();
        }
    }
    stream
}

/// `[head, d_head, d_model]`
fn w_o(model: Model, channels: &[Channel]) -> Vec<f32> {
    let mut random = Random::new(22);
    let written = |channel: &Channel| {
        let usual = channel.magnitude.powf(WRITTEN) * (DEVIATION_OF_WRITTEN * random.normal() as f32).exp();
        if channel.is_outlier { WRITTEN_TO_OUTLIER } else { usual }
    };
    let written: Vec<f32> = channels.iter().map(written).collect();
    let mut w_o = normal(model.heads * model.d_head * model.d_model, 23);
    scale(&mut w_o, 1.0 / (model.d_model as f32).sqrt());
    for row in w_o.chunks_mut(model.d_model) {
        row.iter_mut().zip(&written).for_each(|(x, written)| *x *= written);
    }
    w_o
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factored::SMOLLM2;

    #[test]
    fn sparse_results_are_those_of_all_that_are_above() {
        let mut activations = Activations::new(SMOLLM2, 64, 64);
        for wanted in [Wanted::All, Wanted::Sparse] {
            activations.run(Given::QueriesAndKeys, wanted, None, &Options::default());
        }
        let Results { all, sparse, indices, counts, .. } = &activations.results;
        for (query, of_query) in all.chunks(64 * SMOLLM2.heads).enumerate() {
            let above = of_query.iter().zip(0..).filter(|&(&x, _)| f64::from(x) > ABOVE);
            let found = sparse[query * ROOM..].iter().zip(indices[query * ROOM..].iter().copied());
            assert!(above.eq(found.take(counts[query] as usize)));
        }
        assert!(counts.iter().any(|&count| count > 0));
    }

    #[test]
    fn copies_are_as_many_as_take_128_megabytes_and_take_turns() {
        let mut activations = Activations::new(SMOLLM2, 1, 4096);
        let options = Options::default();
        activations.run(Given::QueriesAndKeys, Wanted::All, None, &options);
        let mut copies = Copies::new(&activations, &options);
        // Keys and values are 6.3 MB, matrices 1.3 MB.
        assert_eq!(copies.copies.len(), 18);
        for _ in 0..=copies.copies.len() {
            let (copy, prepared) = copies.turn();
            copy.results.all.fill(0.0);
            copy.run(Given::QueriesAndKeys, Wanted::All, Some(prepared), &options);
            assert_eq!(copy.results.all, activations.results.all);
        }
    }
}
