//! What a call allocates on the heap: nothing where it is small, no more than its proximities where it is large, and next to
//! nothing where its context keeps the memory of an earlier one.

mod common;

use common::{Form, Job, result_kind};
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

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The most that were allocated at a time.
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How often this thread has asked for memory.
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    PEAK.fetch_max(LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
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
        LIVE.fetch_sub(memory.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(start, memory, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, memory: Memory) {
        LIVE.fetch_sub(memory.size(), Ordering::Relaxed);
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

/// What the alignment of working memory takes.
const ALIGNMENT: usize = 64;

/// A context whose calls take all of their memory from the allocator.
fn keeping_nothing(threads: usize) -> Context {
    let context = Context::new(threads).unwrap();
    context.limit_kept_memory(0);
    context
}

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
    let contexts = [Some(keeping_nothing(1)), Some(keeping_nothing(2)), Some(keeping_nothing(5)), None];
    let cores = std::thread::available_parallelism().unwrap().get();
    for kind in [Kind::F32, Kind::F64] {
        for (parts, job) in large(kind) {
            for layout in [Layout::row_major as Arrangement, Layout::column_major] {
                let job = job.laid_out(layout);
                for norm in [1.0, 2.7] {
                    let job = job.with_norm(norm);
                    for context in &contexts {
                        let threads = context.as_ref().map_or(cores, Context::threads);
                        let bookkeeping = if threads == 1 { ALIGNMENT } else { BOOKKEEPING };
                        let limit = 8 * parts * threads + bookkeeping;
                        let bytes = bytes_of(&job, kind, layout, context.as_ref());
                        let name = kind.name();
                        assert!(bytes <= limit, "{:?} {name} {threads} threads: {bytes} > {limit}", job.operation);
                    }
                }
            }
        }
    }
}

/// Bytes of working memory that a call with factored parts may take for each thread, and for all of them together.
const WORKING_MEMORY_A_THREAD: usize = 33 << 20;
const WORKING_MEMORY_OF_ALL: usize = 4 << 20;

/// By how many bytes the heap grows during a call, at most.
fn peak_of(job: &Job, context: &Context) -> usize {
    let mut outputs = job.outputs(Kind::F32, Layout::row_major);
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    job.run(&mut outputs, Some(context)).unwrap();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn the_peak_is_the_most_that_is_allocated_at_a_time() {
    let _alone = alone();
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    for _ in 0..10 {
        drop(std::hint::black_box(vec![0_u8; 1 << 20]));
    }
    let grown = PEAK.load(Ordering::Relaxed) - before;
    assert!((1 << 20..1 << 21).contains(&grown), "{grown}");
}

/// The vectors of all heads, tokens and queries would take hundreds of times as much.
#[test]
fn factored_attention_takes_33_megabytes_a_thread_however_many_tokens_there_are() {
    let _alone = alone();
    let contexts = [1, 2].map(keeping_nothing);
    let mut random = Random::new(17);
    let d_model = 24;
    for (tokens, heads, d_head) in [(256, 12, 64), (700, 12, 8)] {
        let (resid, pattern, values) = ([1, tokens, d_model], [1, heads, tokens, tokens], [1, tokens, heads, d_head]);
        let shapes: [&[usize]; 5] = [&resid, &resid, &pattern, &values, &[heads, d_head, d_model]];
        let job = Job::random(Operation::AttentionFactored, Kind::F32, &shapes, &mut random);
        for job in [job.with_value_output(), job.clone().with_form(Form::Sums), job] {
            for context in &contexts {
                let threads = context.threads();
                let limit = WORKING_MEMORY_A_THREAD * threads + WORKING_MEMORY_OF_ALL;
                let peak = peak_of(&job, context);
                let name = format!("{tokens} tokens, {:?}, {threads} threads", job.form);
                assert!(peak <= limit, "{name}: {peak} > {limit}");
            }
        }
    }
}

#[test]
fn factored_neurons_take_33_megabytes_a_thread_however_many_tokens_there_are() {
    let _alone = alone();
    let contexts = [1, 2].map(keeping_nothing);
    let mut random = Random::new(19);
    for (tokens, hidden, d_model) in [(16, 3072, 64), (700, 3000, 8), (1, 200_000, 8)] {
        let (resid, activations) = ([tokens, d_model], [tokens, hidden]);
        let shapes: [&[usize]; 4] = [&resid, &resid, &activations, &[hidden, d_model]];
        let job = Job::random(Operation::MlpNeurons, Kind::F32, &shapes, &mut random);
        for norm in [1.0, 3.0] {
            for job in [job.clone().with_form(Form::TopK(10)), job.clone()] {
                let job = job.with_norm(norm);
                if norm == 3.0 && tokens == 700 {
                    continue;
                }
                for context in &contexts {
                    let threads = context.threads();
                    let limit = WORKING_MEMORY_A_THREAD * threads + WORKING_MEMORY_OF_ALL;
                    let peak = peak_of(&job, context);
                    let name = format!("{tokens} tokens, {hidden} neurons, {:?}, {threads} threads", job.form);
                    assert!(peak <= limit, "{name}: {peak} > {limit}");
                }
            }
        }
    }
}

/// What is not kept: lists that are no numbers, and what an allocator has ready.
const NEXT_TO_NOTHING: usize = 96 << 10;

#[test]
fn a_call_like_an_earlier_one_on_its_context_allocates_next_to_nothing() {
    let _alone = alone();
    let mut random = Random::new(23);
    let attention: [&[usize]; 5] = [&[1, 128, 192], &[1, 128, 192], &[1, 4, 128, 128], &[1, 128, 4, 48], &[4, 48, 192]];
    let attention = Job::random(Operation::AttentionFactored, Kind::F32, &attention, &mut random);
    let neurons: [&[usize]; 4] = [&[64, 192], &[64, 192], &[64, 768], &[768, 192]];
    let neurons = Job::random(Operation::MlpNeurons, Kind::F32, &neurons, &mut random);
    let scored = attention.with_queries_and_keys(48, common::Scoring::default(), &mut random);
    let dense = large(Kind::F32).into_iter().map(|(_, job)| job);
    let factored = [attention.with_value_output(), scored, attention, neurons];
    for job in factored.into_iter().flat_map(|job| [job.with_norm(2.0), job.with_norm(3.0), job]).chain(dense) {
        for threads in [1, 2] {
            let context = Context::new(threads).unwrap();
            let bytes = bytes_of(&job, Kind::F32, Layout::row_major, Some(&context));
            let limit = NEXT_TO_NOTHING * threads;
            let name = format!("{:?}, norm {}, {threads} threads", job.operation, job.norm);
            assert!(bytes <= limit, "{name}: {bytes} > {limit}");
            context.release_memory();
            assert_eq!(context.kept_memory(), 0, "{name}");
        }
    }
}
