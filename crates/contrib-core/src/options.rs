//! What a caller can choose for a call.

use crate::context::Context;
use crate::instruction_set::InstructionSet;
use crate::norm::Norm;

/// Choices that every operation takes. `Options::default()` is the 1-norm on all cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    pub(crate) norm: Norm,
    pub(crate) context: Option<&'a Context>,
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
        Options { norm: self.norm, context: Some(context) }
    }

    /// The instruction set that the context allows.
    pub(crate) fn instruction_set(&self) -> InstructionSet {
        self.context.map_or_else(InstructionSet::best, Context::instruction_set)
    }
}
