//! What is found of a whole: its parts that contribute more than the threshold.

use crate::allocate::push;
use crate::error::Error;
use crate::options::{HeadEdges, Options};

/// Instead of the number of a head, where an edge is not that of one.
pub(crate) const NO_HEAD: u32 = u32::MAX;

/// What a part of a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The stream before: the only part that every whole has.
    Residual,
    Attention,
    Mlp,
    MlpBias,
    AttentionBias,
}

/// A part that contributes more than the threshold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The position of the whole.
    pub(crate) to: u32,
    /// The position of the part.
    pub(crate) from: u32,
    pub(crate) part: Part,
    /// The head, or [`NO_HEAD`].
    pub(crate) head: u32,
    pub(crate) weight: f64,
}

/// What a key contributes through a head, or through all.
pub(crate) struct OfHead {
    pub(crate) key: u32,
    pub(crate) head: u32,
    pub(crate) contribution: f64,
}

/// Adds what is above the threshold of the contributions to the whole at this position.
pub(crate) fn select(
    position: u32,
    dense: impl Iterator<Item = (Part, f64)> + Clone,
    of_heads: &mut Vec<OfHead>,
    options: &Options<'_>,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    // By what contributions are divided, and what they have to be greater than to count at all.
    let (mut left, mut least) = (1.0, f64::NEG_INFINITY);
    if let Some(threshold) = options.renormalise {
        least = threshold;
        of_heads.retain(|of_head| of_head.contribution > least);
        let kept = dense.clone().map(|(_, contribution)| contribution).filter(|&contribution| contribution > least);
        left = of_heads.iter().map(|of_head| of_head.contribution).chain(kept).sum();
    }
    let weight = |contribution: f64| if contribution > least { contribution / left } else { 0.0 };
    let mut of_own_position = 0.0;
    let mut add = |from: u32, part: Part, head: u32, weight: f64| {
        if weight > options.threshold {
            push(found, Found { to: position, from, part, head, weight })?;
        }
        Ok::<(), Error>(())
    };
    match options.heads {
        HeadEdges::Each => {
            for of_head in of_heads.iter() {
                add(of_head.key, Part::Attention, of_head.head, weight(of_head.contribution))?;
            }
        }
        HeadEdges::Summed => {
            for of_key in of_heads.chunk_by(|one, other| one.key == other.key) {
                let sum = of_key.iter().map(|of_head| weight(of_head.contribution)).sum();
                if of_key[0].key == position {
                    of_own_position = sum;
                } else {
                    add(of_key[0].key, Part::Attention, NO_HEAD, sum)?;
                }
            }
        }
    }
    for (part, contribution) in dense {
        let of_attention = if part == Part::Residual { of_own_position } else { 0.0 };
        add(position, part, NO_HEAD, weight(contribution) + of_attention)?;
    }
    Ok(())
}
