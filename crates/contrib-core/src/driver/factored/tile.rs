//! Directions of a tile of factored parts, read or projected once and then met by many wholes.

use super::Gain;
use crate::axes::Axes;
use crate::context::Threads;
use crate::dispatch::ProductsOf;
use crate::driver::{Slots, Vectors, buffer};
use crate::dtype::{DType, Element, with_element};
use crate::error::Error;
use crate::kernels::overshoot::{BOUNDED, BOUNDS, Direction};
use crate::kernels::products::{DEPTH, Products, ROWS};
use crate::kernels::rows::BLOCK;
use crate::lanes::{LANES, Number};

/// Bytes that the directions of one tile may take.
const TILE_BYTES: usize = 2 << 20;

/// Blocks of [`ROWS`] rows that are multiplied with a panel of columns before the next panel is read.
pub(super) const BLOCKS: usize = 8;

/// Elements of a panel that are multiplied with all of those rows before the next, so that they stay in the first-level
/// cache. A multiple of [`DEPTH`], so that the order of additions does not depend on it.
const SLICE: usize = 8 * DEPTH;

/// Adds to `to` the inner products of some blocks of rows with the columns of a panel: `len` terms each, where
/// `rows(block)` are the rows of a block.
///
/// # Safety
/// Rows have `len` numbers, and the panel [`LANES`] times as many.
pub(super) unsafe fn multiply<N: Number>(
    kernel: ProductsOf<N>,
    rows: impl Fn(usize) -> [*const N; ROWS],
    panel: *const N,
    len: usize,
    to: &mut [Products],
) {
    for start in (0..len).step_by(SLICE) {
        for (block, products) in to.iter_mut().enumerate() {
            let rows = rows(block).map(|row| row.wrapping_add(start));
            // SAFETY: the caller's promise, from `start` on.
            unsafe { (kernel)(rows, panel.wrapping_add(start * LANES), SLICE.min(len - start), products) };
        }
    }
}

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

/// The length of a vector in whole blocks.
pub(super) fn padded(d: usize) -> usize {
    d.next_multiple_of(BLOCK).max(BLOCK)
}

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
        let padded = padded(d);
        let fits = TILE_BYTES / (padded * size_of::<f32>()) / LANES * LANES;
        let tile = fits.clamp(LANES, 1024).min(parts.next_multiple_of(LANES));
        Lengths { d, padded, r, tile }
    }

    /// Bounds of a vector.
    pub(super) fn bounds(&self) -> usize {
        self.padded / BOUNDED
    }
}

/// Directions, and what kernels need to know of them.
pub(super) struct Tile<N> {
    lengths: Lengths,
    products: ProductsOf<N>,
    /// How gains are taken of the directions, if they are: what they need beside the directions.
    gain: Option<Gain>,
    /// The directions, padded.
    directions: Vec<N>,
    values: Vec<N>,
    /// The values in panels: element by element those of [`LANES`] parts.
    panels: Vec<N>,
    /// The largest magnitude of each [`BOUNDED`] elements.
    bounds: Vec<f32>,
    /// The squares of the directions' 2-norms.
    squares: Vec<f64>,
    /// The matrix of the parts of this tile.
    matrix: Vec<N>,
    /// Its columns in panels: row by row those of [`LANES`] columns. (A step from row to row of the matrix itself would be
    /// so long that few rows fit into the first-level cache.)
    column_panels: Vec<N>,
    /// Its rows in panels.
    row_panels: Vec<N>,
}

impl<N: Number> Tile<N> {
    pub(super) fn new(lengths: Lengths, products: ProductsOf<N>, gain: Option<Gain>) -> Result<Self, Error> {
        let Lengths { d, padded, r, tile } = lengths;
        let only = |needed: bool, len: usize| if needed { len } else { 0 };
        let rows = r.unwrap_or(0);
        Ok(Tile {
            lengths,
            products,
            gain,
            directions: buffer(tile * padded, N::ZERO)?,
            values: buffer(tile * rows, N::ZERO)?,
            panels: buffer(only(gain.is_some(), tile * rows), N::ZERO)?,
            bounds: buffer(only(gain == Some(Gain::Magnitudes), tile * lengths.bounds()), 0.0)?,
            squares: buffer(only(gain == Some(Gain::Squares), tile), 0.0)?,
            matrix: buffer(rows * d, N::ZERO)?,
            column_panels: buffer(rows * padded, N::ZERO)?,
            row_panels: buffer(only(gain.is_some(), rows.next_multiple_of(LANES) * d), N::ZERO)?,
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

    /// The values of the parts of this panel.
    pub(super) fn panel(&self, panel: usize) -> *const N {
        let len = LANES * self.lengths.r.unwrap_or(0);
        self.panels[panel * len..][..len].as_ptr()
    }

    /// Reads the matrix that begins at `offset` of a projection.
    pub(super) fn load_matrix(&mut self, projection: &Projection, offset: isize, threads: Threads<'_>) {
        let d = self.lengths.d;
        if projection.rows * d == 0 {
            return;
        }
        let threads = threads.for_step(projection.rows * d);
        let rows = Slots::new(&mut self.matrix, d);
        threads.for_each(projection.rows, |_, row| {
            // SAFETY: each number comes once, and the matrix outlives the tasks; the row lies inside the projection.
            unsafe { load(projection.dtype, projection.row(offset, row), projection.stride, rows.slot(row)) };
        });
        let matrix = &self.matrix;
        let panels = Slots::new(&mut self.column_panels, LANES * projection.rows);
        threads.for_each(d.div_ceil(LANES), |_, panel| {
            // SAFETY: as above.
            let panel_rows = unsafe { panels.slot(panel) }.chunks_exact_mut(LANES);
            for (to, row) in panel_rows.zip(matrix.chunks_exact(d)) {
                let row = &row[panel * LANES..d.min((panel + 1) * LANES)];
                to.iter_mut().zip(row).for_each(|(to, &number)| *to = number);
            }
        });
        if self.gain.is_some() {
            let panels = Slots::new(&mut self.row_panels, LANES * d);
            threads.for_each(projection.rows.div_ceil(LANES), |_, panel| {
                let rows = LANES.min(projection.rows - panel * LANES);
                // SAFETY: as above.
                let panels = unsafe { panels.slot(panel) };
                transpose(&matrix[panel * LANES * d..], d, rows, panels);
            });
        }
    }

    /// Adds to `to` the inner products of blocks of rows as long as vectors with [`LANES`] rows of the matrix, from `first`
    /// on.
    pub(super) fn project_back(&self, rows: impl Fn(usize) -> [*const N; ROWS], first: usize, to: &mut [Products]) {
        let d = self.lengths.d;
        let panel = self.row_panels[first * d..][..LANES * d].as_ptr();
        // SAFETY: rows have `d` numbers, and so do the columns of a panel.
        unsafe { multiply(self.products, rows, panel, d, to) };
    }

    /// Reads or projects the directions that begin at `starts`.
    pub(super) fn load(&mut self, vectors: &Vectors, starts: &[Start], threads: Threads<'_>) {
        let Lengths { d, padded, r, .. } = self.lengths;
        let (inner, count) = (r.unwrap_or(d), starts.len());
        // What is read are values where they are projected, or directions.
        let (read, step) = match r {
            Some(r) => (&mut self.values, r),
            None => (&mut self.directions, padded),
        };
        let panels = count.div_ceil(LANES);
        let rows = Slots::new(read, step);
        threads.for_step(count * inner).for_each(panels, |_, panel| {
            let numbers = panel * LANES..count.min((panel + 1) * LANES);
            for (number, &Start(start)) in numbers.clone().zip(&starts[numbers]) {
                // SAFETY: each number comes once, and the buffer outlives all the tasks; the vector belongs to its view.
                unsafe { load(vectors.dtype, start, vectors.stride, &mut rows.slot_or_none(number)[..inner]) };
            }
        });
        if r.is_some() {
            self.project(count, threads);
        }
        if let Some(gain) = self.gain {
            let (directions, values) = (&self.directions, &self.values);
            let to = Slots::new(&mut self.panels, LANES * inner);
            let bounds = Slots::new(&mut self.bounds, LANES * padded / BOUNDED);
            let squares = Slots::new(&mut self.squares, LANES);
            threads.for_step(count * d).for_each(panels, |_, panel| {
                let count = LANES.min(count - panel * LANES);
                if let Some(r) = r {
                    // SAFETY: as above.
                    transpose(&values[panel * LANES * r..], r, count, unsafe { to.slot_or_none(panel) });
                }
                let directions = directions[panel * LANES * padded..].chunks_exact(padded).map(|own| &own[..d]);
                match gain {
                    Gain::Magnitudes => {
                        // SAFETY: as above.
                        let bounds = unsafe { bounds.slot(panel) }.chunks_exact_mut(padded / BOUNDED);
                        for (direction, bounds) in directions.zip(bounds).take(count) {
                            // What is NaN makes a result NaN anyway.
                            largest_or_least(direction, 0.0, |a, b| if a > b { a } else { b }, bounds);
                        }
                    }
                    Gain::Squares => {
                        // SAFETY: as above.
                        let squares = unsafe { squares.slot(panel) };
                        directions.zip(squares).take(count).for_each(|(own, to)| *to = square_of_norm(own));
                    }
                }
            });
        }
    }

    /// Projects the first `count` values: all of them through a few columns of the matrix after the other, which stay in
    /// the first-level cache.
    fn project(&mut self, count: usize, threads: Threads<'_>) {
        let Lengths { d, padded, .. } = self.lengths;
        let rows = self.lengths.r.unwrap_or(0);
        let (kernel, values, column_panels) = (self.products, &self.values, &self.column_panels);
        let directions = Slots::new(&mut self.directions, LANES);
        threads.for_each(d.div_ceil(LANES), |_, panel| {
            let columns = column_panels[panel * LANES * rows..][..LANES * rows].as_ptr();
            for first in (0..count).step_by(ROWS) {
                let value = |row: usize| values[(first + row).min(count - 1) * rows..].as_ptr();
                let mut products = [[0.0; LANES]; ROWS];
                // SAFETY: values have `rows` numbers, and so do the columns of a panel.
                unsafe { (kernel)(std::array::from_fn(value), columns, rows, &raw mut products) };
                for (row, products) in products.iter().enumerate().take(count - first) {
                    // SAFETY: each panel of each direction comes once, and the directions outlive all the tasks.
                    let to = unsafe { directions.slot((first + row) * (padded / LANES) + panel) };
                    to.iter_mut().zip(products).for_each(|(to, &product)| *to = N::of(product));
                }
            }
        });
    }
}

impl Tile<f32> {
    /// The direction of the part with this number, and the bounds of its elements.
    pub(super) fn bounded(&self, number: usize) -> Direction {
        let count = self.lengths.bounds();
        let bounds = &self.bounds[number * count..][..count];
        Direction { elements: self.direction(number).as_ptr(), bounds: bounds.as_ptr(), blocks: count / BOUNDS }
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
    // Some elements of each row at a time: the same elements of all rows may meet in one set of a cache.
    for (square, panel) in panel.chunks_mut(LANES * LANES).enumerate() {
        let len = panel.len() / LANES;
        for lane in 0..LANES {
            if lane < count {
                let row = &rows[lane * step + square * LANES..][..len];
                row.iter().enumerate().for_each(|(index, &number)| panel[index * LANES + lane] = number);
            } else {
                (0..len).for_each(|index| panel[index * LANES + lane] = N::ZERO);
            }
        }
    }
}

/// What is left of the magnitudes of each [`BOUNDED`] numbers, which are exact in `f32`: of two at a time the one that `kept`
/// gives. Where there are fewer, `none` takes the place of those that are not there.
pub(super) fn largest_or_least<N: Number>(numbers: &[N], none: f32, kept: impl Fn(f32, f32) -> f32, to: &mut [f32]) {
    for (numbers, to) in numbers.chunks(BOUNDED).zip(to) {
        let mut magnitudes = [none; BOUNDED];
        magnitudes.iter_mut().zip(numbers).for_each(|(to, number)| *to = (number.to_f64() as f32).abs());
        let mut half = BOUNDED / 2;
        while half > 0 {
            for lane in 0..half {
                magnitudes[lane] = kept(magnitudes[lane], magnitudes[lane + half]);
            }
            half /= 2;
        }
        *to = magnitudes[0];
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
