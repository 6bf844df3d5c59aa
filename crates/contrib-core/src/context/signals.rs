//! A thread inherits the signals that are blocked where it is started. All are, so that a host's signals go to the host's own
//! threads; but for those that say that the thread itself has gone wrong.

use std::mem::MaybeUninit;
use std::ptr;

/// While it lives, the calling thread takes no signals.
pub(crate) struct Blocked {
    before: Option<libc::sigset_t>,
}

impl Blocked {
    pub(crate) fn new() -> Self {
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
