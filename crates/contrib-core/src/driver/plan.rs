//! What a call is, once it was checked: tensors with their axes merged, and the kernels that were selected for them.

use super::kernel_selection::KernelSelection;
use super::prepared::PreparedMatrices;
use super::projection::Projection;
use super::results::Results;
use super::vectors::Vectors;
use crate::axes::{Dims, Storage, count};
use crate::dispatch::Arithmetic;
use crate::dtype::DType;
use crate::error::Error;
use crate::indices::{IndexType, Indices};
use crate::instruction_set::InstructionSet;
use crate::memory::try_box;
use crate::norm::Reduction;
use crate::options::Options;
use crate::tensor::Tensor;
use std::ops::Range;

/// A whole for each batch item.
#[derive(Clone, Copy)]
pub(crate) struct WholePlan<'a> {
    pub(super) vectors: Vectors<'a>,
    /// How many there are.
    pub(super) items: usize,
    /// Measures the wholes themselves.
    pub(super) to_norm: KernelSelection,
}

/// One group of parts and where its results go.
pub(crate) struct GroupPlan<'a> {
    pub(super) parts: PartsPlan<'a>,
    pub(super) results: Results<'a>,
    /// How many parts there are.
    pub(super) count: usize,
}

/// The parts of a group. Dense ones need no heap; factored ones take no stack where all are dense.
pub(super) enum PartsPlan<'a> {
    Dense(DensePlan<'a>),
    Factored(Box<FactoredPlan<'a>>),
}

/// Parts that are given as vectors.
pub(super) struct DensePlan<'a> {
    pub(super) vectors: Vectors<'a>,
    /// Measures distances, in `f64`.
    pub(super) to_distances: KernelSelection,
    /// Measures distance reductions, in `f32`, where norm and types have them.
    pub(super) to_reductions: Option<KernelSelection>,
}

/// The tensors of a factored group, each with all of its axes: directions `[p.., v.., d]` or values `[p.., v.., r]` with a
/// projection `[p.., r, d]`, scale `[v.., d]`.
#[derive(Clone, Copy)]
pub(crate) struct FactoredTensors<'a> {
    pub(crate) coefficients: CoefficientTensors<'a>,
    pub(crate) directions: Tensor<'a>,
    pub(crate) projection: Option<Tensor<'a>>,
    /// The matrices of the projection, where the caller prepared them.
    pub(crate) prepared: Option<&'a PreparedMatrices>,
    pub(crate) scale: Option<Tensor<'a>>,
    pub(crate) leave_out_zeros: bool,
}

/// The tensors of the coefficients of a group.
#[derive(Clone, Copy)]
pub(crate) enum CoefficientTensors<'a> {
    /// `[p.., v..]`
    Given(Tensor<'a>),
    Softmax(ScoreTensors<'a>),
}

/// The tensors that scores are made of, each with all of its axes: queries and keys `[p.., v.., d]`, slopes and sinks `p..` but
/// for the last, mask `[p.., v..]`, positions of queries `v..` and of keys `[k, v..]`; and the numbers.
#[derive(Clone, Copy)]
pub(crate) struct ScoreTensors<'a> {
    pub(crate) queries: Tensor<'a>,
    pub(crate) keys: Tensor<'a>,
    pub(crate) slopes: Option<Tensor<'a>>,
    pub(crate) sinks: Option<Tensor<'a>>,
    pub(crate) mask: Option<Tensor<'a>>,
    pub(crate) query_positions: Option<Indices<'a>>,
    pub(crate) key_positions: Option<Indices<'a>>,
    pub(crate) score_scale: f64,
    pub(crate) soft_cap: Option<f64>,
    pub(crate) causal: bool,
    pub(crate) window: Option<usize>,
    pub(crate) first_query: i64,
}

/// Parts that are given as coefficients times directions.
pub(super) struct FactoredPlan<'a> {
    pub(super) coefficients: CoefficientsPlan<'a>,
    /// The directions, or the values that the projection makes directions of.
    pub(super) directions: Vectors<'a>,
    pub(super) projection: Option<Projection<'a>>,
    prepared: Option<Prepared>,
    pub(super) scale: Option<Vectors<'a>>,
    pub(super) leave_out_zeros: bool,
    /// What the elements of a part reduce; without it each part is materialised, in `f64`.
    pub(super) reduction: Option<Reduction>,
    /// Whether a tensor is in `f64`, so that everything is calculated in it.
    pub(super) in_f64: bool,
    /// Measures parts that are materialised in `f64`.
    pub(super) to_distances: KernelSelection,
    pub(super) set: InstructionSet,
}

/// Where coefficients come from.
pub(super) enum CoefficientsPlan<'a> {
    Given(Numbers<'a>),
    Softmax(ScoresPlan<'a>),
}

/// A number for each part and whole.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    pub(super) data: *const u8,
    pub(super) dtype: DType,
    pub(super) parts: Dims<'a>,
    pub(super) batch: Dims<'a>,
}

// SAFETY: the numbers are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Numbers<'_> {}

impl<'a> Numbers<'a> {
    /// Those of a tensor whose first axes are of parts.
    fn new(tensor: &Tensor<'_>, part_axes: usize, storage: &mut Storage<'a>) -> Self {
        Numbers {
            data: tensor.data(),
            dtype: tensor.dtype(),
            parts: tensor.axes.merged(0..part_axes, storage),
            batch: tensor.axes.merged(part_axes..tensor.shape().len(), storage),
        }
    }
}

/// Scores, of which a softmax makes coefficients.
pub(super) struct ScoresPlan<'a> {
    pub(super) queries: Vectors<'a>,
    pub(super) keys: Vectors<'a>,
    /// Keys of a query.
    pub(super) count: usize,
    /// A number for each query of one batch item: [`Numbers`] whose parts are spans.
    pub(super) slopes: Option<Numbers<'a>>,
    pub(super) sinks: Option<Numbers<'a>>,
    pub(super) mask: Option<Numbers<'a>>,
    pub(super) query_positions: Positions<'a>,
    pub(super) key_positions: Positions<'a>,
    pub(super) score_scale: f64,
    pub(super) soft_cap: Option<f64>,
    pub(super) causal: bool,
    /// In positions.
    pub(super) window: Option<i64>,
}

/// The positions of queries, of which each batch item is one; or of keys, of which it has some.
pub(super) enum Positions<'a> {
    /// The first, which the others follow one by one: for queries along the last batch axis, of this extent.
    Consecutive(i64, usize),
    Given(IndexType, Numbers<'a>),
}

impl Positions<'_> {
    /// The position of the key with this index, of the batch item with that index; or of the query that it is.
    pub(super) fn get(&self, index: usize, item: usize) -> i64 {
        match self {
            &Positions::Consecutive(first, extent) => first.saturating_add((index + item % extent) as i64),
            Positions::Given(index_type, numbers) => {
                let offset = numbers.parts.offset(index) + numbers.batch.offset(item);
                // SAFETY: the element belongs to the tensor, whose elements are of this type.
                unsafe {
                    match index_type {
                        IndexType::I32 => i64::from(numbers.data.cast::<i32>().wrapping_offset(offset).read()),
                        IndexType::I64 => numbers.data.cast::<i64>().wrapping_offset(offset).read(),
                    }
                }
            }
        }
    }
}

impl<'a> ScoresPlan<'a> {
    fn new(tensors: &ScoreTensors<'_>, part_axes: usize, storage: &mut Storage<'a>) -> Self {
        let shape = tensors.keys.shape();
        let (count, batch) = (shape[part_axes - 1], &shape[part_axes..shape.len() - 1]);
        let mut positions = |given: &Option<Indices<'_>>, part_axes, first, extent| match given {
            None => Positions::Consecutive(first, extent),
            Some(given) => Positions::Given(given.index_type(), Numbers::new(given.as_tensor(), part_axes, storage)),
        };
        let extent = batch.last().copied().unwrap_or(1).max(1);
        let query_positions = positions(&tensors.query_positions, 0, tensors.first_query, extent);
        let key_positions = positions(&tensors.key_positions, 1, 0, 1);
        let mut numbers =
            |given: &Option<Tensor<'_>>, part_axes| given.as_ref().map(|given| Numbers::new(given, part_axes, storage));
        ScoresPlan {
            count,
            slopes: numbers(&tensors.slopes, part_axes - 1),
            sinks: numbers(&tensors.sinks, part_axes - 1),
            mask: numbers(&tensors.mask, part_axes),
            query_positions,
            key_positions,
            queries: Vectors::new(&tensors.queries, part_axes, storage),
            keys: Vectors::new(&tensors.keys, part_axes, storage),
            score_scale: tensors.score_scale,
            soft_cap: tensors.soft_cap,
            causal: tensors.causal,
            window: tensors.window.map(|window| i64::try_from(window).unwrap_or(i64::MAX)),
        }
    }

    /// The keys that the query of a batch item may see, whatever else it is given.
    pub(super) fn visible(&self, item: usize) -> Range<usize> {
        if self.has_given_keys() {
            return 0..self.count;
        }
        let query = self.query_positions.get(0, item);
        let below = |position: i64| usize::try_from(position).map_or(0, |position| position.min(self.count));
        let end = if self.causal { below(query.saturating_add(1)) } else { self.count };
        let start = self.window.map_or(0, |window| below(query.saturating_sub(window).saturating_add(1)));
        start.min(end)..end
    }

    /// Whether the positions of keys were given one by one.
    pub(super) fn has_given_keys(&self) -> bool {
        matches!(self.key_positions, Positions::Given(..))
    }

    /// Whether a query may see a key, at these positions.
    pub(super) fn allows(&self, query: i64, key: i64) -> bool {
        let is_in_window = self.window.is_none_or(|window| key > query.saturating_sub(window));
        key >= 0 && (!self.causal || key <= query) && is_in_window
    }
}

/// Matrices that the caller prepared.
#[derive(Clone, Copy)]
struct Prepared(*const PreparedMatrices);

// SAFETY: the matrices are only read, as long as a call lasts, from any thread.
unsafe impl Sync for Prepared {}

impl FactoredPlan<'_> {
    /// The matrices of the projection, where the caller prepared them for calculation in `N`.
    pub(super) fn prepared<N: Arithmetic>(&self) -> Option<&PreparedMatrices<N>> {
        // SAFETY: the caller's object is borrowed as long as the call lasts, and the plan with it.
        self.prepared.and_then(|Prepared(matrices)| unsafe { &*matrices }.of_numbers())
    }
}

impl<'a> WholePlan<'a> {
    /// The wholes of a tensor `[v.., d]`.
    pub(crate) fn new(whole: &Tensor<'_>, options: &Options<'_>, storage: &mut Storage<'a>) -> Self {
        let vectors = Vectors::new(whole, 0, storage);
        let batch_axes = whole.shape().len() - 1;
        WholePlan {
            vectors,
            items: count(&whole.shape()[..batch_axes]),
            to_norm: KernelSelection::to_distances(options, vectors.dtype, vectors.dtype),
        }
    }
}

impl<'a> GroupPlan<'a> {
    /// The group of dense parts `[p.., v.., d]`, with so many part axes.
    pub(crate) fn dense(
        parts: &Tensor<'_>,
        part_axes: usize,
        results: Results<'a>,
        whole: &WholePlan<'_>,
        options: &Options<'_>,
        storage: &mut Storage<'a>,
    ) -> Self {
        let vectors = Vectors::new(parts, part_axes, storage);
        let plan = DensePlan {
            vectors,
            to_distances: KernelSelection::to_distances(options, vectors.dtype, whole.vectors.dtype),
            to_reductions: KernelSelection::to_reductions(options, vectors.dtype, whole.vectors.dtype),
        };
        GroupPlan { parts: PartsPlan::Dense(plan), results, count: count(&parts.shape()[..part_axes]) }
    }

    /// The group of factored parts whose coefficients are `[p.., v..]`, with so many part axes. `None` without memory.
    #[inline(never)]
    pub(crate) fn factored(
        tensors: &FactoredTensors<'_>,
        part_axes: usize,
        results: Results<'a>,
        whole: &WholePlan<'_>,
        options: &Options<'_>,
        storage: &mut Storage<'a>,
    ) -> Option<Self> {
        let FactoredTensors { coefficients, directions, projection, prepared, scale, leave_out_zeros } = *tensors;
        let (of_coefficients, coefficients) = match &coefficients {
            CoefficientTensors::Given(given) => {
                ([Some(*given), None], CoefficientsPlan::Given(Numbers::new(given, part_axes, storage)))
            }
            CoefficientTensors::Softmax(given) => (
                [Some(given.queries), Some(given.keys)],
                CoefficientsPlan::Softmax(ScoresPlan::new(given, part_axes, storage)),
            ),
        };
        let count = count(&directions.shape()[..part_axes]);
        let [first, second] = of_coefficients;
        let all = [first, second, Some(directions), projection, scale];
        let is_f64 = |tensor: &Tensor<'_>| tensor.dtype() == DType::F64;
        let plan = FactoredPlan {
            coefficients,
            directions: Vectors::new(&directions, part_axes, storage),
            projection: projection.map(|tensor| Projection::new(&tensor, part_axes, storage)),
            prepared: prepared.map(|matrices| Prepared(&raw const *matrices)),
            scale: scale.map(|tensor| Vectors::new(&tensor, 0, storage)),
            leave_out_zeros,
            reduction: options.norm.reduction().filter(|_| scale.is_none()),
            in_f64: whole.vectors.dtype == DType::F64 || all.iter().flatten().any(is_f64),
            to_distances: KernelSelection::to_distances(options, DType::F64, whole.vectors.dtype),
            set: options.instruction_set(),
        };
        Some(GroupPlan { parts: PartsPlan::Factored(try_box(plan)?), results, count })
    }

    /// The plan of its parts, where they are dense.
    pub(super) fn dense_parts(&self) -> Option<&DensePlan<'_>> {
        match &self.parts {
            PartsPlan::Dense(plan) => Some(plan),
            PartsPlan::Factored(_) => None,
        }
    }

    /// The plan of its parts, where they are factored.
    pub(super) fn factored_parts(&self) -> Option<&FactoredPlan<'_>> {
        match &self.parts {
            PartsPlan::Dense(_) => None,
            PartsPlan::Factored(plan) => Some(plan),
        }
    }
}

/// The parts of all groups, or an error where no memory could have a number for each.
pub(super) fn count_parts(groups: &[GroupPlan<'_>]) -> Result<usize, Error> {
    let parts = groups.iter().try_fold(0_usize, |parts, group| parts.checked_add(group.count));
    parts.ok_or_else(|| Error::out_of_memory(usize::MAX))
}

/// The most candidates that the results of a group need memory for, in each thread.
pub(super) fn most_candidates(groups: &[GroupPlan<'_>]) -> usize {
    groups.iter().map(|group| group.results.candidates()).max().unwrap_or(0)
}
