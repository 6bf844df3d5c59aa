//! A recording in a safetensors file that is mapped into memory.

use super::Recording;
use super::bytes::Bytes;
use super::check::Extents;
use super::layer::{Attends, Attention, Layer, Moves, Scores};
use super::metadata::Facts;
use super::name::Name;
use crate::allocate::expect_available;
use crate::error::Error;
use contrib_core::{Argument, Cause, DType, MAX_NDIM, Shape, Tensor};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::collections::HashMap;
use std::path::Path;

/// Characters of what the reader of headers says that are passed on.
const LONGEST_PROBLEM: usize = 200;
/// The bytes before the header of a safetensors file, which say how long that is.
const BYTES_BEFORE_HEADER: usize = 8;

/// The longest header that is read.
const MAX_HEADER: usize = 100_000_000;

/// Bytes of memory that reading a byte of the header takes at most: a number in a list has two bytes there, and 32 in a buffer
/// that is copied to one of twice its size when it is full.
const BYTES_OF_HEADER_BYTE: usize = 64;

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
    bytes: Bytes,
    /// Where the bytes of tensors begin.
    start: usize,
    header: Metadata,
    facts: Facts,
    extents: Extents,
    is_by_pattern: bool,
}

/// What a file says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name, such as `resid_mid.3`.
    pub name: String,
    /// The type of its elements, as the file names it, such as `F32`.
    pub dtype: String,
    /// The extents of its axes.
    pub shape: Vec<usize>,
    /// How many bytes it has.
    pub bytes: usize,
}

impl File {
    /// Opens a file, and checks everything about it but the numbers.
    ///
    /// What reads the header, [`safetensors`] and [`serde_json`], ends the process where it has no memory. So this function asks
    /// for 64 bytes for each byte of the header before, more than they need, and gives them back: where they are not to be had,
    /// that is an error. Only a process whose memory is used up by others in the meantime ends. After this function, no lack of
    /// memory ends the process.
    ///
    /// The file must not change for as long as the recording exists. One that is made shorter meanwhile ends the process, as
    /// with every memory map.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Header`], [`Error::Metadata`], [`Error::Missing`], [`Error::Shape`],
    /// [`Error::ElementType`], [`Error::Empty`], [`Error::Misaligned`], [`Error::Heads`], [`Error::Number`], [`Error::TooLarge`],
    /// [`Error::OutOfMemory`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = std::fs::File::open(path)?;
        // SAFETY: the map is only read, and as bytes and floating-point numbers, for which all bits are valid. That the file
        // does not change while it is mapped is a condition of this function that its users are told.
        let map = unsafe { Mmap::map(&file)? };
        File::new(Bytes::Mapped(map))
    }

    /// The recording in the bytes of a safetensors file, such as came over a network. Everything about it is checked but the
    /// numbers.
    ///
    /// # Errors
    /// As [`File::open`], without [`Error::Io`]; [`Error::OutOfMemory`] where the bytes have to be copied, which they are where
    /// their address is no multiple of 8.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        File::new(Bytes::aligned(bytes)?)
    }

    fn new(bytes: Bytes) -> Result<Self, Error> {
        if let Some((len, rest)) = bytes.split_first_chunk::<BYTES_BEFORE_HEADER>() {
            // A header that is longer than the file is not read.
            let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX).min(rest.len());
            expect_available(len.min(MAX_HEADER).saturating_mul(BYTES_OF_HEADER_BYTE))?;
        }
        let (header_len, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| Error::Header(shown(&error.to_string())))?;
        let none = HashMap::new();
        let facts = Facts::new(header.metadata().as_ref().unwrap_or(&none))?;
        let extents = Extents { layers: facts.n_layers, positions: 0, heads: 0 };
        let start = BYTES_BEFORE_HEADER + header_len;
        let mut file = File { bytes, start, header, facts, extents, is_by_pattern: true };
        file.is_by_pattern = file.tensor(Argument::of_layer(0, "pattern"))?.is_some();
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

    /// All metadata, as they are in the file, ordered by their keys.
    #[must_use]
    pub fn all_metadata(&self) -> Vec<(&str, &str)> {
        let all = self.header.metadata().iter().flatten();
        let mut all: Vec<_> = all.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        all.sort_unstable();
        all
    }

    /// What the file says of each tensor that it has, in the order of their bytes; those that are not read, too.
    #[must_use]
    pub fn stored_tensors(&self) -> Vec<StoredTensor> {
        let stored = |(name, info): (String, &TensorInfo)| StoredTensor {
            name,
            dtype: info.dtype.to_string(),
            shape: info.shape.clone(),
            bytes: info.data_offsets.1 - info.data_offsets.0,
        };
        let mut tensors: Vec<_> = self.header.tensors().into_iter().collect();
        tensors.sort_unstable_by(|one, other| (one.1.data_offsets, &one.0).cmp(&(other.1.data_offsets, &other.0)));
        tensors.into_iter().map(stored).collect()
    }

    /// Finds out how many positions and heads there are.
    fn measure(&mut self) -> Result<(), Error> {
        let extent = |tensor: Tensor<'_>, axis: usize| tensor.shape().get(axis).copied().unwrap_or_default();
        let positions = extent(self.needed(Argument::of_layer(0, "resid_pre"))?, 0);
        let heads = if self.is_by_pattern {
            extent(self.needed(Argument::of_layer(0, "pattern"))?, 0)
        } else {
            extent(self.needed(Argument::of_layer(0, "queries"))?, 1)
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
        let needed = |tensor| self.needed(Argument::of_layer(index, tensor));
        let given = |tensor| self.tensor(Argument::of_layer(index, tensor));
        let is_last = index + 1 == self.extents.layers;
        let after = if is_last { Argument::named("resid_post") } else { Argument::of_layer(index + 1, "resid_pre") };
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
            (Some(w_o), _) => Moves::Values { values: needed("values")?, w_o, prepared: None },
            (None, None) => Moves::Values { values: needed("values")?, w_o: needed("w_o")?, prepared: None },
        };
        Ok(Layer {
            resid_pre: needed("resid_pre")?,
            resid_mid: if self.facts.parallel { None } else { Some(needed("resid_mid")?) },
            resid_post: self.needed(after)?,
            attention: Attention { attends, moves, scale: given("attn_scale")?, bias: given("attn_bias")? },
            mlp_out: needed("mlp_out")?,
            mlp_bias: given("mlp_bias")?,
        })
    }

    /// The tensor with this name; an error where there is none.
    fn needed(&self, name: Argument) -> Result<Tensor<'_>, Error> {
        self.tensor(name)?.ok_or(Error::Missing { tensor: name })
    }

    /// The tensor with this name, where there is one.
    fn tensor(&self, name: Argument) -> Result<Option<Tensor<'_>>, Error> {
        self.header.info(Name::new(name).text()).map(|info| self.view(name, info)).transpose()
    }

    fn view(&self, name: Argument, info: &TensorInfo) -> Result<Tensor<'_>, Error> {
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            other => return Err(Error::ElementType { tensor: name, got: format!("{other:?}") }),
        };
        // Without elements, extents could be any, and more than memory could hold results for. (Of too many axes, the view says so.)
        if info.shape.len() <= MAX_NDIM && info.shape.contains(&0) {
            return Err(Error::Empty { tensor: name, got: Shape::new(&info.shape) });
        }
        let (begin, end) = info.data_offsets;
        let out_of_file = || Error::Header(format!("{name} is not in the file"));
        let bytes = self.bytes[self.start..].get(begin..end).ok_or_else(out_of_file)?;
        let elements = info.shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
        if elements.and_then(|elements| elements.checked_mul(dtype.size())) != Some(bytes.len()) {
            return Err(out_of_file());
        }
        // SAFETY: `bytes` has as many elements as the shape, row-major, and stays borrowed for as long as the view.
        let view = unsafe { Tensor::from_raw_parts(bytes.as_ptr().cast(), dtype, &info.shape, None) };
        view.map_err(|error| match error.cause() {
            Cause::Misaligned { dtype } => Error::Misaligned { tensor: name, dtype: *dtype },
            cause => Error::Core(contrib_core::Error::new(name, *cause)),
        })
    }
}

/// What the reader of headers says, which has names out of the file: cut, and without control characters.
fn shown(problem: &str) -> String {
    let visible = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    problem.chars().map(visible).take(LONGEST_PROBLEM).collect()
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

/// One file for any number of threads at the same time.
impl Recording for &File {
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
