//! What few wholes were multiplied with before their spans are taken, one after the other.

use super::rows::Span;
use crate::kernels::gemm_microkernel::MR;
use crate::lanes::Line;
use std::ops::Range;

/// Wholes that count as few. More of them share what is packed for each span, and take longer than reading.
pub(super) const FEW: usize = MR;

/// What wholes are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Keys,
    Values,
}

/// Inner products that were found before the spans were taken, by [`one_pass`](super::one_pass).
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    products: &'a [Line<f64>],
    squares: &'a [Line<f64>],
    /// The number of the first whole in the block.
    first: usize,
    wholes: usize,
}

impl<'a> Found<'a> {
    /// The products `[panel of all spans, whole]`, and squares for each panel, of so many wholes from the one with this number in
    /// the block on.
    pub(super) fn new(products: &'a [Line<f64>], squares: &'a [Line<f64>], first: usize, wholes: usize) -> Self {
        Found { products, squares, first, wholes }
    }

    /// The inner products of a panel of a span with the wholes of these numbers in the block.
    pub(super) fn products(&self, span: &Span, panel: usize, numbers: &Range<usize>) -> &[Line<f64>] {
        let start = (span.first_panel + panel) * self.wholes;
        &self.products[start + numbers.start - self.first..start + numbers.end - self.first]
    }

    /// The squares of the 2-norms of the vectors of a panel.
    pub(super) fn squares(&self, span: &Span, panel: usize) -> &Line<f64> {
        &self.squares[span.first_panel + panel]
    }
}
