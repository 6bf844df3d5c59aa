//! Panels: sixteen vectors, element by element, so that a vector of numbers has one of each.

use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Vectors};

/// Writes the vectors that begin at `starts`, whose elements are `stride` apart, as a panel, and zeros up to a whole number
/// of lines of [`LANES`] elements.
///
/// # Safety
/// The processor has the instruction set of `V`. `len` elements can be read of each vector, and as many lines written, rounded up
/// to whole lines of elements.
#[inline(always)]
pub(crate) unsafe fn panel<V: Vectors, T: Element, N: Number>(
    starts: &[*const T; LANES],
    stride: isize,
    len: usize,
    to: *mut Line<N>,
) where
    N::Lanes<V>: LoadAs<T>,
{
    let first = starts[0];
    let mut side_by_side = true;
    for (lane, &start) in starts.iter().enumerate() {
        side_by_side &= start == first.wrapping_add(lane);
    }
    let mut done = 0;
    // SAFETY: the caller's promise; every element's index stays below `len`, and every line's below `len` rounded up.
    unsafe {
        // Squares of f64 would not fit into the registers.
        if stride == 1 && !side_by_side && size_of::<N>() == size_of::<f32>() {
            while done + LANES <= len {
                let mut square = [<N::Lanes<V> as Lanes>::splat(N::ZERO); LANES];
                let mut lane = 0;
                while lane < LANES {
                    square[lane] = LoadAs::<T>::load(starts[lane].add(done));
                    lane += 1;
                }
                transpose(&mut square);
                let mut row = 0;
                while row < LANES {
                    square[row].store(to.add(done + row).cast());
                    row += 1;
                }
                done += LANES;
            }
        }
        while done < len {
            let step = done as isize * stride;
            let column: N::Lanes<V> = if side_by_side {
                LoadAs::<T>::load(first.wrapping_offset(step))
            } else {
                let mut elements = [T::ZERO; LANES];
                let mut lane = 0;
                while lane < LANES {
                    elements[lane] = starts[lane].wrapping_offset(step).read();
                    lane += 1;
                }
                LoadAs::<T>::load(elements.as_ptr())
            };
            column.store(to.add(done).cast());
            done += 1;
        }
        while done < len.next_multiple_of(LANES) {
            <N::Lanes<V> as Lanes>::splat(N::ZERO).store(to.add(done).cast());
            done += 1;
        }
    }
}

/// Rows as columns. With the bits of a row's number before those of a lane's, each round moves all bits up by one and the
/// first one to the end, so that after four rounds rows and lanes have changed places.
#[inline(always)]
fn transpose<L: Lanes>(square: &mut [L; LANES]) {
    let mut bits = LANES.ilog2();
    while bits > 0 {
        let before = *square;
        let mut row = 0;
        while row < LANES / 2 {
            (square[2 * row], square[2 * row + 1]) = before[row].interleaved(before[row + LANES / 2]);
            row += 1;
        }
        bits -= 1;
    }
}

/// What gains need to know of the vectors of a panel: those in the 1-norm the largest magnitudes, those in the 2-norm the squares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The largest magnitude of each one's elements; NaN where one is NaN.
    pub(crate) largest: Line<f32>,
    /// The squares of their 2-norms.
    pub(crate) squares: Line<f64>,
}

impl Sizes {
    pub(crate) const ZERO: Self = Sizes { largest: Line([0.0; LANES]), squares: Line([0.0; LANES]) };
}

/// Finds the largest magnitudes of a panel of `len` elements.
///
/// # Safety
/// The processor has the instruction set of `V`, and `len` lines can be read.
#[inline(always)]
pub(crate) unsafe fn largest<V: Vectors>(panel: *const Line<f32>, len: usize, to: &mut Sizes) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut largest = V::Singles::splat(0.0);
        for index in 0..len {
            let numbers: V::Singles = LoadAs::<f32>::load(panel.add(index).cast());
            largest = largest.max_magnitude(numbers.abs());
        }
        largest.store(to.largest.0.as_mut_ptr());
    }
}

/// Adds up the squares of a panel of `len` elements.
///
/// # Safety
/// As for [`largest`].
#[inline(always)]
pub(crate) unsafe fn squares<V: Vectors>(panel: *const Line<f32>, len: usize, to: &mut Sizes) {
    // SAFETY: the caller's promise.
    unsafe {
        // Even and odd elements apart, to hide the latency of addition.
        let mut squares = [V::Doubles::splat(0.0); 2];
        for index in 0..len {
            let numbers = <V::Doubles as LoadAs<f32>>::load(panel.add(index).cast());
            squares[index % 2] = squares[index % 2].add(numbers.mul(numbers));
        }
        squares[0].add(squares[1]).store(to.squares.0.as_mut_ptr());
    }
}
