//! A caller's texts of tokens, and the name of the model.

use crate::failure::Failure;
use crate::sized_struct::{self, SizedStruct};
use ::contrib_routes::Labels;
use contrib_core::{Argument, Cause};
use std::ffi::c_char;
use std::mem::offset_of;
use std::slice;

/// A text: any bytes, which need not be UTF-8 and may hold NULs. Unlike other structs this one never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_text {
    /// The first byte; may be NULL where `len` is 0.
    pub bytes: *const c_char,
    /// How many there are.
    pub len: usize,
}

/// The texts of a prompt and of what the model predicts after it, and the model's name. Whatever is NULL or 0 is not written, and
/// a token without a text goes by its position.
///
/// What of a text is no UTF-8 becomes U+FFFD, as tokens need not be whole characters. Texts are not trusted: no writer takes them
/// for more than text.
///
/// Begin with `contrib_labels labels = CONTRIB_LABELS_INIT;`. Later versions may append fields, for which zero means what this
/// version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_labels {
    /// `sizeof(contrib_labels)`.
    pub struct_size: usize,
    /// The model's name; none where its `bytes` are NULL.
    pub model: contrib_text,
    /// The text that the tokens were made of; none where its `bytes` are NULL.
    pub prompt: contrib_text,
    /// The text of each token, from the first position on.
    pub tokens: *const contrib_text,
    /// How many there are.
    pub n_tokens: usize,
    /// Tokens that may follow the last position, the likeliest first.
    pub next_tokens: *const contrib_text,
    /// The probability of each, from 0 to 1.
    pub next_probabilities: *const f64,
    /// How many there are.
    pub n_next_tokens: usize,
}

// SAFETY: pointers and numbers after the size.
unsafe impl SizedStruct for contrib_labels {
    const FIRST_SIZE: usize = offset_of!(contrib_labels, n_next_tokens) + size_of::<usize>();
}

/// A copy of a caller's texts; none for null.
///
/// # Safety
/// - `labels` is null or points to as many bytes as its `struct_size` says.
/// - Its arrays are null or have as many items as it says, and each text as many bytes.
pub(super) unsafe fn read(labels: *const contrib_labels) -> Result<Labels, Failure> {
    let mut read = Labels::default();
    if labels.is_null() {
        return Ok(read);
    }
    // SAFETY: this function's contract.
    let labels = unsafe { sized_struct::read_given(Argument::named("labels"), labels)? };
    // SAFETY: this function's contract.
    let bytes = |argument, text: contrib_text| unsafe { bytes_of(argument, text) };
    if let Some(model) = bytes(Argument::named("labels.model"), labels.model)? {
        read.set_model(model)?;
    }
    if let Some(prompt) = bytes(Argument::named("labels.prompt"), labels.prompt)? {
        read.set_prompt(prompt)?;
    }
    expect(labels.n_tokens == 0 || !labels.tokens.is_null(), "labels.tokens")?;
    expect(labels.n_next_tokens == 0 || !labels.next_tokens.is_null(), "labels.next_tokens")?;
    expect(labels.n_next_tokens == 0 || !labels.next_probabilities.is_null(), "labels.next_probabilities")?;
    for index in 0..labels.n_tokens {
        // SAFETY: the array is not null, so that it has the item, which need not be aligned.
        let text = unsafe { labels.tokens.add(index).read_unaligned() };
        read.push_token(bytes(Argument::of_list("labels.tokens", index, "bytes"), text)?.unwrap_or_default())?;
    }
    for index in 0..labels.n_next_tokens {
        // SAFETY: the arrays are not null, so that they have the item, which need not be aligned.
        let (text, probability) = unsafe {
            (labels.next_tokens.add(index).read_unaligned(), labels.next_probabilities.add(index).read_unaligned())
        };
        let text = bytes(Argument::of_list("labels.next_tokens", index, "bytes"), text)?.unwrap_or_default();
        if !(0.0..=1.0).contains(&probability) {
            let cause = Cause::InvalidNumber { expected: "a number from 0 to 1", got: probability };
            return Err(Failure::of(Argument::of_list("labels.next_tokens", index, "probability"), cause));
        }
        read.push_next_token(text, probability)?;
    }
    Ok(read)
}

fn expect(is_right: bool, name: &'static str) -> Result<(), Failure> {
    if is_right { Ok(()) } else { Err(Failure::Null(Argument::named(name))) }
}

/// The bytes of a text; `None` where they are null.
///
/// # Safety
/// - The text's `bytes` are null or as many as it says, for `'a`.
unsafe fn bytes_of<'a>(argument: Argument, text: contrib_text) -> Result<Option<&'a [u8]>, Failure> {
    match (text.bytes.is_null(), text.len) {
        (true, 0) => Ok(None),
        (true, _) => Err(Failure::Null(argument)),
        (false, len) if isize::try_from(len).is_err() => Err(Failure::of(argument, Cause::SizeOverflow)),
        // SAFETY: they are not null, so that there are as many bytes.
        (false, len) => Ok(Some(unsafe { slice::from_raw_parts(text.bytes.cast(), len) })),
    }
}
