//! Parts that are materialised in `f64` and measured as dense parts are: those of other norms than 1 and 2, with a scale, or
//! whose distance reduction is not accurate.

use crate::driver::memory::{uninit, zeroed};
use crate::driver::plan::{FactoredPlan, WholePlan};
use crate::driver::proximity::{WholeNorm, distance_of_materialised};
use crate::driver::totals::{Buffers, Workspace};
use crate::dtype::{DType, Element, with_element};
use crate::error::Error;
use std::mem::MaybeUninit;

/// Adds `factor` times the elements at `from`, `stride` apart, to `to`.
///
/// # Safety
/// - As many elements of type `dtype` as `to` has can be read.
unsafe fn add_scaled(dtype: DType, from: *const u8, stride: isize, factor: f64, to: &mut [f64]) {
    with_element!(dtype, T => {
        let from = from.cast::<T>();
        for (index, to) in to.iter_mut().enumerate() {
            // SAFETY: the index is below the number of elements that can be read.
            *to += factor * unsafe { from.wrapping_offset(index as isize * stride).read() }.to_f64();
        }
    });
}

/// Memory for a [`Materialised`] part.
pub(super) struct Memory {
    direction: Vec<f64>,
    part: Vec<f64>,
    buffers: Vec<MaybeUninit<Buffers>>,
}

impl Memory {
    /// Memory for parts of `len` elements.
    pub(super) fn new(len: usize) -> Result<Self, Error> {
        Ok(Memory { direction: zeroed(len)?, part: zeroed(len)?, buffers: uninit(1)? })
    }
}

/// A part that is measured against some wholes.
pub(super) struct Materialised<'a> {
    plan: &'a FactoredPlan,
    whole: &'a WholePlan,
    memory: &'a mut Memory,
}

impl<'a> Materialised<'a> {
    /// The direction of the part whose value or direction begins at `start`, and whose matrix begins at `offset` of the
    /// projection.
    pub(super) fn new(
        plan: &'a FactoredPlan,
        whole: &'a WholePlan,
        start: *const u8,
        offset: isize,
        memory: &'a mut Memory,
    ) -> Self {
        let direction = &mut memory.direction;
        direction.fill(0.0);
        let vectors = &plan.directions;
        match &plan.projection {
            // SAFETY: the direction can be read, and is as long as a whole.
            None => unsafe { add_scaled(vectors.dtype, start, vectors.stride, 1.0, direction) },
            Some(projection) => {
                for row in 0..projection.rows {
                    let mut value = [0.0];
                    let size = vectors.dtype.size() as isize;
                    let element = start.wrapping_offset(row as isize * vectors.stride * size);
                    // SAFETY: the element can be read.
                    unsafe { add_scaled(vectors.dtype, element, 1, 1.0, &mut value) };
                    let size = projection.dtype.size() as isize;
                    let from = projection.data.wrapping_offset((offset + row as isize * projection.row_stride) * size);
                    // SAFETY: the row can be read, and is as long as a whole.
                    unsafe { add_scaled(projection.dtype, from, projection.stride, value[0], direction) };
                }
            }
        }
        Materialised { plan, whole, memory }
    }

    /// The unclamped proximity of the part with this coefficient to the whole with this index.
    pub(super) fn unclamped(&mut self, item: usize, norm: &WholeNorm, coefficient: f64) -> f64 {
        let Memory { direction, part: numbers, buffers } = &mut *self.memory;
        for (part, direction) in numbers.iter_mut().zip(&*direction) {
            *part = coefficient * direction;
        }
        if let Some(scales) = &self.plan.scale {
            scale(scales.dtype, scales.start(item), scales.stride, numbers);
        }
        let workspace = &mut Workspace::new(&mut buffers[0]);
        norm.of_distance(distance_of_materialised(workspace, self.whole, item, &self.plan.to_distances, numbers))
    }
}

/// Multiplies numbers with the elements of a scale.
fn scale(dtype: DType, from: *const u8, stride: isize, numbers: &mut [f64]) {
    with_element!(dtype, T => {
        let from = from.cast::<T>();
        for (index, number) in numbers.iter_mut().enumerate() {
            // SAFETY: the scale is as long as a whole.
            *number *= unsafe { from.wrapping_offset(index as isize * stride).read() }.to_f64();
        }
    });
}
