//! Memory that may be missing: what grows with a recording is allocated so that its lack is an error.

use crate::error::Error;

fn out_of_memory<T>(len: usize) -> Error {
    Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) }
}

/// So many elements, all alike.
pub(crate) fn filled<T: Clone>(element: T, len: usize) -> Result<Vec<T>, Error> {
    let mut vec = with_capacity(len)?;
    vec.resize(len, element);
    Ok(vec)
}

/// Nothing, with memory for so many elements.
pub(crate) fn with_capacity<T>(len: usize) -> Result<Vec<T>, Error> {
    let mut vec = Vec::new();
    reserve(&mut vec, len)?;
    Ok(vec)
}

/// Makes room for so many more elements.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
    vec.try_reserve(more).map_err(|_| out_of_memory::<T>(vec.len().saturating_add(more)))
}

/// Adds an element.
pub(crate) fn push<T>(vec: &mut Vec<T>, element: T) -> Result<(), Error> {
    if vec.len() == vec.capacity() {
        reserve(vec, 1)?;
    }
    vec.push(element);
    Ok(())
}

/// Adds elements.
pub(crate) fn extend<T: Clone>(vec: &mut Vec<T>, elements: &[T]) -> Result<(), Error> {
    reserve(vec, elements.len())?;
    vec.extend_from_slice(elements);
    Ok(())
}

/// What an iterator gives; all of it is counted before.
pub(crate) fn collected<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, Error> {
    let mut vec = with_capacity(items.len())?;
    vec.extend(items);
    Ok(vec)
}

/// An error where so many bytes are not to be had. They are given back at once: for what allocates them without an error.
pub(crate) fn expect_available(bytes: usize) -> Result<(), Error> {
    with_capacity::<u8>(bytes).map(drop)
}
