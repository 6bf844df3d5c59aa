//! The largest numbers of a row that are greater than a threshold, without a sort of the row.
//!
//! Most rows have few such numbers, so that a pass over the row only compares. What it finds are candidates, of which there is
//! memory for twice as many as can be chosen. Once that is full, the smaller half goes, and the smallest that is left is a
//! bound for all that follow: for each removal as many candidates came before it, and the passes over them take no longer
//! than the one over the row.

use crate::dtype::Element;
use std::cmp::Ordering;

/// Numbers that are compared before any of them is looked at again.
const BLOCK: usize = 64;

/// Numbers that are added up apart, which hides the latency of addition.
const LANES: usize = 8;

/// How many candidates there must be memory for to choose `room` of so many numbers.
pub(super) fn candidates(room: usize, numbers: usize) -> usize {
    room.saturating_mul(2).min(numbers)
}

/// What was chosen of a row.
pub(super) struct Selection<'a, 'r, T> {
    /// The places in the row of what was chosen, in any order.
    pub(super) chosen: &'a mut [usize],
    row: &'r [T],
    above: f64,
    /// Whether all numbers that are greater than `above` were chosen.
    is_complete: bool,
}

/// The order of the places of a row in which the largest number comes first, and of equal ones that of the smallest index.
pub(super) fn larger_first<T: Element>(
    row: &[T],
    index: impl Fn(usize) -> usize,
) -> impl Fn(&usize, &usize) -> Ordering {
    move |&a, &b| row[b].to_f64().total_cmp(&row[a].to_f64()).then_with(|| index(a).cmp(&index(b)))
}

impl<'a, 'r, T: Element> Selection<'a, 'r, T> {
    /// Chooses, of the numbers that are greater than `above`, the `room` largest, and of equal ones those of the smallest
    /// `index`, which is a number of its own for each place. NaN is not greater.
    ///
    /// `candidates` has as many slots as [`candidates`] says.
    pub(super) fn new(
        row: &'r [T],
        above: f64,
        room: usize,
        index: impl Fn(usize) -> usize,
        candidates: &'a mut [usize],
    ) -> Self {
        if room == 0 {
            return Selection { chosen: &mut [], row, above, is_complete: false };
        }
        let larger_first = larger_first(row, index);
        // What is greater than a number is at least the next one. (Contributions are no infinities.)
        let mut least = above.next_up();
        let (mut len, mut is_complete) = (0, true);
        for (block, numbers) in row.chunks(BLOCK).enumerate() {
            if !any_at_least(numbers, least) {
                continue;
            }
            for (place, number) in (block * BLOCK..).zip(numbers) {
                let is_candidate = |least: f64| number.to_f64() >= least;
                if !is_candidate(least) {
                    continue;
                }
                if len == candidates.len() {
                    candidates.select_nth_unstable_by(room - 1, &larger_first);
                    (len, is_complete) = (room, false);
                    least = row[candidates[room - 1]].to_f64();
                    if !is_candidate(least) {
                        continue;
                    }
                }
                candidates[len] = place;
                len += 1;
            }
        }
        if len > room {
            candidates[..len].select_nth_unstable_by(room - 1, &larger_first);
            (len, is_complete) = (room, false);
        }
        Selection { chosen: &mut candidates[..len], row, above, is_complete }
    }

    /// How many numbers of the row are greater than the threshold, chosen or not.
    pub(super) fn count(&self) -> usize {
        let is_greater = |number: &&T| number.to_f64() > self.above;
        if self.is_complete { self.chosen.len() } else { self.row.iter().filter(is_greater).count() }
    }

    /// The sum of all numbers of the row but those that were chosen. It does not depend on the order in which they were chosen.
    pub(super) fn left_out(&self) -> f64 {
        let Selection { ref chosen, row, above, is_complete } = *self;
        if is_complete {
            return sum(row, |number| if number > above { 0.0 } else { number });
        }
        // All that are smaller than the smallest that was chosen were not, and some of the equal ones.
        let Some(smallest) = chosen.iter().map(|&place| row[place].to_f64()).min_by(f64::total_cmp) else {
            return sum(row, |number| number);
        };
        let are_equal = row.iter().filter(|number| number.to_f64() == smallest).count();
        let were_chosen = chosen.iter().filter(|&&place| row[place].to_f64() == smallest).count();
        let smaller = sum(row, |number| if number < smallest { number } else { 0.0 });
        smaller + (are_equal - were_chosen) as f64 * smallest
    }
}

/// Whether a number is at least `least`.
fn any_at_least<T: Element>(numbers: &[T], least: f64) -> bool {
    let (full, rest) = numbers.as_chunks::<LANES>();
    // Numbers and not `bool`s, so that they are compared in vector instructions.
    let mut found = [0_u64; LANES];
    for eight in full {
        for (found, number) in found.iter_mut().zip(eight) {
            *found |= u64::from(number.to_f64() >= least);
        }
    }
    found != [0; LANES] || rest.iter().any(|number| number.to_f64() >= least)
}

/// The sum of `term` of each number, in eight parts that are added apart and then in order.
fn sum<T: Element>(row: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (full, rest) = row.as_chunks::<LANES>();
    for eight in full {
        for (sum, number) in sums.iter_mut().zip(eight) {
            *sum += term(number.to_f64());
        }
    }
    for (sum, number) in sums.iter_mut().zip(rest) {
        *sum += term(number.to_f64());
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen by a sort of everything: places in order, and the sum of the rest.
    fn naive(row: &[f64], above: f64, room: usize, index: impl Fn(usize) -> usize) -> (Vec<usize>, usize, f64) {
        let mut greater: Vec<usize> = (0..row.len()).filter(|&place| row[place] > above).collect();
        greater.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(index(a).cmp(&index(b))));
        let count = greater.len();
        greater.truncate(room);
        greater.sort_unstable();
        let left_out = (0..row.len()).filter(|place| !greater.contains(place)).map(|place| row[place]).sum();
        (greater, count, left_out)
    }

    #[track_caller]
    fn check(row: &[f64], name: &str) {
        let thresholds = [f64::NEG_INFINITY, -1.0, 0.0, 0.25, 0.5, 0.75, 0.99, 2.0, f64::INFINITY];
        for above in thresholds.into_iter().chain(row.first().copied()) {
            for room in [0, 1, 2, 5, 31, 64, row.len() / 3, row.len(), row.len() + 1, usize::MAX] {
                for reverses in [false, true] {
                    let index = |place: usize| if reverses { row.len() - place } else { place };
                    let mut slots = vec![0; candidates(room, row.len())];
                    let selection = Selection::new(row, above, room, index, &mut slots);
                    let (count, left_out) = (selection.count(), selection.left_out());
                    let mut chosen = selection.chosen.to_vec();
                    chosen.sort_unstable();
                    let expected = naive(row, above, room, index);
                    let name = format!("{name} of {}, above {above}, room {room}, {reverses}", row.len());
                    assert_eq!((chosen, count), (expected.0, expected.1), "{name}");
                    assert!((left_out - expected.2).abs() <= 1e-9, "{name}: {left_out}, expected {}", expected.2);
                }
            }
        }
    }

    #[test]
    fn rows_of_any_length_and_order_give_what_a_sort_gives() {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 200, 1000] {
            let numbers = |number: &dyn Fn(usize) -> f64| (0..len).map(number).collect::<Vec<f64>>();
            check(&numbers(&|i| i as f64 / len as f64), "ascending");
            check(&numbers(&|i| 1.0 - i as f64 / len as f64), "descending");
            check(&numbers(&|i| (i * 7919 % 1009) as f64 / 1009.0), "mixed");
            check(&numbers(&|i| (i * 7919 % 1009 % 4) as f64 / 4.0), "four values");
            check(&numbers(&|_| 0.5), "all alike");
            check(&numbers(&|i| if i % 300 == 299 { 0.9 } else { 0.001 }), "few large ones");
        }
    }

    #[test]
    fn what_is_left_out_does_not_depend_on_the_order_of_ties() {
        let row: Vec<f64> = (0..500).map(|i| f64::from(i * 7919 % 1009 % 9) / 3.0).collect();
        for room in 0..row.len() {
            let mut slots = vec![0; candidates(room, row.len())];
            let first = Selection::new(&row, 0.5, room, |place| place, &mut slots).left_out();
            let last = Selection::new(&row, 0.5, room, |place| row.len() - place, &mut slots).left_out();
            assert_eq!(first.to_bits(), last.to_bits());
        }
    }

    #[test]
    fn nothing_of_a_row_of_nan_is_greater_than_anything() {
        let mut slots = [0; 20];
        let row = [f64::NAN; 100];
        let selection = Selection::new(&row, f64::NEG_INFINITY, 10, |place| place, &mut slots);
        assert_eq!((selection.count(), selection.chosen.len()), (0, 0));
        assert!(selection.left_out().is_nan());
    }
}
