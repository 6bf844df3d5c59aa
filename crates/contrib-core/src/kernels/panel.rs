//! Panels: sixteen vectors, element by element, so that one line has the elements of all of them that have one index.

use super::Kernel;
use crate::dtype::Element;
use crate::lanes::{LANES, Lanes, Line, LoadAs, Number, Reads, Vectors};
use std::marker::PhantomData;

/// Packs sixteen vectors of elements of type `T` into a panel of numbers of type `N`. Zeros fill the panel up to a whole
/// number of [`LANES`] lines.
pub(crate) struct PackPanel<T, N>(PhantomData<(T, N)>);

/// The arguments of [`PackPanel`].
#[derive(Clone, Copy)]
pub(crate) struct PackPanelArguments<N> {
    /// Pointers to the first elements, of type `T`, of the vectors. `len` elements of each can be read.
    pub(crate) starts: *const [*const u8; LANES],
    /// Elements from one element of a vector to its next.
    pub(crate) stride: isize,
    pub(crate) len: usize,
    /// `len` lines, rounded up to a multiple of [`LANES`], which can be written.
    pub(crate) panel: *mut Line<N>,
}

impl<T: Element, N: Reads<T>> Kernel for PackPanel<T, N> {
    type Arguments = PackPanelArguments<N>;

    // The inner loops are `while` loops: closures and iterators might not be inlined into the entry point.
    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: PackPanelArguments<N>) {
        let PackPanelArguments { starts, stride, len, panel } = arguments;
        // SAFETY: the pointers can be read.
        let starts = unsafe { (*starts).map(<*const u8>::cast::<T>) };
        let first = starts[0];
        // Whether the vectors are adjacent columns, so that their elements of one index are a vector in memory.
        let mut are_adjacent = true;
        for (lane, &start) in starts.iter().enumerate() {
            are_adjacent &= start == first.wrapping_add(lane);
        }
        let mut done = 0;
        // SAFETY: the processor has the instruction set. Elements are read at an index below `len`, and lines written
        // below `len` rounded up to a multiple of LANES.
        unsafe {
            // Squares of f64 would not fit into the registers.
            if stride == 1 && !are_adjacent && size_of::<N>() == size_of::<f32>() {
                while done + LANES <= len {
                    let mut square = [N::Lanes::<V>::splat(N::ZERO); LANES];
                    let mut lane = 0;
                    while lane < LANES {
                        square[lane] = N::load::<V>(starts[lane].add(done));
                        lane += 1;
                    }
                    Lanes::transpose(&mut square);
                    let mut row = 0;
                    while row < LANES {
                        square[row].store(panel.add(done + row).cast());
                        row += 1;
                    }
                    done += LANES;
                }
            }
            while done < len {
                let step = done as isize * stride;
                let column = if are_adjacent {
                    N::load::<V>(first.wrapping_offset(step))
                } else {
                    let mut elements = [T::ZERO; LANES];
                    let mut lane = 0;
                    while lane < LANES {
                        elements[lane] = starts[lane].wrapping_offset(step).read();
                        lane += 1;
                    }
                    N::load::<V>(elements.as_ptr())
                };
                column.store(panel.add(done).cast());
                done += 1;
            }
            while done < len.next_multiple_of(LANES) {
                N::Lanes::<V>::splat(N::ZERO).store(panel.add(done).cast());
                done += 1;
            }
        }
    }
}

/// Writes the squares of the 2-norms of the vectors of a panel of numbers of type `N`.
pub(crate) struct PanelSquares<N>(PhantomData<N>);

/// Writes the largest magnitude of the elements of each vector of a panel of numbers of type `N`; NaN where one is NaN.
pub(crate) struct PanelLargest<N>(PhantomData<N>);

/// The arguments of [`PanelSquares`] and [`PanelLargest`].
#[derive(Clone, Copy)]
pub(crate) struct PanelSizesArguments<N> {
    /// `len` lines, which can be read.
    pub(crate) panel: *const Line<N>,
    pub(crate) len: usize,
    /// A number for each vector, which can be written.
    pub(crate) sizes: *mut Line<f64>,
}

impl<N: Number> Kernel for PanelSquares<N> {
    type Arguments = PanelSizesArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: PanelSizesArguments<N>) {
        let PanelSizesArguments { panel, len, sizes } = arguments;
        // SAFETY: the processor has the instruction set, lines are read below `len`, and the sizes can be written.
        unsafe {
            // Even and odd elements have an accumulator each, which hides the latency of addition.
            let (mut even, mut odd) = (V::Doubles::splat(0.0), V::Doubles::splat(0.0));
            let mut index = 0;
            while index < len {
                let numbers = N::widened::<V>(LoadAs::<N>::load(panel.add(index).cast()));
                even = even.add(numbers.mul(numbers));
                if index + 1 < len {
                    let numbers = N::widened::<V>(LoadAs::<N>::load(panel.add(index + 1).cast()));
                    odd = odd.add(numbers.mul(numbers));
                }
                index += 2;
            }
            even.add(odd).store(sizes.cast());
        }
    }
}

impl<N: Number> Kernel for PanelLargest<N> {
    type Arguments = PanelSizesArguments<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(arguments: PanelSizesArguments<N>) {
        let PanelSizesArguments { panel, len, sizes } = arguments;
        // SAFETY: the processor has the instruction set, lines are read below `len`, and the result can be written.
        unsafe {
            let mut magnitudes = N::Lanes::<V>::splat(N::ZERO);
            for index in 0..len {
                let numbers: N::Lanes<V> = LoadAs::<N>::load(panel.add(index).cast());
                magnitudes = magnitudes.max_magnitude(numbers.abs());
            }
            N::widened::<V>(magnitudes).store(sizes.cast());
        }
    }
}
