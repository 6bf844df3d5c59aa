//! The threads that a call may use, and the memory that is kept for it.

use crate::cores;
use crate::error::{Argument, Cause, Error};
use crate::fork::Process;
use crate::instruction_set::InstructionSet;
use crate::memory::try_box;
use crate::pool::Pool;
use crate::reserve::Reserve;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{mem, ptr};

/// A number of threads, kept ready between calls, and working memory that calls give back, kept for later ones.
///
/// A caller is one of them, and works with the others. With one thread everything runs inline in the caller. Many callers
/// can use one context at the same time; results have the same bits for any number of threads.
#[derive(Debug)]
pub struct Context {
    /// With the process that started it: its threads do not exist in a forked child.
    pool: Option<(Pool, Process)>,
    instruction_set: InstructionSet,
    reserve: Reserve,
}

impl Context {
    /// The most threads that a context can have.
    pub const MAX_THREADS: usize = 1024;

    /// The limit of [kept memory](Context::limit_kept_memory) of a new context, in bytes. It is as much as a call of two threads
    /// uses at most; one for 512 tokens and 12 heads uses 25 MB.
    pub const DEFAULT_KEPT_MEMORY: usize = 64 << 20;

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
        let reserve = Reserve::new(Self::DEFAULT_KEPT_MEMORY);
        Ok(Context { pool, instruction_set: InstructionSet::best(), reserve })
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

    /// Sets how many bytes of working memory are kept between calls at most: [`Context::DEFAULT_KEPT_MEMORY`] at first. What
    /// is kept beyond it is freed. With 0 nothing is kept: each call asks the allocator, and gives all of it back.
    ///
    /// Calls take what they need from what is kept, and give it back when they end; where all of it is more than the limit,
    /// what was given back first is freed. What is kept adds to what running calls use, about 32 MB a thread at most. Calls
    /// without a context keep nothing. Small calls of dense parts need no working memory.
    ///
    /// Results have the same bits with kept memory and without. In a child after `fork()` nothing is kept: calls ask the
    /// allocator there. Any thread may set the limit while calls use the context.
    pub fn limit_kept_memory(&self, bytes: usize) {
        self.reserve.set_limit(bytes);
    }

    /// How many bytes of working memory are kept now, without those that running calls use.
    #[must_use]
    pub fn kept_memory(&self) -> usize {
        self.reserve.bytes()
    }

    /// Frees the working memory that is kept. What running calls use is kept when they end.
    pub fn release_memory(&self) {
        self.reserve.release();
    }

    /// What keeps working memory.
    pub(crate) fn reserve(&self) -> &Reserve {
        &self.reserve
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
