//! The threads that a call may use, and the memory that is kept for it.

mod benefit;
mod cores;
mod fork;
mod host;
mod job;
mod pool;
pub(crate) mod reserve;
#[cfg(unix)]
mod signals;
mod thread;
pub(crate) mod threads;

use crate::error::{Argument, Cause, Error};
use crate::instruction_set::InstructionSet;
use crate::memory::try_box;
use fork::Process;
use host::Host;
use pool::Pool;
use reserve::Reserve;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{mem, ptr};

/// The threads of calls: a number of them, kept ready between calls, or those of a host. And working memory that calls give
/// back, kept for later ones.
///
/// A caller is one of them, and works with the others. With one thread everything runs inline in the caller. Many callers
/// can use one context at the same time; results have the same bits for any number of threads.
#[derive(Debug)]
pub struct Context {
    helpers: Helpers,
    instruction_set: InstructionSet,
    reserve: Reserve,
}

/// Who works with a caller.
#[derive(Debug)]
enum Helpers {
    Nobody,
    /// With the process that started it: its threads do not exist in a forked child.
    Pool(Pool, Process),
    Host(Host),
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
        Self::check_threads(threads)?;
        let threads = match threads {
            0 => cores::count().min(Self::MAX_THREADS),
            threads => threads,
        };
        let pool = match threads {
            1 => None,
            _ => Process::current().and_then(|process| Some(Helpers::Pool(Pool::new(threads - 1)?, process))),
        };
        Ok(Self::with_helpers(pool.unwrap_or(Helpers::Nobody)))
    }

    /// A context whose threads are a host's: an engine's pool, OpenMP, rayon. The library starts none.
    ///
    /// `parallel_for(tasks, task)` calls `task` with each index below `tasks`, and returns when all calls have returned. It
    /// gets at most `threads` tasks, each of which does what is left to do, piece by piece. With rayon it is
    /// `|tasks, task| (0..tasks).into_par_iter().for_each(task)`.
    ///
    /// Tasks may run in any order, on any threads, at the same time or one after the other, all of them on the caller's
    /// thread. They may be left out, some or all: the caller then does what nobody has done. A task may be
    /// called twice. So a host that has no threads to give, or cannot start them, may just return.
    ///
    /// The function is called at the same time by callers who use the context at the same time, and from inside tasks of the
    /// host that use it. It has the floating-point settings of its caller; tasks give back those of their threads. A task
    /// needs no more than 64 KiB of stack, and does not panic. Where the function itself panics, so does the call, whose
    /// outputs may have been written. With 1 thread everything runs inline, and the function is not called. In a child after
    /// `fork()` it is called as before: whether its threads exist there is the host's affair.
    ///
    /// ```
    /// use contrib_core::{Context, Options, Tensor, TensorMut, contributions};
    ///
    /// let context = Context::with_parallel_for(4, |tasks, task| {
    ///     std::thread::scope(|scope| {
    ///         for index in 0..tasks {
    ///             scope.spawn(move || task(index));
    ///         }
    ///     });
    /// })?;
    /// assert_eq!(context.threads(), 4);
    ///
    /// // So large that threads are worth it.
    /// let (whole, parts) = (vec![1.0_f32; 1024], vec![0.5_f32; 400 * 1024]);
    /// let mut out = vec![0.0_f32; 400];
    /// contributions(
    ///     &Tensor::new(&whole, &[1024])?,
    ///     &Tensor::new(&parts, &[400, 1024])?,
    ///     &mut TensorMut::new(&mut out, &[400])?,
    ///     &Options::default().context(&context),
    /// )?;
    /// assert_eq!(out, [1.0 / 400.0; 400]);
    /// # Ok::<(), contrib_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Cause::InvalidNumber`] for 0 threads: the library cannot know how many the host has.
    /// [`Cause::TooManyThreads`] for more than [`Context::MAX_THREADS`]. [`Cause::OutOfMemory`].
    pub fn with_parallel_for<F>(threads: usize, parallel_for: F) -> Result<Self, Error>
    where
        F: Fn(usize, &(dyn Fn(usize) + Sync)) + Send + Sync + 'static,
    {
        Self::check_threads(threads)?;
        if threads == 0 {
            let cause = Cause::InvalidNumber { expected: "how many threads the host has", got: 0.0 };
            return Err(Error::new(Argument::named("n_threads"), cause));
        }
        let out_of_memory = Cause::OutOfMemory { bytes: size_of::<F>() };
        let host = Host::new(threads, parallel_for);
        let host = host.ok_or(Error::new(Argument::named("parallel_for"), out_of_memory))?;
        Ok(Self::with_helpers(Helpers::Host(host)))
    }

    fn check_threads(threads: usize) -> Result<(), Error> {
        if threads <= Self::MAX_THREADS {
            return Ok(());
        }
        let cause = Cause::TooManyThreads { got: threads, limit: Self::MAX_THREADS };
        Err(Error::new(Argument::named("n_threads"), cause))
    }

    fn with_helpers(helpers: Helpers) -> Self {
        Context { helpers, instruction_set: InstructionSet::best(), reserve: Reserve::new(Self::DEFAULT_KEPT_MEMORY) }
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
        self.pool().map(Pool::threads).or(self.host().map(Host::threads)).unwrap_or(1)
    }

    /// The pool, where there is one and this process has its threads.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        match &self.helpers {
            Helpers::Pool(pool, process) if process.is_current() => Some(pool),
            _ => None,
        }
    }

    /// The host, where it has the threads.
    pub(crate) fn host(&self) -> Option<&Host> {
        if let Helpers::Host(host) = &self.helpers { Some(host) } else { None }
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
        if matches!(self.helpers, Helpers::Pool(..)) && self.pool().is_none() {
            mem::forget(mem::replace(&mut self.helpers, Helpers::Nobody));
        }
    }
}
