//! The threads of calls, and what all calls can choose.

use crate::error::{error, of_core};
use contrib_core::{InstructionSet, Norm, Options};
use pyo3::prelude::*;

/// The threads that calls use, and the working memory that is kept for them.
///
/// Without a context, calls use one thread for each core, of a pool that the first call that is worth it starts. Results have the
/// same bits for any number of threads. Any number of Python threads may use one context at the same time.
///
/// ``threads``: how many, the caller's among them; 0 is one for each core, and with 1 everything runs in the caller.
/// ``instruction_set``: the greatest to be used: ``"portable"``, ``"avx2"`` or ``"avx512"``. ``kept_memory``: how many bytes of working memory
/// are kept between calls at most; 64 MiB unless given.
///
/// In a child after ``os.fork()`` a context's threads do not exist: everything runs in the caller there.
#[pyclass(frozen, module = "residual_routes")]
pub(crate) struct Context(contrib_core::Context);

#[pymethods]
impl Context {
    #[new]
    #[pyo3(signature = (threads=0, *, instruction_set=None, kept_memory=None))]
    fn new(
        py: Python<'_>,
        threads: usize,
        instruction_set: Option<&str>,
        kept_memory: Option<usize>,
    ) -> PyResult<Self> {
        let mut context = contrib_core::Context::new(threads)
            .map_err(|problem| error(py, "too_many_threads", "threads", problem.cause()))?;
        if let Some(name) = instruction_set {
            let Some(limit) = InstructionSet::ALL.into_iter().find(|set| set.name() == name) else {
                let problem = format!("expected \"portable\", \"avx2\" or \"avx512\", got {name:?}");
                return Err(error(py, "number", "instruction_set", problem));
            };
            context.limit_instruction_set(limit);
        }
        if let Some(bytes) = kept_memory {
            context.limit_kept_memory(bytes);
        }
        Ok(Context(context))
    }

    /// How many threads a call can use.
    #[getter]
    fn threads(&self) -> usize {
        self.0.threads()
    }

    /// The instruction set that calls use.
    #[getter]
    fn instruction_set(&self) -> &'static str {
        self.0.instruction_set().name()
    }

    /// How many bytes of working memory are kept now.
    #[getter]
    fn kept_memory(&self) -> usize {
        self.0.kept_memory()
    }

    /// Sets how many bytes of working memory are kept between calls at most.
    fn limit_kept_memory(&self, bytes: usize) {
        self.0.limit_kept_memory(bytes);
    }

    /// Frees the working memory that is kept.
    fn release_memory(&self) {
        self.0.release_memory();
    }

    fn __repr__(&self) -> String {
        format!("Context(threads={}, instruction_set={:?})", self.threads(), self.instruction_set())
    }
}

impl Context {
    pub(crate) fn core(&self) -> &contrib_core::Context {
        &self.0
    }
}

/// A call's choices.
pub(crate) fn options<'a>(
    py: Python<'_>,
    norm: f64,
    threshold: f64,
    context: Option<&'a Bound<'_, Context>>,
) -> PyResult<Options<'a>> {
    let norm = Norm::new(norm).map_err(|error| of_core(py, &error))?;
    let options = Options::default().norm(norm).threshold(threshold);
    Ok(match context {
        Some(context) => options.context(context.get().core()),
        None => options,
    })
}
