//! What a caller can choose for a call.

use crate::context::Context;
use crate::error::{Cause, Error};
use crate::instruction_set::InstructionSet;
use crate::norm::Norm;

/// Choices that every operation takes. `Options::default()` is the 1-norm on all cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    pub(crate) norm: Norm,
    pub(crate) context: Option<&'a Context>,
    pub(crate) threshold: f64,
}

/// An error where a threshold is NaN.
pub(crate) fn check_threshold(threshold: f64) -> Result<(), Error> {
    if threshold.is_nan() { Err(Error::new("threshold".into(), Cause::InvalidThreshold)) } else { Ok(()) }
}

/// What a threshold leaves of a contribution. NaN stays, since it is not known to be below.
pub(crate) fn kept(contribution: f64, threshold: f64) -> f64 {
    if contribution <= threshold { 0.0 } else { contribution }
}

impl<'a> Options<'a> {
    /// The same with this norm.
    #[must_use]
    pub const fn norm(self, norm: Norm) -> Self {
        Options { norm, ..self }
    }

    /// The same on the threads of this context.
    #[must_use]
    pub const fn context<'b>(self, context: &'b Context) -> Options<'b>
    where
        'a: 'b,
    {
        Options { norm: self.norm, context: Some(context), threshold: self.threshold }
    }

    /// The same with contributions that are not greater than `threshold` made 0, and the others divided by what is left of
    /// their whole, so that they sum to 1 again: [`threshold_and_renormalise`](crate::threshold_and_renormalise) in the same
    /// call, over all groups together. Where nothing is left, 0/0: NaN. 0, the default, leaves all contributions as they are;
    /// NaN is an error of the operation.
    #[must_use]
    pub const fn threshold(self, threshold: f64) -> Self {
        Options { threshold, ..self }
    }

    /// The instruction set that the context allows.
    pub(crate) fn instruction_set(&self) -> InstructionSet {
        self.context.map_or_else(InstructionSet::best, Context::instruction_set)
    }
}
