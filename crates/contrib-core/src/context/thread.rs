//! A thread of the operating system. Where there are POSIX threads it is started with them, since the standard library's
//! threads end the process where memory is missing.

#[cfg(unix)]
use super::signals;
use std::ffi::c_void;

/// What a thread runs, with the data that it is started with.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> *mut c_void;

pub(crate) use system::{Thread, name_current, processor_time};

#[cfg(unix)]
mod system {
    use super::Entry;
    use super::signals;
    use std::ffi::c_void;
    use std::io::Write;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::time::Duration;

    /// Bytes of a thread's stack. Calls fit 64 KiB; the rest is for what the system puts there.
    const STACK: usize = 256 << 10;

    /// A thread, which goes on where it is not joined.
    #[derive(Debug)]
    pub(crate) struct Thread(libc::pthread_t);

    impl Thread {
        /// Starts a thread that takes no signals. `None` where the system does not start it.
        ///
        /// # Safety
        /// - `entry` may be called with `data` on another thread.
        pub(crate) unsafe fn start(entry: Entry, data: *mut c_void) -> Option<Self> {
            let mut attributes = MaybeUninit::uninit();
            // SAFETY: initialises the attributes.
            if unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } != 0 {
                return None;
            }
            let mut thread = MaybeUninit::uninit();
            let _blocked = signals::Blocked::new();
            // SAFETY: the attributes are initialised, and not used after they are destroyed; the thread's place is valid
            // for a write; `entry` may be called with `data`.
            let started = unsafe {
                let stack = STACK + reserved(attributes.as_ptr());
                let started = libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack) == 0
                    && libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), entry, data) == 0;
                libc::pthread_attr_destroy(attributes.as_mut_ptr());
                started
            };
            // SAFETY: a thread that was started has been written to its place.
            started.then(|| Thread(unsafe { thread.assume_init() }))
        }

        /// Waits until the thread has ended.
        pub(crate) fn join(self) {
            // SAFETY: the thread was started joinable, and is joined once, since that takes the only handle.
            unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
        }
    }

    /// Bytes that glibc takes from a stack for the program's thread-local variables, which may be many.
    ///
    /// # Safety
    /// - `attributes` are initialised.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe fn reserved(attributes: *const libc::pthread_attr_t) -> usize {
        type MinStack = unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize;
        // SAFETY: the name is a C string.
        let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr()) };
        if function.is_null() {
            return 0;
        }
        // SAFETY: glibc has one function of this name, with this signature, for runtimes such as this one.
        let min_stack = unsafe { std::mem::transmute::<*mut c_void, MinStack>(function) };
        // SAFETY: the attributes are initialised.
        unsafe { min_stack(attributes) }
    }

    /// Other systems keep them elsewhere.
    ///
    /// # Safety
    /// None: it is unsafe where it asks glibc.
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    unsafe fn reserved(_: *const libc::pthread_attr_t) -> usize {
        0
    }

    /// How long the calling thread has run since some time, without the time in which it waited for a core.
    pub(crate) fn processor_time() -> Duration {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the time's place is valid for a write.
        let known = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) } == 0;
        if !known {
            return Duration::ZERO;
        }
        // SAFETY: a time that is known has been written to its place.
        let time = unsafe { time.assume_init() };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Names the calling thread, which the library has started: `contrib-1`.
    pub(crate) fn name_current(number: usize) {
        // 15 bytes and a zero are what Linux takes.
        let mut name = [0_u8; 16];
        // A name that is too long is cut.
        let _ = write!(&mut name[..15], "contrib-{number}");
        // SAFETY: the name is a C string.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        unsafe {
            libc::pthread_setname_np(libc::pthread_self(), name.as_ptr().cast());
        }
        // SAFETY: as above.
        #[cfg(target_vendor = "apple")]
        unsafe {
            libc::pthread_setname_np(name.as_ptr().cast());
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::Entry;
    use std::ffi::c_void;
    use std::sync::OnceLock;
    use std::thread::{Builder, JoinHandle};
    use std::time::{Duration, Instant};

    /// A thread, which goes on where it is not joined.
    #[derive(Debug)]
    pub(crate) struct Thread(JoinHandle<()>);

    struct Data(*mut c_void);

    // SAFETY: who starts a thread says that it may have the data.
    unsafe impl Send for Data {}

    impl Thread {
        /// Starts a thread. `None` where the system does not start it.
        ///
        /// # Safety
        /// - `entry` may be called with `data` on another thread.
        pub(crate) unsafe fn start(entry: Entry, data: *mut c_void) -> Option<Self> {
            let data = Data(data);
            let run = move || {
                // The whole of it moves to the thread, and not the pointer alone.
                let Data(data) = { data };
                entry(data);
            };
            Builder::new().name("contrib".to_owned()).spawn(run).ok().map(Thread)
        }

        /// Waits until the thread has ended.
        pub(crate) fn join(self) {
            // A worker catches what its tasks throw.
            let _ = self.0.join();
        }
    }

    /// The time since some time, in which the calling thread may have waited for a core.
    pub(crate) fn processor_time() -> Duration {
        static SOME_TIME: OnceLock<Instant> = OnceLock::new();
        SOME_TIME.get_or_init(Instant::now).elapsed()
    }

    /// Threads are named when they are started.
    pub(crate) fn name_current(_: usize) {}
}
