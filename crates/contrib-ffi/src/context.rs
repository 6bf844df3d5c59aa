//! A caller's threads.

use crate::status::{Failure, contrib_status, guard};
use contrib_core::{Argument, Context};

/// The threads that calls may use, kept ready between them. Opaque. One context may be used by any number of host
/// threads at the same time; results have the same bits for any number of threads.
pub struct contrib_context(Context);

impl contrib_context {
    pub(crate) fn get(&self) -> &Context {
        &self.0
    }
}

/// Makes a context with `n_threads` threads and puts it into `*out`.
///
/// With 1 there is no pool: everything runs inline in the calling thread. 0 means one thread for each core. Where the
/// operating system does not start that many, everything runs inline; `contrib_context_threads` says how many there
/// are. In a child after `fork()` the threads do not exist, and everything runs inline.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `CONTRIB_ERROR_TOO_MANY_THREADS` (more than 1024); `*out` is untouched then.
///
/// # Safety
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_context_new(n_threads: usize, out: *mut *mut contrib_context) -> contrib_status {
    guard(|| {
        if out.is_null() {
            return Err(Failure::Null(Argument::named("out")));
        }
        let context = Box::new(contrib_context(Context::new(n_threads)?));
        // SAFETY: the caller's promise.
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
            // SAFETY: the caller's promise.
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
    // SAFETY: the caller's promise.
    unsafe { context.as_ref() }.map_or(0, |context| context.0.threads())
}
