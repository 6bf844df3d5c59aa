//! The norm by which distances are measured.

use crate::error::{Argument, Cause, Error};

/// A p-norm with a real p >= 1, or the maximum norm. The default is the 1-norm, as in "Information Flow Routes"
/// (arXiv 2403.00824).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Norm(f64);

impl Norm {
    /// Sum of magnitudes.
    pub const ONE: Norm = Norm(1.0);
    /// Euclidean.
    pub const TWO: Norm = Norm(2.0);
    /// Largest magnitude.
    pub const INFINITY: Norm = Norm(f64::INFINITY);

    /// The p-norm; infinity is the maximum norm.
    ///
    /// # Errors
    /// [`Cause::InvalidNorm`] where `p` is NaN or less than 1.
    pub fn new(p: f64) -> Result<Self, Error> {
        if p >= 1.0 { Ok(Norm(p)) } else { Err(Error::new(Argument::named("norm"), Cause::InvalidNorm { got: p })) }
    }

    /// The exponent.
    #[must_use]
    pub const fn p(self) -> f64 {
        self.0
    }
}

/// Norms of which the norm of the whole minus the distance of a part follows without a difference of two large numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// The 1-norm: each element reduces the sum of magnitudes.
    Magnitudes,
    /// The 2-norm: each element reduces the sum of squares.
    Squares,
}

impl Norm {
    /// What the elements of a part reduce, where this norm has it.
    pub(crate) fn reduction(self) -> Option<Reduction> {
        match self {
            Norm::ONE => Some(Reduction::Magnitudes),
            Norm::TWO => Some(Reduction::Squares),
            _ => None,
        }
    }
}

impl Default for Norm {
    fn default() -> Self {
        Norm::ONE
    }
}
