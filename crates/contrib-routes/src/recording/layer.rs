//! The tensors of one layer.

use contrib_core::{PreparedProjection, Tensor};

/// The tensors of one layer, each of any element type and with any strides. `pos` and `key_pos` are all positions of the prompt.
///
/// Wholes are the sums of their parts, within the rounding of the types: `resid_pre`, all that heads move, and the bias of
/// attention are `resid_mid`; that, `mlp_out` and the bias of the MLP are `resid_post`.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[pos, d_model]`: the residual stream before the layer.
    pub resid_pre: Tensor<'a>,
    /// `[pos, d_model]`: the residual stream after attention. `None` where attention and MLP run in parallel: the MLP then reads
    /// `resid_pre`, and all are parts of `resid_post`.
    pub resid_mid: Option<Tensor<'a>>,
    /// `[pos, d_model]`: the residual stream after the layer.
    pub resid_post: Tensor<'a>,
    /// What attention adds.
    pub attention: Attention<'a>,
    /// `[pos, d_model]`: what the MLP adds, as it is added, without `mlp_bias` where that is a part of its own.
    pub mlp_out: Tensor<'a>,
    /// `[d_model]` or `[pos, d_model]`: a further part that the MLP adds, as it is added.
    pub mlp_bias: Option<Tensor<'a>>,
}

/// What the attention of a layer adds to the stream.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// How much queries attend to keys.
    pub attends: Attends<'a>,
    /// What heads move from a key to the queries that attend to it.
    pub moves: Moves<'a>,
    /// `[pos or 1, d_model or 1]`: by what each channel of what heads add is multiplied, as where a model normalises the
    /// output of attention before it adds it: its weight times 1/rms.
    pub scale: Option<Tensor<'a>>,
    /// `[d_model]` or `[pos, d_model]`: a further part, such as the output bias, as it is added.
    pub bias: Option<Tensor<'a>>,
}

/// How much queries attend to keys.
#[derive(Clone, Copy, Debug)]
pub enum Attends<'a> {
    /// The pattern, `[head, pos, key_pos]`. Where it is 0, the key is masked.
    Pattern(Tensor<'a>),
    /// What the pattern is made of.
    Scores(Scores<'a>),
}

/// What a pattern is made of. [`contrib_core::QueriesAndKeys`] has the formula.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// `[pos, head, d]`: queries as they are multiplied, after position encoding and any normalisation.
    pub queries: Tensor<'a>,
    /// `[key_pos, kv_head, d]`: keys as they are multiplied.
    pub keys: Tensor<'a>,
    /// By what an inner product is multiplied. `None`: `1 / sqrt(d)`.
    pub scale: Option<f64>,
    /// What no score exceeds in magnitude.
    pub soft_cap: Option<f64>,
    /// How many positions, its own included, a query sees at most before it.
    pub window: Option<usize>,
    /// Whether a query sees no key after it.
    pub causal: bool,
    /// `[head]`: what a score gains for each position that its key is after its query.
    pub slopes: Option<Tensor<'a>>,
    /// `[head]`: scores of a key of which nothing is added to the stream.
    pub sinks: Option<Tensor<'a>>,
}

/// What heads move from a key to the queries that attend to it.
#[derive(Clone, Copy, Debug)]
pub enum Moves<'a> {
    /// Values, and the matrix by which each head writes them into the stream.
    Values {
        /// `[key_pos, kv_head, d_head]`.
        values: Tensor<'a>,
        /// `[head, d_head, d_model]`.
        w_o: Tensor<'a>,
        /// What was prepared of this very `w_o`. It makes calls that compute few positions faster, and changes no result.
        prepared: Option<&'a PreparedProjection>,
    },
    /// The products of both: `[key_pos, head, d_model]`.
    ValueOutput(Tensor<'a>),
}

impl Attends<'_> {
    /// Whether no query sees a key after it, as far as it is known. Where a pattern is given it may have anything there.
    pub(crate) fn is_causal(&self) -> bool {
        match self {
            Attends::Pattern(_) => true,
            Attends::Scores(scores) => scores.causal,
        }
    }
}

impl<'a> Scores<'a> {
    /// Causal attention with nothing else given.
    #[must_use]
    pub const fn causal(queries: Tensor<'a>, keys: Tensor<'a>) -> Self {
        Scores { queries, keys, scale: None, soft_cap: None, window: None, causal: true, slopes: None, sinks: None }
    }
}

impl<'a> Layer<'a> {
    /// The tensors that there are, with their names.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, Tensor<'a>)> {
        let mut all = [None; 16];
        all[0] = Some(("resid_pre", self.resid_pre));
        all[1] = self.resid_mid.map(|tensor| ("resid_mid", tensor));
        all[2] = Some(("resid_post", self.resid_post));
        all[3] = Some(("mlp_out", self.mlp_out));
        all[4] = self.mlp_bias.map(|tensor| ("mlp_bias", tensor));
        all[5] = self.attention.bias.map(|tensor| ("attn_bias", tensor));
        all[6] = self.attention.scale.map(|tensor| ("attn_scale", tensor));
        match self.attention.moves {
            Moves::Values { values, w_o, .. } => {
                all[7] = Some(("values", values));
                all[8] = Some(("w_o", w_o));
            }
            Moves::ValueOutput(value_output) => all[7] = Some(("value_output", value_output)),
        }
        match self.attention.attends {
            Attends::Pattern(pattern) => all[9] = Some(("pattern", pattern)),
            Attends::Scores(Scores { queries, keys, slopes, sinks, .. }) => {
                all[9] = Some(("queries", queries));
                all[10] = Some(("keys", keys));
                all[11] = slopes.map(|tensor| ("slopes", tensor));
                all[12] = sinks.map(|tensor| ("sinks", tensor));
            }
        }
        all.into_iter().flatten()
    }
}
