//! The threads that a call may use.

use crate::cores;
use crate::error::{Argument, Cause, Error};
use crate::fork::Process;
use crate::instruction_set::InstructionSet;
use crate::memory::try_box;
use crate::pool::Pool;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{mem, ptr};

/// A number of threads, kept ready between calls.
///
/// A caller is one of them, and works with the others. With one thread everything runs inline in the caller. Many callers
/// can use one context at the same time; results have the same bits for any number of threads.
#[derive(Debug)]
pub struct Context {
    /// With the process that started it: its threads do not exist in a forked child.
    pool: Option<(Pool, Process)>,
    instruction_set: InstructionSet,
}

impl Context {
    /// The most threads that a context can have.
    pub const MAX_THREADS: usize = 1024;

    /// A context with `threads` threads, or one for each core where `threads` is 0. Where the operating system does
    /// not start that many, or memory is missing, everything runs inline instead; [`Context::threads`] says how many
    /// there are.
    ///
    /// # Errors
    /// [`Cause::TooManyThreads`] for more than [`Context::MAX_THREADS`].
    pub fn new(threads: usize) -> Result<Self, Error> {
        if threads > Self::MAX_THREADS {
            let cause = Cause::TooManyThreads { got: threads, limit: Self::MAX_THREADS };
            return Err(Error::new(Argument::named("n_threads"), cause));
        }
        let threads = match threads {
            0 => cores::count().min(Self::MAX_THREADS),
            threads => threads,
        };
        let pool = match threads {
            1 => None,
            _ => Process::current().and_then(|process| Some((Pool::new(threads - 1)?, process))),
        };
        Ok(Context { pool, instruction_set: InstructionSet::best() })
    }

    /// Keeps calls with this context from using a greater instruction set than `limit`: to compare them, or where a host
    /// must not use a greater one. One that is greater than [`InstructionSet::best`] changes nothing.
    pub fn limit_instruction_set(&mut self, limit: InstructionSet) {
        self.instruction_set = self.instruction_set.min(limit);
    }

    /// The same context after [`Context::limit_instruction_set`].
    #[must_use]
    pub fn at_most(mut self, limit: InstructionSet) -> Self {
        self.limit_instruction_set(limit);
        self
    }

    /// The instruction set that calls with this context use.
    #[must_use]
    pub fn instruction_set(&self) -> InstructionSet {
        self.instruction_set
    }

    /// The number of threads that a call can use.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool().map_or(1, Pool::threads)
    }

    /// The pool, where there is one and this process has its threads.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref().filter(|(_, process)| process.is_current()).map(|(pool, _)| pool)
    }

    /// The context of callers that bring none: one thread for each core, started by the first call that is worth it.
    /// `None` where memory is missing, and while another thread is starting it: the call then runs inline, since that
    /// thread might not exist in a forked child, which would wait for ever.
    pub(crate) fn shared() -> Option<&'static Context> {
        static SHARED: AtomicPtr<Context> = AtomicPtr::new(ptr::null_mut());
        static STARTED: AtomicBool = AtomicBool::new(false);
        if !STARTED.swap(true, Ordering::Relaxed) {
            let context = Context::new(0).expect("0 threads are never too many");
            SHARED.store(try_box(context).map_or(ptr::null_mut(), Box::into_raw), Ordering::Release);
        }
        // SAFETY: null, or a context that is never freed.
        unsafe { SHARED.load(Ordering::Acquire).as_ref() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Ending a pool takes a lock, which in a forked child may be held for ever, and waits for its threads.
        if self.pool().is_none() {
            mem::forget(self.pool.take());
        }
    }
}
