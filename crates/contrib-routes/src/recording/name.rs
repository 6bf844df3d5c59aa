//! The name of a tensor as text, without a heap.

use contrib_core::Argument;
use std::fmt::{self, Write};

/// No tensor has a name as long as this, with a number of 20 digits.
const MAX_LEN: usize = 48;

/// The name of a tensor in a file.
pub(super) struct Name {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Name {
    pub(super) fn new(name: Argument) -> Self {
        let mut text = Name { bytes: [0; MAX_LEN], len: 0 };
        // What does not fit is the name of no tensor.
        let _ = write!(text, "{name}");
        text
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
