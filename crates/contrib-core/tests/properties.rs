//! Random calls of any shape, type and arrangement against the oracle, which gets the numbers as they are once rounded
//! to their types.

mod common;

use common::calls::{EXACT, GAIN_ERROR, Storage, cases, len, make_odd, storage, ulps_of_norm};
use common::{Job, view, view_mut};
use contrib_core::{Group, Norm, Options, group_contributions, threshold_and_renormalise};
use contrib_testing::{Kind, Operation, Random, Stored, naive};
use proptest::prelude::*;
use proptest::sample::select;

const NORMS: [f64; 7] = [1.0, 2.0, f64::INFINITY, 3.0, 1.5, 2.7, 7.0];

/// What numbers a call has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Numbers {
    /// The parts sum to the whole, but for the rounding to their types.
    Sum,
    /// The whole has nothing to do with the parts.
    Unrelated,
    /// The parts sum to the whole, and all but the last are a ten-thousandth of it.
    Tiny,
    /// Each part is the whole.
    Whole,
    /// Each part is zero: as far from the whole as the whole from zero, but for the epsilon.
    Zero,
    /// Each part is nearly twice the whole, and so about as far from it as it from zero: proximities near the least.
    NearlyTwice,
    /// Parts many times the whole, with the least proximity.
    Far,
}

const ALL_NUMBERS: [Numbers; 7] = [
    Numbers::Sum,
    Numbers::Unrelated,
    Numbers::Tiny,
    Numbers::Whole,
    Numbers::Zero,
    Numbers::NearlyTwice,
    Numbers::Far,
];

/// A call of the primitive.
#[derive(Clone, Debug)]
struct Call {
    norm: f64,
    batch: Vec<usize>,
    len: usize,
    /// The part axes of each group.
    groups: Vec<Vec<usize>>,
    numbers: Numbers,
    /// The typical magnitude of an element of the whole, and what is added to it.
    scale: f64,
    offset: f64,
    /// How many elements of the parts become NaN or infinite, and how many of the whole.
    odd: [usize; 2],
    seed: u64,
    whole: Storage,
    parts: Vec<Storage>,
    outputs: Vec<Storage>,
}

fn call(
    kinds: &'static [Kind],
    norms: &'static [f64],
    len: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Call> {
    let extent = || prop_oneof![1 => Just(0_usize), 20 => 1_usize..4];
    let batch = prop::collection::vec(extent(), 0..3);
    let groups = prop::collection::vec(prop::collection::vec(extent(), 0..4), 1..5);
    let odd = prop_oneof![6 => Just([0, 0]), 1 => Just([1, 0]), 1 => Just([3, 0]), 1 => Just([0, 1])];
    let numbers = (
        select(&ALL_NUMBERS[..]),
        prop_oneof![4 => Just(1.0), 1 => Just(1e-3), 1 => Just(30.0), 1 => Just(1e3)],
        prop_oneof![3 => Just(0.0), 1 => Just(3.0)],
        odd,
        any::<u64>(),
    );
    let storages = move |n| prop::collection::vec(storage(select(kinds)), n);
    (select(norms), batch, len, groups, numbers, storage(select(kinds)), storages(4), storages(4)).prop_map(
        |(norm, batch, len, groups, numbers, whole, parts, outputs)| {
            let (numbers, scale, offset, odd, seed) = numbers;
            Call { norm, batch, len, groups, numbers, scale, offset: offset * scale, odd, seed, whole, parts, outputs }
        },
    )
}

impl Call {
    fn shape(&self, part_axes: &[usize]) -> Vec<usize> {
        [part_axes, &self.batch, &[self.len]].concat()
    }

    fn entries(&self) -> usize {
        self.batch.iter().product()
    }

    /// The whole and the parts of each group.
    fn inputs(&self) -> (Stored, Vec<Stored>) {
        let random = &mut Random::new(self.seed);
        let whole_count = self.entries() * self.len;
        let whole_values: Vec<f64> = (0..whole_count).map(|_| self.scale * random.normal() + self.offset).collect();
        let mut parts: Vec<Stored> = Vec::new();
        for (axes, storage) in self.groups.iter().zip(&self.parts) {
            let layout = storage.layout(&self.shape(axes), true);
            let value = |number: usize| {
                let whole = whole_values[number % whole_count];
                match self.numbers {
                    Numbers::Sum | Numbers::Unrelated => self.scale * random.normal(),
                    Numbers::Tiny => 1e-4 * self.scale * random.normal(),
                    Numbers::Whole => whole,
                    Numbers::Zero => 0.0,
                    Numbers::NearlyTwice => whole * (2.0 - 1e-5 * random.unit()),
                    Numbers::Far => 20.0 * self.scale * random.normal() + 50.0 * whole,
                }
            };
            parts.push(Stored::from_fn(storage.kind, layout, value));
        }
        // A last part of the whole itself, so that the tiny ones are not alone.
        if self.numbers == Numbers::Tiny {
            let (axes, part) = (self.groups.last().unwrap(), parts.last_mut().unwrap());
            let count = axes.iter().product::<usize>() * whole_count;
            let last_part = count.saturating_sub(whole_count);
            for (number, index) in part.layout.indices().into_iter().enumerate().skip(last_part) {
                part.numbers.set(index, whole_values[number - last_part]);
            }
        }
        for _ in 0..self.odd[0] {
            let group = random.below(parts.len());
            make_odd(&mut parts[group], random);
        }
        let whole = self.whole.layout(&self.shape(&[]), true);
        let mut whole = if matches!(self.numbers, Numbers::Sum | Numbers::Tiny) {
            let values: Vec<Vec<f64>> = parts.iter().map(Stored::to_f64).collect();
            let sum =
                |number| values.iter().flatten_stepped(number, whole_count).filter(|value| value.is_finite()).sum();
            Stored::from_fn(self.whole.kind, whole, sum)
        } else {
            Stored::from_fn(self.whole.kind, whole, |number| whole_values[number])
        };
        for _ in 0..self.odd[1] {
            make_odd(&mut whole, random);
        }
        (whole, parts)
    }
}

/// Steps through several lists as one.
trait FlattenStepped<'a>: Iterator<Item = &'a Vec<f64>> + Sized {
    /// The numbers at `start` and every `step` after it, of each list.
    fn flatten_stepped(self, start: usize, step: usize) -> impl Iterator<Item = f64> {
        self.flat_map(move |list| list.iter().skip(start).step_by(step).copied())
    }
}

impl<'a, I: Iterator<Item = &'a Vec<f64>>> FlattenStepped<'a> for I {}

fn check(call: &Call) -> Result<(), TestCaseError> {
    let (whole, parts) = call.inputs();
    let outputs = call.groups.iter().zip(&call.outputs).map(|(axes, storage)| {
        let shape = [&axes[..], &call.batch].concat();
        Stored::blank(storage.kind, storage.layout(&shape, false))
    });
    let mut outputs: Vec<Stored> = outputs.collect();
    let mut groups: Vec<Group<'_>> =
        parts.iter().zip(&mut outputs).map(|(parts, out)| Group::dense(view(parts), view_mut(out))).collect();
    let options = Options::default().norm(Norm::new(call.norm).unwrap());
    group_contributions(&view(&whole), &mut groups, &options).unwrap();
    prop_assert!(outputs.iter().all(Stored::is_untouched_around));

    let kinds: Vec<Kind> = parts.iter().map(Stored::kind).collect();
    let whole_values = whole.to_f64();
    let parts_values: Vec<Vec<f64>> = parts.iter().map(Stored::to_f64).collect();
    let results: Vec<Vec<f64>> = outputs.iter().map(Stored::to_f64).collect();
    let vector = |values: &[f64], number: usize| values[number * call.len..][..call.len].to_vec();
    for entry in 0..call.entries() {
        let whole = vector(&whole_values, entry);
        let group = |(axes, values): (&Vec<usize>, &Vec<f64>)| -> Vec<Vec<f64>> {
            (0..axes.iter().product()).map(|part| vector(values, part * call.entries() + entry)).collect()
        };
        let groups: Vec<Vec<Vec<f64>>> = call.groups.iter().zip(&parts_values).map(group).collect();
        let expected = naive::contributions(&whole, &groups, call.norm);
        let sum: f64 = naive::proximities(&whole, &groups, call.norm).iter().flatten().sum();
        let count = groups.iter().map(Vec::len).sum::<usize>() as f64;
        let proximity_error = ulps_of_norm(call.len) * f64::EPSILON * naive::norm(&whole, call.norm);
        let gain_error = |number: usize, part: &Vec<f64>| {
            let in_f32 = call.norm <= 2.0 && call.norm != 1.5 && ![call.whole.kind, kinds[number]].contains(&Kind::F64);
            let norm = naive::norm(part, call.norm);
            if in_f32 && norm.is_finite() { GAIN_ERROR * norm } else { 0.0 }
        };
        let gain_errors: f64 =
            groups.iter().enumerate().map(|(n, parts)| parts.iter().map(|part| gain_error(n, part)).sum::<f64>()).sum();
        for (number, expected) in expected.iter().enumerate() {
            for (part, &expected) in expected.iter().enumerate() {
                let found = results[number][part * call.entries() + entry];
                let of_gains = gain_error(number, &groups[number][part]) + expected * gain_errors;
                let conditioned = (proximity_error * (1.0 + expected * count) + of_gains) / sum;
                let allowed = EXACT + conditioned + outputs[number].kind().rounding(expected);
                prop_assert_eq!(found.is_nan(), expected.is_nan(), "entry {}, group {}, part {}", entry, number, part);
                prop_assert!(
                    found.is_nan() || (found - expected).abs() <= allowed,
                    "entry {entry}, group {number}, part {part}: {found}, expected {expected}, allowed {allowed:e}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_call_gives_what_the_oracle_gives(call in call(&Kind::ALL, &NORMS, len())) {
        check(&call)?;
    }

    #[test]
    fn all_in_f64_results_are_as_exact_as_f64_can_be(call in call(&[Kind::F64], &NORMS, len())) {
        check(&call)?;
    }

    #[test]
    fn long_vectors_of_few_digits_give_results_as_exact_as_any(
        call in call(&[Kind::F32, Kind::F16, Kind::Bf16], &[1.0], 250_usize..1200)
    ) {
        check(&call)?;
    }
}

/// How far results are off, at most, for `parts` parts of a whole with these elements, each a small multiple of it, and
/// a last part that is half of it.
fn error_of_many_parts(kind: Kind, parts: usize, whole: &[f64], multiple: impl Fn(&mut Random) -> f64) -> f64 {
    let len = whole.len();
    let random = &mut Random::new(7);
    let mut job = Job::random(Operation::OneOff, kind, &[&[len], &[parts, len], &[len]], random);
    let mut fill = |input: &str, value: &mut dyn FnMut(usize) -> f64| {
        let input = job.input_mut(input);
        *input = Stored::from_fn(kind, input.layout.clone(), value);
    };
    fill("whole", &mut |i| whole[i]);
    fill("one_off", &mut |i| 0.5 * whole[i]);
    fill("parts", &mut |i| multiple(random) * whole[i % len]);

    let vectors =
        |input: &str| -> Vec<Vec<f64>> { job.input(input).to_f64().chunks(len).map(<[f64]>::to_vec).collect() };
    let expected = naive::contributions(&vectors("whole")[0], &[vectors("parts"), vectors("one_off")], 1.0);
    let found = job.results(None).map(|output| output.to_f64());
    let errors =
        found.iter().flatten().zip(expected.iter().flatten()).map(|(found, expected)| (found - expected).abs());
    errors.fold(0.0, f64::max)
}

/// Attention over a thousand tokens has some ten thousand parts. An error that is the same for all of them, and nothing
/// in any one contribution, adds up in the sum by which all are divided.
#[test]
fn the_roundings_of_thousands_of_parts_do_not_add_up() {
    let normal = |len: usize| -> Vec<f64> {
        let mut random = Random::new(8);
        (0..len).map(|_| random.normal()).collect()
    };
    let mut massive = normal(768);
    massive[7] = 3000.0;
    for kind in [Kind::F32, Kind::F16, Kind::Bf16] {
        for (name, whole) in [
            ("one number everywhere", vec![100.0; 256]),
            ("another number everywhere", vec![1.1; 256]),
            ("random", normal(768)),
            ("random but for one massive element", massive.clone()),
        ] {
            for parts in [1, 10, 100, 3000] {
                let masked = error_of_many_parts(kind, parts, &whole, |_| 0.0);
                assert!(masked <= 1e-9, "{parts} parts of zero in {kind:?}, {name}: off by {masked:e}");
                let small = error_of_many_parts(kind, parts, &whole, |random| random.unit() / 12e3);
                assert!(small <= 2e-8, "{parts} small parts in {kind:?}, {name}: off by {small:e}");
            }
        }
    }
}

/// One call of [`threshold_and_renormalise`].
fn check_threshold(
    [representations, blocks]: [&[usize]; 2],
    threshold: f64,
    odd: usize,
    seed: u64,
    storages: &[Storage],
) -> Result<(), TestCaseError> {
    let random = &mut Random::new(seed);
    let shapes = [[representations, blocks].concat(), representations.to_vec()];
    let mut inputs = [0, 1].map(|i| {
        // Now and then exactly a threshold.
        let mut value = |_| if random.below(8) == 0 { 0.25 } else { random.unit() };
        Stored::from_fn(storages[i].kind, storages[i].layout(&shapes[i], true), &mut value)
    });
    for _ in 0..odd {
        let i = random.below(2);
        let indices = inputs[i].layout.indices();
        if !indices.is_empty() {
            inputs[i].numbers.set(indices[random.below(indices.len())], f64::NAN);
        }
    }
    let mut outputs = [0, 1].map(|i| Stored::blank(storages[2 + i].kind, storages[2 + i].layout(&shapes[i], false)));
    let [out_blocks, out_residual] = &mut outputs;
    threshold_and_renormalise(
        &view(&inputs[0]),
        &view(&inputs[1]),
        threshold,
        &mut view_mut(out_blocks),
        &mut view_mut(out_residual),
        &Options::default(),
    )
    .unwrap();
    prop_assert!(outputs.iter().all(Stored::is_untouched_around));

    let [blocks_in, residuals_in] = inputs.each_ref().map(Stored::to_f64);
    let [blocks_out, residuals_out] = outputs.each_ref().map(Stored::to_f64);
    let count = blocks.iter().product::<usize>();
    for (number, &residual) in residuals_in.iter().enumerate() {
        let range = number * count..(number + 1) * count;
        let (expected, expected_residual) =
            naive::threshold_and_renormalise(&blocks_in[range.clone()], residual, threshold);
        let kinds = outputs.each_ref().map(Stored::kind);
        let found = blocks_out[range].iter().map(|&found| (found, kinds[0])).chain([(residuals_out[number], kinds[1])]);
        for ((found, kind), expected) in found.zip(expected.into_iter().chain([expected_residual])) {
            let allowed = 1e-13 + kind.rounding(expected);
            prop_assert_eq!(found.is_nan(), expected.is_nan(), "representation {}", number);
            prop_assert!(
                found.is_nan() || (found - expected).abs() <= allowed,
                "representation {number}: {found}, expected {expected}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_contributions_are_thresholded_as_the_oracle_does(
        representations in prop::collection::vec(0_usize..5, 0..3),
        blocks in prop::collection::vec(0_usize..6, 0..4),
        threshold in select(&[0.25, 0.0, -1.0, 0.5, 0.9, 1.0][..]),
        odd in prop_oneof![3 => Just(0_usize), 1 => Just(1), 1 => Just(2)],
        seed in any::<u64>(),
        storages in prop::collection::vec(storage(select(&Kind::ALL[..])), 4),
    ) {
        check_threshold([&representations, &blocks], threshold, odd, seed, &storages)?;
    }
}
