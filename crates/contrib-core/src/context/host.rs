//! Threads of a host, which runs tasks on them with a function of its own.

use super::job::Job;
use crate::floating_point::Settings;
use crate::memory::try_box;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls a task with each index below a number, and returns when all that it began have ended.
type ParallelFor = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Send + Sync;

/// A host's function, and how many threads it has.
pub(crate) struct Host {
    threads: usize,
    parallel_for: Box<ParallelFor>,
}

// What a function that panicked leaves behind is the host's own; nothing of a job outlives it.
impl UnwindSafe for Host {}
impl RefUnwindSafe for Host {}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Host {
    /// `None` where memory is missing.
    pub(crate) fn new<F>(threads: usize, parallel_for: F) -> Option<Self>
    where
        F: Fn(usize, &(dyn Fn(usize) + Sync)) + Send + Sync + 'static,
    {
        Some(Host { threads, parallel_for: try_box(parallel_for)? })
    }

    /// The number of threads that work on a job at most.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(slot, index)` once for each index below `tasks`, in any order, and returns when all are done. Slots are
    /// less than [`Host::threads`], and no two calls of the job that run at the same time have the same one. The host's
    /// function runs under the caller's own floating-point settings. Where it panics, or a task, others do not begin; this
    /// panics then.
    pub(crate) fn for_each(&self, settings: Settings, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        let job = Job::new(tasks, task);
        let slots = self.threads.min(tasks);
        let taken = AtomicUsize::new(0);
        // Slots are taken in the order in which the host comes: its own indices may come twice, or not at all.
        let next_slot = |taken: usize| (taken < slots).then(|| taken + 1);
        let help = |_| {
            if let Ok(slot) = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next_slot) {
                job.work(slot);
            }
        };
        job.catch(|| {
            let _settings = settings.enter();
            (self.parallel_for)(slots, &help);
        });
        // The host has left all slots. What it has not begun is done here.
        job.work(0);
        job.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    type Task<'a> = &'a (dyn Fn(usize) + Sync);

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

    /// Each task on two threads at the same time, with indices that nobody asked for.
    fn twice_on_threads(tasks: usize, task: Task<'_>) {
        thread::scope(|scope| {
            for index in 0..2 * tasks {
                scope.spawn(move || task(1000 - index / 2));
            }
        });
    }

    const HOSTS: [fn(usize, Task<'_>); 6] = [
        in_order,
        on_threads,
        twice_on_threads,
        |_, _| (),
        |tasks, task| in_order(tasks.min(1), task),
        |tasks, task| on_threads(tasks / 2, task),
    ];

    fn for_each(host: &Host, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        host.for_each(Settings::current(), tasks, task);
    }

    /// Checks that each index comes once, and that no two tasks have a slot at the same time.
    fn check(host: &Host, tasks: usize) {
        let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        let taken: Vec<_> = (0..host.threads()).map(|_| AtomicBool::new(false)).collect();
        for_each(host, tasks, &|slot, index| {
            assert!(!taken[slot].swap(true, Ordering::Relaxed), "two tasks in slot {slot}");
            counts[index].fetch_add(1, Ordering::Relaxed);
            if index.is_multiple_of(7) {
                thread::yield_now();
            }
            taken[slot].store(false, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    fn message(host: &Host, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) -> String {
        let payload = catch_unwind(AssertUnwindSafe(|| for_each(host, tasks, task))).unwrap_err();
        payload.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn each_index_comes_once_and_no_slot_twice_at_a_time() {
        for host in HOSTS {
            for threads in [1, 2, 3, 20] {
                let host = Host::new(threads, host).unwrap();
                assert_eq!(host.threads(), threads);
                for tasks in [0, 1, 2, 3, 100, 1000] {
                    check(&host, tasks);
                }
            }
        }
    }

    #[test]
    fn a_host_gets_a_task_for_each_thread_but_no_more_than_there_are() {
        for (threads, tasks, expected) in [(4, 100, 4), (4, 4, 4), (4, 3, 3), (1, 5, 1), (7, 0, 0)] {
            let host = Host::new(threads, move |given, task: Task<'_>| {
                assert_eq!(given, expected);
                in_order(given, task);
            });
            check(&host.unwrap(), tasks);
        }
    }

    #[test]
    fn a_hosts_threads_work_at_the_same_time() {
        let host = Host::new(4, on_threads).unwrap();
        // All four tasks must have begun before one ends.
        let all = Barrier::new(4);
        for _ in 0..20 {
            for_each(&host, 4, &|_, _| _ = all.wait());
        }
    }

    #[test]
    fn many_callers_share_a_host() {
        let host = &Host::new(3, on_threads).unwrap();
        thread::scope(|scope| {
            for caller in 0..8 {
                scope.spawn(move || (0..50).for_each(|round| check(host, (31 * caller + round) % 50)));
            }
        });
    }

    #[test]
    fn what_a_task_throws_comes_to_the_caller_and_the_host_goes_on() {
        for host in HOSTS {
            let host = Host::new(3, host).unwrap();
            for broken in [0, 1, 50, 99] {
                let thrown = message(&host, 100, &|_, index| assert!(index != broken, "task {index} broke"));
                assert_eq!(thrown, format!("task {broken} broke"));
                check(&host, 100);
            }
        }
    }

    #[test]
    fn a_host_sees_nothing_of_what_tasks_throw() {
        let returned = std::sync::Arc::new(AtomicUsize::new(0));
        let seen = returned.clone();
        let host = Host::new(3, move |tasks, task: Task<'_>| {
            on_threads(tasks, task);
            seen.fetch_add(1, Ordering::Relaxed);
        });
        message(&host.unwrap(), 3, &|_, index| panic!("task {index} broke"));
        assert_eq!(returned.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_a_host_throws_comes_to_the_caller_and_keeps_tasks_from_beginning() {
        let begun = AtomicUsize::new(0);
        let count = |_, _| _ = begun.fetch_add(1, Ordering::Relaxed);
        let host = Host::new(3, |tasks, _: Task<'_>| panic!("no threads for {tasks} tasks")).unwrap();
        assert_eq!(message(&host, 100, &count), "no threads for 3 tasks");
        assert_eq!(begun.load(Ordering::Relaxed), 0);

        // After all that there was to do.
        let host = Host::new(3, |tasks, task: Task<'_>| {
            in_order(tasks, task);
            panic!("{tasks} tasks were enough");
        });
        assert_eq!(message(&host.unwrap(), 100, &count), "3 tasks were enough");
        assert_eq!(begun.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn of_what_tasks_and_host_throw_the_first_comes_to_the_caller() {
        let host = Host::new(3, |tasks, task: Task<'_>| {
            in_order(tasks, task);
            panic!("the host broke");
        });
        assert_eq!(message(&host.unwrap(), 100, &|_, index| panic!("task {index} broke")), "task 0 broke");
    }
}
