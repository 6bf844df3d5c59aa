//! What depends on a projection alone, kept by a caller.

use crate::handle::{free, put};
use crate::options::{self, contrib_options};
use crate::status::{contrib_status, guard};
use crate::tensor::{contrib_tensor, input};
use contrib_core::{Argument, PreparedProjection};

/// What depends on a projection alone, such as attention's `w_o`: its matrices as the library reads them, the norms of
/// their columns, and the products of their rows. Opaque. A call that is not given it prepares it again, which for one new
/// token is a good part of its time: the more, the larger the matrices are beside the number of keys, and more in the 2-norm.
///
/// One object is valid for any number of calls, with any options, from any number of threads at the same time. Results
/// have the same bits with it and without it. It is given beside the tensor itself, which calls still read.
///
/// It holds a copy of the numbers, and knows the tensor by its address, dtype, shape and strides: a call with another tensor
/// is refused with `CONTRIB_ERROR_PREPARED`. Where the numbers change, or others come to lie at the same address, it must be
/// made again: a call cannot see that.
///
/// It takes as much memory as the projection has in float32, and 4 r^2 bytes more for each matrix `[r, d]`; r and d count
/// as if rounded up to multiples of 16. Of a float64 projection nothing is prepared, and the object has no effect. Nor has it
/// one with other norms than 1 and 2, with a scale, or where another tensor of the call is float64.
pub struct contrib_prepared_projection(PreparedProjection);

/// Prepares a projection `[p.., r, d]`, such as `w_o`, `[head, d_head, d_model]`, and puts the object into `*out`. It is
/// done on the threads of the options; nothing else of them counts, but they are checked. The tensor is read during the call
/// alone, but must be there again in the calls that the object is for.
///
/// Errors: `CONTRIB_ERROR_RANK` for fewer than two axes, `CONTRIB_ERROR_OUT_OF_MEMORY`, and those of any tensor and of
/// options; `*out` is untouched then.
///
/// # Safety
/// `projection` and `options` are null or as for any operation; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_prepared_projection_new(
    projection: *const contrib_tensor,
    options: *const contrib_options,
    out: *mut *mut contrib_prepared_projection,
) -> contrib_status {
    guard(|| {
        // SAFETY: this function's contract.
        let (projection, options) =
            unsafe { (input(Argument::named("projection"), projection)?, options::read(options)?) };
        let make = || Ok(contrib_prepared_projection(PreparedProjection::new(&projection, &options)?));
        // SAFETY: `out` is null or may be written.
        unsafe { put(out, make) }
    })
}

/// Frees a prepared projection. NULL is allowed. No call may be using it.
///
/// # Safety
/// `prepared` is null, or comes from `contrib_prepared_projection_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contrib_prepared_projection_free(prepared: *mut contrib_prepared_projection) {
    guard(|| {
        // SAFETY: this function's contract.
        unsafe { free(prepared) };
        Ok(())
    });
}

/// The core's object, where there is one.
///
/// # Safety
/// - `prepared` is null or alive for `'a`.
pub(crate) unsafe fn read<'a>(prepared: *const contrib_prepared_projection) -> Option<&'a PreparedProjection> {
    // SAFETY: this function's contract.
    unsafe { prepared.as_ref() }.map(|prepared| &prepared.0)
}
