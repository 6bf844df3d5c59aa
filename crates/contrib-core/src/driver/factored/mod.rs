//! Factored parts: a coefficient for each part and whole, times a direction that many wholes share.
//!
//! [`chunk`] takes some wholes at a time; [`work`] brings their coefficients together with tiles of directions, which
//! [`tile`] reads or projects, in panels: sixteen parts in the lanes of a vector. In the 1-norm and the 2-norm the gain of a
//! part is mostly an inner product of whole and direction ([`gains`]); other norms, inputs in `f64` and scaled parts are
//! written out and measured as dense parts are ([`written_out`]).

pub(super) mod chunk;
mod gains;
mod tile;
mod work;
mod written_out;

use super::Vectors;
use super::route::Route;
use crate::axes::Axes;
use crate::dtype::{DType, Element, with_element};
use crate::instruction_set::InstructionSet;
use crate::lanes::{LANES, Line, Number};
use crate::norm::Norm;
use crate::options::Options;
use crate::tensor::Tensor;
use gains::Wholes;
use tile::{Lengths, Projection};

/// The tensors of a group, each with all of its axes: coefficients `[p.., v..]`, directions `[p.., v.., d]` or values
/// `[p.., v.., r]` with a projection `[p.., r, d]`, scale `[v.., d]`.
#[derive(Clone, Copy)]
pub(crate) struct FactoredTensors<'a> {
    pub(crate) coefficients: Tensor<'a>,
    pub(crate) directions: Tensor<'a>,
    pub(crate) projection: Option<Tensor<'a>>,
    pub(crate) scale: Option<Tensor<'a>>,
    pub(crate) leave_out_zeros: bool,
}

/// How a gain follows from an inner product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gain {
    Magnitudes,
    Squares,
}

/// The same as the driver reads it.
#[derive(Clone, Copy)]
pub(super) struct FactoredParts {
    coefficients: Coefficients,
    directions: Vectors,
    projection: Option<Projection>,
    scale: Option<Vectors>,
    leave_out_zeros: bool,
    /// How gains are taken, in `f32`. Otherwise distances are, in `f64`.
    gain: Option<Gain>,
    /// For parts that are written out in `f64`.
    to_distances: Route,
    set: InstructionSet,
}

#[derive(Clone, Copy)]
struct Coefficients {
    data: *const u8,
    dtype: DType,
    parts: Axes,
    batch: Axes,
}

// SAFETY: coefficients are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Coefficients {}

/// How far the coefficients of a panel of parts lie from the first one of their whole, in elements.
#[derive(Clone, Copy, Default)]
struct Offsets {
    all: [isize; LANES],
    count: usize,
    /// Whether there are [`LANES`], one after the other.
    are_neighbours: bool,
}

impl Offsets {
    /// The next `count` offsets.
    fn take(count: usize, mut next: impl FnMut() -> isize) -> Self {
        let mut all = [0; LANES];
        all[..count].fill_with(&mut next);
        let are_neighbours = count == LANES && all.iter().zip(all[0]..).all(|(&offset, next)| offset == next);
        Offsets { all, count, are_neighbours }
    }
}

impl Coefficients {
    /// Reads those of a panel of the whole whose first one is at `base`, in elements. What is not there is 0.
    #[inline]
    fn read<N: Number>(&self, base: isize, offsets: &Offsets, to: &mut Line<N>) {
        with_element!(self.dtype, T => {
            let start = self.data.cast::<T>().wrapping_offset(base);
            if offsets.are_neighbours {
                // SAFETY: the elements belong to the view of the coefficients.
                let elements = unsafe { start.wrapping_offset(offsets.all[0]).cast::<[T; LANES]>().read() };
                to.0 = elements.map(|element| N::of(element.to_f64()));
            } else {
                to.0.fill(N::ZERO);
                for (to, &offset) in to.0.iter_mut().zip(&offsets.all[..offsets.count]) {
                    // SAFETY: as above.
                    *to = N::of(unsafe { start.wrapping_offset(offset).read() }.to_f64());
                }
            }
        });
    }
}

impl FactoredParts {
    pub(super) fn new(tensors: &FactoredTensors<'_>, part_axes: usize, whole: &Vectors, options: &Options<'_>) -> Self {
        let FactoredTensors { coefficients, directions, projection, scale, leave_out_zeros } = *tensors;
        let all = [Some(coefficients), Some(directions), projection, scale];
        let in_f64 = whole.dtype == DType::F64 || all.iter().flatten().any(|tensor| tensor.dtype() == DType::F64);
        let gain = match options.norm {
            Norm::ONE => Some(Gain::Magnitudes),
            Norm::TWO => Some(Gain::Squares),
            _ => None,
        };
        FactoredParts {
            coefficients: Coefficients {
                data: coefficients.data(),
                dtype: coefficients.dtype(),
                parts: coefficients.axes.merged(0..part_axes),
                batch: coefficients.axes.merged(part_axes..coefficients.shape().len()),
            },
            directions: Vectors::new(&directions, part_axes),
            projection: projection.map(|tensor| Projection {
                data: tensor.data(),
                dtype: tensor.dtype(),
                parts: tensor.axes.merged(0..part_axes),
                rows: tensor.shape()[part_axes],
                row_stride: tensor.strides()[part_axes],
                stride: tensor.strides()[part_axes + 1],
            }),
            scale: scale.map(|tensor| Vectors::new(&tensor, 0)),
            leave_out_zeros,
            gain: gain.filter(|_| !in_f64 && scale.is_none()),
            to_distances: Route::to_distances(options, DType::F64, whole.dtype),
            set: options.instruction_set(),
        }
    }

    /// The lengths of what is kept of parts, and of wholes beside them.
    fn lengths(&self, d: usize) -> Lengths {
        Lengths::new(d, self.projection.as_ref().map(|projection| projection.rows))
    }

    /// Bytes that each whole of a chunk takes beside its norm and the proximities of its parts.
    pub(super) fn bytes_of_whole(&self, d: usize) -> usize {
        Wholes::bytes_of_one(self.gain, self.lengths(d))
    }
}
