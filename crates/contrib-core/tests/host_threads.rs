//! Contexts whose threads are a host's: whatever its function does, results have the bits of one thread.

mod common;

use common::{Form, Job, Scoring, view};
use contrib_core::{
    AttentionResults, Context, FactoredAttention, Heads, InstructionSet, Options, Out, PreparedProjection, Tensor,
    TensorMut, attention_factored,
};
use contrib_testing::{Kind, Layout, Operation, Random};
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock, Weak};
use std::thread;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

type Function = fn(usize, Task<'_>);

fn in_order(tasks: usize, task: Task<'_>) {
    (0..tasks).for_each(task);
}

fn on_threads(tasks: usize, task: Task<'_>) {
    thread::scope(|scope| {
        for index in 0..tasks {
            scope.spawn(move || task(index));
        }
    });
}

const HOSTS: [(&str, Function); 11] = [
    ("in order, on the caller", in_order),
    ("in reverse, on the caller", |tasks, task| (0..tasks).rev().for_each(task)),
    ("on a thread each", on_threads),
    ("on the caller and threads", |tasks, task| {
        thread::scope(|scope| {
            for index in 1..tasks {
                scope.spawn(move || task(index));
            }
            task(0);
        });
    }),
    ("all on one other thread", |tasks, task| thread::scope(|scope| _ = scope.spawn(move || in_order(tasks, task)))),
    ("one after the other, on a thread each", |tasks, task| (0..tasks).for_each(|_| on_threads(1, task))),
    ("nothing", |_, _| ()),
    ("only the first", |tasks, task| in_order(tasks.min(1), task)),
    ("all but the first, on threads", |tasks, task| on_threads(tasks.saturating_sub(1), &|index| task(index + 1))),
    ("each twice, on the caller", |tasks, task| (0..2 * tasks).for_each(|index| task(index / 2))),
    ("each twice, on threads", |tasks, task| on_threads(2 * tasks, &|index| task(index / 2))),
];

/// Calls of every kind that are so large that threads are worth it.
fn jobs() -> Vec<Job> {
    let random = &mut Random::new(31);
    let mut job = |operation, kind, shapes: &[&[usize]]| Job::random(operation, kind, shapes, random);
    let heads = |[queries, keys, n, d_head, len]: [usize; 5]| {
        let (resid, pattern) = ([1, queries, len], [1, n, queries, keys]);
        let shapes: [&[usize]; 5] = [&resid, &resid, &pattern, &[1, keys, n, d_head], &[n, d_head, len]];
        Job::random(Operation::AttentionFactored, Kind::F32, &shapes, &mut Random::new(33))
    };
    let many = heads([64, 100, 6, 16, 128]);
    let few = heads([1, 900, 6, 16, 64]);
    let neurons: [&[usize]; 4] = [&[32, 48], &[32, 48], &[32, 3000], &[3000, 48]];
    let neurons = job(Operation::MlpNeurons, Kind::F32, &neurons);
    let causal = Scoring { causal: true, ..Scoring::default() };
    let scores = |job: &Job, number| job.with_queries_and_keys(8, causal, &mut Random::new(number));
    vec![
        // One whole whose parts the threads share, and more wholes than threads.
        job(Operation::Contributions, Kind::F32, &[&[128], &[3000, 128]]),
        job(Operation::Contributions, Kind::F64, &[&[100, 256], &[12, 100, 256]]),
        job(Operation::Threshold, Kind::F32, &[&[600, 500], &[600]]),
        neurons.clone().with_form(Form::TopK(5)),
        neurons,
        scores(&many, 34),
        scores(&few, 35),
        many.with_value_output(),
        many.clone().with_form(Form::Sums),
        many,
        few.clone().with_form(Form::Sparse(0.01, 50)),
        few,
    ]
}

/// A host's function that counts how often it is called.
fn counting(host: Function) -> (Arc<AtomicUsize>, impl Fn(usize, Task<'_>) + Send + Sync) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let host = move |tasks: usize, task: Task<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        host(tasks, task);
    };
    (calls, host)
}

fn one_thread() -> Context {
    Context::new(1).unwrap()
}

#[test]
fn whatever_a_host_does_results_have_the_bits_of_one_thread() {
    let one_thread = one_thread();
    for job in jobs() {
        for norm in [1.0, 2.0, 2.7] {
            let job = job.with_norm(norm);
            let expected = job.bits(Some(&one_thread));
            for (name, host) in HOSTS {
                for threads in [2, 5] {
                    let (calls, host) = counting(host);
                    let context = Context::with_parallel_for(threads, host).unwrap();
                    let what = format!("{:?} {:?} in norm {norm}, {name}, {threads}", job.operation, job.form);
                    assert!(job.bits(Some(&context)) == expected, "{what}");
                    assert!(calls.load(Ordering::Relaxed) > 0, "{what}: the host was not called");
                }
            }
        }
    }
}

#[test]
fn a_host_never_gets_more_tasks_than_it_has_threads() {
    for threads in [2, 3, 7] {
        let context = Context::with_parallel_for(threads, move |tasks, task| {
            assert!((2..=threads).contains(&tasks), "{tasks} tasks for {threads} threads");
            in_order(tasks, task);
        });
        let context = context.unwrap();
        for job in jobs() {
            job.bits(Some(&context));
        }
    }
}

#[test]
fn a_projection_is_prepared_on_a_hosts_threads() {
    let job = jobs().into_iter().rfind(|job| job.get("w_o").is_some()).unwrap();
    let one_thread = one_thread();
    let (calls, host) = counting(on_threads);
    let on_host = Context::with_parallel_for(3, host).unwrap();
    // So large that threads share the work.
    let numbers: Vec<f32> = (0..6 * 64 * 64).map(|number| (number % 23) as f32 - 11.0).collect();
    let w_o = Tensor::new(&numbers, &[6, 64, 64]).unwrap();
    let values = Tensor::strided(&numbers, 0, &[1, 900, 6, 64], &[0, 4, 2, 1]).unwrap();
    let bits = |context: &Context| {
        let options = Options::default().context(context);
        let prepared = PreparedProjection::new(&w_o, &options).unwrap();
        let (mut attn, mut resid) = (vec![0.0_f32; 900 * 6], [0.0_f32]);
        let inputs = FactoredAttention {
            resid_pre: view(job.input("resid_pre")),
            resid_mid: view(job.input("resid_mid")),
            pattern: view(job.input("pattern")).into(),
            heads: Heads::Values { values, w_o, prepared: Some(&prepared) },
            scale: None,
            leave_out_masked: false,
        };
        let results = AttentionResults {
            attn: Out::Each(TensorMut::new(&mut attn, &[1, 1, 900, 6]).unwrap()),
            resid: TensorMut::new(&mut resid, &[1, 1]).unwrap(),
            one_offs: &mut [],
        };
        attention_factored(&inputs, results, &options).unwrap();
        attn.into_iter().chain(resid).map(f32::to_bits).collect::<Vec<_>>()
    };
    let expected = bits(&one_thread);
    PreparedProjection::new(&w_o, &Options::default().context(&on_host)).unwrap();
    assert!(calls.load(Ordering::Relaxed) > 0, "the host was not called");
    assert_eq!(bits(&on_host), expected);
}

#[test]
fn a_host_can_call_the_library_with_the_same_context_from_inside_its_tasks() {
    let job = jobs().swap_remove(0);
    let expected = job.bits(Some(&one_thread()));
    // The context, which its own function uses once it is there.
    let own: Arc<OnceLock<Weak<Context>>> = Arc::default();
    let depth = AtomicUsize::new(0);
    let nested = Arc::new(AtomicUsize::new(0));
    let (inner_job, inner_expected, inner_own, inner_nested) =
        (job.clone(), expected.clone(), own.clone(), nested.clone());
    let context = Context::with_parallel_for(3, move |tasks, task| {
        let is_outermost = depth.fetch_add(1, Ordering::Relaxed) == 0;
        on_threads(tasks, &|index| {
            if is_outermost {
                let context = inner_own.get().and_then(Weak::upgrade).unwrap();
                assert!(inner_job.bits(Some(&context)) == inner_expected, "a call inside a task has other bits");
                inner_nested.fetch_add(1, Ordering::Relaxed);
            }
            task(index);
        });
        depth.fetch_sub(1, Ordering::Relaxed);
    });
    let context = Arc::new(context.unwrap());
    own.set(Arc::downgrade(&context)).unwrap();
    assert_eq!(job.bits(Some(&context)), expected);
    assert_eq!(nested.load(Ordering::Relaxed), 3);
}

#[test]
fn many_callers_at_once_get_the_bits_of_one_alone() {
    let jobs = jobs();
    let one_thread = one_thread();
    let expected: Vec<_> = jobs.iter().map(|job| job.bits(Some(&one_thread))).collect();
    for host in [on_threads, in_order] {
        let context = Context::with_parallel_for(3, host).unwrap();
        let barrier = Barrier::new(6);
        thread::scope(|scope| {
            for caller in 0..6 {
                let (jobs, expected, context, barrier) = (&jobs, &expected, &context, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // Each caller begins with another job.
                    for round in 0..jobs.len() {
                        let index = (round + 2 * caller) % jobs.len();
                        assert!(jobs[index].bits(Some(context)) == expected[index], "{:?}", jobs[index].operation);
                    }
                });
            }
        });
    }
}

#[test]
fn what_a_host_throws_comes_to_the_caller_and_the_context_goes_on() {
    let broken: [(&str, Function); 4] = [
        ("before any task", |_, _| panic!("the host broke")),
        ("after the first task", |_, task| {
            task(0);
            panic!("the host broke");
        }),
        ("after all tasks", |tasks, task| {
            on_threads(tasks, task);
            panic!("the host broke");
        }),
        ("while tasks run", |tasks, task| {
            thread::scope(|scope| {
                for index in 0..tasks {
                    scope.spawn(move || task(index));
                }
                panic!("the host broke");
            });
        }),
    ];
    let one_thread = one_thread();
    for job in jobs() {
        let expected = job.bits(Some(&one_thread));
        for (name, broken) in broken {
            let rounds = AtomicUsize::new(0);
            let context =
                Context::with_parallel_for(3, move |tasks, task| match rounds.fetch_add(1, Ordering::Relaxed) {
                    0 => broken(tasks, task),
                    _ => on_threads(tasks, task),
                });
            let context = context.unwrap();
            let payload = catch_unwind(AssertUnwindSafe(|| job.bits(Some(&context)))).expect_err(name);
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"the host broke"), "{:?}, {name}", job.operation);
            assert!(job.bits(Some(&context)) == expected, "{:?} after a panic {name}", job.operation);
        }
    }
}

#[test]
fn a_host_with_one_thread_is_not_called() {
    let context = Context::with_parallel_for(1, |_, _| panic!("the host was called")).unwrap();
    assert_eq!(context.threads(), 1);
    let one_thread = one_thread();
    for job in jobs() {
        assert_eq!(job.bits(Some(&context)), job.bits(Some(&one_thread)));
    }
}

#[test]
fn a_host_is_not_called_for_little_work() {
    let context = Context::with_parallel_for(4, |_, _| panic!("the host was called")).unwrap();
    let job = Job::random(Operation::Contributions, Kind::F32, &[&[12], &[5, 12]], &mut Random::new(1));
    job.bits(Some(&context));
}

#[test]
fn a_context_says_how_many_threads_the_host_has_and_can_be_limited() {
    let job = jobs().swap_remove(1);
    let expected = job.bits(Some(&one_thread()));
    for threads in [1, 2, 3, Context::MAX_THREADS] {
        let context = Context::with_parallel_for(threads, on_threads).unwrap();
        assert_eq!(context.threads(), threads);
    }
    for set in InstructionSet::ALL {
        let context = Context::with_parallel_for(2, on_threads).unwrap();
        assert_eq!(context.instruction_set(), InstructionSet::best());
        let context = context.at_most(set);
        assert_eq!((context.instruction_set(), context.threads()), (set.min(InstructionSet::best()), 2));
        assert_eq!(job.bits(Some(&context)), expected);
    }
}

#[test]
fn a_host_may_have_threads_with_stacks_of_64_kib() {
    let one_thread = one_thread();
    let context = Context::with_parallel_for(3, |tasks, task| {
        thread::scope(|scope| {
            for index in 0..tasks {
                let small = thread::Builder::new().stack_size(64 * 1024);
                small.spawn_scoped(scope, move || task(index)).unwrap();
            }
        });
    });
    let context = context.unwrap();
    for job in jobs() {
        assert!(job.bits(Some(&context)) == job.bits(Some(&one_thread)), "{:?}", job.operation);
    }
}

#[test]
fn a_hosts_function_lives_as_long_as_its_context() {
    let alive = Arc::new(());
    let of_host = alive.clone();
    let context = Context::with_parallel_for(2, move |_, _| _ = &of_host).unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(context);
    assert_eq!(Arc::strong_count(&alive), 1);
    let of_host = alive.clone();
    Context::with_parallel_for(0, move |_, _| _ = &of_host).unwrap_err();
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_context_can_be_shared_sent_and_used_again_after_a_panic() {
    const fn is_shared<T: Send + Sync + UnwindSafe>(_: &T) {}
    let context = Context::with_parallel_for(2, on_threads).unwrap();
    is_shared(&context);
    is_shared(&Options::default().context(&context));
    assert!(format!("{context:?}").contains("threads: 2"), "{context:?}");
}

#[test]
fn layouts_do_not_matter_on_a_hosts_threads() {
    let job = jobs().swap_remove(1);
    let expected = job.bits(Some(&one_thread()));
    let context = Context::with_parallel_for(3, on_threads).unwrap();
    for (_, layout) in Layout::OTHERS {
        assert_eq!(job.laid_out(layout).bits(Some(&context)), expected);
    }
}
