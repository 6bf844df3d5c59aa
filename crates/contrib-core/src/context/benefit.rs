//! Whether the workers of a pool are worth waiting for.
//!
//! Where a host's threads spin on the cores, the system lets a worker and one of them run in turn, for some milliseconds each. A
//! caller that has no task left then waits for a worker that has one, but does not run. So a pool keeps account: the time
//! that workers run in tasks is gained, and the time that callers wait for them is lost. Where more was lost than gained,
//! a caller works alone for a multiple of the difference before it wakes workers. So waiting takes a small share of all time,
//! whatever else the machine does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How many times as long as waiting has cost a caller works alone.
const ALONE: u32 = 20;

/// No more gains are remembered than this, so that a pool soon finds that its workers do not run any more.
const MOST: i64 = 5_000_000;

/// No more losses are remembered than this: a program that was stopped for a minute has not waited for its workers.
const LEAST: i64 = -50_000_000;

/// What a pool's workers have gained for its callers, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Benefit(AtomicI64);

impl Benefit {
    pub(crate) const fn new() -> Self {
        Benefit(AtomicI64::new(0))
    }

    /// In a job, workers have run for so long, and its caller has waited for them for so long.
    pub(crate) fn add(&self, run: Duration, waited: Duration) {
        let benefit_of_job = nanoseconds(run).saturating_sub(nanoseconds(waited));
        let added = |benefit: i64| Some(benefit.saturating_add(benefit_of_job).clamp(LEAST, MOST));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// A caller has worked alone for so long: losses are forgotten in proportion.
    pub(crate) fn worked_alone(&self, time: Duration) {
        let made_good = nanoseconds(time / ALONE);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |benefit| {
            (benefit < 0).then_some(benefit.saturating_add(made_good).min(0))
        });
    }

    /// How long a caller works alone before it wakes workers.
    pub(crate) fn time_alone(&self) -> Duration {
        let loss = 0.max(-self.0.load(Ordering::Relaxed));
        ALONE * Duration::from_nanos(loss.unsigned_abs())
    }
}

fn nanoseconds(time: Duration) -> i64 {
    time.as_nanos().try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn workers_are_woken_at_once_while_they_have_gained_more_than_was_lost() {
        let benefit = Benefit::new();
        assert_eq!(benefit.time_alone(), Duration::ZERO);
        benefit.add(10 * MICROSECOND, 9 * MICROSECOND);
        assert_eq!(benefit.time_alone(), Duration::ZERO);
        benefit.add(Duration::ZERO, 3 * MICROSECOND);
        assert_eq!(benefit.time_alone(), 2 * ALONE * MICROSECOND);
    }

    #[test]
    fn what_was_lost_is_made_good_by_working_alone() {
        let benefit = Benefit::new();
        benefit.add(MICROSECOND, 8 * MICROSECOND);
        benefit.worked_alone(3 * ALONE * MICROSECOND);
        assert_eq!(benefit.time_alone(), 4 * ALONE * MICROSECOND);
        benefit.worked_alone(100 * ALONE * MICROSECOND);
        assert_eq!(benefit.time_alone(), Duration::ZERO);
        // It was no gain.
        benefit.add(Duration::ZERO, MICROSECOND);
        assert_eq!(benefit.time_alone(), ALONE * MICROSECOND);
    }

    #[test]
    fn old_gains_and_losses_are_forgotten() {
        let benefit = Benefit::new();
        (0..1000).for_each(|_| benefit.add(1000 * MICROSECOND, Duration::ZERO));
        benefit.add(Duration::ZERO, 5100 * MICROSECOND);
        assert_eq!(benefit.time_alone(), 100 * ALONE * MICROSECOND);
        benefit.add(Duration::ZERO, Duration::MAX);
        assert_eq!(benefit.time_alone(), ALONE * Duration::from_millis(50));
    }
}
