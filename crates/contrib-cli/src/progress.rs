//! How far the work is, for a user who waits, and how it is stopped.

use contrib_routes::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ops::ControlFlow;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(400);
/// Parts of a layer that the bar can show.
const STEPS: u64 = 1000;

static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether the user wants the work to stop.
pub fn is_stopped() -> bool {
    IS_STOPPED.load(Ordering::Relaxed)
}

/// From here on, Ctrl-C stops the work where it can be stopped, and nothing is left half done.
pub fn listen() {
    static ONCE: Once = Once::new();
    // Where there is no handler to be had, the signal ends the process.
    ONCE.call_once(|| drop(ctrlc::set_handler(|| IS_STOPPED.store(true, Ordering::Relaxed))));
}

/// A bar on the standard error, where that is a terminal.
pub struct Bar {
    shown: ProgressBar,
    begun: Instant,
    is_shown: bool,
    what: String,
}

impl Bar {
    pub fn new(what: &str) -> Self {
        listen();
        Bar { shown: ProgressBar::hidden(), begun: Instant::now(), is_shown: false, what: what.to_string() }
    }

    /// To be called after each block.
    pub fn advance(&mut self, progress: Progress) -> ControlFlow<()> {
        if is_stopped() {
            self.shown.finish_and_clear();
            return ControlFlow::Break(());
        }
        if !self.is_shown && self.begun.elapsed() > PATIENCE {
            self.is_shown = true;
            self.shown.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}") {
                self.shown.set_style(style.progress_chars("=> "));
            }
            self.shown.set_prefix(self.what.clone());
        }
        if self.is_shown {
            let Progress { layer, n_layers, done, positions, .. } = progress;
            let layers_before = n_layers.saturating_sub(layer + 1) as u64;
            self.shown.set_length(n_layers as u64 * STEPS);
            self.shown.set_position(layers_before * STEPS + done as u64 * STEPS / positions.max(1) as u64);
            self.shown.set_message(format!("layer {layer} of {n_layers}, {done} of {positions} positions"));
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.shown.finish_and_clear();
    }
}
