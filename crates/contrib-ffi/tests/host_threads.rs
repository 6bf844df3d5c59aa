//! Contexts whose threads are a host's: what is refused, what a host's function gets, and that results do not depend on it.

mod common;

use common::{Call, Context, Function, Size, message};
use contrib::context::{
    CONTRIB_INSTRUCTION_SET_PORTABLE, contrib_context, contrib_context_free, contrib_context_instruction_set,
    contrib_context_limit_instruction_set, contrib_context_new_with_parallel_for, contrib_context_threads,
    contrib_parallel_for, contrib_task,
};
use contrib::status::{
    CONTRIB_ERROR_NULL_POINTER, CONTRIB_ERROR_NUMBER, CONTRIB_ERROR_TOO_MANY_THREADS, CONTRIB_OK, contrib_status,
};
use contrib_testing::{Kind, Stored};
use std::ffi::c_void;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A task and its data, which may go to another thread.
#[derive(Clone, Copy)]
struct Task(unsafe extern "C" fn(*mut c_void, usize), *mut c_void);

// SAFETY: a host may call a task on any thread.
unsafe impl Send for Task {}

impl Task {
    fn new(task: contrib_task, data: *mut c_void) -> Self {
        Task(task.expect("a task is never NULL"), data)
    }

    /// On this thread, which is one of the host's function that has not returned.
    fn call(self, index: usize) {
        // SAFETY: the host's function has not returned.
        unsafe { (self.0)(self.1, index) };
    }
}

extern "C" fn in_reverse(_: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    let task = Task::new(task, data);
    (0..tasks).rev().for_each(|index| task.call(index));
}

extern "C" fn on_threads(_: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    let task = Task::new(task, data);
    thread::scope(|scope| {
        for index in 0..tasks {
            scope.spawn(move || task.call(index));
        }
    });
}

extern "C" fn twice_on_threads(_: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    on_threads(ptr::null_mut(), tasks, task, data);
    on_threads(ptr::null_mut(), 2 * tasks, task, data);
}

extern "C" fn nothing(_: *mut c_void, _: usize, _: contrib_task, _: *mut c_void) {}

extern "C" fn only_the_last(_: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    Task::new(task, data).call(tasks - 1);
}

/// Counts the calls in its data, and keeps the largest number of tasks there.
extern "C" fn counting(counts: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    // SAFETY: the data are those of the context, and outlive it.
    let [calls, most] = unsafe { &*counts.cast::<[AtomicUsize; 2]>() };
    calls.fetch_add(1, Ordering::Relaxed);
    most.fetch_max(tasks, Ordering::Relaxed);
    on_threads(ptr::null_mut(), tasks, task, data);
}

const HOSTS: [(&str, contrib_parallel_for); 5] = [
    ("in reverse", Some(in_reverse)),
    ("on threads", Some(on_threads)),
    ("more than twice", Some(twice_on_threads)),
    ("nothing", Some(nothing)),
    ("only the last", Some(only_the_last)),
];

fn run(function: Function, kind: Kind, context: &Context) -> Vec<Vec<u64>> {
    let mut call = Call::random(function, kind, Size::Large);
    call.context = context.get();
    let results = call.results_of_run();
    assert!(call.outputs().into_iter().all(Stored::is_untouched_around), "{function:?}");
    results
}

/// Makes a context that must not be made.
fn refused(threads: usize, parallel_for: contrib_parallel_for, status: contrib_status, sentence: &str) {
    let unchanged = ptr::without_provenance_mut(8);
    let mut context: *mut contrib_context = unchanged;
    // SAFETY: the function does what a host's must, and the pointer may be written.
    let found =
        unsafe { contrib_context_new_with_parallel_for(threads, parallel_for, ptr::null_mut(), &raw mut context) };
    assert_eq!((found, message().as_str(), context), (status, sentence, unchanged));
}

#[test]
fn each_bad_argument_has_its_own_error_and_leaves_out_alone() {
    let null = "parallel_for: expected a pointer, got NULL";
    for threads in [0, 1, 2, 2000] {
        refused(threads, None, CONTRIB_ERROR_NULL_POINTER, null);
    }
    let none = "n_threads: expected how many threads the host has, got 0";
    refused(0, Some(nothing), CONTRIB_ERROR_NUMBER, none);
    for threads in [1025, usize::MAX] {
        let sentence = format!("n_threads: expected at most 1024 threads, got {threads}");
        refused(threads, Some(nothing), CONTRIB_ERROR_TOO_MANY_THREADS, &sentence);
    }
    for (threads, parallel_for) in [(2, Some(nothing as _)), (0, None), (2000, Some(nothing as _))] {
        // SAFETY: null is allowed, and refused.
        let status =
            unsafe { contrib_context_new_with_parallel_for(threads, parallel_for, ptr::null_mut(), ptr::null_mut()) };
        assert_eq!((status, message().as_str()), (CONTRIB_ERROR_NULL_POINTER, "out: expected a pointer, got NULL"));
    }
}

#[test]
fn a_context_can_be_put_at_any_address() {
    let mut bytes = [0_u8; 16];
    for start in 0..8 {
        let out: *mut *mut contrib_context = bytes[start..].as_mut_ptr().cast();
        // SAFETY: the function does what a host's must, and the pointer may be written.
        let status = unsafe { contrib_context_new_with_parallel_for(2, Some(nothing), ptr::null_mut(), out) };
        assert_eq!(status, CONTRIB_OK);
        // SAFETY: the context was written there, and is freed once.
        unsafe { contrib_context_free(out.read_unaligned()) };
    }
}

#[test]
fn a_context_says_how_many_threads_the_host_has() {
    for threads in [1, 2, 7, 1024] {
        let context = Context::of_host(threads, Some(nothing), ptr::null_mut());
        // SAFETY: the context is alive.
        assert_eq!(unsafe { contrib_context_threads(context.get()) }, threads);
    }
}

#[test]
fn whatever_a_host_does_results_have_the_bits_of_one_thread() {
    let one = Context::new(1);
    for function in Function::ALL {
        for kind in [Kind::F32, Kind::F64] {
            let expected = run(function, kind, &one);
            for (name, host) in HOSTS {
                let context = Context::of_host(3, host, ptr::null_mut());
                assert_eq!(run(function, kind, &context), expected, "{function:?}, {name}");
            }
        }
    }
}

#[test]
fn a_host_is_called_with_its_data_for_large_calls_and_never_for_more_tasks_than_threads() {
    let dense =
        [Function::Contributions, Function::OneOff, Function::Attention, Function::Mlp, Function::DecomposedMlp];
    for function in dense.into_iter().chain([Function::Groups, Function::MlpNeurons, Function::Threshold]) {
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let data = (&raw const counts).cast_mut().cast();
        let context = Context::of_host(3, Some(counting), data);
        let mut small = Call::random(function, Kind::F32, Size::Small);
        small.context = context.get();
        small.results_of_run();
        assert_eq!(counts[0].load(Ordering::Relaxed), 0, "a small {function:?}");
        run(function, Kind::F32, &context);
        let counts = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert!(counts[0] > 0 && (2..=3).contains(&counts[1]), "{function:?}: {counts:?}");
    }
}

#[test]
fn many_threads_at_once_on_one_context_get_the_bits_of_one_alone() {
    let one = Context::new(1);
    let expected = Function::ALL.map(|function| run(function, Kind::F32, &one));
    for host in [on_threads as _, in_reverse as _] {
        let context = Context::of_host(3, Some(host), ptr::null_mut());
        let barrier = Barrier::new(6);
        thread::scope(|scope| {
            for caller in 0..6 {
                let (expected, context, barrier) = (&expected, &context, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // Each thread begins with another operation.
                    for index in 0..expected.len() {
                        let index = (index + caller) % expected.len();
                        assert_eq!(run(Function::ALL[index], Kind::F32, context), expected[index]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_context_of_a_host_can_be_limited_to_an_instruction_set() {
    let expected = run(Function::Attention, Kind::F32, &Context::new(1));
    let context = Context::of_host(2, Some(on_threads), ptr::null_mut());
    // SAFETY: the context is alive, and no call is using it.
    let (status, set) = unsafe {
        let context = context.get().cast_mut();
        let status = contrib_context_limit_instruction_set(context, CONTRIB_INSTRUCTION_SET_PORTABLE);
        (status, contrib_context_instruction_set(context))
    };
    assert_eq!((status, set), (CONTRIB_OK, CONTRIB_INSTRUCTION_SET_PORTABLE));
    assert_eq!(run(Function::Attention, Kind::F32, &context), expected);
}
