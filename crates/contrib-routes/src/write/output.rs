//! Where text goes to: an output of the caller's, in large pieces.

use crate::allocate::with_capacity;
use crate::error::Error;
use std::io::{self, Write};

/// Bytes that are kept before they are handed on.
const CAPACITY: usize = 1 << 16;

/// Collects small pieces for an output. What is left is handed on by `flush` alone.
pub(super) struct Output<'a> {
    buffer: Vec<u8>,
    to: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    pub(super) fn new(to: &'a mut dyn Write) -> Result<Self, Error> {
        Ok(Output { buffer: with_capacity(CAPACITY)?, to })
    }

    /// Whatever comes of it, the buffer is empty afterwards: an output that refused is not asked again for the same bytes.
    fn hand_on(&mut self) -> io::Result<()> {
        let result = self.to.write_all(&self.buffer);
        self.buffer.clear();
        result
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > CAPACITY {
            self.hand_on()?;
        }
        if bytes.len() > CAPACITY {
            return self.to.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.to.flush()
    }
}
