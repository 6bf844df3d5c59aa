//! The threads that a call may use.

use crate::error::{Argument, Cause, Error};
use crate::floating_point::DefaultSettings;
use crate::instruction_set::InstructionSet;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread::available_parallelism;
use std::{mem, ptr};

/// A number of threads, kept ready between calls.
///
/// With one thread there is no pool and everything runs inline in the caller. Many callers can use one context at the
/// same time; results have the same bits for any number of threads.
#[derive(Debug)]
pub struct Context {
    pool: Option<ThreadPool>,
    /// The process that started the pool: its threads do not exist in a forked child.
    process: u32,
    instruction_set: InstructionSet,
}

impl Context {
    /// The most threads that a context can have.
    pub const MAX_THREADS: usize = 1024;

    /// A context with `threads` threads, or one for each core where `threads` is 0. Where the operating system does
    /// not start that many, everything runs inline instead; [`Context::threads`] says how many there are.
    ///
    /// # Errors
    /// [`Cause::TooManyThreads`] for more than [`Context::MAX_THREADS`].
    pub fn new(threads: usize) -> Result<Self, Error> {
        if threads > Self::MAX_THREADS {
            let cause = Cause::TooManyThreads { got: threads, limit: Self::MAX_THREADS };
            return Err(Error::new(Argument::named("n_threads"), cause));
        }
        let threads = match threads {
            0 => available_parallelism().map_or(1, NonZero::get).min(Self::MAX_THREADS),
            threads => threads,
        };
        let build = || {
            let _blocked = signals::Blocked::new();
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("contrib-{i}")).build()
        };
        let pool = if threads == 1 { None } else { build().ok() };
        Ok(Context { pool, process: std::process::id(), instruction_set: InstructionSet::best() })
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
        self.pool().map_or(1, ThreadPool::current_num_threads)
    }

    /// The pool, where there is one and this process has its threads.
    fn pool(&self) -> Option<&ThreadPool> {
        self.pool.as_ref().filter(|_| self.process == std::process::id())
    }

    /// The context of callers that bring none: one thread for each core, started by the first call that is worth it.
    /// `None` while another thread is starting it: the call then runs inline, since that thread might not exist in a
    /// forked child, which would wait for ever.
    fn shared() -> Option<&'static Context> {
        static SHARED: AtomicPtr<Context> = AtomicPtr::new(ptr::null_mut());
        static STARTED: AtomicBool = AtomicBool::new(false);
        if !STARTED.swap(true, Ordering::Relaxed) {
            let context = Context::new(0).expect("0 threads are never too many");
            SHARED.store(Box::into_raw(Box::new(context)), Ordering::Release);
        }
        // SAFETY: null, or a context that is never freed.
        unsafe { SHARED.load(Ordering::Acquire).as_ref() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Ending a pool takes locks of its threads, which in a forked child may be held for ever.
        if self.process != std::process::id() {
            mem::forget(self.pool.take());
        }
    }
}

/// How one call spreads its work: inline, or over a context's pool.
#[derive(Clone, Copy)]
pub(crate) enum Threads<'a> {
    Inline,
    Pool(&'a ThreadPool),
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

    /// Calls `steps` where it can share out one step after the other without waking a thread for each.
    pub(crate) fn enter<R: Send>(self, steps: impl FnOnce() -> R + Send) -> R {
        match self {
            Threads::Inline => steps(),
            Threads::Pool(pool) => pool.install(steps),
        }
    }

    /// The number of threads, which is also the number of slots that [`Threads::for_each`] hands out.
    pub(crate) fn count(self) -> usize {
        match self {
            Threads::Inline => 1,
            Threads::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// Calls `task(slot, index)` once for each index below `tasks`, in any order, and returns when all are done. No two
    /// calls that run at the same time have the same slot.
    pub(crate) fn for_each(self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        match self {
            // Tasks are given away one by one: a few may be all the work, and cores are not equally fast.
            Threads::Pool(pool) if tasks > 1 => pool.install(|| {
                (0..tasks).into_par_iter().with_max_len(1).for_each(|index| {
                    let _settings = DefaultSettings::enter();
                    // A task runs on a thread of the pool, and does not wait for other tasks, so that the thread's
                    // number is its own for as long as the task lasts.
                    let slot = pool.current_thread_index().expect("a pool runs its tasks on its own threads");
                    task(slot, index);
                });
            }),
            _ => (0..tasks).for_each(|index| task(0, index)),
        }
    }
}

/// A pool's threads inherit the signals that are blocked where it is started. All are, so that a host's signals go to the
/// host's own threads; but for those that say that the thread itself has gone wrong.
#[cfg(unix)]
mod signals {
    use std::mem::MaybeUninit;
    use std::ptr;

    /// While it lives, the calling thread takes no signals.
    pub(super) struct Blocked {
        before: Option<libc::sigset_t>,
    }

    impl Blocked {
        pub(super) fn new() -> Self {
            let mut all = MaybeUninit::uninit();
            let mut before = MaybeUninit::uninit();
            // SAFETY: the sets are initialised by the calls that they are handed to first.
            unsafe {
                libc::sigfillset(all.as_mut_ptr());
                for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS] {
                    libc::sigdelset(all.as_mut_ptr(), fault);
                }
                let set = libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr()) == 0;
                Blocked { before: set.then(|| before.assume_init()) }
            }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                // SAFETY: a set that the thread had.
                unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    /// There are none.
    pub(super) struct Blocked;

    impl Blocked {
        pub(super) fn new() -> Self {
            Blocked
        }
    }
}
