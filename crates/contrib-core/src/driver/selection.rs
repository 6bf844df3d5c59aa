//! The largest numbers of a row that are greater than a threshold, without a sort of the row.
//!
//! Most rows have few such numbers, so that the first pass only compares. What it finds are candidates, of which there is
//! memory for twice as many as can be chosen: once that is full, the smaller half goes, and the smallest that is left becomes
//! a bound for all that follow. Each number is thus a candidate once at most, and each removal is paid for by as many
//! candidates.

use crate::dtype::Element;
use std::cmp::Ordering;

/// Numbers that are compared before any of them is looked at again.
const BLOCK: usize = 64;

/// Numbers that are compared, or added up apart, in one go.
const LANES: usize = 8;

/// How many candidates there must be memory for to choose `room` of so many numbers.
pub(super) fn candidates(room: usize, numbers: usize) -> usize {
    room.saturating_mul(2).min(numbers)
}

/// What was chosen of a row.
pub(super) struct Selection<'a> {
    /// The places in the row of what was chosen, in any order.
    pub(super) chosen: &'a mut [usize],
    /// How many numbers are greater than the threshold, chosen or not.
    pub(super) count: usize,
    /// The sum of the numbers that are not greater.
    not_greater: f64,
}

/// The order of the places of a row in which the largest number comes first, and of equal ones that of the smallest index.
pub(super) fn larger_first<T: Element>(
    row: &[T],
    index: impl Fn(usize) -> usize,
) -> impl Fn(&usize, &usize) -> Ordering {
    move |&a, &b| row[b].to_f64().total_cmp(&row[a].to_f64()).then_with(|| index(a).cmp(&index(b)))
}

impl<'a> Selection<'a> {
    /// Chooses, of the numbers that are greater than `above`, the `room` largest, and of equal ones those of the smallest
    /// `index`, which is a number of its own for each place. NaN is not greater.
    ///
    /// `candidates` has as many slots as [`candidates`] says.
    pub(super) fn new<T: Element>(
        row: &[T],
        above: f64,
        room: usize,
        index: impl Fn(usize) -> usize,
        candidates: &'a mut [usize],
    ) -> Self {
        let larger_first = larger_first(row, index);
        let mut len = 0;
        // Nothing is greater than NaN or equal to it.
        let mut bound = if room == 0 { f64::NAN } else { f64::NEG_INFINITY };
        let (mut counts, mut sums) = ([0_usize; LANES], [0.0; LANES]);
        for (block, numbers) in row.chunks(BLOCK).enumerate() {
            let is_candidate = |number: f64| (number > above) & (number >= bound);
            let mut found = [0_usize; LANES];
            let mut compare = |lane: usize, number: f64| {
                let is_greater = number > above;
                counts[lane] += usize::from(is_greater);
                sums[lane] += if is_greater { 0.0 } else { number };
                found[lane] |= usize::from(is_candidate(number));
            };
            let (full, rest) = numbers.as_chunks::<LANES>();
            for eight in full {
                (0..LANES).for_each(|lane| compare(lane, eight[lane].to_f64()));
            }
            rest.iter().enumerate().for_each(|(lane, number)| compare(lane, number.to_f64()));
            if found == [0; LANES] {
                continue;
            }
            for (place, number) in (block * BLOCK..).zip(numbers) {
                let number = number.to_f64();
                if !(number > above && number >= bound) {
                    continue;
                }
                if len == candidates.len() {
                    candidates.select_nth_unstable_by(room - 1, &larger_first);
                    (len, bound) = (room, row[candidates[room - 1]].to_f64());
                    if number < bound {
                        continue;
                    }
                }
                candidates[len] = place;
                len += 1;
            }
        }
        if len > room {
            candidates[..len].select_nth_unstable_by(room - 1, &larger_first);
        }
        let chosen = &mut candidates[..len.min(room)];
        Selection { chosen, count: counts.iter().sum(), not_greater: sums.iter().sum() }
    }

    /// The sum of all numbers of the row but those that were chosen, in an order that does not depend on how they were chosen.
    pub(super) fn left_out<T: Element>(&self, row: &[T]) -> f64 {
        if self.count == self.chosen.len() {
            return self.not_greater;
        }
        // The smallest that was chosen: all smaller ones were not, and some of the equal ones.
        let smallest = self.chosen.iter().map(|&place| row[place].to_f64()).min_by(f64::total_cmp);
        let Some(smallest) = smallest else { return sum(row, |number| number) };
        let smaller = sum(row, |number| if number < smallest { number } else { 0.0 });
        let are_equal = row.iter().filter(|number| number.to_f64() == smallest).count();
        let were_chosen = self.chosen.iter().filter(|&&place| row[place].to_f64() == smallest).count();
        smaller + (are_equal - were_chosen) as f64 * smallest
    }
}

/// The sum of `term` of each number, in eight parts that are added apart and then in order.
fn sum<T: Element>(row: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (full, rest) = row.as_chunks::<LANES>();
    for eight in full {
        (0..LANES).for_each(|lane| sums[lane] += term(eight[lane].to_f64()));
    }
    rest.iter().zip(&mut sums).for_each(|(number, sum)| *sum += term(number.to_f64()));
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
                    // More slots than there are to be, so that one that is used too many is seen.
                    let len = candidates(room, row.len());
                    let mut slots = vec![0; len];
                    let selection = Selection::new(row, above, room, index, &mut slots);
                    let left_out = selection.left_out(row);
                    let mut chosen = selection.chosen.to_vec();
                    chosen.sort_unstable();
                    let expected = naive(row, above, room, index);
                    let name = format!("{name} of {}, above {above}, room {room}, {reverses}", row.len());
                    assert_eq!((chosen, selection.count), (expected.0, expected.1), "{name}");
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
        let row: Vec<f64> = (0..500).map(|i| (i * 7919 % 1009 % 9) as f64 / 3.0).collect();
        for room in 0..row.len() {
            let mut slots = vec![0; candidates(room, row.len())];
            let first = Selection::new(&row, 0.5, room, |place| place, &mut slots).left_out(&row);
            let last = Selection::new(&row, 0.5, room, |place| row.len() - place, &mut slots).left_out(&row);
            assert_eq!(first.to_bits(), last.to_bits());
        }
    }

    #[test]
    fn nothing_of_a_row_of_nan_is_greater_than_anything() {
        let mut slots = [0; 20];
        let selection = Selection::new(&[f64::NAN; 100], f64::NEG_INFINITY, 10, |place| place, &mut slots);
        assert_eq!((selection.count, selection.chosen.len()), (0, 0));
        assert!(selection.left_out(&[f64::NAN; 100]).is_nan());
    }
}
