//! Whether the tensors of a call share memory where one of them is written.
//!
//! Two strided tensors are compared element by element, not by the ranges of their addresses, so that outputs can be
//! columns of one matrix or lie between the elements of an input ([`overlap`], [`overlaps_itself`]). Such a comparison
//! asks whether a sum of `coefficient * x`, with each integer `x` in `0..=limit`, falls into an interval. With the
//! strides of usual tensors the search takes a few steps. A search that takes too many steps reports an overlap: the
//! caller gets an error, never a wrong result.
//!
//! A call can have thousands of tensors, and most pairs of them need no such comparison ([`find_alias`]). Tensors that
//! share a byte share its address, and its address modulo any number `m`. A step along an axis whose stride is a
//! multiple of `m` does not change the address modulo `m`. So a tensor lies in one interval of a circle of `m` bytes,
//! which is as long as the tensor without such axes. Sorting finds the tensors whose intervals intersect:
//!
//! 1. Sort the tensors by address, and split them into clusters whose address ranges intersect.
//! 2. Within a cluster take the largest stride of an output as `m`, sort by address modulo `m`, and split again. This
//!    separates columns, and blocks of columns, of one matrix.
//! 3. Repeat with the next smaller stride in each cluster that is left.
//! 4. Compare the pairs whose intervals still intersect.

use crate::list::MAX_NDIM;
use crate::tensor::Tensor;

/// Steps after which a search gives up.
const MAX_STEPS: usize = 100_000;

/// Up to so many tensors, all pairs are compared, because this allocates nothing.
const FEW: usize = 8;

/// The most strides that are tried as the modulus for the tensors of a cluster.
const MAX_MODULI: usize = MAX_NDIM;

/// The most tensors of a cluster whose intervals may cover the whole circle. Each of them is compared with all others.
const MAX_WIDE: usize = 16;

/// An output that shares memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// The index of the output.
    pub(crate) output: usize,
    pub(crate) with: Other,
}

/// What an output shares memory with. An index counts inputs or outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// Two elements of the output share memory.
    Itself,
    Input(usize),
    /// An output before it.
    Output(usize),
}

/// Memory for the search that the allocator did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// The first output that shares memory with itself, an input or an earlier output, and the first of these with which it
/// does, in that order.
///
/// The result is the same as that of comparing all pairs. `n` separate tensors, or `n` blocks of columns of one matrix,
/// take `O(n log n)` steps. Allocates nothing for at most [`FEW`] tensors.
pub(crate) fn find_alias<'a>(
    inputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
    outputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
) -> Result<Option<Alias>, OutOfMemory> {
    if inputs.clone().chain(outputs.clone()).nth(FEW).is_some() {
        return find_among_many(inputs, outputs);
    }
    Ok(find_among_few(inputs, outputs))
}

/// Compares all pairs.
fn find_among_few<'a>(
    inputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
    outputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
) -> Option<Alias> {
    outputs.clone().enumerate().find_map(|(output, tensor)| {
        let shares = |other| overlap(tensor, other);
        let with = if overlaps_itself(tensor) {
            Some(Other::Itself)
        } else if let Some(input) = inputs.clone().position(shares) {
            Some(Other::Input(input))
        } else {
            outputs.clone().take(output).position(shares).map(Other::Output)
        };
        with.map(|with| Alias { output, with })
    })
}

/// Compares the pairs that sorting has not shown to lie apart.
fn find_among_many<'a>(
    inputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
    outputs: &(impl Iterator<Item = &'a Tensor<'a>> + Clone),
) -> Result<Option<Alias>, OutOfMemory> {
    let input_count = inputs.clone().count();
    let count = input_count + outputs.clone().count();
    let mut places = Vec::new();
    if places.try_reserve_exact(count).is_err() {
        return Err(OutOfMemory { bytes: count.saturating_mul(size_of::<Place<'_>>()) });
    }
    places.extend(inputs.clone().chain(outputs.clone()).enumerate().filter_map(|(rank, tensor)| {
        let (start, end) = tensor.addresses();
        (start < end).then_some(Place { tensor, rank, start, end })
    }));
    let itself = outputs.clone().position(overlaps_itself).map(|output| (input_count + output, None));
    let mut search = Search { input_count, first: itself };
    places.sort_unstable_by_key(|place| place.start);
    search.split(&mut places, usize::MAX, MAX_MODULI);
    Ok(search.first.map(|(later, earlier)| Alias {
        output: later - input_count,
        with: match earlier {
            None => Other::Itself,
            Some(rank) if rank < input_count => Other::Input(rank),
            Some(rank) => Other::Output(rank - input_count),
        },
    }))
}

/// A tensor with elements, and an interval in which its addresses lie, modulo some number.
#[derive(Clone, Copy)]
struct Place<'a> {
    tensor: &'a Tensor<'a>,
    /// The index of the tensor among the inputs and, after them, the outputs.
    rank: usize,
    start: usize,
    /// Not reduced by the modulus: greater than it where the interval wraps around.
    end: usize,
}

impl Place<'_> {
    /// The distances in bytes along axes of more than one element, and the number of steps along each.
    fn steps(&self) -> impl Iterator<Item = (usize, usize)> {
        let size = self.tensor.dtype().size();
        let axes = self.tensor.shape().iter().zip(self.tensor.strides());
        // A checked tensor has no more bytes from its first to its last than an `isize` can count.
        axes.filter(|&(&extent, _)| extent > 1)
            .map(move |(&extent, &stride)| (stride.unsigned_abs() * size, extent - 1))
    }

    /// The address of its first byte.
    fn lowest(&self) -> usize {
        let axes = self.tensor.shape().iter().zip(self.tensor.strides());
        let below = axes.filter(|&(&extent, &stride)| extent > 1 && stride < 0);
        let size = self.tensor.dtype().size();
        let below: usize = below.map(|(&extent, &stride)| (extent - 1) * stride.unsigned_abs() * size).sum();
        self.tensor.data().addr() - below
    }

    /// The length of the interval in which its addresses lie modulo `modulus`.
    fn len_modulo(&self, modulus: usize) -> usize {
        let reach: usize =
            self.steps().filter(|&(step, _)| !step.is_multiple_of(modulus)).map(|(step, limit)| step * limit).sum();
        reach + self.tensor.dtype().size()
    }
}

/// A search among many tensors for the first alias.
struct Search {
    input_count: usize,
    /// The first alias of those found so far: the rank of the output, and that of the other tensor unless it is the output
    /// itself. Tuples are ordered as aliases are.
    first: Option<(usize, Option<usize>)>,
}

impl Search {
    /// Searches places that are sorted by `start`, one cluster after the other. Their intervals are those modulo `modulus`,
    /// and none wraps around.
    fn split(&mut self, mut places: &mut [Place<'_>], modulus: usize, moduli_left: usize) {
        while let Some(first) = places.first() {
            let mut end = first.end;
            let joins = |place: &&Place<'_>| {
                let joins = place.start < end;
                end = end.max(place.end);
                joins
            };
            let len = places.iter().take_while(joins).count();
            let (cluster, rest) = places.split_at_mut(len);
            self.search(cluster, modulus, moduli_left);
            places = rest;
        }
    }

    /// Searches places that are sorted by `start`: splits them by a smaller modulus, or compares them.
    fn search(&mut self, cluster: &mut [Place<'_>], modulus: usize, mut moduli_left: usize) {
        let outputs = || cluster.iter().filter(|place| place.rank >= self.input_count);
        if cluster.len() < 2 || outputs().next().is_none() {
            return;
        }
        let smaller_than =
            |limit| outputs().flat_map(Place::steps).map(|(step, _)| step).filter(|&step| step < limit).max();
        let mut smaller = smaller_than(modulus);
        while let Some(modulus) = smaller.filter(|&modulus| modulus > 0 && moduli_left > 0) {
            moduli_left -= 1;
            let wide = cluster.iter().filter(|place| place.len_modulo(modulus) >= modulus).count();
            if wide <= MAX_WIDE.min(cluster.len() / 2) {
                return self.search_modulo(cluster, modulus, moduli_left);
            }
            smaller = smaller_than(modulus);
        }
        self.compare_intersecting(cluster, modulus);
    }

    /// Sorts by address modulo `modulus`, and searches on.
    fn search_modulo(&mut self, places: &mut [Place<'_>], modulus: usize, moduli_left: usize) {
        for place in &mut *places {
            place.start = place.lowest() % modulus;
            place.end = place.start + place.len_modulo(modulus);
        }
        let is_wide = |place: &Place<'_>| place.end - place.start >= modulus;
        places.sort_unstable_by_key(|place| (!is_wide(place), place.start));
        let wide = places.partition_point(is_wide);
        for index in 0..wide {
            for other in &places[index + 1..] {
                self.compare(&places[index], other);
            }
        }
        let places = &mut places[wide..];
        // The circle can be cut where an interval starts that no other one covers there.
        let mut covered = places.iter().map(|place| place.end).max().unwrap_or(0).saturating_sub(modulus);
        let cut = places.iter().position(|place| {
            let is_free = covered <= place.start;
            covered = covered.max(place.end);
            is_free
        });
        let Some(cut) = cut else { return self.search(places, modulus, moduli_left) };
        places.rotate_left(cut);
        let origin = places[0].start;
        for place in &mut *places {
            let len = place.end - place.start;
            place.start = (place.start + modulus - origin) % modulus;
            place.end = place.start + len;
        }
        self.split(places, modulus, moduli_left);
    }

    /// Compares the pairs of places whose intervals intersect. The places are sorted by `start`.
    fn compare_intersecting(&mut self, places: &[Place<'_>], modulus: usize) {
        for (index, place) in places.iter().enumerate() {
            // Of two intervals that intersect, one has the start of the other in it, perhaps after wrapping around.
            let after = places[index + 1..].iter().map(|other| (other, other.start));
            let wrapped = places[..index].iter().map(|other| (other, other.start.saturating_add(modulus)));
            for (other, _) in after.chain(wrapped).take_while(|&(_, start)| start < place.end) {
                self.compare(place, other);
            }
        }
    }

    /// Compares two tensors, unless neither is written or an alias before theirs is known.
    fn compare(&mut self, a: &Place<'_>, b: &Place<'_>) {
        let alias = (a.rank.max(b.rank), Some(a.rank.min(b.rank)));
        let is_sought = alias.0 >= self.input_count && self.first.is_none_or(|first| alias < first);
        if is_sought && overlap(a.tensor, b.tensor) {
            self.first = Some(alias);
        }
    }
}

/// `coefficient * x`, for an integer `x` in `0..=limit`.
#[derive(Clone, Copy, Default)]
struct Term {
    coefficient: i128,
    limit: i128,
}

/// The terms of a sum: at most those of two tensors.
struct Terms {
    items: [Term; 2 * MAX_NDIM],
    len: usize,
}

impl Terms {
    fn new() -> Self {
        Terms { items: [Term::default(); 2 * MAX_NDIM], len: 0 }
    }

    /// Adds a term, or widens the one that has the same coefficient.
    fn add(&mut self, coefficient: i128, limit: i128) {
        if limit <= 0 || coefficient == 0 {
            return;
        }
        if let Some(term) = self.items[..self.len].iter_mut().find(|term| term.coefficient == coefficient) {
            term.limit += limit;
        } else {
            self.items[self.len] = Term { coefficient, limit };
            self.len += 1;
        }
    }

    /// Whether the sum falls into `low..=high` for some values of the `x`.
    fn can_reach(mut self, low: i128, high: i128) -> bool {
        let terms = &mut self.items[..self.len];
        terms.sort_unstable_by_key(|term| std::cmp::Reverse(term.coefficient));
        let mut steps = 0;
        search(terms, low, high, &mut steps)
    }
}

/// Whether a sum of the terms, which are sorted by coefficient, falls into `low..=high`. The largest coefficient comes
/// first, because what the smaller terms can add leaves few choices for it.
fn search(terms: &[Term], low: i128, high: i128, steps: &mut usize) -> bool {
    if low <= 0 && high >= 0 {
        return true;
    }
    *steps += 1;
    if *steps > MAX_STEPS {
        return true;
    }
    let Some((term, rest)) = terms.split_first() else { return false };
    let rest_max: i128 = rest.iter().map(|term| term.coefficient * term.limit).sum();
    let first = (low - rest_max + term.coefficient - 1).div_euclid(term.coefficient).max(0);
    let last = high.div_euclid(term.coefficient).min(term.limit);
    (first..=last).any(|x| search(rest, low - x * term.coefficient, high - x * term.coefficient, steps))
}

/// The lowest address of the tensor's elements and, from it, the distances along its axes, in bytes.
fn bytes<'a>(tensor: &'a Tensor<'_>) -> (i128, impl Iterator<Item = (i128, i128)> + 'a) {
    let size = tensor.dtype().size() as i128;
    let axes = move || {
        tensor.shape().iter().zip(tensor.strides()).map(move |(&n, &stride)| (n as i128 - 1, stride as i128 * size))
    };
    let lowest = tensor.data().addr() as i128 + axes().map(|(limit, step)| (limit * step).min(0)).sum::<i128>();
    (lowest, axes().map(|(limit, step)| (limit, step.abs())))
}

/// Whether some byte belongs to both tensors.
fn overlap(a: &Tensor<'_>, b: &Tensor<'_>) -> bool {
    let ((a_start, a_end), (b_start, b_end)) = (a.addresses(), b.addresses());
    if a_end <= b_start || b_end <= a_start {
        return false;
    }
    #[cfg(test)]
    tests::COMPARISONS.set(tests::COMPARISONS.get() + 1);
    let (a_lowest, a_axes) = bytes(a);
    let (b_lowest, b_axes) = bytes(b);
    // An element of `a` at `a_lowest + i` and one of `b` at `b_highest - j` share a byte if their distance is smaller
    // than the size of the lower one. So `i + j`, a sum of non-negative terms, lies in an interval.
    let mut terms = Terms::new();
    a_axes.for_each(|(limit, step)| terms.add(step, limit));
    let mut b_highest = b_lowest;
    b_axes.for_each(|(limit, step)| {
        b_highest += limit * step;
        terms.add(step, limit);
    });
    let distance = b_highest - a_lowest;
    terms.can_reach(distance - (a.dtype().size() as i128 - 1), distance + (b.dtype().size() as i128 - 1))
}

/// Whether two elements of the tensor lie at the same address.
fn overlaps_itself(tensor: &Tensor<'_>) -> bool {
    if tensor.addresses().0 == tensor.addresses().1 {
        return false;
    }
    let mut axes: [Term; MAX_NDIM] = [Term::default(); MAX_NDIM];
    let mut len = 0;
    for (limit, step) in bytes(tensor).1.filter(|&(limit, _)| limit > 0) {
        if step == 0 {
            return true;
        }
        axes[len] = Term { coefficient: step, limit };
        len += 1;
    }
    let axes = &mut axes[..len];
    axes.sort_unstable_by_key(|axis| axis.coefficient);
    let mut reach = 0;
    let nested = axes.iter().all(|axis| {
        let is_longer = axis.coefficient > reach;
        reach += axis.coefficient * axis.limit;
        is_longer
    });
    // If each step is longer than all smaller axes together, no two elements share memory. Otherwise, look for two
    // indices that differ first on axis `k`, by at least one, and on each later axis by -limit to limit, and whose
    // elements have the same address.
    !nested
        && (0..len).any(|k| {
            let mut terms = Terms::new();
            terms.add(axes[k].coefficient, axes[k].limit - 1);
            let mut target = -axes[k].coefficient;
            for axis in &axes[k + 1..] {
                terms.add(axis.coefficient, 2 * axis.limit);
                target += axis.coefficient * axis.limit;
            }
            target >= 0 && terms.can_reach(target, target)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::axes::{Axes, Dim, Storage};
    use crate::list::List;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::HashSet;

    thread_local! {
        /// How many pairs this thread has compared element by element.
        pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    static MEMORY: [f32; 400] = [0.0; 400];

    fn tensor(offset: usize, axes: &[(usize, isize)]) -> Option<Tensor<'static>> {
        let (shape, strides): (Vec<usize>, Vec<isize>) = axes.iter().copied().unzip();
        Tensor::strided(&MEMORY, offset, &shape, &strides).ok()
    }

    fn addresses(tensor: &Tensor<'_>) -> Vec<isize> {
        let base = (tensor.data().addr() / 4) as isize;
        offsets(tensor).map(|offset| base + offset).collect()
    }

    /// The offsets of all elements, one after the other.
    fn offsets(tensor: &Tensor<'_>) -> impl Iterator<Item = isize> {
        let mut storage = [Dim::default(); MAX_NDIM];
        let mut walk = tensor.axes.merged(0..tensor.shape().len(), &mut Storage(&mut storage)).walk_from(0);
        (0..tensor.axes.count()).map(|_| walk.next_offset()).collect::<Vec<_>>().into_iter()
    }

    fn some_axes() -> impl Strategy<Value = Vec<(usize, isize)>> {
        prop::collection::vec((0_usize..5, -12_isize..13), 0..4)
    }

    proptest! {
        #[test]
        fn overlap_is_what_comparing_all_addresses_says(
            a in (0_usize..400, some_axes()), b in (0_usize..400, some_axes())
        ) {
            let (Some(a), Some(b)) = (tensor(a.0, &a.1), tensor(b.0, &b.1)) else { return Ok(()) };
            let in_a: HashSet<isize> = addresses(&a).into_iter().collect();
            let shared = addresses(&b).iter().any(|address| in_a.contains(address));
            prop_assert_eq!(overlap(&a, &b), shared);
            prop_assert_eq!(overlaps_itself(&a), in_a.len() < a.axes.count());
        }
    }

    #[test]
    fn columns_of_one_matrix_do_not_overlap() {
        let blocks = tensor(0, &[(20, 13), (12, 1)]).unwrap();
        let residual = tensor(12, &[(20, 13)]).unwrap();
        assert!(!overlap(&blocks, &residual));
        assert!(overlap(&blocks, &tensor(11, &[(20, 13)]).unwrap()));
    }

    #[test]
    fn elements_of_different_sizes_meet_by_bytes() {
        let half: &[half::f16] = &[half::f16::ZERO; 8];
        let halves = Tensor::new(half, &[8]).unwrap();
        // SAFETY: two of the halves' four bytes, which stay alive; zeros are valid numbers of either type.
        let float = unsafe { Tensor::from_raw_parts(half[2..].as_ptr().cast(), DType::F16, &[1], None) }.unwrap();
        assert!(overlap(&halves, &float));
    }

    static LARGE: [f64; 100_000] = [0.0; 100_000];

    /// A tensor of elements of `dtype`, of which the first is the one with the index `offset` in the memory.
    fn typed(dtype: DType, offset: usize, axes: &[(usize, isize)]) -> Option<Tensor<'static>> {
        let (shape, strides): (Vec<usize>, Vec<isize>) = axes.iter().copied().unzip();
        let all = Axes { extents: List::new(&shape), strides: List::new(&strides) };
        let (min, max) = all.span(dtype.size()).unwrap().unwrap_or((0, 0));
        let inside =
            offset as isize + min >= 0 && (offset as isize + max + 1) as usize * dtype.size() <= size_of_val(&LARGE);
        let data = LARGE.as_ptr().wrapping_byte_add(offset * dtype.size()).cast();
        // SAFETY: the elements lie inside a static array of zeros, which are valid numbers of any type.
        inside.then(|| unsafe { Tensor::from_raw_parts(data, dtype, &shape, Some(&strides)) }.unwrap())
    }

    fn floats(offset: usize, axes: &[(usize, isize)]) -> Tensor<'static> {
        typed(DType::F32, offset, axes).unwrap()
    }

    /// The addresses of the bytes of each element.
    fn elements(tensor: &Tensor<'_>) -> Vec<Vec<usize>> {
        let size = tensor.dtype().size();
        let start = |offset| tensor.data().addr().wrapping_add_signed(offset * size as isize);
        offsets(tensor).map(start).map(|start| (start..start + size).collect()).collect()
    }

    /// The first alias, from the addresses of all bytes.
    fn naive(inputs: &[Tensor<'_>], outputs: &[Tensor<'_>]) -> Option<Alias> {
        let bytes = |tensor| -> HashSet<usize> { elements(tensor).concat().into_iter().collect() };
        let of_inputs: Vec<_> = inputs.iter().map(bytes).collect();
        let of_outputs: Vec<_> = outputs.iter().map(bytes).collect();
        (0..outputs.len()).find_map(|output| {
            let of_output = &of_outputs[output];
            let shares = |other: &HashSet<usize>| !of_output.is_disjoint(other);
            let with = if of_output.len() < elements(&outputs[output]).concat().len() {
                Some(Other::Itself)
            } else if let Some(input) = of_inputs.iter().position(shares) {
                Some(Other::Input(input))
            } else {
                of_outputs[..output].iter().position(shares).map(Other::Output)
            };
            with.map(|with| Alias { output, with })
        })
    }

    /// The first alias as both ways of searching find it, and how many pairs sorting left to compare.
    #[track_caller]
    fn found(inputs: &[Tensor<'_>], outputs: &[Tensor<'_>]) -> (Option<Alias>, usize) {
        let before = COMPARISONS.get();
        let among_many = find_among_many(&inputs.iter(), &outputs.iter()).unwrap();
        let comparisons = COMPARISONS.get() - before;
        if inputs.len() + outputs.len() < 200 {
            let [inputs, outputs] = [inputs, outputs].map(|tensors| tensors.iter().collect::<Vec<_>>());
            assert_eq!(among_many, find_among_few(&inputs.iter().copied(), &outputs.iter().copied()));
        }
        assert_eq!(among_many, find_alias(&inputs.iter(), &outputs.iter()).unwrap());
        (among_many, comparisons)
    }

    /// Indices and axes of tensors in one matrix with rows of `columns` elements: blocks of some of its columns and of every
    /// row or every second one, in either direction.
    fn blocks_of_columns(columns: usize) -> impl Strategy<Value = Vec<(usize, Vec<(usize, isize)>)>> {
        let block = (0_usize..6, 0..columns, 1_usize..4, 1_usize..4, 1_isize..3, any::<[bool; 2]>());
        let block = block.prop_map(move |(row, column, rows, width, every, [up, swapped])| {
            let step = every * columns as isize * if up { -1 } else { 1 };
            let mut axes = vec![(rows, step), (width.min(columns - column), 1)];
            if swapped {
                axes.swap(0, 1);
            }
            ((8 + row) * columns + column, axes)
        });
        prop::collection::vec(block, 0..8)
    }

    fn dtypes() -> impl Strategy<Value = DType> {
        prop_oneof![Just(DType::F16), Just(DType::F32), Just(DType::F64)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_first_alias_of_any_tensors_is_what_comparing_all_addresses_says(
            tensors in prop::collection::vec((dtypes(), 0_usize..600, some_axes()), 0..8), input_count in 0_usize..8
        ) {
            let tensors: Vec<_> = tensors.iter().filter_map(|(dtype, at, axes)| typed(*dtype, *at, axes)).collect();
            let (inputs, outputs) = tensors.split_at(input_count.min(tensors.len()));
            prop_assert_eq!(found(inputs, outputs).0, naive(inputs, outputs));
        }

        #[test]
        fn the_first_alias_of_blocks_of_columns_is_what_comparing_all_addresses_says(
            blocks in (1_usize..24).prop_flat_map(blocks_of_columns), input_count in 0_usize..4, dtype in dtypes()
        ) {
            let tensors: Vec<_> = blocks.iter().map(|(at, axes)| typed(dtype, *at, axes).unwrap()).collect();
            let (inputs, outputs) = tensors.split_at(input_count.min(tensors.len()));
            prop_assert_eq!(found(inputs, outputs).0, naive(inputs, outputs));
        }
    }

    /// The tensors `tensor(0)`, `tensor(1)` and so on.
    fn family(len: usize, tensor: impl Fn(usize) -> Tensor<'static>) -> Vec<Tensor<'static>> {
        (0..len).map(tensor).collect()
    }

    /// Families of tensors of which none shares memory with another.
    fn separate_families(len: usize) -> Vec<(&'static str, Vec<Tensor<'static>>)> {
        let n = len as isize;
        vec![
            ("rows", family(len, |g| floats(5 * g, &[(5, 1)]))),
            ("columns", family(len, |g| floats(g, &[(5, n)]))),
            ("columns from the last row up", family(len, |g| floats(4 * len + g, &[(5, -n)]))),
            (
                "columns in either direction",
                family(len, |g| if g % 2 == 0 { floats(g, &[(5, n)]) } else { floats(4 * len + g, &[(5, -n)]) }),
            ),
            // Begins within a row, so that the last columns lie in the next row.
            ("columns that wrap around", family(len, |g| floats(len / 3 + g, &[(5, n)]))),
            ("blocks of columns", family(len, |g| floats(3 * g, &[(5, 3 * n), (3, 1)]))),
            (
                "blocks of columns of different widths",
                family(len, |g| floats(3 * g + g.min(1), &[(5, 3 * n), (if g == 0 { 4 } else { 2 }, 1)])),
            ),
            ("blocks of columns, a column at a time", family(len, |g| floats(3 * g, &[(3, 1), (5, 3 * n)]))),
            ("every second column of a block", family(len, |g| floats(4 * g, &[(5, 4 * n), (2, 2)]))),
            ("blocks of columns for two batch axes", family(len, |g| floats(2 * g, &[(3, 4 * n), (2, 2 * n), (2, 1)]))),
            ("columns of several matrices", family(len, |g| floats(15 * (g / 5) + g % 5, &[(3, 5)]))),
            (
                "columns in columns",
                family(len, |g| {
                    let (outer, inner) = (g / 4, g % 4);
                    let row = 8 * len.div_ceil(4) as isize;
                    floats(8 * outer + inner, &[(2, row), (2, 4)])
                }),
            ),
            ("scalars", family(len, |g| floats(g, &[]))),
            ("no elements", family(len, |_| floats(0, &[(0, 1), (5, 1)]))),
            (
                "elements of different sizes",
                family(len, |g| {
                    if g % 2 == 0 {
                        typed(DType::F64, g, &[(3, n)]).unwrap()
                    } else {
                        typed(DType::F16, 4 * g, &[(3, 4 * n), (4, 1)]).unwrap()
                    }
                }),
            ),
        ]
    }

    #[test]
    fn families_of_separate_tensors_are_separate_however_many_there_are() {
        for len in [2, 3, 7, 16, 17, 40] {
            for (name, tensors) in separate_families(len) {
                assert_eq!(naive(&[], &tensors), None, "{name}, {len}");
                for input_count in [0, 1, len / 2, len] {
                    let (inputs, outputs) = tensors.split_at(input_count);
                    assert_eq!(found(inputs, outputs).0, None, "{name}, {input_count} of {len} are inputs");
                }
            }
        }
    }

    #[test]
    fn sorting_shows_that_thousands_of_tensors_are_separate() {
        for len in [4000, 4001] {
            for (name, tensors) in separate_families(len) {
                for input_count in [0, len / 2] {
                    let (inputs, outputs) = tensors.split_at(input_count);
                    let (alias, comparisons) = found(inputs, outputs);
                    assert_eq!(alias, None, "{name}");
                    assert_eq!(comparisons, 0, "{name}: comparisons of {len} tensors");
                }
            }
        }
    }

    #[test]
    fn one_shared_element_among_thousands_of_outputs_is_found_and_the_first_is_named() {
        let len = 4000;
        for (name, tensors) in separate_families(len).into_iter().filter(|(name, _)| *name != "no elements") {
            for (output, other) in [(1, 0), (len - 1, 0), (2718, 1000), (3000, 2999)] {
                let mut tensors = tensors.clone();
                // The last two bytes of the other tensor.
                let end = tensors[other].addresses().1;
                let element = (end - LARGE.as_ptr().addr() - 2) / 2;
                tensors[output] = typed(DType::F16, element, &[(1, 7)]).unwrap();
                let as_outputs = Alias { output, with: Other::Output(other) };
                assert_eq!(found(&[], &tensors).0, Some(as_outputs), "{name}, {output} and {other}");
                let (inputs, outputs) = tensors.split_at(other + 1);
                let with_input = Alias { output: output - other - 1, with: Other::Input(other) };
                assert_eq!(found(inputs, outputs).0, Some(with_input), "{name}, {output} and {other}");
                // A later alias makes no difference.
                tensors.push(tensors[5]);
                assert_eq!(found(&[], &tensors).0, Some(as_outputs), "{name}, {output} and {other}");
            }
        }
    }

    #[test]
    fn an_output_that_shares_memory_with_itself_is_named_before_what_it_shares_with_others() {
        let mut tensors = separate_families(100).swap_remove(1).1;
        tensors[50] = floats(49, &[(2, 0)]);
        assert_eq!(found(&[], &tensors).0, Some(Alias { output: 50, with: Other::Itself }));
        tensors[40] = tensors[30];
        assert_eq!(found(&[], &tensors).0, Some(Alias { output: 40, with: Other::Output(30) }));
        assert_eq!(found(&tensors[..35], &tensors[35..]).0, Some(Alias { output: 5, with: Other::Input(30) }));
    }

    #[test]
    fn inputs_may_share_memory_with_one_another() {
        let len = 1000;
        let columns = family(len, |g| floats(g + 1, &[(5, len as isize + 1)]));
        // The first column of the matrix, its elements each for many indices, and every second row of it.
        let first: [&[(usize, isize)]; 3] = [&[(5, 1001)], &[(300, 0), (5, 1001)], &[(3, 2002)]];
        let mut inputs = family(900, |g| floats(0, first[g % 3]));
        let (alias, comparisons) = found(&inputs, &columns);
        assert_eq!(alias, None);
        assert!(comparisons <= 2 * len, "{comparisons}");
        inputs.push(floats(2 * 1001 + 400, &[(300, 0)]));
        assert_eq!(found(&inputs, &columns).0, Some(Alias { output: 399, with: Other::Input(900) }));
    }

    #[test]
    fn an_input_around_thousands_of_outputs_needs_one_comparison_with_each() {
        let len = 2000_isize;
        // The even columns, an input whose stride is no multiple of a row, and the outputs in the odd columns.
        let inputs = [floats(0, &[(5, 2 * len), (len as usize, 2)]), floats(0, &[(3, 2 * (2 * len - 1))])];
        let outputs = family(len as usize, |g| floats(2 * g + 1, &[(5, 2 * len)]));
        let (alias, comparisons) = found(&inputs, &outputs);
        assert_eq!(alias, None);
        assert!(comparisons <= 3 * outputs.len(), "{comparisons}");
    }

    #[test]
    fn thousands_of_outputs_in_one_place_need_few_comparisons() {
        let outputs = family(4000, |_| floats(3, &[(5, 7)]));
        let (alias, comparisons) = found(&[], &outputs);
        assert_eq!(alias, Some(Alias { output: 1, with: Other::Output(0) }));
        assert!(comparisons <= 2 * outputs.len(), "{comparisons}");
    }
}
