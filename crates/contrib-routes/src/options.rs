//! What a caller can choose.

use crate::allocate::with_capacity;
use crate::error::Error;
use contrib_core::{Context, Norm};

/// Choices of what routes are. The default follows edges above 0.04 in the 1-norm, each head's own, without renormalising, and
/// leaves out masked keys.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What the weight of an edge has to be greater than: 0 or more, and finite.
    pub threshold: f64,
    /// Whether contributions are renormalised first: those that are greater than this number are divided by what is left of
    /// their whole, head by head, and the others become 0. A whole of which nothing is left has no edges: routes end there.
    pub renormalise: Option<f64>,
    /// Whether an edge is what one head or what all heads bring.
    pub heads: HeadEdges,
    /// What becomes of keys that a query may not see.
    pub masked_keys: MaskedKeys,
    /// Which positions are computed.
    pub extent: Extent,
    /// The norm of the contributions.
    pub norm: Norm,
    /// The threads; `None` is the core's shared ones, one for each core.
    pub context: Option<&'a Context>,
    /// The most positions of a layer that are computed in one call of the core. `None`: as many as need little memory. No
    /// result depends on it.
    pub block: Option<usize>,
}

/// What attention's edges are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HeadEdges {
    /// One edge for each head.
    #[default]
    Each,
    /// One edge for all heads together, whose weight is their sum. What they bring from their own position is added to the
    /// residual edge, as in the reference's graph.
    Summed,
}

/// What becomes of keys that a query may not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaskedKeys {
    /// They are left out, so that routes to a token do not depend on those after it.
    #[default]
    LeftOut,
    /// They count as zero vectors, each with the least proximity or more, as in the reference.
    Counted,
}

/// Which positions are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Those that routes to the targets reach: the result is the routes.
    #[default]
    Reached,
    /// All, in every layer: the result is all edges above the threshold. Flow is that of the targets, and 0 where it does not
    /// reach.
    All,
}

/// The positions whose last `resid_post` routes lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets<'a> {
    /// These, in any order; one that comes twice counts once.
    At(&'a [usize]),
    /// All positions.
    All,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            threshold: 0.04,
            renormalise: None,
            heads: HeadEdges::Each,
            masked_keys: MaskedKeys::LeftOut,
            extent: Extent::Reached,
            norm: Norm::ONE,
            context: None,
            block: None,
        }
    }
}

impl Options<'_> {
    /// An error where a number cannot be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let check = |name, number: f64| {
            if number >= 0.0 && number.is_finite() {
                return Ok(());
            }
            Err(Error::Choice { name, expected: "a finite number, 0 or more", got: number })
        };
        check("threshold", self.threshold)?;
        check("renormalise", self.renormalise.unwrap_or_default())?;
        if self.block == Some(0) {
            return Err(Error::Choice { name: "block", expected: "1 or more", got: 0.0 });
        }
        Ok(())
    }

    /// The same for the core.
    pub(crate) fn core(&self) -> contrib_core::Options<'_> {
        let options = contrib_core::Options::default().norm(self.norm);
        match self.context {
            Some(context) => options.context(context),
            None => options,
        }
    }
}

impl Targets<'_> {
    /// The positions, in order and without repetition.
    pub(crate) fn positions(self, n_pos: usize) -> Result<Vec<u32>, Error> {
        let mut positions = with_capacity(if let Targets::At(targets) = self { targets.len() } else { n_pos })?;
        match self {
            Targets::All => positions.extend(0..n_pos as u32),
            Targets::At(targets) => {
                if let Some(&got) = targets.iter().find(|&&target| target >= n_pos) {
                    return Err(Error::Target { got, positions: n_pos });
                }
                positions.extend(targets.iter().map(|&target| target as u32));
                positions.sort_unstable();
                positions.dedup();
            }
        }
        Ok(positions)
    }
}
