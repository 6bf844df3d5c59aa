//! Gains of factored parts, from inner products of wholes and directions, in `f32`.
//!
//! In the 1-norm what a part goes beyond its whole is taken off ([`crate::kernels::overshoot`]); in the 2-norm its own
//! square. Where values are projected, `<w, values @ projection>` is `<projection @ w, values>`: as short as a value, once the
//! whole has been projected back.

use super::tile::{BLOCKS, Lengths, largest_or_least, load, multiply};
use super::work::{Measured, Panel, WorkOf};
use super::{FactoredParts, Gain};
use crate::context::Threads;
use crate::dispatch::{self, Overshoots, ProductsOf, ProductsOfRows};
use crate::driver::route::Arithmetic;
use crate::driver::{Slots, buffer};
use crate::error::Error;
use crate::kernels::overshoot;
use crate::kernels::prepare::DIFFERENCE_EPSILON;
use crate::kernels::products::{Products, ROWS};
use crate::lanes::LANES;
use std::array::from_fn;

/// What kernels need to know of some wholes to take gains.
pub(super) struct Wholes {
    products: ProductsOf<f32>,
    products_of_rows: ProductsOfRows,
    overshoots: Overshoots,
    /// What is multiplied with directions, padded: twice the whole less epsilon, or for the 1-norm its signs, as 1 or -1.
    factors: Vec<f32>,
    /// The same, projected back to the length of values.
    projected: Vec<f32>,
    /// For the 1-norm: the doubled whole itself, and the least magnitudes of some of its elements each.
    doubled: Vec<f32>,
    bounds: Vec<f32>,
}

impl Wholes {
    /// Room for so many wholes, where gains are taken.
    pub(super) fn new(factored: &FactoredParts, lengths: Lengths, wholes: usize) -> Result<Self, Error> {
        let kept = if factored.gain.is_some() { wholes } else { 0 };
        let apart = if factored.gain == Some(Gain::Magnitudes) { kept } else { 0 };
        Ok(Wholes {
            products: dispatch::products_kernel(factored.set),
            products_of_rows: dispatch::products_of_rows_kernel(factored.set),
            overshoots: dispatch::overshoots_kernel(factored.set),
            factors: buffer(kept * lengths.padded, 0.0)?,
            projected: buffer(kept * lengths.r.unwrap_or(0).next_multiple_of(LANES), 0.0)?,
            doubled: buffer(apart * lengths.padded, 0.0)?,
            bounds: buffer(apart * lengths.bounds(), f32::INFINITY)?,
        })
    }
}

impl Measured for f32 {
    fn multiply(work: &WorkOf<'_, f32>, panel: usize, place: usize, count: usize, to: &mut [Products]) {
        let rows = |block: usize| from_fn(|row| work.multiplied(place + (block * ROWS + row).min(count - 1)));
        let to = &mut to[..count.div_ceil(ROWS)];
        if let Some(r) = work.lengths.r {
            // SAFETY: rows and columns have `r` numbers.
            unsafe { multiply(work.wholes.products, rows, work.tile.panel(panel), r, to) };
            return;
        }
        let padded = work.lengths.padded;
        let directions = work.tile.direction(panel * LANES).as_ptr();
        for (block, to) in to.iter_mut().enumerate() {
            // SAFETY: rows and directions, of which a tile has whole panels, are padded to whole blocks.
            unsafe { (work.wholes.products_of_rows)(rows(block), directions, LANES, padded, to) };
        }
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
        let Wholes { factors, doubled, bounds, .. } = &mut work.wholes;
        let (factors, doubled) = (Slots::new(factors, lengths.padded), Slots::new(doubled, lengths.padded));
        let bounds = Slots::new(bounds, lengths.bounds());
        let are_signs = work.factored.gain == Some(Gain::Magnitudes);
        threads.for_each(count, |_, number| {
            // SAFETY: each number comes once, and the buffers outlive all the tasks; the vector belongs to the wholes' view.
            let factors = unsafe {
                let factors = &mut factors.slot(number)[..lengths.d];
                load(vectors.dtype, vectors.start(start + number), vectors.stride, factors);
                factors
            };
            for w in &mut *factors {
                *w = (*w - DIFFERENCE_EPSILON as f32) * Arithmetic::F32.factor() as f32;
            }
            if are_signs {
                // SAFETY: as above.
                let (doubled, bounds) = unsafe { (doubled.slot(number), bounds.slot(number)) };
                largest_or_least(factors, f32::INFINITY, |a, b| if a < b { a } else { b }, bounds);
                for (factor, doubled) in factors.iter_mut().zip(doubled) {
                    *doubled = *factor;
                    *factor = 1.0_f32.copysign(*factor);
                }
            }
        });
    }

    fn project_wholes(work: &mut WorkOf<'_, f32>, begin: usize, count: usize, threads: Threads<'_>) {
        let rows = work.lengths.r.unwrap_or(0);
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
            let gain = coefficient * (products[lane] - coefficient * self.tile.square(panel.number * LANES + lane));
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
            elements: self.wholes.doubled[panel.place * padded..][..padded].as_ptr(),
            bounds: self.wholes.bounds[panel.place * bounds..][..bounds].as_ptr(),
        };
        let mut beyond = [0.0; LANES];
        // SAFETY: all directions and the whole are padded to whole blocks, and have bounds for them.
        unsafe { (self.wholes.overshoots)(&coefficients, self.tile.bounded(panel.number * LANES), whole, &mut beyond) };
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
