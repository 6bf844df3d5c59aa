//! The sentence about the last call of a thread that failed.

use contrib_core::MAX_NDIM;
use std::cell::RefCell;
use std::ffi::c_char;
use std::fmt::{self, Write};

/// What went wrong in the last call of this thread that failed, as an English sentence that names the argument, what
/// was expected and what came: "resid_pre: expected [2, 5, 768] to match resid_mid, got [2, 5, 64]". Empty where none
/// has failed. Never NULL; valid until the next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn contrib_last_error_message() -> *const c_char {
    MESSAGE.with(|message| message.borrow().bytes.as_ptr().cast())
}

/// The longest sentence: names of arguments and two shapes of `MAX_NDIM` extents of 20 digits.
const MESSAGE_BYTES: usize = 256 + 2 * MAX_NDIM * 22;

/// A C string of bounded length. Nothing needs to be freed, so that a thread may end after the library is unloaded.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    len: usize,
}

thread_local! {
    static MESSAGE: RefCell<Message> = const { RefCell::new(Message { bytes: [0; MESSAGE_BYTES], len: 0 }) };
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte stays zero; a sentence that does not fit is cut.
        let mut len = text.len().min(MESSAGE_BYTES - 1 - self.len);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Keeps a sentence for this thread.
pub(crate) fn remember(sentence: &dyn fmt::Display) {
    MESSAGE.with(|message| {
        let message = &mut *message.borrow_mut();
        *message = Message { bytes: [0; MESSAGE_BYTES], len: 0 };
        // Writing into a message never fails.
        let _ = write!(message, "{sentence}");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: the message is a C string that this thread alone replaces.
        unsafe { CStr::from_ptr(contrib_last_error_message()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_message_too_long_is_cut_between_characters() {
        remember(&"ü".repeat(MESSAGE_BYTES));
        assert_eq!(message(), "ü".repeat((MESSAGE_BYTES - 1) / 2));
        remember(&"short");
        assert_eq!(message(), "short");
    }
}
