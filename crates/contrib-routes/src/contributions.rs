//! The contributions of attention to the wholes of a block, as the core writes them.

use crate::allocate::{filled, push};
use crate::error::Error;
use crate::found::{NO_HEAD, OfHead};
use crate::options::{HeadEdges, Options};
use contrib_core::{IndicesMut, Out, Sparse, TensorMut};

/// Which contributions of attention the core has to write.
enum Selection {
    /// Each that is greater than a number.
    Above(f64),
    /// The sum over heads of each key.
    Sums,
}

impl Selection {
    fn new(options: &Options<'_>) -> Self {
        match (options.renormalise, options.heads) {
            // What is left is divided by less than 1, and may come to be above the other threshold.
            (Some(threshold), _) => Selection::Above(threshold),
            (None, HeadEdges::Each) => Selection::Above(options.threshold),
            // What is below the threshold may be added to the residual edge.
            (None, HeadEdges::Summed) => Selection::Sums,
        }
    }
}

/// How many of a whole's contributions can be greater than a number at most: their sum is 1, but for rounding.
fn room(above: f64, parts: usize) -> usize {
    if above > 0.0 { ((1.0 / above) as usize).saturating_add(2).min(parts) } else { parts }
}

/// The contributions of attention to the wholes of a block.
pub(crate) enum Contributions {
    /// `[position, key]`
    Sums { sums: Vec<f64>, keys: usize },
    /// `[position, room]`, with indices `key * heads + head`.
    Above {
        above: f64,
        room: usize,
        heads: usize,
        contributions: Vec<f64>,
        indices: Vec<i64>,
        counts: Vec<i64>,
        left_out: Vec<f64>,
    },
}

impl Contributions {
    /// Bytes of what is written for one whole.
    pub(crate) fn bytes_of_row(options: &Options<'_>, keys: usize, heads: usize) -> usize {
        match Selection::new(options) {
            Selection::Sums => keys.saturating_mul(size_of::<f64>()),
            Selection::Above(above) => room(above, keys.saturating_mul(heads)).saturating_mul(size_of::<(f64, i64)>()),
        }
    }

    /// Memory for those to `n` wholes.
    pub(crate) fn new(options: &Options<'_>, n: usize, keys: usize, heads: usize) -> Result<Self, Error> {
        Ok(match Selection::new(options) {
            Selection::Sums => Contributions::Sums { sums: filled(0.0, n.saturating_mul(keys))?, keys },
            Selection::Above(above) => {
                let room = room(above, keys.saturating_mul(heads));
                let slots = n.saturating_mul(room);
                Contributions::Above {
                    above,
                    room,
                    heads,
                    contributions: filled(0.0, slots)?,
                    indices: filled(0, slots)?,
                    counts: filled(0, n)?,
                    left_out: filled(0.0, n)?,
                }
            }
        })
    }

    /// Where the core writes them.
    pub(crate) fn out(&mut self, n: usize) -> Result<Out<'_>, Error> {
        Ok(match self {
            Contributions::Sums { sums, keys } => Out::Sums(TensorMut::new(sums, &[1, n, *keys])?),
            Contributions::Above { above, room, contributions, indices, counts, left_out, .. } => Out::Sparse(Sparse {
                above: *above,
                contributions: TensorMut::new(contributions, &[1, n, *room])?,
                indices: IndicesMut::new(indices, &[1, n, *room])?,
                counts: IndicesMut::new(counts, &[1, n])?,
                left_out: TensorMut::new(left_out, &[1, n])?,
                summed_axes: 0,
            }),
        })
    }

    /// Those to one whole, ordered by key and head, in place of what was in `of_heads`.
    pub(crate) fn of_row(&self, row: usize, of_heads: &mut Vec<OfHead>) -> Result<(), Error> {
        of_heads.clear();
        match self {
            Contributions::Sums { sums, keys } => {
                for (&contribution, key) in sums[row * keys..][..*keys].iter().zip(0..) {
                    push(of_heads, OfHead { key, head: NO_HEAD, contribution })?;
                }
            }
            Contributions::Above { room, heads, contributions, indices, counts, .. } => {
                let count = (counts[row] as usize).min(*room);
                let slots = row * room..row * room + count;
                for (&contribution, &index) in contributions[slots.clone()].iter().zip(&indices[slots]) {
                    let (key, head) = (index as usize / heads, index as usize % heads);
                    push(of_heads, OfHead { key: key as u32, head: head as u32, contribution })?;
                }
            }
        }
        Ok(())
    }
}
