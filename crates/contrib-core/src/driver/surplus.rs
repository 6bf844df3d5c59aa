//! By how much the distance of a part from its whole is smaller than the whole's norm: its *surplus*, from distances, or
//! without them from gains.

use super::Vectors;
use super::route::Route;
use super::totals::{Comparison, Origin, Workspace, total_of_prepared, totals};
use std::slice;

/// Wholes of this norm are too large for gains in `f32`, where twice an element may be infinite.
const LARGEST_FOR_GAINS: f64 = 1e38;

/// The square of a distance, as a share of that of the zero vector, below which the difference that gives it has lost too
/// many digits.
const CLOSE: f64 = 0.25;

/// What all parts of one whole need to know of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WholeNorm {
    /// The whole's norm.
    norm: f64,
    /// The distance of the zero vector from the whole: the norm but for the epsilons. Not a number where it was not asked
    /// for.
    of_zero: f64,
}

impl WholeNorm {
    /// Measures the whole that begins at `start`. `of_prepared` is the way for vectors of `f64`, where the distance of the
    /// zero vector is needed.
    pub(super) fn measure(
        workspace: &mut Workspace<'_>,
        route: &Route,
        of_prepared: Option<&Route>,
        vectors: &Vectors,
        start: *const u8,
    ) -> Self {
        let mut norm = 0.0;
        let own = Comparison { route, origin: Origin::Zero, vectors };
        distances(workspace, &own, start, 0, slice::from_mut(&mut norm));
        let of_zero = of_prepared.map_or(f64::NAN, |route| {
            let origin = Origin::Whole(vectors, start);
            let total = total_of_prepared(workspace, &Comparison { route, origin, vectors });
            if route.measure.is_in_range(total) {
                return route.measure.norm(total);
            }
            let zero = Vectors::zero(vectors.len);
            rescued(workspace, &Comparison { route, origin, vectors: &zero }, zero.data)
        });
        WholeNorm { norm, of_zero }
    }

    /// The surplus of the zero vector.
    pub(super) fn surplus_of_zero(&self) -> f64 {
        self.norm - self.of_zero
    }

    /// The surplus of a part at this distance.
    pub(super) fn surplus_of_distance(&self, distance: f64) -> f64 {
        self.norm - distance
    }

    /// Whether gains can be measured in `f32`.
    pub(super) fn is_small_enough_for_gains(&self) -> bool {
        self.norm < LARGEST_FOR_GAINS
    }

    /// The surplus of a part with this gain in the 1-norm, and whether it tells, or only a distance can.
    #[inline(always)]
    pub(super) fn surplus_of_gain(&self, gain: f64) -> (f64, bool) {
        (self.surplus_of_zero() + gain, gain.is_finite())
    }

    /// The surplus of a part with this gain in the square of the 2-norm, and whether it tells, or only a distance can. Norm
    /// less distance is the difference of their squares over their sum.
    #[inline(always)]
    pub(super) fn surplus_of_square_gain(&self, gain: f64) -> (f64, bool) {
        let square_of_zero = self.of_zero * self.of_zero;
        let square = square_of_zero - gain;
        let surplus = (self.surplus_of_zero() * (self.norm + self.of_zero) + gain) / (self.norm + square.sqrt());
        (surplus, square > CLOSE * square_of_zero && square < f64::INFINITY)
    }
}

/// The ways from the parts of a group to their surpluses.
#[derive(Clone, Copy)]
pub(super) struct Routes {
    pub(super) to_distances: Route,
    pub(super) to_gains: Option<Route>,
}

/// Puts into `surpluses` those of the parts from `first` on, of the batch entry whose first part begins at `entry`.
pub(super) fn surpluses(
    workspace: &mut Workspace<'_>,
    routes: &Routes,
    norm: &WholeNorm,
    (origin, vectors): (Origin<'_>, &Vectors),
    entry: *const u8,
    first: usize,
    surpluses: &mut [f64],
) {
    let to_distances = Comparison { route: &routes.to_distances, origin, vectors };
    let Some(route) = routes.to_gains.as_ref().filter(|_| norm.is_small_enough_for_gains()) else {
        distances(workspace, &to_distances, entry, first, surpluses);
        for distance in surpluses {
            *distance = norm.surplus_of_distance(*distance);
        }
        return;
    };
    let is_square = route.measure.is_square();
    let to_gains = Comparison { route, origin, vectors };
    totals(workspace, &to_gains, entry, first, surpluses, |workspace, part, gain| {
        let (mut surplus, tells) =
            if is_square { norm.surplus_of_square_gain(*gain) } else { norm.surplus_of_gain(*gain) };
        if !tells {
            surplus = norm.surplus_of_distance(distance_from(workspace, &to_distances, part));
        }
        *gain = surplus;
    });
}

/// The distance of one part, where its gain does not tell.
#[cold]
fn distance_from(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, part: *const u8) -> f64 {
    let mut distance = 0.0;
    distances(workspace, comparison, part, 0, slice::from_mut(&mut distance));
    distance
}

/// Puts into `distances` those between the origin and the parts from `first` on, of the batch entry whose first part begins
/// at `entry`.
pub(super) fn distances(
    workspace: &mut Workspace<'_>,
    comparison: &Comparison<'_>,
    entry: *const u8,
    first: usize,
    distances: &mut [f64],
) {
    let measure = comparison.route.measure;
    totals(workspace, comparison, entry, first, distances, |workspace, part, total| {
        *total = if measure.is_in_range(*total) { measure.norm(*total) } else { rescued(workspace, comparison, part) };
    });
}

/// The distance of a part whose total left the range of `f64`: measured again in units of its largest difference. What is
/// truly zero, infinite or NaN stays so.
#[cold]
fn rescued(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, part: *const u8) -> f64 {
    let mut measure = |route: &Route| {
        let mut total = 0.0;
        let comparison = Comparison { route, ..*comparison };
        totals(workspace, &comparison, part, 0, slice::from_mut(&mut total), |_, _, _| {});
        route.measure.norm(total)
    };
    let route = comparison.route;
    let largest = measure(&route.largest());
    if route.measure.parameters.exponent.is_infinite() || largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    measure(&route.scaled(largest))
}
