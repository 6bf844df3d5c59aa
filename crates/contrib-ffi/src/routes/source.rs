//! A recording whose layers a caller's function hands in.

use super::labels::contrib_labels;
use super::layer::contrib_layer_receiver;
use crate::failure::Failure;
use crate::sized_struct::SizedStruct;
use ::contrib_routes::{Error, Layer, Recording};
use contrib_core::Argument;
use std::ffi::c_void;
use std::fmt;
use std::mem::offset_of;

/// A caller's function that hands in the tensors of a layer with `contrib_hand_in_layer`, and returns 0; or it returns another
/// number, its own, and `contrib_routes_find` fails with `CONTRIB_ERROR_CALLBACK`. `user_data` is what came with it.
///
/// The last layer comes first, and none twice in a call, in its thread. Only one layer is needed at a time, so that the same
/// memory may serve for all. It may call any function of this library. No longjmp(), C++ exception or end of a thread may leave it.
pub type contrib_layer_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, layer: usize, receiver: *mut contrib_layer_receiver) -> i32>;

/// A forward pass of a model over a prompt whose tensors the caller has, or can compute, layer by layer.
///
/// Begin with `contrib_recording_source source = CONTRIB_RECORDING_SOURCE_INIT;`. Later versions may append fields, for which
/// zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_recording_source {
    /// `sizeof(contrib_recording_source)`.
    pub struct_size: usize,
    /// The number of layers.
    pub n_layers: usize,
    /// The number of positions: of tokens of the prompt.
    pub n_pos: usize,
    /// The number of attention heads of a layer.
    pub n_heads: usize,
    /// What hands in a layer.
    pub layer: contrib_layer_callback,
    /// Given to `layer`; may be NULL.
    pub user_data: *mut c_void,
    /// The texts of tokens, or NULL: none. They are copied.
    pub labels: *const contrib_labels,
}

// SAFETY: numbers, a function and pointers after the size.
unsafe impl SizedStruct for contrib_recording_source {
    const FIRST_SIZE: usize = offset_of!(contrib_recording_source, labels) + size_of::<usize>();
}

/// A source that was checked.
pub(super) struct Callback {
    pub(super) n_layers: usize,
    pub(super) n_pos: usize,
    pub(super) n_heads: usize,
    layer: unsafe extern "C" fn(*mut c_void, usize, *mut contrib_layer_receiver) -> i32,
    user_data: *mut c_void,
}

impl Callback {
    /// # Safety
    /// - The source's function does what [`contrib_layer_callback`] says, for as long as this is used.
    pub(super) unsafe fn new(source: &contrib_recording_source) -> Result<Self, Failure> {
        let contrib_recording_source { n_layers, n_pos, n_heads, layer, user_data, .. } = *source;
        let layer = layer.ok_or(Failure::Null(Argument::named("source.layer")))?;
        if n_layers == 0 {
            let cause = contrib_core::Cause::InvalidNumber { expected: "1 or more", got: 0.0 };
            return Err(Failure::of(Argument::named("source.n_layers"), cause));
        }
        Ok(Callback { n_layers, n_pos, n_heads, layer, user_data })
    }
}

/// One call's use of a source.
pub(super) struct Calls<'a> {
    callback: &'a Callback,
    failure: Option<Failure>,
}

/// Stands for the failure that [`Calls`] keeps.
#[derive(Debug)]
struct Kept;

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Kept {}

impl<'a> Calls<'a> {
    pub(super) const fn new(callback: &'a Callback) -> Self {
        Calls { callback, failure: None }
    }

    /// Why the work ended with an error.
    pub(super) fn failure(self, error: Error) -> Failure {
        self.failure.unwrap_or(Failure::Routes(error))
    }

    /// Keeps a failure, and stands for it.
    fn kept(&mut self, failure: Failure) -> Error {
        self.failure = Some(failure);
        // A box of nothing needs no memory.
        Error::Recording(Box::new(Kept))
    }

    fn call(&self, index: usize, positions: &[u32]) -> Result<Layer<'static>, Failure> {
        let mut receiver = contrib_layer_receiver::new(index, positions);
        // SAFETY: the function does what its type says, and the receiver is there until it returns.
        let got = unsafe { (self.callback.layer)(self.callback.user_data, index, &raw mut receiver) };
        let argument = Argument::of_layer(index, "layer");
        let handed_in = receiver.take()?;
        if got != 0 {
            return Err(Failure::Callback { argument, got });
        }
        handed_in.ok_or(Failure::NothingHandedIn(argument))
    }
}

impl Recording for Calls<'_> {
    fn n_layers(&self) -> usize {
        self.callback.n_layers
    }

    fn n_pos(&self) -> usize {
        self.callback.n_pos
    }

    fn n_heads(&self) -> usize {
        self.callback.n_heads
    }

    fn layer(&mut self, index: usize) -> Result<Layer<'_>, Error> {
        self.call(index, &[]).map_err(|failure| self.kept(failure))
    }

    fn layer_at(&mut self, index: usize, positions: &[u32]) -> Result<Layer<'_>, Error> {
        self.call(index, positions).map_err(|failure| self.kept(failure))
    }
}
