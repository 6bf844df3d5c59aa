//! What is done between the blocks of a long call: signals are looked at, and a callback hears how far the work is.

use contrib_routes::{Progress, Stage};
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often Python is asked at most: taking its lock may have to wait for other threads.
const PERIOD: Duration = Duration::from_millis(50);

/// Asks Python between blocks.
pub(super) struct Watch {
    callback: Option<Py<PyAny>>,
    last: Instant,
    /// What was raised.
    pub(super) raised: Option<PyErr>,
}

impl Watch {
    /// One that calls `callback(layer, n_layers, stage, done, positions, edges)`.
    pub(super) fn new(callback: Option<Py<PyAny>>) -> Self {
        Watch { callback, last: Instant::now(), raised: None }
    }

    /// Called after each block.
    pub(super) fn block(&mut self, progress: Progress) -> ControlFlow<()> {
        let is_last = progress.layer == 0 && progress.done == progress.positions && progress.stage == Stage::ResidMid;
        if !is_last && self.last.elapsed() < PERIOD {
            return ControlFlow::Continue(());
        }
        let asked = Python::attach(|py| self.ask(py, progress));
        self.last = Instant::now();
        match asked {
            Ok(()) => ControlFlow::Continue(()),
            Err(raised) => {
                self.raised = Some(raised);
                ControlFlow::Break(())
            }
        }
    }

    fn ask(&self, py: Python<'_>, progress: Progress) -> PyResult<()> {
        py.check_signals()?;
        let Some(callback) = &self.callback else { return Ok(()) };
        let Progress { layer, n_layers, stage, done, positions, edges } = progress;
        let stage = match stage {
            Stage::ResidPost => "resid_post",
            Stage::ResidMid => "resid_mid",
        };
        callback.call1(py, (layer, n_layers, stage, done, positions, edges)).map(drop)
    }
}
