//! Whether strided tensors share memory: exactly, not only by the ranges of their addresses, so that results can go
//! into columns of one matrix or between other data.
//!
//! Two elements meet where a sum of `coefficient * x`, with each whole `x` in `0..=limit`, falls into an interval. For
//! strides as they occur the search below takes a few steps; a search that takes too many ends with "may overlap",
//! which is an error to the caller and never a wrong result.

use crate::list::MAX_NDIM;
use crate::tensor::Tensor;

/// Steps after which a search gives up.
const MAX_STEPS: usize = 100_000;

#[derive(Clone, Copy, Default)]
struct Term {
    coefficient: i128,
    limit: i128,
}

/// Terms of a sum; at most those of two tensors.
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

    /// Whether some choice of the `x` puts the sum into `low..=high`.
    fn can_reach(mut self, low: i128, high: i128) -> bool {
        let terms = &mut self.items[..self.len];
        terms.sort_unstable_by_key(|term| std::cmp::Reverse(term.coefficient));
        let mut steps = 0;
        search(terms, low, high, &mut steps)
    }
}

/// Largest coefficient first: what the smaller terms can still add narrows the choices for it to almost none.
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
pub(crate) fn overlap(a: &Tensor<'_>, b: &Tensor<'_>) -> bool {
    let ((a_start, a_end), (b_start, b_end)) = (a.addresses(), b.addresses());
    if a_end <= b_start || b_end <= a_start {
        return false;
    }
    let (a_lowest, a_axes) = bytes(a);
    let (b_lowest, b_axes) = bytes(b);
    // An element of `a` at `a_lowest + i` meets one of `b` at `b_highest - j` where their distance is smaller than
    // the lower one's size; so `i + j` lies in an interval, and both are sums of non-negative terms.
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

/// Whether two different elements of the tensor lie at the same address.
pub(crate) fn overlaps_itself(tensor: &Tensor<'_>) -> bool {
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
        let clear = axis.coefficient > reach;
        reach += axis.coefficient * axis.limit;
        clear
    });
    // Otherwise look for two indices that differ first on axis `k`, there by at least one, and on every later axis
    // by anything between -limit and limit, such that the steps cancel.
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
    use crate::tensor::Tensor;
    use proptest::prelude::*;
    use std::collections::HashSet;

    static MEMORY: [f32; 400] = [0.0; 400];

    fn tensor(offset: usize, axes: &[(usize, isize)]) -> Option<Tensor<'static>> {
        let (shape, strides): (Vec<usize>, Vec<isize>) = axes.iter().copied().unzip();
        Tensor::strided(&MEMORY, offset, &shape, &strides).ok()
    }

    fn addresses(tensor: &Tensor<'_>) -> Vec<isize> {
        let mut walk = tensor.axes.walk_from(0);
        let base = (tensor.data().addr() / 4) as isize;
        (0..tensor.axes.count()).map(|_| base + walk.next_offset()).collect()
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
        let float =
            unsafe { Tensor::from_raw_parts(half[2..].as_ptr().cast(), crate::DType::F16, &[1], None) }.unwrap();
        assert!(overlap(&halves, &float));
    }
}
