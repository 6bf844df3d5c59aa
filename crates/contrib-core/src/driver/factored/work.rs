//! Some wholes beside all parts of a factored group: tile by tile of directions, panel by panel of parts.

use super::FactoredParts;
use super::gains::Wholes;
use super::tile::{BLOCKS, Lengths, Start, Tile};
use crate::context::Threads;
use crate::dispatch;
use crate::driver::entry::proximity;
use crate::driver::surplus::WholeNorm;
use crate::driver::{Slots, Whole, buffer};
use crate::error::Error;
use crate::kernels::products::{Products, ROWS};
use crate::lanes::{LANES, Number};
use std::sync::atomic::{AtomicBool, Ordering};

/// Working memory for the parts of one group, in the type of its directions.
pub(super) enum Work<'a> {
    Singles(WorkOf<'a, f32>),
    Doubles(WorkOf<'a, f64>),
}

impl<'a> Work<'a> {
    /// Working memory for `count` parts, which begin with number `first` among all parts, of `wholes` wholes at a time.
    pub(super) fn new(
        factored: &'a FactoredParts,
        whole: &'a Whole,
        count: usize,
        first: usize,
        wholes: usize,
        threads: Threads<'_>,
    ) -> Result<Self, Error> {
        let slots = threads.count();
        match factored.gain {
            Some(_) => Ok(Work::Singles(WorkOf::new(factored, whole, count, first, wholes, slots)?)),
            None => Ok(Work::Doubles(WorkOf::new(factored, whole, count, first, wholes, slots)?)),
        }
    }

    /// Puts the proximities of the group's parts to the wholes from `start` on, which have these norms, where they belong in
    /// `rows`, the proximities of all parts of each.
    pub(super) fn proximities(&mut self, start: usize, norms: &[WholeNorm], threads: Threads<'_>, rows: &Slots<f64>) {
        match self {
            Work::Singles(work) => work.proximities(start, norms, threads, rows),
            Work::Doubles(work) => work.proximities(start, norms, threads, rows),
        }
    }
}

/// Working memory for the parts of one group.
pub(super) struct WorkOf<'a, N> {
    pub(super) factored: &'a FactoredParts,
    pub(super) whole: &'a Whole,
    count: usize,
    first: usize,
    pub(super) lengths: Lengths,
    pub(super) tile: Tile<N>,
    pub(super) wholes: Wholes,
    /// Where the coefficients of each whole of the chunk begin, and how far from there each of a tile lies.
    bases: Vec<isize>,
    offsets: Vec<isize>,
    /// Where the directions of a tile, or their values, begin.
    starts: Vec<Start>,
    /// For each slot of the threads the coefficients and products of a panel, and a part and a scale. (Some hosts give a
    /// thread a stack of 64 KiB.)
    scratch: Vec<f64>,
}

/// Wholes that share their directions: the index of the first, its place in the chunk, and their norms.
#[derive(Clone, Copy)]
struct Run<'a> {
    start: usize,
    begin: usize,
    norms: &'a [WholeNorm],
}

/// The parts of a panel beside one whole.
pub(super) struct Panel<'a> {
    /// The index of the whole, its place in the chunk, and its norm.
    pub(super) index: usize,
    pub(super) place: usize,
    pub(super) norm: &'a WholeNorm,
    /// The number of the panel in the tile, and its coefficients.
    pub(super) number: usize,
    pub(super) coefficients: &'a [f64; LANES],
}

/// Numbers of scratch memory that a task needs for vectors of length `d`.
fn scratch_len(d: usize) -> usize {
    2 * BLOCKS * ROWS * LANES + 2 * d
}

/// Whether a number is not zero.
fn any(numbers: &[f64; LANES]) -> bool {
    numbers.iter().any(|&number| number != 0.0)
}

/// A type that directions are kept in, and how the surpluses of parts follow from them.
pub(super) trait Measured: Number {
    /// The inner products that gains need, of the parts of a panel with the wholes from `place` of the chunk on.
    fn multiply(work: &WorkOf<'_, Self>, panel: usize, place: usize, count: usize, to: &mut [Products]);

    /// The surpluses of the parts of a panel. Those of parts whose coefficient is 0 may be anything.
    fn surpluses(
        work: &WorkOf<'_, Self>,
        panel: &Panel<'_>,
        products: &[f64; LANES],
        slot: &mut [f64],
        to: &mut [f64; LANES],
    );

    /// Makes wholes ready to be compared with directions.
    fn prepare_wholes(work: &mut WorkOf<'_, Self>, start: usize, count: usize, threads: Threads<'_>);

    /// Makes wholes ready to be compared with values that the tile's matrix projects.
    fn project_wholes(work: &mut WorkOf<'_, Self>, begin: usize, count: usize, threads: Threads<'_>);
}

impl<'a, N: Measured> WorkOf<'a, N> {
    fn new(
        factored: &'a FactoredParts,
        whole: &'a Whole,
        count: usize,
        first: usize,
        wholes: usize,
        slots: usize,
    ) -> Result<Self, Error> {
        let r = factored.projection.as_ref().map(|projection| projection.rows);
        let lengths = Lengths::new(whole.vectors.len, r, count);
        Ok(WorkOf {
            factored,
            whole,
            count,
            first,
            lengths,
            tile: Tile::new(lengths, dispatch::products_kernel(factored.set), factored.gain)?,
            wholes: Wholes::new(factored, lengths, wholes)?,
            bases: buffer(wholes, 0)?,
            offsets: buffer(lengths.tile, 0)?,
            starts: buffer(lengths.tile, Start::default())?,
            scratch: buffer(slots * scratch_len(lengths.d), 0.0)?,
        })
    }

    fn proximities(&mut self, start: usize, norms: &[WholeNorm], threads: Threads<'_>, rows: &Slots<f64>) {
        N::prepare_wholes(self, start, norms.len(), threads);
        for (number, base) in self.bases.iter_mut().enumerate().take(norms.len()) {
            *base = self.factored.coefficients.batch.offset(start + number);
        }
        let directions = &self.factored.directions;
        let shared = |number: usize| directions.batch.offset(start + number);
        let mut begin = 0;
        while begin < norms.len() {
            let own = shared(begin);
            let len = (begin..norms.len()).take_while(|&number| shared(number) == own).count();
            let run = Run { start: start + begin, begin, norms: &norms[begin..begin + len] };
            self.run(run, threads, rows);
            begin += len;
        }
    }

    /// Puts the proximities to wholes that share their directions where they belong.
    fn run(&mut self, run: Run<'_>, threads: Threads<'_>, rows: &Slots<f64>) {
        let mut part = 0;
        while part < self.count {
            let end = match &self.factored.projection {
                None => self.count,
                Some(projection) => {
                    let own = projection.parts.offset(part);
                    let mut walk = projection.parts.walk_from(part);
                    let len = (part..self.count).take_while(|_| walk.next_offset() == own).count();
                    self.tile.load_matrix(projection, own, threads);
                    N::project_wholes(self, run.begin, run.norms.len(), threads);
                    part + len
                }
            };
            for first in (part..end).step_by(self.lengths.tile) {
                self.tile(run, first, self.lengths.tile.min(end - first), threads, rows);
            }
            part = end;
        }
    }

    /// Puts the proximities of some parts, which share a projection, where they belong.
    fn tile(&mut self, run: Run<'_>, first: usize, count: usize, threads: Threads<'_>, rows: &Slots<f64>) {
        let factored = self.factored;
        let mut offsets = factored.coefficients.parts.walk_from(first);
        let mut directions = factored.directions.parts.walk_from(first);
        let start = factored.directions.start(run.start);
        for number in 0..count {
            self.offsets[number] = offsets.next_offset();
            let step = directions.next_offset() * factored.directions.dtype.size() as isize;
            self.starts[number] = Start(start.wrapping_offset(step));
        }

        let needed = AtomicBool::new(false);
        let work = &*self;
        threads.for_step(run.norms.len() * count).for_each(run.norms.len(), |_, number| {
            let is_there = |offsets: &[isize]| {
                let mut coefficients = [0.0; LANES];
                work.factored.coefficients.read(work.bases[run.begin + number], offsets, &mut coefficients);
                any(&coefficients)
            };
            if !needed.load(Ordering::Relaxed) && work.offsets[..count].chunks(LANES).any(is_there) {
                needed.store(true, Ordering::Relaxed);
            }
        });
        if needed.into_inner() {
            self.tile.load(&factored.directions, &self.starts[..count], threads);
        }

        // Each task takes some wholes beside one panel of parts.
        let groups = run.norms.len().div_ceil(BLOCKS * ROWS);
        let mut scratch = std::mem::take(&mut self.scratch);
        let slots = Slots::new(&mut scratch, scratch_len(self.lengths.d));
        let work = &*self;
        threads.for_each(groups * count.div_ceil(LANES), |slot, task| {
            // SAFETY: no other task has this slot now, and the buffer outlives all the tasks.
            let slot = unsafe { slots.slot(slot) };
            work.panel(run, task % groups, task / groups, (first, count), slot, rows);
        });
        self.scratch = scratch;
    }

    /// Puts the proximities of the parts of one panel to one group of wholes where they belong.
    fn panel(
        &self,
        run: Run<'_>,
        group: usize,
        panel: usize,
        (first, count): (usize, usize),
        slot: &mut [f64],
        rows: &Slots<f64>,
    ) {
        let numbers = group * BLOCKS * ROWS..run.norms.len().min((group + 1) * BLOCKS * ROWS);
        let lanes = panel * LANES..count.min((panel + 1) * LANES);
        let offsets = &self.offsets[lanes.clone()];
        let (numbers_of_panel, slot) = slot.split_at_mut(2 * BLOCKS * ROWS * LANES);
        let (coefficients, products) = numbers_of_panel.as_chunks_mut::<LANES>().0.split_at_mut(BLOCKS * ROWS);
        let mut are_there = false;
        for (number, coefficients) in numbers.clone().zip(&mut *coefficients) {
            self.factored.coefficients.read(self.bases[run.begin + number], offsets, coefficients);
            are_there |= any(coefficients);
        }
        if are_there {
            products.fill([0.0; LANES]);
            N::multiply(self, panel, run.begin + numbers.start, numbers.len(), products.as_chunks_mut::<ROWS>().0);
        }
        for ((number, coefficients), products) in numbers.zip(&*coefficients).zip(&*products) {
            let (place, norm) = (run.begin + number, &run.norms[number]);
            let beside = Panel { index: run.start + number, place, norm, number: panel, coefficients };
            let mut surpluses = [0.0; LANES];
            if any(coefficients) {
                N::surpluses(self, &beside, products, slot, &mut surpluses);
            }
            let of_zero = if self.factored.leave_out_zeros { 0.0 } else { proximity(norm.surplus_of_zero()) };
            let mut own = [0.0; LANES];
            for lane in 0..LANES {
                let not_zero = proximity(surpluses[lane]);
                own[lane] = if coefficients[lane] == 0.0 { of_zero } else { not_zero };
            }
            let row = rows.pointer(place).wrapping_add(self.first + first + lanes.start);
            // SAFETY: the proximities of these parts to one whole, which this task alone writes.
            unsafe {
                if lanes.len() == LANES {
                    row.cast::<[f64; LANES]>().write(own);
                } else {
                    std::ptr::copy_nonoverlapping(own.as_ptr(), row, lanes.len());
                }
            }
        }
    }
}
