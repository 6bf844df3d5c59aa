//! Directions of a tile of factored parts, read or projected once and then met by many wholes.

use crate::axes::Axes;
use crate::context::Threads;
use crate::dispatch::EntryPoint;
use crate::driver::{Slots, Vectors, buffer};
use crate::dtype::DType;
use crate::error::Error;
use crate::kernels::gemm_microkernel::{DEPTH, GemmArguments, MR, Products};
use crate::kernels::panel::{PackPanelArguments, PanelSizesArguments, Sizes};
use crate::lanes::{LANES, Line, Number};
use std::array::from_fn;

/// Bytes that the directions of one tile may take.
const TILE_BYTES: usize = 1 << 20;

/// Blocks of [`MR`] rows that are multiplied with a panel of columns before the next panel is read.
pub(super) const BLOCKS: usize = 8;

/// Rows of so many blocks.
pub(super) const GROUP: usize = BLOCKS * MR;

/// Lines of rows that are multiplied with a panel before the next, so that they stay in the first-level cache. A multiple of
/// [`DEPTH`], so that the order of additions does not depend on it.
const SLICE: usize = 2 * DEPTH;

/// Puts the inner products of some blocks of rows with the columns of a panel into `to`: of so many lines each, where
/// `rows(block)` are the rows of a block, and their lines are `step` numbers apart.
///
/// # Safety
/// Rows and columns have as many lines.
pub(super) unsafe fn multiply<N: Number>(
    kernel: EntryPoint<GemmArguments<N>>,
    (rows, step): (impl Fn(usize) -> [*const N; MR], usize),
    panel: *const Line<N>,
    lines: usize,
    to: &mut [Products],
) {
    for start in (0..lines).step_by(SLICE) {
        let panel = panel.wrapping_add(start * LANES);
        for (block, products) in to.iter_mut().enumerate() {
            let rows = rows(block).map(|row| row.wrapping_add(start * step));
            let (lines, accumulate) = (SLICE.min(lines - start), start > 0);
            // SAFETY: the caller's promise, from `start` on.
            unsafe { (kernel)(GemmArguments { rows, line_stride: step, panel, lines, accumulate, products }) };
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

/// The length of a vector in whole lines, of which there is at least one.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(LANES).max(LANES)
}

/// Lengths of what a tile and the wholes beside it hold.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    /// Elements of a vector.
    pub(super) d: usize,
    /// The same, padded.
    pub(super) padded: usize,
    /// Elements of a value, padded, where values are projected.
    pub(super) r: Option<usize>,
}

impl Lengths {
    pub(super) fn new(d: usize, r: Option<usize>) -> Self {
        Lengths { d, padded: padded(d), r: r.map(padded) }
    }

    /// Panels whose directions a tile has room for.
    pub(super) fn rooms(&self) -> usize {
        (TILE_BYTES / (LANES * self.padded * size_of::<f32>())).clamp(1, 64)
    }
}

/// The kernels that a tile uses. Those that read are for the types of directions, or values, and of matrices.
#[derive(Clone, Copy)]
pub(super) struct Kernels<N> {
    pub(super) read: EntryPoint<PackPanelArguments<N>>,
    pub(super) read_matrix: Option<EntryPoint<PackPanelArguments<N>>>,
    pub(super) products: EntryPoint<GemmArguments<N>>,
    /// Finds out what gains need to know of directions, where they are taken.
    pub(super) measure: Option<EntryPoint<PanelSizesArguments>>,
}

/// Panels of directions, of the values that they are projected from, and what gains need to know of them.
pub(super) struct Tile<N> {
    lengths: Lengths,
    pub(super) kernels: Kernels<N>,
    directions: Vec<Line<N>>,
    values: Vec<Line<N>>,
    sizes: Vec<Sizes>,
    /// The matrix of the parts of this tile: panels of its rows.
    matrix: Vec<Line<N>>,
}

/// Some parts of a tile.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a, N> {
    pub(super) directions: &'a [Line<N>],
    pub(super) values: &'a [Line<N>],
    pub(super) sizes: &'a Sizes,
}

/// Room for the directions of panels, and for what gains need to know of them.
#[derive(Clone, Copy)]
pub(super) struct Rooms<N> {
    directions: Slots<Line<N>>,
    sizes: Slots<Sizes>,
}

/// Where the vectors of a panel begin; the last of all once more for each that is missing.
pub(super) fn starts_of(starts: &[Start], panel: usize) -> [*const u8; LANES] {
    from_fn(|lane| starts[(panel * LANES + lane).min(starts.len() - 1)].0)
}

impl<N: Number> Tile<N> {
    /// A tile with room for so many panels.
    pub(super) fn new(lengths: Lengths, rooms: usize, kernels: Kernels<N>) -> Result<Self, Error> {
        let (padded, r) = (lengths.padded, lengths.r.unwrap_or(0));
        let zero = Line([N::ZERO; LANES]);
        Ok(Tile {
            lengths,
            kernels,
            directions: buffer(rooms * padded, zero)?,
            values: buffer(rooms * r, zero)?,
            sizes: buffer(rooms, Sizes::ZERO)?,
            matrix: buffer(r / LANES * padded, zero)?,
        })
    }

    /// The parts of this panel.
    pub(super) fn panel(&self, panel: usize) -> Panels<'_, N> {
        let Lengths { padded, r, .. } = self.lengths;
        let r = r.unwrap_or(0);
        Panels {
            directions: &self.directions[panel * padded..][..padded],
            values: &self.values[panel * r..][..r],
            sizes: &self.sizes[panel],
        }
    }

    /// This panel of rows of the matrix.
    pub(super) fn rows(&self, panel: usize) -> *const Line<N> {
        let padded = self.lengths.padded;
        self.matrix[panel * padded..][..padded].as_ptr()
    }

    /// Reads the matrix that begins at `offset` of a projection.
    pub(super) fn load_matrix(&mut self, projection: &Projection, offset: isize, threads: Threads<'_>) {
        let Lengths { d, padded, .. } = self.lengths;
        let Some(read) = self.kernels.read_matrix else { return };
        let panels = Slots::new(&mut self.matrix, padded);
        threads.for_step(projection.rows * d).for_each(projection.rows.div_ceil(LANES), |_, panel| {
            let rows = projection.rows - panel * LANES;
            let starts = from_fn(|lane| projection.row(offset, panel * LANES + lane.min(rows - 1)));
            // SAFETY: each number comes once, and the matrix outlives the tasks; the rows lie inside the projection.
            let to = unsafe {
                let to = panels.slot(panel);
                let (stride, panel) = (projection.stride, to.as_mut_ptr());
                (read)(PackPanelArguments { starts: &raw const starts, stride, len: d, panel });
                to
            };
            if rows < LANES {
                for line in to {
                    line.0[rows..].fill(N::ZERO);
                }
            }
        });
    }

    /// Reads or projects the directions that begin at `starts`.
    pub(super) fn load(&mut self, vectors: &Vectors, starts: &[Start], threads: Threads<'_>) {
        let Lengths { d, r, .. } = self.lengths;
        let panels = starts.len().div_ceil(LANES);
        let starts_of = |panel: usize| starts_of(starts, panel);
        let (rooms, tile) = (self.rooms(), &*self);
        let Some(r) = r else {
            threads.for_step(starts.len() * d).for_each(panels, |_, panel| {
                // SAFETY: each number comes once, and the buffers outlive all the tasks; the vectors belong to their view.
                unsafe { tile.read(&rooms, panel, vectors, &starts_of(panel)) };
            });
            return;
        };
        let values = Slots::new(&mut self.values, r);
        let read = self.kernels.read;
        threads.for_step(starts.len() * r).for_each(panels, |_, panel| {
            // SAFETY: as above.
            unsafe {
                let (starts, panel) = (starts_of(panel), values.slot(panel).as_mut_ptr());
                let (stride, len) = (vectors.stride, vectors.len);
                (read)(PackPanelArguments { starts: &raw const starts, stride, len, panel });
            };
        });
        self.project(panels, threads);
        let (rooms, tile) = (self.rooms(), &*self);
        threads.for_step(starts.len() * d).for_each(panels, |_, panel| {
            // SAFETY: as above.
            unsafe { tile.measure(&rooms, panel) };
        });
    }

    /// The room for panels, for tasks that each fill one.
    pub(super) fn rooms(&mut self) -> Rooms<N> {
        let padded = self.lengths.padded;
        Rooms { directions: Slots::new(&mut self.directions, padded), sizes: Slots::new(&mut self.sizes, 1) }
    }

    /// Reads directions into the room with this number.
    ///
    /// # Safety
    /// The directions that begin at `starts` belong to the view of `vectors`; nobody else has this room, and the tile outlives
    /// what is returned.
    pub(super) unsafe fn read<'a>(
        &self,
        rooms: &Rooms<N>,
        room: usize,
        vectors: &Vectors,
        starts: &[*const u8; LANES],
    ) -> Panels<'a, N> {
        // SAFETY: the caller's promise.
        unsafe {
            let directions = rooms.directions.slot(room);
            let (stride, len, panel) = (vectors.stride, vectors.len, directions.as_mut_ptr());
            (self.kernels.read)(PackPanelArguments { starts, stride, len, panel });
            let sizes = self.measure(rooms, room);
            Panels { directions, values: &[], sizes }
        }
    }

    /// Finds out what gains need to know of the directions of this room.
    ///
    /// # Safety
    /// As [`Tile::read`].
    unsafe fn measure<'a>(&self, rooms: &Rooms<N>, room: usize) -> &'a Sizes {
        // SAFETY: the caller's promise.
        unsafe {
            let sizes = &mut rooms.sizes.slot(room)[0];
            if let Some(measure) = self.kernels.measure {
                let directions = rooms.directions.slot(room);
                let panel = directions.as_ptr().cast();
                (measure)(PanelSizesArguments { panel, len: self.lengths.d, sizes });
            }
            sizes
        }
    }

    /// Projects the values of so many panels: each of them beside some columns of the matrix, which stay in the first-level
    /// cache.
    fn project(&mut self, panels: usize, threads: Threads<'_>) {
        let Lengths { padded, r, .. } = self.lengths;
        let (kernel, values, matrix) = (self.kernels.products, &self.values, self.matrix.as_slice());
        let r = r.unwrap_or(0);
        let directions = Slots::new(&mut self.directions, 1);
        threads.for_each(padded.div_ceil(GROUP), |_, group| {
            let elements = group * GROUP..padded.min((group + 1) * GROUP);
            let mut products = [[Line([0.0; LANES]); MR]; BLOCKS];
            let products = &mut products[..elements.len() / MR];
            for panel in 0..panels {
                let columns = |block: usize| from_fn(|row| matrix[elements.start + block * MR + row..].as_ptr().cast());
                // SAFETY: the columns of the matrix and the values of the panel have `r` numbers.
                unsafe {
                    let values = values[panel * r..][..r].as_ptr();
                    multiply(kernel, (columns, padded * LANES), values, r / LANES, products);
                }
                for (element, products) in elements.clone().zip(products.as_flattened()) {
                    // SAFETY: each element of each panel comes once, and the directions outlive all the tasks.
                    let to = unsafe { directions.slot(panel * padded + element) };
                    to[0].0 = products.0.map(N::of);
                }
            }
        });
    }
}
