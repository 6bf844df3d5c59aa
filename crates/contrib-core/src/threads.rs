//! How one call spreads its work.

use crate::context::Context;
use crate::pool::Pool;

/// Inline, or with the help of a context's pool.
#[derive(Clone, Copy)]
pub(crate) enum Threads<'a> {
    Inline,
    Pool(&'a Pool),
}

/// Work, in vector elements read, below which waking other threads costs more than it saves.
const MIN_PARALLEL_ELEMENTS: usize = 1 << 18;

/// The same for a step of a call, whose threads have just been awake.
const MIN_PARALLEL_STEP: usize = 1 << 14;

impl<'a> Threads<'a> {
    /// The threads for a call that reads this many elements.
    pub(crate) fn for_work(elements: usize, context: Option<&'a Context>) -> Self {
        if elements < MIN_PARALLEL_ELEMENTS {
            return Threads::Inline;
        }
        let context = match context {
            Some(context) => Some(context),
            None => Context::shared(),
        };
        context.and_then(Context::pool).map_or(Threads::Inline, Threads::Pool)
    }

    /// The threads for one step of a call, in which others wait for it: inline where it is so short that waking them takes as
    /// long.
    pub(crate) fn for_step(self, elements: usize) -> Self {
        if elements < MIN_PARALLEL_STEP { Threads::Inline } else { self }
    }

    /// The number of threads, which is also the number of slots that [`Threads::for_each`] hands out.
    pub(crate) fn count(self) -> usize {
        match self {
            Threads::Inline => 1,
            Threads::Pool(pool) => pool.threads(),
        }
    }

    /// Calls `task(slot, index)` once for each index below `tasks`, in any order, and returns when all are done. No two
    /// calls that run at the same time have the same slot.
    pub(crate) fn for_each(self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        match self {
            Threads::Pool(pool) if tasks > 1 => pool.for_each(tasks, &task),
            _ => (0..tasks).for_each(|index| task(0, index)),
        }
    }
}
