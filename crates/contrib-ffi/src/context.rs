//! A caller's threads, and the memory that is kept for its calls.

use crate::status::{Failure, contrib_status, guard};
use contrib_core::{Argument, Cause, Context, InstructionSet, try_box};

/// The threads that calls may use, kept ready between them, and working memory that calls give back. Opaque. One context may
/// be used by any number of host threads at the same time; results have the same bits for any number of threads.
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
    guard(|| {
        if out.is_null() {
            return Err(Failure::Null(Argument::named("out")));
        }
        let context = try_box(contrib_context(Context::new(n_threads)?));
        let out_of_memory = Cause::OutOfMemory { bytes: size_of::<contrib_context>() };
        let context = context.ok_or(Failure::of(Argument::named("out"), out_of_memory))?;
        // SAFETY: `out` is not null, so that it may be written; it need not be aligned.
        unsafe { out.write_unaligned(Box::into_raw(context)) };
        Ok(())
    })
}

/// Ends a context's threads and frees it. NULL is allowed. No call may be using it.
///
/// # Safety
/// `context` is null, or comes from `contrib_context_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_free(context: *mut contrib_context) {
    guard(|| {
        if !context.is_null() {
            // SAFETY: it is not null, so that it comes from `contrib_context_new`, which takes it out of a box, and was
            // not freed.
            drop(unsafe { Box::from_raw(context) });
        }
        Ok(())
    });
}

/// The number of threads that a call with this context can use: at least 1. For NULL: 0, since the shared pool may not
/// have been started.
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
