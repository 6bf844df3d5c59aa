//! The tasks of one caller, which any number of threads take one by one.

use crate::floating_point::DefaultSettings;
use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a task threw.
type Payload = Box<dyn Any + Send>;

/// Tasks with the indices below a number.
pub(crate) struct Job<'a> {
    task: &'a (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// The first that was thrown. (Some systems' locks need memory when they are first taken; this one is taken for nothing
    /// else.)
    thrown: Mutex<Option<Payload>>,
}

impl<'a> Job<'a> {
    /// A job that calls `task(slot, index)` once for each index below `tasks`.
    pub(crate) fn new(tasks: usize, task: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Job { task, tasks, next: AtomicUsize::new(0), thrown: Mutex::new(None) }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Whether there are tasks that nobody has taken.
    pub(crate) fn has_tasks(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.tasks
    }

    /// Does tasks until all have begun. What one of them throws is kept, and keeps others from beginning. No other thread
    /// has this slot meanwhile.
    pub(crate) fn work(&self, slot: usize) {
        self.work_while(slot, || true);
    }

    /// The same, as long as it is so before each task.
    pub(crate) fn work_while(&self, slot: usize, is_so: impl Fn() -> bool) {
        let _settings = DefaultSettings::enter();
        self.catch(|| {
            while is_so() {
                // Tasks are taken one by one: a few may be all the work, and cores are not equally fast.
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= self.tasks {
                    return;
                }
                (self.task)(slot, index);
            }
        });
    }

    /// Runs `body`. What it throws is kept, and keeps tasks from beginning.
    pub(crate) fn catch(&self, body: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
            self.next.store(self.tasks, Ordering::Relaxed);
            let mut thrown = self.thrown.lock().unwrap_or_else(PoisonError::into_inner);
            if thrown.is_none() {
                *thrown = Some(payload);
            } else {
                // Dropping it could throw again.
                mem::forget(payload);
            }
        }
    }

    /// Ends a job whose tasks are done: throws what one of them threw.
    pub(crate) fn finish(self) {
        if let Some(payload) = self.thrown.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }
}
