//! Groups of parts of a whole, as a caller describes them.

use crate::indices::IndicesMut;
use crate::prepared_projection::PreparedProjection;
use crate::queries_and_keys::QueriesAndKeys;
use crate::tensor::{Tensor, TensorMut};

/// A group of parts of a whole, and the tensor for what they contribute.
#[derive(Debug)]
pub struct Group<'a> {
    /// The parts.
    pub parts: Parts<'a>,
    /// Their contributions; written.
    pub out: Out<'a>,
}

impl<'a> Group<'a> {
    /// Parts that are given as they are, `[p.., v.., d]`, with a result for each, `[p.., v..]`.
    #[must_use]
    pub const fn dense(parts: Tensor<'a>, out: TensorMut<'a>) -> Self {
        Group { parts: Parts::Dense(parts), out: Out::Each(out) }
    }
}

/// The parts of a group. `p..` are its part axes, of which there may be none, and `v..` the whole's batch axes.
#[derive(Clone, Copy, Debug)]
pub enum Parts<'a> {
    /// The vectors themselves: `[p.., v.., d]`.
    Dense(Tensor<'a>),
    /// A coefficient for each part and whole, times a direction.
    Factored(FactoredParts<'a>),
}

/// Parts that are a number times a vector: an attended token through a head, its pattern times its value in the stream; a
/// neuron, its activation times its output vector. The vectors `[p.., v.., d]` never exist in memory.
///
/// A part whose coefficient is 0 is the zero vector, whatever its direction. It costs nothing, but counts: its proximity is
/// that of the zero vector.
#[derive(Clone, Copy, Debug)]
pub struct FactoredParts<'a> {
    /// A number for each part and whole.
    pub coefficients: Coefficients<'a>,
    /// The directions.
    pub directions: Directions<'a>,
    /// `[v.., d]`, or nothing: by what each channel of the parts of a batch item is multiplied, as where a model normalises
    /// what a block adds. An extent may be 1 where it is the same for all. (With a scale, calculation is in `f64` and
    /// many times slower.)
    pub scale: Option<Tensor<'a>>,
    /// Whether parts whose coefficient is 0 (masked keys) are left out: they contribute 0, and are not counted in the sum
    /// by which the others are divided.
    pub leave_out_zeros: bool,
}

/// Coefficients of factored parts.
#[derive(Clone, Copy, Debug)]
pub enum Coefficients<'a> {
    /// The numbers themselves: `[p.., v..]`.
    Given(Tensor<'a>),
    /// The softmax of what queries and keys give, over the last of the axes `p..`.
    Softmax(QueriesAndKeys<'a>),
}

impl<'a> From<Tensor<'a>> for Coefficients<'a> {
    fn from(given: Tensor<'a>) -> Self {
        Coefficients::Given(given)
    }
}

/// Directions of factored parts. Any extent of the axes `p..` and `v..` may be 1, where all share the same: those of
/// attention are shared by all queries, those of neurons by all tokens.
#[derive(Clone, Copy, Debug)]
pub enum Directions<'a> {
    /// The directions themselves: `[p.., v.., d]`.
    Vectors(Tensor<'a>),
    /// Values times a matrix, as in the heads of attention: `values @ projection`.
    Projected {
        /// `[p.., v.., r]`.
        values: Tensor<'a>,
        /// `[p.., r, d]`.
        projection: Tensor<'a>,
        /// What was prepared of this very tensor, or nothing. It makes calls with few wholes faster, and changes no result.
        prepared: Option<&'a PreparedProjection>,
    },
}

/// What is written of the contributions of a group.
#[derive(Debug)]
pub enum Out<'a> {
    /// All: `[p.., v..]`.
    Each(TensorMut<'a>),
    /// Sums over one or more leading part axes, or all, which the tensor lacks: of parts `[p, q, v]`, for example, `[q, v]`
    /// or `[v]`. With all part axes it is as [`Out::Each`].
    Sums(TensorMut<'a>),
    /// The `k` largest of each batch item, the largest first, and of equal ones the first. The others count in the sum by
    /// which all are divided.
    TopK(TopK<'a>),
    /// Those that are greater than a number, and the sum of all others.
    Sparse(Sparse<'a>),
}

/// Where the `k` largest contributions of each batch item go.
#[derive(Debug)]
pub struct TopK<'a> {
    /// Their contributions, `[v.., k]`.
    pub contributions: TensorMut<'a>,
    /// Which parts they are, `[v.., k]`: row-major indices of the part axes that are left.
    pub indices: IndicesMut<'a>,
    /// Of how many leading part axes sums are taken first.
    pub summed_axes: usize,
}

/// Where the contributions of each batch item go that are greater than a number. Of a number `t` greater than 0 there are
/// fewer than `1 / t`, so that a room of `ceil(1 / t) - 1` is always enough.
///
/// Whatever is left out is in `left_out`: the contributions of a batch item, all groups together, still sum to 1. Where they are
/// NaN, none is in the results, and `left_out` is NaN. Contributions are compared before they are rounded to the type of the
/// results.
///
/// A threshold in the options comes first: contributions that are not greater are made 0, the others are divided by what is
/// left, and then they are compared with `above`.
#[derive(Debug)]
pub struct Sparse<'a> {
    /// What contributions must be greater than. Not NaN; below 0, all are.
    pub above: f64,
    /// The contributions, `[v.., room]`, in the order of their indices. Where more are greater than there is room for, the
    /// largest, and of equal ones the first. Where fewer are, zeros follow. The room may be 0, and more than there are parts.
    pub contributions: TensorMut<'a>,
    /// Which parts they are, `[v.., room]`: row-major indices of the part axes that are left, in order. -1 where there is none.
    pub indices: IndicesMut<'a>,
    /// How many contributions are greater, whether there is room for them or not: `v..`.
    pub counts: IndicesMut<'a>,
    /// The sum of all contributions of the group that are not in `contributions`, whether they are greater or not: `v..`.
    pub left_out: TensorMut<'a>,
    /// Of how many leading part axes sums are taken first.
    pub summed_axes: usize,
}
