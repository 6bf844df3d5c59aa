//! Recordings of a forward pass.

use super::labels;
use super::source::{Callback, contrib_recording_source};
use crate::failure::Failure;
use crate::handle::{free, put, tell};
use crate::sized_struct;
use crate::status::{contrib_status, guard};
use ::contrib_routes::{File, Labels, Recording};
use contrib_core::Argument;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

/// A recording of one forward pass of a model over a prompt: the tensors of its layers, in a file or handed in by a function.
/// Opaque. It does not change, so that any number of threads may use one at the same time; the function of a source must
/// allow that, where they do.
pub struct contrib_recording {
    pub(super) from: From,
    pub(super) labels: Labels,
}

/// Where the tensors come from.
pub(super) enum From {
    File(File),
    Callback(Callback),
}

/// Opens a recording in a safetensors file, checks everything about it but the numbers, and puts it into `*out`. The file is
/// mapped into memory: of one that is larger than memory only what a layer needs is read. It must not change for as long as
/// the recording exists; one that is made shorter meanwhile ends the process, as with every memory map.
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
/// Elements are F32, F64, F16 or BF16. Of metadata `n_layers` is needed; `n_heads`, `n_kv_heads`, `d_model` have to agree with
/// the tensors; `tokens` is a JSON list of strings, `next_tokens` one of pairs of a string and its probability; `model` and
/// `prompt` are texts; `scale`, `soft_cap`, `causal`, `window`, `slopes`, `sinks` say how scores are made, and `parallel` whether
/// blocks run attention and MLP in parallel.
///
/// Memory: this is the one function in which its lack can end the process, since the readers of safetensors and JSON have no
/// error for it. It asks for 64 bytes for each byte of the file's header before it reads that (a header has some 100 bytes a
/// tensor, 100 MB at most), and gives them back; where they are not to be had, that is `CONTRIB_ERROR_OUT_OF_MEMORY`. Only
/// what others take in between can be missing then. What is done with an open recording cannot end the process.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_IO`, `_FILE`, `_METADATA`, `_MISSING`, `_SHAPE`, `_NDIM`, `_DTYPE`, `_MISALIGNED`,
/// `_HEADS`, `_NUMBER`, `_TOO_LARGE`, `_OUT_OF_MEMORY`; `*out` is untouched then.
///
/// # Safety
/// `path` is null or a C string: the file's name in the bytes of the system, or on Windows in UTF-8. `out` is null or may be
/// written. The file does not change while the recording exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_open(
    path: *const c_char,
    out: *mut *mut contrib_recording,
) -> contrib_status {
    let make = || {
        const PATH: Argument = Argument::named("path");
        if path.is_null() {
            return Err(Failure::Null(PATH));
        }
        // SAFETY: it is not null, so that it is a C string.
        let file = File::open(as_path(unsafe { CStr::from_ptr(path) })?)?;
        let labels = file.labels()?;
        Ok(contrib_recording { from: From::File(file), labels })
    };
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, make) })
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not every string is a path")]
fn as_path(path: &CStr) -> Result<&Path, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())))
}

#[cfg(not(unix))]
fn as_path(path: &CStr) -> Result<&Path, Failure> {
    let invalid = |_| contrib_routes::Error::Io(std::io::ErrorKind::InvalidInput.into());
    Ok(Path::new(path.to_str().map_err(invalid)?))
}

/// Makes a recording of layers that a function hands in when they are needed, and puts it into `*out`. Nothing is asked for
/// before `contrib_routes_find`. What `user_data` points to must live as long as the recording.
///
/// Errors: `CONTRIB_ERROR_NULL_POINTER`, `_STRUCT_SIZE`, `_UNKNOWN_FIELD`, `_NUMBER` (no layers), `_OUT_OF_MEMORY`; `*out` is
/// untouched then.
///
/// # Safety
/// `source` is null or points to as many bytes as its `struct_size` says, its labels are as for `contrib_routes_write`, and its
/// function does what `contrib_layer_callback` says until the recording is freed. `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_new(
    source: *const contrib_recording_source,
    out: *mut *mut contrib_recording,
) -> contrib_status {
    let make = || {
        // SAFETY: this function's contract.
        let source = unsafe { sized_struct::read_given(Argument::named("source"), source)? };
        // SAFETY: this function's contract.
        let (callback, labels) = unsafe { (Callback::new(&source)?, labels::read(source.labels)?) };
        Ok(contrib_recording { from: From::Callback(callback), labels })
    };
    // SAFETY: `out` is null or may be written.
    guard(|| unsafe { put(out, make) })
}

/// Frees a recording. NULL is allowed. No call may be using it.
///
/// # Safety
/// `recording` is null, or comes from a function that makes recordings and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_free(recording: *mut contrib_recording) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(recording) };
        Ok(())
    });
}

/// A number of a recording; 0 for null.
///
/// # Safety
/// - `recording` is null or alive.
unsafe fn extent(
    recording: *const contrib_recording,
    of_file: impl FnOnce(&File) -> usize,
    of_calls: impl FnOnce(&Callback) -> usize,
) -> usize {
    // SAFETY: this function's contract.
    match unsafe { recording.as_ref() }.map(|recording| &recording.from) {
        Some(From::File(file)) => of_file(file),
        Some(From::Callback(callback)) => of_calls(callback),
        None => 0,
    }
}

/// The number of layers. For NULL: 0.
///
/// # Safety
/// `recording` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_n_layers(recording: *const contrib_recording) -> usize {
    // SAFETY: this function's contract.
    unsafe { extent(recording, File::n_layers, |callback| callback.n_layers) }
}

/// The number of positions: of tokens of the prompt. For NULL: 0.
///
/// # Safety
/// `recording` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_n_pos(recording: *const contrib_recording) -> usize {
    // SAFETY: this function's contract.
    unsafe { extent(recording, File::n_pos, |callback| callback.n_pos) }
}

/// The number of attention heads of a layer. For NULL: 0.
///
/// # Safety
/// `recording` is null or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_n_heads(recording: *const contrib_recording) -> usize {
    // SAFETY: this function's contract.
    unsafe { extent(recording, File::n_heads, |callback| callback.n_heads) }
}

/// A text, and how long it is.
///
/// # Safety
/// - `len` is null or may be written.
unsafe fn hand_out(text: Option<&str>, len: *mut usize) -> *const c_char {
    // SAFETY: this function's contract.
    unsafe { tell(len, text.map_or(0, str::len)) };
    text.map_or(ptr::null(), |text| text.as_ptr().cast())
}

/// The texts of a recording.
///
/// # Safety
/// - `recording` is null or alive for `'a`.
unsafe fn texts<'a>(recording: *const contrib_recording) -> Option<&'a Labels> {
    // SAFETY: this function's contract.
    unsafe { recording.as_ref() }.map(|recording| &recording.labels)
}

/// The model's name, as the recording has it: UTF-8, `*len` bytes, without a NUL at its end. NULL where there is none. `len` may
/// be NULL. It is valid until the recording is freed. Texts of recordings are not trusted: they may hold anything, NULs too.
///
/// # Safety
/// `recording` is null or alive; `len` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_model(
    recording: *const contrib_recording,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: this function's contract.
    unsafe { hand_out(texts(recording).and_then(Labels::model), len) }
}

/// The text that the tokens were made of, as `contrib_recording_model` gives the model's name.
///
/// # Safety
/// `recording` is null or alive; `len` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_prompt(
    recording: *const contrib_recording,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: this function's contract.
    unsafe { hand_out(texts(recording).and_then(Labels::prompt), len) }
}

/// The text of the token at a position, as `contrib_recording_model` gives the model's name. NULL where there is none.
///
/// # Safety
/// `recording` is null or alive; `len` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_token(
    recording: *const contrib_recording,
    position: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: this function's contract.
    unsafe { hand_out(texts(recording).and_then(|labels| labels.token(position)), len) }
}

/// The text of a token that may follow the last position, as `contrib_recording_model` gives the model's name, and its
/// probability. The likeliest has the index 0. NULL where there is none. `len` and `probability` may be NULL.
///
/// # Safety
/// `recording` is null or alive; `len` and `probability` are null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_recording_next_token(
    recording: *const contrib_recording,
    index: usize,
    len: *mut usize,
    probability: *mut f64,
) -> *const c_char {
    // SAFETY: this function's contract.
    let next = unsafe { texts(recording) }.and_then(|labels| labels.next_tokens().nth(index));
    // SAFETY: this function's contract.
    unsafe {
        tell(probability, next.map_or(0.0, |(_, probability)| probability));
        hand_out(next.map(|(text, _)| text), len)
    }
}
