//! A pool of threads that help callers with their tasks.
//!
//! A caller lists its job, wakes workers, and takes tasks itself until none are left. So a job waits for no worker that has
//! not begun a task of it: where a host's threads keep all cores busy, the caller does the work. Where waiting for workers has
//! cost more than they have done, it [works alone](Benefit) for a while. Jobs lie on the stacks of their
//! callers and are linked through themselves, so that a job needs no memory.

use super::benefit::Benefit;
use super::job::Job;
use super::thread::{Thread, name_current, processor_time};
use crate::memory::try_box;
use std::cell::Cell;
use std::ffi::c_void;
use std::hint;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// How long a worker looks out for the next job, and a caller for its last workers, before it sleeps: waking a thread takes
/// about as long.
const SPIN: Duration = Duration::from_micros(30);

/// Threads that help any number of callers at the same time.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Also used by the workers, until they are joined.
    shared: NonNull<Shared>,
    workers: Vec<Thread>,
}

// SAFETY: what is shared is `Sync`, and is freed by the one who owns the pool.
unsafe impl Send for Pool {}
// SAFETY: as above; a pool that is shared changes only what is `Sync`.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool with so many workers, or `None` where memory is missing or the system does not start all of them.
    pub(crate) fn new(workers: usize) -> Option<Self> {
        let mut threads = Vec::new();
        threads.try_reserve_exact(workers).ok()?;
        let shared = NonNull::from(Box::leak(try_box(Shared::new())?));
        // Dropping it ends the workers that were started.
        let mut pool = Pool { shared, workers: threads };
        for _ in 0..workers {
            // SAFETY: `work` takes a pointer to what is shared, which is freed after the thread is joined, and which other
            // threads may use.
            pool.workers.push(unsafe { Thread::start(work, shared.as_ptr().cast()) }?);
        }
        Some(pool)
    }

    /// The number of threads that work on a job: the workers and its caller.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(slot, index)` once for each index below `tasks`, in any order, and returns when all are done. Slots are
    /// less than [`Pool::threads`], and no two calls of the job that run at the same time have the same one. A task that
    /// panics keeps others from beginning; this panics then.
    pub(crate) fn for_each(&self, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        let listed = ListedJob::new(Job::new(tasks, task));
        let benefit = &self.shared().benefit;
        let alone = benefit.time_alone();
        if !alone.is_zero() {
            let start = Instant::now();
            listed.job.work_while(0, || start.elapsed() < alone);
            benefit.worked_alone(start.elapsed());
        }
        if listed.job.has_tasks() {
            // From here until workers have left the job nothing unwinds.
            let start = Instant::now();
            self.shared().list(&listed);
            let listing = start.elapsed();
            listed.job.work(0);
            let start = Instant::now();
            self.shared().remove(&listed);
            benefit.add(listed.helped.get(), listing + start.elapsed());
        }
        listed.job.finish();
    }

    fn shared(&self) -> &Shared {
        // SAFETY: it is freed when the pool is dropped.
        unsafe { self.shared.as_ref() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared().end();
        self.workers.drain(..).for_each(Thread::join);
        // SAFETY: it comes from a box, and no worker is left that uses it.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}

/// What a worker runs, with a pointer to what its pool shares.
extern "C" fn work(shared: *mut c_void) -> *mut c_void {
    // SAFETY: the pool starts its threads with this pointer, and frees what it points to after they are joined.
    unsafe { &*shared.cast::<Shared>() }.work();
    ptr::null_mut()
}

/// What a pool's workers and callers share. (On Linux its locks need no memory of their own.)
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Where workers sleep until there is a job, or the pool ends.
    wake: Condvar,
    /// Where callers sleep until the last worker has left their job.
    left: Condvar,
    /// Changes when there may be something to do, for workers that look out for it without the lock.
    events: AtomicUsize,
    /// How many workers have begun to run.
    begun: AtomicUsize,
    /// Whether they are worth waiting for.
    benefit: Benefit,
}

#[derive(Debug)]
struct State {
    /// The jobs that have callers. Each is alive while it is listed.
    first: Cell<*const ListedJob<'static>>,
    /// Workers that sleep.
    asleep: usize,
    /// Workers that look out for a job, and need not be woken.
    looking: usize,
    /// Callers that sleep.
    waiting: usize,
    ended: bool,
}

// SAFETY: a job may be used by any thread that has the lock.
unsafe impl Send for State {}

impl Shared {
    fn new() -> Self {
        let first = Cell::new(ptr::null());
        Shared {
            state: Mutex::new(State { first, asleep: 0, looking: 0, waiting: 0, ended: false }),
            wake: Condvar::new(),
            left: Condvar::new(),
            events: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            benefit: Benefit::new(),
        }
    }

    /// Nothing that holds the lock panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(on: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        on.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a job and wakes workers for it. It must be [taken off](Shared::remove) before it is gone.
    fn list(&self, listed: &ListedJob<'_>) {
        let state = self.lock();
        listed.link.set(state.first.replace(listed.address()));
        self.events.fetch_add(1, Ordering::Release);
        let needed = listed.job.tasks().saturating_sub(1 + state.looking);
        let asleep = state.asleep;
        drop(state);
        if needed >= asleep && asleep > 0 {
            self.wake.notify_all();
        } else {
            (0..needed.min(asleep)).for_each(|_| self.wake.notify_one());
        }
    }

    /// Takes a job whose tasks have all begun off the list, and waits until no worker is inside it.
    fn remove(&self, listed: &ListedJob<'_>) {
        let mut state = self.lock();
        state.remove(listed);
        if listed.is_occupied() {
            drop(state);
            spin_while(|| listed.is_occupied());
            state = self.lock();
        }
        while listed.is_occupied() {
            state.waiting += 1;
            state = Self::sleep(&self.left, state);
            state.waiting -= 1;
        }
    }

    /// Lets the workers end.
    fn end(&self) {
        self.lock().ended = true;
        self.events.fetch_add(1, Ordering::Release);
        self.wake.notify_all();
    }

    /// Helps with one job after the other, until the pool ends.
    fn work(&self) {
        // The caller of a job has slot 0.
        let slot = 1 + self.begun.fetch_add(1, Ordering::Relaxed);
        name_current(slot);
        let mut state = self.lock();
        while !state.ended {
            let Some(listed) = state.open_job() else {
                state.asleep += 1;
                state = Self::sleep(&self.wake, state);
                state.asleep -= 1;
                continue;
            };
            // SAFETY: the job is listed, and its caller has it until it finds no worker inside it, with the lock.
            let listed = unsafe { &*listed };
            listed.workers.fetch_add(1, Ordering::Relaxed);
            drop(state);
            let start = processor_time();
            listed.job.work(slot);
            let helped = processor_time().saturating_sub(start);
            state = self.lock();
            listed.helped.set(listed.helped.get() + helped);
            let left = listed.workers.fetch_sub(1, Ordering::Relaxed);
            // The job is not used from here on.
            if left == 1 && state.waiting > 0 {
                self.left.notify_all();
            }
            // Steps of one call follow each other.
            if state.open_job().is_none() {
                state.looking += 1;
                let events = self.events.load(Ordering::Relaxed);
                drop(state);
                spin_while(|| self.events.load(Ordering::Acquire) == events);
                state = self.lock();
                state.looking -= 1;
            }
        }
    }
}

impl State {
    /// The job with the fewest workers among those that have tasks left.
    fn open_job(&self) -> Option<*const ListedJob<'static>> {
        let mut found: Option<(usize, *const ListedJob<'static>)> = None;
        let mut next = self.first.get();
        // SAFETY: jobs are alive while they are listed.
        while let Some(listed) = unsafe { next.as_ref() } {
            let workers = listed.workers.load(Ordering::Relaxed);
            if listed.job.has_tasks() && found.is_none_or(|(fewest, _)| workers < fewest) {
                found = Some((workers, next));
            }
            next = listed.link.get();
        }
        found.map(|(_, listed)| listed)
    }

    /// Takes a job that is listed off the list.
    fn remove(&mut self, listed: &ListedJob<'_>) {
        let mut to_job = &self.first;
        while to_job.get() != listed.address() {
            // SAFETY: jobs are alive while they are listed, and this one comes after the other.
            to_job = unsafe { &(*to_job.get()).link };
        }
        to_job.set(listed.link.get());
    }
}

/// A job that workers find in the list.
struct ListedJob<'a> {
    job: Job<'a>,
    /// Workers inside the job: changes only with the lock.
    workers: AtomicUsize,
    /// How long workers have run in its tasks: changes only with the lock.
    helped: Cell<Duration>,
    /// The next job of the list: used only with the lock.
    link: Cell<*const ListedJob<'static>>,
}

impl<'a> ListedJob<'a> {
    fn new(job: Job<'a>) -> Self {
        ListedJob { job, workers: AtomicUsize::new(0), helped: Cell::new(Duration::ZERO), link: Cell::new(ptr::null()) }
    }

    /// What the list knows it by.
    fn address(&self) -> *const ListedJob<'static> {
        ptr::from_ref(self).cast()
    }

    fn is_occupied(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }
}

/// Waits while it is so, for a short time only. Other threads may have the core meanwhile.
fn spin_while(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while is_so() && start.elapsed() < SPIN {
        (0..16).for_each(|_| hint::spin_loop());
        yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    /// Has the next job of a pool that nobody else uses shared, whatever workers have cost before.
    fn forgive(pool: &Pool) {
        pool.shared().benefit.add(Duration::from_secs(1), Duration::ZERO);
    }

    /// Checks that each index comes once, and that no two tasks have a slot at the same time.
    fn check(pool: &Pool, tasks: usize) {
        forgive(pool);
        let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        let taken: Vec<_> = (0..pool.threads()).map(|_| AtomicBool::new(false)).collect();
        pool.for_each(tasks, &|slot, index| {
            assert!(!taken[slot].swap(true, Ordering::Relaxed), "two tasks in slot {slot}");
            counts[index].fetch_add(1, Ordering::Relaxed);
            if index.is_multiple_of(7) {
                yield_now();
            }
            taken[slot].store(false, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    fn message(pool: &Pool, task: &(dyn Fn(usize, usize) + Sync)) -> String {
        let payload = catch_unwind(AssertUnwindSafe(|| pool.for_each(100, task))).unwrap_err();
        payload.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn each_index_comes_once_and_no_slot_twice_at_a_time() {
        for workers in [0, 1, 2, 7, 40] {
            let pool = Pool::new(workers).unwrap();
            assert_eq!(pool.threads(), workers + 1);
            for tasks in [0, 1, 2, 3, 100, 10_000] {
                check(&pool, tasks);
            }
        }
    }

    #[test]
    fn workers_help_with_long_tasks() {
        let pool = Pool::new(3).unwrap();
        // All four tasks must have begun before one ends.
        let all = Barrier::new(4);
        for _ in 0..100 {
            forgive(&pool);
            pool.for_each(4, &|_, _| _ = all.wait());
        }
    }

    #[test]
    fn a_caller_works_alone_for_a_while_where_waiting_cost_more_than_workers_did() {
        let pool = Pool::new(1).unwrap();
        pool.shared().benefit.add(Duration::ZERO, Duration::from_millis(1));
        let alone = pool.shared().benefit.time_alone();
        pool.for_each(100, &|slot, _| assert_eq!(slot, 0));
        assert!(pool.shared().benefit.time_alone() < alone);
        // The rest of a long job is shared: the last two tasks wait for each other.
        let both = Barrier::new(2);
        pool.for_each(3, &|_, index| {
            if index == 0 {
                thread::sleep(2 * alone);
            } else {
                both.wait();
            }
        });
    }

    #[test]
    fn many_callers_share_a_pool() {
        let pool = &Pool::new(3).unwrap();
        thread::scope(|scope| {
            for caller in 0..8 {
                scope.spawn(move || (0..200).for_each(|round| check(pool, (31 * caller + round) % 50)));
            }
        });
    }

    #[test]
    fn a_job_waits_for_no_worker_that_is_in_another() {
        let pool = Pool::new(1).unwrap();
        let (begun, end) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            scope.spawn(|| {
                pool.for_each(2, &|_, _| {
                    begun.wait();
                    end.wait();
                });
            });
            begun.wait();
            check(&pool, 100);
            end.wait();
        });
    }

    #[test]
    fn jobs_follow_each_other_a_hundred_thousand_times() {
        let pool = Pool::new(1).unwrap();
        let sum = AtomicUsize::new(0);
        for _ in 0..100_000 {
            forgive(&pool);
            pool.for_each(2, &|_, index| _ = sum.fetch_add(index + 1, Ordering::Relaxed));
        }
        assert_eq!(sum.into_inner(), 300_000);
    }

    #[test]
    fn jobs_after_pauses_wake_the_workers() {
        let pool = Pool::new(2).unwrap();
        let all = Barrier::new(3);
        for _ in 0..20 {
            thread::sleep(SPIN * 10);
            forgive(&pool);
            pool.for_each(3, &|_, _| _ = all.wait());
        }
    }

    #[test]
    fn what_a_task_throws_comes_to_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for round in 0..50 {
            let thrown = message(&pool, &|_, index| assert!(index != 10 + round, "task {index} broke"));
            assert_eq!(thrown, format!("task {} broke", 10 + round));
            check(&pool, 100);
        }
    }

    #[test]
    fn what_a_worker_throws_comes_to_the_caller() {
        let pool = Pool::new(2).unwrap();
        let all = Barrier::new(3);
        let thrown = message(&pool, &|slot, index| {
            if index < 3 {
                all.wait();
            }
            assert!(slot == 0, "slot {slot} broke");
        });
        assert!(["slot 1 broke", "slot 2 broke"].contains(&&*thrown));
        check(&pool, 100);
    }

    #[test]
    fn pools_can_be_dropped_idle_and_just_after_a_job() {
        for workers in 0..20 {
            drop(Pool::new(workers).unwrap());
            let pool = Pool::new(workers).unwrap();
            check(&pool, workers);
        }
    }
}
