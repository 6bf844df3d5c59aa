//! The kernels of a factored group, selected once for a call, and the slices of long rows that they multiply.

use crate::dispatch::{Arithmetic, EntryPoint, entry_point};
use crate::driver::gemm::Gemm;
use crate::driver::plan::{CoefficientsPlan, FactoredPlan};
use crate::dtype::DType;
use crate::kernels::excess::{Excess, ExcessArguments};
use crate::kernels::gather::{Gather, GatherArguments};
use crate::kernels::panel::{PackPanelArguments, PanelLargest, PanelSizesArguments, PanelSquares};
use crate::kernels::prepare::PrepareArguments;
use crate::kernels::project_value::{ProjectValue, ProjectValueArguments};
use crate::kernels::proximities::{
    LargestBounds, LargestBoundsArguments, Proximities, ProximitiesArguments, SquareProximities,
};
use crate::kernels::softmax::{Scores, ScoresArguments, Softmax, SoftmaxArguments};
use crate::kernels::widen::WidenArguments;
use crate::norm::Reduction;

/// Kernels that calculate in `N`.
#[derive(Clone, Copy)]
pub(super) struct Kernels<N> {
    /// Prepares a whole.
    pub(super) prepare: EntryPoint<PrepareArguments>,
    /// Packs rows of the projection into panels.
    pub(super) pack_matrix: Option<EntryPoint<PackPanelArguments<N>>>,
    /// Widens a direction, or a value.
    pub(super) widen: EntryPoint<WidenArguments<N>>,
    /// Packs directions or values that were widened.
    pub(super) pack_rows: EntryPoint<PackPanelArguments<N>>,
    pub(super) gemm: Gemm<N>,
    pub(super) project_value: EntryPoint<ProjectValueArguments<N>>,
    pub(super) gather: EntryPoint<GatherArguments<N>>,
    pub(super) largest_bounds: EntryPoint<LargestBoundsArguments<N>>,
    /// Makes proximities of distance reductions.
    pub(super) proximities: EntryPoint<ProximitiesArguments<N>>,
    /// Widens proximities.
    pub(super) widen_row: EntryPoint<WidenArguments<f64>>,
    pub(super) largest: EntryPoint<PanelSizesArguments<N>>,
    pub(super) excess: EntryPoint<ExcessArguments<N>>,
    pub(super) squares: EntryPoint<PanelSizesArguments<N>>,
    /// With queries and keys.
    pub(super) scores: Option<ScoreKernels<N>>,
}

/// Kernels that make coefficients of queries and keys.
#[derive(Clone, Copy)]
pub(super) struct ScoreKernels<N> {
    pub(super) widen_queries: EntryPoint<WidenArguments<N>>,
    pub(super) widen_keys: EntryPoint<WidenArguments<N>>,
    pub(super) scores: EntryPoint<ScoresArguments<N>>,
    pub(super) softmax: EntryPoint<SoftmaxArguments<N>>,
}

impl<N: Arithmetic> Kernels<N> {
    pub(super) fn new(plan: &FactoredPlan<'_>, whole: DType) -> Self {
        let set = plan.set;
        Kernels {
            prepare: N::prepare(set, whole),
            pack_matrix: plan.projection.map(|projection| N::pack_panel(set, projection.dtype)),
            widen: N::widen(set, plan.directions.dtype),
            pack_rows: N::pack_panel(set, N::DTYPE),
            gemm: Gemm::new(set),
            project_value: entry_point::<ProjectValue<N>>(set),
            gather: entry_point::<Gather<N>>(set),
            largest_bounds: entry_point::<LargestBounds<N>>(set),
            proximities: match plan.reduction {
                Some(Reduction::Squares) => entry_point::<SquareProximities<N>>(set),
                _ => entry_point::<Proximities<N>>(set),
            },
            widen_row: N::widen_to_f64(set),
            largest: entry_point::<PanelLargest<N>>(set),
            excess: entry_point::<Excess<N>>(set),
            squares: entry_point::<PanelSquares<N>>(set),
            scores: match &plan.coefficients {
                CoefficientsPlan::Given(_) => None,
                CoefficientsPlan::Softmax(scores) => Some(ScoreKernels {
                    widen_queries: N::widen(set, scores.queries.dtype),
                    widen_keys: N::widen(set, scores.keys.dtype),
                    scores: entry_point::<Scores<N>>(set),
                    softmax: entry_point::<Softmax<N>>(set),
                }),
            },
        }
    }
}
