//! Factored parts written out, a panel at a time, in `f64`, and measured as dense parts are.

use super::FactoredParts;
use super::tile::Panels;
use super::work::{Desk, Measured, Panel, WorkOf};
use crate::context::Threads;
use crate::dispatch::{self, EntryPoint};
use crate::driver::Vectors;
use crate::driver::surplus::distances;
use crate::driver::totals::{Buffers, Comparison, Origin, Workspace};
use crate::dtype::{DType, Element, with_element};
use crate::instruction_set::InstructionSet;
use crate::kernels::gemm_microkernel::Products;
use crate::kernels::panel::{PackPanelArguments, PanelSizesArguments};
use crate::lanes::{LANES, Line};

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

/// Numbers of scratch memory that [`WorkOf::written_out`] needs for parts of `d` elements: those of a panel, and a scale.
pub(super) fn scratch_len(d: usize) -> usize {
    (LANES + 1) * d
}

impl<N: Measured> WorkOf<'_, N> {
    /// The surpluses of those of the parts that `lanes` names whose coefficients are not zero, written out as a panel and
    /// measured in `f64`.
    #[inline(never)]
    pub(super) fn written_out(&self, panel: &Panel<'_, N>, lanes: u32, scratch: &mut [f64], to: &mut [f64; LANES]) {
        let d = self.lengths.d;
        let (written, scale) = scratch.split_at_mut(LANES * d);
        let coefficients = panel.coefficients.0.map(N::to_f64);
        for (written, direction) in written.as_chunks_mut::<LANES>().0.iter_mut().zip(panel.parts.directions) {
            for (lane, written) in written.iter_mut().enumerate() {
                *written = coefficients[lane] * direction.0[lane].to_f64();
            }
        }
        if let Some(scales) = &self.factored.scale {
            // SAFETY: the vector belongs to the scale's view.
            unsafe { widen(scales.dtype, scales.start(panel.index), scales.stride, scale) };
            for (written, scale) in written.as_chunks_mut::<LANES>().0.iter_mut().zip(scale) {
                for written in written {
                    *written *= *scale;
                }
            }
        }
        let whole = &self.whole.vectors;
        let origin = Origin::Whole(whole, whole.start(panel.index));
        let vectors = &Vectors::panel(written, LANES);
        let comparison = Comparison { route: &self.factored.to_distances, origin, vectors };
        let mut buffers = Buffers::uninit();
        let mut from_whole = [0.0; LANES];
        distances(&mut Workspace::new(&mut buffers), &comparison, vectors.data, 0, &mut from_whole);
        for lane in (0..LANES).filter(|&lane| lanes >> lane & 1 == 1 && coefficients[lane] != 0.0) {
            to[lane] = panel.norm.surplus_of_distance(from_whole[lane]);
        }
    }
}

impl Measured for f64 {
    fn panel(set: InstructionSet, vectors: DType) -> EntryPoint<PackPanelArguments<f64>> {
        dispatch::pack_panel_in_f64(set, vectors)
    }

    fn measurer(_: &FactoredParts) -> Option<EntryPoint<PanelSizesArguments>> {
        None
    }

    fn multiply(_: &WorkOf<'_, f64>, _: (&Desk<f64>, Panels<'_, f64>), _: usize, _: usize, _: &mut [Products]) {}

    fn surpluses(
        work: &WorkOf<'_, f64>,
        panel: &Panel<'_, f64>,
        _: &Line<f64>,
        scratch: &mut [f64],
        to: &mut [f64; LANES],
    ) {
        work.written_out(panel, u32::MAX, scratch, to);
    }

    fn prepare_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}

    fn project_wholes(_: &WorkOf<'_, f64>, _: &mut Desk<f64>, _: usize, _: usize, _: Threads<'_>) {}
}
