//! Factored parts written out one after the other, in `f64`, and measured as dense parts are.

use super::FactoredParts;
use super::tile::{Kernels, Panels};
use super::work::{Measured, Panel, WorkOf};
use crate::context::Threads;
use crate::dispatch;
use crate::driver::Vectors;
use crate::driver::surplus::distances;
use crate::driver::totals::{Buffers, Comparison, Origin, Workspace};
use crate::dtype::{DType, Element, with_element};
use crate::kernels::products::Products;
use crate::lanes::{LANES, Line};
use std::slice;

/// Widens the elements at `from` and every `stride` after it.
///
/// # Safety
/// As many elements as `to` has can be read.
unsafe fn widen(dtype: DType, from: *const u8, stride: isize, to: &mut [f64]) {
    with_element!(dtype, T => {
        let from = from.cast::<T>();
        for (index, to) in to.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *to = unsafe { from.wrapping_offset(index as isize * stride).read() }.to_f64();
        }
    });
}

impl<N: Measured> WorkOf<'_, N> {
    /// The surpluses of those of the parts that `lanes` names whose coefficients are not zero, each written out and measured
    /// in `f64`.
    #[inline(never)]
    pub(super) fn written_out(&self, panel: &Panel<'_, N>, lanes: u32, slot: &mut [f64], to: &mut [f64; LANES]) {
        let mut buffers = Buffers::uninit();
        let workspace = &mut Workspace::new(&mut buffers);
        let whole = &self.whole.vectors;
        let (part, scale) = slot.split_at_mut(self.lengths.d);
        if let Some(scales) = &self.factored.scale {
            // SAFETY: the vector belongs to the scale's view.
            unsafe { widen(scales.dtype, scales.start(panel.index), scales.stride, scale) };
        }
        for lane in (0..LANES).filter(|&lane| lanes >> lane & 1 == 1 && panel.coefficients.0[lane].to_f64() != 0.0) {
            let coefficient = panel.coefficients.0[lane].to_f64();
            for (to, direction) in part.iter_mut().zip(panel.parts.directions) {
                *to = coefficient * direction.0[lane].to_f64();
            }
            if self.factored.scale.is_some() {
                part.iter_mut().zip(&*scale).for_each(|(x, scale)| *x *= scale);
            }
            let origin = Origin::Whole(whole, whole.start(panel.index));
            let vectors = &Vectors::one(part);
            let comparison = Comparison { route: &self.factored.to_distances, origin, vectors };
            let mut distance = 0.0;
            distances(workspace, &comparison, vectors.data, 0, slice::from_mut(&mut distance));
            to[lane] = panel.norm.surplus_of_distance(distance);
        }
    }
}

impl Measured for f64 {
    fn kernels(factored: &FactoredParts) -> Kernels<f64> {
        let panel = |dtype| dispatch::panel_in_f64(factored.set, dtype);
        Kernels {
            read: panel(factored.directions.dtype),
            read_matrix: factored.projection.map(|projection| panel(projection.dtype)),
            products: dispatch::products_kernel(factored.set),
            measure: None,
        }
    }

    fn multiply(_: &WorkOf<'_, f64>, _: Panels<'_, f64>, _: usize, _: usize, _: &mut [Products]) {}

    fn surpluses(
        work: &WorkOf<'_, f64>,
        panel: &Panel<'_, f64>,
        _: &Line<f64>,
        slot: &mut [f64],
        to: &mut [f64; LANES],
    ) {
        work.written_out(panel, u32::MAX, slot, to);
    }

    fn prepare_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}

    fn project_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}
}
