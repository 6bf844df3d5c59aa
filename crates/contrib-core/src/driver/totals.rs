//! Totals over parts and their whole: tiles of parts, and pieces of vectors, brought to the kernels.

use super::kernel_selection::{Arithmetic, KernelSelection};
use super::memory::Plain;
use super::pack::pack;
use super::vectors::Vectors;
use crate::kernels::columns::{COLUMNS, ColumnAccumulators, ColumnTotals, ColumnsArguments};
use crate::kernels::prepare::{DIFFERENCE_EPSILON, PrepareArguments};
use crate::kernels::rows::{BLOCK, Piece, RowsArguments, Totals};
use crate::lanes::LANES;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::{ptr, slice};

/// Parts that are compared with one piece of the whole before the next piece is prepared.
const TILE: usize = 16;

/// Parts that are read before their totals are looked at, where the whole is one piece: few, so that this is done while
/// the next parts come from memory.
const SMALL_TILE: usize = 4;

/// Parts that must are adjacent for a vector of their elements to be worth it.
const MIN_COLUMNS: usize = 4;

/// Numbers of a prepared piece of the whole: 8 KiB. With the rest of the [`Buffers`] it stays in the first-level cache,
/// and inside the 64 KiB that some hosts give a thread as its stack.
const PIECE: usize = 1024;

/// Elements of a packed piece of a vector.
const PACKED_PIECE: usize = BLOCK;

/// Bytes of packed vectors: a piece of 16 vectors of `f32`.
const PACKED_BYTES: usize = 16 << 10;

/// What the kernels subtract to measure a vector itself.
static ZEROS: Aligned<[f64; PIECE]> = Aligned([0.0; PIECE]);

/// What they subtract to measure how far the zero vector is from a whole, which is a prepared whole's norm. A piece has as
/// many as its elements, the last ones, so that zeros follow them as they do its elements.
static EPSILONS: Aligned<[f64; PIECE + LANES]> = {
    let mut numbers = [DIFFERENCE_EPSILON; PIECE + LANES];
    let mut zeros = numbers.split_at_mut(PIECE).1;
    while let Some((first, rest)) = zeros.split_first_mut() {
        *first = 0.0;
        zeros = rest;
    }
    Aligned(numbers)
};

#[repr(align(64))]
struct Aligned<T>(T);

/// Memory for a [`Workspace`]: nothing but numbers. On the stack it begins uninitialised: clearing it would cost more than a
/// small call.
pub(super) struct Buffers {
    prepared: Aligned<[f64; PIECE]>,
    scratch: Aligned<Scratch>,
    totals: [Totals; TILE],
    column_totals: ColumnTotals,
}

const _: () = {
    let [prepared, scratch] = [size_of::<Aligned<[f64; PIECE]>>(), size_of::<Aligned<Scratch>>()];
    let totals = size_of::<[Totals; TILE]>() + size_of::<ColumnTotals>();
    assert!(size_of::<Buffers>() == prepared + scratch + totals, "there is padding between the fields");
    assert!(prepared == size_of::<[f64; PIECE]>() && scratch == PACKED_BYTES, "there is padding inside a field");
    assert!(size_of::<ColumnAccumulators>() == PACKED_BYTES, "one of the fields of a union has padding");
};

// SAFETY: numbers, beside a union of numbers of the same size; as was just asserted, there is no padding.
unsafe impl Plain for Buffers {}

/// What is not needed at the same time.
#[allow(dead_code, reason = "used through pointers")]
union Scratch {
    packed: [u8; PACKED_BYTES],
    column_accumulators: ColumnAccumulators,
}

impl Buffers {
    pub(super) const fn uninit() -> MaybeUninit<Self> {
        MaybeUninit::uninit()
    }
}

/// Working memory of one task, and what it holds.
pub(super) struct Workspace<'a> {
    /// Every pointer into the buffers comes from this one, so that none makes another invalid.
    buffers: *mut Buffers,
    /// The piece that is prepared: where it begins, its length, and the size of its numbers.
    ready: Option<(*const u8, usize, Arithmetic)>,
    exclusive: PhantomData<&'a mut Buffers>,
}

impl<'a> Workspace<'a> {
    pub(super) fn new(buffers: &'a mut Buffers) -> Self {
        Workspace { buffers, ready: None, exclusive: PhantomData }
    }

    pub(super) fn on_stack(buffers: &'a mut MaybeUninit<Buffers>) -> Self {
        Workspace { buffers: buffers.as_mut_ptr(), ready: None, exclusive: PhantomData }
    }

    fn prepared(&self) -> *mut u8 {
        // SAFETY: a field of the buffers, which are borrowed for 'a.
        unsafe { &raw mut (*self.buffers).prepared.0 }.cast()
    }

    fn packed(&self) -> *mut u8 {
        // SAFETY: as in `prepared`.
        unsafe { &raw mut (*self.buffers).scratch.0.packed }.cast()
    }

    fn column_accumulators(&self) -> *mut ColumnAccumulators {
        // SAFETY: as in `prepared`.
        unsafe { &raw mut (*self.buffers).scratch.0.column_accumulators }
    }

    fn column_totals(&self) -> *mut ColumnTotals {
        // SAFETY: as in `prepared`.
        unsafe { &raw mut (*self.buffers).column_totals }
    }

    fn totals(&self) -> *mut Totals {
        // SAFETY: as in `prepared`.
        unsafe { &raw mut (*self.buffers).totals }.cast()
    }
}

/// One whole, or what is in its place where a whole itself is measured.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Zero,
    Epsilons,
    /// The vector of these wholes that begins here.
    Whole(&'a Vectors<'a>, *const u8),
}

/// What is compared with what, and how.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) selection: &'a KernelSelection,
    pub(super) origin: Origin<'a>,
    /// The parts.
    pub(super) vectors: &'a Vectors<'a>,
}

/// Puts into `totals` those of the parts from `first` on, of the batch item whose first part begins at `start`, and calls
/// `finish` with each part's pointer and its total, soon after it was read.
pub(super) fn totals(
    workspace: &mut Workspace<'_>,
    comparison: &Comparison<'_>,
    start: *const u8,
    first: usize,
    totals: &mut [f64],
    mut finish: impl FnMut(&mut Workspace<'_>, *const u8, &mut f64),
) {
    let vectors = comparison.vectors;
    let size = vectors.dtype.size() as isize;
    let mut walk = vectors.parts.walk_from(first);
    let mut next = || start.wrapping_offset(walk.next_offset() * size);
    // A tile saves preparing the whole again for each part, where it comes in pieces.
    let tile_len = if vectors.is_contiguous() && vectors.len <= PIECE { SMALL_TILE } else { TILE };
    let mut done = 0;
    while done < totals.len() {
        let rest = totals.len() - done;
        let adjacent = vectors.adjacent(first + done).min(rest).min(COLUMNS);
        if !vectors.is_contiguous() && vectors.len > 0 && adjacent >= MIN_COLUMNS {
            let tile = &mut totals[done..done + adjacent];
            let part = next();
            (1..adjacent).for_each(|_| _ = next());
            totals_of_columns(workspace, comparison, part, tile);
            for (number, total) in tile.iter_mut().enumerate() {
                finish(workspace, part.wrapping_offset(number as isize * size), total);
            }
            done += adjacent;
        } else {
            let tile = &mut totals[done..done + rest.min(tile_len)];
            let mut parts = [ptr::null(); TILE];
            let parts = &mut parts[..tile.len()];
            for part in &mut *parts {
                *part = next();
            }
            totals_of(workspace, comparison, parts, tile);
            for (part, total) in parts.iter().zip(&mut *tile) {
                finish(workspace, *part, total);
            }
            done += tile.len();
        }
    }
}

/// Puts into `reduced` the totals of the parts that begin at `parts` and are adjacent, at most [`COLUMNS`].
fn totals_of_columns(
    workspace: &mut Workspace<'_>,
    comparison: &Comparison<'_>,
    parts: *const u8,
    reduced: &mut [f64],
) {
    let &Comparison { selection, vectors, .. } = comparison;
    let size = vectors.dtype.size() as isize;
    let (accumulators, totals) = (workspace.column_accumulators(), workspace.column_totals());
    for start in (0..vectors.len).step_by(PIECE) {
        let len = PIECE.min(vectors.len - start);
        let whole = prepared(workspace, comparison, start, len);
        let first = parts.wrapping_offset(start as isize * vectors.stride * size);
        let piece = Piece { first: start == 0, last: start + len == vectors.len };
        let (parameters, count, stride) = (selection.measure.parameters, reduced.len(), vectors.stride);
        let arguments = ColumnsArguments { parameters, piece, first, count, stride, whole, len, accumulators, totals };
        // SAFETY: the pieces lie inside parts, all of which can be read; `whole` has `len` numbers.
        unsafe { (selection.kernels.columns)(arguments) };
    }
    // SAFETY: after the last piece the first of all parts' totals are written.
    reduced.copy_from_slice(unsafe { slice::from_raw_parts(totals.cast(), reduced.len()) });
}

/// Puts into `reduced` the totals of the parts that begin at `parts`, at most [`TILE`] of them.
fn totals_of(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, parts: &[*const u8], reduced: &mut [f64]) {
    let &Comparison { selection, vectors, .. } = comparison;
    let size = vectors.dtype.size();
    let parameters = selection.measure.parameters;
    let totals = workspace.totals();
    if vectors.len == 0 {
        reduced.fill(0.0);
        return;
    }
    let piece_len = if vectors.is_contiguous() { PIECE } else { PACKED_PIECE };
    for start in (0..vectors.len).step_by(piece_len) {
        let len = piece_len.min(vectors.len - start);
        let whole = prepared(workspace, comparison, start, len);
        let piece = Piece { first: start == 0, last: start + len == vectors.len };
        let step = start as isize * vectors.stride * size as isize;
        let mut pieces = [ptr::null(); TILE];
        let pieces = if start == 0 {
            parts
        } else {
            for (position, part) in pieces.iter_mut().zip(parts) {
                *position = part.wrapping_offset(step);
            }
            &pieces[..parts.len()]
        };
        if vectors.is_contiguous() {
            // SAFETY: the pieces lie inside parts, all of which can be read; `whole` has `len` numbers, rounded up to
            // vectors; there are totals for a tile.
            unsafe {
                (selection.kernels.rows)(RowsArguments { parameters, piece, parts: pieces, whole, len, totals });
            };
            continue;
        }
        let packed = workspace.packed();
        let at_once = PACKED_BYTES / (PACKED_PIECE * size);
        for (number, pieces) in pieces.chunks(at_once).enumerate() {
            let totals = totals.wrapping_add(number * at_once);
            let mut packed_rows = [ptr::null(); TILE];
            for (number, row) in packed_rows[..pieces.len()].iter_mut().enumerate() {
                *row = packed.wrapping_add(number * len * size).cast_const();
            }
            // SAFETY: as above; the packed copies are at most PACKED_BYTES, and `packed_rows` are where they lie.
            unsafe {
                pack(size, pieces, vectors.stride, len, packed);
                let parts = &raw const packed_rows[..pieces.len()];
                (selection.kernels.rows)(RowsArguments { parameters, piece, parts, whole, len, totals });
            }
        }
    }
    for (number, reduced) in reduced.iter_mut().enumerate() {
        // SAFETY: after the last piece the first of each part's totals is written.
        *reduced = unsafe { totals.add(number).cast::<f64>().read() };
    }
}

/// The prepared numbers `start..start + len` of the origin.
fn prepared(workspace: &mut Workspace<'_>, comparison: &Comparison<'_>, start: usize, len: usize) -> *const u8 {
    let (vectors, whole) = match comparison.origin {
        Origin::Zero => return ZEROS.0.as_ptr().cast(),
        Origin::Epsilons => return EPSILONS.0[PIECE - len..].as_ptr().cast(),
        Origin::Whole(vectors, whole) => (vectors, whole),
    };
    let size = vectors.dtype.size();
    let from = whole.wrapping_offset(start as isize * vectors.stride * size as isize);
    let prepared = workspace.prepared();
    let arithmetic = comparison.selection.arithmetic;
    if workspace.ready == Some((from, len, arithmetic)) {
        return prepared;
    }
    let prepare = |from| {
        let arguments = PrepareArguments { whole: from, len, factor: arithmetic.factor(), prepared };
        // SAFETY: `from` has `len` elements; the prepared numbers, rounded up to vectors, are at most PIECE.
        unsafe { (comparison.selection.prepare)(arguments) };
    };
    if vectors.is_contiguous() {
        prepare(from);
    } else {
        let packed = workspace.packed();
        // SAFETY: the piece lies inside a whole, all of which can be read; a packed copy of it has at most PIECE elements
        // of 8 bytes.
        unsafe { pack(size, &[from], vectors.stride, len, packed) };
        prepare(packed);
    }
    workspace.ready = Some((from, len, arithmetic));
    prepared
}
