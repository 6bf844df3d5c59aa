//! Factored parts: a coefficient for each part and whole, times a direction that many wholes share.
//!
//! In the 1-norm and the 2-norm the gain of a part is mostly an inner product of whole and direction, which for projected
//! values is as short as a value. In the 1-norm, what the part overshoots the whole by is taken off
//! ([`crate::kernels::overshoot`]); in the 2-norm, its own square. Other norms, inputs in `f64` and scaled parts are
//! written out one after the other and measured as dense parts are.

use super::entry::proximity;
use super::route::{Arithmetic, Route};
use super::surplus::{WholeNorm, distances};
use super::tile::{BLOCKS, Lengths, Projection, Start, Tile, largest_or_least, load, multiply};
use super::totals::{Buffers, Comparison, Origin, Workspace};
use super::{Slots, Vectors, Whole, buffer};
use crate::axes::Axes;
use crate::context::Threads;
use crate::dispatch::{self, Overshoots, ProductsOf};
use crate::dtype::{DType, Element, with_element};
use crate::error::Error;
use crate::instruction_set::InstructionSet;
use crate::kernels::overshoot;
use crate::kernels::prepare::DIFFERENCE_EPSILON;
use crate::kernels::products::{Products, ROWS};
use crate::lanes::{LANES, Number};
use crate::norm::Norm;
use crate::options::Options;
use crate::tensor::Tensor;
use std::array::from_fn;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

/// The tensors of a group, each with all of its axes: coefficients `[p.., v..]`, directions `[p.., v.., d]` or values
/// `[p.., v.., r]` with a projection `[p.., r, d]`, scale `[v.., d]`.
pub(crate) struct FactoredTensors<'a> {
    pub(crate) coefficients: Tensor<'a>,
    pub(crate) directions: Tensor<'a>,
    pub(crate) projection: Option<Tensor<'a>>,
    pub(crate) scale: Option<Tensor<'a>>,
    pub(crate) leave_out_zeros: bool,
}

/// How a gain follows from an inner product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gain {
    Magnitudes,
    Squares,
}

/// The same as the driver reads it.
#[derive(Clone, Copy)]
pub(super) struct FactoredParts {
    coefficients: Coefficients,
    directions: Vectors,
    projection: Option<Projection>,
    scale: Option<Vectors>,
    leave_out_zeros: bool,
    /// How gains are taken, in `f32`. Otherwise distances are, in `f64`.
    gain: Option<Gain>,
    /// For parts that are written out in `f64`.
    to_distances: Route,
    set: InstructionSet,
}

#[derive(Clone, Copy)]
struct Coefficients {
    data: *const u8,
    dtype: DType,
    parts: Axes,
    batch: Axes,
}

// SAFETY: coefficients are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Coefficients {}

impl Coefficients {
    /// Reads those at `offsets` from `base`, all in elements. What is not there is 0.
    #[inline]
    fn read(&self, base: isize, offsets: &[isize], to: &mut [f64; LANES]) {
        with_element!(self.dtype, T => {
            let start = self.data.cast::<T>().wrapping_offset(base);
            let read = |offset: isize| {
                // SAFETY: the element belongs to the view of the coefficients.
                unsafe { start.wrapping_offset(offset).read() }.to_f64()
            };
            let first = offsets[0];
            if offsets.len() == LANES && offsets.iter().zip(first..).all(|(&offset, next)| offset == next) {
                to.iter_mut().zip(first..).for_each(|(to, offset)| *to = read(offset));
            } else {
                to.fill(0.0);
                to.iter_mut().zip(offsets).for_each(|(to, &offset)| *to = read(offset));
            }
        });
    }
}

impl FactoredParts {
    pub(super) fn new(tensors: FactoredTensors<'_>, part_axes: usize, whole: &Vectors, options: &Options<'_>) -> Self {
        let FactoredTensors { coefficients, directions, projection, scale, leave_out_zeros } = tensors;
        let all = [Some(coefficients), Some(directions), projection, scale];
        let in_f64 = whole.dtype == DType::F64 || all.iter().flatten().any(|tensor| tensor.dtype() == DType::F64);
        let gain = match options.norm {
            Norm::ONE => Some(Gain::Magnitudes),
            Norm::TWO => Some(Gain::Squares),
            _ => None,
        };
        FactoredParts {
            coefficients: Coefficients {
                data: coefficients.data(),
                dtype: coefficients.dtype(),
                parts: coefficients.axes.range(0, part_axes).merged(),
                batch: coefficients.axes.range(part_axes, coefficients.shape().len()).merged(),
            },
            directions: Vectors::new(&directions, part_axes),
            projection: projection.map(|tensor| Projection {
                data: tensor.data(),
                dtype: tensor.dtype(),
                parts: tensor.axes.range(0, part_axes).merged(),
                rows: tensor.shape()[part_axes],
                row_stride: tensor.strides()[part_axes],
                stride: tensor.strides()[part_axes + 1],
            }),
            scale: scale.map(|tensor| Vectors::new(&tensor, 0)),
            leave_out_zeros,
            gain: gain.filter(|_| !in_f64 && scale.is_none()),
            to_distances: Route::to_distances(options, DType::F64, whole.dtype),
            set: options.instruction_set(),
        }
    }

    /// Bytes that each whole of a chunk takes beside its norm and the proximities of its parts.
    pub(super) fn bytes_of_whole(&self, d: usize) -> usize {
        let r = self.projection.as_ref().map_or(0, |projection| projection.rows);
        self.gain.map_or(0, |_| (4 * d + r) * size_of::<f32>())
    }
}

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
    factored: &'a FactoredParts,
    whole: &'a Whole,
    count: usize,
    first: usize,
    lengths: Lengths,
    tile: Tile<N>,
    wholes: Wholes,
    overshoots: Overshoots,
    products: ProductsOf<f32>,
    /// Where the coefficients of each whole of the chunk begin, and how far from there each of a tile lies.
    bases: Vec<isize>,
    offsets: Vec<isize>,
    /// Where the directions of a tile, or their values, begin.
    starts: Vec<Start>,
    /// For each slot of the threads a part and a scale.
    written_out: Vec<f64>,
}

/// What kernels need to know of some wholes to take gains.
struct Wholes {
    /// What is multiplied with directions, padded: twice the whole less epsilon, or for the 1-norm its signs, as 1 or -1.
    factors: Vec<f32>,
    /// The same, projected back to the length of values.
    projected: Vec<f32>,
    /// For the 1-norm: the magnitudes of the doubled whole, the least of some of them each, and zeros of its signs.
    magnitudes: Vec<f32>,
    bounds: Vec<f32>,
    signs: Vec<f32>,
}

/// Wholes that share their directions: the index of the first, its place in the chunk, and their norms.
#[derive(Clone, Copy)]
struct Run<'a> {
    start: usize,
    begin: usize,
    norms: &'a [WholeNorm],
}

/// Some parts of a tile beside one whole.
pub(super) struct Panel<'a> {
    /// The index of the whole, its place in the chunk, and its norm.
    index: usize,
    place: usize,
    norm: &'a WholeNorm,
    /// The number of the panel in the tile, and its coefficients.
    panel: usize,
    coefficients: &'a [f64; LANES],
}

/// Whether a number is not zero.
fn any(numbers: &[f64; LANES]) -> bool {
    numbers.iter().any(|&number| number != 0.0)
}

/// A type that directions are kept in, and how the surpluses of parts follow from them.
pub(super) trait Measured: Number {
    /// The inner products that gains need, of the parts of a panel with the wholes from `place` of the chunk on.
    fn multiply(work: &WorkOf<'_, Self>, panel: usize, place: usize, count: usize, to: &mut [Products; BLOCKS]);

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
        let kept = if factored.gain.is_some() { wholes } else { 0 };
        let apart = if factored.gain == Some(Gain::Magnitudes) { kept } else { 0 };
        Ok(WorkOf {
            factored,
            whole,
            count,
            first,
            lengths,
            tile: Tile::new(lengths, dispatch::products_kernel(factored.set), factored.gain)?,
            wholes: Wholes {
                factors: buffer(kept * lengths.padded, 0.0)?,
                projected: buffer(kept * r.unwrap_or(0).next_multiple_of(LANES), 0.0)?,
                magnitudes: buffer(apart * lengths.padded, 0.0)?,
                bounds: buffer(apart * lengths.bounds(), f32::INFINITY)?,
                signs: buffer(apart * lengths.padded, 0.0)?,
            },
            overshoots: dispatch::overshoots_kernel(factored.set),
            products: dispatch::products_kernel(factored.set),
            bases: buffer(wholes, 0)?,
            offsets: buffer(lengths.tile, 0)?,
            starts: buffer(lengths.tile, Start::default())?,
            written_out: buffer(slots * 2 * lengths.d, 0.0)?,
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
        threads.for_each(run.norms.len(), |_, number| {
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
        let mut written_out = std::mem::take(&mut self.written_out);
        let slots = Slots::new(&mut written_out, 2 * self.lengths.d);
        let work = &*self;
        threads.for_each(groups * count.div_ceil(LANES), |slot, task| {
            // SAFETY: no other task has this slot now, and the buffer outlives all the tasks.
            let slot = unsafe { slots.slot_or_none(slot) };
            work.panel(run, task % groups, task / groups, (first, count), slot, rows);
        });
        self.written_out = written_out;
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
        let mut coefficients = [[0.0; LANES]; BLOCKS * ROWS];
        let mut are_there = false;
        for (number, coefficients) in numbers.clone().zip(&mut coefficients) {
            self.factored.coefficients.read(self.bases[run.begin + number], offsets, coefficients);
            are_there |= any(coefficients);
        }
        let mut products = [[[0.0; LANES]; ROWS]; BLOCKS];
        if are_there {
            N::multiply(self, panel, run.begin + numbers.start, numbers.len(), &mut products);
        }
        for ((number, coefficients), products) in numbers.zip(&coefficients).zip(products.iter().flatten()) {
            let (place, norm) = (run.begin + number, &run.norms[number]);
            let beside = Panel { index: run.start + number, place, norm, panel, coefficients };
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

    /// The surpluses of those of the parts that `lanes` names whose coefficients are not zero, each written out and measured
    /// in `f64`.
    #[inline(never)]
    fn written_out(&self, panel: &Panel<'_>, lanes: u32, slot: &mut [f64], to: &mut [f64; LANES]) {
        let mut buffers = Buffers::uninit();
        let workspace = &mut Workspace::new(&mut buffers);
        let whole = &self.whole.vectors;
        let (part, scale) = slot.split_at_mut(self.lengths.d);
        if let Some(scales) = &self.factored.scale {
            // SAFETY: the vector belongs to the scale's view.
            unsafe { load(scales.dtype, scales.start(panel.index), scales.stride, scale) };
        }
        for lane in (0..LANES).filter(|&lane| lanes >> lane & 1 == 1 && panel.coefficients[lane] != 0.0) {
            let direction = self.tile.direction(panel.panel * LANES + lane);
            for (to, x) in part.iter_mut().zip(direction) {
                *to = panel.coefficients[lane] * x.to_f64();
            }
            if self.factored.scale.is_some() {
                part.iter_mut().zip(&*scale).for_each(|(x, scale)| *x *= scale);
            }
            let origin = Origin::Whole(whole, whole.start(panel.index));
            let vectors = &Vectors::one(part);
            let comparison = Comparison { route: &self.factored.to_distances, origin, vectors };
            let mut distance = 0.0;
            distances(workspace, &comparison, vectors.data, 0, slice::from_mut(&mut distance));
            to[lane] = panel.norm.surplus_of_distance(distance);
        }
    }
}

impl Measured for f64 {
    fn multiply(_: &WorkOf<'_, f64>, _: usize, _: usize, _: usize, _: &mut [Products; BLOCKS]) {}

    fn surpluses(work: &WorkOf<'_, f64>, panel: &Panel<'_>, _: &[f64; LANES], slot: &mut [f64], to: &mut [f64; LANES]) {
        work.written_out(panel, u32::MAX, slot, to);
    }

    fn prepare_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}

    fn project_wholes(_: &mut WorkOf<'_, f64>, _: usize, _: usize, _: Threads<'_>) {}
}

impl Measured for f32 {
    fn multiply(work: &WorkOf<'_, f32>, panel: usize, place: usize, count: usize, to: &mut [Products; BLOCKS]) {
        let rows = |block: usize| from_fn(|row| work.multiplied(place + (block * ROWS + row).min(count - 1)));
        let inner = work.lengths.inner();
        let to = &mut to[..count.div_ceil(ROWS)];
        // SAFETY: rows and columns have `inner` numbers.
        unsafe { multiply(work.products, rows, work.tile.panel(panel), inner, to) };
    }

    fn surpluses(
        work: &WorkOf<'_, f32>,
        panel: &Panel<'_>,
        products: &[f64; LANES],
        slot: &mut [f64],
        to: &mut [f64; LANES],
    ) {
        let not_told = if panel.norm.is_small_enough_for_gains() {
            match work.factored.gain {
                Some(Gain::Squares) => work.surpluses_of_squares(panel, products, to),
                _ => work.surpluses_of_magnitudes(panel, products, to),
            }
        } else {
            u32::MAX
        };
        if not_told != 0 {
            work.written_out(panel, not_told, slot, to);
        }
    }

    fn prepare_wholes(work: &mut WorkOf<'_, f32>, start: usize, count: usize, threads: Threads<'_>) {
        let (vectors, lengths) = (&work.whole.vectors, work.lengths);
        let Wholes { factors, magnitudes, bounds, signs, .. } = &mut work.wholes;
        let (factors, bounds) = (Slots::new(factors, lengths.padded), Slots::new(bounds, lengths.bounds()));
        let (magnitudes, signs) = (Slots::new(magnitudes, lengths.padded), Slots::new(signs, lengths.padded));
        let are_apart = work.factored.gain == Some(Gain::Magnitudes);
        threads.for_each(count, |_, number| {
            // SAFETY: each number comes once, and the buffers outlive all the tasks; the vector belongs to the wholes' view.
            let factors = unsafe {
                let factors = &mut factors.slot(number)[..lengths.d];
                load(vectors.dtype, vectors.start(start + number), vectors.stride, factors);
                factors
            };
            factors.iter_mut().for_each(|w| *w = (*w - DIFFERENCE_EPSILON as f32) * Arithmetic::F32.factor() as f32);
            if !are_apart {
                return;
            }
            // SAFETY: as above.
            let (magnitudes, bounds, signs) =
                unsafe { (magnitudes.slot(number), bounds.slot(number), signs.slot(number)) };
            largest_or_least(factors, f32::INFINITY, |a, b| if a < b { a } else { b }, bounds);
            for ((factor, magnitude), sign) in factors.iter_mut().zip(magnitudes).zip(signs) {
                (*magnitude, *sign) = (factor.abs(), 0.0_f32.copysign(*factor));
                *factor = 1.0_f32.copysign(*factor);
            }
        });
    }

    fn project_wholes(work: &mut WorkOf<'_, f32>, begin: usize, count: usize, threads: Threads<'_>) {
        let rows = work.lengths.inner();
        let mut projected = std::mem::take(&mut work.wholes.projected);
        let slots = Slots::new(&mut projected, LANES);
        let compared = &*work;
        // Each task takes some wholes through the same few rows of the matrix.
        let (panels, some) = (rows.div_ceil(LANES), BLOCKS * ROWS);
        threads.for_each(panels * count.div_ceil(some), |_, task| {
            let (panel, first) = (task % panels, task / panels * some);
            let wholes = some.min(count - first);
            let place = |number: usize| begin + first + number.min(wholes - 1);
            let factors = |block: usize| from_fn(|row| compared.factors(place(block * ROWS + row)));
            let mut products = [[[0.0; LANES]; ROWS]; BLOCKS];
            let products = &mut products[..wholes.div_ceil(ROWS)];
            compared.tile.project_back(factors, panel * LANES, products);
            for (number, products) in products.iter().flatten().enumerate().take(wholes) {
                // SAFETY: each panel of each whole comes once, and the buffer outlives all the tasks.
                let to = unsafe { slots.slot(place(number) * panels + panel) };
                to.iter_mut().zip(products).for_each(|(to, &product)| *to = product as f32);
            }
        });
        work.wholes.projected = projected;
    }
}

impl WorkOf<'_, f32> {
    /// What is multiplied with directions of the whole at this place of the chunk.
    fn factors(&self, place: usize) -> *const f32 {
        self.wholes.factors[place * self.lengths.padded..][..self.lengths.padded].as_ptr()
    }

    /// What is multiplied with directions, or with values in their place.
    fn multiplied(&self, place: usize) -> *const f32 {
        match self.lengths.r {
            Some(r) => self.wholes.projected[place * r.next_multiple_of(LANES)..][..r].as_ptr(),
            None => self.factors(place),
        }
    }

    /// Puts the surpluses of the parts of a panel into `to`, in the 2-norm. Returns a bit for each part of which only a
    /// distance can tell.
    fn surpluses_of_squares(&self, panel: &Panel<'_>, products: &[f64; LANES], to: &mut [f64; LANES]) -> u32 {
        let mut tells = [true; LANES];
        for lane in 0..LANES {
            let coefficient = panel.coefficients[lane];
            let gain = coefficient * (products[lane] - coefficient * self.tile.square(panel.panel * LANES + lane));
            (to[lane], tells[lane]) = panel.norm.surplus_of_square_gain(gain);
        }
        bits_of_false(&tells)
    }

    /// The same in the 1-norm.
    fn surpluses_of_magnitudes(&self, panel: &Panel<'_>, products: &[f64; LANES], to: &mut [f64; LANES]) -> u32 {
        // The whole is doubled, so the coefficients are, and so is what parts go beyond it.
        let coefficients = panel.coefficients.map(|coefficient| (2.0 * coefficient) as f32);
        let (Lengths { padded, .. }, bounds) = (self.lengths, self.lengths.bounds());
        let whole = overshoot::Whole {
            magnitudes: self.wholes.magnitudes[panel.place * padded..][..padded].as_ptr(),
            signs: self.wholes.signs[panel.place * padded..][..padded].as_ptr(),
            bounds: self.wholes.bounds[panel.place * bounds..][..bounds].as_ptr(),
        };
        let mut beyond = [0.0; LANES];
        // SAFETY: all directions and the whole are padded to whole blocks, and have bounds for them.
        unsafe { (self.overshoots)(&coefficients, self.tile.bounded(panel.panel * LANES), whole, &mut beyond) };
        let mut tells = [true; LANES];
        for lane in 0..LANES {
            let gain = panel.coefficients[lane] * products[lane] - beyond[lane];
            (to[lane], tells[lane]) = panel.norm.surplus_of_gain(gain);
        }
        bits_of_false(&tells)
    }
}

/// A bit for each that is false.
fn bits_of_false(all: &[bool; LANES]) -> u32 {
    if all.iter().all(|&is| is) {
        return 0;
    }
    all.iter().enumerate().fold(0, |bits, (lane, &is)| bits | u32::from(!is) << lane)
}
