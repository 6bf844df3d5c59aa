//! Groups of parts of a whole, as a caller describes them.

use crate::indices::IndicesMut;
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
    /// `[p.., v..]`.
    pub coefficients: Tensor<'a>,
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
    TopK {
        /// Their contributions, `[v.., k]`.
        contributions: TensorMut<'a>,
        /// Which parts they are, `[v.., k]`: row-major indices of the part axes.
        indices: IndicesMut<'a>,
    },
}
