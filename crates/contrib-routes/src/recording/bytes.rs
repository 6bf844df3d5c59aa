//! The bytes of a file: mapped into memory, or in memory that the recording owns.

use crate::allocate::{extend, with_capacity};
use crate::error::Error;
use memmap2::Mmap;
use std::ops::Deref;

/// What the address of bytes has to be a multiple of: the size of the largest elements.
const ALIGNMENT: usize = 8;

#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mmap),
    /// Those from a place on.
    Owned(Vec<u8>, usize),
}

impl Bytes {
    /// These bytes, copied where their address is no multiple of [`ALIGNMENT`], as a map's is.
    pub(super) fn aligned(bytes: Vec<u8>) -> Result<Self, Error> {
        if bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Ok(Bytes::Owned(bytes, 0));
        }
        Bytes::copied(&bytes)
    }

    fn copied(bytes: &[u8]) -> Result<Self, Error> {
        let mut copy: Vec<u8> = with_capacity(bytes.len().saturating_add(ALIGNMENT))?;
        // There is room for all, so that the memory stays where it is.
        let start = copy.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        copy.resize(start, 0);
        extend(&mut copy, bytes)?;
        Ok(Bytes::Owned(copy, start))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes, start) => &bytes[*start..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_lie_at_a_multiple_of_eight() {
        let all: Vec<u8> = (0..64).collect();
        for len in 0..all.len() {
            let copied = Bytes::copied(&all[..len]).unwrap();
            assert!(copied.as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert_eq!(copied[..], all[..len]);
        }
    }
}
