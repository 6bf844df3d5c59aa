//! Factored parts written out one after the other, in `f64`, and measured as dense parts are.

use super::tile::load;
use super::work::{Measured, Panel, WorkOf};
use crate::context::Threads;
use crate::driver::Vectors;
use crate::driver::surplus::distances;
use crate::driver::totals::{Buffers, Comparison, Origin, Workspace};
use crate::kernels::products::Products;
use crate::lanes::LANES;
use std::slice;

impl<N: Measured> WorkOf<'_, N> {
    /// The surpluses of those of the parts that `lanes` names whose coefficients are not zero, each written out and measured
    /// in `f64`.
    #[inline(never)]
    pub(super) fn written_out(&self, panel: &Panel<'_>, lanes: u32, slot: &mut [f64], to: &mut [f64; LANES]) {
        let mut buffers = Buffers::uninit();
        let workspace = &mut Workspace::new(&mut buffers);
        let whole = &self.whole.vectors;
        let (part, scale) = slot.split_at_mut(self.lengths.d);
        if let Some(scales) = &self.factored.scale {
            // SAFETY: the vector belongs to the scale's view.
            unsafe { load(scales.dtype, scales.start(panel.index), scales.stride, scale) };
        }
        for lane in (0..LANES).filter(|&lane| lanes >> lane & 1 == 1 && panel.coefficients[lane] != 0.0) {
            let direction = self.tile.direction(panel.number * LANES + lane);
            for (to, x) in part.iter_mut().zip(direction) {
                *to = panel.coefficients[lane] * x.to_f64();
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
    fn multiply(_: &WorkOf<'_, f64>, _: usize, _: usize, _: usize, _: &mut [Products]) {}

    fn surpluses(work: &WorkOf<'_, f64>, panel: &Panel<'_>, _: &[f64; LANES], slot: &mut [f64], to: &mut [f64; LANES]) {
        work.written_out(panel, u32::MAX, slot, to);
    }

    fn prepare_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}

    fn project_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}
}
