//! Which process this is. A child after `fork()` has the memory of its parent, but only one of its threads.

use std::process;

/// A process, told from its forked children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// A child may have its parent's number, in another PID namespace.
    number: u32,
    /// A child that was made without the C library's `fork()` has its parent's count.
    forks: usize,
}

impl Process {
    /// This process. `None` where its children could not be told from it.
    pub(crate) fn current() -> Option<Self> {
        forks::are_counted().then(Self::now)
    }

    pub(crate) fn is_current(self) -> bool {
        self == Self::now()
    }

    fn now() -> Self {
        Process { number: process::id(), forks: forks::count() }
    }
}

#[cfg(unix)]
mod forks {
    use std::ffi::c_int;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// How many forks lie between this process and the one that first counted, at least.
    static FORKS: AtomicUsize = AtomicUsize::new(0);

    type Handler = unsafe extern "C" fn();

    // The crate `libc` does not have it for all systems.
    unsafe extern "C" {
        fn pthread_atfork(prepare: Option<Handler>, parent: Option<Handler>, child: Option<Handler>) -> c_int;
    }

    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    /// Has each child counted from now on, and says whether that is so. Two threads may both ask the system for it, which
    /// counts twice: a lock would stay locked in a child that is forked meanwhile.
    pub(super) fn are_counted() -> bool {
        static COUNTED: AtomicBool = AtomicBool::new(false);
        if !COUNTED.load(Ordering::Relaxed) {
            // SAFETY: the handler may be called in any child, since it only adds to an atomic number. Its code is there
            // for as long as the process forks: the shared library is linked with `nodelete` on Linux, so that
            // `dlclose()` leaves it in memory, and glibc forgets the handlers of a library that it does unload.
            let counted = unsafe { pthread_atfork(None, None, Some(in_child)) } == 0;
            COUNTED.store(counted, Ordering::Relaxed);
        }
        COUNTED.load(Ordering::Relaxed)
    }

    pub(super) fn count() -> usize {
        FORKS.load(Ordering::Relaxed)
    }
}

#[cfg(not(unix))]
mod forks {
    /// There are none.
    pub(super) fn are_counted() -> bool {
        true
    }

    pub(super) fn count() -> usize {
        0
    }
}
