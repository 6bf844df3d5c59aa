//! By how much parts exceed their whole: the second term of the distance reduction in the 1-norm.
//!
//! An element of a part exceeds that of its whole only where it is larger. The Cauchy-Schwarz inequality bounds it without
//! the element: `|coefficient| * ||value|| * ||column||`. So most parts need no element at all, and of the others those are
//! looked at that belong to the smallest of the whole.

use super::directions::{PanelDirections, Source, WORTH_ALL};
use super::kernels::Kernels;
use super::rows::STRIP;
use super::wholes::{Whole, Wholes};
use crate::dispatch::Arithmetic;
use crate::driver::matrix::{Matrix, SLACK};
use crate::kernels::excess::{Buckets, ExcessArguments, SortedElement};
use crate::kernels::proximities::LargestBoundsArguments;
use crate::lanes::{LANES, Line};
use std::array::from_fn;
use std::ops::Range;

/// The smallest elements of a whole that are compared with the norms of their own columns.
const SMALLEST: usize = 64;

/// Parts of a panel whose directions are calculated alone: more of them take as long as those of the whole panel.
const MOST_ALONE: u32 = 4;

/// What the bound of a part, without the norm of a column, must be greater than for it to exceed a whole anywhere: the least
/// ratio of an element and the norm of its column, or less.
pub(super) fn least_bound<N: Arithmetic>(whole: &Whole<'_, N>, matrix: &Matrix<'_, N>) -> f64 {
    let Some(buckets) = whole.buckets else { return 0.0 };
    let (smallest, others) = whole.sorted.split_at(SMALLEST.min(whole.sorted.len()));
    let of_others =
        others.first().map_or(f64::INFINITY, |first| f64::from(buckets.floor(first)) / matrix.largest_norm());
    let ratio = |element: &SortedElement<N>| element.number.to_f64().abs() * matrix.reciprocal(element.index as usize);
    smallest.iter().map(ratio).fold(of_others, f64::min)
}

/// What the excess of the parts of a panel is calculated from.
pub(super) struct PanelExcess<'a, 'm, N> {
    pub(super) kernels: &'a Kernels<N>,
    pub(super) matrix: Option<&'a Matrix<'a, N>>,
    pub(super) directions: &'a mut PanelDirections<'m, N>,
    pub(super) source: Source<'a>,
    /// Whether few wholes share the directions, so that elements which one needs are not soon needed by another.
    pub(super) are_few: bool,
}

impl<N: Arithmetic> PanelExcess<'_, '_, N> {
    /// Puts the excess of each part of the panel over the wholes with these numbers into `excess`. `least` gives
    /// [`least_bound`] of each whole.
    pub(super) fn of_strip(
        &mut self,
        prepared: &Wholes<'_, N>,
        numbers: Range<usize>,
        least: impl Fn(usize) -> f64,
        coefficients: &[Line<N>],
        excess: &mut [Line<f64>],
    ) {
        let mut largest = [N::ZERO; STRIP];
        let arguments = LargestBoundsArguments {
            coefficients: coefficients.as_ptr(),
            count: numbers.len().next_multiple_of(LANES),
            bounds: &raw const self.directions.bounds,
            largest: largest.as_mut_ptr(),
        };
        // SAFETY: there are coefficients for as many wholes as a strip has, which are whole vectors.
        unsafe { (self.kernels.largest_bounds)(arguments) };
        // The bounds that these are of, which may become exact on the way. What is exact needs no bound of its own: the first
        // bucket of the whole tells.
        let are_exact = self.directions.are_exact;
        let norm = if are_exact { 1.0 } else { self.matrix.map_or(1.0, Matrix::largest_norm) };
        for (((number, excess), coefficients), largest) in numbers.zip(excess).zip(coefficients).zip(largest) {
            let least = if are_exact { 0.0 } else { least(number) };
            // An infinite coefficient beside a bound of 0 gives no number. The other parts still have theirs.
            let bound = if largest.to_f64().is_nan() { f64::INFINITY } else { largest.to_f64() };
            *excess = Line([0.0; LANES]);
            if bound > least {
                self.of(&prepared.get(number), coefficients, (bound * norm, norm), excess);
            }
        }
    }

    /// Puts the excess of each part of the panel over a whole into `excess`. No element of a direction is larger than its bound
    /// times `norm`, and none of a part than `bound`.
    fn of(&mut self, whole: &Whole<'_, N>, coefficients: &Line<N>, (bound, norm): (f64, f64), excess: &mut Line<f64>) {
        let Some(buckets) = whole.buckets else { return };
        // How many of the whole's sorted elements some part may exceed.
        let count = buckets.count_below((bound * SLACK) as f32);
        if count == 0 {
            return;
        }
        self.directions.read_values(self.kernels, &self.source);
        let is_worth_it = self.are_few && !self.directions.are_exact && count > whole.sorted.len() / WORTH_ALL;
        let Some(matrix) = self.matrix.filter(|_| is_worth_it) else {
            return self.of_first(&whole.sorted[..count], coefficients, excess);
        };
        let bounds = from_fn(|lane| {
            let bound = coefficients.0[lane].to_f64().abs() * self.directions.bounds.0[lane].to_f64();
            (bound * norm * SLACK) as f32
        });
        let (alone, of_others) = alone(bounds, buckets, whole.sorted.len() / WORTH_ALL).unwrap_or((0, count));
        let mut of_alone = Line([0.0; LANES]);
        if alone != 0 {
            let panel = self.directions.elements_of(self.kernels, matrix, alone).as_ptr();
            // SAFETY: the panel has a line for each element.
            unsafe { self.sum(coefficients, panel, &whole.sorted[..count], &mut of_alone) };
        }
        self.of_first(&whole.sorted[..of_others], coefficients, excess);
        for lane in (0..LANES).filter(|lane| alone >> lane & 1 != 0) {
            excess.0[lane] = of_alone.0[lane];
        }
    }

    /// Puts the excess of each part over these elements of a whole into `excess`.
    fn of_first(&mut self, sorted: &[SortedElement<N>], coefficients: &Line<N>, excess: &mut Line<f64>) {
        let indices = sorted.iter().map(|element| element.index as usize);
        let panel = self.directions.elements(self.kernels, self.matrix, indices).as_ptr();
        // SAFETY: the panel has a line for each element.
        unsafe { self.sum(coefficients, panel, sorted, excess) };
    }

    /// Sums the excess of each part over these elements of a whole.
    ///
    /// # Safety
    /// - The panel has a line for each of the sorted elements.
    unsafe fn sum(
        &self,
        coefficients: &Line<N>,
        panel: *const Line<N>,
        sorted: &[SortedElement<N>],
        excess: &mut Line<f64>,
    ) {
        let arguments = ExcessArguments { coefficients, panel, sorted: sorted.as_ptr(), count: sorted.len(), excess };
        // SAFETY: this function's contract.
        unsafe { (self.kernels.excess)(arguments) };
    }
}

/// The parts, as bits, that may exceed more elements of the whole than are `worth` it, so that all elements of their directions
/// are calculated, without those of other parts; and how many sorted elements the others may exceed. `None` where such parts
/// are many. No element of a part is larger than its bound.
fn alone(bounds: [f32; LANES], buckets: &Buckets, worth: usize) -> Option<(u32, usize)> {
    let (mut parts, mut of_others) = (0_u32, 0);
    for (lane, bound) in bounds.into_iter().enumerate() {
        let count = buckets.count_below(bound);
        if count > worth {
            parts |= 1 << lane;
        } else {
            of_others = of_others.max(count);
        }
    }
    (parts.count_ones() <= MOST_ALONE).then_some((parts, of_others))
}
