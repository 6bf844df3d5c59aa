//! What a caller wants of the contributions of a group: all of them, sums, the largest, or those above a number.

use crate::failure::Failure;
use crate::tensor::{contrib_tensor, indices, output};
use contrib_core::{Argument, Out, Sparse, TopK};

/// The fields that say what is wanted, which `contrib_group`, `contrib_attention_results` and `contrib_neurons_results`
/// have alike.
pub(crate) struct Wanted {
    pub(crate) out: *const contrib_tensor,
    pub(crate) indices: *const contrib_tensor,
    pub(crate) counts: *const contrib_tensor,
    pub(crate) left_out: *const contrib_tensor,
    pub(crate) above: f64,
    /// Whether `out` has sums over the leading part axes that it lacks. Not with `indices`.
    pub(crate) sums: bool,
    /// Of how many leading part axes sums are taken first. Only with `indices`.
    pub(crate) summed_axes: usize,
}

impl Wanted {
    /// Where the results go, once the fields are found to agree. `argument` names a field, and `out` is how `out` is called.
    ///
    /// # Safety
    /// The tensors are as for [`output`].
    pub(crate) unsafe fn read<'a>(
        &self,
        argument: impl Fn(&'static str) -> Argument,
        out: &'static str,
    ) -> Result<Out<'a>, Failure> {
        self.check(&argument)?;
        // SAFETY: this function's contract.
        let contributions = unsafe { output(argument(out), self.out)? };
        if self.indices.is_null() {
            return Ok(if self.sums { Out::Sums(contributions) } else { Out::Each(contributions) });
        }
        let summed_axes = self.summed_axes;
        // SAFETY: this function's contract.
        let indices_of = |name, tensor| unsafe { indices(argument(name), tensor) };
        let indices = indices_of("indices", self.indices)?;
        if self.counts.is_null() {
            return Ok(Out::TopK(TopK { contributions, indices, summed_axes }));
        }
        let counts = indices_of("counts", self.counts)?;
        // SAFETY: this function's contract.
        let left_out = unsafe { output(argument("left_out"), self.left_out)? };
        let above = self.above;
        Ok(Out::Sparse(Sparse { above, contributions, indices, counts, left_out, summed_axes }))
    }

    /// An error where a field means nothing without another that is not there.
    fn check(&self, argument: &impl Fn(&'static str) -> Argument) -> Result<(), Failure> {
        let needs = [
            (!self.counts.is_null(), "counts", self.indices, "indices"),
            (!self.left_out.is_null(), "left_out", self.counts, "counts"),
            (self.above != 0.0, "above", self.counts, "counts"),
            (!self.counts.is_null(), "counts", self.left_out, "left_out"),
            (self.summed_axes > 0, "summed_axes", self.indices, "indices"),
        ];
        for (given, with, needed, name) in needs {
            if given && needed.is_null() {
                return Err(Failure::NullBeside { argument: argument(name), with });
            }
        }
        Ok(())
    }
}
