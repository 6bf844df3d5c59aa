//! What depends on a projection alone, as a caller keeps it.

use crate::axes::{Axes, Dim, Dims, Storage};
use crate::checks::expect_rank;
use crate::driver::prepared::PreparedMatrices;
use crate::dtype::DType;
use crate::error::{Argument, Cause, Error};
use crate::list::{List, MAX_NDIM};
use crate::options::Options;
use crate::tensor::Tensor;
use std::fmt;

/// What depends on a projection alone, such as attention's `w_o`: its matrices as the kernels read them, the norms of their
/// columns, and the products of their rows. A call that is not given it prepares it again, which for one new token is a
/// good part of its time: the more, the larger the matrices are beside the number of keys, and more in the 2-norm.
///
/// It is valid for any number of calls, with any norm, context and instruction set, from any threads at once. Results have
/// the same bits with it and without it.
///
/// It is given beside the tensor itself, which is still read for the few parts that are calculated again in `f64`. It holds
/// a copy of the numbers, and knows the tensor by its address, type, shape and strides: a call with another tensor is refused
/// with [`Cause::PreparedOfAnother`]. **Where the numbers change, or others come to lie at the
/// same address, prepare again**: a call cannot see that.
///
/// It takes as much memory as the projection has in `f32`, and `4 r^2` bytes more for each matrix `[r, d]`; `r` and `d`
/// count as if rounded up to multiples of 16.
///
/// Of an `f64` projection nothing is prepared, since all is calculated in `f64` then: the object has no effect. Nor has it one
/// with other norms than 1 and 2, with a scale, or where another tensor of the call is `f64`.
///
/// # Example
/// ```
/// use contrib_core::{Options, PreparedProjection, Tensor};
///
/// let (heads, d_head, d_model) = (2, 4, 8);
/// let w_o = vec![0.5_f32; heads * d_head * d_model];
/// let w_o = Tensor::new(&w_o, &[heads, d_head, d_model])?;
/// let prepared = PreparedProjection::new(&w_o, &Options::default())?;
/// // Then, for each new token: Heads::Values { values, w_o, prepared: Some(&prepared) }
/// # Ok::<(), contrib_core::Error>(())
/// ```
pub struct PreparedProjection {
    origin: Origin,
    /// Nothing where it would have no effect.
    matrices: Option<PreparedMatrices>,
}

const _: () = {
    const fn is_shared_by_threads<T: Send + Sync>() {}
    is_shared_by_threads::<PreparedProjection>();
};

impl PreparedProjection {
    /// Prepares a projection `[p.., r, d]`; for attention `w_o`, `[head, d_head, d_model]`. Of the options only the context
    /// counts: on its threads it is prepared.
    ///
    /// # Errors
    /// [`Cause::Rank`] for fewer than two axes, [`Cause::OutOfMemory`].
    pub fn new(projection: &Tensor<'_>, options: &Options<'_>) -> Result<Self, Error> {
        let ndim = projection.shape().len();
        if ndim < 2 {
            expect_rank("projection", projection, 2, "[p.., r, d]")?;
        }
        let origin = Origin::new(projection, ndim.saturating_sub(2));
        let has_effect = projection.dtype() != DType::F64 && !projection.shape().contains(&0);
        let matrices = if has_effect {
            // The argument is not one of a call.
            let named = |error: Error| Error::new(Argument::named("prepared"), *error.cause());
            Some(PreparedMatrices::new(projection, Dims(&origin.starts), options).map_err(named)?)
        } else {
            None
        };
        Ok(PreparedProjection { origin, matrices })
    }

    /// What the driver uses for a projection with so many part axes, the argument `like`. An error where it was prepared of
    /// another.
    pub(crate) fn matrices_of(
        &self,
        projection: &Tensor<'_>,
        part_axes: usize,
        like: Argument,
    ) -> Result<Option<&PreparedMatrices>, Cause> {
        if self.origin != Origin::new(projection, part_axes) {
            return Err(Cause::PreparedOfAnother { like });
        }
        Ok(self.matrices.as_ref())
    }
}

impl fmt::Debug for PreparedProjection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedProjection").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Where the matrices of a projection lie, and of what type they are. It is the same however the part axes are split, and
/// however often they repeat a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    address: usize,
    dtype: DType,
    /// The axes along which matrices begin at different elements.
    starts: List<Dim>,
    extents: [usize; 2],
    strides: [isize; 2],
}

impl Origin {
    /// That of a tensor `[p.., r, d]` with so many part axes.
    fn new(projection: &Tensor<'_>, part_axes: usize) -> Self {
        let mut starts = Axes::none();
        for (&extent, &stride) in projection.shape().iter().zip(projection.strides()).take(part_axes) {
            if stride != 0 {
                starts.push(extent, stride);
            }
        }
        let mut storage = [Dim::default(); MAX_NDIM];
        let starts = starts.merged(0..starts.extents.len(), &mut Storage(&mut storage));
        let last_two = |axis| part_axes + axis;
        Origin {
            address: projection.data().addr(),
            dtype: projection.dtype(),
            starts: List::new(starts.0),
            extents: [0, 1].map(|axis| projection.shape()[last_two(axis)]),
            strides: [0, 1].map(|axis| projection.strides()[last_two(axis)]),
        }
    }
}
