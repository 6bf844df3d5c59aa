//! A caller's threads, and the memory that is kept for its calls.

use crate::failure::Failure;
use crate::handle::{free, put};
use crate::status::{contrib_status, guard};
use contrib_core::{Argument, Context, InstructionSet};
use std::ffi::c_void;

/// The threads that calls may use: the library's own, kept ready between calls, or a host's. And working memory that calls
/// give back, kept for later ones. Opaque. One context may be used by any number of host threads at the same time; results
/// have the same bits for any number of threads.
pub struct contrib_context(Context);

impl contrib_context {
    pub(crate) fn get(&self) -> &Context {
        &self.0
    }
}

/// Makes a context with `n_threads` threads and puts it into `*out`.
///
/// The calling thread is one of them, and works with the others. With 1 everything runs inline in the calling thread. 0 means
/// one thread for each core. Where the operating system does not start that many, everything runs inline;
/// `contrib_context_threads` says how many there are. In a child after `fork()` the threads do not exist, and everything
/// runs inline.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `CONTRIB_ERROR_TOO_MANY_THREADS` (more than 1024),
/// `CONTRIB_ERROR_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_new(n_threads: usize, out: *mut *mut contrib_context) -> contrib_status {
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, || Ok(contrib_context(Context::new(n_threads)?))) })
}

/// What a `contrib_parallel_for` calls: `task(task_data, index)`. It may be called on any thread with 64 KiB of stack, and
/// always returns.
pub type contrib_task = Option<unsafe extern "C" fn(task_data: *mut c_void, index: usize)>;

/// A host's function that calls `task(task_data, index)` for each index below `n_tasks` on the host's threads. `user_data` is
/// what came with it.
///
/// It must
///
/// - return only when every call of `task` that it began has returned, and make none later;
/// - allow calls from several threads at the same time, where these use one context at the same time;
/// - allow calls from inside the host's own tasks, where these call this library;
/// - return: no longjmp(), C++ exception or end of a thread may leave it.
///
/// It may
///
/// - call `task` in any order, on any threads, at the same time or one after the other, all on the calling thread;
/// - leave out some calls, or all: the caller then does what nobody has done. So it reports no errors: where it has no
///   threads to give, it returns;
/// - call with an index twice.
pub type contrib_parallel_for =
    Option<unsafe extern "C" fn(user_data: *mut c_void, n_tasks: usize, task: contrib_task, task_data: *mut c_void)>;

/// Makes a context whose threads are the host's, and puts it into `*out`: an engine's pool, OpenMP, TBB, Grand Central
/// Dispatch. The library starts none. `n_threads` is how many there are, the calling thread among them; `parallel_for` gets
/// at most so many tasks. Each of them does what is left to do, piece by piece, so that one that begins late, or never, holds
/// up nobody. With OpenMP:
///
/// ```c
/// static void parallel_for(void *user_data, size_t n_tasks, contrib_task task, void *task_data) {
///     #pragma omp parallel for schedule(dynamic, 1)
///     for (size_t i = 0; i < n_tasks; i++) task(task_data, i);
/// }
///
/// contrib_context_new_with_parallel_for((size_t)omp_get_max_threads(), parallel_for, NULL, &context);
/// ```
///
/// What `parallel_for` must do, and what it need not do, stands at its type. It is called with the floating-point settings of
/// the call's thread; tasks give back those of theirs. With 1 thread everything runs inline, and it is not called. In a child
/// after `fork()` it is called as before: whether its threads exist there is the host's affair. `user_data` may be NULL; what
/// it points to must live as long as the context.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `CONTRIB_ERROR_NUMBER` (0 threads: the library cannot know how many the host has),
/// `CONTRIB_ERROR_TOO_MANY_THREADS` (more than 1024), `CONTRIB_ERROR_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `out` is null or may be written. `parallel_for` is null or does what `contrib_parallel_for` says, with this `user_data` on
/// any thread, until the context is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_new_with_parallel_for(
    n_threads: usize,
    parallel_for: contrib_parallel_for,
    user_data: *mut c_void,
    out: *mut *mut contrib_context,
) -> contrib_status {
    let make = || {
        let parallel_for = parallel_for.ok_or(Failure::Null(Argument::named("parallel_for")))?;
        let host = HostFunction { parallel_for, user_data };
        Ok(contrib_context(Context::with_parallel_for(n_threads, move |tasks, task| host.call(tasks, task))?))
    };
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, make) })
}

/// A host's function that does what `contrib_parallel_for` says, until the context is freed that has it.
struct HostFunction {
    parallel_for: unsafe extern "C" fn(*mut c_void, usize, contrib_task, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the function may be called with its data on any thread.
unsafe impl Send for HostFunction {}
// SAFETY: the function may be called with its data on several threads at the same time.
unsafe impl Sync for HostFunction {}

/// What the core lends a host's function.
type Task<'a> = &'a (dyn Fn(usize) + Sync);

impl HostFunction {
    fn call(&self, tasks: usize, task: Task<'_>) {
        // SAFETY: the context is in use and so not freed, and the function calls `run_task` only until it returns.
        unsafe { (self.parallel_for)(self.user_data, tasks, Some(run_task), (&raw const task).cast_mut().cast()) };
    }
}

/// Runs a task of the core.
///
/// # Safety
/// - `task` points to a [`Task`] that may be called.
unsafe extern "C" fn run_task(task: *mut c_void, index: usize) {
    // SAFETY: it points to a task.
    let task = unsafe { task.cast::<Task<'_>>().read() };
    // The core catches what its tasks throw.
    task(index);
}

/// Ends a context's threads, but not a host's, and frees it. NULL is allowed. No call may be using it.
///
/// # Safety
/// `context` is null, or comes from a function that makes contexts and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_free(context: *mut contrib_context) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(context) };
        Ok(())
    });
}

/// The number of threads that a call with this context can use: at least 1, and a host's as many as it said. For NULL: 0,
/// since the shared pool may not have been started.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_threads(context: *const contrib_context) -> usize {
    // SAFETY: the context is null or alive.
    unsafe { context.as_ref() }.map_or(0, |context| context.0.threads())
}

/// Sets how many bytes of working memory the context keeps between calls at most: 64 MiB at first. What is kept beyond it is
/// freed. With 0 nothing is kept: each call asks the allocator, and gives all of it back.
///
/// Calls take what they need from what is kept, and give it back when they end; where all of it is more than the limit, what
/// was given back first is freed. What is kept adds to what running calls use, about 32 MB a thread at most. Calls without
/// a context keep nothing. Small calls of dense parts need no working memory. In a child after `fork()` nothing is kept, and
/// calls ask the allocator. Calls may be using the context.
///
/// Results have the same bits with kept memory and without.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_limit_kept_memory(
    context: *const contrib_context,
    bytes: usize,
) -> contrib_status {
    guard(|| {
        // SAFETY: the context is null or alive.
        let context = unsafe { context.as_ref() }.ok_or(Failure::Null(Argument::named("context")))?;
        context.0.limit_kept_memory(bytes);
        Ok(())
    })
}

/// How many bytes of working memory the context keeps now, without those that running calls use. For NULL: 0.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_kept_memory(context: *const contrib_context) -> usize {
    // SAFETY: the context is null or alive.
    unsafe { context.as_ref() }.map_or(0, |context| context.0.kept_memory())
}

/// Frees the working memory that the context keeps. What running calls use is kept when they end. NULL is allowed, and does
/// nothing.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_release_memory(context: *const contrib_context) {
    guard(|| {
        // SAFETY: the context is null or alive.
        if let Some(context) = unsafe { context.as_ref() } {
            context.0.release_memory();
        }
        Ok(())
    });
}

/// The kernels that the library was compiled for: SSE2 on x86-64, NEON on 64-bit Arm.
pub const CONTRIB_INSTRUCTION_SET_PORTABLE: i32 = 1;
/// Kernels for x86-64 with AVX2, FMA and F16C.
pub const CONTRIB_INSTRUCTION_SET_AVX2: i32 = 2;
/// Kernels for x86-64 with AVX-512F.
pub const CONTRIB_INSTRUCTION_SET_AVX512: i32 = 3;

/// Keeps calls with this context from using a greater instruction set than this one: to compare them, or where a host must
/// not use a greater one. All give the same bits. One that the processor does not have changes nothing. No call may be
/// using the context.
///
/// (For contexts that are made elsewhere, and for calls without one, the environment variable
/// `CONTRIB_INSTRUCTION_SET` does the same, with the names "portable", "avx2" and "avx512"; it is read once.)
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `CONTRIB_ERROR_INSTRUCTION_SET`.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_limit_instruction_set(
    context: *mut contrib_context,
    instruction_set: i32,
) -> contrib_status {
    guard(|| {
        // SAFETY: the context is null or alive.
        let context = unsafe { context.as_mut() }.ok_or(Failure::Null(Argument::named("context")))?;
        let limit = InstructionSet::ALL.into_iter().find(|&set| number(set) == instruction_set);
        let limit = limit.ok_or(Failure::InstructionSet { got: instruction_set })?;
        context.0.limit_instruction_set(limit);
        Ok(())
    })
}

/// The instruction set that calls with this context use, or for NULL those without one: one of
/// `CONTRIB_INSTRUCTION_SET_`.
///
/// # Safety
/// `context` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_instruction_set(context: *const contrib_context) -> i32 {
    // SAFETY: the context is null or alive.
    number(unsafe { context.as_ref() }.map_or_else(InstructionSet::best, |context| context.0.instruction_set()))
}

fn number(set: InstructionSet) -> i32 {
    match set {
        InstructionSet::Avx2 => CONTRIB_INSTRUCTION_SET_AVX2,
        InstructionSet::Avx512 => CONTRIB_INSTRUCTION_SET_AVX512,
        _ => CONTRIB_INSTRUCTION_SET_PORTABLE,
    }
}
