//! What depends on the projection of a group alone, prepared once for any number of calls.

use super::gemm::Gemm;
use super::matrix::Matrix;
use super::memory::{Buffer, Shared, WorkingMemory, empty_list};
use super::projection::Projection;
use crate::axes::{Dim, Dims, Storage};
use crate::context::threads::Threads;
use crate::dispatch::Arithmetic;
use crate::error::Error;
use crate::floating_point::DefaultSettings;
use crate::kernels::gemm_microkernel::MR;
use crate::lanes::{Line, lines};
use crate::list::MAX_NDIM;
use crate::norm::Reduction;
use crate::options::Options;
use crate::tensor::Tensor;
use std::any::Any;

/// The packed matrices of a projection, for calculation in `N`. They have the same bits on every instruction set, as what a
/// task packs for itself.
pub(crate) struct PreparedMatrices<N = f32> {
    /// Where the matrices begin, in elements of the projection: in order, each once.
    offsets: Vec<isize>,
    /// The matrix of each offset.
    matrices: Vec<Matrix<'static, N>>,
}

impl PreparedMatrices {
    /// Those of a projection `[p.., r, d]` that has elements, none of which is `f64`. They begin at the offsets of `starts`.
    pub(crate) fn new(projection: &Tensor<'_>, starts: Dims<'_>, options: &Options<'_>) -> Result<Self, Error> {
        let count = starts.count();
        let mut offsets = empty_list(count)?;
        let mut walk = starts.walk_from(0);
        offsets.extend((0..count).map(|_| walk.next_offset()));
        // Matrices that overlap may begin at the same element.
        offsets.sort_unstable();
        offsets.dedup();

        let mut storage = [Dim::default(); MAX_NDIM];
        let plan = Projection::new(projection, projection.shape().len() - 2, &mut Storage(&mut storage));
        let len = projection.shape()[projection.shape().len() - 1];
        let memory = WorkingMemory::ALLOCATOR;
        let mut matrices = empty_list(offsets.len())?;
        for _ in &offsets {
            // With what the 2-norm needs: the object serves all norms.
            matrices.push(Matrix::new(plan.rows, len, Reduction::Squares, memory)?);
        }

        let set = options.instruction_set();
        let (pack, gemm) = (f32::pack_panel(set, plan.dtype), Gemm::new(set));
        // Each row is multiplied with all rows.
        let work = offsets.len().saturating_mul(plan.rows).saturating_mul(plan.rows).saturating_mul(len);
        let threads = Threads::for_work(work, options.context);
        let len_of_rows = MR * lines(len);
        let mut rows: Buffer<'_, Line<f32>> = memory.unset(threads.count().saturating_mul(len_of_rows))?;
        let (of_matrices, of_slots) = (Shared::new(&mut matrices), Shared::new(&mut rows));
        let _settings = DefaultSettings::enter();
        threads.for_each(offsets.len(), |slot, index| {
            // SAFETY: each index comes once, and no two tasks at a time have the same slot.
            let (matrix, rows) = unsafe { (of_matrices.one(index), of_slots.piece(slot, len_of_rows)) };
            matrix.load(pack, &plan, offsets[index]);
            matrix.multiply_rows(gemm, rows);
        });
        Ok(PreparedMatrices { offsets, matrices })
    }

    /// The same, where they are for calculation in `N`.
    pub(super) fn of_numbers<N: Arithmetic>(&self) -> Option<&PreparedMatrices<N>> {
        (self as &dyn Any).downcast_ref()
    }
}

impl<N: Arithmetic> PreparedMatrices<N> {
    /// The matrix that begins at `offset`.
    ///
    /// # Panics
    /// Where none does.
    pub(super) fn get(&self, offset: isize) -> &Matrix<'static, N> {
        let index = self.offsets.binary_search(&offset).expect("all matrices of the projection were prepared");
        &self.matrices[index]
    }
}
