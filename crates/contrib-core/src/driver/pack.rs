//! Vectors whose elements do not lie one after the other are copied, a block at a time, to where they do.
//!
//! Elements are copied as they are, by size, whatever their type.

/// The elements `start..start + len` of the vectors that begin at `vectors` and step by `stride` elements, written to
/// `packed`, each vector's `len` elements together, the vectors one after the other.
///
/// # Safety
/// - `len` elements of each vector, `stride` apart, can be read.
/// - `vectors.len() * len` elements of `size` bytes can be written at `packed`.
/// - Both are aligned to `size`.
pub(super) unsafe fn pack(size: usize, vectors: &[*const u8], stride: isize, len: usize, packed: *mut u8) {
    // SAFETY: the contract is the same; elements of `size` bytes are aligned to it.
    unsafe {
        match size {
            2 => pack_elements::<u16>(vectors, stride, len, packed.cast()),
            4 => pack_elements::<u32>(vectors, stride, len, packed.cast()),
            8 => pack_elements::<u64>(vectors, stride, len, packed.cast()),
            _ => unreachable!("no element has {size} bytes"),
        }
    }
}

/// # Safety
/// As [`pack`].
unsafe fn pack_elements<T: Copy>(vectors: &[*const u8], stride: isize, len: usize, packed: *mut T) {
    // The vectors of a tile are usually neighbours, so that the elements of one index share cache lines: all of them
    // are taken before those of the next index.
    for index in 0..len {
        for (number, vector) in vectors.iter().enumerate() {
            // SAFETY: element `index` is one of the `len` that can be read of this vector, and the packed one lies below
            // `vectors.len() * len`.
            unsafe {
                *packed.add(number * len + index) = *vector.cast::<T>().wrapping_offset(index as isize * stride);
            }
        }
    }
}
