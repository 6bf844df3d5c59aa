//! Vectors of any type and stride, read into panels or into rows of numbers.

use super::wholes::lines;
use crate::dispatch::{Arithmetic, EntryPoint};
use crate::driver::memory::zeroed;
use crate::driver::pack::pack;
use crate::driver::vectors::Vectors;
use crate::error::Error;
use crate::kernels::panel::PackPanelArguments;
use crate::kernels::widen::WidenArguments;
use crate::lanes::{LANES, Line};

/// Reads vectors of one length, sixteen at a time.
pub(super) struct PanelReader<N> {
    len: usize,
    row_lines: usize,
    /// Vectors that are not numbers side by side, widened.
    widened: Vec<Line<N>>,
}

impl<N: Arithmetic> PanelReader<N> {
    /// Memory to read vectors of `len` elements.
    pub(super) fn new(len: usize) -> Result<Self, Error> {
        let row_lines = lines(len);
        Ok(PanelReader { len, row_lines, widened: zeroed(LANES * row_lines)? })
    }

    /// Lines of a vector.
    pub(super) fn row_lines(&self) -> usize {
        self.row_lines
    }

    /// Reads the vectors that begin at `starts` into a panel.
    ///
    /// # Safety
    /// - The vectors can be read, and have the reader's length.
    /// - The panel has [`LANES`] lines for each line of a vector, which can be written.
    pub(super) unsafe fn read(
        &mut self,
        widen: EntryPoint<WidenArguments<N>>,
        pack_rows: EntryPoint<PackPanelArguments<N>>,
        vectors: &Vectors,
        starts: &[*const u8; LANES],
        panel: *mut Line<N>,
    ) {
        let is_in_place =
            vectors.dtype == N::DTYPE && vectors.is_contiguous() && self.len.is_multiple_of(LANES) && self.len > 0;
        let mut rows = *starts;
        if !is_in_place {
            for ((to, &start), row) in self.widened.chunks_exact_mut(self.row_lines).zip(starts).zip(&mut rows) {
                // SAFETY: the vector can be read, and has as many lines.
                unsafe { widen_row(widen, vectors, start, to) };
                *row = to.as_ptr().cast();
            }
        }
        let len = self.row_lines * LANES;
        // SAFETY: the rows have as many numbers, and the panel a line for each.
        unsafe { pack_rows(PackPanelArguments { starts: &raw const rows, stride: 1, len, panel }) };
    }
}

/// Widens the vector that begins at `start` into whole lines.
///
/// # Safety
/// - The vector can be read, and has no more elements than there are numbers in `to`.
pub(super) unsafe fn widen_row<N: Arithmetic>(
    widen: EntryPoint<WidenArguments<N>>,
    vectors: &Vectors,
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
