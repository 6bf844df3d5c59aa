//! Coefficients of attention as every engine has them: the queries and keys that a pattern is made of.

use crate::indices::Indices;
use crate::tensor::Tensor;

/// What the pattern of attention is made of, where nobody has it in memory.
///
/// For a query `q` and a key `k` of one head, and their positions:
///
/// ```text
/// score   = score_scale * <queries[q], keys[k]>
/// score   = soft_cap * tanh(score / soft_cap)              where a soft cap is given
/// score  += slope * (key_position - query_position)        where slopes are given (ALiBi)
/// score  += mask[q, k]                                     where a mask is given; -inf: not allowed
/// allowed: key_position <= query_position                  where causal
///          key_position > query_position - window          where a window is given
///          key_position >= 0                               a negative one is an empty cell of a cache
/// pattern = exp(score - m) / (sum over allowed keys of exp(score - m) + exp(sink - m))      m: the largest score, or sink
/// ```
///
/// What is not allowed has the pattern 0. A query with nothing allowed has the pattern 0 everywhere. The pattern exists a block
/// at a time.
///
/// Shapes, in attention and in a group whose part axes are `p..`, the last of which has the `k` keys of a query:
///
/// | tensor | [`attention_factored`](crate::attention_factored) | [`group_contributions`](crate::group_contributions) |
/// |---|---|---|
/// | `queries` | `[batch, pos, head, d]` | `[p.., v.., d]`, of which the last of `p..` is 1 |
/// | `keys` | `[batch, key_pos, kv_head, d]` | `[p.., v.., d]` |
/// | `slopes`, `sinks` | `[head]` | `p..` but for the last |
/// | `mask` | `[batch, head, pos, key_pos]` | `[p.., v..]` |
/// | `query_positions` | `[batch, pos]` | `v..` |
/// | `key_positions` | `[batch, key_pos]` | `[k, v..]` |
///
/// Any extent of the axes `p..` and `v..`, and of `mask` and positions, may be 1 where it is the same for all. `d` need not be
/// the length of a value.
#[derive(Clone, Copy, Debug)]
pub struct QueriesAndKeys<'a> {
    /// Queries as they are multiplied: after position encoding and any normalisation.
    pub queries: Tensor<'a>,
    /// Keys as they are multiplied.
    pub keys: Tensor<'a>,
    /// By what the inner product is multiplied. `None`: `1 / sqrt(d)`.
    pub score_scale: Option<f64>,
    /// What no score exceeds in magnitude, greater than 0.
    pub soft_cap: Option<f64>,
    /// What a score gains for each position that its key is after its query (`ALiBi`).
    pub slopes: Option<Tensor<'a>>,
    /// Scores of a key of which nothing is added to the stream.
    pub sinks: Option<Tensor<'a>>,
    /// What is added to each score.
    pub mask: Option<Tensor<'a>>,
    /// Whether a query sees no key after it.
    pub causal: bool,
    /// How many positions, its own included, a query sees at most before it.
    pub window: Option<usize>,
    /// The position of the first query, which the others follow one by one. `None`: the queries are at the positions of the
    /// last keys.
    pub first_query: Option<i64>,
    /// The position of each query, instead.
    pub query_positions: Option<Indices<'a>>,
    /// The position of each key. `None`: 0, 1, 2 and so on.
    pub key_positions: Option<Indices<'a>>,
}

impl<'a> QueriesAndKeys<'a> {
    /// Queries that see all keys, with nothing else given.
    #[must_use]
    pub const fn new(queries: Tensor<'a>, keys: Tensor<'a>) -> Self {
        QueriesAndKeys {
            queries,
            keys,
            score_scale: None,
            soft_cap: None,
            slopes: None,
            sinks: None,
            mask: None,
            causal: false,
            window: None,
            first_query: None,
            query_positions: None,
            key_positions: None,
        }
    }

    /// Queries that see no key after them, with nothing else given.
    #[must_use]
    pub const fn causal(queries: Tensor<'a>, keys: Tensor<'a>) -> Self {
        QueriesAndKeys { causal: true, ..Self::new(queries, keys) }
    }
}
