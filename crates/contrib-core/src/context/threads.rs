//! How one call spreads its work.

use super::Context;
use super::host::Host;
use super::pool::Pool;
use crate::floating_point::Settings;

/// Inline, or with the help of a context's pool or of its host, whose function gets the settings of the call's thread.
#[derive(Clone, Copy)]
pub(crate) enum Threads<'a> {
    Inline,
    Pool(&'a Pool),
    Host(&'a Host, Settings),
}

/// Work, in vector elements read, below which waking other threads costs more than it saves.
const MIN_PARALLEL_ELEMENTS: usize = 1 << 18;

/// The same for a step of a call, whose threads have just been awake.
const MIN_PARALLEL_STEP: usize = 1 << 14;

impl<'a> Threads<'a> {
    /// The threads for a call that reads this many elements. The calling thread still has its own floating-point settings,
    /// which a host's function gets.
    pub(crate) fn for_work(elements: usize, context: Option<&'a Context>) -> Self {
        if elements < MIN_PARALLEL_ELEMENTS {
            return Threads::Inline;
        }
        let context = match context {
            Some(context) => Some(context),
            None => Context::shared(),
        };
        match context.map(|context| (context.pool(), context.host())) {
            Some((Some(pool), _)) => Threads::Pool(pool),
            Some((_, Some(host))) if host.threads() > 1 => Threads::Host(host, Settings::current()),
            _ => Threads::Inline,
        }
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
            Threads::Host(host, _) => host.threads(),
        }
    }

    /// Calls `task(slot, index)` once for each index below `tasks`, in any order, and returns when all are done. No two
    /// calls that run at the same time have the same slot.
    pub(crate) fn for_each(self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        match self {
            Threads::Pool(pool) if tasks > 1 => pool.for_each(tasks, &task),
            Threads::Host(host, settings) if tasks > 1 => host.for_each(settings, tasks, &task),
            _ => (0..tasks).for_each(|index| task(0, index)),
        }
    }
}
