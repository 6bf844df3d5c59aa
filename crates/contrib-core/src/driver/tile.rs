//! Directions of a tile of factored parts, read or projected once and then met by many wholes.

use super::{Slots, Vectors, buffer};
use crate::axes::Axes;
use crate::context::Threads;
use crate::dispatch::ProductsOf;
use crate::dtype::{DType, Element, with_element};
use crate::error::Error;
use crate::kernels::overshoot::{BOUNDED, BOUNDS, Bounded};
use crate::kernels::products::{Products, ROWS};
use crate::kernels::rows::BLOCK;
use crate::lanes::{LANES, Number};
use std::mem::MaybeUninit;

/// Bytes that the directions of one tile may take.
const TILE_BYTES: usize = 2 << 20;

/// The matrices that values are projected through: `[p.., r, d]`.
#[derive(Clone, Copy)]
pub(super) struct Projection {
    pub(super) data: *const u8,
    pub(super) dtype: DType,
    pub(super) parts: Axes,
    pub(super) rows: usize,
    pub(super) row_stride: isize,
    pub(super) stride: isize,
}

impl Projection {
    /// Where this row of the matrix that begins at `offset` begins.
    fn row(&self, offset: isize, row: usize) -> *const u8 {
        self.data.wrapping_offset((offset + row as isize * self.row_stride) * self.dtype.size() as isize)
    }
}

// SAFETY: projections are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Projection {}

/// Where a vector begins that tasks read.
#[derive(Clone, Copy)]
pub(super) struct Start(pub(super) *const u8);

impl Default for Start {
    fn default() -> Self {
        Start(std::ptr::null())
    }
}

// SAFETY: it points into an input, which any thread may read as long as a call lasts.
unsafe impl Sync for Start {}
// SAFETY: as above.
unsafe impl Send for Start {}

/// Lengths of what a tile and the wholes beside it hold.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    /// Elements of a vector.
    pub(super) d: usize,
    /// The same in whole blocks: from one padded vector to the next.
    pub(super) padded: usize,
    /// Elements of a value, where values are projected.
    pub(super) r: Option<usize>,
    /// Parts of a tile, in whole panels.
    pub(super) tile: usize,
}

impl Lengths {
    pub(super) fn new(d: usize, r: Option<usize>, parts: usize) -> Self {
        let padded = d.next_multiple_of(BLOCK).max(BLOCK);
        let fits = TILE_BYTES / (padded * size_of::<f32>()) / LANES * LANES;
        let tile = fits.clamp(LANES, 1024).min(parts.next_multiple_of(LANES));
        Lengths { d, padded, r, tile }
    }

    /// Elements that are multiplied for the inner product of a whole and a direction.
    pub(super) fn inner(&self) -> usize {
        self.r.unwrap_or(self.d)
    }

    /// Bounds of a vector.
    pub(super) fn bounds(&self) -> usize {
        self.padded / BOUNDED
    }

    /// A padded vector with its bounds.
    pub(super) fn bounded(&self, elements: *const f32, bounds: *const f32) -> Bounded {
        Bounded { elements, bounds, blocks: self.bounds() / BOUNDS }
    }
}

/// Directions, and what kernels need to know of them.
pub(super) struct Tile<N> {
    lengths: Lengths,
    products: ProductsOf<N>,
    /// Whether the inner products of wholes and directions are needed, and what goes with them.
    for_gains: bool,
    /// The directions, padded.
    directions: Vec<N>,
    values: Vec<N>,
    /// Values or directions in panels: element by element those of [`LANES`] parts.
    panels: Vec<N>,
    /// The largest magnitude of each [`BOUNDED`] elements.
    bounds: Vec<f32>,
    /// The squares of the directions' 2-norms.
    squares: Vec<f64>,
    /// The matrix of the parts of this tile, padded.
    matrix: Vec<N>,
    /// Its rows in panels.
    matrix_panels: Vec<N>,
}

impl<N: Number> Tile<N> {
    pub(super) fn new(lengths: Lengths, products: ProductsOf<N>, for_gains: bool) -> Result<Self, Error> {
        let Lengths { d, padded, r, tile } = lengths;
        let only = |needed: bool, len: usize| if needed { len } else { 0 };
        let rows = r.unwrap_or(0);
        Ok(Tile {
            lengths,
            products,
            for_gains,
            directions: buffer(tile * padded, N::ZERO)?,
            values: buffer(tile * rows, N::ZERO)?,
            panels: buffer(only(for_gains, tile * lengths.inner()), N::ZERO)?,
            bounds: buffer(only(for_gains, tile * lengths.bounds()), 0.0)?,
            squares: buffer(only(for_gains, tile), 0.0)?,
            matrix: buffer(rows * padded, N::ZERO)?,
            matrix_panels: buffer(only(for_gains, rows.next_multiple_of(LANES) * d), N::ZERO)?,
        })
    }

    /// The direction of the part with this number, padded.
    pub(super) fn direction(&self, number: usize) -> &[N] {
        &self.directions[number * self.lengths.padded..][..self.lengths.padded]
    }

    /// The square of its 2-norm.
    pub(super) fn square(&self, number: usize) -> f64 {
        self.squares[number]
    }

    /// What the inner products of the parts of this panel are made with.
    pub(super) fn panel(&self, panel: usize) -> *const N {
        let len = LANES * self.lengths.inner();
        self.panels[panel * len..][..len].as_ptr()
    }

    /// Reads the matrix that begins at `offset` of a projection.
    pub(super) fn load_matrix(&mut self, projection: &Projection, offset: isize, threads: Threads<'_>) {
        let Lengths { d, padded, .. } = self.lengths;
        let rows = Slots::new(&mut self.matrix, padded);
        threads.for_each(projection.rows, |_, row| {
            // SAFETY: each number comes once, and the matrix outlives the tasks; the row lies inside the projection.
            unsafe {
                load(projection.dtype, projection.row(offset, row), projection.stride, &mut rows.slot(row)[..d]);
            }
        });
        if self.for_gains {
            let (matrix, panels) = (&self.matrix, Slots::new(&mut self.matrix_panels, LANES * d));
            threads.for_each(projection.rows.div_ceil(LANES), |_, panel| {
                let rows = LANES.min(projection.rows - panel * LANES);
                // SAFETY: as above.
                let panels = unsafe { panels.slot(panel) };
                transpose(&matrix[panel * LANES * padded..], padded, rows, panels);
            });
        }
    }

    /// The inner products of rows as long as vectors with the rows of the matrix: calls `each` with the number of one of
    /// the first `count` rows, where in the matrix some of its products begin, and those.
    pub(super) fn project_back(
        &self,
        rows: [*const N; ROWS],
        count: usize,
        mut each: impl FnMut(usize, usize, &[f64; LANES]),
    ) {
        let d = self.lengths.d;
        let mut products = MaybeUninit::<Products>::uninit();
        for first in (0..self.lengths.inner()).step_by(LANES) {
            // SAFETY: rows have `d` numbers, and so do the columns of a panel; the kernel writes all products.
            let products = unsafe {
                let columns = self.matrix_panels[first * d..][..LANES * d].as_ptr();
                (self.products)(rows, columns, LANES, d, products.as_mut_ptr());
                products.assume_init_ref()
            };
            products.iter().enumerate().take(count).for_each(|(row, products)| each(row, first, products));
        }
    }

    /// Reads or projects the directions that begin at `starts`.
    pub(super) fn load(&mut self, vectors: &Vectors, starts: &[Start], threads: Threads<'_>) {
        let Lengths { d, padded, r, .. } = self.lengths;
        let (dtype, stride) = (vectors.dtype, vectors.stride);
        let inner = self.lengths.inner();
        let rows = r.unwrap_or(0);
        let directions = Slots::new(&mut self.directions, LANES * padded);
        let values = Slots::new(&mut self.values, LANES * rows);
        let panels = Slots::new(&mut self.panels, LANES * inner);
        let bounds = Slots::new(&mut self.bounds, LANES * padded / BOUNDED);
        let squares = Slots::new(&mut self.squares, LANES);
        let (matrix, products, for_gains) = (&self.matrix, self.products, self.for_gains);
        threads.for_each(starts.len().div_ceil(LANES), |_, panel| {
            let starts = &starts[panel * LANES..starts.len().min((panel + 1) * LANES)];
            // SAFETY: each number comes once, and the buffers outlive all the tasks.
            let (directions, values) = unsafe { (directions.slot(panel), values.slot_or_none(panel)) };
            let read = if r.is_some() { &mut *values } else { &mut *directions };
            let step = if r.is_some() { rows } else { padded };
            for (number, &Start(start)) in starts.iter().enumerate() {
                // SAFETY: the vector belongs to the directions' view.
                unsafe { load(dtype, start, stride, &mut read[number * step..][..inner]) };
            }
            if r.is_some() {
                project(products, values, rows, matrix, padded, starts.len(), directions);
            }
            if for_gains {
                // SAFETY: as above.
                let (panels, bounds, squares) =
                    unsafe { (panels.slot_or_none(panel), bounds.slot(panel), squares.slot(panel)) };
                let read = if r.is_some() { &*values } else { &*directions };
                transpose(read, step, starts.len(), panels);
                let directions = directions.chunks_exact(padded).zip(bounds.chunks_exact_mut(padded / BOUNDED));
                for ((direction, bounds), square) in directions.zip(squares).take(starts.len()) {
                    largest_magnitudes(&direction[..d], bounds);
                    *square = square_of_norm(&direction[..d]);
                }
            }
        });
    }
}

impl Tile<f32> {
    /// The direction of the part with this number, and the bounds of its elements.
    pub(super) fn bounded(&self, number: usize) -> Bounded {
        let bounds = &self.bounds[number * self.lengths.bounds()..][..self.lengths.bounds()];
        self.lengths.bounded(self.direction(number).as_ptr(), bounds.as_ptr())
    }
}

/// Projects `count` values of `rows` numbers through the matrix, whose rows are padded.
fn project<N: Number>(
    kernel: ProductsOf<N>,
    values: &[N],
    rows: usize,
    matrix: &[N],
    padded: usize,
    count: usize,
    directions: &mut [N],
) {
    let mut products = MaybeUninit::<Products>::uninit();
    for first in (0..count).step_by(ROWS) {
        let value = |row: usize| values[(first + row).min(count - 1) * rows..].as_ptr();
        let four = std::array::from_fn(value);
        for column in (0..padded).step_by(LANES) {
            // SAFETY: values have `rows` numbers, and the matrix as many rows of whole vectors; the kernel writes all products.
            let products = unsafe {
                (kernel)(four, matrix.as_ptr().wrapping_add(column), padded, rows, products.as_mut_ptr());
                products.assume_init_ref()
            };
            for (row, products) in products.iter().enumerate().take(count - first) {
                let to = &mut directions[(first + row) * padded + column..][..LANES];
                to.iter_mut().zip(products).for_each(|(to, &product)| *to = N::of(product));
            }
        }
    }
}

/// Widens the elements at `from` and every `stride` after it.
///
/// # Safety
/// As many elements as `to` has can be read.
pub(super) unsafe fn load<N: Number>(dtype: DType, from: *const u8, stride: isize, to: &mut [N]) {
    with_element!(dtype, T => {
        let from = from.cast::<T>();
        if stride == 1 {
            for (index, to) in to.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *to = N::of(unsafe { from.wrapping_add(index).read() }.to_f64());
            }
        } else {
            for (index, to) in to.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *to = N::of(unsafe { from.wrapping_offset(index as isize * stride).read() }.to_f64());
            }
        }
    });
}

/// Writes the elements of up to [`LANES`] rows, `step` apart, in the order of a panel; zeros in place of rows that are not
/// there.
fn transpose<N: Number>(rows: &[N], step: usize, count: usize, panel: &mut [N]) {
    for (index, lanes) in panel.chunks_exact_mut(LANES).enumerate() {
        for (lane, to) in lanes.iter_mut().enumerate() {
            *to = if lane < count { rows[lane * step + index] } else { N::ZERO };
        }
    }
}

/// The largest magnitude of each [`BOUNDED`] numbers, which are exact in `f32`.
fn largest_magnitudes<N: Number>(numbers: &[N], to: &mut [f32]) {
    for (numbers, to) in numbers.chunks(BOUNDED).zip(to) {
        // What is NaN makes a result NaN anyway.
        *to = numbers.iter().fold(0.0, |largest: f32, number| largest.max(number.to_f64().abs() as f32));
    }
}

/// The sum of squares, in [`LANES`] parts that are added apart.
fn square_of_norm<N: Number>(numbers: &[N]) -> f64 {
    let mut sums = [0.0; LANES];
    for numbers in numbers.chunks(LANES) {
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number.to_f64() * number.to_f64();
        }
    }
    sums.iter().sum()
}
