//! From checked groups to results: which vectors are read when, and by which thread.
//!
//! [`run`] has two paths. Where all parts are dense, [`dense`] takes one batch item after the other. Where a group is
//! factored, [`factored`] takes a block of wholes at a time, since many wholes share the directions of its parts.
//!
//! Both end in [`normalise`], which makes contributions of proximities, and [`results`], which writes them, or what
//! [`selection`] finds among them. Below them are
//! [`proximity`] (how a dense part is measured), [`totals`] (which brings tiles of vectors to the kernels), [`pack`] (which
//! copies what is not contiguous) and [`kernel_selection`]. [`plan`] is what they all read: it has no `if` for what a caller
//! may have done wrong, since everything was checked before.

mod dense;
mod factored;
mod gemm;
mod kernel_selection;
mod matrix;
mod memory;
mod normalise;
mod pack;
pub(crate) mod plan;
pub(crate) mod prepared;
mod projection;
mod proximity;
pub(crate) mod results;
mod selection;
mod totals;
mod vectors;

use crate::error::Error;
use crate::options::Options;
use normalise::Normaliser;
use plan::{GroupPlan, WholePlan};

/// Computes the contributions of all groups to all wholes and writes them.
///
/// # Errors
/// [`OutOfMemory`](crate::Cause::OutOfMemory), before anything is written.
pub(crate) fn run(whole: &WholePlan<'_>, groups: &[GroupPlan<'_>], options: &Options<'_>) -> Result<(), Error> {
    if whole.items == 0 {
        return Ok(());
    }
    if groups.iter().all(|group| group.count == 0) {
        if groups.iter().any(|group| group.results.are_of_no_parts()) {
            let normaliser = Normaliser::new(groups, options);
            (0..whole.items).for_each(|item| _ = normaliser.finish(item, &mut [], &mut [], |_| true));
        }
        return Ok(());
    }
    if groups.iter().any(|group| group.factored_parts().is_some()) {
        factored::run(whole, groups, options)
    } else {
        dense::run(whole, groups, options)
    }
}
