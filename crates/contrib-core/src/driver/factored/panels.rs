//! Vectors of any type and stride, read into panels or into rows of numbers.

use crate::dispatch::{Arithmetic, EntryPoint};
use crate::driver::memory::{Buffer, WorkingMemory, list};
use crate::driver::pack::pack;
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::panel::PackPanelArguments;
use crate::kernels::widen::WidenArguments;
use crate::lanes::{LANES, Line, lines};

/// Bytes of the panels that a reader keeps: as many as stay in the second-level cache beside what else is in use.
const BYTES_OF_KEPT: usize = 1 << 19;

/// Reads vectors of one length into panels, and keeps the first of them: those of key-value heads are needed again by each head
/// that shares them.
pub(super) struct PanelReader<'m, N> {
    len: usize,
    row_lines: usize,
    /// Vectors that are not numbers side by side, widened.
    widened: Buffer<'m, Line<N>>,
    /// The panels that are kept, and one for all others.
    panels: Buffer<'m, Line<N>>,
    /// What was read into each panel: the addresses of its vectors.
    read: Vec<Option<[usize; LANES]>>,
    /// The panel that was read last.
    current: usize,
}

impl<'m, N: Arithmetic> PanelReader<'m, N> {
    /// Memory to read these vectors, of which a span has at most so many panels.
    pub(super) fn new(vectors: &Vectors<'_>, panels: usize, memory: WorkingMemory<'m>) -> Result<Self, Error> {
        let (len, row_lines) = (vectors.len, lines(vectors.len));
        let bytes = row_lines * LANES * size_of::<Line<N>>();
        let are_shared = vectors.parts.0.iter().any(|dim| dim.stride == 0);
        let panels = if are_shared { panels.min(BYTES_OF_KEPT / bytes) + 1 } else { 1 };
        Ok(PanelReader {
            len,
            row_lines,
            widened: memory.vectors(LANES, len)?,
            panels: memory.unset(panels * row_lines * LANES)?,
            read: list(panels, None)?,
            current: 0,
        })
    }

    /// Lines of a vector.
    pub(super) fn row_lines(&self) -> usize {
        self.row_lines
    }

    /// Reads the vectors that begin at `starts`: the panel with this number in its span.
    ///
    /// # Safety
    /// - The vectors can be read, and have the reader's length. They are the same as long as there is the reader.
    pub(super) unsafe fn read(
        &mut self,
        widen: EntryPoint<WidenArguments<N>>,
        pack_rows: EntryPoint<PackPanelArguments<N>>,
        vectors: &Vectors<'_>,
        number: usize,
        starts: &[*const u8; LANES],
    ) {
        self.current = number.min(self.read.len() - 1);
        let addresses = Some(starts.map(<*const u8>::addr));
        if self.read[self.current] == addresses {
            return;
        }
        self.read[self.current] = addresses;
        let len = self.row_lines * LANES;
        let panel = &mut self.panels[self.current * len..][..len];
        // SAFETY: the same contract; the panel has a line for each element of a vector, in whole lines.
        unsafe { read(&mut self.widened, self.len, widen, pack_rows, vectors, starts, panel) };
    }

    /// The panel that was read last.
    pub(super) fn panel(&self) -> &[Line<N>] {
        let len = self.row_lines * LANES;
        &self.panels[self.current * len..][..len]
    }
}

/// Reads the vectors that begin at `starts`, of `len` elements, into a panel. `widened` has room for sixteen.
///
/// # Safety
/// - The vectors can be read, and have this length.
/// - The panel has a line for each of their elements, in whole lines.
pub(super) unsafe fn read<N: Arithmetic>(
    widened: &mut [Line<N>],
    len: usize,
    widen: EntryPoint<WidenArguments<N>>,
    pack_rows: EntryPoint<PackPanelArguments<N>>,
    vectors: &Vectors<'_>,
    starts: &[*const u8; LANES],
    panel: &mut [Line<N>],
) {
    let is_in_place = vectors.dtype == N::DTYPE && vectors.is_contiguous() && len.is_multiple_of(LANES) && len > 0;
    let mut rows = *starts;
    if !is_in_place {
        for ((to, &start), row) in widened.chunks_exact_mut(lines(len)).zip(starts).zip(&mut rows) {
            // SAFETY: the vector can be read, and has as many lines.
            unsafe { widen_row(widen, vectors, start, to) };
            *row = to.as_ptr().cast();
        }
    }
    let (len, panel) = (lines(len) * LANES, panel.as_mut_ptr());
    // SAFETY: the rows have as many numbers, and the panel a line for each.
    unsafe { pack_rows(PackPanelArguments { starts: &raw const rows, stride: 1, len, panel }) };
}

/// Widens the vector that begins at `start` into whole lines.
///
/// # Safety
/// - The vector can be read, and has no more elements than there are numbers in `to`.
pub(super) unsafe fn widen_row<N: Arithmetic>(
    widen: EntryPoint<WidenArguments<N>>,
    vectors: &Vectors<'_>,
    start: *const u8,
    to: &mut [Line<N>],
) {
    let (size, len) = (vectors.dtype.size(), vectors.len);
    let end = size_of_val(to);
    let to = to.as_mut_ptr();
    let mut from = start;
    if !vectors.is_contiguous() {
        // The elements are packed into the end of the row, which is widened from its beginning: no element is overwritten
        // before it is read, for it is not larger than a number.
        let packed = to.cast::<u8>().wrapping_add(end - len.next_multiple_of(LANES) * size);
        // SAFETY: the vector can be read, and its elements are no larger than the row.
        unsafe { pack(size, &[start], vectors.stride, len, packed) };
        from = packed;
    }
    // SAFETY: the elements can be read, and the row has as many numbers, in whole lines.
    unsafe { widen(WidenArguments { from, len, to: to.cast() }) };
}
