//! A recording: a file that is mapped into memory, or arrays that Python holds.

use super::graph::Graph;
use super::targets::Positions;
use super::watch::Watch;
use crate::array::{Array, Keeper, Until};
use crate::context::Context;
use crate::error::{error, of_core, of_routes};
use contrib_core::{Norm, Tensor};
use contrib_routes::{
    Attends, Attention, Extent, File, HeadEdges, Labels, Layer, MaskedKeys, Memory, Moves, Options, Scores,
    routes_with_progress,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// One forward pass of a model over a prompt, as the native part holds it: `residual_routes.Recording` is made of it.
#[pyclass(frozen, module = "residual_routes._native")]
pub(crate) struct Recording {
    // Before what it refers to.
    source: Mutex<Source>,
    #[expect(dead_code, reason = "they are kept to be dropped")]
    keepers: Vec<Keeper>,
    labels: Arc<Labels>,
    n_layers: usize,
    n_pos: usize,
    n_heads: usize,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each recording")]
enum Source {
    File(File),
    /// Of arrays that the recording keeps.
    Memory(Memory<'static>),
}

impl Source {
    fn as_recording(&mut self) -> &mut dyn contrib_routes::Recording {
        match self {
            Source::File(file) => file,
            Source::Memory(memory) => memory,
        }
    }
}

/// What the metadata of a recording in memory say of the scores of one layer.
#[derive(FromPyObject)]
struct OfLayer<'py> {
    window: Option<usize>,
    slopes: Option<Bound<'py, PyAny>>,
    sinks: Option<Bound<'py, PyAny>>,
}

/// What they say of the model.
#[derive(FromPyObject)]
struct OfModel<'py> {
    scale: Option<f64>,
    soft_cap: Option<f64>,
    causal: bool,
    parallel: bool,
    by_pattern: bool,
    layers: Vec<OfLayer<'py>>,
    model: Option<String>,
    prompt: Option<String>,
    tokens: Vec<String>,
    next_tokens: Vec<(String, f64)>,
}

#[pymethods]
impl Recording {
    /// A safetensors file.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, by_pattern: Option<bool>) -> PyResult<Self> {
        let opened = py.detach(|| {
            let mut file = File::open(path)?;
            if let Some(by_pattern) = by_pattern {
                file.read_by_pattern(by_pattern)?;
            }
            let labels = file.labels()?;
            Ok((file, labels))
        });
        let (file, labels) = opened.map_err(|error| of_routes(py, &error, None))?;
        Ok(Self::new(Source::File(file), Vec::new(), labels))
    }

    /// Arrays by their names, and the metadata as the attributes of an object.
    #[staticmethod]
    fn of_arrays(py: Python<'_>, tensors: &Bound<'_, PyDict>, facts: &Bound<'_, PyAny>) -> PyResult<Self> {
        let facts: OfModel<'_> = facts.extract()?;
        let mut arrays = Arrays { tensors, keepers: Vec::new(), n_layers: facts.layers.len() };
        let mut layers = Vec::with_capacity(facts.layers.len());
        for (index, of_layer) in facts.layers.iter().enumerate() {
            layers.push(arrays.layer(index, &facts, of_layer)?);
        }
        let keepers = arrays.keepers;
        let memory = Memory::new(layers).map_err(|error| of_routes(py, &error, None))?;
        let labels = labels(&facts).map_err(|error| of_routes(py, &error, None))?;
        Ok(Self::new(Source::Memory(memory), keepers, labels))
    }

    #[getter]
    fn n_layers(&self) -> usize {
        self.n_layers
    }

    #[getter]
    fn n_pos(&self) -> usize {
        self.n_pos
    }

    #[getter]
    fn n_heads(&self) -> usize {
        self.n_heads
    }

    #[getter]
    fn model(&self) -> Option<&str> {
        self.labels.model()
    }

    #[getter]
    fn prompt(&self) -> Option<&str> {
        self.labels.prompt()
    }

    #[getter]
    fn tokens(&self) -> Vec<String> {
        (0..self.labels.n_tokens()).filter_map(|position| self.labels.token(position).map(str::to_string)).collect()
    }

    #[getter]
    fn next_tokens(&self) -> Vec<(String, f64)> {
        self.labels.next_tokens().map(|(token, probability)| (token.to_string(), probability)).collect()
    }

    /// The routes to these positions, or to all.
    #[pyo3(signature = (
        targets, threshold, renormalise, heads_are_summed, masked_keys_count, all_is_computed, norm, context, block, progress
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords of a function")]
    fn routes(
        &self,
        py: Python<'_>,
        targets: Option<Vec<i64>>,
        threshold: f64,
        renormalise: Option<f64>,
        heads_are_summed: bool,
        masked_keys_count: bool,
        all_is_computed: bool,
        norm: f64,
        context: Option<&Bound<'_, Context>>,
        block: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Graph> {
        let targets = Positions::new(py, targets, self.n_pos)?;
        let options = Options {
            threshold,
            renormalise,
            heads: if heads_are_summed { HeadEdges::Summed } else { HeadEdges::Each },
            masked_keys: if masked_keys_count { MaskedKeys::Counted } else { MaskedKeys::LeftOut },
            extent: if all_is_computed { Extent::All } else { Extent::Reached },
            norm: Norm::new(norm).map_err(|error| of_core(py, &error))?,
            context: context.map(|context| context.get().core()),
            block,
        };
        let mut watch = Watch::new(progress);
        // Waits for another thread without Python's lock, which that may need for its callback.
        let found = py.detach(|| {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            routes_with_progress(source.as_recording(), targets.targets(), &options, &mut |progress| {
                watch.block(progress)
            })
        });
        match found {
            Ok(routes) => Ok(Graph { routes, labels: self.labels.clone() }),
            Err(error) => Err(of_routes(py, &error, watch.raised)),
        }
    }
}

impl Recording {
    fn new(mut source: Source, keepers: Vec<Keeper>, labels: Labels) -> Self {
        let recording = source.as_recording();
        let (n_layers, n_pos, n_heads) = (recording.n_layers(), recording.n_pos(), recording.n_heads());
        Recording { source: Mutex::new(source), keepers, labels: Arc::new(labels), n_layers, n_pos, n_heads }
    }
}

/// The arrays of a recording in memory.
struct Arrays<'a, 'py> {
    tensors: &'a Bound<'py, PyDict>,
    keepers: Vec<Keeper>,
    n_layers: usize,
}

impl<'py> Arrays<'_, 'py> {
    /// The tensor that an object is, which is kept.
    fn keep(&mut self, name: &str, object: &Bound<'py, PyAny>) -> PyResult<Tensor<'static>> {
        let (view, keeper) = Array::read(&name, object, Until::Dropped)?.into_parts();
        self.keepers.push(keeper);
        Ok(view)
    }

    fn given(&mut self, name: &str) -> PyResult<Option<Tensor<'static>>> {
        let object = self.tensors.get_item(name)?;
        object.map(|object| self.keep(name, &object)).transpose()
    }

    fn needed(&mut self, name: &str) -> PyResult<Tensor<'static>> {
        let py = self.tensors.py();
        self.given(name)?.ok_or_else(|| error(py, "missing", name, "missing"))
    }

    /// The tensors of a layer, by the names that files have for them.
    fn layer(&mut self, index: usize, facts: &OfModel<'py>, of_layer: &OfLayer<'py>) -> PyResult<Layer<'static>> {
        let name = |tensor: &str| format!("{tensor}.{index}");
        let attends = if facts.by_pattern {
            Attends::Pattern(self.needed(&name("pattern"))?)
        } else {
            let mut of_heads = |tensor: &str, object: &Option<Bound<'py, PyAny>>| {
                object.as_ref().map(|object| self.keep(&name(tensor), object)).transpose()
            };
            let (slopes, sinks) = (of_heads("slopes", &of_layer.slopes)?, of_heads("sinks", &of_layer.sinks)?);
            Attends::Scores(Scores {
                queries: self.needed(&name("queries"))?,
                keys: self.needed(&name("keys"))?,
                scale: facts.scale,
                soft_cap: facts.soft_cap,
                window: of_layer.window,
                causal: facts.causal,
                slopes,
                sinks,
            })
        };
        let moves = match (self.given(&name("w_o"))?, self.given(&name("value_output"))?) {
            (None, Some(value_output)) => Moves::ValueOutput(value_output),
            (Some(w_o), _) => Moves::Values { values: self.needed(&name("values"))?, w_o, prepared: None },
            (None, None) => {
                Moves::Values { values: self.needed(&name("values"))?, w_o: self.needed(&name("w_o"))?, prepared: None }
            }
        };
        let after =
            if index + 1 == self.n_layers { "resid_post".to_string() } else { format!("resid_pre.{}", index + 1) };
        Ok(Layer {
            resid_pre: self.needed(&name("resid_pre"))?,
            resid_mid: if facts.parallel { None } else { Some(self.needed(&name("resid_mid"))?) },
            resid_post: self.needed(&after)?,
            attention: Attention {
                attends,
                moves,
                scale: self.given(&name("attn_scale"))?,
                bias: self.given(&name("attn_bias"))?,
            },
            mlp_out: self.needed(&name("mlp_out"))?,
            mlp_bias: self.given(&name("mlp_bias"))?,
        })
    }
}

fn labels(facts: &OfModel<'_>) -> Result<Labels, contrib_routes::Error> {
    let mut labels = Labels::default();
    if let Some(model) = &facts.model {
        labels.set_model(model)?;
    }
    if let Some(prompt) = &facts.prompt {
        labels.set_prompt(prompt)?;
    }
    for token in &facts.tokens {
        labels.push_token(token)?;
    }
    for (token, probability) in &facts.next_tokens {
        labels.push_next_token(token, *probability)?;
    }
    Ok(labels)
}
