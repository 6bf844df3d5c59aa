//! What a call allocates on the heap: nothing where it is small, and no more than its proximities where it is large.

mod common;

use common::{Job, result_kind};
use contrib_core::Context;
use contrib_testing::{Arrangement, Kind, Layout, Operation, Random};
use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The system's allocator, with a count of what is asked of it.
struct Counting;

/// Bytes that any thread has asked for.
static BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How often this thread has asked for memory.
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    REQUESTS.with(|requests| requests.set(requests.get() + 1));
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        count(memory.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(memory) }
    }

    unsafe fn alloc_zeroed(&self, memory: Memory) -> *mut u8 {
        count(memory.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(memory) }
    }

    unsafe fn realloc(&self, start: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(start, memory, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, memory: Memory) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by each test: what all threads ask for is counted, and should be that test's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

const LAYOUTS: [(&str, Arrangement); 6] = {
    let [a, b, c, d, e] = Layout::OTHERS;
    [("row-major", Layout::row_major), a, b, c, d, e]
};

/// What an engine asks for one token.
fn one_token(kind: Kind) -> Vec<Job> {
    let mut random = Random::new(11);
    let mut job = |operation, shapes: &[&[usize]]| Job::random(operation, kind, shapes, &mut random);
    vec![
        job(Operation::Contributions, &[&[768], &[12, 768]]),
        job(Operation::OneOff, &[&[768], &[12, 768], &[768]]),
        job(Operation::Attention, &[&[1, 1, 64], &[1, 1, 64], &[1, 1, 20, 12, 64]]),
        job(Operation::Mlp, &[&[1, 1, 768], &[1, 1, 768], &[1, 1, 768]]),
        job(Operation::DecomposedMlp, &[&[768], &[768], &[100, 768]]),
        job(Operation::Threshold, &[&[1, 145], &[1]]),
    ]
}

/// Runs a call, and says how often the calling thread asked for memory meanwhile.
fn requests_of(job: &Job, kind: Kind, layout: Arrangement, context: Option<&Context>) -> usize {
    let mut outputs = job.outputs(kind, layout);
    let before = REQUESTS.get();
    let result = job.run(&mut outputs, context);
    let requests = REQUESTS.get() - before;
    result.unwrap();
    requests
}

#[test]
fn the_count_sees_what_is_allocated() {
    let _alone = alone();
    let (requests, bytes) = (REQUESTS.get(), BYTES.load(Ordering::Relaxed));
    let numbers = std::hint::black_box(vec![0_u8; 1000]);
    assert_eq!(REQUESTS.get() - requests, 1);
    assert!(BYTES.load(Ordering::Relaxed) - bytes >= numbers.len());
}

#[test]
fn a_call_for_one_token_allocates_nothing() {
    let _alone = alone();
    let contexts = [None, Some(Context::new(1).unwrap()), Some(Context::new(2).unwrap())];
    // The first call of a process reads an environment variable.
    one_token(Kind::F32)[0].results(None);
    for kind in Kind::ALL {
        for job in one_token(kind) {
            for (name, layout) in LAYOUTS {
                let job = job.laid_out(layout);
                for norm in NORMS {
                    let job = job.with_norm(norm);
                    for context in &contexts {
                        let requests = requests_of(&job, kind, layout, context.as_ref());
                        let threads = context.as_ref().map(Context::threads);
                        let operation = job.operation;
                        assert_eq!(requests, 0, "{operation:?} {} {name}, norm {norm}, {threads:?}", kind.name());
                    }
                }
            }
        }
    }
}

#[test]
fn a_call_for_one_token_whose_powers_overflow_or_underflow_allocates_nothing() {
    let _alone = alone();
    for (kind, scale) in [(Kind::F64, 1e300), (Kind::F64, 1e-300), (Kind::F32, 0.0), (Kind::F64, f64::NAN)] {
        for mut job in one_token(kind) {
            for (_, stored) in &mut job.inputs {
                for index in stored.layout.indices() {
                    stored.numbers.set(index, scale * stored.numbers.get(index));
                }
            }
            for norm in NORMS {
                let job = job.with_norm(norm);
                requests_of(&job, kind, Layout::row_major, None);
                let requests = requests_of(&job, kind, Layout::row_major, None);
                assert_eq!(requests, 0, "{:?} {}, norm {norm}, scale {scale}", job.operation, kind.name());
            }
        }
    }
}

/// What the threads' own bookkeeping may take, whatever the size of a call.
const BOOKKEEPING: usize = 4096;

/// A large call, and how many parts a whole has.
fn large(kind: Kind) -> Vec<(usize, Job)> {
    let mut random = Random::new(13);
    let mut job = |parts, operation, shapes: &[&[usize]]| (parts, Job::random(operation, kind, shapes, &mut random));
    vec![
        // One whole, whose parts the threads share, and more wholes than threads.
        job(4096, Operation::Contributions, &[&[128], &[4096, 128]]),
        job(12, Operation::Contributions, &[&[128, 256], &[12, 128, 256]]),
        job(500, Operation::Contributions, &[&[40, 32], &[500, 40, 32]]),
        job(301, Operation::OneOff, &[&[20, 64], &[300, 20, 64], &[20, 64]]),
        job(97, Operation::Attention, &[&[1, 32, 128], &[1, 32, 128], &[1, 32, 8, 12, 128]]),
        job(2, Operation::Mlp, &[&[2, 128, 768], &[2, 128, 768], &[2, 128, 768]]),
        job(3073, Operation::DecomposedMlp, &[&[128], &[128], &[3072, 128]]),
        // A threshold has no proximities.
        job(0, Operation::Threshold, &[&[600, 500], &[600]]),
    ]
}

/// The least number of bytes that all threads ask for during one of some equal calls: the threads of the test program
/// itself may ask for some, too.
fn bytes_of(job: &Job, kind: Kind, layout: Arrangement, context: Option<&Context>) -> usize {
    let mut outputs = job.outputs(result_kind(kind), layout);
    let mut bytes = || {
        let before = BYTES.load(Ordering::Relaxed);
        let result = job.run(&mut outputs, context);
        let bytes = BYTES.load(Ordering::Relaxed) - before;
        result.unwrap();
        bytes
    };
    bytes();
    (0..3).map(|_| bytes()).min().unwrap()
}

#[test]
fn a_large_call_allocates_8_bytes_for_each_part_and_thread() {
    let _alone = alone();
    let contexts =
        [Some(Context::new(1).unwrap()), Some(Context::new(2).unwrap()), Some(Context::new(5).unwrap()), None];
    let cores = std::thread::available_parallelism().unwrap().get();
    for kind in [Kind::F32, Kind::F64] {
        for (parts, job) in large(kind) {
            for layout in [Layout::row_major as Arrangement, Layout::column_major] {
                let job = job.laid_out(layout);
                for norm in [1.0, 2.7] {
                    let job = job.with_norm(norm);
                    for context in &contexts {
                        let threads = context.as_ref().map_or(cores, Context::threads);
                        let limit = 8 * parts * threads + if threads == 1 { 0 } else { BOOKKEEPING };
                        let bytes = bytes_of(&job, kind, layout, context.as_ref());
                        let name = kind.name();
                        assert!(bytes <= limit, "{:?} {name} {threads} threads: {bytes} > {limit}", job.operation);
                    }
                }
            }
        }
    }
}
