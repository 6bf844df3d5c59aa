//! Working memory that a context keeps between calls: results have the same bits with it, limits hold, and it goes when it is
//! asked to.

mod common;

use common::{Form, Job, Outputs, Scoring, result_kind};
use contrib_core::Context;
use contrib_testing::{Kind, Layout, Operation, Random, Stored};
use std::thread;

fn keeping(threads: usize, bytes: usize) -> Context {
    let context = Context::new(threads).unwrap();
    context.limit_kept_memory(bytes);
    context
}

/// Calls of every operation that need working memory, of many sizes, so that each finds what others left behind.
fn jobs() -> Vec<Job> {
    let mut random = Random::new(29);
    let mut jobs = Vec::new();
    for kind in [Kind::F32, Kind::F64] {
        let mut add = |operation, shapes: &[&[usize]]| {
            let job = Job::random(operation, kind, shapes, &mut random);
            jobs.push(job);
        };
        add(Operation::Contributions, &[&[128], &[4096, 128]]);
        add(Operation::OneOff, &[&[20, 64], &[300, 20, 64], &[20, 64]]);
        add(Operation::Attention, &[&[1, 32, 48], &[1, 32, 48], &[1, 32, 40, 12, 48]]);
        add(Operation::Mlp, &[&[2, 128, 96], &[2, 128, 96], &[2, 128, 96]]);
        add(Operation::DecomposedMlp, &[&[128], &[128], &[3072, 128]]);
        add(Operation::Threshold, &[&[600, 500], &[600]]);
        for (tokens, d_model) in [(1, 40), (3, 96), (50, 33), (70, 96)] {
            let (resid, pattern) = ([1, tokens, d_model], [1, 3, tokens, 70]);
            let shapes: [&[usize]; 5] = [&resid, &resid, &pattern, &[1, 70, 3, 20], &[3, 20, d_model]];
            add(Operation::AttentionFactored, &shapes);
            let (resid, hidden) = ([tokens, d_model], [tokens, 200]);
            add(Operation::MlpNeurons, &[&resid, &resid, &hidden, &[200, d_model]]);
        }
    }
    let mut further = Vec::new();
    for job in jobs.iter().filter(|job| job.operation == Operation::AttentionFactored) {
        further.push(job.with_value_output());
        further.push(job.clone().with_form(Form::Sums));
        let scoring = Scoring { causal: true, ..Scoring::default() };
        further.push(job.with_queries_and_keys(17, scoring, &mut random));
    }
    for job in jobs.iter().filter(|job| matches!(job.operation, Operation::MlpNeurons)) {
        further.push(job.clone().with_form(Form::TopK(7)));
    }
    jobs.extend(further);
    jobs.iter().flat_map(|job| [1.0, 2.0, 3.0].map(|norm| job.with_norm(norm))).collect()
}

fn results(job: &Job, context: &Context) -> [Vec<u64>; 2] {
    let kind = result_kind(job.inputs[0].1.kind());
    let outputs: Outputs = job.results_as(kind, Layout::row_major, Some(context));
    outputs.map(|output: Stored| output.bits())
}

fn name(job: &Job) -> String {
    format!("{:?} {:?} {}, norm {}", job.operation, job.form, job.inputs[0].1.kind().name(), job.norm)
}

#[test]
fn results_have_the_same_bits_with_and_without_kept_memory() {
    let jobs = jobs();
    for threads in [1, 2] {
        let without = keeping(threads, 0);
        let expected: Vec<_> = jobs.iter().map(|job| results(job, &without)).collect();
        assert_eq!(without.kept_memory(), 0);
        let with = Context::new(threads).unwrap();
        for (job, expected) in jobs.iter().zip(&expected).chain(jobs.iter().zip(&expected).rev()) {
            assert_eq!(results(job, &with), *expected, "{}, {threads} threads", name(job));
        }
        assert!(with.kept_memory() > 0);
        assert!(with.kept_memory() <= Context::DEFAULT_KEPT_MEMORY);
    }
}

#[test]
fn what_is_kept_stays_within_any_limit() {
    for threads in [1, 2] {
        for limit in [0, 1, 10_000, 100_000, 1_000_000] {
            let context = keeping(threads, limit);
            for job in jobs().iter().step_by(5) {
                results(job, &context);
                assert!(context.kept_memory() <= limit, "{}: {} > {limit}", name(job), context.kept_memory());
            }
        }
    }
}

#[test]
fn kept_memory_goes_when_it_is_released_or_the_limit_is_lowered() {
    let context = Context::new(1).unwrap();
    assert_eq!(context.kept_memory(), 0);
    let job = &jobs()[0];
    let expected = results(job, &context);
    let kept = context.kept_memory();
    assert!(kept > 0);
    assert_eq!(results(job, &context), expected);
    assert_eq!(context.kept_memory(), kept);
    context.release_memory();
    assert_eq!(context.kept_memory(), 0);
    assert_eq!(results(job, &context), expected);
    assert_eq!(context.kept_memory(), kept);
    context.limit_kept_memory(kept - 1);
    assert!(context.kept_memory() < kept);
}

#[test]
fn a_call_for_one_token_keeps_nothing() {
    let context = Context::new(2).unwrap();
    let job = Job::random(Operation::Contributions, Kind::F32, &[&[768], &[12, 768]], &mut Random::new(31));
    results(&job, &context);
    assert_eq!(context.kept_memory(), 0);
}

#[test]
fn calls_at_the_same_time_share_what_is_kept() {
    let jobs: Vec<Job> = jobs().into_iter().step_by(7).collect();
    let without = keeping(1, 0);
    let expected: Vec<_> = jobs.iter().map(|job| results(job, &without)).collect();
    for limit in [Context::DEFAULT_KEPT_MEMORY, 200_000] {
        let context = &keeping(2, limit);
        thread::scope(|scope| {
            for caller in 0..4 {
                let (jobs, expected) = (&jobs, &expected);
                scope.spawn(move || {
                    for index in (0..jobs.len()).map(|index| (index * (2 * caller + 1) + caller) % jobs.len()) {
                        assert_eq!(results(&jobs[index], context), expected[index], "{}", name(&jobs[index]));
                        if index == 0 {
                            context.release_memory();
                        }
                    }
                });
            }
        });
        assert!(context.kept_memory() <= limit);
    }
}

/// Whatever an earlier call left behind: what has no elements is not read from it.
#[test]
fn vectors_of_no_elements_are_no_garbage() {
    let mut random = Random::new(37);
    let context = Context::new(1).unwrap();
    for (d_model, d_head) in [(0, 20), (40, 0), (0, 0)] {
        for norm in [1.0, 2.0, 3.0] {
            for job in jobs().iter().step_by(11) {
                results(job, &context);
            }
            let (resid, heads) = ([1, 30, d_model], [3, d_head, d_model]);
            let shapes: [&[usize]; 5] = [&resid, &resid, &[1, 3, 30, 30], &[1, 30, 3, d_head], &heads];
            let job = Job::random(Operation::AttentionFactored, Kind::F32, &shapes, &mut random).with_norm(norm);
            let scored = job.with_queries_and_keys(0, Scoring::default(), &mut random);
            for job in [job.with_value_output(), scored, job] {
                let [heads, residual] = job.results(Some(&context)).map(|output| output.to_f64());
                for (query, parts) in heads.chunks_exact(90).enumerate() {
                    let sum = parts.iter().sum::<f64>() + residual[query];
                    assert!((sum - 1.0).abs() < 1e-6, "[{d_head}, {d_model}], norm {norm}: {sum}");
                }
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_forked_child_keeps_nothing_and_gets_the_same_bits() {
    let job = &jobs()[0];
    let context = Context::new(2).unwrap();
    let expected = results(job, &context);
    let kept = context.kept_memory();
    assert!(kept > 0);
    // SAFETY: the child calls nothing that another thread of the parent may have left halfway, but for the allocator, which
    // the C library prepares for forks.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let is_empty = context.kept_memory() == 0;
        let is_same = results(job, &context) == expected;
        context.release_memory();
        let is_still_empty = context.kept_memory() == 0;
        drop(context);
        // SAFETY: it ends the child, without the harness.
        unsafe { libc::_exit(i32::from(!(is_empty && is_same && is_still_empty))) };
    }
    let mut status = 0;
    // SAFETY: the status can be written.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
    assert_eq!(context.kept_memory(), kept);
    assert_eq!(results(job, &context), expected);
}
