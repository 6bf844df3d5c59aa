//! The proximities of the sixteen parts of a panel to some wholes, from inner products.

use super::Kernel;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};
use std::marker::PhantomData;

/// The least proximity of a part.
pub(crate) const LEAST_PROXIMITY: f64 = 1e-5;

/// The square of a distance, as a share of that of the zero vector, below which the difference that gives it has lost too
/// many digits.
pub(crate) const CLOSE: f64 = 0.25;

/// Finds, for each of some wholes, the largest bound of an element of the parts of a panel: that of a direction's elements,
/// times the magnitude of the coefficient. In numbers of type `N`; NaN where one is NaN.
pub(crate) struct LargestBounds<N>(PhantomData<N>);

/// The arguments of [`LargestBounds`].
#[derive(Clone, Copy)]
pub(crate) struct LargestBoundsArguments<N> {
    /// A multiple of [`LANES`] lines of coefficients, one for each whole, which can be read.
    pub(crate) coefficients: *const Line<N>,
    pub(crate) count: usize,
    /// Bounds of the directions' elements, which can be read.
    pub(crate) bounds: *const Line<N>,
    /// A number for each whole, which can be written.
    pub(crate) largest: *mut N,
}

impl<N: Number> Kernel for LargestBounds<N> {
    type Arguments = LargestBoundsArguments<N>;

    // The inner loops are `while` loops: closures and iterators might not be inlined into the entry point.
    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: LargestBoundsArguments<N>) {
        let LargestBoundsArguments { coefficients, count, bounds, largest } = arguments;
        // SAFETY: the processor has the instruction set. Coefficients are read below `count`, a multiple of LANES, and as
        // many results written.
        unsafe {
            let bounds: N::Lanes<V> = LoadAs::<N>::load(bounds.cast());
            let mut whole = 0;
            while whole < count {
                let mut lines = [bounds; LANES];
                let mut row = 0;
                while row < LANES {
                    let own: N::Lanes<V> = LoadAs::<N>::load(coefficients.add(whole + row).cast());
                    // The product of zero and infinity is a NaN that may have its sign bit set.
                    lines[row] = own.mul(bounds).abs();
                    row += 1;
                }
                // The larger halves of two lines fill one, until each lane has the largest number of one line. That of line
                // `i` is then in lane `i`: see `Lanes::transpose`, of which this keeps a half each time.
                let mut rows = LANES / 2;
                while rows > 0 {
                    row = 0;
                    while row < rows {
                        let (low, high) = lines[row].zip(lines[row + rows]);
                        lines[row] = low.max_magnitude(high);
                        row += 1;
                    }
                    rows /= 2;
                }
                lines[0].store(largest.add(whole));
                whole += LANES;
            }
        }
    }
}

/// What all parts of one whole need to know of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WholeNorm {
    /// The whole's norm.
    pub(crate) norm: f64,
    /// The distance of the zero vector from the whole: the norm but for the epsilons. Not a number where it was not asked
    /// for.
    pub(crate) of_zero: f64,
}

/// Writes proximities to wholes in the 1-norm: `norm - distance of zero + (coefficient * product - 2 * excess)`, and at least
/// [`LEAST_PROXIMITY`].
pub(crate) struct Proximities<N>(PhantomData<N>);

/// The same in the 2-norm. The square of the distance is reduced by `coefficient * (product - coefficient * square)`, and the
/// difference of norm and distance is that of their squares over their sum.
pub(crate) struct SquareProximities<N>(PhantomData<N>);

/// The arguments of [`Proximities`] and [`SquareProximities`].
#[derive(Clone, Copy)]
pub(crate) struct ProximitiesArguments<N> {
    /// `count` lines each, one for each whole, which can be read.
    pub(crate) coefficients: *const Line<N>,
    pub(crate) products: *const Line<f64>,
    pub(crate) norms: *const WholeNorm,
    pub(crate) count: usize,
    /// In the 1-norm `count` lines of excess, in the 2-norm one line of the squares of the directions; which can be read.
    pub(crate) corrections: *const Line<f64>,
    /// Whether parts whose coefficient is 0 have the proximity 0.
    pub(crate) leave_out_zeros: bool,
    /// For each whole a pointer to [`LANES`] numbers, which can be written.
    pub(crate) proximities: *const *mut N,
    /// Whether all are accurate, which can be written. Otherwise some are not, or their directions are too large.
    pub(crate) are_accurate: *mut bool,
}

impl<N: Number> Kernel for Proximities<N> {
    type Arguments = ProximitiesArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ProximitiesArguments<N>) {
        // SAFETY: lines are read below `count`.
        unsafe {
            run::<N, V>(&arguments, |whole, coefficient, product| {
                let WholeNorm { norm, of_zero } = *arguments.norms.add(whole);
                let excess: V::Doubles = LoadAs::<f64>::load(arguments.corrections.add(whole).cast());
                let reduction = coefficient.mul(product).sub(excess.add(excess));
                let unclamped = V::Doubles::splat(norm - of_zero).add(reduction);
                (unclamped, V::Doubles::splat(0.0))
            });
        }
    }
}

impl<N: Number> Kernel for SquareProximities<N> {
    type Arguments = ProximitiesArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: ProximitiesArguments<N>) {
        // SAFETY: as above.
        unsafe {
            let squares: V::Doubles = LoadAs::<f64>::load(arguments.corrections.cast());
            run::<N, V>(&arguments, |whole, coefficient, product| {
                let WholeNorm { norm, of_zero } = *arguments.norms.add(whole);
                let square_of_zero = of_zero * of_zero;
                let reduction = coefficient.mul(product.sub(coefficient.mul(squares)));
                let square = V::Doubles::splat(square_of_zero).sub(reduction);
                let difference = V::Doubles::splat((norm - of_zero) * (norm + of_zero)).add(reduction);
                let unclamped = difference.div(V::Doubles::splat(norm).add(square.sqrt()));
                (unclamped, square.sub(V::Doubles::splat(CLOSE * square_of_zero)))
            });
        }
    }
}

/// Writes what `unclamped` gives for each whole: unclamped proximities, and numbers that are not negative where those are
/// accurate.
///
/// # Safety
/// - The processor has the instruction set.
/// - The arguments are valid.
#[inline(always)]
unsafe fn run<N: Number, V: Vectors>(
    arguments: &ProximitiesArguments<N>,
    unclamped: impl Fn(usize, V::Doubles, V::Doubles) -> (V::Doubles, V::Doubles),
) {
    // SAFETY: lines are read and written below `count`.
    unsafe {
        let least = V::Doubles::splat(LEAST_PROXIMITY);
        let mut largest = V::Doubles::splat(0.0);
        let mut smallest = largest;
        let mut whole = 0;
        while whole < arguments.count {
            let coefficients: N::Lanes<V> = LoadAs::<N>::load(arguments.coefficients.add(whole).cast());
            let coefficients = N::widened::<V>(coefficients);
            let product: V::Doubles = LoadAs::<f64>::load(arguments.products.add(whole).cast());
            let (unclamped, accuracy) = unclamped(whole, coefficients, product);
            let mut proximity = unclamped.max(least);
            if arguments.leave_out_zeros {
                proximity = proximity.zero_where_zero(coefficients);
            }
            N::narrowed::<V>(proximity).store(*arguments.proximities.add(whole));
            largest = largest.max_magnitude(unclamped.abs());
            // NaN there is NaN in `unclamped`, too.
            smallest = accuracy.min(smallest);
            whole += 1;
        }
        let (mut largest_numbers, mut smallest_numbers) = ([0.0; LANES], [0.0; LANES]);
        largest.store(largest_numbers.as_mut_ptr());
        smallest.store(smallest_numbers.as_mut_ptr());
        let mut are_accurate = true;
        let mut lane = 0;
        while lane < LANES {
            are_accurate &= largest_numbers[lane] < f64::INFINITY && smallest_numbers[lane] >= 0.0;
            lane += 1;
        }
        *arguments.are_accurate = are_accurate;
    }
}
