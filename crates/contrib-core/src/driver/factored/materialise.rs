//! Parts that are materialised in `f64` and measured as dense parts are: those of other norms than 1 and 2, with a scale, or
//! whose distance reduction is not accurate.

use crate::driver::memory::{Buffer, WorkingMemory};
use crate::driver::plan::{FactoredPlan, WholePlan};
use crate::driver::proximity::{WholeNorm, distance_of_materialised};
use crate::driver::totals::{Buffers, Workspace};
use crate::dtype::{DType, Element, with_element};
use crate::error::Error;

/// Calls `change` with each number of `to` and the element that belongs to it: those at `from`, `stride` apart.
///
/// # Safety
/// - As many elements of type `dtype` as `to` has can be read.
unsafe fn with_each(dtype: DType, from: *const u8, stride: isize, to: &mut [f64], change: impl Fn(&mut f64, f64)) {
    with_element!(dtype, T => {
        let from = from.cast::<T>();
        for (index, to) in to.iter_mut().enumerate() {
            // SAFETY: the index is below the number of elements that can be read.
            change(to, unsafe { from.wrapping_offset(index as isize * stride).read() }.to_f64());
        }
    });
}

/// Memory for a [`Materialised`] part.
pub(super) struct Memory<'m> {
    value: Buffer<'m, f64>,
    direction: Buffer<'m, f64>,
    part: Buffer<'m, f64>,
    buffers: Buffer<'m, Buffers>,
}

impl<'m> Memory<'m> {
    /// Memory for parts of `len` elements, from values of `value_len` where they are projected.
    pub(super) fn new(len: usize, value_len: usize, memory: WorkingMemory<'m>) -> Result<Self, Error> {
        Ok(Memory {
            value: memory.unset(value_len)?,
            direction: memory.unset(len)?,
            part: memory.unset(len)?,
            buffers: memory.unset(1)?,
        })
    }
}

/// A part that is measured against some wholes.
pub(super) struct Materialised<'a, 'm> {
    plan: &'a FactoredPlan<'a>,
    whole: &'a WholePlan<'a>,
    memory: &'a mut Memory<'m>,
}

impl<'a, 'm> Materialised<'a, 'm> {
    /// The direction of the part whose value or direction begins at `start`, and whose matrix begins at `offset` of the
    /// projection.
    pub(super) fn new(
        plan: &'a FactoredPlan<'a>,
        whole: &'a WholePlan<'a>,
        start: *const u8,
        offset: isize,
        memory: &'a mut Memory<'m>,
    ) -> Self {
        // The value, or the direction itself.
        let vectors = &plan.directions;
        let value = if plan.projection.is_some() { &mut memory.value } else { &mut memory.direction };
        // SAFETY: the vector can be read, and is as long as a whole, or as the matrix has rows.
        unsafe { with_each(vectors.dtype, start, vectors.stride, value, |to, own| *to = own) };
        if let Some(projection) = &plan.projection {
            memory.direction.fill(0.0);
            for (row, factor) in memory.value.iter().enumerate() {
                let from = projection.row(offset, row);
                // SAFETY: the row can be read, and is as long as a whole.
                unsafe {
                    with_each(projection.dtype, from, projection.stride, &mut memory.direction, |to, own| {
                        *to += factor * own;
                    });
                }
            }
        }
        Materialised { plan, whole, memory }
    }

    /// The unclamped proximity of the part with this coefficient to the whole with this index.
    pub(super) fn unclamped(&mut self, item: usize, norm: &WholeNorm, coefficient: f64) -> f64 {
        let Memory { direction, part: numbers, buffers, .. } = &mut *self.memory;
        for (part, direction) in numbers.iter_mut().zip(direction.iter()) {
            *part = coefficient * direction;
        }
        if let Some(scales) = &self.plan.scale {
            // SAFETY: the scale can be read, and is as long as a whole.
            unsafe {
                with_each(scales.dtype, scales.start(item), scales.stride, numbers, |to, own| *to *= own);
            }
        }
        let workspace = &mut Workspace::new(&mut buffers[0]);
        norm.of_distance(distance_of_materialised(workspace, self.whole, item, &self.plan.to_distances, numbers))
    }
}
