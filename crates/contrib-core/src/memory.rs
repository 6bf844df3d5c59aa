//! Memory on the heap that may be missing: the standard library's `Box` ends the process then.

use std::alloc::{Layout, alloc};
use std::ptr::NonNull;

/// The value on the heap, or `None` where there is no memory for it.
#[must_use]
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    if size_of::<T>() == 0 {
        // It needs none.
        return Some(Box::new(value));
    }
    // SAFETY: the layout's size is not zero.
    let place = NonNull::new(unsafe { alloc(Layout::new::<T>()) })?.cast::<T>();
    // SAFETY: the place is new, and has the size and alignment of a `T`.
    unsafe { place.write(value) };
    // SAFETY: the place holds a `T`, and comes from the allocator and with the layout that a `Box<T>` gives back.
    Some(unsafe { Box::from_raw(place.as_ptr()) })
}
