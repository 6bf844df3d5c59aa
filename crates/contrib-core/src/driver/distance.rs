//! Distances of parts from their whole: tiles of parts, and pieces of vectors, brought to the kernels.

use super::Vectors;
use super::kernel::Kernel;
use super::pack::pack;
use crate::dispatch::{self, Arithmetic};
use crate::kernels::accumulate::{BLOCK, Totals};
use crate::lanes::LANES;
use std::mem::MaybeUninit;
use std::ptr;

/// Parts that are compared with one piece of the whole before the next piece is prepared.
pub(super) const TILE: usize = 32;

/// Bytes of a prepared piece of the whole. With the rest of a [`Workspace`] it stays in the first-level cache, and
/// inside the 64 KiB that some hosts give a thread as its stack.
const PREPARED_BYTES: usize = 8 << 10;

/// Bytes of packed vectors: a block of 16 vectors of `f32`.
const PACKED_BYTES: usize = 16 << 10;

/// What the kernels subtract to measure a vector itself.
static ZEROS: Aligned<[u8; PREPARED_BYTES]> = Aligned([0; PREPARED_BYTES]);

#[repr(align(64))]
struct Aligned<T>(T);

/// Working memory of one task.
pub(super) struct Workspace {
    prepared: Aligned<MaybeUninit<[u8; PREPARED_BYTES]>>,
    packed: Aligned<MaybeUninit<[u8; PACKED_BYTES]>>,
    /// Which piece of which whole is prepared, for which arithmetic.
    ready: Option<(*const u8, usize, Arithmetic)>,
}

impl Workspace {
    pub(super) fn new() -> Self {
        Workspace { prepared: Aligned(MaybeUninit::uninit()), packed: Aligned(MaybeUninit::uninit()), ready: None }
    }
}

/// One whole, or the zero vector in its place.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Zero,
    /// The vector of these wholes that begins here.
    Whole(&'a Vectors, *const u8),
}

/// Puts into `distances` the distances between `origin` and the parts from `first` on, of the batch entry whose
/// first part begins at `entry`.
#[expect(clippy::too_many_arguments, reason = "what to measure, from where, and where to put it")]
pub(super) fn distances(
    workspace: &mut Workspace,
    kernel: Kernel,
    arithmetic: Arithmetic,
    origin: Origin<'_>,
    vectors: &Vectors,
    entry: *const u8,
    first: usize,
    distances: &mut [f64],
) {
    let size = vectors.dtype.size() as isize;
    let mut walk = vectors.parts.walk_from(first);
    for tile in distances.chunks_mut(TILE) {
        let mut parts = [ptr::null(); TILE];
        for part in &mut parts[..tile.len()] {
            *part = entry.wrapping_offset(walk.next_offset() * size);
        }
        let parts = &parts[..tile.len()];
        totals_of(workspace, kernel, arithmetic, origin, vectors, parts, tile);
        for (part, distance) in parts.iter().zip(tile) {
            *distance = if kernel.is_in_range(*distance) {
                kernel.norm(*distance)
            } else {
                rescued(workspace, kernel, origin, vectors, *part)
            };
        }
    }
}

/// The distance of a part whose total left the range of its arithmetic: measured again in `f64`, scaled by its largest
/// difference. What is truly zero, infinite or NaN stays so.
#[cold]
fn rescued(workspace: &mut Workspace, kernel: Kernel, origin: Origin<'_>, vectors: &Vectors, part: *const u8) -> f64 {
    let mut total = [0.0];
    let mut measure = |kernel: Kernel| {
        totals_of(workspace, kernel, Arithmetic::F64, origin, vectors, &[part], &mut total);
        kernel.norm(total[0])
    };
    let largest = measure(kernel.rescue(1.0).0);
    if kernel.parameters.exponent.is_infinite() || largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    measure(kernel.rescue(largest).1)
}

/// Puts into `joined` the joined totals of the parts that begin at `parts`, at most [`TILE`] of them.
fn totals_of(
    workspace: &mut Workspace,
    kernel: Kernel,
    arithmetic: Arithmetic,
    origin: Origin<'_>,
    vectors: &Vectors,
    parts: &[*const u8],
    joined: &mut [f64],
) {
    let size = vectors.dtype.size();
    let accumulate = dispatch::accumulate(vectors.dtype, arithmetic, kernel.measure);
    let mut totals: [Totals; TILE] = [[0.0; LANES]; TILE];
    let totals = &mut totals[..parts.len()];
    let piece_len = if vectors.is_contiguous() { PREPARED_BYTES / arithmetic.size() } else { BLOCK };
    for start in (0..vectors.len).step_by(piece_len) {
        let len = piece_len.min(vectors.len - start);
        let whole = prepared(workspace, arithmetic, origin, start, len);
        let step = start as isize * vectors.stride * size as isize;
        let mut pieces = [ptr::null(); TILE];
        for (piece, part) in pieces.iter_mut().zip(parts) {
            *piece = part.wrapping_offset(step);
        }
        let pieces = &pieces[..parts.len()];
        if vectors.is_contiguous() {
            // SAFETY: the pieces lie inside parts that the view vouches for; `whole` has `len` numbers, rounded up to
            // vectors, of the same arithmetic.
            unsafe { accumulate(kernel.parameters, pieces, whole, len, totals) };
            continue;
        }
        let packed = workspace.packed.0.as_mut_ptr().cast::<u8>();
        let at_once = PACKED_BYTES / (BLOCK * size);
        for (pieces, totals) in pieces.chunks(at_once).zip(totals.chunks_mut(at_once)) {
            let mut rows = [ptr::null(); TILE];
            for (number, row) in rows[..pieces.len()].iter_mut().enumerate() {
                *row = packed.wrapping_add(number * len * size).cast_const();
            }
            // SAFETY: as above; the packed copies are at most PACKED_BYTES, and `rows` are where they lie.
            unsafe {
                pack(size, pieces, vectors.stride, len, packed);
                accumulate(kernel.parameters, &rows[..pieces.len()], whole, len, totals);
            }
        }
    }
    for (joined, totals) in joined.iter_mut().zip(totals) {
        *joined = kernel.join(totals);
    }
}

/// The prepared numbers `start..start + len` of the origin.
fn prepared(
    workspace: &mut Workspace,
    arithmetic: Arithmetic,
    origin: Origin<'_>,
    start: usize,
    len: usize,
) -> *const u8 {
    let Origin::Whole(vectors, whole) = origin else { return ZEROS.0.as_ptr() };
    let size = vectors.dtype.size();
    let from = whole.wrapping_offset(start as isize * vectors.stride * size as isize);
    let prepared = workspace.prepared.0.as_mut_ptr().cast::<u8>();
    if workspace.ready == Some((from, len, arithmetic)) {
        return prepared;
    }
    let prepare = dispatch::prepare(vectors.dtype, arithmetic);
    // SAFETY: the piece lies inside a whole that the view vouches for; a packed copy of it is no larger than
    // PACKED_BYTES, since a piece has at most PREPARED_BYTES / 4 elements of 4 bytes or PREPARED_BYTES / 8 of 8; the
    // prepared numbers, rounded up to vectors, fill at most PREPARED_BYTES.
    unsafe {
        if vectors.is_contiguous() {
            prepare(from, len, prepared);
        } else {
            let packed = workspace.packed.0.as_mut_ptr().cast::<u8>();
            pack(size, &[from], vectors.stride, len, packed);
            prepare(packed, len, prepared);
        }
    }
    workspace.ready = Some((from, len, arithmetic));
    prepared
}
