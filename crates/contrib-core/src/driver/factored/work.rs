//! Some wholes beside all parts of a factored group: tile by tile of directions, panel by panel of parts.

use super::gains::Wholes;
use super::tile::{GROUP, Kernels, Lengths, Panels, Start, Tile, starts_of};
use super::written_out::scratch_len;
use super::{FactoredParts, Offsets};
use crate::axes::Walk;
use crate::context::Threads;
use crate::dispatch::{self, EntryPoint};
use crate::driver::entry::proximity;
use crate::driver::surplus::WholeNorm;
use crate::driver::{Slots, Whole, buffer, out_of_memory};
use crate::dtype::DType;
use crate::error::Error;
use crate::instruction_set::InstructionSet;
use crate::kernels::gemm_microkernel::{GemmMicrokernel, MR, Products};
use crate::kernels::panel::{PackPanelArguments, PanelSizesArguments};
use crate::lanes::{LANES, Line, Number};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Panels of which few wholes meet one after the other.
const PANELS_OF_FEW: usize = 512;

/// Bytes that a desk may have where each thread has one.
const BYTES_OF_A_DESK: usize = 1 << 20;

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
    first: usize,
    pub(super) lengths: Lengths,
    pub(super) wholes: Wholes,
    /// Where the coefficients of each whole of the chunk begin.
    bases: Vec<isize>,
    /// Parts that share a projection.
    spans: Vec<Range<usize>>,
    /// One for each slot of the threads, which then take a span each, or a single one.
    desks: Vec<Desk<N>>,
    /// For each slot of the threads the coefficients and products of a panel beside a group of wholes, and what is written
    /// out. (Some hosts give a thread a stack of 64 KiB.)
    coefficients: Vec<Line<N>>,
    products: Vec<Line<f64>>,
    pub(super) scratch: Vec<f64>,
}

/// Where the parts of one span are brought together with wholes.
pub(super) struct Desk<N> {
    /// Parts of a tile, and panels that there is room for.
    tile_len: usize,
    rooms: usize,
    pub(super) tile: Tile<N>,
    /// What the wholes are multiplied with, projected back to the length of values.
    pub(super) projected: Vec<Line<f32>>,
    /// How far the coefficients of each panel of a tile lie from the first one of their whole.
    offsets: Vec<Offsets>,
    /// Where the directions of a tile, or their values, begin.
    starts: Vec<Start>,
}

/// Wholes that share their directions: the index of the first, its place in the chunk, and their norms.
#[derive(Clone, Copy)]
struct Run<'a> {
    start: usize,
    begin: usize,
    norms: &'a [WholeNorm],
}

/// The parts of a panel beside one whole.
pub(super) struct Panel<'a, N> {
    pub(super) parts: Panels<'a, N>,
    /// The index of the whole, its place in the chunk, and its norm.
    pub(super) index: usize,
    pub(super) place: usize,
    pub(super) norm: &'a WholeNorm,
    pub(super) coefficients: &'a Line<N>,
}

/// Where tasks put their numbers: each into the slot of its thread, from slot `first` on.
#[derive(Clone, Copy)]
struct Places<'a, N> {
    first: usize,
    coefficients: Slots<Line<N>>,
    products: Slots<Line<f64>>,
    scratch: Slots<f64>,
    rows: &'a Slots<f64>,
}

/// Whether a number is not zero.
fn any<N: Number>(numbers: &Line<N>) -> bool {
    numbers.0.iter().any(|number| number.to_f64() != 0.0)
}

/// A type that directions are kept in, and how the surpluses of parts follow from them.
pub(super) trait Measured: Number {
    /// The kernel that writes vectors of type `vectors` as panels.
    fn panel(set: InstructionSet, vectors: DType) -> EntryPoint<PackPanelArguments<Self>>;

    /// The kernel that finds out what gains need to know of directions, where they are taken.
    fn measurer(factored: &FactoredParts) -> Option<EntryPoint<PanelSizesArguments>>;

    /// The kernels for the types of a group's tensors.
    fn kernels(factored: &FactoredParts) -> Kernels<Self> {
        let set = factored.set;
        Kernels {
            read: Self::panel(set, factored.directions.dtype),
            read_matrix: factored.projection.map(|projection| Self::panel(set, projection.dtype)),
            products: dispatch::entry_point::<GemmMicrokernel<Self>>(set),
            measure: Self::measurer(factored),
        }
    }

    /// The inner products that gains need, of the parts of a panel with the wholes from `place` of the chunk on.
    fn multiply(
        work: &WorkOf<'_, Self>,
        parts: (&Desk<Self>, Panels<'_, Self>),
        place: usize,
        count: usize,
        to: &mut [Products],
    );

    /// The surpluses of the parts of a panel. Those of parts whose coefficient is 0 may be anything.
    fn surpluses(
        work: &WorkOf<'_, Self>,
        panel: &Panel<'_, Self>,
        products: &Line<f64>,
        scratch: &mut [f64],
        to: &mut [f64; LANES],
    );

    /// Makes wholes ready to be compared with directions.
    fn prepare_wholes(work: &mut WorkOf<'_, Self>, start: usize, count: usize, threads: Threads<'_>);

    /// Makes wholes ready to be compared with values that the tile's matrix projects.
    fn project_wholes(work: &WorkOf<'_, Self>, desk: &mut Desk<Self>, begin: usize, count: usize, threads: Threads<'_>);
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
        let lengths = factored.lengths(whole.vectors.len);
        let spans = spans(factored, count)?;
        let panels = spans.iter().map(|span| span.len().div_ceil(LANES)).max().unwrap_or(0);
        // What few wholes meet is met while it is still in the caches, so that each thread needs room for one panel only.
        let few = lengths.r.is_none() && wholes <= GROUP;
        let all = panels.min(lengths.rooms());
        let each = all.div_ceil(2);
        let (desks, rooms, panels_of_tile) = if few {
            (1, slots, PANELS_OF_FEW.min(panels))
        } else if spans.len() >= 2 * slots && Desk::<N>::bytes(lengths, each, wholes) <= BYTES_OF_A_DESK {
            (slots, each, each)
        } else {
            (1, all, all)
        };
        let desk = |_| Desk::new(factored, lengths, (rooms, panels_of_tile), wholes);
        Ok(WorkOf {
            factored,
            whole,
            first,
            lengths,
            wholes: Wholes::new(factored, lengths, wholes)?,
            bases: buffer(wholes, 0)?,
            spans,
            desks: (0..desks).map(desk).collect::<Result<_, _>>()?,
            coefficients: buffer(slots * GROUP, Line([N::ZERO; LANES]))?,
            products: buffer(slots * GROUP, Line([0.0; LANES]))?,
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
        let places = Places {
            first: 0,
            coefficients: Slots::new(&mut self.coefficients, GROUP),
            products: Slots::new(&mut self.products, GROUP),
            scratch: Slots::new(&mut self.scratch, scratch_len(self.lengths.d)),
            rows,
        };
        let (count, desks) = (self.desks.len(), Slots::new(&mut self.desks, 1));
        let work = &*self;
        if count == 1 {
            // SAFETY: nobody else has the only desk, which outlives this.
            let desk = unsafe { &mut desks.slot(0)[0] };
            for span in &work.spans {
                work.span(desk, run, span, threads, &places);
            }
            return;
        }
        threads.for_each(work.spans.len(), |slot, number| {
            // SAFETY: no other task has this slot now, and the desks outlive all the tasks.
            let desk = unsafe { &mut desks.slot(slot)[0] };
            work.span(desk, run, &work.spans[number], Threads::Inline, &Places { first: slot, ..places });
        });
    }

    /// Puts the proximities of the parts of a span where they belong.
    fn span(
        &self,
        desk: &mut Desk<N>,
        run: Run<'_>,
        span: &Range<usize>,
        threads: Threads<'_>,
        places: &Places<'_, N>,
    ) {
        if let Some(projection) = &self.factored.projection {
            desk.tile.load_matrix(projection, projection.parts.offset(span.start), threads);
            N::project_wholes(self, desk, run.begin, run.norms.len(), threads);
        }
        for first in span.clone().step_by(desk.tile_len) {
            self.tile(desk, run, (first, desk.tile_len.min(span.end - first)), threads, places);
        }
    }

    /// Puts the proximities of some parts, which share a projection, where they belong.
    fn tile(
        &self,
        desk: &mut Desk<N>,
        run: Run<'_>,
        (first, count): (usize, usize),
        threads: Threads<'_>,
        places: &Places<'_, N>,
    ) {
        let factored = self.factored;
        let vectors = &factored.directions;
        let mut offsets = factored.coefficients.parts.walk_from(first);
        let mut directions = vectors.parts.walk_from(first);
        let start = vectors.start(run.start);
        for starts in &mut desk.starts[..count] {
            *starts = Start(start.wrapping_offset(directions.next_offset() * vectors.dtype.size() as isize));
        }
        let panels = count.div_ceil(LANES);
        for (panel, to) in desk.offsets[..panels].iter_mut().enumerate() {
            *to = Offsets::take(LANES.min(count - panel * LANES), || offsets.next_offset());
        }

        let groups = run.norms.len().div_ceil(GROUP);
        let at_once = groups == 1 && self.lengths.r.is_none() && threads.count() <= desk.rooms;
        if !at_once && self.is_needed(&desk.offsets[..panels], run, threads) {
            desk.tile.load(vectors, &desk.starts[..count], threads);
        }
        let rooms = desk.tile.rooms();
        let desk = &*desk;
        // Each task takes some wholes beside one panel of parts.
        threads.for_each(groups * panels, |slot, task| {
            let (group, panel) = (task / panels, task % panels);
            let read = || {
                if at_once {
                    let starts = starts_of(&desk.starts[..count], panel);
                    // SAFETY: no other task has this slot now, and the tile outlives all the tasks; the vectors belong to
                    // their view.
                    unsafe { desk.tile.read(&rooms, slot, vectors, &starts) }
                } else {
                    desk.tile.panel(panel)
                }
            };
            self.panel(desk, run, group, (panel, first), read, (slot, places));
        });
    }

    /// Whether any coefficient of these panels is not zero.
    fn is_needed(&self, offsets: &[Offsets], run: Run<'_>, threads: Threads<'_>) -> bool {
        let needed = AtomicBool::new(false);
        threads.for_step(run.norms.len() * offsets.len() * LANES).for_each(run.norms.len(), |_, number| {
            let is_there = |offsets: &Offsets| {
                let mut coefficients = Line([N::ZERO; LANES]);
                self.factored.coefficients.read(self.bases[run.begin + number], offsets, &mut coefficients);
                any(&coefficients)
            };
            if !needed.load(Ordering::Relaxed) && offsets.iter().any(is_there) {
                needed.store(true, Ordering::Relaxed);
            }
        });
        needed.into_inner()
    }

    /// Puts the proximities of the parts of one panel to one group of wholes where they belong. The parts are read only if
    /// a coefficient is not zero.
    fn panel<'p>(
        &self,
        desk: &Desk<N>,
        run: Run<'_>,
        group: usize,
        (panel, first): (usize, usize),
        read: impl FnOnce() -> Panels<'p, N>,
        (slot, places): (usize, &Places<'_, N>),
    ) {
        let numbers = group * GROUP..run.norms.len().min((group + 1) * GROUP);
        let (offsets, slot) = (&desk.offsets[panel], places.first + slot);
        // SAFETY: no other task has this slot now, and the buffers outlive all the tasks.
        let (coefficients, products, scratch) =
            unsafe { (places.coefficients.slot(slot), places.products.slot(slot), places.scratch.slot_or_none(slot)) };
        let mut are_there = false;
        for (number, coefficients) in numbers.clone().zip(&mut *coefficients) {
            self.factored.coefficients.read(self.bases[run.begin + number], offsets, coefficients);
            are_there |= any(coefficients);
        }
        let parts = are_there.then(read);
        if let Some(parts) = parts {
            let products = products.as_chunks_mut::<MR>().0;
            N::multiply(self, (desk, parts), run.begin + numbers.start, numbers.len(), products);
        }
        for ((number, coefficients), products) in numbers.zip(&*coefficients).zip(&*products) {
            let (place, norm) = (run.begin + number, &run.norms[number]);
            let mut own = [0.0; LANES];
            if let Some(parts) = parts.filter(|_| any(coefficients)) {
                let beside = Panel { parts, index: run.start + number, place, norm, coefficients };
                N::surpluses(self, &beside, products, scratch, &mut own);
            }
            let of_zero = if self.factored.leave_out_zeros { 0.0 } else { proximity(norm.surplus_of_zero()) };
            for (own, coefficient) in own.iter_mut().zip(&coefficients.0) {
                let not_zero = proximity(*own);
                *own = if coefficient.to_f64() == 0.0 { of_zero } else { not_zero };
            }
            let row = places.rows.pointer(place).wrapping_add(self.first + first + panel * LANES);
            // SAFETY: the proximities of these parts to one whole, which this task alone writes.
            unsafe {
                if offsets.count == LANES {
                    row.cast::<[f64; LANES]>().write(own);
                } else {
                    std::ptr::copy_nonoverlapping(own.as_ptr(), row, offsets.count);
                }
            }
        }
    }
}

/// Parts that share a projection, or the lack of one.
fn spans(factored: &FactoredParts, count: usize) -> Result<Vec<Range<usize>>, Error> {
    let mut walk = factored.projection.as_ref().map(|projection| projection.parts.walk_from(0));
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut before = None;
    for part in 0..count {
        let own = walk.as_mut().map(Walk::next_offset);
        if let Some(span) = spans.last_mut().filter(|_| before == Some(own)) {
            span.end = part + 1;
        } else {
            spans.try_reserve(1).map_err(|_| out_of_memory(size_of_val(&spans[..])))?;
            spans.push(part..part + 1);
        }
        before = Some(own);
    }
    Ok(spans)
}

impl<N: Measured> Desk<N> {
    /// A desk with room for so many panels, where so many are a tile, for so many wholes.
    fn new(
        factored: &FactoredParts,
        lengths: Lengths,
        (rooms, panels_of_tile): (usize, usize),
        wholes: usize,
    ) -> Result<Self, Error> {
        let multiplied = if factored.gain.is_some() { wholes } else { 0 };
        Ok(Desk {
            tile_len: panels_of_tile * LANES,
            rooms,
            tile: Tile::new(lengths, rooms, N::kernels(factored))?,
            projected: buffer(multiplied * lengths.r.unwrap_or(0) / LANES, Line([0.0; LANES]))?,
            offsets: buffer(panels_of_tile, Offsets::default())?,
            starts: buffer(panels_of_tile * LANES, Start::default())?,
        })
    }

    /// About as many bytes.
    fn bytes(lengths: Lengths, rooms: usize, wholes: usize) -> usize {
        let r = lengths.r.unwrap_or(0);
        let numbers = rooms * LANES * (lengths.padded + r) + r * lengths.padded + wholes * r;
        numbers * size_of::<N>()
    }
}
