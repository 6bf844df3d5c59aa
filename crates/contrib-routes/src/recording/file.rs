//! A recording in a safetensors file that is mapped into memory.

use super::Recording;
use super::check::Extents;
use super::layer::{Attends, Attention, Layer, Moves, Scores};
use super::metadata::Facts;
use crate::error::Error;
use contrib_core::{ANY, DType, Tensor};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::collections::HashMap;
use std::path::Path;

/// The bytes before the header of a safetensors file, which say how long that is.
const BYTES_BEFORE_HEADER: usize = 8;

/// A recording in a safetensors file. The file is mapped into memory: of one that is larger than memory, only what a layer
/// needs is read.
///
/// | tensor, for each layer `i` | shape |
/// |---|---|
/// | `resid_pre.i`, `mlp_out.i`, and `resid_mid.i` unless blocks are parallel | `[pos, d_model]` |
/// | `resid_post`, of the last layer only | `[pos, d_model]` |
/// | `pattern.i`, | `[head, pos, key_pos]` |
/// | or `queries.i` and | `[pos, head, d_head]` |
/// | `keys.i` | `[key_pos, kv_head, d_head]` |
/// | `values.i` and | `[key_pos, kv_head, d_head]` |
/// | `w_o.i`, | `[head, d_head, d_model]` |
/// | or `value_output.i` | `[key_pos, head, d_model]` |
/// | `attn_bias.i`, `mlp_bias.i`, where they are parts of their own | `[d_model]` or `[pos, d_model]` |
/// | `attn_scale.i`, where what attention adds is normalised | `[pos or 1, d_model or 1]` |
///
/// Elements are F32, F64, F16 or BF16. A file with pattern as well as queries and keys is read by its pattern, and one with
/// `value_output` as well as `values` and `w_o` by the latter.
///
/// | metadata | |
/// |---|---|
/// | `n_layers` | needed |
/// | `n_heads`, `n_kv_heads`, `d_model` | have to agree with the tensors |
/// | `tokens` | a JSON list of strings, one for each position |
/// | `next_tokens` | what the model predicts: a JSON list of pairs of a string and its probability, the likeliest first |
/// | `model`, `prompt` | the name of the model, and the text that the tokens were made of |
/// | `scale` | of scores; `1 / sqrt(d_head)` where it is missing |
/// | `soft_cap` | of scores; 0 is none |
/// | `causal` | `true` (the default) or `false` |
/// | `window` | a number for all layers or a JSON list with one for each; 0 is none |
/// | `slopes`, `sinks` | a JSON list with a number for each head, or one such list for each layer |
/// | `parallel` | whether blocks run attention and MLP in parallel: `true` or `false` (the default) |
#[derive(Debug)]
pub struct File {
    map: Mmap,
    /// Where the bytes of tensors begin.
    start: usize,
    header: Metadata,
    facts: Facts,
    extents: Extents,
    is_by_pattern: bool,
}

impl File {
    /// Opens a file, and checks everything about it but the numbers.
    ///
    /// The file must not change for as long as the recording exists. One that is made shorter meanwhile ends the process, as
    /// with every memory map.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Header`], [`Error::Metadata`], [`Error::Missing`], [`Error::Shape`],
    /// [`Error::ElementType`], [`Error::Misaligned`], [`Error::Heads`], [`Error::Number`], [`Error::TooLarge`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = std::fs::File::open(path)?;
        // SAFETY: the map is only read, and as bytes and floating-point numbers, for which all bits are valid. That the file
        // does not change while it is mapped is a condition of this function that its users are told.
        let map = unsafe { Mmap::map(&file)? };
        let (header_len, header) =
            SafeTensors::read_metadata(&map).map_err(|error| Error::Header(error.to_string()))?;
        let none = HashMap::new();
        let facts = Facts::new(header.metadata().as_ref().unwrap_or(&none))?;
        let extents = Extents { layers: facts.n_layers, positions: 0, heads: 0 };
        let start = BYTES_BEFORE_HEADER + header_len;
        let mut file = File { map, start, header, facts, extents, is_by_pattern: true };
        file.is_by_pattern = file.tensor("pattern.0")?.is_some();
        file.measure()?;
        file.check()?;
        Ok(file)
    }

    /// Whether the recording is read by its pattern, the default where there is one, or by its queries and keys.
    ///
    /// # Errors
    /// As [`File::open`], where the file does not have them for all layers; the recording is then as it was.
    pub fn read_by_pattern(&mut self, is_by_pattern: bool) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.is_by_pattern, is_by_pattern);
        let checked = self.check();
        if checked.is_err() {
            self.is_by_pattern = before;
        }
        checked
    }

    /// The tokens of the prompt, where the file has them.
    #[must_use]
    pub fn tokens(&self) -> Option<&[String]> {
        self.facts.tokens.as_deref()
    }

    /// The tokens that may follow the prompt and their probabilities.
    pub(crate) fn next_tokens(&self) -> &[(String, f64)] {
        &self.facts.next_tokens
    }

    /// A metadatum, as it is in the file.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Finds out how many positions and heads there are.
    fn measure(&mut self) -> Result<(), Error> {
        let extent = |tensor: Tensor<'_>, axis: usize| tensor.shape().get(axis).copied().unwrap_or_default();
        let positions = extent(self.needed("resid_pre.0")?, 0);
        let heads = if self.is_by_pattern {
            extent(self.needed("pattern.0")?, 0)
        } else {
            extent(self.needed("queries.0")?, 1)
        };
        self.extents = Extents { positions, heads, ..self.extents };
        self.extents.check()
    }

    /// Checks all layers, and what metadata say of them.
    fn check(&self) -> Result<(), Error> {
        if self.extents.layers == 0 {
            return Err(Error::Metadata { key: "n_layers", problem: "expected 1 or more, got 0".to_string() });
        }
        for index in 0..self.extents.layers {
            let layer = self.tensors(index)?;
            self.extents.check_layer(&layer, index)?;
            let kv_heads = match (&layer.attention.moves, &layer.attention.attends) {
                (Moves::Values { values, .. }, _) => Some(values.shape()[1]),
                (_, Attends::Scores(scores)) => Some(scores.keys.shape()[1]),
                _ => None,
            };
            agrees("n_heads", self.facts.n_heads, Some(self.extents.heads), index)?;
            agrees("n_kv_heads", self.facts.n_kv_heads, kv_heads, index)?;
            agrees("d_model", self.facts.d_model, Some(layer.resid_pre.shape()[1]), index)?;
        }
        let tokens = self.facts.tokens.as_ref().map(Vec::len);
        agrees("tokens", tokens, Some(self.extents.positions), 0)
    }

    /// The tensors of a layer, whatever their shapes are.
    fn tensors(&self, index: usize) -> Result<Layer<'_>, Error> {
        let name = |tensor: &str| format!("{tensor}.{index}");
        let needed = |tensor: &str| self.needed(&name(tensor));
        let given = |tensor: &str| self.tensor(&name(tensor));
        let is_last = index + 1 == self.extents.layers;
        let after = if is_last { "resid_post".to_string() } else { format!("resid_pre.{}", index + 1) };
        let attends = if self.is_by_pattern {
            Attends::Pattern(needed("pattern")?)
        } else {
            Attends::Scores(Scores {
                queries: needed("queries")?,
                keys: needed("keys")?,
                scale: self.facts.scale,
                soft_cap: self.facts.soft_cap,
                window: self.facts.window(index),
                causal: self.facts.causal,
                slopes: self.facts.slopes(index).map(of_heads).transpose()?,
                sinks: self.facts.sinks(index).map(of_heads).transpose()?,
            })
        };
        let moves = match (given("w_o")?, given("value_output")?) {
            (None, Some(value_output)) => Moves::ValueOutput(value_output),
            (Some(w_o), _) => Moves::Values { values: needed("values")?, w_o },
            (None, None) => Moves::Values { values: needed("values")?, w_o: needed("w_o")? },
        };
        Ok(Layer {
            resid_pre: needed("resid_pre")?,
            resid_mid: if self.facts.parallel { None } else { Some(needed("resid_mid")?) },
            resid_post: self.needed(&after)?,
            attention: Attention { attends, moves, scale: given("attn_scale")?, bias: given("attn_bias")? },
            mlp_out: needed("mlp_out")?,
            mlp_bias: given("mlp_bias")?,
        })
    }

    /// The tensor with this name; an error where there is none.
    fn needed(&self, name: &str) -> Result<Tensor<'_>, Error> {
        self.tensor(name)?.ok_or_else(|| Error::Missing { tensor: name.to_string() })
    }

    /// The tensor with this name, where there is one.
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>, Error> {
        self.header.info(name).map(|info| self.view(name, info)).transpose()
    }

    fn view(&self, name: &str, info: &TensorInfo) -> Result<Tensor<'_>, Error> {
        let tensor = || name.to_string();
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            other => return Err(Error::ElementType { tensor: tensor(), got: format!("{other:?}") }),
        };
        let (begin, end) = info.data_offsets;
        let out_of_file = || Error::Header(format!("{name} is not in the file"));
        let bytes = self.map[self.start..].get(begin..end).ok_or_else(out_of_file)?;
        let elements = info.shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
        if elements.and_then(|elements| elements.checked_mul(dtype.size())) != Some(bytes.len()) {
            return Err(out_of_file());
        }
        // SAFETY: `bytes` has as many elements as the shape, row-major, and stays borrowed for as long as the view.
        let view = unsafe { Tensor::from_raw_parts(bytes.as_ptr().cast(), dtype, &info.shape, None) };
        view.map_err(|error| match error.cause() {
            contrib_core::Cause::Misaligned { dtype } => Error::Misaligned { tensor: tensor(), dtype: *dtype },
            contrib_core::Cause::NdimOutOfRange { .. } => Error::Shape {
                tensor: tensor(),
                expected: vec![ANY; 3],
                got: info.shape.clone(),
                like: "a recording".to_string(),
            },
            _ => Error::Core(error),
        })
    }
}

/// Numbers of heads as a tensor.
fn of_heads(numbers: &[f32]) -> Result<Tensor<'_>, contrib_core::Error> {
    Tensor::new(numbers, &[numbers.len()])
}

/// An error where metadata say something else than the tensors of a layer.
fn agrees(key: &'static str, said: Option<usize>, found: Option<usize>, layer: usize) -> Result<(), Error> {
    match (said, found) {
        (Some(said), Some(found)) if said != found => Err(Error::Metadata {
            key,
            problem: format!("expected {found} to match the tensors of layer {layer}, got {said}"),
        }),
        _ => Ok(()),
    }
}

impl Recording for File {
    fn n_layers(&self) -> usize {
        self.extents.layers
    }

    fn n_pos(&self) -> usize {
        self.extents.positions
    }

    fn n_heads(&self) -> usize {
        self.extents.heads
    }

    fn layer(&mut self, index: usize) -> Result<Layer<'_>, Error> {
        self.tensors(index)
    }
}
