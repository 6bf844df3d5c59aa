//! The proximity of a part to its whole: the whole's norm less the part's distance, and at least [`LEAST_PROXIMITY`]. The
//! formula of "Information Flow Routes" (Ferrando & Voita, arXiv 2403.00824) with the proximity of ALTI (arXiv 2203.04212).
//!
//! Before the least is applied, a proximity is *unclamped*. It follows from a distance, or from a *distance reduction*: by how
//! much the part is nearer to the whole than the zero vector is.

use super::kernel_selection::KernelSelection;
use super::plan::{DensePlan, WholePlan};
use super::totals::{Comparison, Origin, Workspace, totals};
use super::vectors::Vectors;
use crate::kernels::proximities::{CLOSE, LEAST_PROXIMITY};
use std::slice;

pub(super) use crate::kernels::proximities::WholeNorm;

/// Wholes of this norm are too large for distance reductions in `f32`, where twice an element may be infinite.
const LARGEST_FOR_REDUCTIONS: f64 = 1e38;

/// Where the sum of the proximities to a whole is a smaller share of its norm, roundings in `f32` show in the contributions:
/// a part that is not clamped is at most twice as large as its whole, and what is rounded of it is then no longer small
/// beside the sum.
const LEAST_SHARE_FOR_F32: f64 = 0.25;

impl WholeNorm {
    /// Measures the whole with this index, and the distance of the zero vector where it `needs_zero`.
    pub(super) fn measure(workspace: &mut Workspace<'_>, whole: &WholePlan<'_>, item: usize, needs_zero: bool) -> Self {
        let WholePlan { vectors, to_norm, .. } = whole;
        let mut measured = |origin| {
            let mut distance = 0.0;
            let comparison = Comparison { selection: to_norm, origin, vectors };
            distances(workspace, &comparison, vectors.start(item), 0, slice::from_mut(&mut distance));
            distance
        };
        let norm = measured(Origin::Zero);
        let of_zero = if needs_zero { measured(Origin::Epsilons) } else { f64::NAN };
        WholeNorm { norm, of_zero }
    }

    /// The unclamped proximity of the zero vector.
    pub(super) fn of_zero_vector(&self) -> f64 {
        self.norm - self.of_zero
    }

    /// The unclamped proximity of a part at this distance.
    pub(super) fn of_distance(&self, distance: f64) -> f64 {
        self.norm - distance
    }

    /// Whether distance reductions can be measured in `f32`.
    pub(super) fn is_in_range_of_f32(&self) -> bool {
        self.norm < LARGEST_FOR_REDUCTIONS
    }

    /// Whether the contributions of parts whose proximities have this sum are accurate where those were calculated in `f32`.
    pub(super) fn is_accurate_in_f32(&self, sum: f64) -> bool {
        // NaN is what it is in any arithmetic.
        sum.is_nan() || self.norm.is_nan() || sum >= LEAST_SHARE_FOR_F32 * self.norm
    }

    /// The unclamped proximity of a part with this distance reduction in the 1-norm, and whether it is accurate; otherwise
    /// only the distance is.
    #[inline(always)]
    pub(super) fn of_magnitudes(&self, reduction: f64) -> (f64, bool) {
        (self.of_zero_vector() + reduction, reduction.is_finite())
    }

    /// The same of a part that reduces the square of the distance in the 2-norm by so much. Norm less distance is the
    /// difference of their squares over their sum.
    #[inline(always)]
    pub(super) fn of_squares(&self, reduction: f64) -> (f64, bool) {
        let square_of_zero = self.of_zero * self.of_zero;
        let square = square_of_zero - reduction;
        let unclamped = (self.of_zero_vector() * (self.norm + self.of_zero) + reduction) / (self.norm + square.sqrt());
        (unclamped, square > CLOSE * square_of_zero && square < f64::INFINITY)
    }
}

/// The proximity that follows from an unclamped one. NaN stays NaN.
#[inline(always)]
pub(super) fn clamped(unclamped: f64) -> f64 {
    if unclamped < LEAST_PROXIMITY { LEAST_PROXIMITY } else { unclamped }
}

/// How dense parts are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// By distance reductions in `f32`, where norm and types have them.
    F32,
    /// By distances in `f64`.
    F64,
}

/// Puts into `proximities` those of the dense parts from `first` on to the whole with this index.
pub(super) fn dense_proximities(
    workspace: &mut Workspace<'_>,
    whole: &WholePlan<'_>,
    (item, norm): (usize, &WholeNorm),
    dense: &DensePlan<'_>,
    precision: Precision,
    first: usize,
    proximities: &mut [f64],
) {
    let (vectors, origin) = (&dense.vectors, Origin::Whole(&whole.vectors, whole.vectors.start(item)));
    let start = vectors.start(item);
    let to_distances = Comparison { selection: &dense.to_distances, origin, vectors };
    let reductions = dense.to_reductions.as_ref().filter(|_| precision == Precision::F32 && norm.is_in_range_of_f32());
    let Some(selection) = reductions else {
        distances(workspace, &to_distances, start, first, proximities);
        for distance in proximities {
            *distance = clamped(norm.of_distance(*distance));
        }
        return;
    };
    let is_square = selection.measure.is_square();
    let to_reductions = Comparison { selection, origin, vectors };
    totals(workspace, &to_reductions, start, first, proximities, |workspace, part, reduction| {
        let (mut unclamped, is_accurate) =
            if is_square { norm.of_squares(*reduction) } else { norm.of_magnitudes(*reduction) };
        if !is_accurate {
            unclamped = norm.of_distance(distance_of_one(workspace, &to_distances, part));
        }
        *reduction = clamped(unclamped);
    });
}

/// The distance of a whole from one vector of `f64` that was materialised.
pub(super) fn distance_of_materialised(
    workspace: &mut Workspace<'_>,
    whole: &WholePlan<'_>,
    item: usize,
    selection: &KernelSelection,
    numbers: &[f64],
) -> f64 {
    let origin = Origin::Whole(&whole.vectors, whole.vectors.start(item));
    let vectors = &Vectors::of_numbers(numbers);
    distance_of_one(workspace, &Comparison { selection, origin, vectors }, vectors.data)
}

/// The distance of one part.
#[cold]
fn distance_of_one(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, part: *const u8) -> f64 {
    let mut distance = 0.0;
    distances(workspace, comparison, part, 0, slice::from_mut(&mut distance));
    distance
}

/// Puts into `distances` those between the origin and the parts from `first` on, of the batch item whose first part begins
/// at `start`.
pub(super) fn distances(
    workspace: &mut Workspace<'_>,
    comparison: &Comparison<'_>,
    start: *const u8,
    first: usize,
    distances: &mut [f64],
) {
    let measure = comparison.selection.measure;
    totals(workspace, comparison, start, first, distances, |workspace, part, total| {
        *total = if measure.is_in_range(*total) {
            measure.norm(*total)
        } else {
            rescaled_distance(workspace, comparison, part)
        };
    });
}

/// The distance of a part whose total left the range of `f64`: measured again in units of its largest difference. What is
/// truly zero, infinite or NaN stays so.
#[cold]
fn rescaled_distance(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, part: *const u8) -> f64 {
    let mut measure = |selection: &KernelSelection| {
        let mut total = 0.0;
        let comparison = Comparison { selection, ..*comparison };
        totals(workspace, &comparison, part, 0, slice::from_mut(&mut total), |_, _, _| {});
        selection.measure.norm(total)
    };
    let selection = comparison.selection;
    let largest = measure(&selection.largest());
    if selection.measure.parameters.exponent.is_infinite() || largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    measure(&selection.scaled(largest))
}
