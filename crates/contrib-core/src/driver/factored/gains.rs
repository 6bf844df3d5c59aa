//! Gains of factored parts, from inner products of wholes and directions, in `f32`.
//!
//! In the 1-norm what a part goes beyond its whole is taken off ([`crate::kernels::excess`]); in the 2-norm its own
//! square. Where values are projected, `<w, values @ projection>` is `<projection @ w, values>`: as short as a value, once the
//! whole has been projected back.

use super::tile::{BLOCKS, GROUP, Lengths, Panels, multiply};
use super::work::{Desk, Measured, Panel, WorkOf};
use super::written_out::scratch_len;
use super::{FactoredParts, Gain};
use crate::context::Threads;
use crate::dispatch::{self, EntryPoint};
use crate::driver::pack::pack;
use crate::driver::{Slots, buffer};
use crate::dtype::DType;
use crate::error::Error;
use crate::instruction_set::InstructionSet;
use crate::kernels::excess::{Buckets, Excess, ExcessArguments, SortedElement};
use crate::kernels::gemm_microkernel::{MR, Products};
use crate::kernels::panel::{PackPanelArguments, PanelLargest, PanelSizesArguments, PanelSquares};
use crate::kernels::prepare::PrepareArguments;
use crate::lanes::{LANES, Line};
use std::array::from_fn;
use std::slice;

/// What kernels need to know of some wholes to take gains.
pub(super) struct Wholes {
    excess: EntryPoint<ExcessArguments>,
    /// What is multiplied with directions, padded: twice the whole less epsilon, or for the 1-norm its signs, as 1 or -1.
    factors: Vec<Line<f32>>,
    /// For the 1-norm: the elements of the whole less epsilon, sorted.
    sorted: Vec<SortedElement>,
    buckets: Vec<Buckets>,
}

impl Wholes {
    /// Room for so many wholes, where gains are taken.
    pub(super) fn new(factored: &FactoredParts, lengths: Lengths, wholes: usize) -> Result<Self, Error> {
        let kept = if factored.gain.is_some() { wholes } else { 0 };
        let sorted = if factored.gain == Some(Gain::Magnitudes) { kept } else { 0 };
        let zero = Line([0.0; LANES]);
        Ok(Wholes {
            excess: dispatch::entry_point::<Excess>(factored.set),
            factors: buffer(kept * lengths.padded / LANES, zero)?,
            sorted: buffer(sorted * lengths.d, SortedElement::default())?,
            buckets: buffer(sorted, Buckets::default())?,
        })
    }

    /// Bytes of one whole.
    pub(super) fn bytes_of_one(gain: Option<Gain>, lengths: Lengths) -> usize {
        let multiplied = (lengths.padded + lengths.r.unwrap_or(0)) * size_of::<f32>();
        match gain {
            None => 0,
            Some(Gain::Squares) => multiplied,
            Some(Gain::Magnitudes) => multiplied + lengths.d * size_of::<SortedElement>() + size_of::<Buckets>(),
        }
    }
}

/// The row with this number among rows of `len` numbers.
fn row(rows: &[Line<f32>], number: usize, len: usize) -> *const f32 {
    rows[number * len / LANES..][..len / LANES].as_ptr().cast()
}

impl Measured for f32 {
    fn panel(set: InstructionSet, vectors: DType) -> EntryPoint<PackPanelArguments<f32>> {
        dispatch::pack_panel_in_f32(set, vectors)
    }

    fn measurer(factored: &FactoredParts) -> Option<EntryPoint<PanelSizesArguments>> {
        Some(match factored.gain {
            Some(Gain::Squares) => dispatch::entry_point::<PanelSquares>(factored.set),
            _ => dispatch::entry_point::<PanelLargest>(factored.set),
        })
    }

    fn multiply(
        work: &WorkOf<'_, f32>,
        (desk, parts): (&Desk<f32>, Panels<'_, f32>),
        place: usize,
        count: usize,
        to: &mut [Products],
    ) {
        let Lengths { padded, r, .. } = work.lengths;
        let (rows, len, columns) = match r {
            Some(r) => (&desk.projected, r, parts.values),
            None => (&work.wholes.factors, padded, parts.directions),
        };
        let rows = |block: usize| from_fn(|lane| row(rows, place + (block * MR + lane).min(count - 1), len));
        let to = &mut to[..count.div_ceil(MR)];
        // SAFETY: rows and columns have `len` numbers.
        unsafe { multiply(desk.tile.kernels.products, (rows, LANES), columns.as_ptr(), len / LANES, to) };
    }

    fn surpluses(
        work: &WorkOf<'_, f32>,
        panel: &Panel<'_, f32>,
        products: &Line<f64>,
        scratch: &mut [f64],
        to: &mut [f64; LANES],
    ) {
        let not_told = if !panel.norm.is_small_enough_for_gains() {
            u32::MAX
        } else if work.factored.gain == Some(Gain::Squares) {
            surpluses_of_squares(panel, products, to)
        } else {
            work.surpluses_of_magnitudes(panel, products, to)
        };
        if not_told != 0 {
            work.written_out(panel, not_told, scratch, to);
        }
    }

    fn prepare_wholes(work: &mut WorkOf<'_, f32>, start: usize, count: usize, threads: Threads<'_>) {
        let (vectors, lengths) = (&work.whole.vectors, work.lengths);
        let Wholes { factors, sorted, buckets, .. } = &mut work.wholes;
        let factors = Slots::new(factors, lengths.padded / LANES);
        let (sorted, buckets) = (Slots::new(sorted, lengths.d), Slots::new(buckets, 1));
        let packed = Slots::new(&mut work.scratch, scratch_len(lengths.d));
        let prepare = dispatch::prepare_in_f32(work.factored.set, vectors.dtype);
        let gain = work.factored.gain;
        let factor = if gain == Some(Gain::Squares) { 2.0 } else { 1.0 };
        threads.for_each(count, |slot, number| {
            let mut whole = vectors.start(start + number);
            // SAFETY: each number comes once, no other task has this slot now, and the buffers outlive all the tasks; the
            // vector belongs to the wholes' view, and there is room for it, of any type, and for it in whole lines.
            let factors = unsafe {
                if !vectors.is_contiguous() {
                    let packed = packed.slot_or_none(slot).as_mut_ptr().cast();
                    pack(vectors.dtype.size(), &[whole], vectors.stride, lengths.d, packed);
                    whole = packed;
                }
                let factors = factors.slot(number).as_mut_ptr().cast::<f32>();
                (prepare)(PrepareArguments { whole, len: lengths.d, factor, prepared: factors.cast() });
                slice::from_raw_parts_mut(factors, lengths.d)
            };
            if gain == Some(Gain::Magnitudes) {
                // SAFETY: as above.
                let (buckets, sorted) = unsafe { (&mut buckets.slot(number)[0], sorted.slot_or_none(number)) };
                buckets.sort(factors, sorted);
                for factor in factors {
                    *factor = 1.0_f32.copysign(*factor);
                }
            }
        });
    }

    fn project_wholes(work: &WorkOf<'_, f32>, desk: &mut Desk<f32>, begin: usize, count: usize, threads: Threads<'_>) {
        let Lengths { padded, r, .. } = work.lengths;
        let panels = r.unwrap_or(0) / LANES;
        let (factors, tile, projected) = (&work.wholes.factors, &desk.tile, Slots::new(&mut desk.projected, 1));
        // Each task takes some wholes through the same few rows of the matrix.
        threads.for_each(panels * count.div_ceil(GROUP), |_, task| {
            let (panel, first) = (task % panels, task / panels * GROUP);
            let wholes = GROUP.min(count - first);
            let place = |number: usize| begin + first + number.min(wholes - 1);
            let rows = |block: usize| from_fn(|lane| row(factors, place(block * MR + lane), padded));
            let mut products = [[Line([0.0; LANES]); MR]; BLOCKS];
            let products = &mut products[..wholes.div_ceil(MR)];
            // SAFETY: wholes, and rows of the matrix, have `padded` numbers.
            unsafe { multiply(tile.kernels.products, (rows, LANES), tile.rows(panel), padded / LANES, products) };
            for (number, products) in products.as_flattened().iter().enumerate().take(wholes) {
                // SAFETY: each panel of each whole comes once, and the buffer outlives all the tasks.
                let to = unsafe { projected.slot(place(number) * panels + panel) };
                to[0].0 = products.0.map(|product| product as f32);
            }
        });
    }
}

/// Puts each part's surplus into `to`. Returns a bit for each that does not tell, so that only a distance can.
#[inline(always)]
fn surpluses_of(surplus: impl Fn(usize) -> (f64, bool), to: &mut [f64; LANES]) -> u32 {
    let mut all_tell = true;
    for (lane, to) in to.iter_mut().enumerate() {
        let (own, tells) = surplus(lane);
        *to = own;
        all_tell &= tells;
    }
    if all_tell {
        return 0;
    }
    (0..LANES).fold(0, |bits, lane| bits | u32::from(!surplus(lane).1) << lane)
}

/// [`surpluses_of`] the parts of a panel in the 2-norm.
fn surpluses_of_squares(panel: &Panel<'_, f32>, products: &Line<f64>, to: &mut [f64; LANES]) -> u32 {
    let squares = &panel.parts.sizes.squares;
    let surplus = |lane: usize| {
        let coefficient = f64::from(panel.coefficients.0[lane]);
        let gain = coefficient * (products.0[lane] - coefficient * squares.0[lane]);
        panel.norm.surplus_of_square_gain(gain)
    };
    surpluses_of(surplus, to)
}

impl WorkOf<'_, f32> {
    /// [`surpluses_of`] the parts of a panel in the 1-norm.
    fn surpluses_of_magnitudes(&self, panel: &Panel<'_, f32>, products: &Line<f64>, to: &mut [f64; LANES]) -> u32 {
        let (d, Wholes { excess, sorted, buckets, .. }) = (self.lengths.d, &self.wholes);
        let mut beyond = Line([0.0; LANES]);
        let Panels { directions, sizes, .. } = panel.parts;
        let arguments = ExcessArguments {
            coefficients: panel.coefficients,
            largest: &raw const sizes.largest,
            panel: directions.as_ptr(),
            buckets: &raw const buckets[panel.place],
            sorted: sorted[panel.place * d..][..d].as_ptr(),
            excess: &raw mut beyond,
        };
        // SAFETY: the directions, and the sorted whole, have `d` elements.
        unsafe { (excess)(arguments) };
        let surplus = |lane: usize| {
            let coefficient = f64::from(panel.coefficients.0[lane]);
            panel.norm.surplus_of_gain(coefficient * products.0[lane] - 2.0 * beyond.0[lane])
        };
        surpluses_of(surplus, to)
    }
}
